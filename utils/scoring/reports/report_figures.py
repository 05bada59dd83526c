"""What the report says in numbers: figures with intervals, one row a class, who is taken for whom, and what a threshold would do."""

from collections import Counter
from math import ceil

import numpy as np
import polars as pl
from jaxtyping import Float

from utils.scoring.evaluation.measures import NOTES, Measures
from utils.scoring.evaluation.recordings import Figures, Judged, taken_for
from utils.scoring.inference.recordings import Answers
from utils.scoring.reports.parts import Chart, Confusion, Figure, Line

SHOWN = 40  # classes in the matrix at most: those with the most wrong first answers
STEPS = 100  # thresholds of the chart from 0 to 1


def summary(measures: Measures, ridge: Figures | None) -> tuple[Figure, ...]:
    """Return the figures of the test, the headline first.

    Parameters
    ----------
    ridge : the yardstick's, where there is one
    """
    figures = [
        Figure(NOTES[key][0], found.value, found.low, found.high, NOTES[key][1])
        for key, found in measures.figures.items()
        if found.value is not None
    ]
    if ridge:
        figures += [
            Figure(
                "MLRAP of the ridge regression",
                ridge.mlrap,
                note="on mean spectra, which know nothing of song: the yardstick",
            ),
            Figure("top-1 accuracy of the ridge regression", ridge.top1_accuracy),
        ]
    return tuple(figures)


def class_table(measures: Measures) -> pl.DataFrame:
    """Return one row a class, as the page shows it: what a class is taken for stands in one column with how often."""
    often = pl.format("{} ({}×)", "confused_with", "confused").fill_null("").alias("confused_with")
    return measures.per_class.with_columns(often).drop("confused", "clips")


def confusion_of(answers: Answers, judged: Judged, *, shown: int = SHOWN) -> Confusion:
    """Count first answers by own class, as `taken_for` says; where there are more classes than `shown`, of those with the most wrong first answers."""
    pairs = Counter(taken_for(answers, judged))
    labels = sorted({own for own, _ in pairs} | {first for _, first in pairs})
    wrong = Counter[str]()
    for (own, first), count in pairs.items():
        if own != first:
            wrong.update({own: count, first: count})
    kept = sorted(sorted(labels, key=lambda label: -wrong[label])[:shown])
    number = {label: place for place, label in enumerate(kept)}
    counts = np.zeros((len(kept), len(kept) + 1), np.int64)
    for (own, first), count in pairs.items():
        if own in number:
            counts[number[own], number.get(first, len(kept))] += count
    return Confusion(tuple(kept), counts, len(labels) - len(kept))


def grid_of(scores: Float[np.ndarray, "*shape"]) -> tuple[float, ...]:
    """Return the thresholds of the chart: from 0 to 1, and with a prior to the highest score."""
    highest = max(STEPS, ceil(STEPS * float(scores.max(initial=0.0))))
    return tuple(step / STEPS for step in range(highest + 1))


def reaching(scores: Float[np.ndarray, " _"], grid: tuple[float, ...]) -> Float[np.ndarray, " thresholds"]:
    """Count the scores that reach each threshold of the grid; a score of 0 reaches none."""
    ordered = np.sort(scores[scores > 0])
    return (len(ordered) - np.searchsorted(ordered, grid, "left")).astype(float)


def threshold_chart(answers: Answers, judged: Judged) -> list[Chart]:
    """Return precision, recall and F1 of all answers together, for one threshold for all classes; none where nothing is right."""
    scored = ~np.isnan(answers.scores).any(axis=1)
    scores, truth = answers.scores[scored], judged.truth[scored]
    if not truth.any():
        return []
    grid = grid_of(scores)
    hits, given = reaching(scores[truth], grid), reaching(scores.ravel(), grid)
    precision = np.where(given > 0, hits / np.maximum(given, 1), np.nan)
    recall = hits / truth.sum()
    f1 = 2 * hits / (given + truth.sum())
    best = int(f1.argmax())
    lines = tuple(
        Line(name, grid, tuple(values.tolist()))
        for name, values in (("precision", precision), ("recall", recall), ("F1", f1))
    )
    note = "Counts every answer that reaches the threshold, over all recordings and classes. Chosen on these same recordings, the best is a little flattering."
    return [
        Chart(
            "Thresholds",
            "threshold",
            lines,
            mark=grid[best],
            mark_text=f"best F1: {f1[best]:.2f} at {grid[best]:g}",
            note=note,
            slide=True,
        )
    ]
