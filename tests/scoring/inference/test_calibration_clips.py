"""Clips for int8 are those of recordings that the model was trained with, the same in every call."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from config import Config, Spectrogram
from utils.console import UserError
from utils.models.snapshots import Snapshot
from utils.scoring.inference import calibration_clips as module
from utils.scoring.inference.calibration_clips import calibration_clips


class FakeStore:
    """A store whose clip i is all i: 30 clips of three recordings, every third rejected."""

    def __init__(self, root: Path, spectrogram: Spectrogram, *, at: object = None) -> None:
        self.clips = pl.DataFrame(
            {"recording": ["a", "b", "c"] * 10, "accepted": [index // 3 % 3 > 0 for index in range(30)]}
        )

    def spectrograms(self, clips: np.ndarray) -> np.ndarray:
        return np.stack([np.full((2, 3), clip, np.uint8) for clip in clips])


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    config = Config()
    config = replace(config, dataset=replace(config.dataset, root=tmp_path / "root"))
    (tmp_path / "epoch_001").mkdir()
    (tmp_path / "epoch_001" / "learned.txt").write_text("a\nc\n")
    return Snapshot(tmp_path / "epoch_001", config, ("A", "B"), 1, None, "")


def test_only_accepted_clips_of_learned_recordings_are_drawn(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Store", FakeStore)
    possible = {index for index in range(30) if index % 3 != 1 and index // 3 % 3 > 0}
    drawn = calibration_clips(snapshot)
    assert drawn.shape == (len(possible), 2, 3)
    assert set(drawn[:, 0, 0].tolist()) == possible
    monkeypatch.setattr(module, "CLIPS", 5)
    some = calibration_clips(snapshot)
    assert len(set(some[:, 0, 0].tolist()) & possible) == 5
    assert np.array_equal(some, calibration_clips(snapshot))


def test_without_a_store_it_is_said_what_is_missing(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"epoch_001: int8 needs clips that the model was trained on, .*run spec\.py"):
        calibration_clips(snapshot)
    monkeypatch.setattr(module, "Store", FakeStore)
    (snapshot.folder / "learned.txt").write_text("z\n")
    with pytest.raises(UserError, match=r"which has none; use testing\.engine = onnx, or run spec\.py"):
        calibration_clips(snapshot)
