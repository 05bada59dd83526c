"""The convolution of all layers: the library's, but in forms that XLA compiles well where it runs on CPUs.

On CPUs, measured with XLA of jaxlib 0.10:

- Depthwise (as many groups as channels), it is 4 to 40 times slower than a sum of shifted products. The gradient of the
  kernel, a sum over all but the channels, is added up one number after the other; a loop over all rows of all clips
  that adds up whole rows is 4 to 5 times faster.
- In a few groups, it is 3 to 8 times slower than one convolution after the other.
- Of single pixels, the gradient of the kernel is 3 to 18 times slower than as a product of matrices.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

FeatureMaps = Float[Array, "batch _ _ _"]  # batch, height, width, channels; layers change all but the first
Kernel = Float[Array, "rows columns _ _"]
Strides = tuple[int, int]
Padding = tuple[tuple[int, int], tuple[int, int]]  # zeros before and after, of height and of width
LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolve(
    x: FeatureMaps,
    kernel: Kernel,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    rhs_dilation: Sequence[int] = (1, 1),
    feature_group_count: int = 1,
    **_: Any,
) -> FeatureMaps:
    """Convolve feature maps as `lax.conv_general_dilated`; for `flax.nnx.Conv`, channels last.

    With a dilation it is the library's.
    """
    seen = [dilation * (size - 1) + 1 for size, dilation in zip(kernel.shape[:2], rhs_dilation, strict=True)]
    height, width = lax.padtype_to_pads(x.shape[1:3], seen, strides, padding) if isinstance(padding, str) else padding
    zeros = ((height[0], height[1]), (width[0], width[1]))
    window = (strides[0], strides[1])
    if tuple(rhs_dilation) != (1, 1):
        dilation = (rhs_dilation[0], rhs_dilation[1])
        return _library(x, kernel, strides=window, padding=zeros, groups=feature_group_count, dilation=dilation)
    return _convolve(x, kernel, window, zeros, feature_group_count)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve(x: FeatureMaps, kernel: Kernel, strides: Strides, padding: Padding, groups: int) -> FeatureMaps:
    options: dict[str, Any] = {"strides": strides, "padding": padding, "groups": groups}
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(_chosen(kernel, strides, padding, groups), **options),
        default=partial(_library, **options),
    )


def _keep_arguments(
    x: FeatureMaps, kernel: Kernel, strides: Strides, padding: Padding, groups: int
) -> tuple[FeatureMaps, tuple[FeatureMaps, Kernel]]:
    return _convolve(x, kernel, strides, padding, groups), (x, kernel)


def _both_gradients(
    strides: Strides, padding: Padding, groups: int, saved: tuple[FeatureMaps, Kernel], gradient: FeatureMaps
) -> tuple[FeatureMaps, Kernel]:
    options: dict[str, Any] = {"strides": strides, "padding": padding, "groups": groups}
    form = _chosen(saved[1], strides, padding, groups)
    on_cpu = _gradients_of_depthwise if form is _shifted_products else partial(_gradients, form)
    return lax.platform_dependent(
        *saved, gradient, cpu=partial(on_cpu, **options), default=partial(_gradients, _library, **options)
    )


_convolve.defvjp(_keep_arguments, _both_gradients)


def _chosen(kernel: Kernel, strides: Strides, padding: Padding, groups: int) -> Callable[..., FeatureMaps]:
    """Return the form of a convolution for CPUs."""
    if groups == kernel.shape[3] and kernel.shape[2] == 1 and groups > 1:
        return _shifted_products
    if groups > 1:
        return _one_by_one
    pixels = kernel.shape[:2] == strides == (1, 1) and padding == ((0, 0), (0, 0))
    return _matrix_product if pixels else _library


def _library(
    x: FeatureMaps,
    kernel: Kernel,
    *,
    strides: Strides,
    padding: Padding,
    groups: int,
    dilation: tuple[int, int] = (1, 1),
) -> FeatureMaps:
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
    )


def _gradients(
    form: Callable[..., FeatureMaps], x: FeatureMaps, kernel: Kernel, gradient: FeatureMaps, **options: Any
) -> tuple[FeatureMaps, Kernel]:
    return jax.vjp(partial(form, **options), x, kernel)[1](gradient)


def _matrix_product(x: FeatureMaps, kernel: Kernel, **_: Any) -> FeatureMaps:
    # with the pixels in one axis, XLA takes its fast product; with three axes it does not
    return (x.reshape(-1, x.shape[-1]) @ kernel[0, 0]).reshape(*x.shape[:-1], kernel.shape[-1])


def _one_by_one(x: FeatureMaps, kernel: Kernel, *, strides: Strides, padding: Padding, groups: int) -> FeatureMaps:
    parts = zip(jnp.split(x, groups, axis=3), jnp.split(kernel, groups, axis=3), strict=True)
    return jnp.concatenate([_convolve(part, weights, strides, padding, 1) for part, weights in parts], axis=3)


def seen_by(padded: FeatureMaps, row: int, column: int, strides: Strides, size: tuple[int, int]) -> FeatureMaps:
    """Return what one element of a window or kernel sees: feature maps (batch, *size, channels)."""
    down, right = (row + strides[0] * size[0], column + strides[1] * size[1])
    return padded[:, row : down : strides[0], column : right : strides[1]]


def _shifted_products(
    x: FeatureMaps, kernel: Kernel, *, strides: Strides, padding: Padding, groups: int
) -> FeatureMaps:
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = kernel.shape[:2]
    size = ((padded.shape[1] - rows) // strides[0] + 1, (padded.shape[2] - columns) // strides[1] + 1)
    total = jnp.zeros((), jnp.float32)
    for row in range(rows):
        for column in range(columns):
            seen = seen_by(padded, row, column, strides, size).astype(jnp.float32)
            total += seen * kernel[row, column, 0].astype(jnp.float32)
    return total.astype(x.dtype)


def _gradients_of_depthwise(
    x: FeatureMaps, kernel: Kernel, gradient: FeatureMaps, *, strides: Strides, padding: Padding, groups: int
) -> tuple[FeatureMaps, Kernel]:
    """Return both gradients; that of the input is a depthwise convolution itself.

    It has zeros between rows and columns, and the mirrored kernel.
    """
    spread = [(0, 0, 0)]
    for axis in (1, 2):
        before, length, stride = padding[axis - 1][0], len(kernel) if axis == 1 else kernel.shape[1], strides[axis - 1]
        low = length - 1 - before
        high = x.shape[axis] + length - 1 - low - (stride * (gradient.shape[axis] - 1) + 1)
        spread.append((low, high, stride - 1))
    padded = lax.pad(gradient, jnp.zeros((), gradient.dtype), [*spread, (0, 0, 0)])
    of_input = _shifted_products(padded, kernel[::-1, ::-1], strides=(1, 1), padding=((0, 0), (0, 0)), groups=groups)
    return of_input, _kernel_gradient_by_rows(x, kernel, gradient, strides=strides, padding=padding)


def _kernel_gradient_by_rows(
    x: FeatureMaps, kernel: Kernel, gradient: FeatureMaps, *, strides: Strides, padding: Padding
) -> Kernel:
    rows, columns, channels = *kernel.shape[:2], x.shape[-1]
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    batch, height, width = gradient.shape[:3]

    def add_row(index: jax.Array, sums: list[list[jax.Array]]) -> list[list[jax.Array]]:
        clip, row = index // height, index % height
        seen = lax.dynamic_slice(padded, (clip, row * strides[0], 0, 0), (1, rows, padded.shape[2], channels))[0]
        of_row = lax.dynamic_slice(gradient, (clip, row, 0, 0), (1, 1, width, channels))[0, 0].astype(jnp.float32)
        return [
            [
                total + seen[above, left : left + strides[1] * width : strides[1]].astype(jnp.float32) * of_row
                for left, total in enumerate(totals)
            ]
            for above, totals in enumerate(sums)
        ]

    zeros = [[jnp.zeros((width, channels))] * columns] * rows
    sums = lax.fori_loop(0, batch * height, add_row, zeros)
    of_kernel = jnp.stack([jnp.stack([total.sum(axis=0) for total in totals]) for totals in sums])
    return of_kernel[:, :, None].astype(kernel.dtype)
