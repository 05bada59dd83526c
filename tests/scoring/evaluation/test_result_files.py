"""Result files of a test have its predictions and metrics; unusable recordings are listed with the reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config import Config
from utils.console import Failure, UserError
from utils.models.snapshots import Snapshot
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring import testing
from utils.scoring.evaluation.recordings import compute_metrics, evaluate_predictions
from utils.scoring.evaluation.result_files import (
    draw_report,
    predictions_table,
    right_and_wrong_panels,
    scores_table,
    write_result_files,
)
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.recordings import Predictions
from utils.scoring.metrics.calibration import read_calibration
from utils.scoring.metrics.thresholds import read_thresholds
from utils.scoring.testing import evaluate_and_report, headline_rows

CLASSES = ("A", "B", "C")


@pytest.fixture
def predictions() -> Predictions:
    rows = [
        ("r1", "val/A/r1.wav", "A", ["C"], [], False, None, "val", None, "r1", ""),
        ("r2", "val/B/r2.wav", "B", [], [], False, None, "val", None, "r2", ""),
        ("r3", "val/B/r3.wav", "B", [], [], False, None, "val", None, "r3", ""),
        ("r4", "val/X/r4.wav", "X", [], [], False, None, "val", None, "r4", ""),
    ]
    scores = np.array([[0.9, 0.5, 0.1], [0.6, 0.4, 0.2], [np.nan] * 3, [0.3, 0.2, 0.1]])
    return Predictions(
        pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row"),
        CLASSES,
        scores,
        np.array([4, 5, 0, 6]),
        [None, None, "is empty", None],
    )


def test_metrics_by_hand(predictions: Predictions) -> None:
    headline = evaluate_predictions(predictions.scores, predictions, background=True).headline
    assert headline.mlrap == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert headline.top1_accuracy == 0.5
    assert headline.top1_confidence == pytest.approx(0.6)
    assert (headline.recordings, headline.scored, headline.without_truth, headline.ranked) == (4, 3, 1, 2)
    without_background = evaluate_predictions(predictions.scores, predictions, background=False).headline
    assert without_background.mlrap == pytest.approx((1 + 1 / 2) / 2)


def test_scores_are_plotted_by_right_and_wrong(predictions: Predictions) -> None:
    """Hardest first; C is only in the background, and X is no class."""
    evaluation = evaluate_predictions(predictions.scores, predictions, background=True)
    held_out = compute_metrics(predictions, evaluation, Config().testing, made_from="x")
    panels = {panel.name: panel for panel in right_and_wrong_panels(predictions, evaluation, held_out)}
    precision = dict(held_out.per_class.select("class", "ap").iter_rows())
    assert [*panels] == sorted(CLASSES, key=lambda label: precision[label])
    wrong, right = panels["A"].layers
    assert np.flatnonzero(right).tolist() == [45]  # 0.9, of r1
    assert np.flatnonzero(wrong).tolist() == [15, 30]  # 0.3 and 0.6; r3 has no scores
    assert {panel.thresholds[0] for panel in panels.values()} == {held_out.thresholds.common}


def test_tables(predictions: Predictions) -> None:
    evaluation = evaluate_predictions(predictions.scores, predictions, background=True)
    table = predictions_table(predictions, evaluation)
    assert table["recording"].to_list() == ["r1", "r2", "r3", "r4"]
    assert table["reason"].to_list() == [None, None, "is empty", None]
    assert table["prediction_1"].to_list() == ["A", "A", None, "A"]
    assert table["prediction_4"].to_list() == [None] * 4
    assert table["background"][0] == "C"
    assert [name for name in table.columns if table[name].dtype == pl.Float64] == [
        "lrap",
        *(f"score_{n}" for n in range(1, 6)),
    ]
    assert table["score_2"].to_list() == [0.5, 0.4, None, 0.2]
    scores = scores_table(predictions, evaluation)
    assert len(scores) == 9
    assert scores.filter(recording="r1")["right"].to_list() == [True, False, True]
    assert scores["detected"].to_list() == [None] * 9
    detected = np.arange(12).reshape(4, 3) % 5 == 0
    scores = scores_table(predictions, evaluation, detected)
    assert scores.filter("detected").select("recording", "class").rows() == [("r1", "A"), ("r2", "C"), ("r4", "B")]


def test_warnings_are_listed_beside_the_predictions(predictions: Predictions) -> None:
    odd = replace(predictions, warnings={"r2": ("its end is missing", "é")})
    table = predictions_table(odd, evaluate_predictions(odd.scores, odd, background=True))
    assert table["warning"].to_list() == [None, "its end is missing; é", None, None]
    assert table["prediction_1"].to_list() == ["A", "A", None, "A"]
    assert [(failure.name, failure.reason) for failure in odd.odd] == [("val/B/r2.wav", "its end is missing; é")]


def test_the_number_of_recordings_is_printed_with_the_mlrap(predictions: Predictions) -> None:
    headline = evaluate_predictions(predictions.scores, predictions, background=True).headline
    snapshot = Snapshot(Path("x"), Config(), CLASSES, 1, None, "")
    tested = testing.Tested(snapshot, headline, None, Path("x"), predictions.failures, [], 1.0)
    assert headline_rows(tested)["MLRAP"] == "0.667, over 2 of 4 recordings"  # r3 is broken, r4 of no class
    assert not tested.complete
    longer, shorter = (
        "the header declares 5.0 s, but the file holds 10.0 s; all of it is used",
        "the header declares 5.0 s, but only 2.0 s are there and are used",
    )
    assert replace(tested, failures=[], odd=[Failure("r1", longer)]).complete
    assert not replace(tested, failures=[], odd=[Failure("r1", f"{longer}; {shorter}")]).complete
    assert replace(tested, failures=[]).complete


def test_an_error_is_raised_if_nothing_was_scored(
    tmp_path: Path, predictions: Predictions, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = replace(predictions, scores=np.full((4, 3), np.nan), reasons=["is empty"] * 4)
    snapshot = Snapshot(Path("x"), Config(), CLASSES, 1, None, "")
    with pytest.raises(UserError, match=r"no held-out recording could be used"):
        evaluate_and_report(nothing, [Member(snapshot)], nothing.rows, Config(snapshots=tmp_path), seconds=1.0)
    (written,) = tmp_path.rglob("*.csv")
    assert pl.read_csv(written)["reason"].to_list() == ["is empty"] * 4
    assert "val/A/r1.wav: is empty" in capsys.readouterr().err


def test_optional_files_of_an_earlier_test_are_removed(tmp_path: Path, predictions: Predictions) -> None:
    predictions = replace(
        predictions, scores=np.nan_to_num(predictions.scores, nan=0.1), reasons=[None] * 4, fingerprint="0123abcd"
    )
    evaluation = evaluate_predictions(predictions.scores, predictions, background=True)
    optional = ("calibration.json", "reliability.png", "thresholds.png")
    settings = Config().testing
    write_result_files(
        tmp_path,
        predictions,
        evaluation,
        compute_metrics(predictions, evaluation, replace(settings, calibration="platt"), made_from="a test"),
        {},
    )
    assert all((tmp_path / name).is_file() for name in optional)
    calibration = read_calibration(tmp_path / "calibration.json")
    assert (calibration.fingerprint, calibration.unit, calibration.interval) == ("0123abcd", "recording", None)
    written = read_thresholds(tmp_path / "thresholds.json", CLASSES)
    assert (written.fingerprint, written.unit, written.interval) == ("0123abcd", "recording", None)
    nothing = replace(evaluation, truth=np.zeros_like(evaluation.truth))
    write_result_files(
        tmp_path, predictions, nothing, compute_metrics(predictions, nothing, settings, made_from="a test"), {}
    )
    assert not [name for name in optional if (tmp_path / name).exists()]
    assert read_thresholds(tmp_path / "thresholds.json", CLASSES).common is None


def test_plots_are_drawn(tmp_path: Path, predictions: Predictions) -> None:
    draw_report(
        tmp_path / "report.png",
        predictions,
        evaluate_predictions(predictions.scores, predictions, background=True),
        title="x",
    )
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_an_undefined_metric_and_one_of_few_recordings_are_explained(
    tmp_path: Path, predictions: Predictions, capsys: pytest.CaptureFixture[str]
) -> None:
    long = replace(predictions, rows=predictions.rows.with_columns(**{"class": pl.lit("")}))
    headline = evaluate_predictions(long.scores, long, background=True).headline
    snapshot = Snapshot(Path("x"), Config(), CLASSES, 1, None, "")
    tested = testing.Tested(snapshot, headline, None, Path("x"), [], [], 1.0)
    assert headline_rows(tested)["top-1 accuracy"] == "none (no recording has a primary label that the model knows)"
    headline = evaluate_predictions(predictions.scores, predictions, background=True).headline
    for count, warns in ((1, True), (9, True), (10, False), (0, False)):
        few = replace(tested, headline=replace(headline, ranked=count, ranked_recordings=count))
        testing._print_tested(few, [Member(snapshot)], predictions, Config().testing)
        err = capsys.readouterr().err
        assert ("so it is mostly chance" in err) == warns
        assert (f"over only {count} recording{'' if count == 1 else 's'}," in err) == warns
    many = replace(tested, unit="interval", headline=replace(headline, ranked=5000, ranked_recordings=3))
    testing._print_tested(many, [Member(snapshot)], replace(predictions, unit="interval"), Config().testing)
    told = "the MLRAP is the mean over only 3 recordings (5,000 intervals), so it is mostly chance"
    assert told in capsys.readouterr().err
