"""A search for thresholds leaves thresholds that a submission reads, a table, and a plot of it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.scoring.evaluation.test_plots import BLUE, GREEN, ORANGE, seen
from utils.scoring.evaluation.threshold_files import write_threshold_search
from utils.scoring.metrics.bootstrap import draw_recordings
from utils.scoring.metrics.threshold_table import threshold_table
from utils.scoring.metrics.thresholds import find_thresholds, read_thresholds

PURPLE = (148, 103, 189)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("recordings", [1, 20])
def test_three_files_are_written(tmp_path: Path, per_class: bool, recordings: int) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((400, 4)) < 0.1
    scores = (rng.random((400, 4)) ** 3 + 0.5 * truth).clip(0, 1).astype(np.float32)
    found = find_thresholds(scores, truth, list("abcd"), per_class=per_class, made_from="here")
    table = threshold_table(scores, truth, draw_recordings(np.arange(400) * recordings // 400, draws=50, seed=1))
    stem = tmp_path / "run.v1_thresholds"
    write_threshold_search(stem, found, table, title="a $title")
    assert names_in(tmp_path) == [f"run.v1_thresholds.{ending}" for ending in ("csv", "json", "png")]
    assert read_thresholds(tmp_path / "run.v1_thresholds.json", list("abcd")) == found
    read = pl.read_csv(tmp_path / "run.v1_thresholds.csv")
    assert read["threshold"].to_list() == table["threshold"].to_list()
    assert read.columns == table.columns
    assert seen(tmp_path / "run.v1_thresholds.png", [GREEN, PURPLE])
    assert seen(tmp_path / "run.v1_thresholds.png", [BLUE, ORANGE], pixels=50)


def test_without_true_pairs_there_is_no_plot(tmp_path: Path) -> None:
    scores, truth = np.random.default_rng(1).random((4, 2)), np.zeros((4, 2), bool)
    (tmp_path / "thresholds.png").write_bytes(b"of an earlier test")
    found = find_thresholds(scores, truth, ["a", "b"], per_class=False, metric="row_f1", made_from="here")
    table = threshold_table(scores, truth, draw_recordings(np.arange(4), draws=5, seed=1))
    write_threshold_search(tmp_path / "thresholds", found, table, title="run")
    assert names_in(tmp_path) == ["thresholds.csv", "thresholds.json"]


@pytest.mark.parametrize(("low", "high"), [(-2.0, 1.0), (0.5, 1.5), (0.3, 0.3)])
def test_any_scores_are_drawn(tmp_path: Path, low: float, high: float) -> None:
    scores, truth = np.array([[low, high], [high, low]]), np.ones((2, 2), bool)
    found = find_thresholds(scores, truth, ["a", "b"], per_class=False, made_from="here")
    table = threshold_table(scores, truth, draw_recordings(np.arange(2), draws=5, seed=1))
    write_threshold_search(tmp_path / "thresholds", found, table, title="run")
    assert (tmp_path / "thresholds.png").is_file()
