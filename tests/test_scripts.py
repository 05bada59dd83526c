"""The whole chain as a user runs it: on the demo data set, stopped and resumed, and with broken files."""

import dataclasses
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
import soundfile
from sklearn.metrics import label_ranking_average_precision_score

import evaluate
import sort_data
import spec
import test
import train
from config import Spectrogram
from tests.conftest import RATE, REPOSITORY, chirp, small_config, write_folders
from utils import console
from utils.demo.archive import make_demo
from utils.demo.broken import BROKEN
from utils.settings import load
from utils.settings_checks import check

pytestmark = pytest.mark.usefixtures("undrawn")  # scripts that tests start draw

FLAGS = {
    "clips.signal_threshold": "0.0005",
    "spectrogram.height": "32",
    "spectrogram.width": "64",
    "model.name": "Baseline",
    "model.filters": "4 8",
    "training.epochs": "2",
    "training.validation_share": "0.2",
    "dataset.val_share": "0.25",
    "testing.ridge": "",
    "workers": "1",  # two are in tests/chaos
}
STAGES = ("sort_data.py", "spec.py", "train.py", "test.py")


def command(script: str, root: Path, **more: str) -> list[str]:
    flags = {**FLAGS, "dataset.root": str(root), "snapshots": str(root / "snapshots"), "run": "t", **more}
    words = [
        word
        for key, value in flags.items()
        for word in (f"--{key}", *(value.split() if key == "model.filters" else [value] if value else []))
    ]
    return [sys.executable, str(REPOSITORY / script), *words]


def run(script: str, root: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(script, root, **more), cwd=root.parent, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, subprocess.CompletedProcess[str]]]:
    """Run the chain once on a small demo archive."""
    root = tmp_path_factory.mktemp("demo set") / "demo"  # a folder with a space in its name
    make_demo(root, per_species=4)
    return root, {script: run(script, root) for script in STAGES}


def test_every_stage_succeeds_and_names_the_next(
    demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    _, results = demo
    for script, result in results.items():
        assert result.returncode == (console.INCOMPLETE if script in ("sort_data.py", "spec.py") else 0), (
            script,
            result.stdout,
            result.stderr,
        )
        assert "Traceback" not in result.stderr
    for script, following in pairwise(STAGES):
        assert f"python {following}" in results[script].stdout


def test_every_broken_file_is_named_with_a_reason(
    demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    root, results = demo
    told = results["sort_data.py"].stderr + results["spec.py"].stderr
    lines = told.splitlines()
    for file in BROKEN:
        index = file.split("_RN")[1].split(".")[0]
        assert any(f"_RN{index}" in line and len(line.split(": ", 1)[1]) > 5 for line in lines), (file, told)
    recordings = pl.read_parquet(root / "spec" / "recordings.parquet")
    intact = pl.read_parquet(root / "split.parquet").height - sum(Path(file).suffix == ".wav" for file in BROKEN)
    assert recordings["reason"].is_null().sum() >= intact
    tested = pl.read_csv(root / "snapshots" / "t" / "test" / "predictions.csv")
    assert len(tested) == pl.read_parquet(root / "split.parquet").filter(split="val").height


def test_the_mlrap_is_that_of_scikit_learn_for_the_saved_scores(
    demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    root, results = demo
    folder = root / "snapshots" / "t" / "test"
    table = pl.read_parquet(folder / "scores.parquet")
    scores, right = (
        table.pivot(on="class", index="recording", values=name, maintain_order=True).drop("recording").to_numpy()
        for name in ("score", "right")
    )
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["mlrap"] == pytest.approx(label_ranking_average_precision_score(right, scores), abs=1e-12)
    assert f"{metrics['mlrap']:.3f}" in results["test.py"].stdout
    predictions = pl.read_csv(folder / "predictions.csv")
    assert metrics["mlrap"] == pytest.approx(predictions["lrap"].mean(), abs=1e-9)
    assert metrics["top1_accuracy"] == pytest.approx(
        predictions.filter(pl.col("clips") > 0).select(pl.col("class") == pl.col("prediction_1")).to_series().mean()
    )
    assert 0 < metrics["ridge"]["mlrap"] < 1
    assert 0 < metrics["seconds_per_batch"] < metrics["seconds"]
    assert metrics["clips_per_second"] > metrics["clips"] / metrics["seconds"]
    assert "clips per second" in results["test.py"].stdout


def test_saved_settings_start_the_same_run_again(
    demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    root, _ = demo
    saved = load(root / "snapshots" / "t" / "settings.toml")
    assert (saved.run, saved.dataset.root, saved.training.epochs) == ("t", root, 2)
    script = [sys.executable, str(REPOSITORY / "evaluate.py"), str(root / "snapshots" / "t" / "settings.toml")]
    again = subprocess.run(script, cwd=REPOSITORY, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    for word in (
        "MLRAP",
        "top-1 accuracy",
        "ridge",
        "sort_data",
        "spec",
        "train",
        "test",
        "epoch_00",
        "log.csv",
        "report.html",
    ):
        assert word in again.stdout.split("Evaluated")[1]


def test_stages_out_of_order_name_what_is_missing(tmp_path: Path) -> None:
    for script, missing in (
        ("sort_data.py", "no such folder"),
        ("spec.py", "run sort_data.py"),
        ("train.py", "run spec.py"),
        ("test.py", "run sort_data.py"),
    ):
        result = run(script, tmp_path / "nothing")
        assert result.returncode == 1
        assert missing in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_wrong_settings_end_at_once(tmp_path: Path) -> None:
    result = run("sort_data.py", tmp_path, **{"spectrogram.fmax": "30000"})
    assert result.returncode == 2
    assert result.stderr.startswith(
        "sort_data.py: command line: spectrogram.fmax = 30000.0: should be at most half of spectrogram.rate"
    )


def start(script: str, root: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(script, root, **more),
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract, without a stop, a data set that takes seconds."""
    root = tmp_path_factory.mktemp("many") / "root"
    write_folders(root.parent / "archive", recordings=6, seconds=60)
    for script in ("sort_data.py", "spec.py"):
        result = run(script, root, **{"dataset.archive": str(root.parent / "archive")})
        assert result.returncode == 0, result.stderr
    return root


def test_extraction_stopped_and_resumed(undisturbed: Path, tmp_path: Path) -> None:
    """By Ctrl-C; kills are in tests/chaos."""
    many = tmp_path / "root"
    shutil.copytree(undisturbed, many, ignore=shutil.ignore_patterns("spec"))
    process = start("spec.py", many)
    parts = many / "spec" / "parts"
    wait_for(lambda: parts.is_dir() and any(parts.glob("*.zip")), process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; no file is half-written" in errors
    assert "Traceback" not in errors
    assert not (many / "spec" / "clips.parquet").exists()
    again = run("spec.py", many)
    assert again.returncode == 0, again.stderr
    for file in sorted((undisturbed / "spec").rglob("*")):
        if file.is_file() and file.name != "settings.toml":
            assert (many / "spec" / file.relative_to(undisturbed / "spec")).read_bytes() == file.read_bytes(), file
    assert {file.name for file in (many / "spec").rglob("*")} == {
        file.name for file in (undisturbed / "spec").rglob("*")
    }


def test_training_stopped_and_resumed(undisturbed: Path, tmp_path: Path) -> None:
    """A run that was stopped in its second epoch or later and resumed ends bit for bit as one that was not."""
    flags = {"training.epochs": "6", "training.early_stopping": "0", "snapshots": str(tmp_path)}
    whole = run("train.py", undisturbed, run="undisturbed", **flags)
    assert whole.returncode == 0, whole.stderr
    process = start("train.py", undisturbed, **flags)
    run_folder = tmp_path / "t"
    wait_for(lambda: any(run_folder.glob("epoch_*")), process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not (run_folder / "epoch_006").exists()
    again = run("train.py", undisturbed, **flags)
    assert again.returncode == 0, again.stderr
    assert "resuming after epoch" in again.stdout
    import jax

    from utils.models.saved_networks import load_network
    from utils.models.snapshots import find_snapshot

    networks = [
        load_network(snapshot)[1]
        for folder in (run_folder, run_folder.with_name("undisturbed"))
        if (snapshot := find_snapshot(folder, "latest"))
    ]
    assert len(networks) == 2
    assert all(np.array_equal(one, other) for one, other in zip(*map(jax.tree.leaves, networks), strict=True))


@pytest.mark.parametrize("mode", ["all", "info", "progress", "error", "result"])
def test_log_modes(tmp_path: Path, mode: str) -> None:
    write_folders(tmp_path / "archive")
    (tmp_path / "archive" / "Altus clarus" / "broken.wav").write_bytes(b"RIFF")
    log = tmp_path / "logs" / "sort.txt"
    result = run(
        "sort_data.py",
        tmp_path / "root",
        **{"dataset.archive": str(tmp_path / "archive"), "log.mode": mode, "log.file": str(log)},
    )
    assert result.returncode == console.INCOMPLETE
    assert ("Sorted" in result.stdout) == (mode in ("all", "info", "result"))
    assert ("10/10 recordings" in result.stdout) == (mode in ("all", "progress"))
    assert "broken: cannot be opened" in result.stderr
    for text in ("Sorted", "broken: cannot be opened", "split.parquet"):
        assert text in log.read_text()
    assert "\x1b" not in log.read_text()
    assert all(line.startswith(("20", " ")) or line.strip() for line in log.read_text().splitlines())


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("sort_data.py", tmp_path / "root", **{"log.file": str(tmp_path / "file" / "log.txt")})
    assert result.returncode == 1
    assert "log.file = " in result.stderr
    assert "Traceback" not in result.stderr


def test_real_recordings(tmp_path: Path, birds: Path) -> None:
    """Three species of ../shared/birds go through the whole chain."""
    archive = tmp_path / "birds"
    for split in ("train", "test"):
        for species in ("Corvus_corax", "Phylloscopus_collybita", "Columba_palumbus"):
            (archive / split / species).mkdir(parents=True)
            for file in sorted((birds / split / species).iterdir())[:3]:
                (archive / split / species / file.name).symlink_to(file)
    root = tmp_path / "root"
    base = small_config(root, archive)
    settings = dataclasses.replace(
        base,
        dataset=dataclasses.replace(base.dataset, sort_mode="symlink"),
        spectrogram=Spectrogram(height=32, width=64),
    )
    for script in (sort_data, spec, evaluate):
        script.main(settings)
    split = pl.read_parquet(root / "split.parquet")
    assert set(split["reason"]) == {"given"}
    assert set(split["class"]) == {"Corvus corax", "Phylloscopus collybita", "Columba palumbus"}
    metrics = json.loads((root / "snapshots" / "small" / "test" / "metrics.json").read_text())
    assert metrics["scored"] == metrics["recordings"] == split.filter(split="test").height
    assert 0 < metrics["mlrap"] <= 1


def test_long_recordings_with_annotations_go_through_the_chain(tmp_path: Path) -> None:
    archive, pitches = tmp_path / "archive", {"Altus clarus": 3000.0, "Bassus gravis": 1000.0}
    archive.mkdir()
    rows = ["file,start,end,species"]
    for tape in range(6):
        sound = np.random.default_rng(tape).normal(0, 0.003, 24 * RATE).astype(np.float32)
        for index, (species, pitch) in enumerate(pitches.items()):
            start = 2 + 8 * index + tape / 2
            sound[int(start * RATE) : int((start + 5) * RATE)] += chirp(pitch, seconds=5.0, seed=10 * tape + index)
            rows.append(f"tape{tape}.wav,{start},{start + 5},{species}")
        soundfile.write(archive / f"tape{tape}.wav", sound, RATE)
    (archive / "annotations.csv").write_text("\n".join(rows))
    (archive / "rain").mkdir()
    base = small_config(tmp_path / "root", archive)
    settings = dataclasses.replace(
        base, dataset=dataclasses.replace(base.dataset, test_share=0.2, val_share=0.2, seed=3)
    )
    sort_data.main(settings)
    split = pl.read_parquet(tmp_path / "root" / "split.parquet")
    assert split["class"].to_list() == [""] * 6
    assert set(split["split"]) == {"train", "val", "test"}
    spec.main(settings)
    clips = pl.read_parquet(tmp_path / "root" / "spec" / "clips.parquet")
    for recording, start, label in clips.filter("accepted").select("recording", "start", "class").iter_rows():
        offset = int(recording[4:]) / 2
        expected = [
            species
            for index, species in enumerate(pitches)
            if start + 1 > 2 + 8 * index + offset and start < 7 + 8 * index + offset
        ]
        assert [label] == expected
    assert clips.filter("accepted").height > 60
    trained = train.main(settings)
    assert (trained.folder / "epoch_003" / "classes.txt").read_text().split("\n")[:2] == list(pitches)
    tested, recordings = test.main(settings), split.filter(split="test").height
    assert (tested.unit, tested.headline.recordings) == ("interval", 5 * recordings)  # of 24 s
    whole = test.main(dataclasses.replace(settings, testing=dataclasses.replace(settings.testing, unit="recording")))
    assert whole.headline.recordings == recordings
    assert whole.headline.mlrap == 1.0  # both sing in every recording


def test_noise_is_a_class_that_is_neither_rejected_nor_predicted(tmp_path: Path, archive: Path) -> None:
    (archive / "Noise").mkdir()
    for index in range(3):
        soundfile.write(
            archive / "Noise" / f"hiss{index}.wav", np.random.default_rng(index).normal(0, 0.01, 4 * RATE), RATE
        )
    base = small_config(tmp_path / "root", archive)
    settings = dataclasses.replace(
        base,
        clips=dataclasses.replace(base.clips, signal_threshold=0.02),
        training=dataclasses.replace(base.training, signal_interval=(0.02, 1.0)),
    )
    sort_data.main(settings)
    spec.main(settings)
    recordings = pl.read_parquet(tmp_path / "root" / "spec" / "recordings.parquet").filter(pl.col("class") == "Noise")
    assert (recordings["kept"].to_list(), recordings["rejected"].to_list()) == ([5, 5, 5], [0, 0, 0])
    trained = train.main(settings)
    assert "Noise" in (trained.folder / "epoch_003" / "classes.txt").read_text().splitlines()
    tested = test.main(settings)
    assert tested.headline.without_truth == 0  # noise is no unknown species
    assert 0 <= json.loads((tested.folder / "metrics.json").read_text())["metrics"]["noise_detected"]["value"] <= 1
    assert "Noise" not in pl.read_parquet(tested.folder / "scores.parquet")["class"]


def test_a_small_config_is_valid() -> None:
    check(small_config(Path("x")))


def test_tested_runs_are_compared(
    demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = demo
    folders = (tmp_path / "one", tmp_path / "other")
    for folder in folders:
        shutil.copytree(root / "snapshots" / "t", folder)
    evaluate.main(load(folders[0] / "settings.toml"), evaluate.Flags(compare=folders))
    assert "MLRAP" in capsys.readouterr().out
    assert (tmp_path / "compare.html").is_file()


def test_the_network_is_exported(
    demo: tuple[Path, dict[str, subprocess.CompletedProcess[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")
    root, _ = demo
    exported = tmp_path / "exported" / "network.onnx"
    test.main(load(root / "snapshots" / "t" / "settings.toml"), test.Flags(export=exported))
    assert "docs/file-formats.md" in " ".join(capsys.readouterr().out.split())
    assert onnxruntime.InferenceSession(exported).get_inputs()[0].shape[1:] == [32, 64]
