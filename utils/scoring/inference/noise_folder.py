"""Scores of the recordings without birds in `testing.noise_folder`, and which of its files are used."""

import filecmp
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from config import Config, Location
from utils import console
from utils.recordings.audio_files import is_sound, walk
from utils.recordings.recording import NOISE
from utils.scoring.inference.ensembles import Ensemble, Member, assemble
from utils.scoring.inference.interval_rules import for_unit
from utils.scoring.inference.intervals import (
    IntervalPrediction,
    predict_intervals_in_memory,
    scores_and_novelty,
)
from utils.scoring.inference.recording_groups import PredictSome, predict_on_workers
from utils.scoring.metrics.false_alarms import NoiseScores
from utils.scoring.metrics.units import Unit
from utils.sound.remote import name_of_file, sizes_and_times, sounds_at
from utils.spectra.interval_grid import interval_times

ADVICE = "set testing.noise_folder to a folder of recordings without birds"
NO_FILE = "is no file: a link without a target, a pipe or a device"
SAME_LENGTH = 1e-6  # seconds
FIRST_COMPARED = 2**16  # bytes of files of the same size; whole files are compared only if these are equal


def noise_files(folder: Path) -> tuple[list[Path], list[console.Failure]]:
    """Return the sound files of a folder and its subfolders, in the order of their paths, and unreadable subfolders.

    Raises
    ------
    UserError
        If there is no folder, or no sound file in it.
    """
    shown = console.printable(folder)
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "there is no such folder"
        raise console.UserError(f"{shown}: {reason}; {ADVICE}")
    found = walk(folder)
    sounds = sorted(file for file in found.files if is_sound(file))
    files = [file for file in sounds if file.is_file()]
    unread = [console.Failure(file.relative_to(folder).as_posix(), NO_FILE) for file in sounds if not file.is_file()]
    if not files:
        raise console.UserError(f"{shown}: neither it nor its subfolders contain sound files; {ADVICE}")
    return files, [*found.unread, *unread]


def check_noise_folder(config: Config) -> None:
    """Refuse a `testing.noise_folder` without sound files, before anything is predicted.

    Raises
    ------
    UserError
        If it does not exist, or neither it nor its subfolders contain sound files.
    """
    if config.testing.noise_folder is not None:
        noise_files(config.testing.noise_folder)


def predict_noise(members: Sequence[Member], split: pl.DataFrame, config: Config, unit: Unit) -> NoiseScores | None:
    """Return the scores of all intervals of `testing.noise_folder`; None if it is not set.

    Intervals are as long as those of the test or, if its unit is not the interval, as a clip, so that the score of an
    interval is that of one clip. They are cut as for a submission and, with unit interval, post-processed as there, but
    a last one that is shorter does not count, unless it is all that a recording has. Files are left out, with one line
    each, that cannot be read, are shorter than `clips.min_length`, are held out, or are recordings of birds that the
    data set learns from.

    Raises
    ------
    UserError
        If no recording can be used.
    """
    folder = config.testing.noise_folder
    if folder is None:
        return None
    files, unread = noise_files(folder)
    used, known = _without_known(files, split, config)
    ensemble = assemble(members)
    clips = [group.clips for group in ensemble.groups]
    interval = config.testing.interval if unit == "interval" else max(one.length for one in clips)
    found = _Found(max(one.min_length for one in clips))
    _predict(found, used, ensemble, for_unit(config, unit), interval=interval)
    failures = [
        console.Failure(Path(one.name).relative_to(folder).as_posix(), one.reason) for one in (*known, *found.failures)
    ]
    console.report_failures([*unread, *failures], what="recordings of testing.noise_folder")
    if not found.tables:
        raise console.UserError(
            f"{console.printable(folder)}: none of its {len(files)} sound files can be used as noise; {ADVICE}"
        )
    return NoiseScores(np.concatenate(found.tables), interval, found.seconds, len(found.tables))


@dataclass
class _Found:
    """What was predicted so far; recordings that are shorter than `shortest` (seconds) are left out."""

    shortest: float
    tables: list[Float32[np.ndarray, "_ classes"]] = field(default_factory=list)
    seconds: float = 0.0
    failures: list[console.Failure] = field(default_factory=list)


def _predict(found: _Found, files: Sequence[Path], ensemble: Ensemble, config: Config, *, interval: float) -> None:
    def predict_rows(rows: Sequence[int]) -> PredictSome[IntervalPrediction]:
        return partial(predict_intervals_in_memory, files=[files[row] for row in rows], interval=interval)

    tables: dict[int, Float32[np.ndarray, "_ classes"]] = {}
    with (
        console.progress("noise", total=len(files), unit="recordings") as advance,
        closing(predict_on_workers(predict_rows, files, ensemble, config)) as coming,
    ):
        for row, one in coming:
            advance()
            if isinstance(one, console.Failure):
                found.failures.append(console.Failure(str(files[row]), one.reason))
                continue
            starts, ends = interval_times(one.length, interval=interval)
            if one.length.frames < int(found.shortest * one.length.rate):
                reason = f"is {ends[-1]:.2f} s long, shorter than a clip (clips.min_length = {found.shortest:g} s)"
                found.failures.append(console.Failure(str(files[row]), reason))
                continue
            whole = max(1, int((ends - starts > interval - SAME_LENGTH).sum()))
            scores, _ = scores_and_novelty(one, config, classes=len(ensemble.classes))
            tables[row], found.seconds = scores[:whole], found.seconds + float(ends[whole - 1])
    found.tables = [tables[row] for row in sorted(tables)]


def _without_known(
    files: Sequence[Path], split: pl.DataFrame, config: Config
) -> tuple[list[Path], list[console.Failure]]:
    """Leave out files that are held out or recordings of birds, and warn of noise that the data set learns from."""
    used, left_out, learned = list[Path](), list[console.Failure](), list[Path]()
    known, seen = _known_recordings(files, split, config), dict[tuple[int, bytes], list[Path]]()
    for file in files:
        same = seen.setdefault((file.stat().st_size, _start_of(file)), [])
        twin = next((other for other in same if filecmp.cmp(file, other, shallow=False)), None)
        if twin is not None:
            left_out.append(
                console.Failure(str(file), f"has the same content as {twin.name}, and does not count again")
            )
            continue
        same.append(file)
        if file not in known:
            used.append(file)
            continue
        part, label = known[file]
        if part == "train" and label == NOISE:
            learned.append(file)
            used.append(file)
        else:
            reason = f"is held out, in {part}/" if part != "train" else f"is learned as {label or 'annotated birds'}"
            left_out.append(console.Failure(str(file), f"{reason}, and does not count as noise"))
    if learned:
        console.warning(
            f"testing.noise_folder: {len(learned)} of its {len(files)} recordings are learned as {NOISE} "
            f"({learned[0].name}{', …' if len(learned) > 1 else ''}); other noise will have more false alarms"
        )
    return used, left_out


def _known_recordings(files: Sequence[Path], split: pl.DataFrame, config: Config) -> dict[Path, tuple[str, str]]:
    """Return split and class of the files that are recordings of the data set, whatever their names: of equal content.

    Recordings at an address have to have the same name and size.
    """
    sizes = dict(zip(files, [size for size, _ in sizes_and_times(files)], strict=True))
    wanted, by_content = set(sizes.values()), dict[tuple[int, bytes | str], list[tuple[Location, str, str]]]()
    sounds = sounds_at(config.dataset.root, split["file"])
    rows = zip(sounds, sizes_and_times(sounds), split["split"], split["class"], strict=True)
    for sound, (size, _), part, label in sorted(rows, key=lambda row: row[2] != "train"):  # held out counts
        if size in wanted:
            start = _start_of(sound) if isinstance(sound, Path) else name_of_file(sound)
            by_content.setdefault((size, start), []).append((sound, part, label))
    known = {}
    for file, size in sizes.items():
        for key in ((size, _start_of(file)), (size, file.name)) if by_content else ():
            for sound, part, label in by_content.get(key, ()):
                if not isinstance(sound, Path) or filecmp.cmp(file, sound, shallow=False):
                    known[file] = part, label
    return known


def _start_of(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(FIRST_COMPARED)
    except OSError:  # is reported where it is decoded
        return b""
