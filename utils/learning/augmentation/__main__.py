"""Draw a contact sheet of all augmentations on real clips: what each does, and how strong its amount is.

    python -m utils.learning.augmentation augmentation.png experiments/birdclef2018.toml
    python -m utils.learning.augmentation augmentation.png --recording blackbird.wav --augmentation.rotate 5 --draws 3
    python -m utils.learning.augmentation batch.png experiments/birdclef2018.toml --batch

One row per augmentation: a clip, and the same clip augmented several times. Augmentations that are off in the
experiment are shown with an example amount. The clips are those with the highest signal scores in the experiment's
store (or `training.images`), or in a recording. Augmentations of sound (`waveform`) are shown of a recording, or of a
store of sound. `--batch` shows a batch instead, as the model sees it in training, with its targets.
"""

import dataclasses
import functools
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt
from jaxtyping import Float

from config import Config
from utils import console
from utils.augmentation_checks import margin_needed
from utils.learning.augmentation.batch_plot import plot_batch
from utils.learning.augmentation.contact_sheet import ClipSounds, Material, all_rows, draw_rows, with_sound_examples
from utils.learning.background_sounds import read_background
from utils.learning.examples import read_examples
from utils.learning.noise_clips import with_noise_folder
from utils.spectra.clips import clip_samples, cut_grid, margin_samples
from utils.spectra.decode import decode
from utils.spectra.image_folder import ImageFolder
from utils.spectra.spectrogram import scored_spectrogram, to_pixels
from utils.spectra.stored_sound import to_16_bit

PLOTTED_CLIPS = 6  # different clips in a contact sheet, in turn
BACKGROUND_CLIPS = 32  # rejected clips of a recording that are background sound, at most
MOST_DRAWS = 20


@dataclasses.dataclass(frozen=True)
class AugmentationFlags:
    """Flags of a single call."""

    # use the clips of this recording instead of the store's; its rejected clips are the noise
    recording: Path | None = None
    batch: bool = False  # draw the first batch of an epoch, augmented as in training, with labels and targets
    epoch: Annotated[int, Ge(1), Lt(2**31)] = 1  # with --batch: the epoch
    draws: int = 5  # how often each clip is augmented, 1 to 20
    seed: int = 0  # random seed of the draws, 0 or more


def command(arguments: Sequence[str]) -> int:
    """Run the command line `augmentation.png [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    paths = [Path(word) for word in arguments[:1] if not word.startswith("-")]
    main = functools.partial(write_contact_sheet, paths[0] if paths else None)
    return console.run(
        main,
        doc=__doc__,
        flags=AugmentationFlags,
        arguments=arguments[len(paths) :],
        script="-m utils.learning.augmentation augmentation.png",
    )


def write_contact_sheet(path: Path | None, config: Config, flags: AugmentationFlags) -> None:
    """Write the contact sheet as PNG.

    Raises
    ------
    UserError
        If no file is named for it, a flag is out of its range, or there are no clips.
    """
    if path is None or path.suffix.lower() != ".png":
        raise console.UserError(
            f"{path or 'no file'}: the first argument must be the image to write, such as augmentation.png"
        )
    if not 1 <= flags.draws <= MOST_DRAWS:
        raise console.UserError(f"--draws {flags.draws}: should be 1 to {MOST_DRAWS}")
    if not 0 <= flags.seed < 2**32:
        raise console.UserError(f"--seed {flags.seed}: should be 0 to {2**32 - 1}")
    if config.model.name == "External":
        raise console.UserError("model.name = External: its embeddings are not augmented as images or sound, nor drawn")
    if flags.batch:
        write_batch(path, config, flags)
        return
    material = from_recording(flags.recording, config) if flags.recording else from_store(config)
    if not len(material.noise):
        console.warning("there are no rejected clips, so augmentation.add is not on the contact sheet")
    if material.sounds is not None and not len(material.sounds.background):
        console.warning(
            "there are no rejected clips, so waveform.background is not on the contact sheet; set "
            "waveform.background_folder to show it"
        )
    draw_rows(path, list(all_rows(material, config, draws=flags.draws, seed=flags.seed)))
    clips = min(len(material.clips), PLOTTED_CLIPS)
    console.info(f"{console.printable(path)}: {clips} clips, each augmented {flags.draws} times")


def from_store(config: Config) -> Material:
    """Take the clips with the highest signal scores, one per recording, from those that the experiment learns from."""
    examples = read_examples(config)
    table = examples.store.clips.with_row_index("clip")[examples.rows].sort("score", descending=True)
    best = table.unique("recording", keep="first", maintain_order=True)["clip"].head(PLOTTED_CLIPS)
    rows = best.to_numpy().astype(np.int64)
    sounds = None
    if not isinstance(examples.store, ImageFolder) and examples.store.keeps_sound:
        margin = margin_samples(config.clips, rate=config.spectrogram.rate)
        sounds = ClipSounds(
            examples.store.sounds(rows), examples.store.clips["peak"].to_numpy()[rows], examples.noise.sounds, margin
        )
    return Material(examples.store.spectrograms(rows), examples.noise.spectrograms, sounds)


def write_batch(path: Path, config: Config, flags: AugmentationFlags) -> None:
    """Draw the first batch of an epoch as the model sees it; without hard negatives, which a training finds.

    Raises
    ------
    UserError
        If a recording is named as well, or there is nothing to learn from.
    """
    if flags.recording:
        raise console.UserError("--batch takes the clips of the experiment's store: leave out --recording")
    examples = with_noise_folder(read_examples(config), config)
    shown = plot_batch(path, examples, config, epoch=flags.epoch)
    console.info(f"{console.printable(path)}: {shown} clips of the first batch of epoch {flags.epoch}")


def from_recording(file: Path, config: Config) -> Material:
    """Cut a recording into clips on the grid, and divide them by their signal scores.

    Raises
    ------
    UserError
        If the recording cannot be read, or is too short or too quiet for a clip.
    """
    scored = [scored_spectrogram(samples, config.spectrogram) for samples in _clips_of_file(file, config)]
    spectrograms, scores = [one for one, _ in scored], np.array([score for _, score in scored])
    accepted = [index for index in np.argsort(-scores).tolist() if scores[index] >= config.clips.signal_threshold]
    if not accepted:
        raise console.UserError(
            f"{file}: none of its {len(spectrograms)} clips has a signal score of at least clips.signal_threshold"
        )
    pixels = np.stack([to_pixels(spectrogram) for spectrogram in spectrograms])
    best, rejected = accepted[:PLOTTED_CLIPS], np.flatnonzero(scores < config.clips.signal_threshold)
    return Material(
        pixels[best], pixels[rejected], _sounds_of(file, config, best, rejected[:BACKGROUND_CLIPS].tolist())
    )


def _clips_of_file(file: Path, config: Config, *, margin: int = 0) -> Iterator[Float[np.ndarray, " samples"]]:
    """Yield the clips of a recording, each with `margin` samples before and after it."""
    length, step, min_length = clip_samples(config.clips, rate=config.spectrogram.rate)
    blocks = decode(file, rate=config.spectrogram.rate, channel=config.spectrogram.channel)
    for _, clips in cut_grid(blocks, length=length, step=step, min_length=min_length, margin=margin):
        yield from clips


def _sounds_of(file: Path, config: Config, best: list[int], rejected: list[int]) -> ClipSounds:
    """Decode a recording once more for the sound of some of its clips, with as much margin as the rows need."""
    rate, settings = config.spectrogram.rate, config.waveform
    needed = margin_needed(with_sound_examples(settings), length=config.clips.length)
    margin = math.ceil(max(needed, config.clips.margin) * rate)
    chosen = {*best, *rejected}
    kept = {
        index: to_16_bit(clip)
        for index, clip in enumerate(_clips_of_file(file, config, margin=margin))
        if index in chosen
    }
    length, _, _ = clip_samples(config.clips, rate=rate)
    rows, peaks = zip(*(kept[index] for index in best), strict=True)
    background = np.array([kept[index][0] for index in rejected], np.int16).reshape(-1, length + 2 * margin)
    if settings.background_folder:
        background = read_background(
            settings.background_folder,
            rate=rate,
            samples=length,
            seed=config.training.seed,
            channel=config.spectrogram.channel,
        )
    return ClipSounds(np.stack(rows), np.array(peaks, np.float32), background, margin)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
