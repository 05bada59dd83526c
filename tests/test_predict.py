"""predict.py as a user calls it, and the three functions of the package, on small recordings and untrained networks."""

import csv
import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import birdclef
import predict
import submission_soundscape
from config import Cluster, Config, Log, Submission
from tests.conftest import RATE, REPOSITORY, small_config
from tests.scoring.inference.test_recordings import snapshot
from utils.command_line import from_command_line
from utils.console import INCOMPLETE, UserError
from utils.files import write_text
from utils.models.onnx.interface import can_export
from utils.recordings.given_recordings import find_recordings
from utils.scoring.prediction_call import NOT_OF_A_SNAPSHOT, PredictFlags, split_call
from utils.settings import to_toml

CLASSES = ("Parus major", "Turdus merula", "Sitta europaea")
FILES = {"a.wav": 3.0, "card/b.wav": 2.2, "card/c d.wav": 0.1}  # seconds


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("root")
    for index, (name, seconds) in enumerate(FILES.items()):
        sound = np.random.default_rng(index).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
        (root / "sounds" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / "sounds" / name, sound, RATE)
    write_text(root / "sounds" / "card" / "notes.txt", "nothing")
    plain = small_config(root)
    made = dataclasses.replace(
        plain,
        run="mine",
        testing=dataclasses.replace(plain.testing, pooling="mean"),
        submission=Submission(interval=1.0, folder=root / "submissions"),
    )
    snapshot(made, "mine", CLASSES, seed=1)
    snapshot(made, "other", CLASSES[:2], seed=3)
    write_text(made.run_folder / "settings.toml", to_toml(made))
    return made


@pytest.fixture
def sounds(config: Config) -> Path:
    return config.dataset.root / "sounds"


def run_command(config: Config, *words: str | Path, snapshot: str = "mine") -> int:
    return predict.command([*map(str, words), "--workers", "1", "--snapshot", str(config.snapshots / snapshot)])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_table_is_that_of_a_submission(
    config: Config, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "found.csv"
    assert run_command(config, sounds, "--threshold", "0.2", "--out", out) == 0
    settings = dataclasses.replace(config.submission, recordings=sounds, min_score=0.2, page_minutes=0.0)
    wanted = submission_soundscape.main(dataclasses.replace(config, submission=settings))
    assert out.read_bytes() == wanted.path.read_bytes()
    assert {row["recording"] for row in rows(out)} == set(FILES)
    assert {file.name for file in out.parent.iterdir()} - {f".{out.name}.lock"} == {out.name}  # no parts are left
    printed = capsys.readouterr().out
    assert "1 in the same folders are no recordings" in printed
    assert "a threshold of 0.2" in printed


def test_detections_are_on_the_screen_recording_by_recording(
    config: Config, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(sounds.rglob("*"))
    assert run_command(config, sounds / "card" / "b.wav", "--threshold", "0") == 0
    printed = capsys.readouterr().out
    assert "b.wav\nspecies" in printed
    lines = [line.split() for line in printed.splitlines() if line.startswith("Turdus merula")]
    assert [line[2:4] for line in lines] == [["0:00", "0:01"], ["0:01", "0:02"], ["0:02", "0:02.2"]]
    assert sorted(sounds.rglob("*")) == before


def test_what_the_screen_does_not_show_is_counted(
    config: Config, sounds: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.scoring.predicting.ROWS_ON_SCREEN", 4)
    assert run_command(config, sounds / "a.wav", "--threshold", "0") == 0
    assert "and 5 more; --out detections.csv writes all of them to a file" in capsys.readouterr().out


def test_without_detections_the_highest_score_is_told(
    config: Config, sounds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [config.snapshots / name for name in ("mine", "other")]
    assert predict.command([str(sounds / "a.wav"), "--threshold", "1", "--snapshot", *map(str, both)]) == 0
    scores = birdclef.predict([sounds / "a.wav"], snapshot=both, interval=1.0)
    top = max((scores[label].max(), label) for label in CLASSES)
    assert top[0] < 1
    assert f"highest score: {top[1]} with {top[0]:.3f}, in a.wav at 0:0" in capsys.readouterr().out


def test_one_recording_needs_no_list(config: Config, sounds: Path) -> None:
    one = birdclef.predict(sounds / "a.wav", snapshot=config.run_folder)
    assert one.equals(birdclef.predict([str(sounds / "a.wav")], snapshot=[config.run_folder]))


def test_several_snapshots_are_an_ensemble(config: Config, sounds: Path) -> None:
    paths = [config.snapshots / name for name in ("mine", "other")]
    one, other = (birdclef.predict([sounds / "a.wav"], snapshot=path, interval=1.0) for path in paths)
    both = birdclef.predict([sounds / "a.wav"], snapshot=paths, interval=1.0)
    shared = list(CLASSES[:2])
    mean = (one.select(shared).to_numpy() + other.select(shared).to_numpy()) / 2
    np.testing.assert_allclose(both.select(shared).to_numpy(), mean, atol=1e-6)


def test_a_stopped_call_resumes(
    config: Config, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    assert run_command(config, sounds, "--threshold", "0", "--out", whole) == 0
    from utils.scoring.submissions import score_parts

    written, write = [], score_parts.write_score_part

    def write_once(*values: object, **named: object) -> None:
        if written:
            raise UserError("stopped here")
        written.append(values)
        write(*values, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(score_parts, "write_score_part", write_once)
        assert run_command(config, sounds, "--threshold", "0", "--out", out) == 1
    assert not out.exists()
    assert run_command(config, sounds, "--threshold", "0", "--out", out) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert "1 of 3 recordings were predicted before" in capsys.readouterr().out


def test_a_wrong_place_costs_only_itself(config: Config, sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(config, "nowhere.wav", sounds / "a.wav", "--threshold", "0") == INCOMPLETE
    printed = "".join(capsys.readouterr())
    assert "1 recording could not be used" in printed
    assert "nowhere.wav: no such file or folder" in printed
    assert "1 of 1 in" in printed


def test_a_broken_recording_costs_only_itself(
    config: Config, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    assert run_command(config, broken, sounds / "a.wav", "--threshold", "0") == INCOMPLETE
    printed = "".join(capsys.readouterr())
    assert "broken.wav" in printed
    assert "1 of 2 in" in printed
    with pytest.warns(UserWarning, match=r"broken\.wav"):
        scores = birdclef.predict([broken, sounds / "a.wav"], snapshot=config.run_folder)
    assert scores["recording"].str.ends_with("a.wav").all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.wav"], "nowhere.wav: no such file or folder, and no recording has a name of that pattern"),
        (["."], "no recordings in"),
        ([], "name recordings first"),
        (["~nobody-here/a.wav"], "~nobody-here/a.wav: no such file or folder"),
        (["a.wav", "--out", "found.raven"], "--out found.raven: say in which format"),
        (["a.wav", "--format", "audacity"], "--format, --overwrite and --plots are of --out FILE"),
        (["a.wav", "--plots"], "--format, --overwrite and --plots are of --out FILE"),
        (
            ["a.wav", "--out", "folder", "--overwrite", "--format", "csv"],
            "--out folder: is there already, and --overwrite replaces only",
        ),
        (["a.wav", "--out", "here.csv", "--overwrite", "--format", "raven"], "replaces only files by files"),
        (["a.wav", "--out", "b.wav"], "--out b.wav: has the name of a recording"),
        (["a.wav", "--out", "here.csv"], "--out here.csv: is there already"),
        (["a.wav", "--threshold", "1.5"], "--threshold 1.5: should be from 0 to 1"),
        (["a.wav", "--out", "new.csv", "--format", "kaggle2021"], "--format kaggle2021: should be one of"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(
    config: Config,
    sounds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "here.csv", "mine")
    write_text(tmp_path / "folder" / "corrected_labels.txt", "mine, too")
    if "a.wav" in words:
        words = [str(sounds / "a.wav"), *words[1:]]
    assert run_command(config, *words) == 1
    assert message in capsys.readouterr().err
    assert (tmp_path / "here.csv").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "folder" / "corrected_labels.txt").read_text(encoding="utf-8") == "mine, too"


@pytest.mark.usefixtures("undrawn")
def test_plots_stand_beside_the_table(
    config: Config, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, recording = tmp_path / "found.v2.txt", tmp_path / "card" / "Mill_20210621_030000.wav"
    recording.parent.mkdir()
    recording.write_bytes((sounds / "a.wav").read_bytes())
    words = [recording, sounds / "a.wav", "--threshold", "0", "--out", out, "--format", "csv", "--plots"]
    assert run_command(config, *words) == 0
    plots = tmp_path / "found.v2_plots"
    assert {file.name for file in plots.iterdir()} == {"activity.png", "accumulation.png", "scores.png"}
    assert "no plot of sites: no recording tells where" in capsys.readouterr().out
    out.unlink()
    assert run_command(config, *words) == 0  # as after a call that was killed between plots and table
    plots.rename(tmp_path / "elsewhere")
    plots.write_text("mine")
    assert run_command(config, *words, "--overwrite") == 1
    assert "found.v2_plots: is a file, and the plots belong there" in capsys.readouterr().err


def test_a_table_is_replaced_if_the_user_says_so(config: Config, sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "here.csv"
    write_text(out, "old")
    assert run_command(config, sounds / "a.wav", "--out", out, "--overwrite") == 0
    assert out.read_text(encoding="utf-8").startswith("recording,start,end,species,score")


def test_recordings_of_another_folder_are_not_those_that_were_predicted(
    config: Config, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two recorders on one schedule write files of one name, size and time."""
    out, folders = tmp_path / "found.csv", [tmp_path / "card1", tmp_path / "card2"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        sound = np.random.default_rng(seed).normal(0, 0.1, 2 * RATE).astype(np.float32)
        soundfile.write(folder / "same.wav", sound, RATE)
        os.utime(folder / "same.wav", (1e9, 1e9))
    with monkeypatch.context() as patch:
        patch.setattr("utils.scoring.predicting.Highest.through", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_command(config, folders[0], "--threshold", "0", "--out", out)
    assert run_command(config, folders[1], "--threshold", "0", "--out", out) == 0
    wanted = tmp_path / "wanted.csv"
    assert run_command(config, folders[1], "--threshold", "0", "--out", wanted) == 0
    assert out.read_bytes() == wanted.read_bytes()


def test_a_link_in_the_place_of_the_table_stays_a_link(config: Config, sounds: Path, tmp_path: Path) -> None:
    write_text(tmp_path / "real.csv", "old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert run_command(config, sounds / "a.wav", "--out", tmp_path / "link.csv", "--overwrite") == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text(encoding="utf-8").startswith("recording,")


@pytest.mark.parametrize("dynamic", ["share", "recording"])
def test_dynamic_thresholds_of_the_run_count_unless_one_is_given(
    config: Config, sounds: Path, capsys: pytest.CaptureFixture[str], dynamic: str
) -> None:
    setting = ["--submission.dynamic", dynamic]
    assert run_command(config, sounds, *setting) == 0
    assert ("of all intervals reach" if dynamic == "share" else "in recordings in which") in capsys.readouterr().out
    assert run_command(config, sounds, *setting, "--threshold", "0.3") == 0
    assert re.search(r"^threshold +a threshold of 0\.3 *$", capsys.readouterr().out, re.MULTILINE)


def test_names_with_markup_are_shown_as_they_are(
    config: Config, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "q[/b][red].wav"
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes((sounds / "a.wav").read_bytes())
    assert run_command(config, tmp_path, "--threshold", "0") == 0
    assert Path(name).name in capsys.readouterr().out


def test_dots_that_follow_a_link_lead_where_the_system_says(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(sounds / "card")
    found = find_recordings([str(tmp_path / "link" / ".." / "a.wav")])
    assert found.files == [(sounds / "a.wav").resolve()]


def test_without_a_model_a_line_says_where_models_come_from(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert predict.command([str(sounds / "a.wav")]) == 1
    assert "no trained model comes with the toolkit" in capsys.readouterr().err
    write_text(tmp_path / "snapshots" / "mine" / "log.csv", "epoch")
    assert predict.command([str(sounds / "a.wav")]) == 1
    assert "no such run; snapshots has mine (--snapshot FOLDER)" in capsys.readouterr().err


def test_recordings_are_found_once_each_and_by_patterns(sounds: Path) -> None:
    found = find_recordings([str(sounds / "card"), str(sounds / "**" / "*.wav"), str(sounds / "a.wav")])
    assert [file.relative_to(found.root).as_posix() for file in found.files] == list(FILES)
    assert found.others == 1


def test_an_experiment_comes_before_the_settings_of_the_snapshot(config: Config) -> None:
    run = str(config.run_folder)
    assert split_call(["a.wav", "x.toml", "--snapshot", run]) == (["a.wav"], ["x.toml", "--snapshot", run])
    settings = [f"{run}/settings.toml", *NOT_OF_A_SNAPSHOT]
    assert split_call(["a.wav", f"--snapshot={run}"]) == (["a.wav"], [*settings, f"--snapshot={run}"])
    behind = (["a.wav", "b"], [*settings, "--snapshot", run, "--out", "x"])  # the other order
    assert split_call(["--snapshot", run, "a.wav", "b", "--out", "x"]) == behind
    assert split_call(["a.wav", "--out", "x"]) == (["a.wav"], ["--out", "x"])


def test_a_snapshot_names_no_log_and_no_cluster(config: Config, tmp_path: Path) -> None:
    """Even where it has no sums: it may be a stranger's."""
    evil = dataclasses.replace(
        config, log=Log(file=tmp_path / "evil.log"), cluster=Cluster(address="ray://10.0.0.1:10001")
    )
    write_text(tmp_path / "run" / "settings.toml", to_toml(evil))
    _, words = split_call(["a.wav", "--snapshot", str(tmp_path / "run")])
    found, _ = from_command_line(words, doc="", script="x.py", flags=PredictFlags)
    assert (found.log.file, found.cluster.address) == (None, "")
    found, _ = from_command_line([*words, "--log.file", "mine.log"], doc="", script="x.py", flags=PredictFlags)
    assert found.log.file == Path("mine.log")


@pytest.mark.skipif(not can_export(), reason="the extra `export` is not installed")
def test_a_second_call_waits_for_no_slow_import(config: Config, sounds: Path) -> None:
    run_command(config, sounds / "a.wav", "--threshold", "0")  # makes the graph
    code = (
        "import sys, predict; status = predict.command(sys.argv[1:]);"
        "print({'jax', 'flax', 'orbax', 'onnx', 'matplotlib', 'sklearn', 'pandas', 'scipy.signal'} & {*sys.modules})"
    )
    words = [sys.executable, "-c", code, str(sounds / "a.wav"), "--snapshot", str(config.run_folder)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_spectrogram_is_that_of_the_clip(config: Config, sounds: Path) -> None:
    pixels = birdclef.spectrogram(sounds / "a.wav", start=1.0, settings=config.run_folder)
    assert (pixels.shape, pixels.dtype) == (config.spectrogram.shape, np.uint8)
    cut = sounds / "cut.flac"
    samples, _ = soundfile.read(sounds / "a.wav", dtype="int16")
    soundfile.write(cut, samples[RATE : RATE + round(config.clips.length * RATE)], RATE)
    try:
        np.testing.assert_array_equal(birdclef.spectrogram(cut, settings=config.run_folder), pixels)
    finally:
        cut.unlink()
    end = birdclef.spectrogram(sounds / "a.wav", start=2.9, settings=config.run_folder)
    assert not end[:, -5:].any()  # silence behind the end
    for wrong in (-1.0, 3.5):
        with pytest.raises(UserError, match="start = "):
            birdclef.spectrogram(sounds / "a.wav", start=wrong, settings=config.run_folder)


def table(**columns: list[float]) -> pl.DataFrame:
    count = len(next(iter(columns.values())))
    return pl.DataFrame(
        {"recording": ["a", "a", "b", "c"][:count], "start": [0.0, 5.0, 0.0, 0.0][:count], "end": [5.0, 10.0, 5.0, 5.0]}
        | columns
    )


def test_metrics_are_those_of_a_case_by_hand() -> None:
    scores = table(A=[0.9, 0.2, 0.1, 0.8], B=[0.1, 0.7, 0.6, 0.3], C=[0.2, 0.8, 0.3, 0.1])
    truth = table(A=[1, 0, 0, 0], B=[0, 1, 1, 0], unknown=[0, 0, 0, 1])
    found = birdclef.evaluate(scores, truth)
    assert found["mlrap"].value == pytest.approx((1 + 1 / 2 + 1) / 3)  # the last row has no class that is known
    assert found["top1_accuracy"].value == pytest.approx(2 / 3)
    assert found["cmap"].value == pytest.approx((1 + (1 / 1 + 2 / 2) / 2) / 2)
    assert found["mlrap"].low is not None
    shuffled = birdclef.evaluate(scores.reverse(), truth)
    assert shuffled == found


def test_rows_are_found_by_times_that_are_nearly_the_same() -> None:
    truth = table(A=[1, 0, 0, 1])
    scores = truth.with_columns(pl.col("start", "end") + 1e-9, A=pl.col("A") * 0.5)
    assert birdclef.evaluate(scores, truth.with_columns(pl.col("A").cast(pl.Boolean)))["mlrap"].value == 1


def test_tables_that_do_not_fit_are_refused() -> None:
    scores, truth = table(A=[0.1, 0.2, 0.3, 0.4]), table(A=[1, 0, 0, 1])
    with pytest.raises(ValueError, match="1 rows of truth have no predictions, such as c, 0 to 5 s"):
        birdclef.evaluate(scores[:3], truth)
    with pytest.raises(
        ValueError, match="predictions: rows should have a recording, a start and an end, and be there once"
    ):
        birdclef.evaluate(pl.concat([scores, scores]), truth)
    with pytest.raises(ValueError, match="truth should be 1 where"):
        birdclef.evaluate(scores, truth.with_columns(A=pl.lit(0.5)))
    with pytest.raises(ValueError, match="predictions has no column of a class"):
        birdclef.evaluate(scores.drop("A"), truth)
    with pytest.raises(ValueError, match="predictions: A has values that are not from 0 to 1"):
        birdclef.evaluate(scores.with_columns(A=pl.lit(None, pl.Float64)), truth)
    with pytest.raises(ValueError, match="truth: "):
        birdclef.evaluate(scores, truth.with_columns(A=pl.lit("yes")))
    with pytest.raises(ValueError, match="truth has no column end"):
        birdclef.evaluate(scores, truth.drop("end"))
    with pytest.raises(ValueError, match="predictions: A has values that are not from 0 to 1"):
        birdclef.evaluate(scores.with_columns(A=pl.col("A") * 10), truth)


def test_the_program_of_the_docs_runs(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "snapshots").symlink_to(config.snapshots)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "api.md", "exec"), {})
    printed = capsys.readouterr().out
    assert f"{config.spectrogram.shape} uint8" in printed
    assert "high.wav" in printed
    assert re.search(r"MLRAP \d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", printed)
