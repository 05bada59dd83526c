"""Which recordings the report shows, by hand."""

import numpy as np
import pytest

from utils.scoring.metrics.ranking import lrap
from utils.scoring.reports.notable_recordings import choose_notable, lead_of_wrong

CLASSES = ("A", "B", "C")


def test_best_worst_and_most_surprising_recordings() -> None:
    scores = np.array(
        [
            [0.9, 0.1, 0.0],  # 0: correct, confident
            [0.8, 0.1, 0.0],  # 1: correct, less confident
            [0.1, 0.6, 0.0],  # 2: correct, of another class
            [0.95, 0.0, 0.0],  # 3: wrong (C), confident
            [0.3, 0.0, 0.2],  # 4: wrong (B), not confident
            [0.5, 0.2, 0.4],  # 5: wrong (C), but C is second
            [0.9, 0.1, 0.1],  # 6: no class is correct
            [np.nan] * 3,
        ]
    )
    primary = ["A", "A", "B", "C", "B", "C", "X", "A"]
    truth = np.array([[label == one for one in CLASSES] for label in primary])
    scored = ~np.isnan(scores).any(axis=1)
    each = np.full(len(scores), np.nan)
    each[scored] = lrap(scores[scored], truth[scored])
    lead = lead_of_wrong(scores, truth)
    assert lead[:6].tolist() == pytest.approx([-0.8, -0.7, -0.5, 0.95, 0.3, 0.1])
    assert np.isnan(lead[6:]).all()
    chosen = choose_notable(scores, truth, each, primary, per_kind=2)
    assert (chosen.best, chosen.worst, chosen.surprising) == ([0, 2], [3, 4], [3, 4])
    every = choose_notable(scores, truth, each, primary, per_kind=9)
    assert (every.best, every.worst, every.surprising) == ([0, 2, 1], [3, 4, 5], [3, 4, 5])
