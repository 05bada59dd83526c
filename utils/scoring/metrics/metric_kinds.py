"""Kinds of metrics (means over rows or classes, metrics of pairs, of detections), and what they are computed from."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int64

from utils.scoring.metrics.bootstrap import (
    DrawnMetrics,
    Draws,
    drawn_means,
    drawn_precision_recall_f1,
    drawn_ratios,
    drawn_top_class_f1,
)
from utils.scoring.metrics.detection_metrics import AVERAGES, Counts, count, count_top_classes, micro
from utils.scoring.metrics.drawn_ranking import drawn_macro_auroc
from utils.scoring.metrics.ranking import (
    auroc,
    class_mean,
    first_correct_ranks,
    lrap,
    mean_of_defined,
    top1_ties_as_errors,
)

# a metric's value, and its value in each draw
Resampled = tuple[float | None, Float[np.ndarray, " draws"]]


@dataclass(frozen=True)
class ScoredRows:
    """What metrics are computed from: scores and ground truth of recordings, intervals or events.

    Attributes
    ----------
    scores, truth : finite scores, and which classes are correct
    primary : index of each row's primary class; −1 if it is none of the classes
    draws : of the rows' recordings, from `bootstrap.draw_recordings`
    min_positives : class means leave out classes that are correct in fewer rows
    detected : which classes are detected, by thresholds that were found on other rows; None: no thresholds
    without_background, with_background : ground truth that treats background species the other way than `truth`; None:
        not known
    unknown : how many true labels of each row are no class of the model; None: none. They count as misses in row-wise
        F1 and in micro recall and F1, and in no other metric
    novelty : how unlike the training clips each row is; None: not known
    novel : rows all of whose species are unknown to the model; None: not known
    """

    scores: Float[np.ndarray, "rows classes"]
    truth: Bool[np.ndarray, "rows classes"]
    primary: Int64[np.ndarray, " rows"]
    draws: Draws
    min_positives: int = 1
    detected: Bool[np.ndarray, "rows classes"] | None = None
    without_background: Bool[np.ndarray, "rows classes"] | None = None
    with_background: Bool[np.ndarray, "rows classes"] | None = None
    unknown: Int64[np.ndarray, " rows"] | None = None
    novelty: Float[np.ndarray, " rows"] | None = None
    novel: Bool[np.ndarray, " rows"] | None = None

    @cached_property
    def lrap(self) -> Float[np.ndarray, " rows"]:
        """LRAP of each row; NaN without a correct class."""
        return lrap(self.scores, self.truth)

    @cached_property
    def ranks(self) -> Float[np.ndarray, " rows"]:
        """Rank of each row's first correct class; NaN without one."""
        return first_correct_ranks(self.scores, self.truth)

    @cached_property
    def top1(self) -> Int64[np.ndarray, " rows"]:
        """Index of each row's top class; the primary class only if no other has the same score."""
        return top1_ties_as_errors(self.scores, self.truth, self.primary)

    @cached_property
    def top1_correct(self) -> Float[np.ndarray, " rows"]:
        """Whether each row's top prediction is its primary class, 1 or 0; NaN if that is none of the classes."""
        return np.where(self.primary >= 0, self.top1 == self.primary, np.nan)

    @cached_property
    def counts(self) -> Counts | None:
        """Correct, false and missed detections of each class."""
        return None if self.detected is None else count(self.detected, self.truth)

    @cached_property
    def drawn_detections(self) -> dict[str, DrawnMetrics]:
        """Precision, recall and F1 in each draw, by average and name."""
        if self.detected is None:
            return {}
        return drawn_precision_recall_f1(self.detected, self.truth, self.draws, unknown=self.unknown)

    @cached_property
    def drawn_top_classes(self) -> dict[str, DrawnMetrics]:
        """Precision, recall and F1 of the top classes in each draw, by average and name."""
        known, classes = self.primary >= 0, self.scores.shape[1]
        return drawn_top_class_f1(self.top1[known], self.primary[known], self.draws.of_rows(known), classes=classes)


@dataclass(frozen=True)
class Metric:
    """A metric, as `metrics.json` (`key`) and the report (`title`, `note`) name it.

    Attributes
    ----------
    note : with {row}, {rows}, {clips} and {unknown}, which `registry.note_for` replaces
    """

    key: str
    title: str
    note: str

    def resampled(self, data: ScoredRows) -> Resampled | None:
        """Return the value, and the value in each draw; None if `data` lacks what the metric needs."""
        raise NotImplementedError


@dataclass(frozen=True)
class RowMean(Metric):
    """A mean over rows.

    Attributes
    ----------
    rows : value of each row, NaN where it is not defined; None if the data lack what it needs
    """

    rows: Callable[[ScoredRows], Float[np.ndarray, " rows"] | None]

    def resampled(self, data: ScoredRows) -> Resampled | None:
        """Draw rows; see `Metric`."""
        values = self.rows(data)
        return None if values is None else (mean_of_defined(values), drawn_means(values, data.draws))


@dataclass(frozen=True)
class ClassMean(Metric):
    """A mean over the classes that are correct in `ScoredRows.min_positives` rows or more.

    Attributes
    ----------
    classes : value of each class, from scores and truth
    drawn : the mean in each draw of rows
    """

    classes: Callable[[Float[np.ndarray, "rows classes"], Bool[np.ndarray, "rows classes"]], Float[np.ndarray, " n"]]
    drawn: Callable[..., Float[np.ndarray, " draws"]]

    def resampled(self, data: ScoredRows) -> Resampled:
        """Draw rows; which classes count stays the same in each draw; see `Metric`."""
        value = class_mean(self.classes(data.scores, data.truth), data.truth, min_positives=data.min_positives)
        return value, self.drawn(data.scores, data.truth, data.draws, min_positives=data.min_positives)


@dataclass(frozen=True)
class PairMetric(Metric):
    """A metric of all pairs of a row and a class.

    Attributes
    ----------
    pairs : the value, from scores and truth
    drawn : the value in each draw of rows
    """

    pairs: Callable[[Float[np.ndarray, "rows classes"], Bool[np.ndarray, "rows classes"]], float | None]
    drawn: Callable[..., Float[np.ndarray, " draws"]]

    def resampled(self, data: ScoredRows) -> Resampled:
        """Draw rows; see `Metric`."""
        return self.pairs(data.scores, data.truth), self.drawn(data.scores, data.truth, data.draws)


@dataclass(frozen=True)
class DetectionMetric(Metric):
    """Precision, recall or F1 of detections; the thresholds are the same in each draw."""

    average: Literal["micro", "macro", "weighted"]
    name: Literal["precision", "recall", "f1"]

    def resampled(self, data: ScoredRows) -> Resampled | None:
        """Draw rows; see `Metric`."""
        if data.counts is None:
            return None
        if self.average == "micro":
            found = micro(data.counts, unknown=0 if data.unknown is None else int(data.unknown.sum()))
        else:
            found = AVERAGES[self.average](data.counts)
        return asdict(found)[self.name], data.drawn_detections[self.average][self.name]


@dataclass(frozen=True)
class TopClassF1(Metric):
    """F1 of the top class of each row that has a primary class, as if that were the only correct one."""

    average: Literal["micro", "macro", "weighted"]

    def resampled(self, data: ScoredRows) -> Resampled | None:
        """Draw rows; see `Metric`."""
        known = data.primary >= 0
        if not known.any():
            return None
        counts = count_top_classes(data.top1[known], data.primary[known], classes=data.scores.shape[1])
        return AVERAGES[self.average](counts).f1, data.drawn_top_classes[self.average]["f1"]


@dataclass(frozen=True)
class NoveltyAuroc(Metric):
    """How well novelty tells rows of unknown species from rows with a known one; None without both kinds."""

    def resampled(self, data: ScoredRows) -> Resampled | None:
        """Return the AUROC, and that of each draw."""
        if data.novelty is None or data.novel is None:
            return None
        used = data.novel | data.truth.any(axis=1)
        novelty, novel = data.novelty[used, None].astype(np.float64), data.novel[used, None]
        if novel.all() or not novel.any():
            return None
        return float(auroc(novelty, novel)[0]), drawn_macro_auroc(novelty, novel, data.draws.of_rows(used))


@dataclass(frozen=True)
class NoiseShare(Metric):
    """A share of the clips, or intervals, of recordings without birds, which `ScoredRows` does not tell from others."""

    def resampled(self, data: ScoredRows) -> None:
        """Return None: `share_of` computes it."""

    def share_of(
        self,
        detected: Int64[np.ndarray, " recordings"],
        clips: Int64[np.ndarray, " recordings"],
        draws: Draws,
    ) -> Resampled:
        """Return Σ detected / Σ clips, and its value in each draw of recordings."""
        value = float(detected.sum() / clips.sum()) if clips.sum() else None
        return value, drawn_ratios(detected.astype(np.float64), clips.astype(np.float64), draws)
