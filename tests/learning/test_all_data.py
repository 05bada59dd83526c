"""The final training learns every recording, validates on none, and is refused where it would be tested on them."""

import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import distill
import evaluate
import sort_data
import spec
import test
import train
from config import Config, Distillation
from tests.conftest import small_config, write_folders
from utils.console import UserError
from utils.learning.examples import choose_examples, read_examples
from utils.models.snapshots import find_snapshot, recordings_used, snapshots_of
from utils.models.training_log import read_training_log
from utils.recordings.splits import read_split
from utils.spectra.store import Store

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("all")
    write_folders(folder / "archive", recordings=6)
    config = small_config(folder / "root", folder / "archive")
    config = replace(
        config,
        dataset=replace(config.dataset, test_share=0.2),
        training=replace(config.training, epochs=3, early_stopping=1, all_data=True),
    )
    sort_data.main(config)
    spec.main(config)
    return config


def test_all_recordings_are_learned(config: Config) -> None:
    split, examples = read_split(config.dataset), read_examples(config)
    assert set(split["split"]) == {"train", "val", "test"}
    assert set(examples.recordings) == set(split["recording"])
    assert len(examples.validation_rows) == 0
    part = read_examples(replace(config, training=replace(config.training, all_data=False)))
    assert examples.classes == part.classes
    assert len(examples.rows) > len(part.rows) + len(part.validation_rows)
    assert examples.fingerprint != part.fingerprint


def test_classes_are_those_of_train(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    split = read_split(config.dataset)
    moved = split.with_columns(split=pl.when(pl.col("class") == "Solus unicus").then(pl.lit("test")).otherwise("split"))
    examples = choose_examples(Store(config.dataset.root), moved, config)
    assert examples.classes == ("Altus clarus", "Bassus gravis")
    assert not any(name.startswith("Solus") for name in examples.recordings)
    assert "1 class has clips in val/ or test/, but none in train/: left out: Solus unicus" in (capsys.readouterr().err)


def test_the_last_epoch_is_kept_and_no_test_takes_it(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    train.main(config)
    assert re.search(r"next +python submission_soundscape\.py, with the same experiment", capsys.readouterr().out)
    rows = read_training_log(config.run_folder / "log.csv", until=99)
    assert [row.validation_loss for row in rows] == [None] * 3  # early_stopping has no effect
    best = find_snapshot(config.run_folder, "best")
    assert best
    assert [snapshot.epoch for snapshot in snapshots_of(config.run_folder)] == [best.epoch] == [3]
    assert best.config.training.all_data
    assert recordings_used(best) == set(read_split(config.dataset)["recording"])
    for held_out in ("val", "test"):
        with pytest.raises(UserError, match=r"too good: it learned all recordings \(training\.all_data\): test a run"):
            test.main(replace(config, testing=replace(config.testing, held_out=held_out)))


def test_what_tests_in_the_end_is_refused_before_training(config: Config) -> None:
    new = replace(config, run="new")
    with pytest.raises(UserError, match=r"training\.all_data learns the held-out recordings, .* train\.py"):
        evaluate.main(new)
    student = replace(new, distillation=Distillation(teachers=(Path("teacher"),)))
    with pytest.raises(UserError, match=r"training\.all_data is set, but distill\.py tests the student"):
        distill.main(student)
    assert not new.run_folder.exists()
