"""A table of common thresholds: how good each is, how sure that is, and how flat the maximum."""

from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Float32, Int64

from utils.scoring.metrics.bootstrap import Draws, interval
from utils.scoring.metrics.ranking import check_scores
from utils.scoring.metrics.row_thresholds import Unknown, best_row_threshold, row_counts
from utils.scoring.metrics.thresholds import curve_of

MOST_THRESHOLDS = 200  # rows of the table
NEIGHBOURS = 2  # thresholds on each side of a best one that are always in the table
AS_GOOD = 0.01  # a difference of F1 that matters to nobody
F1_COLUMNS = ("micro_f1", "row_f1")
THRESHOLD_TABLE_SCHEMA = {
    "threshold": pl.Float64,
    **{
        f"{name}{ending}": kind
        for name in F1_COLUMNS
        for ending, kind in (("", pl.Float64), ("_low", pl.Float64), ("_high", pl.Float64), ("_as_good", pl.Boolean))
    },
    "micro_precision": pl.Float64,
    "micro_recall": pl.Float64,
    "rows_detected": pl.Float64,
    "best": pl.String,
}


class _Counts(NamedTuple):
    """Sums over the rows of each recording, at each threshold."""

    hits: Float32[np.ndarray, "recordings thresholds"]
    detected: Float32[np.ndarray, "recordings thresholds"]
    row_f1: Float32[np.ndarray, "recordings thresholds"]
    not_empty: Float32[np.ndarray, "recordings thresholds"]
    present: Float32[np.ndarray, "recordings 1"]
    rows: Float32[np.ndarray, "recordings 1"]


def threshold_table(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    draws: Draws,
    *,
    unknown: Unknown = None,
    precision: float | None = None,
) -> pl.DataFrame:
    """Return one row for each of at most `MOST_THRESHOLDS` common thresholds, rising; no row if no pair is true.

    - threshold: all scores but the lowest, if they are few; else a choice of them, in which the best ones and their
      neighbours are always included
    - micro_f1, row_f1: over all pairs, and the mean over rows with nocall; with `_low` and `_high`, their 95% intervals
      over recordings, null if there is only one recording
    - micro_f1_as_good, row_f1_as_good: whether the F1 is at most `AS_GOOD` below the best, or the 95% interval of the
      difference, over the same draws, includes 0
    - micro_precision, micro_recall; rows_detected: share of rows in which something is detected
    - best: by what the threshold is the best of all possible ones: 'micro_f1', 'row_f1', 'precision', several of these
      with spaces between them, or ''. None is the best by row_f1 if it is as good to detect nothing

    Parameters
    ----------
    unknown : number of true labels of each row that are no class: they count as missed
    precision : wanted share of correct detections, for the threshold with the highest recall; None: not wanted

    Raises
    ------
    ValueError
        If a score is not finite, or shapes differ.
    """
    check_scores(scores, truth)
    curve = curve_of(scores.ravel(), truth.ravel(), unknown=0 if unknown is None else int(unknown.sum()))
    if not len(curve.thresholds):
        return pl.DataFrame(schema=THRESHOLD_TABLE_SCHEMA)
    points = {"micro_f1": curve.best(precision=None)}
    if precision is not None:
        points["precision"] = curve.best(precision=precision)
    best = {name: float(curve.thresholds[point]) for name, point in points.items() if point is not None}
    by_rows = best_row_threshold(scores, truth, unknown=unknown)
    if by_rows is not None:
        best["row_f1"] = by_rows
    thresholds = _grid(curve.thresholds, sorted(best.values()))
    counts = _counts(scores, truth, thresholds.astype(scores.dtype), draws, unknown)
    marks = [" ".join(name for name, value in best.items() if value == threshold) for threshold in thresholds.tolist()]
    return _table(thresholds, counts, draws, marks, best)


def as_good_range(table: pl.DataFrame, metric: str) -> tuple[float, float] | None:
    """Return the thresholds around the best one between which all others of the table are as good; None without one.

    Parameters
    ----------
    metric : 'micro_f1' or 'row_f1'
    """
    best = table.with_row_index("index").filter(pl.col("best").str.split(" ").list.contains(metric))["index"]
    if best.is_empty():
        return None
    others = np.flatnonzero(~table[f"{metric}_as_good"].to_numpy())
    position = int(np.searchsorted(others, best[0]))
    first = int(others[position - 1]) + 1 if position else 0
    last = int(others[position]) - 1 if position < len(others) else len(table) - 1
    return float(table["threshold"][first]), float(table["threshold"][last])


def _grid(possible: Float[np.ndarray, " possible"], best: list[float]) -> Float[np.ndarray, " thresholds"]:
    """Return the best thresholds, their neighbours, and others spread over their ranks and over their square roots."""
    if len(possible) <= MOST_THRESHOLDS:
        return possible
    centres = np.searchsorted(possible, best)
    around = (centres[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1)).ravel()
    left = (MOST_THRESHOLDS - len(around)) // 2
    roots = np.sign(possible) * np.sqrt(np.abs(possible))
    by_value = np.searchsorted(roots, np.linspace(roots[0], roots[-1], left))
    by_rank = np.linspace(0, len(possible) - 1, left).round().astype(int)
    chosen = np.concatenate([around, by_value, by_rank]).clip(0, len(possible) - 1)
    return possible[np.unique(chosen)]


def _counts(
    scores: Float[np.ndarray, "rows classes"],
    truth: Bool[np.ndarray, "rows classes"],
    thresholds: Float[np.ndarray, " thresholds"],
    draws: Draws,
    unknown: Unknown,
) -> _Counts:
    recordings = draws.weights.shape[1]
    wide = [np.zeros((recordings, len(thresholds)), np.float32) for _ in range(4)]
    narrow = [np.zeros((recordings, 1), np.float32) for _ in range(2)]
    for counts in row_counts(scores, truth, thresholds, unknown=unknown):
        order, starts, names = _groups(draws.recording[counts.rows])
        values = (counts.hits, counts.detected, counts.f1, counts.detected > 0, counts.present[:, None])
        for sums, value in zip([*wide, narrow[0]], values, strict=True):
            sums[names] += np.add.reduceat(value[order], starts, axis=0, dtype=np.float32)
        narrow[1][names, 0] += np.diff([*starts, len(order)])
    return _Counts(*wide, *narrow)


def _groups(
    recording: Int64[np.ndarray, " rows"],
) -> tuple[Int64[np.ndarray, " rows"], Int64[np.ndarray, " some"], Int64[np.ndarray, " some"]]:
    """Return an order in which the rows of a recording are together, where each starts in it, and which they are."""
    order = np.argsort(recording, kind="stable")
    names, starts = np.unique(recording[order], return_index=True)
    return order, starts, names


def _table(
    thresholds: Float[np.ndarray, " thresholds"],
    counts: _Counts,
    draws: Draws,
    marks: list[str],
    best: dict[str, float],
) -> pl.DataFrame:
    sums = _Counts(*(part.sum(axis=0, keepdims=True, dtype=np.float64) for part in counts))
    drawn = _Counts(*(draws.weights @ part for part in counts)) if draws.weights.shape[1] > 1 else None
    f1 = {"micro_f1": _micro_f1, "row_f1": _mean_row_f1}
    columns: dict[str, object] = {"threshold": thresholds, "best": marks}
    for name, of in f1.items():
        values = of(sums)[0]
        top = int(np.searchsorted(thresholds, best[name])) if name in best else int(values.argmax())
        columns |= _f1_columns(name, values, None if drawn is None else of(drawn), top=top)
    columns |= {
        "micro_precision": _ratio(sums.hits, sums.detected)[0],
        "micro_recall": _ratio(sums.hits, sums.present)[0],
        "rows_detected": _ratio(sums.not_empty, sums.rows)[0],
    }
    return pl.DataFrame(columns, schema=dict(THRESHOLD_TABLE_SCHEMA), strict=False).select(*THRESHOLD_TABLE_SCHEMA)


def _f1_columns(
    name: str,
    values: Float[np.ndarray, " thresholds"],
    drawn: Float[np.ndarray, "draws thresholds"] | None,
    *,
    top: int,
) -> dict[str, object]:
    """Return the columns of one kind of F1.

    Parameters
    ----------
    drawn : its values in each draw; None: there is nothing to draw
    top : index of the threshold with which the others are compared
    """
    as_good = values[top] - values <= AS_GOOD
    if drawn is None:
        nothing = [None] * len(values)
        return {name: values, f"{name}_low": nothing, f"{name}_high": nothing, f"{name}_as_good": as_good}
    bands = [interval(float(value), drawn[:, index]) for index, value in enumerate(values)]
    differences = [interval(0.0, drawn[:, top] - drawn[:, index]) for index in range(len(values))]
    by_chance = [one.low is None or one.low <= 0 for one in differences]
    return {
        name: values,
        f"{name}_low": [band.low for band in bands],
        f"{name}_high": [band.high for band in bands],
        f"{name}_as_good": as_good | np.array(by_chance),
    }


def _micro_f1(sums: _Counts) -> Float[np.ndarray, "draws thresholds"]:
    return _ratio(2 * sums.hits, sums.detected + sums.present)


def _mean_row_f1(sums: _Counts) -> Float[np.ndarray, "draws thresholds"]:
    return _ratio(sums.row_f1, sums.rows)


def _ratio(
    part: Float[np.ndarray, "draws thresholds"], whole: Float[np.ndarray, "draws *thresholds"]
) -> Float[np.ndarray, "draws thresholds"]:
    """Return part / whole; NaN where the whole is 0."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
