"""The nets are those of BASELINE: parameters counted by hand, sizes of every stage, gradients that reach every weight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from config import Model
from utils.models.nets import apply, build, from_pixels, parameters, stretch

SMALL = {"filters": (4, 6), "kernel_sizes": (3, 5), "groups": (1, 1)}


def baseline_by_hand() -> int:
    # group 1: 3·3·1·4, norm 2·4; group 2: 5·5·4·6, norm 2·6; last: 1·1·6·12, norm 2·12; dense 12·3 + 3
    return (36 + 8) + (600 + 12) + (72 + 24) + (36 + 3)


def resnet_by_hand() -> int:
    first = 9 * 4  # 1 → 4 channels, no bias
    # stack 1, 8 channels: norm 2·4, conv 9·4·8, norm 2·8, conv 9·8·8 + 8, shortcut 4·8; then norm 16, conv 9·64, norm 16, conv 9·64 + 8
    stack_1 = (8 + 288 + 16 + 576 + 8 + 32) + (16 + 576 + 16 + 576 + 8)
    # stack 2, 12 channels, 5×5: norm 16, conv 25·8·12, norm 24, conv 25·144 + 12, shortcut 96; then norm 24, conv 25·144, norm 24, conv 25·144 + 12
    stack_2 = (16 + 2400 + 24 + 3600 + 12 + 96) + (24 + 3600 + 24 + 3600 + 12)
    return first + stack_1 + stack_2 + 24 + (12 * 3 + 3)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        (Model(name="Baseline", **SMALL), baseline_by_hand()),
        (Model(name="Baseline", **SMALL, batch_norm=False), baseline_by_hand() - (8 + 12 + 24) + (4 + 6 + 12)),
        (Model(name="Baseline", **SMALL, max_pooling=True), baseline_by_hand()),
        (Model(name="Baseline", filters=(4, 6), kernel_sizes=(3, 5), groups=(1, 2)), baseline_by_hand() - 300),
        (Model(name="ResNet", **SMALL), resnet_by_hand()),
        (Model(name="ResNet", **SMALL, max_pooling=True), resnet_by_hand()),
        (Model(name="ResNet", **SMALL, resnet_n=1), resnet_by_hand() - (16 + 576 + 16 + 576 + 8) - (24 + 3600 + 24 + 3600 + 12)),
    ],
)
def test_parameters_by_hand(settings: Model, count: int) -> None:
    _, net = build(settings, classes=3, seed=0)
    assert parameters(net) == count


@pytest.mark.parametrize(
    ("name", "options", "sides"),
    [
        ("Baseline", {"dropout": 0.5, "dropout_kind": "channel"}, (16, 32)),
        ("Baseline", {"max_pooling": True, "nonlinearity": "elu"}, (17, 23)),
        ("Baseline", {"batch_norm": False, "nonlinearity": "vlrelu"}, (17, 23)),
        ("ResNet", {"dropout": 0.5, "dropout_kind": "location"}, (17, 23)),
        ("ResNet", {"max_pooling": True, "dropout": 0.3}, (16, 32)),
    ],
)
def test_every_weight_learns(name: str, options: dict[str, object], sides: tuple[int, int]) -> None:
    graph, net = build(Model(name=name, **SMALL, **options), classes=3, seed=0)
    pictures = jax.random.uniform(jax.random.key(1), (4, *sides, 1), minval=-1)

    def loss(params: object) -> jax.Array:
        logits, _ = apply(graph, net._replace(params=params), pictures, train=True, key=jax.random.key(2))
        assert logits.shape == (4, 3)
        return (jax.nn.softmax(logits) ** 2).sum()

    for path, gradient in jax.tree_util.tree_flatten_with_path(jax.jit(jax.grad(loss))(net.params))[0]:
        assert jnp.isfinite(gradient).all(), path
        if "convolution" not in str(path) or "bias" not in str(path):
            assert jnp.abs(gradient).max() > 0, path


def test_training_changes_the_running_statistics_by_a_tenth() -> None:
    graph, net = build(Model(name="Baseline", **SMALL), classes=3, seed=0)
    pictures = jax.random.uniform(jax.random.key(1), (4, 16, 32, 1))
    _, kept = apply(graph, net, pictures)
    _, moved = apply(graph, net, pictures, train=True)
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(net.rest)]
    assert all((a == b).all() for a, b in zip(before, jax.tree.leaves(kept), strict=True))
    # the first norm sees a convolution's output x; its running mean goes from 0 to a tenth of the mean of x, its variance from 1 to 0.9 + a tenth
    kernel = net.params["groups"][0]["convolution"]["kernel"][...]
    seen = jax.lax.conv_general_dilated(pictures, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))
    norm = moved["groups"][0]["norm"]["norm"]
    np.testing.assert_allclose(norm["mean"][...], 0.1 * seen.mean(axis=(0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(norm["var"][...], 0.9 + 0.1 * seen.var(axis=(0, 1, 2)), rtol=1e-4)


def test_answers_do_not_depend_on_the_batch_unless_training() -> None:
    graph, net = build(Model(name="ResNet", **SMALL), classes=3, seed=0)
    pictures = jax.random.uniform(jax.random.key(1), (4, 16, 32, 1))
    together, _ = apply(graph, net, pictures)
    alone, _ = apply(graph, net, pictures[2:3])
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)
    other, _ = apply(graph, net, pictures, train=True)
    assert np.abs(other - together).max() > 1e-3


def test_another_seed_is_another_net() -> None:
    settings = Model(name="Baseline", **SMALL)
    one, same, other = (jax.tree.leaves(build(settings, classes=3, seed=seed)[1].params) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_pictures_are_stretched() -> None:
    pixels = jnp.array([[[0, 100], [200, 50]], [[30, 30], [30, 30]]], jnp.uint8)
    pictures = stretch(from_pixels(pixels))
    np.testing.assert_allclose(pictures[..., 0], [[[-1, 0], [1, -0.5]], [[-1, -1], [-1, -1]]], atol=1e-6)
