"""What a submission is written from besides the scores, and the names and times in its rows."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from config import Submission
from utils.console import UserError
from utils.formula_cells import defused, restored
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.metrics.detection_rule import DetectionRule

DIGITS = 6  # decimals of a score
SAME_TIME = 1e-6  # seconds; less than a sample of any recording: times that differ by it are the same


class SpeciesName(NamedTuple):
    """The names of a class; `common` is '' if it is not known."""

    scientific: str
    common: str = ""

    @property
    def shown(self) -> str:
        """The common name, or the scientific one: programs that group rows by it would mix the species otherwise."""
        return self.common or self.scientific


@dataclass(frozen=True)
class SubmissionLayout:
    """What a submission is written from, besides the scores.

    Attributes
    ----------
    classes : the columns of the scores
    settings : format, class ids, sample, …
    root : the data set's folder, whose metadata/ may have class ids
    recordings : the folder of the recordings
    class_thresholds : the uncalibrated score from which each class is detected; NaN or infinite: never. None: there are
        none, and `settings.min_score` counts
    files : all recordings of the submission, also those that cannot be read, relative to `recordings`
    monophone : whether each recording is one interval, and its best classes are wanted
    shared : the rule of `submission.dynamic = share`, which is known once all recordings have scores
    novelty : whether intervals have a novelty
    recorders : what recorders wrote about the recordings, by their files
    zone : in which local times are given; None: as the recorders' clocks showed them
    time_digits : decimals of times in tables of detections
    events : whether rows are events, not intervals
    taxonomy : a table of species, which may tell their common names
    names : of the classes; None: not read yet
    model : the name of the model, or of several
    defuse : whether cells that a spreadsheet would run as a formula are written with an apostrophe in front
    """

    classes: tuple[str, ...]
    settings: Submission
    root: Path
    recordings: Path
    class_thresholds: Float[np.ndarray, " classes"] | None
    files: tuple[str, ...]
    monophone: bool = False
    shared: DetectionRule | None = None
    novelty: bool = False
    recorders: Mapping[str, RecorderMetadata] = field(default_factory=dict)
    zone: tzinfo | None = None
    time_digits: int = 6
    events: bool = False
    taxonomy: Path | None = None
    names: tuple[SpeciesName, ...] | None = None
    model: str = ""
    defuse: bool = False

    def cell(self, text: str) -> str:
        """Return a text as it is written into a cell."""
        return defused(text) if self.defuse else text

    def text(self, cell: str) -> str:
        """Return the text of a cell that was written so."""
        return restored(cell) if self.defuse else cell

    @property
    def rule(self) -> DetectionRule:
        """Which classes are detected in which intervals, as `settings.dynamic` says.

        Raises
        ------
        ValueError
            If that depends on all recordings, and they are not known yet.
        """
        if self.settings.dynamic == "recording":
            return DetectionRule(self.thresholds, factor=self.settings.dynamic_factor)
        if self.settings.dynamic == "off":
            return DetectionRule(self.thresholds)
        if self.shared is None:
            raise ValueError("submission.dynamic = share: the threshold is found when all recordings have scores")
        return self.shared

    @property
    def thresholds(self) -> Float[np.ndarray, " classes"] | float:
        """The uncalibrated score from which a class is detected, whatever the calibration."""
        return self.settings.min_score if self.class_thresholds is None else self.class_thresholds


@dataclass(frozen=True)
class IdRules:
    """How a challenge names recordings and classes in its rows.

    Attributes
    ----------
    media_pattern : finds the id of a recording in its file's name; empty: the id is the name without extension
    quoting : whether ids can be quoted; if not, semicolons, quotation marks and control characters become `_`
    class_names : whether a class without an id is named by its label; if not, it is left out
    """

    media_pattern: str = ""
    quoting: bool = True
    class_names: bool = True


def usable(results: Iterable[IntervalScores], layout: SubmissionLayout) -> Iterator[IntervalScores]:
    """Yield the recordings that could be used, after a check of their scores and times.

    Raises
    ------
    ValueError
        If scores have another shape or are not from 0 to 1, or intervals are empty or overlap.
    """
    for one in results:
        if one.reason is not None:
            continue
        shape = len(one.starts), len(layout.classes)
        if (
            {one.scores.shape, one.uncalibrated.shape} != {shape}
            or len(one.starts) != len(one.ends)
            or len(one.starts) == 0
        ):
            raise ValueError(
                f"{one.file}: scores have the shape {one.scores.shape}, "
                f"for {len(one.starts)} intervals and {len(layout.classes)} classes"
            )
        if not (np.isfinite(one.scores).all() and one.scores.min(initial=0) >= 0 and one.scores.max(initial=0) <= 1):
            raise ValueError(f"{one.file}: a score is not from 0 to 1")
        if (one.ends <= one.starts).any() or (one.starts[1:] < one.ends[:-1] - SAME_TIME).any():
            raise ValueError(f"{one.file}: intervals are empty or overlap")
        if layout.monophone and len(one.starts) > 1:
            raise ValueError(f"{one.file}: has {len(one.starts)} intervals, but a monophone recording is one")
        yield one


def whole_seconds(one: IntervalScores, layout: SubmissionLayout) -> list[tuple[int, int]]:
    """Return start and end of each interval in whole seconds, the last end rounded up.

    Raises
    ------
    UserError
        If an interval starts within a second, which the format cannot express.
    """
    times = [
        (math.floor(start + SAME_TIME), math.ceil(end - SAME_TIME))
        for start, end in zip(one.starts.tolist(), one.ends.tolist(), strict=True)
    ]
    if any(before[1] > after[0] for before, after in pairwise(times)):
        raise UserError(f"submission.interval should be whole seconds; {layout.settings.format} cannot express others")
    return times


def media_ids(layout: SubmissionLayout, rules: IdRules) -> dict[str, str]:
    """Return the id of each recording in a challenge's rows, by its file.

    It is what `submission.media_pattern` finds in the file's name; without one what the challenge's pattern finds, else
    the name without extension.

    Raises
    ------
    UserError
        If the pattern does not match a file, or two recordings would have the same id.
    """
    given = layout.settings.media_pattern
    names = {file: PurePosixPath(file) for file in layout.files}
    found = {file: re.search(given or rules.media_pattern or "$^", path.name) for file, path in names.items()}
    unmatched = [file for file in layout.files if given and not (found[file] and (found[file] or [""])[1])]
    if unmatched:
        more = f" and {len(unmatched) - 1} more" if len(unmatched) > 1 else ""
        raise UserError(
            f"submission.media_pattern = {given!r}: does not match {unmatched[0]}{more}; "
            "'' takes the challenge's pattern, else the name without extension"
        )
    ids = {file: match[1] if (match := found[file]) else path.stem for file, path in names.items()}
    if not rules.quoting:
        ids = {file: unquotable(name) for file, name in ids.items()}
    owners: dict[str, str] = {}
    for file, name in ids.items():
        if owners.setdefault(name, file) != file:
            raise UserError(
                f"{owners[name]} and {file} would both have the id {name} in the submission; "
                "choose a submission.media_pattern that tells them apart"
            )
    return ids


def unquotable(name: str) -> str:
    """Return a name for files without quoting: semicolons, quotation marks and control characters become `_`."""
    return re.sub(r'[;"\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]', "_", name).strip() or "_"


def tab_cell(text: str) -> str:
    """Return a text for a cell between tabs, where nothing can be quoted.

    Control characters become spaces. Raven and Audacity take quotation marks literally, but R and spreadsheets start a
    quotation with one at the start of a cell: in such a text all become apostrophes.
    """
    plain = re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", text).strip()
    return plain.replace('"', "'") if plain.startswith('"') else plain
