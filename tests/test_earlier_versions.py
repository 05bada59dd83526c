"""What an earlier version wrote (tests/earlier/make.py) is still read: settings, split, store, snapshots, results."""

import dataclasses
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import evaluate
import spec
import submission_monophone
import test
import train
from config import Config
from utils import console
from utils.command_line import from_command_line
from utils.learning.distillation import run_without_teachers
from utils.models.training_log import best_row, read_training_log
from utils.recordings.splits import read_split
from utils.scoring.reports.contents import learning_charts
from utils.spectra.store import Store

EARLIER = Path(__file__).parent / "earlier"
OLD_NAMES = (
    "training.val_share",
    "testing.side",
    "spectrogram.pictures",
    "distillation.keep_answers",
    "distillation.untaught",
)


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Put what the earlier version wrote into the current folder; return the settings that it was made with."""
    with tarfile.open(EARLIER / "data.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    shutil.copy(EARLIER / "settings.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return from_command_line(["settings.toml"], doc="", script="x.py")[0]


def content(folder: Path, *, but: str = "\0") -> dict[str, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and but not in str(path)]
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def test_old_names_of_settings_give_one_line_each(earlier: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert (earlier.training.validation_share, earlier.testing.held_out) == (0.4, "val")
    assert earlier.spectrogram.images
    assert not earlier.distillation.cache_predictions
    assert not earlier.distillation.compare_without_teachers
    assert console.run(lambda config: config, doc="", script="x.py", arguments=["settings.toml"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(OLD_NAMES)
    for line, name in zip(sorted(lines), sorted(OLD_NAMES), strict=True):
        assert line.startswith(f"warning: settings.toml: {name} is now called ")
    # snapshots and stores hold settings of all versions, and nobody needs to change those
    Store(earlier.dataset.root)
    assert not capsys.readouterr().err


def test_the_split_is_read(earlier: Config) -> None:
    split = read_split(earlier.dataset)
    assert split.group_by("split").len().sort("split").rows() == [("train", 9), ("val", 3)]
    assert all(file.startswith(f"{side}/") for file, side in split.select("file", "split").iter_rows())


def test_the_store_is_complete(earlier: Config, capsys: pytest.CaptureFixture[str]) -> None:
    folder = earlier.dataset.root / "spec"
    before = content(folder / "shards")
    (folder / "pictures").mkdir()
    (folder / "answers_0123456789abcdef.npy").touch()
    assert not spec.main(earlier).failures
    assert content(folder / "shards") == before
    assert "pictures was written by an earlier version" in capsys.readouterr().out
    store = Store(earlier.dataset.root)
    assert store.clips["index"].to_list() == [0, 1] * 12
    arrays = [np.load(file) for file in sorted(folder.rglob("pictures.npy"))]
    assert len(arrays) == 3
    np.testing.assert_array_equal(store.spectrograms(np.arange(24)), np.concatenate(arrays))
    assert len(list((folder / "images").rglob("*.png"))) == 24


def test_a_store_that_no_spec_has_touched_since_is_read(earlier: Config) -> None:
    assert "number" in pl.read_parquet(earlier.dataset.root / "spec" / "clips.parquet").columns
    assert Store(earlier.dataset.root).clips["index"].to_list() == [0, 1] * 12


def test_a_run_resumes(earlier: Config, capsys: pytest.CaptureFixture[str]) -> None:
    log = earlier.run_folder / "log.csv"
    before = pl.read_csv(log)
    assert "val_mlrap" in before.columns
    shutil.rmtree(earlier.run_folder / "epoch_006")  # as if it had been killed
    assert train.main(earlier).epochs == 6
    told = capsys.readouterr().out
    assert "epoch   6" in told
    assert "epoch   5" not in told
    now = pl.read_csv(log)
    assert now["validation_mlrap"][:5].to_list() == before["val_mlrap"][:5].to_list()
    for name, old in {"loss": "loss", "validation_loss": "val_loss"}.items():
        np.testing.assert_allclose(now[name], before[old], rtol=1e-2)  # the last epoch was trained on another machine


def test_a_test_finds_the_same(earlier: Config) -> None:
    results = earlier.run_folder / "test"
    metrics = json.loads((results / "metrics.json").read_text())
    scores = pl.read_parquet(results / "scores.parquet")
    test.main(earlier)
    again = json.loads((results / "metrics.json").read_text())
    assert again["mlrap"] == pytest.approx(metrics["mlrap"], abs=1e-9)
    np.testing.assert_allclose(pl.read_parquet(results / "scores.parquet")["score"], scores["score"], atol=1e-4)


def test_thresholds_and_calibration_are_those_of_the_model(earlier: Config, capsys: pytest.CaptureFixture[str]) -> None:
    submission = dataclasses.replace(earlier.submission, recordings=Path("root/val"), min_score=0.0)
    submission_monophone.main(dataclasses.replace(earlier, submission=submission))
    told = capsys.readouterr().err
    assert "thresholds.json" not in told
    assert "calibration.json" not in told
    # of another model they are not
    thresholds = earlier.run_folder / "test" / "thresholds.json"
    thresholds.write_text(json.dumps({**json.loads(thresholds.read_text()), "fingerprint": "0123456789abcdef"}))
    submission_monophone.main(dataclasses.replace(earlier, submission=submission))
    assert "thresholds.json: " in capsys.readouterr().err


def test_the_log_is_read_by_the_report(earlier: Config) -> None:
    log = earlier.run_folder / "log.csv"
    best = best_row(read_training_log(log, until=99))
    assert best
    assert (best.epoch, best.validation_mlrap, best.validation_loss) == (
        6,
        pytest.approx(0.5),
        pytest.approx(1.051, abs=1e-3),
    )
    assert len(learning_charts(log)) == 2


def test_runs_are_compared(earlier: Config) -> None:
    other = earlier.snapshots / "other"
    shutil.copytree(earlier.run_folder, other)
    evaluate.main(earlier, evaluate.Flags(compare=(earlier.run_folder, other)))
    assert (earlier.snapshots / "compare.html").is_file()


def test_the_run_without_teachers_keeps_the_name_it_has(earlier: Config) -> None:
    assert run_without_teachers(earlier) == "earlier-without-teachers"
    (earlier.snapshots / "earlier-untaught").mkdir()
    assert run_without_teachers(earlier) == "earlier-untaught"
    (earlier.snapshots / "earlier-without-teachers").mkdir()
    assert run_without_teachers(earlier) == "earlier-without-teachers"
