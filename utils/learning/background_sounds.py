"""Real background sound for augmentation: clips of any sound files in a folder."""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16

from utils.console import UserError, warning
from utils.recordings.audio_files import check_readable, is_sound, walk
from utils.spectra.audio_check import SILENT
from utils.spectra.clips import cut_grid
from utils.spectra.decode import AudioError, Channel, decode
from utils.spectra.stored_sound import to_16_bit

MOST_BACKGROUNDS = 512  # clips in all


def read_background(
    folder: Path, *, rate: int, samples: int, seed: int, channel: Channel, excluded: Collection[Path] = ()
) -> Int16[np.ndarray, "clips {samples}"]:
    """Cut clips out of the sound files of a folder and its subfolders, at most MOST_BACKGROUNDS, drawn at random.

    Each file gives about the same number of clips, if it is long enough. Clips do not overlap, and are not silent.
    Memory does not grow with the lengths of the files. Files that cannot be read are left out with a warning.

    Parameters
    ----------
    folder : of sound files in any format that libsndfile reads
    rate : sample rate of the clips, Hz
    samples : length of a clip; shorter files give none
    seed : random seed; the same for the same files gives the same clips
    channel : which channel of stereo files, as `decode` takes it
    excluded : files that are left out with a warning, also under another folder: those of the same name and size

    Returns
    -------
    Each clip scaled by its own peak to the range of 16 bits.

    Raises
    ------
    UserError
        If there is no folder, or no clip in its files.
    """
    files = _without(_sound_files(folder), excluded, folder)
    order = np.random.default_rng(seed).permutation(len(files)).tolist()
    clips: list[Int16[np.ndarray, " samples"]] = []
    unreadable = 0
    for visited, index in enumerate(order):
        wanted = -(-(MOST_BACKGROUNDS - len(clips)) // (len(order) - visited))  # rounded up
        if not wanted:
            break
        try:
            check_readable(files[index])
            clips += _draw_clips(
                _clips_of(files[index], rate=rate, samples=samples, channel=channel), wanted, (seed, index)
            )
        except (AudioError, OSError, ValueError) as error:
            unreadable += 1
            warning(f"{files[index]}: is left out of the background sound: {error}")
    if not clips:
        reason = f"none of its {len(files)} sound files"
        reason += " can be read" if unreadable == len(files) else f" has {samples / rate:g} s of sound, which is a clip"
        raise _refused(folder, reason)
    if unreadable:
        warning(f"{folder}: {unreadable} of {len(files)} sound files could not be read")
    return np.stack(clips)


def _sound_files(folder: Path) -> list[Path]:
    """Return the sound files of a folder and its subfolders, in the order of their paths."""
    if not folder.is_dir():
        raise _refused(folder, "is not a folder" if folder.exists() else "there is no such folder")
    found = walk(folder)
    for failure in found.unread:
        warning(f"{folder / failure.name}: {failure.reason}")
    files = sorted(file for file in found.files if is_sound(file))
    if not files:
        raise _refused(folder, "neither it nor its subfolders hold sound files")
    return files


def _without(files: list[Path], excluded: Collection[Path], folder: Path) -> list[Path]:
    """Leave out files that are held out."""
    known = {(file.name, file.stat().st_size) for file in excluded if file.is_file()}
    kept = [file for file in files if (file.name, file.stat().st_size) not in known]
    if len(kept) < len(files):
        warning(
            f"{folder}: {len(files) - len(kept)} of its files are held-out or validation recordings, and are left out "
            "of the background sound"
        )
    if not kept:
        raise _refused(folder, "all its sound files are held-out or validation recordings")
    return kept


def _refused(folder: Path, reason: str) -> UserError:
    advice = "set waveform.background_folder to a folder of background sound"
    return UserError(f"{folder}: {reason}; {advice}, or to none for rejected clips of the store")


def _clips_of(file: Path, *, rate: int, samples: int, channel: Channel) -> Iterator[Float[np.ndarray, " samples"]]:
    """Yield the clips of a file, one after the other, without silent ones."""
    blocks = decode(file, rate=rate, channel=channel)
    for _, batch in cut_grid(blocks, length=samples, step=samples, min_length=samples):
        yield from (clip for clip in batch if np.abs(clip).max() >= SILENT)


def _draw_clips(
    clips: Iterator[Float[np.ndarray, " samples"]], count: int, seed: tuple[int, int]
) -> list[Int16[np.ndarray, " samples"]]:
    """Draw clips out of a stream of unknown length, each as likely as any other.

    Source: Vitter 1985, "Random sampling with a reservoir", algorithm R.
    """
    rng = np.random.default_rng(seed)
    drawn: list[Int16[np.ndarray, " samples"]] = []
    for index, clip in enumerate(clips):
        slot = index if index < count else int(rng.integers(index + 1))
        if slot < count:
            drawn[slot : slot + 1] = [to_16_bit(clip)[0]]
    return drawn
