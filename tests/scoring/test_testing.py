"""The tested network can be exported; what a test needs is checked before training."""

from dataclasses import replace
from pathlib import Path

import pytest

import sort_data
from config import Config
from tests.conftest import small_config
from utils.console import UserError
from utils.models.snapshots import Snapshot
from utils.recordings.splits import read_split
from utils.scoring.exporting import export_network
from utils.scoring.inference.ensembles import Member
from utils.scoring.testing import check_before_training


def test_only_one_network_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = []
    monkeypatch.setattr(
        "utils.scoring.exporting.export", lambda *given, calibration: exported.append((*given, calibration))
    )
    members = [Member(Snapshot(tmp_path / name, Config(), ("A",), 1, None, "")) for name in ("one", "two")]
    export_network(members[:1], None)
    assert not exported
    with pytest.raises(UserError, match=r"--export: can export only one network, but testing\.models names 2"):
        export_network(members, tmp_path / "net.onnx")
    export_network(members[1:], tmp_path / "net.onnx")
    assert exported == [(members[1].snapshot, tmp_path / "net.onnx", None)]
    monkeypatch.setattr(
        "utils.scoring.exporting.calibration_clips", lambda snapshot: f"clips of {snapshot.folder.name}"
    )
    export_network(members[:1], tmp_path / "net.onnx", int8=True)
    assert exported[1:] == [(members[0].snapshot, tmp_path / "net.onnx", "clips of one")]
    with pytest.raises(UserError, match=r"--int8: says how to export; add --export FILE"):
        export_network(members, None, int8=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior": Path("nowhere.tsv")}, r"nowhere\.tsv: no such file; fix testing\.prior"),
        (
            {"models": (Path("nowhere"),)},
            r"nowhere: neither a snapshot nor the folder of a run with one; fix testing\.models",
        ),
        ({"held_out": "test"}, r"no recording is held out in test/"),
    ],
)
def test_missing_files_are_reported_before_training(
    tmp_path: Path, archive: Path, changes: dict[str, object], message: str
) -> None:
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    check_before_training(read_split(config.dataset), config)
    # the model of this run, which is not trained yet
    this_run = replace(config, testing=replace(config.testing, models=(config.run_folder,)))
    check_before_training(read_split(config.dataset), this_run)
    with pytest.raises(UserError, match=message):
        check_before_training(read_split(config.dataset), replace(config, testing=replace(config.testing, **changes)))
