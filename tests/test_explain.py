"""explain.py as a user calls it, on small recordings and untrained networks."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import birdclef
import explain
from config import Config, Submission
from tests.conftest import RATE, chirp, small_config
from tests.scoring.inference.test_recordings import snapshot
from utils.files import write_text
from utils.models.onnx.interface import can_export
from utils.recordings.recording import NOISE
from utils.scoring import explaining
from utils.scoring.explaining import cell_table, explain_clip, prepare_explanation
from utils.scoring.explanation_call import ExplainFlags
from utils.scoring.inference.ensembles import MemberGroup
from utils.settings import to_toml

pytestmark = pytest.mark.usefixtures("undrawn")

CLASSES = (NOISE, "Parus major", "Sitta europaea")
SECONDS = 4.3


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("root")
    soundfile.write(root / "a.wav", chirp(2000.0, seconds=SECONDS, seed=1), RATE)
    soundfile.write(root / "short.wav", chirp(2000.0, seconds=0.4, seed=2), RATE)
    (root / "broken.wav").write_bytes(b"RIFF")
    plain = small_config(root)
    mean = dataclasses.replace(plain.testing, pooling="mean")
    made = dataclasses.replace(plain, run="mine", testing=mean, submission=Submission(interval=1.0))
    wide = dataclasses.replace(made, clips=dataclasses.replace(made.clips, length=2.0))
    snapshot(made, "mine", CLASSES, seed=1)
    snapshot(made, "other", CLASSES[:2], seed=3)
    snapshot(wide, "wide", CLASSES, seed=4)
    write_text(made.run_folder / "settings.toml", to_toml(made))
    return made


def run_command(config: Config, *words: str | Path, runs: tuple[str, ...] = ("mine",)) -> int:
    flags = ["--cells", "3", "4", "--snapshot", *(str(config.snapshots / run) for run in runs)]
    return explain.command([*map(str, words), *flags])


def test_the_clip_and_species_are_those_with_the_highest_score(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(config, config.dataset.root / "a.wav", "--table") == 0
    scores = birdclef.predict(config.dataset.root / "a.wav", snapshot=config.run_folder)
    highest = max((scores[label].max(), label) for label in CLASSES[1:])
    printed = capsys.readouterr().out
    assert f"a.wav: {highest[1]}" in printed
    assert f"score             {highest[0]:.3f}" in printed
    assert (tmp_path / "a_explain.png").read_bytes().startswith(b"\x89PNG")
    table = pl.read_csv(tmp_path / "a_explain.csv")
    assert table.columns == ["models", "start", "end", "low", "high", "importance"]
    assert len(table) == 12
    start = scores.filter(pl.col(highest[1]) == highest[0])["start"][0]
    assert table["start"].min() == pytest.approx(start)
    assert table["end"].max() == pytest.approx(start + 1)
    assert (table["low"] < table["high"]).all()
    assert 3500 < table["high"].max() < 3800


def explanations(config: Config, runs: tuple[str, ...] = ("mine",), **flags: object) -> list[explaining.Explanation]:
    call = ExplainFlags(tuple(config.snapshots / run for run in runs), cells=(3, 4), **flags)  # type: ignore[arg-type]
    return explain_clip(prepare_explanation([str(config.dataset.root / "a.wav")], config, call), config)


@pytest.mark.parametrize(("at", "start"), [(0.0, 0.0), (2.6, 2.0), (4.25, 3.65)])
def test_a_time_chooses_the_nearest_clip(config: Config, at: float, start: float) -> None:
    (one,) = explanations(config, at=at, species="sitta EUROPAEA")
    assert one.clip.start == pytest.approx(start, abs=0.01)  # the last interval is 0.3 s long, its clip centred on it
    assert one.species == "Sitta europaea"
    scores = birdclef.predict(config.dataset.root / "a.wav", snapshot=config.run_folder)
    predicted = scores.filter((pl.col("start") <= at) & (pl.col("end") > at))["Sitta europaea"][0]
    assert one.found.score == pytest.approx(predicted, abs=1e-6)


def test_a_model_that_looks_at_one_band_is_explained_by_it(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows 5 to 7 of 16 are those of the calls, and all of them in the middle row of cells."""

    def scorer(group: MemberGroup, _: object) -> object:
        def scores(pixels: np.ndarray) -> object:
            table = np.zeros((len(pixels), len(group.classes)), np.float32)
            table[:, 1] = pixels[:, 5:8].max(axis=1).mean(axis=1) / 255
            return type("Scores", (), {"columns": table})

        return scores

    monkeypatch.setattr(MemberGroup, "scorer", scorer)
    (one,) = explanations(config)
    assert one.species == "Parus major"
    table = cell_table(one).sort("importance", descending=True)
    assert table["low"][0] < 2000 < table["high"][0]
    rows = one.found.importance.sum(axis=1)  # patches are two rows of cells: half of those of the others reach the band
    assert rows.tolist() == pytest.approx([rows[1] / 2, rows[1], rows[1] / 2])
    assert one.found.background < one.found.score


def test_models_with_other_clips_are_explained_one_by_one(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "both.png"
    words = [config.dataset.root / "a.wav", "--out", out, "--table", "--species", "Sitta europaea"]
    assert run_command(config, *words, runs=("other", "mine", "wide")) == 0
    table = pl.read_csv(out.with_suffix(".csv"))
    assert table["models"].n_unique() == 2
    lengths = table.group_by("models").agg(pl.col("end").max() - pl.col("start").min())["end"].sort()
    assert lengths.to_list() == pytest.approx([1.0, 2.0])
    assert run_command(config, *words[:3], "--species", "Sitta europaea", runs=("other", "wide")) == 0
    assert "other/epoch_001: does not know Sitta europaea, and is left out" in capsys.readouterr().out


def test_a_recording_that_is_shorter_than_a_clip_is_explained(config: Config, tmp_path: Path) -> None:
    assert run_command(config, config.dataset.root / "short.wav", "--out", tmp_path / "x.png") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name one recording first"),
        (["a.wav", "short.wav"], "name one recording first"),
        (["gone.wav"], "gone.wav: no such file"),
        (["."], ".: is a folder; name a recording in it"),
        (["broken.wav"], "broken.wav: "),
        (["a.wav", "--at", "-1"], "--at -1: should be 0 or more"),
        (["a.wav", "--at", "99"], "a.wav ends at about 4."),
        (["a.wav", "--species", "Parus mayor"], "is none of the 2 classes of the model; the nearest is Parus major"),
        (["a.wav", "--species", "Noise"], "is none of the 2 classes"),
        (["a.wav", "--out", "a.wav"], "--out a.wav: should be the image to write"),
        (["a.wav", "--cells", "0", "4"], "--cells 0 4: should be rows and columns, 1 to 64"),
        (["a.wav", "--snapshot", "nowhere"], "--snapshot nowhere: neither a snapshot nor"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(config.dataset.root)
    before = sorted(config.dataset.root.iterdir())
    given = words if "--snapshot" in words else [*words, "--snapshot", str(config.run_folder)]
    assert explain.command(given) == 1
    assert message in capsys.readouterr().err
    assert sorted(config.dataset.root.iterdir()) == before


def test_bird_models_from_files_are_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    members = explaining.chosen_members(config)
    taken = dataclasses.replace(config.external, sha256="0" * 64)
    made = dataclasses.replace(members[0].snapshot, config=dataclasses.replace(config, external=taken))
    monkeypatch.setattr(explaining, "chosen_members", lambda _: [dataclasses.replace(members[0], snapshot=made)])
    with pytest.raises(explaining.UserError, match="takes sound"):
        explanations(config)


@pytest.mark.skipif(not can_export(), reason="the extra `export` is not installed")
def test_a_second_call_imports_no_jax(config: Config, tmp_path: Path) -> None:
    words = [str(config.dataset.root / "a.wav"), "--out", str(tmp_path / "x.png"), "--snapshot", str(config.run_folder)]
    assert explain.command(words) == 0  # makes the graph
    code = (
        "import sys, explain; status = explain.command(sys.argv[1:]);"
        "print({'jax', 'flax', 'orbax', 'onnx', 'sklearn', 'pandas'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.stdout.splitlines()[-1] == "set()"
