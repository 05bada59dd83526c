"""The convolution of all layers, and its gradients, are those of the library."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from utils.models.architectures.convolutions import convolve

# size of the kernel, stride, height and width, channels in and out, groups, padding
CASES = [
    (3, 1, (8, 9), (4, 4), 4, ((1, 1), (1, 1))),
    (3, 2, (9, 12), (4, 4), 4, ((1, 1), (1, 1))),
    (3, 2, (9, 12), (4, 4), 4, "SAME"),
    (5, 1, (7, 7), (4, 4), 4, "SAME"),
    (5, 2, (11, 6), (4, 4), 4, ((2, 2), (2, 2))),
    (5, 2, (11, 6), (4, 4), 4, "SAME"),
    (7, 1, (5, 9), (4, 4), 4, ((3, 3), (3, 3))),
    (7, 2, (8, 9), (4, 4), 4, "SAME"),
    (1, 1, (5, 6), (4, 7), 1, "SAME"),
    (1, 2, (5, 6), (4, 7), 1, ((0, 0), (0, 0))),
    (3, 1, (5, 6), (4, 6), 2, "SAME"),
    (3, 2, (7, 6), (6, 9), 3, ((1, 1), (1, 1))),
    (1, 1, (5, 6), (4, 6), 2, "VALID"),
    (3, 2, (9, 12), (3, 5), 1, "SAME"),
    (4, 4, (9, 12), (1, 5), 1, "VALID"),
]
LAYOUT = ("NHWC", "HWIO", "NHWC")


def arrays(
    size: int, shape: tuple[int, int], channels: tuple[int, int], groups: int, dtype: str = "float32"
) -> tuple[jax.Array, jax.Array]:
    random = np.random.default_rng((size, *shape))
    x = random.normal(size=(3, *shape, channels[0]))
    kernel = random.normal(size=(size, size, channels[0] // groups, channels[1]))
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


@partial(jax.jit, static_argnums=0)
def with_gradients(function: partial[jax.Array], x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
    """Return the output, and the gradients of x and kernel for a gradient of the output that is not constant."""
    y, backward = jax.vjp(function, x, kernel)
    return (y, *backward(jnp.cos(y)))


@pytest.mark.parametrize(("size", "stride", "shape", "channels", "groups", "padding"), CASES)
def test_output_and_gradients_are_those_of_the_library(
    size: int,
    stride: int,
    shape: tuple[int, int],
    channels: tuple[int, int],
    groups: int,
    padding: str | tuple[tuple[int, int], tuple[int, int]],
) -> None:
    given = arrays(size, shape, channels, groups)
    options = {"window_strides": (stride, stride), "padding": padding, "feature_group_count": groups}
    expected = with_gradients(partial(lax.conv_general_dilated, dimension_numbers=LAYOUT, **options), *given)
    found = with_gradients(
        lambda x, kernel: convolve(x, kernel, (stride, stride), padding, feature_group_count=groups), *given
    )
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize(("size", "stride", "groups"), [(3, 2, 4), (7, 1, 4), (1, 1, 1), (3, 1, 2)])
def test_bfloat16_is_close(size: int, stride: int, groups: int) -> None:
    x, kernel = arrays(size, (9, 8), (4, 4), groups, "bfloat16")
    found = with_gradients(
        lambda x, kernel: convolve(x, kernel, (stride, stride), "SAME", feature_group_count=groups), x, kernel
    )
    exact = with_gradients(
        partial(
            lax.conv_general_dilated,
            window_strides=(stride, stride),
            padding="SAME",
            dimension_numbers=LAYOUT,
            feature_group_count=groups,
        ),
        x.astype(jnp.float32),
        kernel.astype(jnp.float32),
    )
    for one, other in zip(found, exact, strict=True):
        assert one.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(one, np.float32), other, atol=0.02 * np.abs(other).max())


def test_on_accelerators_it_is_the_library() -> None:
    """Compiled for a GPU, nothing of the forms for CPUs is left."""
    x, kernel = arrays(3, (8, 9), (4, 4), 4)
    exported = jax.export.export(
        jax.jit(lambda x, kernel: convolve(x, kernel, (1, 1), "SAME", feature_group_count=4)), platforms=("cuda",)
    )(x, kernel)
    text = exported.mlir_module()
    assert text.count("stablehlo.convolution") == 1
    assert "feature_group_count = 4" in text
    on_cpu = jax.jit(lambda x, kernel: convolve(x, kernel, (1, 1), "SAME", feature_group_count=4)).lower(x, kernel)
    assert "stablehlo.convolution" not in on_cpu.as_text()


@pytest.mark.parametrize(("padding", "groups"), [(((1, 1), (3, 3)), 1), ("SAME", 2), ("VALID", 4)])
def test_dilated_in_time(padding: str | tuple[tuple[int, int], tuple[int, int]], groups: int) -> None:
    x, kernel = arrays(3, (7, 12), (4, 4), groups)
    options = {"padding": padding, "feature_group_count": groups, "rhs_dilation": (1, 3)}
    library = partial(lax.conv_general_dilated, window_strides=(1, 2), dimension_numbers=LAYOUT, **options)
    ours = with_gradients(partial(convolve, strides=(1, 2), **options), x, kernel)
    for found, expected in zip(ours, with_gradients(library, x, kernel), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
