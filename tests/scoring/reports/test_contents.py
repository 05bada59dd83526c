"""The report's learning curves are those of the model that was tested; its facts say what was judged."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config import Config
from utils.models.snapshots import Snapshot
from utils.models.training_log import EpochRow, write_training_log
from utils.scoring.evaluation.recordings import evaluate_predictions
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.unit_rows import ROWS
from utils.scoring.metrics.units import Unit
from utils.scoring.reports.contents import curves_of, learning_charts
from utils.scoring.reports.report_parts import facts_of_rows


def test_learning_curves_are_those_of_the_model_that_was_tested(tmp_path: Path) -> None:
    members = []
    for name, loss in (("demo", 1.0), ("other", 2.0)):
        folder = tmp_path / name / "epoch_001"
        folder.mkdir(parents=True)
        write_training_log(folder.parent / "log.csv", [EpochRow(1, 0.1, loss, 0.1, None, None, None, 1.0, 1.0)])
        members.append(Member(Snapshot(folder, Config(), ("A",), 1, None, "")))
    for member, loss in zip(members, (1.0, 2.0), strict=True):
        assert curves_of([member])[0].lines[0].y == (loss,)
    assert curves_of(members) == []


def test_learning_curves_are_those_of_the_log(tmp_path: Path) -> None:
    rows = [
        EpochRow(n, 0.1, 2.0 / n, 0.1 * n, 3.0 / n, 0.2, mlrap, 1.0, 1.0) for n, mlrap in ((1, 0.4), (2, 0.6), (3, 0.5))
    ]
    write_training_log(tmp_path / "log.csv", rows)
    loss, metrics = learning_charts(tmp_path / "log.csv")
    assert [line.y for line in loss.lines] == [(2.0, 1.0, 2.0 / 3), (3.0, 1.5, 1.0)]
    assert metrics.lines[2].y == (0.4, 0.6, 0.5)
    assert (loss.mark, metrics.mark) == (2.0, 2.0)


def test_no_log_and_no_validation(tmp_path: Path) -> None:
    assert learning_charts(tmp_path / "log.csv") == []
    write_training_log(tmp_path / "log.csv", [EpochRow(1, 0.1, 2.0, 0.1, None, None, None, 1.0, 1.0)])
    loss, metrics = learning_charts(tmp_path / "log.csv")
    assert (loss.lines[1].y, loss.mark, metrics.mark) == ((None,), None, None)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("recording", {"recordings": "2 of 3 scored"}),
        ("interval", {"recordings": "2", "intervals": "2 of 3 scored, of 2.5 s each"}),
        ("event", {"recordings": "2", "calls": "2 of 3 scored"}),
    ],
)
def test_facts_say_what_was_scored(unit: Unit, expected: dict[str, str]) -> None:
    rows = pl.DataFrame({"recording": ["a", "a", "b"], "class": "A"}, schema_overrides=ROWS).select(
        pl.lit(None, kind).alias(name) if name not in ("recording", "class") else name for name, kind in ROWS.items()
    )
    rows = rows.with_columns(background=pl.lit([], pl.List(pl.String)), events=pl.lit([], ROWS["events"]))
    scores = np.array([[0.5], [np.nan], [0.5]])
    predictions = Predictions(rows, ("A",), scores, np.ones(3, np.int64), [None, "is empty", None], unit=unit)
    headline = evaluate_predictions(scores, predictions, background=True).headline
    assert (headline.ranked, headline.ranked_recordings) == (2, 2)
    settings = dataclasses.replace(Config().testing, interval=2.5)
    assert facts_of_rows(predictions, headline, settings) == expected
