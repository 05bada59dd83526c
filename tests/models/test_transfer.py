"""A network starts from the weights of another one, class by class."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from config import Config, Model
from tests.conftest import small_config
from utils.console import UserError
from utils.models.networks import Network, build_network
from utils.models.saved_networks import save_snapshot
from utils.models.snapshots import Snapshot
from utils.models.transfer import find_pretrained, start_from

OLD = ("Altus clarus", "Bassus gravis", "Solus unicus")


def network_of(config: Config, classes: tuple[str, ...], *, seed: int) -> Network:
    return build_network(config.model, classes=len(classes), shape=config.spectrogram.shape, seed=seed)[1]


@pytest.fixture
def pretrained(tmp_path: Path) -> tuple[Snapshot, Network]:
    config = small_config(tmp_path)
    network = network_of(config, OLD, seed=1)
    network = Network(
        jax.tree.map(lambda leaf: leaf + 1, network.params), jax.tree.map(lambda leaf: leaf + 2, network.rest)
    )
    snapshot = Snapshot(tmp_path / "run" / "epoch_003", config, OLD, 3, 0.5, "abc")
    save_snapshot(snapshot, network, {"count": np.zeros(1)}, recordings=[])
    return snapshot, network


def output(network: Network, column: int) -> np.ndarray:
    layer = network.params["output"]
    return np.append(np.asarray(layer["kernel"][...])[:, column], np.asarray(layer["bias"][...])[column])


def test_classes_are_matched_by_name(pretrained: tuple[Snapshot, Network], tmp_path: Path) -> None:
    snapshot, old = pretrained
    classes = ("Bassus gravis", "Novus minor", "Altus clarus")
    fresh = network_of(snapshot.config, classes, seed=9)
    network, summary = start_from(find_pretrained(tmp_path / "run"), fresh, classes, output=True)
    assert "2 of 3 classes in the output layer (1 are new, 1 are dropped)" in summary
    np.testing.assert_array_equal(output(network, 0), output(old, 1))
    np.testing.assert_array_equal(output(network, 2), output(old, 0))
    np.testing.assert_array_equal(output(network, 1), output(fresh, 1))
    for ours, theirs in zip(
        jax.tree.leaves([network.rest, network.params["groups"]]),
        jax.tree.leaves([old.rest, old.params["groups"]]),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_without_the_output_layer(pretrained: tuple[Snapshot, Network]) -> None:
    snapshot, old = pretrained
    fresh = network_of(snapshot.config, OLD, seed=9)
    network, summary = start_from(find_pretrained(snapshot.folder), fresh, OLD, output=False)
    assert summary.endswith("all layers but the output layer")
    np.testing.assert_array_equal(output(network, 0), output(fresh, 0))
    np.testing.assert_array_equal(
        jax.tree.leaves(network.params["groups"])[0], jax.tree.leaves(old.params["groups"])[0]
    )


def test_another_pool_starts_from_all_that_both_have(pretrained: tuple[Snapshot, Network]) -> None:
    snapshot, old = pretrained
    for pool, added in (("attention", "frame_attention"), ("gem", "pool")):
        config = dataclasses.replace(snapshot.config, model=dataclasses.replace(snapshot.config.model, pool=pool))
        fresh = network_of(config, OLD, seed=9)
        network, _ = start_from(snapshot, fresh, OLD, output=True)
        np.testing.assert_array_equal(output(network, 1), output(old, 1))
        for ours, theirs in zip(*(jax.tree.leaves(one.params[added]) for one in (network, fresh)), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_another_model_is_refused(pretrained: tuple[Snapshot, Network], tmp_path: Path) -> None:
    snapshot, _ = pretrained
    other = dataclasses.replace(snapshot.config, model=Model(name="Baseline", filters=(4, 6)))
    with pytest.raises(
        UserError,
        match=r"does not fit the settings of model: params/groups/1/convolution/kernel is \(3, 3, 4, 8\), "
        r"should be \(3, 3, 4, 6\)",
    ):
        start_from(snapshot, network_of(other, OLD, seed=1), OLD, output=True)
    with pytest.raises(UserError, match=r"neither a snapshot nor the folder of a run"):
        find_pretrained(tmp_path / "nothing")
