"""Clips of a folder without birds: their targets, hard ones first, and models that stay silent on other noise."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
import soundfile

import test
import train
from config import Config
from tests.conftest import RATE, extracted
from tests.training_runs import pause_training
from utils.console import UserError
from utils.learning import hard_negatives, noise_clips
from utils.learning.batches import ResidentBatches, StreamedBatches
from utils.learning.devices import device_mesh
from utils.learning.examples import Examples, read_examples
from utils.learning.fold_training import read_fold_examples
from utils.learning.hard_negatives import hard_per_epoch, hardest, make_mining
from utils.learning.input_statistics import input_statistics
from utils.learning.loop import _primary_of_epoch
from utils.learning.noise_clips import with_noise_folder
from utils.learning.targets import targets_of
from utils.models.networks import build_network
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot
from utils.scoring.inference.onnx_sessions import scores_of
from utils.scoring.inference.predictors import predictor
from utils.spectra.noise_store import open_noise_store
from utils.spectra.store import Store

pytestmark = pytest.mark.usefixtures("undrawn")


def write_noise(folder: Path, *, seed: int, recordings: int = 4, seconds: float = 6.0) -> None:
    """Write rumbles and hisses that come and go, of random pitch and width."""
    folder.mkdir(parents=True)
    time = np.arange(int(seconds * RATE)) / RATE
    for index in range(recordings):
        generator = np.random.default_rng((seed, index))
        pitch = generator.uniform(900, 3100)
        hum = np.sin(2 * np.pi * pitch * time + 40 * np.cumsum(generator.normal(size=len(time))) / RATE)
        samples = 0.2 * hum + 0.05 * generator.normal(size=len(time))
        soundfile.write(folder / f"n{index}.wav", samples.astype(np.float32), RATE)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("noise_clips")
    write_noise(root / "noise", seed=1)
    write_noise(root / "others", seed=2)
    made = extracted(root)
    return with_training(made, loss="binary", noise_folder=root / "noise", noise_ratio=0.5, hard_negatives=0.5)


def with_training(config: Config, run: str = "run", **changes: Any) -> Config:
    return dataclasses.replace(config, run=run, training=dataclasses.replace(config.training, **changes))


def examples_of(config: Config) -> Examples:
    return with_noise_folder(read_examples(config), config)


def weights(run: Path) -> list[np.ndarray]:
    latest = find_snapshot(run, "latest")
    assert latest
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_network(latest)[1])]


def test_targets_say_that_no_species_is_there(config: Config) -> None:
    config = with_training(config, absent_target=0.0025, secondary_target=0.3, primary_target=0.995)
    examples, without = examples_of(config), read_examples(config)
    first = len(without.rows)
    assert examples.noise_clips == len(examples.rows) - first == 4 * 6
    labels = jax.tree.map(lambda leaf: jnp.asarray(leaf[first:]), examples.labels)
    targets = targets_of(labels, len(examples.classes), config.training)
    np.testing.assert_array_equal(np.asarray(targets), np.full((24, 3), 0.0025, np.float32))
    np.testing.assert_array_equal(labels.weight, 1.0)
    assert examples.store.clips["recording"][examples.rows[first:]].str.starts_with("noise_folder/").all()
    np.testing.assert_array_equal(examples.sampled_classes[first:], -1)
    np.testing.assert_array_equal(examples.rows_of_data_set, without.rows)


def test_with_one_label_they_are_of_the_class_noise(config: Config) -> None:
    config = with_training(config, loss="cross_entropy", noise_class=True)
    examples = examples_of(config)
    assert examples.classes == ("Altus clarus", "Bassus gravis", "Noise", "Solus unicus")  # the store rejected nothing
    first = len(examples.rows_of_data_set)
    assert set(examples.labels.primary[first:].tolist()) == {2}
    assert 2 not in examples.labels.primary[:first]
    np.testing.assert_array_equal(examples.sampled_classes[first:], -1)
    found = _primary_of_epoch(examples, config.training)
    assert (found == 2).sum() == round(0.5 * first)  # by which classes are weighted
    train.main(dataclasses.replace(config, run="one_label"))
    table = pl.read_csv(config.snapshots / "one_label" / "hard_negatives.csv")
    assert "Noise" not in table["species"].to_list()


def test_validation_and_scaling_stay_and_the_fingerprint_changes(config: Config) -> None:
    examples, without = examples_of(config), read_examples(config)
    for name in ("validation_rows", "validation_recording", "validation_truth", "validation_primary"):
        np.testing.assert_array_equal(getattr(examples, name), getattr(without, name))
    assert examples.fingerprint != without.fingerprint
    off = with_training(config, noise_folder=None, hard_negatives=0.0)
    assert examples_of(off).fingerprint == without.fingerprint
    scaled = dataclasses.replace(config, model=dataclasses.replace(config.model, normalize="dataset"))
    same = [input_statistics(one, scaled) for one in (examples, without)]
    assert same[0] is not None
    assert same[1] is not None
    np.testing.assert_array_equal(same[0].mean, same[1].mean)


def test_folds_learn_them_too(config: Config) -> None:
    assert read_fold_examples(config).noise_clips == 24


def test_several_hosts_are_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_clips, "host_count", lambda: 2)
    with pytest.raises(UserError, match=r"learned by one host alone; remove it, or --coordinator"):
        examples_of(config)


def test_a_ratio_that_draws_none_is_refused(config: Config) -> None:
    with pytest.raises(UserError, match=r"noise_ratio = 0\.001: no clip of training\.noise_folder would be learned"):
        examples_of(with_training(config, noise_ratio=0.001))


def test_the_highest_scores_are_the_hardest() -> None:
    assert hardest(np.array([0.1, 0.9, 0.5, 0.9], np.float32), 3).tolist() == [1, 3, 2]


@pytest.mark.parametrize("supply_of", [ResidentBatches, StreamedBatches])
def test_clips_with_the_highest_scores_are_mined(
    config: Config, supply_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network whose scores are the mean grey level, and whose class Noise has a higher one on dark clips."""
    config = with_training(config, "mined", noise_class=True)
    examples, mesh = examples_of(config), device_mesh(config.training.batch_size)
    graph, network = build_network(config.model, classes=4, shape=config.input_shape, seed=1)

    def by_grey_level(_: object, __: object, images: jax.Array) -> tuple[jax.Array, None]:
        grey = images.mean(axis=(1, 2))
        dark = 100 * (1 - grey)
        return jnp.stack([grey - 9, grey, dark, grey - 5], axis=1), None

    monkeypatch.setattr(hard_negatives, "apply", by_grey_level)
    supply = supply_of(examples, batch_size=config.training.batch_size, mesh=mesh, loops=False)
    mine = make_mining(graph, supply, examples, config, mesh)
    assert mine
    mined = mine(network, 3)
    first, count = len(examples.rows_of_data_set), hard_per_epoch(examples, config)
    assert count == round(0.5 * min(24, round(0.5 * first))) > 3
    grey = examples.store.spectrograms(examples.rows[first:]).mean(axis=(1, 2))
    assert sorted(mined) == sorted((first + np.argsort(-grey, kind="stable")[:count]).tolist())
    table = pl.read_csv(config.run_folder / "hard_negatives.csv")
    assert table.columns == ["epoch", "recording", "start", "species", "score"]
    assert table["score"].is_sorted(descending=True)
    assert set(table["species"]) == {"Bassus gravis"}
    assert set(table["epoch"]) == {3}
    np.testing.assert_allclose(table["score"].max(), 1 / (1 + np.exp(-grey.max() / 255)), rtol=1e-5)


def test_without_hard_negatives_nothing_is_mined(config: Config) -> None:
    config = with_training(config, "random", hard_negatives=0.0, epochs=1)
    train.main(config)
    assert not (config.run_folder / "hard_negatives.csv").exists()


def test_a_run_paused_in_an_epoch_ends_as_an_undisturbed_one(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, paused = with_training(config, "whole"), with_training(config, "paused")
    train.main(whole)
    for steps in (2, 1, 7):  # in the first epoch, at its next step, and in the second
        pause_training(paused, monkeypatch, after=steps)
        state = json.loads((paused.run_folder / "paused" / "snapshot.json").read_text())
        assert len(state["hard_negatives"]) == hard_per_epoch(examples_of(config), config)
    assert state["epoch"] == 1
    (paused.run_folder / "hard_negatives.csv").write_text("a table for people\n")
    train.main(paused)
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole.run_folder), weights(paused.run_folder), strict=True))
    columns = ["epoch", "loss", "accuracy", "validation_loss"]
    logs = [pl.read_csv(run.run_folder / "log.csv").select(columns) for run in (whole, paused)]
    assert logs[0].equals(logs[1])


def test_a_pause_without_its_hard_negatives_is_refused(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_training(config, "lost")
    pause_training(run, monkeypatch, after=2)
    path = run.run_folder / "paused" / "snapshot.json"
    state = json.loads(path.read_text())
    hard = state["hard_negatives"]
    for wrong in ([], [*hard[:-1], 0], [*hard[:-1], hard[0]]):
        path.write_text(json.dumps({**state, "hard_negatives": wrong}))
        with pytest.raises(UserError, match=r"paused: is a damaged snapshot .*hard_negatives.*; remove it"):
            train.main(run)


def test_models_that_learned_noise_are_more_silent_on_other_noise(config: Config) -> None:
    other = (config.training.noise_folder or Path()).parent / "others"
    more = {"epochs": 6, "early_stopping": 0, "noise_ratio": 1.0}
    learned = with_training(config, "learned", **more)
    without = with_training(config, "without", **more | {"noise_folder": None, "hard_negatives": 0.0})
    highest = {}
    noise = open_noise_store(Store(config.dataset.root), other, without)
    for run in (learned, without):
        train.main(run)
        latest = find_snapshot(run.run_folder, "latest")
        assert latest
        graph, network = load_network(latest)
        predict = predictor(graph, batch_size=8)
        logits = predict(network, noise.spectrograms(np.arange(len(noise.clips)))).logits
        highest[run.run] = float(scores_of(logits, multi_label=True).max())
        birds = predict(network, examples_of(without).clips(examples_of(without).rows)).logits
        known = scores_of(birds, multi_label=True)
        assert known.max() > 0.5  # of birds
    assert highest["learned"] < 0.7 * highest["without"], highest


def test_noise_that_is_learned_is_not_tested_on(config: Config) -> None:
    run = with_training(config, "tested", epochs=1)
    train.main(run)
    folder = config.training.noise_folder
    forgot = with_training(run, "tested", noise_folder=None, hard_negatives=0.0)
    for one in (run, forgot):  # by the settings, and by those of the model
        with pytest.raises(UserError, match="share recordings"):
            test.main(dataclasses.replace(one, testing=dataclasses.replace(one.testing, noise_folder=folder)))
