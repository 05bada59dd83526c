"""The metrics of the models alone stand beside those of the blend with the metadata classifier."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config import Config
from utils.models.snapshots import Snapshot
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring import testing
from utils.scoring.evaluation.without_metadata import compare_without_metadata
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.unit_rows import ROWS
from utils.scoring.metrics.registry import METRICS
from utils.scoring.reports.report_parts import Report
from utils.scoring.testing import evaluate_and_report

CLASSES = ("A", "B", "C")


def blended() -> Predictions:
    """Alone, one of two blended recordings is right; the blend names both. The third has no place and is wrong."""
    rows = [
        (name, f"val/{name}.wav", label, [], [], False, None, "val", None, name, "")
        for name, label in (("r1", "A"), ("r2", "B"), ("r3", "C"))
    ]
    scores = np.array([[0.9, 0.5, 0.1], [0.4, 0.6, 0.2], [0.9, 0.5, 0.1]], np.float32)
    alone = np.array([[0.9, 0.5, 0.1], [0.6, 0.5, 0.2], [np.nan] * 3], np.float32)
    return Predictions(
        pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row"),
        CLASSES,
        scores,
        np.array([4, 5, 6]),
        [None] * 3,
        without_metadata=alone,
    )


def test_only_blended_recordings_are_compared() -> None:
    predictions = blended()
    found = compare_without_metadata(predictions, Config().testing)
    assert found is not None
    assert found.metrics == {"mlrap": (0.75, 1.0), "top1_accuracy": (0.5, 1.0)}
    assert found.text == "MLRAP 0.750 (blended 1.000), top-1 accuracy 0.500 (blended 1.000), over 2 blended recordings"
    assert found.facts["metrics"]["mlrap"] == {"alone": 0.75, "blended": 1.0}
    assert compare_without_metadata(replace(predictions, without_metadata=None), Config().testing) is None


def test_intervals_have_their_main_metrics() -> None:
    rows = [
        {"recording": name, "file": f"{name}.wav", "class": "", "background": [], "events": [], "start": start}
        | {"end": start + 5.0, "events": [{"start": start, "end": start + 5.0, "species": label}]}
        for name in ("a", "b", "c")
        for start, label in ((0.0, "A"), (5.0, "B"))
    ]
    right = np.tile(np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1]], np.float32), (3, 1))
    table = pl.DataFrame(rows, schema=ROWS)
    predictions = Predictions(
        table, CLASSES, right, np.ones(6, np.int64), [None] * 6, unit="interval", without_metadata=right[:, [1, 0, 2]]
    )
    found = compare_without_metadata(predictions, Config().testing)
    assert found is not None
    assert list(found.metrics) == ["mlrap", "cmap", "micro_f1", "row_f1", "macro_f1"]
    assert found.metrics["cmap"] == (pytest.approx(0.5), 1.0)
    assert found.metrics["row_f1"].alone < found.metrics["row_f1"].blended == 1.0
    assert found.over == "6 blended intervals"


def test_the_table_the_metrics_file_and_the_report_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = list[Report]()
    monkeypatch.setattr("utils.scoring.reports.contents.galleries", lambda *given: ())
    monkeypatch.setattr(testing, "write_report", lambda path, report: pages.append(report))
    predictions = blended()
    members = [Member(Snapshot(tmp_path / "x", Config(), CLASSES, 1, None, ""))]
    config = Config(run="x", snapshots=tmp_path)
    evaluate_and_report(predictions, members, predictions.rows, config, seconds=1.0)
    printed = " ".join(capsys.readouterr().out.split())
    assert "without metadata MLRAP 0.750 (blended 1.000)" in printed
    saved = json.loads((tmp_path / "x" / "test" / "metrics.json").read_text())
    assert saved["without_metadata"]["rows"] == 2
    assert saved["without_metadata"]["metrics"]["top1_accuracy"] == {"alone": 0.5, "blended": 1.0}
    shown = {row.name: row for row in pages[0].metrics}
    assert shown["MLRAP without metadata"].value == 0.75
    assert shown["MLRAP without metadata"].note == "the models alone, on 2 blended recordings; blended 1.000"
    assert METRICS["mlrap"].title in shown
