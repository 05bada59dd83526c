"""What the report says in numbers: figures with intervals, one row a class, who is taken for whom, and what a threshold would do."""

from collections import Counter

import numpy as np
import polars as pl
import scipy.stats
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from utils.recordings.recording import LONG
from utils.scoring.answers import Answers
from utils.scoring.figures import Figures, Judged
from utils.scoring.metrics import mean_of_defined
from utils.scoring.report_parts import Chart, Confusion, Figure, Line

RESAMPLES = 2000  # of the recordings, for an interval
SHOWN = 40  # classes in the matrix at most: those with the most wrong first answers
GRID = tuple(round(step / 100, 2) for step in range(101))  # thresholds of the chart
CLASS_COLUMNS = {
    "class": pl.String,
    "recordings": pl.Int64,
    "ap": pl.Float64,
    "auroc": pl.Float64,
    "f1": pl.Float64,
    "threshold": pl.Float64,
    "confused_with": pl.String,
}


def interval(values: Float[np.ndarray, " recordings"]) -> tuple[float, float] | None:
    """Return the ends of the 95% interval of a mean, by percentile bootstrap over the values that are numbers; None of fewer than two."""
    defined = values[~np.isnan(values)]
    if len(defined) < 2:
        return None
    found = scipy.stats.bootstrap((defined,), np.mean, n_resamples=RESAMPLES, batch=100, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    return float(found.low), float(found.high)


def _with_interval(name: str, values: Float[np.ndarray, " recordings"], note: str) -> Figure:
    low, high = interval(values) or (None, None)
    return Figure(name, mean_of_defined(values), low, high, note)


def summary(answers: Answers, judged: Judged, classes: pl.DataFrame, ridge: Figures | None) -> tuple[Figure, ...]:
    """Return the figures of the test, the headline first.

    Parameters
    ----------
    classes : as `class_table` returns them
    ridge : the yardstick's, where there is one
    """
    figures = [
        _with_interval("MLRAP", judged.lrap, "mean label-ranking average precision over recordings"),
        _with_interval("top-1 accuracy", first_right(answers), "share of recordings whose first answer is their own species"),
        Figure("class-mean AP", mean_of_defined(_column(classes, "ap")), note="mean average precision over classes with right answers"),
        Figure("macro AUROC", mean_of_defined(_column(classes, "auroc")), note="mean area under the ROC curve over classes"),
    ]
    if ridge:
        figures += [
            Figure("MLRAP of the ridge regression", ridge.mlrap, note="on mean spectra, which know nothing of song: the yardstick"),
            Figure("top-1 accuracy of the ridge regression", ridge.top1_accuracy),
        ]
    return tuple(figures)


def _column(classes: pl.DataFrame, name: str) -> Float[np.ndarray, " classes"]:
    return classes[name].cast(pl.Float64).fill_null(np.nan).to_numpy()


def first_right(answers: Answers) -> Float[np.ndarray, " recordings"]:
    """Tell of each recording whether its first answer is its own species, as 1 or 0; NaN without score, or of a species that the net does not know."""
    own = answers.recordings["class"].to_list()
    firsts = first_answers(answers)
    return np.array([np.nan if first is None or label not in answers.classes else float(first == label) for label, first in zip(own, firsts, strict=True)])


def first_answers(answers: Answers) -> list[str | None]:
    """Return the class of the highest score of each recording; None without score."""
    return [None if np.isnan(row).any() else answers.classes[int(row.argmax())] for row in answers.scores]


def class_table(answers: Answers, judged: Judged) -> pl.DataFrame:
    """Return one row a class: recordings in which it is right, average precision, AUROC, the best F1 and its threshold, and what it is taken for."""
    scored = ~np.isnan(answers.scores).any(axis=1)
    scores, truth = answers.scores[scored], judged.truth[scored]
    taken = _taken_for(answers, judged)
    rows = []
    for number, label in enumerate(answers.classes):
        right, own = truth[:, number], scores[:, number]
        f1, threshold = best_f1(own, right)
        rows.append(
            {
                "class": label,
                "recordings": int(right.sum()),
                "ap": float(average_precision_score(right, own)) if right.any() else None,
                "auroc": float(roc_auc_score(right, own)) if right.any() and not right.all() else None,
                "f1": f1,
                "threshold": threshold,
                "confused_with": taken.get(label, ""),
            }
        )
    return pl.DataFrame(rows, schema=CLASS_COLUMNS)


def _taken_for(answers: Answers, judged: Judged) -> dict[str, str]:
    """Return of each class that is taken for another, wrong one which one that is most often, and how often."""
    wrong: dict[str, Counter[str]] = {}
    for own, first, right in zip(answers.recordings["class"], first_answers(answers), judged.truth, strict=True):
        if first is not None and not right[answers.classes.index(first)]:
            wrong.setdefault(own, Counter())[first] += 1
    return {own: f"{counts.most_common(1)[0][0]} ({counts.most_common(1)[0][1]}×)" for own, counts in wrong.items()}


def best_f1(scores: Float[np.ndarray, " rows"], right: Bool[np.ndarray, " rows"]) -> tuple[float | None, float | None]:
    """Return the highest F1 that a threshold reaches, and that threshold; None where nothing is right."""
    if not right.any():
        return None, None
    precision, recall, thresholds = precision_recall_curve(right, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(f1[:-1].argmax())
    return float(f1[best]), float(thresholds[best])


def confusion_of(answers: Answers, judged: Judged, *, shown: int = SHOWN) -> Confusion:
    """Count first answers by own class; where there are more classes than `shown`, of those with the most wrong first answers."""
    pairs = Counter(
        (own or LONG, first)
        for own, first, right in zip(answers.recordings["class"], first_answers(answers), judged.truth, strict=True)
        if first is not None and right.any()
    )
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


def reaching(scores: Float[np.ndarray, " _"]) -> Float[np.ndarray, " thresholds"]:
    """Count the scores that reach each threshold of the grid; a score of 0 reaches none."""
    ordered = np.sort(scores[scores > 0])
    return (len(ordered) - np.searchsorted(ordered, GRID, "left")).astype(float)


def threshold_chart(answers: Answers, judged: Judged) -> list[Chart]:
    """Return precision, recall and F1 of all answers together, for one threshold for all classes; none where nothing is right."""
    scored = ~np.isnan(answers.scores).any(axis=1)
    scores, truth = answers.scores[scored], judged.truth[scored]
    if not truth.any():
        return []
    hits, given = reaching(scores[truth]), reaching(scores.ravel())
    precision = np.where(given > 0, hits / np.maximum(given, 1), np.nan)
    recall = hits / truth.sum()
    f1 = 2 * hits / (given + truth.sum())
    best = int(f1.argmax())
    lines = tuple(Line(name, GRID, tuple(values.tolist())) for name, values in (("precision", precision), ("recall", recall), ("F1", f1)))
    note = "Counts every answer that reaches the threshold, over all recordings and classes. Chosen on these same recordings, the best is a little flattering."
    return [Chart("Thresholds", "threshold", lines, mark=GRID[best], mark_text=f"best F1: {f1[best]:.2f} at {GRID[best]:g}", note=note, slide=True)]
