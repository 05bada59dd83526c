"""What a test writes says what was answered; recordings that could not be used stay visible."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config import Config
from utils.console import Failure, UserError
from utils.models.snapshots import Snapshot
from utils.recordings.splits import SCHEMA
from utils.scoring import testing
from utils.scoring.evaluation.measures import measure
from utils.scoring.evaluation.recordings import judge
from utils.scoring.evaluation.result_files import draw_report, predictions_table, scores_table, write_report
from utils.scoring.inference.ensembles import Model
from utils.scoring.inference.recordings import Answers
from utils.scoring.metrics.calibration import read_calibration
from utils.scoring.metrics.thresholds import read_thresholds
from utils.scoring.testing import conclude, figure_rows

CLASSES = ("A", "B", "C")


@pytest.fixture
def answers() -> Answers:
    rows = [
        ("r1", "val/A/r1.wav", "A", ["C"], [], False, None, "val", None, "r1", ""),
        ("r2", "val/B/r2.wav", "B", [], [], False, None, "val", None, "r2", ""),
        ("r3", "val/B/r3.wav", "B", [], [], False, None, "val", None, "r3", ""),
        ("r4", "val/X/r4.wav", "X", [], [], False, None, "val", None, "r4", ""),
    ]
    scores = np.array([[0.9, 0.5, 0.1], [0.6, 0.4, 0.2], [np.nan] * 3, [0.3, 0.2, 0.1]])
    return Answers(
        pl.DataFrame(rows, schema=SCHEMA, orient="row"),
        CLASSES,
        scores,
        np.array([4, 5, 0, 6]),
        [None, None, "is empty", None],
    )


def test_figures_by_hand(answers: Answers) -> None:
    figures = judge(answers.scores, answers, background=True).figures
    assert figures.mlrap == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert figures.top1_accuracy == 0.5
    assert figures.top1_confidence == pytest.approx(0.6)
    assert (figures.recordings, figures.scored, figures.without_truth, figures.ranked) == (4, 3, 1, 2)
    assert judge(answers.scores, answers, background=False).figures.mlrap == pytest.approx((1 + 1 / 2) / 2)


def test_tables(answers: Answers) -> None:
    judged = judge(answers.scores, answers, background=True)
    predictions = predictions_table(answers, judged)
    assert predictions["recording"].to_list() == ["r1", "r2", "r3", "r4"]
    assert predictions["reason"].to_list() == [None, None, "is empty", None]
    assert predictions["answer_1"].to_list() == ["A", "A", None, "A"]
    assert predictions["answer_4"].to_list() == [None] * 4
    assert predictions["background"][0] == "C"
    scores = scores_table(answers, judged)
    assert len(scores) == 9
    assert scores.filter(recording="r1")["right"].to_list() == [True, False, True]


def test_warnings_stand_beside_what_was_read(answers: Answers) -> None:
    odd = replace(answers, warnings={"r2": ("its end is missing", "é")})
    predictions = predictions_table(odd, judge(odd.scores, odd, background=True))
    assert predictions["warning"].to_list() == [None, "its end is missing; é", None, None]
    assert predictions["answer_1"].to_list() == ["A", "A", None, "A"]
    assert [(failure.name, failure.reason) for failure in odd.odd] == [("val/B/r2.wav", "its end is missing; é")]


def test_over_how_many_recordings_a_figure_is_stands_beside_it(answers: Answers) -> None:
    figures = judge(answers.scores, answers, background=True).figures
    snapshot = Snapshot(Path("x"), Config(), CLASSES, 1, None, "")
    tested = testing.Tested(snapshot, figures, None, Path("x"), answers.failures, [], 1.0)
    assert figure_rows(tested)["MLRAP"] == "0.667, over 2 of 4 recordings"  # r3 is broken, r4 of no class
    assert not tested.complete
    longer, shorter = (
        "its header says 5.0 s, but 10.0 s of sound are there; all are used",
        "its header promises 5.0 s, 2.0 s are there and are used",
    )
    assert replace(tested, failures=[], odd=[Failure("r1", longer)]).complete
    assert not replace(tested, failures=[], odd=[Failure("r1", f"{longer}; {shorter}")]).complete
    assert replace(tested, failures=[]).complete


def test_nothing_scored_is_said(tmp_path: Path, answers: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = replace(answers, scores=np.full((4, 3), np.nan), reasons=["is empty"] * 4)
    snapshot = Snapshot(Path("x"), Config(), CLASSES, 1, None, "")
    with pytest.raises(UserError, match=r"no recording that was held out could be used"):
        conclude(nothing, [Model(snapshot)], nothing.recordings, Config(snapshots=tmp_path), seconds=1.0)
    (written,) = tmp_path.rglob("*.csv")
    assert pl.read_csv(written)["reason"].to_list() == ["is empty"] * 4
    assert "val/A/r1.wav: is empty" in capsys.readouterr().err


def test_of_an_earlier_test_nothing_stays_and_both_files_say_of_what_they_are(tmp_path: Path, answers: Answers) -> None:
    answers = replace(
        answers, scores=np.nan_to_num(answers.scores, nan=0.1), reasons=[None] * 4, fingerprint="0123abcd"
    )
    judged = judge(answers.scores, answers, background=True)
    optional = ("calibration.json", "reliability.png", "thresholds.png")
    settings = Config().testing
    write_report(
        tmp_path,
        answers,
        judged,
        measure(answers, judged, replace(settings, calibration="platt"), made_from="a test"),
        {},
    )
    assert all((tmp_path / name).is_file() for name in optional)
    assert read_calibration(tmp_path / "calibration.json").fingerprint == "0123abcd"
    assert read_thresholds(tmp_path / "thresholds.json", CLASSES).fingerprint == "0123abcd"
    nothing = replace(judged, truth=np.zeros_like(judged.truth))
    write_report(tmp_path, answers, nothing, measure(answers, nothing, settings, made_from="a test"), {})
    assert not [name for name in optional if (tmp_path / name).exists()]
    assert read_thresholds(tmp_path / "thresholds.json", CLASSES).common is None


def test_pictures_are_drawn(tmp_path: Path, answers: Answers) -> None:
    draw_report(tmp_path / "report.png", answers, judge(answers.scores, answers, background=True), title="x")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_is_none_or_of_few_recordings_is_explained(
    tmp_path: Path, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    long = replace(answers, recordings=answers.recordings.with_columns(**{"class": pl.lit("")}))  # as of soundscapes
    figures = judge(long.scores, long, background=True).figures
    tested = testing.Tested(Snapshot(Path("x"), Config(), CLASSES, 1, None, ""), figures, None, Path("x"), [], [], 1.0)
    assert figure_rows(tested)["top-1 accuracy"] == "none (no recording with a class of its own)"
    for count, warns in ((1, True), (9, True), (10, False), (0, False)):
        judged = judge(answers.scores, answers, background=True)
        judged = replace(judged, figures=replace(judged.figures, ranked=count))
        testing._say(tested, [Model(tested.snapshot)], judged, answers)
        err = capsys.readouterr().err
        assert ("so that chance decides" in err) == warns
        assert (f"over only {count} recording{'' if count == 1 else 's'}," in err) == warns
