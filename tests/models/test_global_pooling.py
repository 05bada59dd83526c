"""Pooling of feature maps: equal to cases of hand size, with weights and public weights as without it."""

import dataclasses
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import nnx
from safetensors.numpy import save_file

from config import Config, Model, Training
from tests.models.small_backbones import TINY, make_small, split, timm_shape
from utils.models.architectures.classifier import NetworkOutput
from utils.models.architectures.global_pooling import EXPONENT, GlobalPool, generalized_mean
from utils.models.array_trees import named_leaves
from utils.models.layer_table import layers
from utils.models.networks import Network, all_outputs, apply, build_network, frames_in, make_module
from utils.models.public_weights import start_from_weights, timm_name
from utils.settings_checks import SettingsError, check

SMALL = {"filters": (4, 6), "kernel_sizes": (3, 3), "groups": (1, 1), "resnet_n": 1, "dilations": (1, 2)}
SHAPE = (16, 32)
MAPS = jnp.array([[[1.0, -5.0], [2.0, 0.0], [3.0, 0.0]], [[2.0, 4.0], [2.0, 0.0], [2.0, 0.0]]])[None]  # (1, 2, 3, 2)


@cache
def outputs(name: str, pool: str) -> tuple[nnx.GraphDef, Network, NetworkOutput]:
    settings = Model(name=name, pool=pool, **SMALL)  # type: ignore[arg-type]
    graph, network = build_network(settings, classes=3, shape=SHAPE, seed=0)
    return graph, network, jax.jit(all_outputs, static_argnums=0)(graph, network, images())


def images() -> jax.Array:
    return jax.random.uniform(jax.random.key(1), (4, *SHAPE))


def test_means_of_maps_of_hand_size() -> None:
    np.testing.assert_allclose(GlobalPool(Model())(MAPS), [[2.0, -1 / 6]], rtol=1e-6)
    frames = GlobalPool(Model(pool="attention"))(MAPS)
    np.testing.assert_allclose(frames, [[[1.5, -0.5], [2.0, 0.0], [2.5, 0.0]]])
    # negative values count as almost 0
    cubes = np.array([(1 + 8 + 27 + 8 + 8 + 8) / 6, 64 / 6])
    np.testing.assert_allclose(GlobalPool(Model(pool="gem"))(MAPS), [cubes ** (1 / 3)], rtol=1e-5)
    np.testing.assert_allclose(generalized_mean(MAPS, jnp.array(1.0)), [[2.0, 4 / 6]], rtol=1e-5)
    np.testing.assert_allclose(generalized_mean(MAPS, jnp.array(1000.0)), [[3.0, 4.0]], rtol=0.01)


def test_attention_of_hand_size() -> None:
    module = make_module(Model(name="Baseline", pool="attention", **SMALL), classes=2, shape=SHAPE, seed=0)
    width = module.output.kernel.shape[0]
    module.output.kernel[...] = jnp.zeros((width, 2)).at[0, 0].set(1.0).at[0, 1].set(-2.0)
    module.output.bias[...] = jnp.array([0.0, 0.5])
    module.frame_attention.kernel[...] = jnp.zeros((width, 2)).at[1, 0].set(1.0).at[1, 1].set(-1.0)
    features = (
        jnp.zeros((1, 3, width)).at[0, :, 0].set(jnp.array([1.0, 2, 4])).at[0, :, 1].set(jnp.array([0.0, 0.5, 9]))
    )
    found = module.classify(features)
    np.testing.assert_allclose(found.frames[0], [[1, -1.5], [2, -3.5], [4, -7.5]])
    for column, sign in ((0, 1), (1, -1)):
        weights = scipy.special.softmax(np.tanh(sign * np.array([0, 0.5, 9])))
        np.testing.assert_allclose(found.logits[0, column], weights @ found.frames[0, :, column], rtol=1e-6)
    np.testing.assert_allclose(found.embeddings[0], features[0].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", ["Baseline", "ResNet", "Dilated"])
def test_pools_change_no_other_initial_weight(name: str) -> None:
    mean, attention, gem = (named_leaves(outputs(name, pool)[1]) for pool in ("mean", "attention", "gem"))
    added = {"params/frame_attention/kernel", "params/frame_attention/bias"}
    assert (attention.keys() - mean.keys(), gem.keys() - mean.keys()) == (added, {"params/pool/exponent"})
    for leaf in mean:
        np.testing.assert_array_equal(attention[leaf], mean[leaf])
        np.testing.assert_array_equal(gem[leaf], mean[leaf])


@pytest.mark.parametrize("name", ["Baseline", "ResNet", "Dilated"])
def test_attention_that_weights_all_frames_alike_is_the_mean(name: str) -> None:
    graph, network, plain = outputs(name, "attention")
    flat = jax.tree.map(jnp.zeros_like, network.params["frame_attention"])
    network.params["frame_attention"], kept = flat, network.params["frame_attention"]
    found = jax.jit(all_outputs, static_argnums=0)(graph, network, images())
    network.params["frame_attention"] = kept
    expected = outputs(name, "mean")[2]
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
    assert np.abs(plain.logits - expected.logits).max() > 1e-4  # weights that differ change something
    assert expected.frames is None
    assert found.frames.shape == (4, frames_in(Model(name=name, pool="attention", **SMALL), SHAPE), 3)


def test_frames_follow_the_sound_in_time() -> None:
    settings = Model(name="Baseline", pool="attention", **SMALL)
    graph, network, _ = outputs("Baseline", "attention")
    quiet = jnp.zeros((1, *SHAPE)).at[0, 0, 0].set(1.0)
    loud = quiet.at[0, :, 20:24].set(1.0)  # the sixth of eight frames
    one, other = (all_outputs(graph, network, image).frames for image in (quiet, loud))
    changed = np.abs(one - other)[0].max(axis=1)
    assert frames_in(settings, SHAPE) == 8
    assert changed.argmax() == 5
    np.testing.assert_allclose(changed[[0, 1, 2, 3]], 0, atol=1e-6)
    assert frames_in(settings, (16, 64)) == 16  # a wider spectrogram has shorter frames
    assert frames_in(dataclasses.replace(settings, pool="mean"), SHAPE) == 0


@pytest.mark.parametrize("pool", ["gem", "attention"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_are_finite_and_reach_every_weight(pool: str, dtype: jnp.dtype) -> None:
    settings = Model(name="ResNet", pool=pool, embedding=5, distance="cosine", **SMALL)  # type: ignore[arg-type]
    graph, network = build_network(settings, classes=3, shape=SHAPE, seed=0, dtype=dtype)
    seen = jnp.concatenate([images(), jnp.zeros((1, *SHAPE))])  # silence: all maps are alike

    def loss(params: nnx.State) -> jax.Array:
        logits, _ = apply(graph, network._replace(params=params), seen, train=True, key=jax.random.key(2))
        return (jax.nn.softmax(logits) ** 2).sum()

    for path, gradient in jax.tree_util.tree_flatten_with_path(jax.jit(jax.grad(loss))(network.params))[0]:
        assert jnp.isfinite(gradient).all(), path
        if {"pool", "frame_attention", "output"} & {str(path[0].key)} and "bias" not in str(path):
            assert jnp.abs(gradient).max() > 0, path


@pytest.mark.parametrize("sides", [(1, 1), (2, 3)])
@pytest.mark.parametrize("exponent", [0.5, 3.0, 50.0])
def test_a_generalised_mean_of_any_maps_has_finite_gradients(sides: tuple[int, int], exponent: float) -> None:
    rows = jnp.array([0.0, -1.0, 1e-30, 1e20, 1e-3])
    maps = jnp.broadcast_to(rows, (2, *sides, 5))
    gradients = jax.grad(lambda x, p: generalized_mean(x, p).sum(), argnums=(0, 1))(maps, jnp.array(exponent))
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("pool", ["mean", "gem", "attention"])
@pytest.mark.parametrize("name", TINY)
def test_public_weights_load_whatever_the_pool(name: str, pool: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    settings = Model(name=name, pool=pool, weights=str(file))  # type: ignore[arg-type]
    graph, network = split(nnx.eval_shape(lambda: make_small(settings, TINY)))
    generator = np.random.default_rng(4)
    random = {
        timm_name(leaf): generator.uniform(0.1, 0.5, timm_shape(array.shape)).astype(np.float32)
        for leaf, array in named_leaves(network).items()
        if not leaf.startswith(("params/output", "params/pool", "params/frame_attention"))
    }
    save_file(random, file)
    network = jax.tree.map(lambda leaf: jnp.full(leaf.shape, EXPONENT, leaf.dtype), network)
    loaded, line = start_from_weights(network, settings)
    assert f"{len(random)} tensors; the output layer is new" in line
    found = jax.jit(all_outputs, static_argnums=0)(graph, loaded, jax.random.uniform(jax.random.key(0), (2, 33, 47)))
    assert found.logits.shape == (2, 5)
    assert np.isfinite(found.logits).all()
    assert (found.frames is None) == (pool != "attention")


def test_layers_are_listed_with_their_frames() -> None:
    rows = {row.name: row for row in layers(Model(name="Baseline", pool="attention", **SMALL), classes=3, shape=SHAPE)}
    assert rows["output"].output == rows["frame_attention"].output == (8, 3)
    gem = {row.name: row for row in layers(Model(name="Baseline", pool="gem", **SMALL), classes=3, shape=SHAPE)}
    assert gem["pool"].parameters == 1


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        (Model(name="Pi", pool="gem"), Training(), r"model.pool = \"gem\": Pi has no feature maps"),
        (Model(pool="attention"), Training(loss="triplet"), r"model.pool = \"attention\": does not go with .*triplet"),
        (Model(pool="gem"), Training(frame_loss=0.2), r"training.frame_loss = 0.2: needs model.pool = attention"),
    ],
)
def test_what_does_not_go_together_is_refused(model: Model, training: Training, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check(Config(model=model, training=training))
