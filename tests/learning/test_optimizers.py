"""Directions are optax's own optimizers', and decay reaches every kernel, nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from config import Training
from utils.learning.optimizers import optimizer

PARAMS = {
    "kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]),
    "bias": jnp.array([0.3, -0.2]),
    "deep": {"kernel": jnp.full((3, 3, 1, 2), 0.1)},
}
RATE = 0.1


def gradients(params: dict) -> dict:
    return jax.grad(lambda params: sum(jnp.sin(3 * leaf).sum() for leaf in jax.tree.leaves(params)))(params)


def ours(settings: Training, steps: int = 4) -> dict:
    transform, params = optimizer(settings), PARAMS
    state = transform.init(params)
    for _ in range(steps):
        directions, state = transform.update(gradients(params), state, params)
        params = jax.tree.map(lambda weight, direction: weight - RATE * direction, params, directions)
    return params


def theirs(transform: optax.GradientTransformation, steps: int = 4) -> dict:
    params, state = PARAMS, transform.init(PARAMS)
    for _ in range(steps):
        updates, state = transform.update(gradients(params), state, params)
        params = optax.apply_updates(params, updates)
    return params


def kernels_only(params: dict) -> dict:
    return {"kernel": True, "bias": False, "deep": {"kernel": True}}


REFERENCES = {
    "adam": optax.adam(RATE),
    "sgd": optax.sgd(RATE),
    "nesterov": optax.sgd(RATE, momentum=0.9, nesterov=True),
    "adamw": optax.adamw(RATE, weight_decay=0.0001, mask=kernels_only),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_optax(name: str) -> None:
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5),
        ours(Training(optimizer=name)),
        theirs(REFERENCES[name]),
    )  # type: ignore[arg-type]


def test_l2_is_the_gradient_of_the_kernels_squares() -> None:
    """By hand: after one step of plain descent, w − rate · (gradient + 2 · l2 · w)."""
    found, gradient = ours(Training(optimizer="sgd", l2=0.01), steps=1), gradients(PARAMS)
    np.testing.assert_allclose(
        found["kernel"], PARAMS["kernel"] - RATE * (gradient["kernel"] + 0.02 * PARAMS["kernel"]), rtol=1e-6
    )
    np.testing.assert_allclose(
        found["deep"]["kernel"], PARAMS["deep"]["kernel"] - RATE * (gradient["deep"]["kernel"] + 0.002), rtol=1e-6
    )
    np.testing.assert_allclose(found["bias"], PARAMS["bias"] - RATE * gradient["bias"], rtol=1e-6)


def test_long_gradients_are_shortened() -> None:
    found = ours(Training(optimizer="sgd", gradient_clip=0.5), steps=1)
    step = jax.tree.map(lambda new, old: new - old, found, PARAMS)
    assert float(optax.tree.norm(step)) == pytest.approx(RATE * 0.5, rel=1e-5)
    same = ours(Training(optimizer="sgd", gradient_clip=1000.0), steps=1)
    jax.tree.map(np.testing.assert_array_equal, same, ours(Training(optimizer="sgd"), steps=1))
