"""The report's numbers by hand and against scikit-learn, and which recordings it shows."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from config import Config
from utils.recordings.recording import LONG
from utils.recordings.splits import SCHEMA
from utils.scoring.evaluation.measures import NOTES, Measures, measure
from utils.scoring.evaluation.recordings import Judged, judge, taken_for
from utils.scoring.inference.recordings import Answers
from utils.scoring.metrics.calibration import Isotonic
from utils.scoring.metrics.thresholds import cross_decided, folds_of
from utils.scoring.reports.notable_recordings import choose, lead
from utils.scoring.reports.report_figures import class_table, confusion_of, summary, threshold_chart

CLASSES = ("A", "B", "C")


def answered(scores: np.ndarray, own: list[str], background: list[list[str]] | None = None) -> tuple[Answers, Judged]:
    rows = [
        (f"r{n}", f"val/r{n}.wav", label, (background or [[]] * len(own))[n], [], False, None, "val", None, f"r{n}", "")
        for n, label in enumerate(own)
    ]
    reasons = ["is empty" if np.isnan(row).any() else None for row in scores]
    answers = Answers(pl.DataFrame(rows, schema=SCHEMA, orient="row"), CLASSES, scores, np.full(len(own), 4), reasons)
    return answers, judge(scores, answers, background=True)


def measured(answers: Answers, judged: Judged) -> Measures:
    return measure(answers, judged, Config().testing, made_from="a test")


@pytest.fixture
def many() -> tuple[Answers, Judged]:
    generator = np.random.default_rng(3)
    own = generator.choice(["A", "B"], 80)
    scores = np.round(generator.uniform(0, 1, (80, 3)), 2)  # with ties
    scores[5] = np.nan
    return answered(scores, own.tolist(), [["C"] if number % 7 == 0 and number % 2 else [] for number in range(80)])


def test_what_is_taken_for_what() -> None:
    scores = np.array(
        [[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.0, 0.1, 0.9], [0.9, 0.1, 0.0], [0.1, 0.0, 0.9], [np.nan] * 3]
    )
    answers, judged = answered(scores, ["A", "A", "A", "B", "B", "B"], [[], [], [], [], ["C"], []])
    table = class_table(measured(answers, judged))
    assert table["confused_with"].to_list() == ["B (2×)", "A (1×)", ""]  # C sings in the background of r4: it is right
    assert table["recordings"].to_list() == [3, 2, 1]
    found = confusion_of(answers, judged)
    assert found.labels == CLASSES
    assert found.counts.tolist() == [[0, 2, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    few = confusion_of(answers, judged, shown=2)
    assert (few.labels, few.left_out, few.counts.tolist()) == (("A", "B"), 1, [[0, 2, 1], [1, 0, 0]])


def test_what_is_right_is_not_drawn_as_wrong() -> None:
    scores = np.array([[0.1, 0.9, 0.0]] * 4)
    answers, judged = answered(scores, ["A", "B", "A", ""], [["B"], [], [], ["B"]])
    long_one = answers.recordings.with_columns(
        events=pl.Series([[], [], [], [{"start": 0.0, "end": 1.0, "species": "B", "low": None, "high": None}]])
    )
    assert taken_for(answers, judged) == [("B", "B"), ("A", "B"), (LONG, LONG)]  # r0: B sings in its background
    assert confusion_of(answers, judged).counts.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    alone = judge(scores, answers, background=False)
    assert taken_for(answers, alone) == [("A", "B"), ("B", "B"), ("A", "B")]
    heard = replace(answers, recordings=long_one)
    assert taken_for(heard, judge(scores, heard, background=False))[-1] == (LONG, LONG)


def test_equal_scores_are_no_success() -> None:
    answers, judged = answered(np.zeros((6, 3)), ["A", "A", "B", "B", "C", "X"])
    figures = measured(answers, judged).figures
    assert (judged.figures.top1_accuracy, figures["top1_accuracy"].value, figures["top5_accuracy"].value) == (0, 0, 1)
    assert confusion_of(answers, judged).counts.diagonal().sum() == 0
    assert class_table(measured(answers, judged))["confused_with"].to_list() == ["B (2×)", "A (2×)", "A (1×)"]


def test_the_threshold_chart_is_what_scikit_learn_finds(many: tuple[Answers, Judged]) -> None:
    answers, judged = many
    (chart,) = threshold_chart(answers, judged)
    scored = ~np.isnan(answers.scores).any(axis=1)
    right, scores = judged.truth[scored].ravel(), answers.scores[scored].ravel()
    for line, judge_it in zip(chart.lines, (precision_score, recall_score, f1_score), strict=True):
        for x, y in list(zip(line.x, line.y, strict=True))[1:-1:7]:
            assert y == pytest.approx(judge_it(right, scores >= x)), (line.name, x)
    assert max(y for y in chart.lines[2].y) == dict(zip(chart.lines[2].x, chart.lines[2].y, strict=True))[chart.mark]
    assert threshold_chart(answers, replace(judged, truth=np.zeros_like(judged.truth))) == []


def test_the_threshold_chart_reaches_scores_that_a_prior_lifts_above_one() -> None:
    (chart,) = threshold_chart(*answered(np.array([[1.5, 1.1, 0.2], [1.05, 1.31, 0.3]]), ["A", "B"]))
    assert (chart.mark, chart.mark_text) == (1.11, "best F1: 1.00 at 1.11")
    assert {(len(line.x), line.x[-1]) for line in chart.lines} == {(151, 1.5)}


def test_summary(many: tuple[Answers, Judged]) -> None:
    answers, judged = many
    figures = {figure.name: figure for figure in summary(measured(answers, judged), None)}
    assert figures["MLRAP"].value == pytest.approx(judged.figures.mlrap)
    assert figures["top-1 accuracy"].value == pytest.approx(judged.figures.top1_accuracy)
    mlrap = figures["MLRAP"]
    spread = np.nanstd(judged.lrap) / np.sqrt(79)
    assert (mlrap.low, mlrap.high) == pytest.approx(
        (mlrap.value - 1.96 * spread, mlrap.value + 1.96 * spread), abs=0.25 * spread
    )


def test_precision_and_recall_stand_beside_f1(many: tuple[Answers, Judged]) -> None:
    answers, judged = many
    found = measured(answers, judged)
    shown = {figure.name for figure in summary(found, None)}
    scored = ~np.isnan(answers.scores).any(axis=1)
    settings = Config().testing
    folds = folds_of(np.arange(79), seed=settings.seed)
    decided = cross_decided(
        answers.scores[scored], judged.truth[scored], folds, per_class=False, min_positives=settings.min_positives
    )
    for average in ("micro", "macro", "weighted"):
        for name, theirs in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            figure = found.figures[f"{average}_{name}"]
            assert figure.value == pytest.approx(
                theirs(judged.truth[scored], decided, average=average, zero_division=0)
            )
            assert figure.low < figure.value < figure.high
            assert NOTES[f"{average}_{name}"][0] in shown


def test_measures_of_little() -> None:
    """One recording, and none that is of a trained class: nothing breaks, and what cannot be said is left out."""
    for own in ("A", "X"):
        answers, judged = answered(np.array([[0.9, 0.5, 0.1]]), [own])
        for method in ("none", "platt"):
            found = measure(answers, judged, replace(Config().testing, calibration=method), made_from="a test")  # type: ignore[arg-type]
            assert found.calibration is None
            assert (found.figures["mlrap"].value is None) == (own == "X")
            assert "micro_f1" not in found.figures


def test_calibration_is_found_where_it_is_asked_for(many: tuple[Answers, Judged]) -> None:
    answers, judged = many
    found = measure(
        answers, judged, replace(Config().testing, calibration="isotonic", thresholds="per_class"), made_from="a test"
    )
    assert isinstance(found.calibration, Isotonic)
    assert set(found.reliability or {}) == {"first answers", "all answers"}
    assert all(found.thresholds.own)
    assert 0 < (found.figures["micro_f1"].value or 0) < 1


def test_the_striking_ones() -> None:
    scores = np.array(
        [
            [0.9, 0.1, 0.0],  # 0: right, sure
            [0.8, 0.1, 0.0],  # 1: right, less sure
            [0.1, 0.6, 0.0],  # 2: right, of another class
            [0.95, 0.0, 0.0],  # 3: wrong (C) and sure
            [0.3, 0.0, 0.2],  # 4: wrong (B), hardly sure
            [0.5, 0.2, 0.4],  # 5: wrong (C), but C is second
            [0.9, 0.1, 0.1],  # 6: nothing is right
            [np.nan] * 3,
        ]
    )
    answers, judged = answered(scores, ["A", "A", "B", "C", "B", "C", "X", "A"])
    behind = lead(scores, judged.truth)
    assert behind[:6].tolist() == pytest.approx([-0.8, -0.7, -0.5, 0.95, 0.3, 0.1])
    assert np.isnan(behind[6:]).all()
    chosen = choose(scores, judged.truth, judged.lrap, answers.recordings["class"].to_list(), each=2)
    assert (chosen.best, chosen.worst, chosen.surprising) == ([0, 2], [3, 4], [3, 4])
    every = choose(scores, judged.truth, judged.lrap, answers.recordings["class"].to_list(), each=9)
    assert (every.best, every.worst, every.surprising) == ([0, 2, 1], [3, 4, 5], [3, 4, 5])
