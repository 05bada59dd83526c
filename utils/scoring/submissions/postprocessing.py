"""Postprocessing: from pooled scores to those that are written, by rules of intervals, metadata, prior and others."""

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Float16, Float32

from config import Config, IntervalRules
from utils import console
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.selection import read_whitelist
from utils.scoring.inference.interval_rules import NO_RULES, with_rules
from utils.scoring.inference.metadata_blend import Blend, blend_of, is_blended
from utils.scoring.inference.places import read_places
from utils.scoring.inference.prior import Factors, prior_of, uses_places
from utils.scoring.inference.prior_metadata import read_all_metadata
from utils.scoring.metrics.calibration import Calibration
from utils.scoring.submissions.score_parts import PartScores

TABLE_IN_MEMORY = 2**25  # bytes of the postprocessed scores of a recording; larger tables are in a file
SCORES_AT_ONCE = 2**20  # scores that are postprocessed at once
# uncalibrated score of classes that are not on the whitelist: below all others, so that none is detected, or comes
# before another
UNWANTED = -1.0

IntervalTable = Float32[np.ndarray, "intervals classes"]


@dataclass(frozen=True)
class Postprocessing:
    """From pooled scores to those that are written, in this order: rules, blend, prior, whitelist, calibration.

    Attributes
    ----------
    prior : from the index of a recording to the factors of its scores
    calibration : from scores to probabilities
    wanted : which classes are on the whitelist
    unused : rows of `submission.places` that are not used, and why
    blend : from the index of a recording to what the metadata classifier adds
    rules : how the scores of a recording's intervals change each other
    """

    prior: Callable[[int], Factors] | None
    calibration: Calibration | None
    wanted: Bool[np.ndarray, " classes"]
    unused: tuple[console.Failure, ...] = ()
    blend: Callable[[int], Blend] | None = None
    rules: IntervalRules = NO_RULES

    def scores(self, part: PartScores, *, index: int, scratch_in: Path) -> tuple[IntervalTable, IntervalTable]:
        """Return a recording's scores as written, 0 to 1, and uncalibrated; large tables are in temporary files.

        Parameters
        ----------
        index : of the recording
        scratch_in : folder of such files, which live as long as the arrays
        """
        uncalibrated = _empty_table(part.scores.shape, scratch_in)
        same = not (self.prior or self.blend or self.calibration) and bool(self.wanted.all())
        written = uncalibrated if same else _empty_table(part.scores.shape, scratch_in)
        first = 0
        for table in self.uncalibrated(part, index=index):
            rows = slice(first, first + len(table))
            uncalibrated[rows] = table
            if not same:
                written[rows] = np.where(self.wanted, self._probabilities(table.astype(np.float64)), 0.0)
            first += len(table)
        return written, uncalibrated

    def uncalibrated(self, part: PartScores, *, index: int) -> Iterator[IntervalTable]:
        """Yield a recording's uncalibrated scores, so many intervals at once as need little memory."""
        return self._with_metadata(with_rules(part.scores, self.rules, at_once=SCORES_AT_ONCE), index=index)

    def of_cells(self, cells: Float16[np.ndarray, "cells classes"], *, index: int) -> Iterator[IntervalTable]:
        """Yield the uncalibrated scores of a recording's cells: blend, prior and whitelist are those of its intervals.

        Rules are for intervals only.
        """
        return self._with_metadata(with_rules(cells, NO_RULES, at_once=SCORES_AT_ONCE), index=index)

    def _with_metadata(self, tables: Iterator[IntervalTable], *, index: int) -> Iterator[IntervalTable]:
        factors = 1.0 if self.prior is None else self.prior(index)
        blended = self.blend(index).blended if self.blend else np.asarray
        for pooled in tables:
            scores = blended(pooled).astype(np.float64) * factors
            yield np.where(self.wanted, scores, UNWANTED).astype(np.float32)

    def _probabilities(self, scores: Float[np.ndarray, "intervals classes"]) -> Float[np.ndarray, "intervals classes"]:
        scores = scores.clip(0.0, 1.0)
        return scores if self.calibration is None else self.calibration.apply(scores)


def _empty_table(shape: tuple[int, ...], scratch_in: Path) -> IntervalTable:
    if 4 * math.prod(shape) <= TABLE_IN_MEMORY:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile(dir=scratch_in) as file:  # its bytes live as long as the array
        return np.memmap(file, np.float32, shape=shape)


def postprocessing_of(
    classes: Sequence[str],
    files: Sequence[str],
    calibration: Calibration | None,
    config: Config,
    recorders: Sequence[RecorderMetadata] | None = None,
) -> Postprocessing:
    """Return the postprocessing of a submission.

    Parameters
    ----------
    classes : of the ensemble
    files : the recordings, relative to their folder
    recorders : what recorders wrote about them; None: only what the names of their files tell

    Raises
    ------
    UserError
        If the prior, the metadata classifier, the table of places or the whitelist cannot be read, or does not fit.
    """
    names = recording_names(files)
    places = read_places(names, files, config, recorders) if needs_places(config) else None
    if config.submission.places and places is None:
        console.warning(
            "submission.places is not used: only a table of eBird frequencies as testing.prior, or testing.metadata, "
            "needs it"
        )
    recordings = {"recording": names, "file": list(files)}
    table = pl.DataFrame(recordings, schema={"recording": pl.String, "file": pl.String})
    prior = prior_of(table, classes, config, places=places)
    by_index = None if prior is None else (lambda index, prior=prior: prior(names[index]))
    blend = blend_of(table, classes, config, places=places)
    of_metadata = None if blend is None else (lambda index, blend=blend: blend(names[index]))
    unused = () if places is None else places.failures
    rules = config.testing.postprocessing
    return Postprocessing(by_index, calibration, _on_whitelist(classes, config), unused, of_metadata, rules)


def needs_places(config: Config) -> bool:
    """Tell whether scores depend on where and when recordings were made.

    Raises
    ------
    UserError
        If the prior cannot be read.
    """
    return uses_places(config) or is_blended(config.testing)


def recording_names(files: Sequence[str]) -> list[str]:
    """Return the names of recordings in tables and metadata: the stem of the file, or its path if stems repeat."""
    stems = [Path(file).stem for file in files]
    repeated = {stem for stem, before in zip(sorted(stems)[1:], sorted(stems), strict=False) if stem == before}
    return [
        Path(file).with_suffix("").as_posix() if stem in repeated else stem
        for file, stem in zip(files, stems, strict=True)
    ]


def _on_whitelist(classes: Sequence[str], config: Config) -> Bool[np.ndarray, " classes"]:
    settings = config.submission
    if settings.whitelist is None:
        return np.ones(len(classes), bool)
    species = read_whitelist(
        settings.whitelist, read_all_metadata(config.dataset, set()).taxonomy, frequency=settings.whitelist_frequency
    )
    wanted = np.array([label in species for label in classes], bool)
    if not wanted.any():
        raise console.UserError(
            f"{settings.whitelist}: names none of the {len(classes)} classes; "
            "if it has codes, set dataset.taxonomy to a table of their names"
        )
    unknown = len(species - set(classes))
    if unknown:
        console.warning(
            f"{settings.whitelist}: the model does not know {unknown} of its {len(species)} species, which are left out"
        )
    return wanted
