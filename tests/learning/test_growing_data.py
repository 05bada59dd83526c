"""A run whose data set grew says what changed, stays as it is, and is a start for another."""

import dataclasses
from pathlib import Path

import pytest
import soundfile

import sort_data
import spec
import test
import train
from tests.conftest import RATE, chirp, extracted
from utils.console import UserError
from utils.models.snapshots import find_snapshot, recordings_used
from utils.recordings.splits import read_split

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_run_of_a_data_set_that_grew(tmp_path: Path) -> None:
    config = extracted(tmp_path, recordings=4)
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=1))
    train.main(config)
    run = config.run_folder
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    held_out = set(read_split(config.dataset).filter(split="val")["recording"])
    for seed, name in enumerate(("Altus clarus/N0", "Novus serus/V0", "Novus serus/V1", "Novus serus/V2")):
        (tmp_path / "archive" / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / "archive" / f"{name}.wav", chirp(2500.0, seconds=3, seed=70 + seed), RATE)
    sort_data.main(config)
    with pytest.raises(UserError, match=r"run spec\.py"):  # the store is that of the smaller archive
        train.main(config)
    spec.main(config)
    with pytest.raises(
        UserError,
        match=r"changed since this run was started \(\d more recordings, 1 more classes\);.*pretrained",
    ):
        train.main(config)
    unchanged = {path: path.read_bytes() for path in before if path.name != "settings.toml"}
    assert unchanged == {path: content for path, content in before.items() if path.name != "settings.toml"}
    test.main(config)  # the earlier model can be tested: nothing that it learned is held out now
    other = dataclasses.replace(config, run="other", training=dataclasses.replace(config.training, pretrained=run))
    train.main(other)
    snapshot = find_snapshot(other.run_folder, "best")
    assert snapshot
    assert "Novus serus" in snapshot.classes
    assert not recordings_used(snapshot) & held_out
