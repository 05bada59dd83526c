"""The report's learning curves are those of the model that was tested, and what its log contains."""

from pathlib import Path

from config import Config
from utils.models.snapshots import Snapshot
from utils.models.training_log import EpochRow, write_training_log
from utils.scoring.inference.ensembles import Member
from utils.scoring.reports.contents import curves_of, learning_charts


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
