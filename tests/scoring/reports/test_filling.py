"""The report is about what was tested, whichever run asked for it."""

from pathlib import Path

from config import Config
from utils.models.snapshots import Snapshot
from utils.models.training_log import EpochRow, write_log
from utils.scoring.inference.ensembles import Model
from utils.scoring.reports.filling import curves_of


def test_learning_curves_are_those_of_the_net_that_was_tested(tmp_path: Path) -> None:
    models = []
    for name, loss in (("demo", 1.0), ("other", 2.0)):
        folder = tmp_path / name / "epoch_001"
        folder.mkdir(parents=True)
        write_log(folder.parent / "log.csv", [EpochRow(1, 0.1, loss, 0.1, None, None, None, 1.0, 1.0)])
        models.append(Model(Snapshot(folder, Config(), ("A",), 1, None, "")))
    for model, loss in zip(models, (1.0, 2.0), strict=True):
        assert curves_of([model])[0].lines[0].y == (loss,)
    assert curves_of(models) == []
