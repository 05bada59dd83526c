"""What a test saved of a run, read and checked: all scores, the ground truth, and the primary label of each row."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from utils.console import UserError
from utils.recordings.recording import NOISE
from utils.scoring.metrics.thresholds import read_thresholds
from utils.scoring.metrics.units import Unit
from utils.tables import read_table

SCORES = {"recording": pl.String(), "class": pl.String(), "score": pl.Float32(), "right": pl.Boolean()}
SCORE_COLUMN = "score: "  # and a class: a column of scores.parquet for intervals and events
ROW_SCORES = {
    "recording": pl.String(),
    "start": pl.Float64(),
    "end": pl.Float64(),
    "class": pl.String(),
    "correct": pl.List(pl.String()),
}
PRIMARY_LABELS = {"recording": pl.String(), "class": pl.String()}
TEST_FIRST, TEST_AGAIN = "run test.py for this run first", "run test.py for this run again"


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
    """

    unit: Unit
    rows: list[str]
    recordings: list[str]
    primary: list[str]
    classes: list[str]
    scores: Float[np.ndarray, "rows classes"]
    truth: Bool[np.ndarray, "rows classes"]
    min_positives: int

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
    min_positives = read_thresholds(folder / "test" / "thresholds.json", ()).min_positives if path.is_file() else 1
    columns = _columns_of(path)
    if "start" in columns:
        return _read_wide(path, columns, min_positives)
    scores = read_table(path, SCORES, missing=TEST_FIRST, damaged=TEST_AGAIN)
    _check_scores(path, scores)
    primary = _read_primary(folder / "test" / "predictions.csv", set(scores["recording"]))
    names, classes, values, truth = _score_matrices(scores)
    return SavedScores(
        "recording", names, names, [primary[name] for name in names], classes, values, truth, min_positives
    )


def _columns_of(path: Path) -> list[str]:
    """Return the names of a file's columns; nothing if it cannot be read, which `read_table` reports."""
    with suppress(OSError, pl.exceptions.PolarsError), path.open("rb") as stream:
        return list(pl.read_parquet_schema(stream))
    return []


def _read_wide(path: Path, names_of_columns: Sequence[str], min_positives: int) -> SavedScores:
    """Read the scores of intervals or events."""
    columns = sorted(name for name in names_of_columns if name.startswith(SCORE_COLUMN))
    classes = [name.removeprefix(SCORE_COLUMN) for name in columns]
    schema = {**ROW_SCORES, **dict.fromkeys(columns, pl.Float32())}
    table = read_table(path, schema, missing=TEST_FIRST, damaged=TEST_AGAIN)
    unit: Unit = "interval" if table["class"].is_in(["", NOISE]).all() else "event"
    names = [
        ", ".join(part for part in (name, f"{start} to {end} s", label if unit == "event" else "") if part)
        for name, start, end, label in table.select("recording", "start", "end", "class").iter_rows()
    ]
    if any(table[name].null_count() for name in (*ROW_SCORES, *columns)) or len(set(names)) < len(names):
        raise UserError(f"{path}: has empty fields, or a row twice; {TEST_AGAIN}")
    order = sorted(range(len(names)), key=names.__getitem__)
    table = table[order]
    indices = {label: index for index, label in enumerate(classes)}
    truth = np.zeros((len(table), len(classes)), bool)
    for row, labels in enumerate(table["correct"].to_list()):
        truth[row, [indices[label] for label in labels if label in indices]] = True
    scores = table.select(columns).to_numpy()
    if not np.isfinite(scores).all():
        raise UserError(f"{path}: a score is NaN or infinite; {TEST_AGAIN}")
    primary, recordings = table["class"].to_list(), table["recording"].to_list()
    return SavedScores(unit, [names[row] for row in order], recordings, primary, classes, scores, truth, min_positives)


def _check_scores(path: Path, scores: pl.DataFrame) -> None:
    """Refuse scores from which no metrics can be computed."""
    pairs = scores["recording"].n_unique() * scores["class"].n_unique()
    faults = {
        "has empty fields": any(column.null_count() for column in scores),
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


def _score_matrices(
    scores: pl.DataFrame,
) -> tuple[list[str], list[str], Float[np.ndarray, "recordings classes"], Bool[np.ndarray, "recordings classes"]]:
    """Return recordings and classes in the order of their names, the scores, and which classes are correct.

    Parameters
    ----------
    scores : table of SCORES that has each class of each recording once
    """
    table = scores.sort("recording", "class")
    recordings, classes = (table[name].unique().sort().to_list() for name in ("recording", "class"))
    values, truth = (table[name].to_numpy().reshape(len(recordings), len(classes)) for name in ("score", "right"))
    return recordings, classes, values.astype(np.float64), truth
