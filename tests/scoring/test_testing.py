"""The net that is tested can be kept as a file; of several, none is. What a test needs is looked for before training."""

from dataclasses import replace
from pathlib import Path

import pytest

import sort_data
from config import Config
from tests.conftest import small_config
from utils.console import UserError
from utils.models.snapshots import Snapshot
from utils.recordings.splits import read_split
from utils.scoring.inference.ensembles import Model
from utils.scoring.testing import check_before_training, keep_net


def test_one_net_makes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr("utils.scoring.testing.export", lambda snapshot, path: kept.append((snapshot, path)))
    models = [Model(Snapshot(tmp_path / name, Config(), ("A",), 1, None, "")) for name in ("one", "two")]
    keep_net(models[:1], None)
    assert not kept
    with pytest.raises(UserError, match=r"--export: one net makes a file, testing\.models names 2"):
        keep_net(models, tmp_path / "net.onnx")
    keep_net(models[1:], tmp_path / "net.onnx")
    assert kept == [(models[1].snapshot, tmp_path / "net.onnx")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": Path("nowhere.tsv")}, r"nowhere\.tsv: no such file; mend testing\.prior"),
        (
            {"models": (Path("nowhere"),)},
            r"nowhere: neither a snapshot nor the folder of a run with one; mend testing\.models",
        ),
        ({"side": "test"}, r"no recording is held out in test/"),
    ],
)
def test_what_a_test_lacks_is_said_before_training(
    tmp_path: Path, archive: Path, changes: dict[str, object], message: str
) -> None:
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    check_before_training(read_split(config.dataset), config)
    # this run's net, which is not there yet
    own = replace(config, testing=replace(config.testing, models=(config.run_folder,)))
    check_before_training(read_split(config.dataset), own)
    with pytest.raises(UserError, match=message):
        check_before_training(read_split(config.dataset), replace(config, testing=replace(config.testing, **changes)))
