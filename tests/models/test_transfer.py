"""A net begins with what another one learned, class by class."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from config import Config, Model
from tests.conftest import small_config
from utils.console import UserError
from utils.models.networks import Network, build
from utils.models.snapshots import Snapshot, save
from utils.models.transfer import begin_with, find_pretrained

OLD = ("Altus clarus", "Bassus gravis", "Solus unicus")


def net_of(config: Config, classes: tuple[str, ...], *, seed: int) -> Network:
    return build(config.model, classes=len(classes), shape=config.spectrogram.shape, seed=seed)[1]


@pytest.fixture
def pretrained(tmp_path: Path) -> tuple[Snapshot, Network]:
    config = small_config(tmp_path)
    net = net_of(config, OLD, seed=1)
    net = Network(jax.tree.map(lambda leaf: leaf + 1, net.params), jax.tree.map(lambda leaf: leaf + 2, net.rest))
    snapshot = Snapshot(tmp_path / "run" / "epoch_003", config, OLD, 3, 0.5, "abc")
    save(snapshot, net, {"count": np.zeros(1)}, learned=[])
    return snapshot, net


def output(net: Network, column: int) -> np.ndarray:
    layer = net.params["output"]
    return np.append(np.asarray(layer["kernel"][...])[:, column], np.asarray(layer["bias"][...])[column])


def test_classes_are_matched_by_name(pretrained: tuple[Snapshot, Network], tmp_path: Path) -> None:
    snapshot, old = pretrained
    classes = ("Bassus gravis", "Novus minor", "Altus clarus")
    fresh = net_of(snapshot.config, classes, seed=9)
    net, said = begin_with(find_pretrained(tmp_path / "run"), fresh, classes, output=True)
    assert "2 of 3 classes (1 begin anew, 1 are dropped)" in said
    np.testing.assert_array_equal(output(net, 0), output(old, 1))
    np.testing.assert_array_equal(output(net, 2), output(old, 0))
    np.testing.assert_array_equal(output(net, 1), output(fresh, 1))
    for ours, theirs in zip(
        jax.tree.leaves([net.rest, net.params["groups"]]),
        jax.tree.leaves([old.rest, old.params["groups"]]),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_without_the_last_layer(pretrained: tuple[Snapshot, Network]) -> None:
    snapshot, old = pretrained
    fresh = net_of(snapshot.config, OLD, seed=9)
    net, said = begin_with(find_pretrained(snapshot.folder), fresh, OLD, output=False)
    assert said.endswith("all layers but the last")
    np.testing.assert_array_equal(output(net, 0), output(fresh, 0))
    np.testing.assert_array_equal(jax.tree.leaves(net.params["groups"])[0], jax.tree.leaves(old.params["groups"])[0])


def test_another_net_is_refused(pretrained: tuple[Snapshot, Network], tmp_path: Path) -> None:
    snapshot, _ = pretrained
    other = dataclasses.replace(snapshot.config, model=Model(name="Baseline", filters=(4, 6)))
    with pytest.raises(
        UserError,
        match=r"is of another net than model\.\* asks for: params/groups/1/convolution/kernel is \(3, 3, 4, 8\), should be \(3, 3, 4, 6\)",
    ):
        begin_with(snapshot, net_of(other, OLD, seed=1), OLD, output=True)
    with pytest.raises(UserError, match=r"neither a snapshot nor the folder of a run"):
        find_pretrained(tmp_path / "nothing")
