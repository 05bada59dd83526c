"""Maxima and sums of small windows of feature maps, with gradients that are fast on CPUs.

The gradient of XLA's `reduce_window` takes 3 (maxima) to 5 times (sums) as long there as that of the same values as a
maximum or sum of shifted feature maps, which is used here. Several maxima of a window share its gradient.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from utils.models.convolutions import FeatureMaps, Padding

Result = TypeVar("Result")


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def window_maxima(x: FeatureMaps, size: int, stride: int, padding: Padding) -> FeatureMaps:
    """Return each channel's maximum of windows of size × size; what is padded is never the maximum."""
    return _reduced(x, -jnp.inf, lax.max, size, stride, padding)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def window_sums(x: FeatureMaps, size: int, stride: int, padding: Padding) -> FeatureMaps:
    """Return each channel's sum of windows of size × size."""
    return _reduced(x, 0.0, lax.add, size, stride, padding)


def mean_of_nine(x: FeatureMaps, *, stride: int) -> FeatureMaps:
    """Return the means of windows of 3 × 3; zeros around the feature maps count."""
    return window_sums(x, 3, stride, ((1, 1), (1, 1))) / 9


def mean_of_four(x: FeatureMaps) -> FeatureMaps:
    """Halve height and width, rounded up, by the means of 2 × 2; at the end of odd sides, means of what is there."""
    odd = [length % 2 for length in x.shape[1:3]]
    rows, columns = (np.r_[np.full(length // 2, 2), [1] * (length % 2)] for length in x.shape[1:3])
    sums = window_sums(x, 2, 2, ((0, odd[0]), (0, odd[1])))
    return sums * np.asarray(1 / np.outer(rows, columns)[None, :, :, None], x.dtype)


def _reduced(
    x: FeatureMaps,
    initial: float,
    operation: Callable[[jax.Array, jax.Array], jax.Array],
    size: int,
    stride: int,
    padding: Padding,
) -> FeatureMaps:
    zeros = ((0, 0), *padding, (0, 0))
    return lax.reduce_window(x, initial, operation, (1, size, size, 1), (1, stride, stride, 1), zeros)


def _of_shifted_maps(
    x: FeatureMaps,
    initial: float,
    operation: Callable[[jax.Array, jax.Array], jax.Array],
    size: int,
    stride: int,
    padding: Padding,
) -> FeatureMaps:
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=initial)
    height, width = ((length - size) // stride + 1 for length in padded.shape[1:3])
    return reduce(
        operation,
        [
            padded[:, row : row + stride * height : stride, column : column + stride * width : stride]
            for row in range(size)
            for column in range(size)
        ],
    )


def _keep_input(
    x: FeatureMaps, size: int, stride: int, padding: Padding, *, of: Callable[..., FeatureMaps]
) -> tuple[FeatureMaps, FeatureMaps]:
    return of(x, size, stride, padding), x


def _gradient_of_windows(
    size: int,
    stride: int,
    padding: Padding,
    x: FeatureMaps,
    gradient: FeatureMaps,
    *,
    initial: float,
    operation: Callable[[jax.Array, jax.Array], jax.Array],
) -> tuple[FeatureMaps]:
    shifted = partial(_of_shifted_maps, initial=initial, operation=operation, size=size, stride=stride, padding=padding)
    (of_input,) = jax.vjp(shifted, x)[1](gradient)
    return (of_input,)


window_maxima.defvjp(
    partial(_keep_input, of=window_maxima), partial(_gradient_of_windows, initial=-jnp.inf, operation=jnp.maximum)
)
window_sums.defvjp(partial(_keep_input, of=window_sums), partial(_gradient_of_windows, initial=0.0, operation=jnp.add))
