"""What becomes of pooled scores before they are written: prior, whitelist, calibration; and what is asked for."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Float32

from config import Config
from utils import console
from utils.recordings.audio_files import sounds_below
from utils.recordings.selection import read_whitelist
from utils.scoring.inference.prior import Factors, prior_of
from utils.scoring.inference.prior_metadata import read_all_metadata
from utils.scoring.metrics.calibration import Calibration, read_calibration
from utils.scoring.metrics.thresholds import read_thresholds
from utils.scoring.submissions.parts import Kept

IN_MEMORY = 2**25  # bytes of a table of a recording's finished scores; more are in a file
VALUES = 2**20  # scores that are finished at once
# uncalibrated score of classes that are not asked for: below all others, so that none is called, or stands before
# another
UNWANTED = -1.0
SAMPLED = ("kaggle2021", "kaggle2022")  # formats that a sample submission belongs to
TESTS, SOUNDSCAPES = ("test", "test_audio"), ("soundscapes", "test_soundscapes")  # folders of a data set or its archive

Scores = Float32[np.ndarray, "intervals classes"]


@dataclass(frozen=True)
class Finishing:
    """The way from pooled scores to those that are written.

    Attributes
    ----------
    prior : from the number of a recording to the factors of its scores
    calibration : from scores to probabilities
    wanted : which classes are answered
    """

    prior: Callable[[int], Factors] | None
    calibration: Calibration | None
    wanted: Bool[np.ndarray, " classes"]

    def scores(self, kept: Kept, *, number: int, scratch_in: Path) -> tuple[Scores, Scores]:
        """Return a recording's scores as they are written, 0 to 1, and uncalibrated; those of long recordings lie in files that are gone with them.

        Parameters
        ----------
        number : of the recording
        scratch_in : folder of such files
        """
        pooled, factors = kept.scores, 1.0 if self.prior is None else self.prior(number)
        uncalibrated = _table(pooled.shape, scratch_in)
        same = self.prior is None and self.calibration is None and bool(self.wanted.all())
        written = uncalibrated if same else _table(pooled.shape, scratch_in)
        size = max(1, VALUES // max(1, pooled.shape[1]))
        for first in range(0, len(pooled), size):
            rows = slice(first, first + size)
            uncalibrated[rows] = np.where(self.wanted, pooled[rows].astype(np.float64) * factors, UNWANTED)
            if not same:
                written[rows] = np.where(self.wanted, self._probabilities(uncalibrated[rows].astype(np.float64)), 0.0)
        return written, uncalibrated

    def _probabilities(self, scores: Float[np.ndarray, "intervals classes"]) -> Float[np.ndarray, "intervals classes"]:
        scores = scores.clip(0.0, 1.0)
        return scores if self.calibration is None else self.calibration.apply(scores)


def _table(shape: tuple[int, ...], scratch_in: Path) -> Scores:
    if 4 * math.prod(shape) <= IN_MEMORY:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile(dir=scratch_in) as file:  # its bytes live as long as the array
        return np.memmap(file, np.float32, shape=shape)


def finishing_of(
    classes: Sequence[str], files: Sequence[str], calibration: Calibration | None, config: Config
) -> Finishing:
    """Return the way from pooled scores to those that are written.

    Parameters
    ----------
    classes : of the ensemble
    files : the recordings, below their folder

    Raises
    ------
    UserError
        If the prior or the whitelist cannot be read, or does not fit.
    """
    names = names_of(files)
    prior = prior_of(
        pl.DataFrame({"recording": names, "file": list(files)}, schema={"recording": pl.String, "file": pl.String}),
        classes,
        config,
    )
    by_number = None if prior is None else (lambda number, prior=prior: prior(names[number]))
    return Finishing(by_number, calibration, _wanted(classes, config))


def names_of(files: Sequence[str]) -> list[str]:
    """Name recordings as tables and metadata know them: by the stem of their file, or, where several have one stem, by their path."""
    stems = [Path(file).stem for file in files]
    many = {stem for stem, before in zip(sorted(stems)[1:], sorted(stems), strict=False) if stem == before}
    return [
        Path(file).with_suffix("").as_posix() if stem in many else stem for file, stem in zip(files, stems, strict=True)
    ]


def _wanted(classes: Sequence[str], config: Config) -> Bool[np.ndarray, " classes"]:
    settings = config.submission
    if settings.whitelist is None:
        return np.ones(len(classes), bool)
    species = read_whitelist(
        settings.whitelist, read_all_metadata(config.dataset, set()).taxonomy, frequency=settings.whitelist_frequency
    )
    wanted = np.array([label in species for label in classes], bool)
    if not wanted.any():
        raise console.UserError(
            f"{settings.whitelist}: names none of the {len(classes)} classes; where it has codes, set dataset.taxonomy to a table of their names"
        )
    unknown = len(species - set(classes))
    if unknown:
        console.warn(
            f"{settings.whitelist}: {unknown} of its {len(species)} species are not known to the nets, and are not answered"
        )
    return wanted


@dataclass(frozen=True)
class Found:
    """What a test found, as far as it is used.

    Attributes
    ----------
    thresholds : from which uncalibrated score on each class is said; infinite where it never is, and None where the run
        was not tested
    calibration : from scores to probabilities, where it is asked for
    """

    thresholds: Float[np.ndarray, " classes"] | None
    calibration: Calibration | None


def found_by_test(classes: Sequence[str], config: Config, *, fingerprint: str) -> Found:
    """Read what a test found; warn, in one line, where it tested other nets or settings.

    Parameters
    ----------
    classes : of the ensemble
    fingerprint : of what answers, of `fingerprint_of_scores`

    Raises
    ------
    UserError
        If the thresholds or the calibration cannot be read, or are of other classes.
    """
    tested, chosen, kept = config.run_folder / "test", None, dict[Path, str | None]()
    path = config.submission.thresholds or tested / "thresholds.json"
    if config.submission.thresholds is None and not path.is_file():
        console.warn(
            f"{path}: no such file, and so no thresholds; test.py finds them, or name others as submission.thresholds"
        )
    else:
        thresholds = read_thresholds(path, classes)
        chosen = np.array([np.inf if value is None else value for value in thresholds.values])
        kept[path] = thresholds.fingerprint
    calibration = read_calibration(tested / "calibration.json") if config.testing.calibration != "none" else None
    if calibration:
        kept[tested / "calibration.json"] = calibration.fingerprint
    others = [console.shown(file) for file, of in kept.items() if of != fingerprint]
    if others:
        console.warn(
            f"{' and '.join(others)}: found by a test of other nets, weights, pooling, sharpness or prior, or by an earlier version; "
            "run test.py again with the same testing settings"
        )
    return Found(chosen, calibration)


def recordings_of(config: Config, *, long: bool) -> tuple[Path, list[Path]]:
    """Return the folder of the recordings that are to be answered, and these, sorted by their paths.

    Parameters
    ----------
    long : where no folder is named, whether soundscapes are looked for first, or test recordings

    Raises
    ------
    UserError
        If there are none. A folder that is there and holds none is all right where a sample says which rows are wanted:
        Kaggle's are filled when a submission is scored.
    """
    named, archive = config.submission.recordings, config.dataset.archive
    homes = [config.dataset.root, *([archive] if archive else [])]
    usual = [home / name for name in ((*SOUNDSCAPES, *TESTS) if long else (*TESTS, *SOUNDSCAPES)) for home in homes]
    for folder in [named] if named else usual:
        files = sorted(sounds_below(folder), key=lambda file: file.relative_to(folder).as_posix())
        if files:
            return folder, files
    empty = next((folder for folder in ([named] if named else usual) if folder.is_dir()), None)
    sampled = config.submission.format in SAMPLED
    if empty and sampled and config.submission.sample:
        console.warn(
            f"{console.shown(empty)}: holds no recordings, so that all rows of {config.submission.sample} are of intervals without predictions"
        )
        return empty, []
    if named:
        raise console.UserError(
            f"submission.recordings = {named}: {f'holds no recordings{_way_out(config)}' if empty else 'no such folder'}"
        )
    raise console.UserError(
        f"no recordings to answer in {' or '.join(map(console.shown, usual))}; name their folder as submission.recordings{_way_out(config) if empty else ''}"
    )


def _way_out(config: Config) -> str:
    if config.submission.format not in SAMPLED:
        return ""
    return "; with submission.sample = sample_submission.csv, its rows are written all the same, as a notebook needs that is saved before it is scored"
