"""Which classes are taken for which others: the primary label of each row, and its top prediction."""

import numpy as np

from utils.recordings.recording import LONG_RECORDINGS
from utils.scoring.evaluation.recordings import Evaluation
from utils.scoring.inference.recordings import Predictions


def confusion_pairs(predictions: Predictions, evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the primary label of each row that has a correct class, and its top predicted class.

    Rows whose top prediction is a background species that counts as correct are left out: they are no confusion. Long
    recordings have no primary label: they, and any correct top prediction for them, are called LONG_RECORDINGS. Of
    intervals, each species in one stands for a primary label, unless the top prediction is correct.
    """
    if predictions.unit == "interval":
        return _confusion_of_intervals(predictions, evaluation)
    pairs = []
    for primary, top1, correct in zip(predictions.rows["class"], evaluation.top1, evaluation.truth, strict=True):
        if top1 < 0 or not correct.any():
            continue
        label = predictions.classes[top1]
        if primary == label or not correct[top1]:
            pairs.append((primary or LONG_RECORDINGS, label))
        elif not primary:
            pairs.append((LONG_RECORDINGS, LONG_RECORDINGS))
    return pairs


def _confusion_of_intervals(predictions: Predictions, evaluation: Evaluation) -> list[tuple[str, str]]:
    classes, pairs = predictions.classes, []
    for row in np.flatnonzero((evaluation.top1 >= 0) & evaluation.truth.any(axis=1)).tolist():
        top1 = int(evaluation.top1[row])
        present = [top1] if evaluation.truth[row, top1] else np.flatnonzero(evaluation.truth[row]).tolist()
        pairs += [(classes[index], classes[top1]) for index in present]
    return pairs
