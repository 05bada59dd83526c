"""Maxima and means of windows, and their gradients, are those of the library."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from utils.models.architectures.pooling import mean_of_four, mean_of_nine, window_maxima

AROUND = ((1, 1), (1, 1))
Pool = Callable[[jax.Array], jax.Array]
POOLS: dict[str, tuple[Pool, Pool]] = {
    "maxima": (lambda x: window_maxima(x, 3, 2, AROUND), lambda x: nnx.max_pool(x, (3, 3), (2, 2), padding=AROUND)),
    "nine": (lambda x: mean_of_nine(x, stride=2), lambda x: nnx.avg_pool(x, (3, 3), (2, 2), padding=AROUND)),
    "four": (mean_of_four, lambda x: nnx.avg_pool(x, (2, 2), (2, 2), padding="SAME", count_include_pad=False)),
}


@pytest.mark.parametrize("sides", [(6, 8), (7, 9), (1, 4)])
@pytest.mark.parametrize("name", POOLS)
def test_values_and_gradients_are_those_of_the_library(name: str, sides: tuple[int, int]) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *sides, 3)), jnp.float32)
    (found, of_found), (expected, of_expected) = (jax.vjp(pool, x) for pool in POOLS[name])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(of_found(jnp.cos(found))[0], of_expected(jnp.cos(expected))[0], atol=1e-6)


def test_maxima_that_are_equal_share_the_gradient() -> None:
    _, gradient = jax.vjp(lambda x: window_maxima(x, 2, 2, ((0, 0), (0, 0))), jnp.ones((1, 2, 2, 1)))
    assert float(gradient(jnp.ones((1, 1, 1, 1)))[0].sum()) == 1


def test_an_odd_end_is_the_mean_of_what_is_there() -> None:
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_allclose(mean_of_four(x)[0, :, :, 0], [[2, 3.5], [6.5, 8]])
    assert mean_of_four(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
