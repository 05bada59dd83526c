"""The net that is tested can be kept as a file; of several, none is."""

from pathlib import Path

import pytest

from config import Config
from utils.console import Trouble
from utils.models.snapshots import Snapshot
from utils.scoring.ensembles import Model
from utils.scoring.testing import keep_net


def test_one_net_makes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    monkeypatch.setattr("utils.scoring.testing.export", lambda snapshot, path: kept.append((snapshot, path)))
    models = [Model(Snapshot(tmp_path / name, Config(), ("A",), 1, None, "")) for name in ("one", "two")]
    keep_net(models[:1], None)
    assert not kept
    with pytest.raises(Trouble, match=r"--export: one net makes a file, testing\.models names 2"):
        keep_net(models, tmp_path / "net.onnx")
    keep_net(models[1:], tmp_path / "net.onnx")
    assert kept == [(models[1].snapshot, tmp_path / "net.onnx")]
