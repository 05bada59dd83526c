"""All models: gradients reach every weight, statistics are updated, clips do not influence each other."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from config import Model
from utils.models.architectures.layers import Dropout, Norm, global_mean
from utils.models.input_scaling import from_pixels, stretch
from utils.models.networks import Network, apply, build_network, embed, make_module

SMALL = {"filters": (4, 6), "kernel_sizes": (3, 5), "groups": (1, 1), "dense_units": 7, "dilations": (1, 3)}
SHAPE = (16, 32)
NAMES = ("Baseline", "ResNet", "Pi", "Dilated")  # backbones have tests of their own
predict = jax.jit(apply, static_argnums=0, static_argnames="train")


@functools.cache
def small_net(name: str) -> tuple[nnx.GraphDef, Network]:
    return build_network(Model(name=name, dropout=0.3, resnet_n=1, **SMALL), classes=3, shape=SHAPE, seed=0)


def in_bfloat16(name: str) -> nnx.GraphDef:
    graphs = []

    def trace() -> None:
        graphs.append(
            build_network(
                Model(name=name, dropout=0.3, resnet_n=1, **SMALL), classes=3, shape=SHAPE, seed=0, dtype=jnp.bfloat16
            )[0]
        )

    jax.eval_shape(trace)
    return graphs[0]


@pytest.mark.parametrize(
    ("name", "options", "sides"),
    [
        ("Baseline", {"dropout": 0.5, "dropout_kind": "channel"}, (16, 32)),
        ("Baseline", {"max_pooling": True, "nonlinearity": "elu"}, (17, 23)),
        ("Baseline", {"batch_norm": False, "nonlinearity": "vlrelu"}, (17, 23)),
        ("ResNet", {"dropout": 0.5, "dropout_kind": "location"}, (17, 23)),
        ("ResNet", {"max_pooling": True, "dropout": 0.3}, (16, 32)),
        ("ResNet", {"batch_norm": False, "channels": 3, "groups": (2, 2), "resnet_n": 1}, (16, 32)),
        ("Dilated", {"dropout": 0.3, "dropout_kind": "channel", "stacks": 2}, (17, 23)),
        ("Dilated", {"max_pooling": True, "batch_norm": False, "groups": (1, 2), "embedding": 5}, (16, 32)),
        ("Baseline", {"embedding": 5, "distance": "cosine"}, (16, 32)),
        ("Pi", {"dropout": 0.3, "dropout_kind": "channel"}, (16, 32)),
        ("Pi", {"max_pooling": True, "batch_norm": False, "nonlinearity": "lrelu", "channels": 3}, (17, 23)),
    ],
)
def test_every_weight_learns(name: str, options: dict[str, object], sides: tuple[int, int]) -> None:
    graph, network = build_network(Model(name=name, **(SMALL | options)), classes=3, shape=sides, seed=0)
    spectrograms = jax.random.uniform(jax.random.key(1), (4, *sides))

    def loss(params: object) -> jax.Array:
        logits, _ = apply(graph, network._replace(params=params), spectrograms, train=True, key=jax.random.key(2))
        assert logits.shape == (4, 3)
        return (jax.nn.softmax(logits) ** 2).sum()

    for path, gradient in jax.tree_util.tree_flatten_with_path(jax.jit(jax.grad(loss))(network.params))[0]:
        assert jnp.isfinite(gradient).all(), path
        if "convolution" not in str(path) or "bias" not in str(path):
            assert jnp.abs(gradient).max() > 0, path


def test_training_changes_the_running_statistics_by_a_tenth() -> None:
    graph, network = build_network(Model(name="Baseline", **SMALL), classes=3, shape=SHAPE, seed=0)
    spectrograms = jax.random.uniform(jax.random.key(1), (4, *SHAPE))
    _, kept = apply(graph, network, spectrograms)
    _, moved = apply(graph, network, spectrograms, train=True)
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(network.rest)]
    assert all((a == b).all() for a, b in zip(before, jax.tree.leaves(kept), strict=True))
    # the first norm sees a convolution's output x; its running mean goes from 0 to a tenth of the mean of x, its
    # variance from 1 to 0.9 + a tenth
    kernel = network.params["groups"][0]["convolution"]["kernel"][...]
    seen = jax.lax.conv_general_dilated(
        stretch(spectrograms), kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    norm = moved["groups"][0]["norm"]["norm"]
    np.testing.assert_allclose(norm["mean"][...], 0.1 * seen.mean(axis=(0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(norm["var"][...], 0.9 + 0.1 * seen.var(axis=(0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_logits_do_not_depend_on_the_batch_unless_training(name: str) -> None:
    graph, network = small_net(name)
    spectrograms = jax.random.uniform(jax.random.key(1), (4, *SHAPE))
    together, _ = predict(graph, network, spectrograms)
    alone, _ = predict(graph, network, spectrograms[2:3])
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)
    other, _ = predict(graph, network, spectrograms, train=True, key=jax.random.key(0))
    assert np.abs(other - together).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_the_embedding_is_what_the_last_layer_sees(name: str) -> None:
    graph, network = small_net(name)
    spectrograms = jax.random.uniform(jax.random.key(1), (4, *SHAPE))
    logits, _ = predict(graph, network, spectrograms)
    embeddings, _ = jax.jit(embed, static_argnums=0)(graph, network, spectrograms)
    assert embeddings.shape == (4, network.params["output"]["kernel"].shape[0])
    assert embeddings.dtype == jnp.float32
    output = network.params["output"]
    np.testing.assert_allclose(embeddings @ output["kernel"][...] + output["bias"][...], logits, atol=1e-5)
    assert np.abs(logits).max() > 0.01


def test_embeddings_can_be_narrower_and_of_length_1() -> None:
    spectrograms = jax.random.uniform(jax.random.key(1), (4, *SHAPE))
    settings = Model(name="Baseline", embedding=5, **SMALL)
    longer, units = (
        embed(
            *build_network(dataclasses.replace(settings, distance=distance), classes=3, shape=SHAPE, seed=0),
            spectrograms,
        )[0]
        for distance in ("euclidean", "cosine")
    )
    assert longer.shape == (4, 5)
    np.testing.assert_allclose(units, longer / np.linalg.norm(longer, axis=1, keepdims=True), rtol=1e-5)


def test_dilated_blocks_see_far_in_time_and_near_in_frequency() -> None:
    settings = Model(name="Dilated", filters=(4,), kernel_sizes=(3,), groups=(1,), batch_norm=False, dilations=(4,))
    module = make_module(settings, classes=3, shape=SHAPE, seed=0)
    point = jnp.zeros((1, 9, 21, 4)).at[0, 4, 10].set(1.0)
    seen = np.abs(module.blocks[1](point, train=False, key=None) - module.blocks[1](0 * point, train=False, key=None))
    rows, frames = np.nonzero(seen[0].sum(axis=2) > 1e-6)
    assert set(rows.tolist()) == {3, 4, 5}
    assert set(frames.tolist()) == {6, 10, 14}


def test_a_grey_spectrogram_is_copied_to_three_channels() -> None:
    graph, network = build_network(Model(name="Baseline", channels=3, **SMALL), classes=3, shape=SHAPE, seed=0)
    grey = jax.random.uniform(jax.random.key(1), (4, *SHAPE))
    module = nnx.merge(graph, network.params, network.rest)
    embeddings = module.embed(grey)
    scaled = stretch(grey)
    copied = module.features(jnp.concatenate([scaled, scaled, scaled], axis=3), train=False, key=None)
    coloured = module.features(jnp.concatenate([scaled, -scaled, scaled], axis=3), train=False, key=None)
    np.testing.assert_allclose(embeddings, copied, atol=1e-6)
    assert np.abs(embeddings - coloured).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_keeps_variables_and_gradients_in_float32(name: str) -> None:
    graph_in_float32, network = small_net(name)
    spectrograms = jax.random.uniform(jax.random.key(1), (4, *SHAPE))
    found = []
    for graph in (graph_in_float32, in_bfloat16(name)):

        def loss(params: nnx.State, graph: nnx.GraphDef = graph) -> tuple[jax.Array, tuple[jax.Array, nnx.State]]:
            logits, rest = apply(
                graph, network._replace(params=params), spectrograms, train=True, key=jax.random.key(2)
            )
            return (jax.nn.softmax(logits) ** 2).sum(), (logits, rest)

        (_, (logits, rest)), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(network.params)
        arrays = [logits, *jax.tree.leaves((network.params, rest, gradients))]
        assert {array.dtype for array in arrays} == {jnp.dtype(jnp.float32)}
        assert all(np.isfinite(array).all() for array in arrays)
        embeddings, _ = jax.jit(embed, static_argnums=0)(graph, network, spectrograms)
        assert embeddings.dtype == jnp.float32
        found.append(jax.tree.map(np.asarray, (logits, jax.tree.leaves(rest), embeddings)))
    (whole, whole_rest, whole_logits), (half, half_rest, half_logits) = found
    for one, other in [(whole, half), (whole_logits, half_logits)]:
        assert 0 < np.abs(one - other).max() < 0.05 * np.abs(one).max()
    for one, other in zip(whole_rest, half_rest, strict=True):  # running means and variances
        np.testing.assert_allclose(one, other, atol=0.02)


def test_running_averages_and_means_are_not_rounded() -> None:
    norm = Norm(1, Model(), nnx.Rngs(0))
    norm.norm.mean[...] = jnp.full(1, 100.2)  # between two numbers of bfloat16, 100 and 100.5
    normed = norm(jnp.full((1, 2, 2, 1), 100.5, jnp.bfloat16), train=False)
    assert normed.dtype == jnp.bfloat16
    np.testing.assert_allclose(normed.astype(jnp.float32), 0.3, rtol=0.005)
    steps = jnp.array([1, 1.0078125], jnp.bfloat16)  # neighbours; what is between them, bfloat16 cannot say
    np.testing.assert_array_equal(global_mean(jnp.tile(steps, (1, 50, 40)).reshape(1, 50, 80, 1)), [[1.00390625]])


@pytest.mark.parametrize(
    ("kind", "flat", "dropped"),  # dropped: the axes along which all is dropped or nothing
    [
        ("random", False, ()),
        ("location", False, (3,)),
        ("channel", False, (1, 2)),
        ("channel", True, ()),
        ("location", True, ()),
    ],
)
def test_dropout_drops_values_places_or_channels(kind: str, flat: bool, dropped: tuple[int, ...]) -> None:
    dropout = Dropout(Model(dropout=0.25, dropout_kind=kind), flat=flat)
    ones = jnp.ones((40, 80) if flat else (40, 8, 10, 12))
    left = np.asarray(dropout(ones, train=True, key=jax.random.key(0)))
    assert set(np.unique(left)) == {0, np.float32(1 / 0.75)}
    assert (left == 0).mean() == pytest.approx(0.25, abs=0.06)
    if dropped:
        assert np.ptp(left, axis=dropped).max() == 0
    for axis in set(range(left.ndim)) - set(dropped):
        assert np.ptp(left, axis=axis).max() > 0
    np.testing.assert_array_equal(dropout(ones, train=False, key=None), ones)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_reaches_every_net(name: str) -> None:
    graph, network = small_net(name)
    spectrograms = jax.random.uniform(jax.random.key(1), (4, *SHAPE))
    one, same, other = (
        predict(graph, network, spectrograms, train=True, key=jax.random.key(seed))[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3


def test_another_seed_is_another_net() -> None:
    settings = Model(name="Baseline", **SMALL)
    one, same, other = (
        jax.tree.leaves(build_network(settings, classes=3, shape=SHAPE, seed=seed)[1].params) for seed in (0, 0, 1)
    )
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_spectrograms_are_stretched() -> None:
    pixels = jnp.array([[[0, 100], [200, 50]], [[30, 30], [30, 30]]], jnp.uint8)
    spectrograms = stretch(from_pixels(pixels))
    np.testing.assert_allclose(spectrograms[..., 0], [[[-1, 0], [1, -0.5]], [[-1, -1], [-1, -1]]], atol=1e-6)


@pytest.mark.parametrize("grey", [0, 7, 100, 255])
def test_a_spectrogram_of_one_grey_is_all_black_also_when_compiled(grey: int) -> None:
    pixels = jnp.full((1, 8, 8), grey, jnp.uint8)
    assert (jax.jit(lambda pixels: stretch(from_pixels(pixels)))(pixels) == -1).all()
