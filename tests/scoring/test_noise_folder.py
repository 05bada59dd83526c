"""`testing.noise_folder`: which of its recordings count, and what a test says of false alarms there."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import test
from config import Config, SettingsError
from tests.conftest import RATE, chirp, extracted
from train import main as train_main
from utils.console import UserError
from utils.recordings.splits import read_split
from utils.scoring.evaluation.false_alarms import FalseAlarms
from utils.scoring.inference.ensembles import chosen_members
from utils.scoring.inference.noise_folder import predict_noise
from utils.scoring.metrics.false_alarms import count_false_alarms
from utils.scoring.metrics.thresholds import read_thresholds
from utils.scoring.testing import check_before_training, headline_rows
from utils.settings_checks import check


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings of a run, and a folder of noise: calls of other pitches, so that there are false alarms."""
    root = tmp_path_factory.mktemp("root")
    config = extracted(root)
    train_main(config)
    for index in range(6):
        file = root / "noise" / f"site{index % 2}" / f"n{index}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, chirp(700.0 + 500 * index, seconds=6.5, seed=90 + index), RATE)
    return with_testing(config, noise_folder=root / "noise", engine="jax")


def with_testing(config: Config, **changes: object) -> Config:
    return dataclasses.replace(config, testing=dataclasses.replace(config.testing, **changes))  # type: ignore[arg-type]


def errors_of(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def test_false_alarms_are_counted_and_thresholds_are_raised(trained: Config) -> None:
    counted = test.main(trained)
    before = counted.false_alarms
    assert before is not None
    assert (before.max_per_hour, before.raised, before.after) == (None, 0, before.before)
    assert before.hours == pytest.approx(6 * 6 / 3600)  # the last half second of each is no clip
    assert (before.recordings, before.intervals, before.interval) == (6, 6 * 6, 1.0)
    assert before.before > 4
    limit = 4.5 / before.hours
    for per_class in (False, True):
        settings = with_testing(
            trained, max_false_alarms=limit, thresholds="per_class" if per_class else "common", min_positives=1
        )
        tested = test.main(settings)
        found = tested.false_alarms
        assert found is not None
        assert found.after <= 4
        assert found.raised > 0
        assert found.recall_before is not None
        assert found.recall_after is not None
        assert found.recall_after <= found.recall_before
        assert tested.metrics["micro_recall"].value == found.recall_after
        saved = json.loads((tested.folder / "metrics.json").read_text())["false_alarms"]
        assert saved["per_hour_after"] == pytest.approx(found.after / found.hours)
        assert saved["before"] >= found.after
        written = read_thresholds(tested.folder / "thresholds.json", tested.snapshot.classes)
        assert written.max_false_alarms == limit
        noise = predict_noise(chosen_members(settings), read_split(trained.dataset), settings, "recording")
        assert noise is not None
        assert count_false_alarms(noise, written) == found.after
        assert "micro recall" in headline_rows(tested)["false alarms per hour"]
        assert "false alarms per hour" in (tested.folder / "report.html").read_text(encoding="utf-8")
    without = test.main(with_testing(trained, noise_folder=None))
    assert without.false_alarms is None
    assert without.metrics["micro_recall"] == counted.metrics["micro_recall"]
    assert json.loads((without.folder / "metrics.json").read_text())["false_alarms"] is None


def test_recordings_that_are_no_noise_are_left_out(
    trained: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = read_split(trained.dataset)
    folder = tmp_path / "noise"
    shutil.copytree(trained.testing.noise_folder or Path(), folder)
    for part in ("val", "train"):
        file = split.filter(split=part)["file"][0]
        shutil.copy(trained.dataset.root / file, folder / f"copy_{part}.wav")
    (folder / "broken.wav").write_bytes(b"RIFF, but no more")
    soundfile.write(folder / "short.wav", np.zeros(RATE // 2), RATE)
    settings = with_testing(trained, noise_folder=folder)
    members = chosen_members(settings)
    whole = predict_noise(members, split, trained, "recording")
    found = predict_noise(members, split, settings, "recording")
    assert whole is not None
    assert found is not None
    np.testing.assert_array_equal(found.scores, whole.scores)
    assert (found.seconds, found.recordings) == (whole.seconds, 6)
    printed = errors_of(capsys)
    assert "4 recordings of testing.noise_folder left out:" in printed
    assert "copy_val.wav: is held out, in val/, and does not count as noise" in printed
    assert f"copy_train.wav: is learned as {split.filter(split='train')['class'][0]}" in printed
    assert "short.wav: is 0.50 s long, shorter than a clip (clips.min_length = 1 s)" in printed
    assert "broken.wav: " in printed
    # noise that is learned as such counts
    as_noise = split.with_columns(pl.when(split="train").then(pl.lit("Noise")).otherwise("class").alias("class"))
    learned = predict_noise(members, as_noise, settings, "recording")
    assert learned is not None
    assert learned.recordings == 7
    assert "1 of its 10 recordings are learned as Noise (copy_train.wav); other noise" in errors_of(capsys)
    for file in (folder / "site0", folder / "site1"):
        shutil.rmtree(file)
    with pytest.raises(UserError, match=r"noise: none of its 4 sound files can be used as noise; set testing\.noise_"):
        predict_noise(members, split, settings, "recording")


def test_intervals_of_a_test_by_intervals(trained: Config) -> None:
    settings = with_testing(trained, interval=2.5)
    found = predict_noise(chosen_members(settings), read_split(trained.dataset), settings, "interval")
    assert found is not None
    assert (found.interval, len(found.scores), found.seconds) == (2.5, 6 * 2, 6 * 5.0)
    longer = predict_noise(
        chosen_members(settings), read_split(trained.dataset), with_testing(settings, interval=10.0), "interval"
    )
    assert longer is not None  # a recording that is shorter is one interval
    assert (len(longer.scores), longer.seconds) == (6, 6 * 6.5)


def test_a_missing_or_empty_folder_is_told_before_anything_is_trained(trained: Config, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, reason in (
        ("empty", "neither it nor its subfolders contain sound files"),
        ("file", "is not a folder"),
        ("gone", "there is no such folder"),
    ):
        settings = with_testing(trained, noise_folder=tmp_path / name)
        message = rf"{name}: {reason}; set testing\.noise_folder to a folder"
        with pytest.raises(UserError, match=message):
            check_before_training(read_split(trained.dataset), settings)
        with pytest.raises(UserError, match=message):
            test.main(settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_false_alarms": 1.0, "noise_folder": None}, r"needs testing\.noise_folder"),
        ({"prior": Path("prior.tsv")}, r"does not go with testing\.noise_folder"),
        ({"metadata": Path("classifier")}, r"does not go with testing\.noise_folder"),
    ],
)
def test_settings_that_do_not_go_together(changes: dict[str, object], message: str) -> None:
    config = with_testing(Config(), noise_folder=Path("noise"))
    check(config)
    with pytest.raises(SettingsError, match=message):
        check(with_testing(config, **changes))


def test_what_else_to_know_is_told() -> None:
    found = FalseAlarms(
        0.5, 1.0, 3, 720, 5.0, before=12, after=0, recall_before=0.8, recall_after=0.4, raised=3, never=1
    )
    assert found.text == "12 before, 0 (at most 0.5), on 1 h of noise, 720 intervals of 5 s"
    assert found.recall_text == "micro recall 0.800 before, 0.400 after"
    never, few = found.notes
    assert never.startswith("1 class is never detected any more, because noise has scores of 1")
    assert few.endswith("no false alarm was allowed; 2 h allow one")
    assert not dataclasses.replace(found, never=0, max_per_hour=2.0).notes


def test_equal_files_count_once_and_pipes_are_told(
    trained: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "noise"
    folder.mkdir()
    soundfile.write(folder / "a.wav", chirp(700.0, seconds=3.0, seed=1), RATE)
    (folder / "copy.wav").write_bytes((folder / "a.wav").read_bytes())
    (folder / "link.wav").symlink_to(folder / "a.wav")
    os.mkfifo(folder / "pipe.wav")
    found = test.main(with_testing(trained, noise_folder=folder)).false_alarms
    assert found is not None
    assert found.recordings == 1
    told = errors_of(capsys)
    assert "copy.wav: has the same content as a.wav, and does not count again" in told
    assert "link.wav: has the same content as a.wav" in told
    assert "pipe.wav: is no file" in told
