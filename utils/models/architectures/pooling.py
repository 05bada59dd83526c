"""Maxima and sums of small windows of feature maps, with gradients that are fast on CPUs.

The gradient of XLA's `reduce_window` takes 3 (maxima) to 5 times (sums) as long there as that of the same values as a
maximum or sum of shifted feature maps, which is used here. Several maxima of a window share its gradient.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from utils.models.architectures.convolutions import FeatureMaps, Padding, seen_by

# of each kind of window: the value of what is padded, and the operation for `reduce_window` and for shifted maps
KINDS: dict[str, tuple[float, Callable[..., Any], Callable[..., Any]]] = {
    "maxima": (-jnp.inf, lax.max, jnp.maximum),
    "sums": (0.0, lax.add, jnp.add),
}


def window_maxima(x: FeatureMaps, size: int, stride: int, padding: Padding) -> FeatureMaps:
    """Return each channel's maximum of windows of size × size; what is padded is never the maximum."""
    return _windows(x, "maxima", size, stride, padding)


def window_sums(x: FeatureMaps, size: int, stride: int, padding: Padding) -> FeatureMaps:
    """Return each channel's sum of windows of size × size."""
    return _windows(x, "sums", size, stride, padding)


def mean_of_nine(x: FeatureMaps, *, stride: int) -> FeatureMaps:
    """Return the means of windows of 3 × 3; zeros around the feature maps count."""
    return window_sums(x, 3, stride, ((1, 1), (1, 1))) / 9


def mean_of_four(x: FeatureMaps) -> FeatureMaps:
    """Halve height and width, rounded up, by the means of 2 × 2; at the end of odd sides, means of what is there."""
    odd = [length % 2 for length in x.shape[1:3]]
    rows, columns = (np.r_[np.full(length // 2, 2), [1] * (length % 2)] for length in x.shape[1:3])
    sums = window_sums(x, 2, 2, ((0, odd[0]), (0, odd[1])))
    return sums * np.asarray(1 / np.outer(rows, columns)[None, :, :, None], x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def _windows(x: FeatureMaps, kind: Literal["maxima", "sums"], size: int, stride: int, padding: Padding) -> FeatureMaps:
    padded, operation, _ = KINDS[kind]
    zeros = ((0, 0), *padding, (0, 0))
    return lax.reduce_window(x, padded, operation, (1, size, size, 1), (1, stride, stride, 1), zeros)


def _keep_input(
    x: FeatureMaps, kind: Literal["maxima", "sums"], size: int, stride: int, padding: Padding
) -> tuple[FeatureMaps, FeatureMaps]:
    return _windows(x, kind, size, stride, padding), x


def _gradient_of_windows(
    kind: Literal["maxima", "sums"], size: int, stride: int, padding: Padding, x: FeatureMaps, gradient: FeatureMaps
) -> tuple[FeatureMaps]:
    border, _, operation = KINDS[kind]

    def of_shifted_maps(x: FeatureMaps) -> FeatureMaps:
        padded = jnp.pad(x, ((0, 0), *padding, (0, 0)), constant_values=border)
        shape = (gradient.shape[1], gradient.shape[2])
        places = [(row, column) for row in range(size) for column in range(size)]
        return reduce(operation, [seen_by(padded, *place, (stride, stride), shape) for place in places])

    (of_input,) = jax.vjp(of_shifted_maps, x)[1](gradient)
    return (of_input,)


_windows.defvjp(_keep_input, _gradient_of_windows)
