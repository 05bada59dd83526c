"""The whole chain as a user runs it: on the made-up data set, stopped and started again, and with broken files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import label_ranking_average_precision_score

import config
from tests.conftest import RATE, REPOSITORY, chirp, small_config, write_folders
from utils.demo.archive import make_demo
from utils.demo.broken import BROKEN

FLAGS = {
    "clips.signal_threshold": "0.0005",
    "spectrogram.height": "32",
    "spectrogram.width": "64",
    "model.name": "Baseline",
    "model.filters": "4 8",
    "training.epochs": "2",
    "training.val_share": "0.2",
    "dataset.val_share": "0.25",
    "testing.ridge": "",
    "workers": "2",
}
STAGES = ("sort_data.py", "spec.py", "train.py", "test.py")


def command(script: str, root: Path, **more: str) -> list[str]:
    flags = {**FLAGS, "dataset.root": str(root), "snapshots": str(root / "snapshots"), "run": "t", **more}
    words = [word for key, value in flags.items() for word in (f"--{key}", *(value.split() if key == "model.filters" else [value] if value else []))]
    return [sys.executable, str(REPOSITORY / script), *words]


def run(script: str, root: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(script, root, **more), cwd=root.parent, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, subprocess.CompletedProcess[str]]]:
    """Run the chain once on a small made-up archive."""
    root = tmp_path_factory.mktemp("demo set") / "demo"  # a folder with a space in its name
    make_demo(root, per_species=4)
    return root, {script: run(script, root) for script in STAGES}


def test_every_stage_ends_well_and_says_what_is_next(demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]]) -> None:
    _, results = demo
    for script, result in results.items():
        assert result.returncode == 0, (script, result.stdout, result.stderr)
        assert "Traceback" not in result.stderr
    for script, following in pairwise(STAGES):
        assert f"python {following}" in results[script].stdout


def test_every_broken_file_is_named_with_a_reason(demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]]) -> None:
    root, results = demo
    told = results["sort_data.py"].stderr + results["spec.py"].stderr
    lines = told.splitlines()
    for file in BROKEN:
        number = file.split("_RN")[1].split(".")[0]
        assert any(f"_RN{number}" in line and len(line.split(": ", 1)[1]) > 5 for line in lines), (file, told)
    recordings = pl.read_parquet(root / "spec" / "recordings.parquet")
    intact = pl.read_parquet(root / "split.parquet").height - sum(Path(file).suffix == ".wav" for file in BROKEN)
    assert recordings["reason"].is_null().sum() >= intact
    tested = pl.read_csv(root / "snapshots" / "t" / "test" / "predictions.csv")
    assert len(tested) == pl.read_parquet(root / "split.parquet").filter(side="val").height


def test_the_headline_is_what_scikit_learn_finds_in_the_scores(demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]]) -> None:
    root, results = demo
    folder = root / "snapshots" / "t" / "test"
    table = pl.read_parquet(folder / "scores.parquet")
    scores, right = (table.pivot(on="class", index="recording", values=name, maintain_order=True).drop("recording").to_numpy() for name in ("score", "right"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["mlrap"] == pytest.approx(label_ranking_average_precision_score(right, scores), abs=1e-12)
    assert f"{metrics['mlrap']:.3f}" in results["test.py"].stdout
    predictions = pl.read_csv(folder / "predictions.csv")
    assert metrics["mlrap"] == pytest.approx(predictions["lrap"].mean(), abs=1e-9)
    assert metrics["top1_accuracy"] == pytest.approx(predictions.filter(pl.col("clips") > 0).select(pl.col("class") == pl.col("answer_1")).to_series().mean())
    assert 0 < metrics["ridge"]["mlrap"] < 1


def test_saved_settings_start_the_same_run_again(demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]]) -> None:
    root, _ = demo
    saved = config.load(root / "snapshots" / "t" / "settings.toml")
    assert (saved.run, saved.dataset.root, saved.training.epochs) == ("t", root, 2)
    script = [sys.executable, str(REPOSITORY / "evaluate.py"), str(root / "snapshots" / "t" / "settings.toml")]
    again = subprocess.run(script, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    for word in ("MLRAP", "top-1 accuracy", "ridge", "sort_data", "spec", "train", "test", "epoch_00", "log.csv", "report.png"):
        assert word in again.stdout.split("Evaluated")[1]


def test_stages_out_of_order_say_what_is_missing(tmp_path: Path) -> None:
    for script, missing in (("sort_data.py", "no such folder"), ("spec.py", "run sort_data.py"), ("train.py", "run spec.py"), ("test.py", "run sort_data.py")):
        result = run(script, tmp_path / "nothing")
        assert result.returncode == 1
        assert missing in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_wrong_settings_end_at_once(tmp_path: Path) -> None:
    result = run("train.py", tmp_path, **{"spectrogram.fmax": "30000"})
    assert result.returncode == 2
    assert result.stderr.startswith("train.py: command line: spectrogram.fmax = 30000.0: should be at most half of spectrogram.rate")


def start(script: str, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(script, root, **{"training.epochs": "300", "training.early_stopping": "0"}),
        cwd=root.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def wait_for(condition: object, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Write a sorted data set that takes seconds to extract."""
    import soundfile

    root = tmp_path / "root"
    write_folders(tmp_path / "archive", recordings=6, seconds=60)
    sorted_ = run("sort_data.py", root, **{"dataset.archive": str(tmp_path / "archive")})
    assert sorted_.returncode == 0, sorted_.stderr
    soundfile.write(tmp_path / "x.wav", chirp(1000, seconds=1, seed=1), RATE)
    return root


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_extraction_stopped_and_started_again(many: Path, how: signal.Signals) -> None:
    undisturbed = many.parent / "undisturbed"
    shutil.copytree(many, undisturbed)
    assert run("spec.py", undisturbed).returncode == 0
    process = start("spec.py", many)
    parts = many / "spec" / "parts"
    wait_for(lambda: parts.is_dir() and any(parts.glob("*.npz")), process)
    os.killpg(process.pid, how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    if how == signal.SIGINT:
        assert "stopped; nothing is half-written" in errors
        assert "Traceback" not in errors
    assert not (many / "spec" / "clips.parquet").exists()
    again = run("spec.py", many)
    assert again.returncode == 0, again.stderr
    for file in sorted((undisturbed / "spec").rglob("*")):
        if file.is_file() and file.name != "settings.toml":
            assert (many / "spec" / file.relative_to(undisturbed / "spec")).read_bytes() == file.read_bytes(), file
    assert {file.name for file in (many / "spec").rglob("*")} == {file.name for file in (undisturbed / "spec").rglob("*")}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_training_stopped_and_started_again(many: Path, how: signal.Signals) -> None:
    assert run("spec.py", many).returncode == 0
    process = start("train.py", many)
    run_folder = many / "snapshots" / "t"
    wait_for(lambda: any(run_folder.glob("epoch_*")), process)
    os.killpg(process.pid, how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -9)
    if how == signal.SIGINT:
        assert "Traceback" not in errors
    from utils.models.snapshots import all_of, load_net

    for snapshot in all_of(run_folder):
        assert np.isfinite(np.asarray(load_net(snapshot)[1].params["output"]["bias"][...])).all()
    tested = run("test.py", many)
    assert tested.returncode == 0, tested.stderr


def test_real_recordings(tmp_path: Path, birds: Path) -> None:
    """Three species of ../shared/birds go through the whole chain."""
    archive = tmp_path / "birds"
    for side in ("train", "test"):
        for species in ("Corvus_corax", "Phylloscopus_collybita", "Columba_palumbus"):
            (archive / side / species).mkdir(parents=True)
            for file in sorted((birds / side / species).iterdir())[:3]:
                (archive / side / species / file.name).symlink_to(file)
    root = tmp_path / "root"
    for script in ("sort_data.py", "spec.py", "evaluate.py"):
        result = run(script, root, **{"dataset.archive": str(archive), "dataset.sort_mode": "symlink", "training.epochs": "3"})
        assert result.returncode == 0, result.stderr
    split = pl.read_parquet(root / "split.parquet")
    assert set(split["reason"]) == {"given"}
    assert set(split["class"]) == {"Corvus corax", "Phylloscopus collybita", "Columba palumbus"}
    metrics = json.loads((root / "snapshots" / "t" / "test" / "metrics.json").read_text())
    assert metrics["scored"] == metrics["recordings"] == split.filter(side="val").height
    assert 0 < metrics["mlrap"] <= 1


def test_a_small_config_is_valid() -> None:
    config._check(small_config(Path("x")))
