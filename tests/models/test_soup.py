"""A model soup is the mean of parameters, a snapshot like any other; what cannot be averaged is refused."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest

from config import Config
from tests.conftest import small_config
from tests.scoring.inference.test_recordings import with_testing
from utils.console import UserError
from utils.models.networks import Network, build_network
from utils.models.saved_networks import load_network, save_snapshot
from utils.models.snapshots import (
    Snapshot,
    network_digest,
    read_snapshot,
    recordings_used,
    snapshots_of,
    validation_recordings_of,
)
from utils.models.soup import mean_of
from utils.scoring.exporting import export_network
from utils.scoring.inference.ensembles import Member, chosen_members, outputs_of
from utils.scoring.inference.fingerprints import fingerprint_of_parts, fingerprint_of_scores

CLASSES = ("A", "B", "C")
PIXELS = np.random.default_rng(5).integers(0, 256, (6, 16, 32), np.uint8)


def network_of(config: Config, *, seed: int, classes: Sequence[str] = CLASSES) -> Network:
    return build_network(config.model, classes=len(classes), shape=config.spectrogram.shape, seed=seed)[1]


def saved(
    config: Config,
    network: Network,
    *,
    epoch: int,
    classes: tuple[str, ...] = CLASSES,
    learned: Sequence[str] = ("A/a", "B/b"),
    validation: Sequence[str] = ("B/b",),
) -> Snapshot:
    snapshot = Snapshot(config.run_folder / f"epoch_{epoch:03d}", config, classes, epoch, 0.5, "abc")
    save_snapshot(snapshot, network, {"none": np.zeros(1)}, recordings=learned, validation=validation)
    return snapshot


def soup(config: Config, snapshots: Sequence[Snapshot], *weights: float) -> Snapshot:
    models = tuple(one.folder for one in snapshots)
    (member,) = chosen_members(with_testing(config, models=models, weights=weights, soup=True))
    assert member.weight == 1.0
    return member.snapshot


def logits(snapshot: Snapshot, engine: str = "jax") -> np.ndarray:
    return outputs_of(snapshot, with_testing(Config(), engine=engine).testing)(PIXELS).logits


def with_output(network: Network, other: Network) -> Network:
    """Return a network with the output layer of another: logits are linear in its parameters."""
    params = jax.tree_util.tree_map_with_path(
        lambda path, left, right: right if "output" in jax.tree_util.keystr(path) else left,
        network.params,
        other.params,
    )
    return network._replace(params=params)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return small_config(tmp_path)


def test_means_by_hand() -> None:
    """Weights need not sum to 1; counts are no parameters, and stay as they are."""
    trees = [
        {"kernel": np.array([1.0, 2.0], np.float32), "count": np.int32(7)},
        {"kernel": np.array([5.0, 2.0], np.float32), "count": np.int32(9)},
    ]
    found = mean_of(trees, (1.0, 3.0))
    assert found["kernel"].tolist() == [4.0, 2.0]
    assert found["kernel"].dtype == np.float32
    assert found["count"] == 7
    assert mean_of(trees, (0.5, 0.5))["kernel"].tolist() == [3.0, 2.0]


def test_the_mean_of_equal_networks_is_that_network(config: Config) -> None:
    network = network_of(config, seed=1)
    snapshots = [saved(config, network, epoch=epoch) for epoch in (1, 2, 3)]
    made = soup(config, snapshots, 0.2, 0.3, 0.7)
    assert network_digest(made) == network_digest(snapshots[0])
    np.testing.assert_array_equal(logits(made), logits(snapshots[0]))
    assert (made.epoch, made.mlrap, made.classes) == (3, None, CLASSES)


@pytest.mark.parametrize("engine", ["jax", "onnx"])
def test_the_mean_of_linear_networks_is_the_mean_of_their_logits(config: Config, engine: str) -> None:
    if engine == "onnx":
        pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")
        pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
    one = network_of(config, seed=1)
    other = with_output(one, network_of(config, seed=2))
    snapshots = [saved(config, one, epoch=1), saved(config, other, epoch=2)]
    expected = (logits(snapshots[0]) + 3 * logits(snapshots[1])) / 4
    assert np.abs(logits(snapshots[0]) - logits(snapshots[1])).max() > 0.1
    np.testing.assert_allclose(logits(soup(config, snapshots, 1.0, 3.0), engine), expected, atol=1e-4)


def test_running_statistics_are_averaged_too(config: Config) -> None:
    one, other = network_of(config, seed=1), network_of(config, seed=1)
    other = other._replace(rest=jax.tree.map(lambda leaf: leaf + 2.0, other.rest))
    made = soup(config, [saved(config, one, epoch=1), saved(config, other, epoch=2)])
    found = jax.tree.leaves(load_network(made)[1].rest)
    assert found
    for left, right in zip(found, jax.tree.leaves(one.rest), strict=True):
        np.testing.assert_allclose(left, right + 1.0, rtol=1e-6)


def test_it_is_a_snapshot_like_any_other(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is made once, tells what it is of, knows all that was learned, and does not count as an epoch of its run."""
    snapshots = [
        saved(config, network_of(config, seed=1), epoch=1, learned=("A/a", "B/b"), validation=("A/a", "B/b")),
        saved(config, network_of(config, seed=2), epoch=2, learned=("B/b", "C/c"), validation=("B/b",)),
    ]
    made = soup(config, snapshots)
    assert made == read_snapshot(made.folder)
    assert recordings_used(made) == {"A/a", "B/b", "C/c"}
    assert validation_recordings_of(made) == {"B/b"}
    described = json.loads((made.folder / "soup.json").read_text())
    assert [one["snapshot"] for one in described["snapshots"]] == [one.folder.as_posix() for one in snapshots]
    assert [one.epoch for one in snapshots_of(config.run_folder)] == [1, 2]
    stamp = (made.folder / "soup.json").stat().st_mtime_ns
    assert soup(config, snapshots).folder == made.folder
    assert (made.folder / "soup.json").stat().st_mtime_ns == stamp
    assert soup(config, snapshots, 1.0, 2.0).folder != made.folder
    assert "is the mean of the parameters of 2 snapshots" in " ".join(capsys.readouterr().out.split())
    members = [Member(made)]
    several = [Member(one) for one in snapshots]
    assert fingerprint_of_scores(members, config) != fingerprint_of_scores(several, config)
    assert fingerprint_of_parts(members, config, interval=5.0) != fingerprint_of_parts(several, config, interval=5.0)
    pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
    export_network(members, tmp_path / "soup.onnx")
    assert (tmp_path / "soup.onnx").stat().st_size > 0


def test_one_that_was_not_finished_is_made_again(config: Config) -> None:
    snapshots = [saved(config, network_of(config, seed=seed), epoch=seed) for seed in (1, 2)]
    made = soup(config, snapshots)
    expected = network_digest(made)
    (made.folder / "soup.json").unlink()
    (made.folder / "classes.txt").unlink()
    assert network_digest(soup(config, snapshots)) == expected


def test_without_models_it_is_of_all_snapshots_of_the_run(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    snapshots = [saved(config, network_of(config, seed=1), epoch=1)]
    alone = chosen_members(with_testing(config, soup=True))
    assert alone == [Member(snapshots[0])]
    assert "epoch_001 is the only snapshot, so that nothing is averaged; name several" in " ".join(
        capsys.readouterr().err.split()
    )
    snapshots.append(saved(config, network_of(config, seed=2), epoch=2))
    (member,) = chosen_members(with_testing(config, soup=True))
    assert member.snapshot.folder == soup(config, snapshots).folder


def test_what_cannot_be_averaged_is_refused_in_one_line(config: Config) -> None:
    first = saved(config, network_of(config, seed=1), epoch=1)

    def refused(changed: Config, classes: tuple[str, ...] = CLASSES) -> str:
        changed = dataclasses.replace(changed, run="other")
        other = saved(changed, network_of(changed, seed=2, classes=classes), epoch=1, classes=classes)
        with pytest.raises(UserError) as caught:
            soup(config, [first, other])
        assert "\n" not in str(caught.value)
        assert "set testing.soup = false to average their scores" in str(caught.value)
        return str(caught.value)

    def model(**changes: object) -> Config:
        return dataclasses.replace(config, model=dataclasses.replace(config.model, **changes))  # type: ignore[arg-type]

    assert "has other classes than" in refused(config, ("A", "B"))
    assert "has other classes than" in refused(config, ("A", "C", "B"))
    assert "has another model.filters than" in refused(model(filters=(8, 8)))
    assert "has another model.nonlinearity than" in refused(model(nonlinearity="elu"))
    fmin = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, fmin=400.0))
    assert "has other clips or spectrograms than" in refused(fmin)
    binary = dataclasses.replace(config, training=dataclasses.replace(config.training, loss="binary"))
    assert "has another kind of training.loss than" in refused(binary)
    trained = dataclasses.replace(model(dropout=0.3), run="dropout")  # changes training, not what the network computes
    soup(config, [first, saved(trained, network_of(trained, seed=2), epoch=1)])
