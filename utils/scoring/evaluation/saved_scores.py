"""What a test saved of a run, read and checked: all scores, the ground truth, and the primary label of each row."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from utils.console import UserError
from utils.recordings.recording import NOISE
from utils.scoring.evaluation.false_detections import NOISE_COLUMNS
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.thresholds import Thresholds, read_thresholds
from utils.scoring.metrics.units import Unit
from utils.tables import read_table

SCORES = {"recording": pl.String(), "class": pl.String(), "score": pl.Float32(), "right": pl.Boolean()}
SCORE_COLUMN = "score: "  # and a class: a column of scores.parquet for intervals and events
LABELS = pl.List(pl.String())
ROW_SCORES = {
    "recording": pl.String(),
    "start": pl.Float64(),
    "end": pl.Float64(),
    "class": pl.String(),
    "correct": LABELS,
}
PRIMARY_LABELS = {"recording": pl.String(), "class": pl.String()}
# columns that earlier versions did not write: detections, and (intervals and events) species that no class stands for
LATER = {"detected": pl.Boolean()}
ROW_LATER = {"detected": LABELS, "unknown": LABELS}
TEST_FIRST, TEST_AGAIN = "run test.py for this run first", "run test.py for this run again"
EARLIER_VERSION = "tested by an earlier version, which did not save what they need; run test.py again"
NO_OTHER_RECORDINGS = "too few recordings for thresholds from others"


@dataclass(frozen=True)
class SavedScores:
    """What the test of a run saved, rows and classes in the order of their names.

    Attributes
    ----------
    unit : what a row is
    rows : name of each row: of a recording, with the time of an interval or event
    recordings : name of each row's recording
    primary : primary label of each row; '' if it has none
    truth : which classes are correct
    min_positives : from the settings of the test
    detected : which classes are detected, by thresholds that were found on other recordings; None: not known
    without_detections : why that is not known
    unknown : intervals and events: the correct species of each row that no class stands for; None: not known, or
        recordings
    thresholds : what the thresholds were chosen for, in a few words
    noise : table of `NOISE_COLUMNS`; None: no recordings without birds were tested, or an earlier version tested them
    """

    unit: Unit
    rows: list[str]
    recordings: list[str]
    primary: list[str]
    classes: list[str]
    scores: Float[np.ndarray, "rows classes"]
    truth: Bool[np.ndarray, "rows classes"]
    min_positives: int
    detected: Bool[np.ndarray, "rows classes"] | None = None
    without_detections: str = EARLIER_VERSION
    unknown: list[list[str]] | None = None
    thresholds: str = ""
    noise: pl.DataFrame | None = None

    def only(self, rows: Collection[str]) -> "SavedScores":
        """Return some of the rows, by name."""
        chosen = [index for index, name in enumerate(self.rows) if name in rows]
        names, recordings, primary = (
            [values[index] for index in chosen] for values in (self.rows, self.recordings, self.primary)
        )
        return replace(
            self,
            rows=names,
            recordings=recordings,
            primary=primary,
            scores=self.scores[chosen],
            truth=self.truth[chosen],
            detected=None if self.detected is None else self.detected[chosen],
            unknown=None if self.unknown is None else [self.unknown[index] for index in chosen],
        )


def read_scores(folder: Path) -> SavedScores:
    """Read what the test of a run saved.

    Parameters
    ----------
    folder : of the run, such as snapshots/demo

    Raises
    ------
    UserError
        If the run was not tested, or a file is not as a test writes it.
    """
    path = folder / "test" / "scores.parquet"
    columns = _columns_of(path)
    saved = _read_wide(path, columns) if "start" in columns else _read_long(path, columns)
    thresholds = read_thresholds(folder / "test" / "thresholds.json", saved.classes)
    noise = _read_noise(folder / "test" / "noise.parquet")
    return replace(saved, min_positives=thresholds.min_positives, thresholds=_chosen_for(thresholds), noise=noise)


def _read_noise(path: Path) -> pl.DataFrame | None:
    if not path.is_file():
        return None
    table = read_table(path, NOISE_COLUMNS, missing=TEST_FIRST, damaged=TEST_AGAIN)
    possible = (pl.col("clips") > 0) & pl.col("detected").is_between(0, pl.col("clips"))
    if table["recording"].is_duplicated().any() or not table.select(possible.fill_null(value=False).all()).item():
        raise UserError(f"{path}: holds impossible counts; {TEST_AGAIN}")
    return table


def _chosen_for(thresholds: Thresholds) -> str:
    """Return what thresholds were chosen for, in a few words."""
    if thresholds.method == "precision":
        wanted = f"a precision of {thresholds.precision or 0:g}"
    else:
        wanted = METRICS["micro_f1" if thresholds.method == "f1" else thresholds.method].title
    return wanted + (" per class" if any(thresholds.per_class) else "")


def _columns_of(path: Path) -> list[str]:
    """Return the names of a file's columns; nothing if it cannot be read, which `read_table` reports."""
    with suppress(OSError, pl.exceptions.PolarsError), path.open("rb") as stream:
        return list(pl.read_parquet_schema(stream))
    return []


def _read_long(path: Path, names_of_columns: Sequence[str]) -> SavedScores:
    """Read the scores of recordings."""
    later = dict.fromkeys(LATER)
    scores = read_table(path, SCORES | LATER, missing=TEST_FIRST, damaged=TEST_AGAIN, later=later)
    _check_scores(path, scores)
    primary = _read_primary(path.with_name("predictions.csv"), set(scores["recording"]))
    scores = scores.sort("recording", "class")
    names, classes = (scores[name].unique().sort().to_list() for name in ("recording", "class"))

    def matrix(name: str) -> Any:
        return scores[name].to_numpy().reshape(len(names), len(classes))

    return SavedScores(
        "recording",
        names,
        names,
        [primary[name] for name in names],
        classes,
        matrix("score").astype(np.float64),
        matrix("right"),
        min_positives=1,
        detected=None if scores["detected"].null_count() else matrix("detected"),
        without_detections=_why_without(names_of_columns),
    )


def _why_without(names_of_columns: Sequence[str]) -> str:
    return NO_OTHER_RECORDINGS if "detected" in names_of_columns else EARLIER_VERSION


def _read_wide(path: Path, names_of_columns: Sequence[str]) -> SavedScores:
    """Read the scores of intervals or events."""
    columns = sorted(name for name in names_of_columns if name.startswith(SCORE_COLUMN))
    classes = [name.removeprefix(SCORE_COLUMN) for name in columns]
    schema = {**ROW_SCORES, **ROW_LATER, **dict.fromkeys(columns, pl.Float32())}
    later = dict.fromkeys(ROW_LATER)
    table = read_table(path, schema, missing=TEST_FIRST, damaged=TEST_AGAIN, later=later)
    unit: Unit = "interval" if table["class"].is_in(["", NOISE]).all() else "event"
    names = [
        ", ".join(part for part in (name, f"{start} to {end} s", label if unit == "event" else "") if part)
        for name, start, end, label in table.select("recording", "start", "end", "class").iter_rows()
    ]
    empty = any(table[name].null_count() for name in (*ROW_SCORES, *columns))
    if empty or any(_is_partly_empty(table[name]) for name in ROW_LATER) or len(set(names)) < len(names):
        raise UserError(f"{path}: has empty fields, or a row twice; {TEST_AGAIN}")
    order = sorted(range(len(names)), key=names.__getitem__)
    table = table[order]
    scores = table.select(columns).to_numpy()
    if not np.isfinite(scores).all():
        raise UserError(f"{path}: a score is NaN or infinite; {TEST_AGAIN}")
    known = {name: None if table[name].null_count() else table[name].to_list() for name in ROW_LATER}
    return SavedScores(
        unit,
        [names[row] for row in order],
        table["recording"].to_list(),
        table["class"].to_list(),
        classes,
        scores,
        _flags(table["correct"].to_list(), classes),
        min_positives=1,
        detected=None if known["detected"] is None else _flags(known["detected"], classes),
        without_detections=_why_without(names_of_columns),
        unknown=known["unknown"],
    )


def _is_partly_empty(column: pl.Series) -> bool:
    """Tell whether some fields are empty but not all: what is not known is empty in all rows."""
    return 0 < column.null_count() < len(column)


def _flags(labels_of_rows: Sequence[Sequence[str]], classes: Sequence[str]) -> Bool[np.ndarray, "rows classes"]:
    """Return which classes are named in each row."""
    indices = {label: index for index, label in enumerate(classes)}
    flags = np.zeros((len(labels_of_rows), len(classes)), bool)
    for row, labels in enumerate(labels_of_rows):
        flags[row, [indices[label] for label in labels if label in indices]] = True
    return flags


def _check_scores(path: Path, scores: pl.DataFrame) -> None:
    """Refuse scores from which no metrics can be computed."""
    pairs = scores["recording"].n_unique() * scores["class"].n_unique()
    faults = {
        "has empty fields": any(scores[name].null_count() for name in SCORES)
        or any(_is_partly_empty(scores[name]) for name in LATER),
        "a score is NaN or infinite": not scores["score"].is_finite().all(),
        "does not have one score for each recording and class": len(scores) != pairs
        or scores.select("recording", "class").is_duplicated().any(),
    }
    for fault, found in faults.items():
        if found:
            raise UserError(f"{path}: {fault}; {TEST_AGAIN}")


def _read_primary(path: Path, scored: set[str]) -> dict[str, str]:
    """Return the primary label of each recording; each scored recording must be listed, and the last line complete."""
    try:
        content = path.read_bytes()
        table = pl.read_csv(content, columns=list(PRIMARY_LABELS), schema_overrides=PRIMARY_LABELS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())}); {TEST_AGAIN}") from None
    primary = dict(table.with_columns(pl.col("class").fill_null("")).iter_rows())
    if not content.endswith(b"\n") or len(primary) != len(table) or not scored <= primary.keys():
        raise UserError(f"{path}: does not have one complete line for each recording of scores.parquet; {TEST_AGAIN}")
    return primary
