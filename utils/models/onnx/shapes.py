"""How operations that move, cut and join arrays are written in ONNX; and what other operations need of shapes."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from utils.models.onnx.graph import (
    FIRST,
    OnnxGraph,
    Operand,
    Shape,
    UnsupportedByOnnx,
    Value,
    axis_in_graph,
    in_graph,
)


def shape_of(variable: Any) -> Shape:
    """Return the shape of an array; the batch, whose size is unknown, is −1."""
    return tuple(length if isinstance(length, int) else -1 for length in variable.aval.shape)


def output_shape(equation: JaxprEqn) -> Shape:
    """Return the shape of the result of an operation."""
    return shape_of(equation.outvars[0])


def any_channels_first(given: Sequence[Operand]) -> bool:
    """Tell whether one of the operands has channels first."""
    return any(isinstance(operand, Value) and operand.channels_first for operand in given)


def reshaped(graph: OnnxGraph, value: Value, shape: Shape) -> Value:
    """Give a value another shape; it has channels first if that costs nothing."""
    before, dims = value.shape, len(FIRST)
    same_maps = before[1:3] == shape[1:3] and len(shape) >= dims
    if value.channels_first and len(before) >= dims and same_maps:
        first = True
    else:
        value = graph.with_layout(value, channels_first=False)
        maps = len(shape) >= dims and prod(shape[3:]) == 1  # (B, H, W) to (B, H, W, 1)
        first = maps or (len(shape) >= dims and prod(shape[1:3]) == 1)  # (B, C) to (B, 1, 1, C)
    now = in_graph(before, channels_first=value.channels_first)
    name = graph.reshape(value.name, now, in_graph(shape, channels_first=first))
    return Value(name, shape, first, value.factor)


def reshape(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Give an array the shape of the result: `reshape`, `squeeze` or `expand_dims`."""
    (value,) = given
    assert isinstance(value, Value)  # noqa: S101
    return reshaped(graph, value, output_shape(equation))


def broadcast(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Give an array its new axes, then repeat it along them; the batch, whose size is unknown, is never repeated."""
    (value,), shape = given, output_shape(equation)
    assert isinstance(value, Value)  # noqa: S101
    lengths = [1] * len(shape)
    for length, axis in zip(value.shape, equation.params["broadcast_dimensions"], strict=True):
        lengths[axis] = length
    value = reshaped(graph, value, tuple(lengths))
    wanted = tuple(1 if length == -1 else length for length in shape)
    if tuple(lengths) == shape:
        return value
    repeats = graph.integers(*in_graph(wanted, channels_first=value.channels_first))
    return value._replace(name=graph.node("Expand", value.name, repeats), shape=shape)


def transpose(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Write `transpose`."""
    name = graph.in_layout(given[0])
    return Value(graph.node("Transpose", name, perm=equation.params["permutation"]), output_shape(equation))


def cut_slice(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Write `slice`."""
    (value,), params = given, equation.params
    assert isinstance(value, Value)  # noqa: S101
    strides = params["strides"] or [1] * len(value.shape)
    lengths = list(zip(value.shape, params["start_indices"], params["limit_indices"], strides, strict=True))
    cut = [
        axis for axis, (length, start, end, step) in enumerate(lengths) if (length, start, step) != (end, 0, 1) and axis
    ]
    starts, ends, steps = ([int(lengths[axis][part]) for axis in cut] for part in (1, 2, 3))
    axes = [axis_in_graph(value, axis) for axis in cut]
    name = graph.node("Slice", value.name, *(graph.integers(*part) for part in (starts, ends, axes, steps)))
    return value._replace(name=name, shape=output_shape(equation))


def gather(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Write a slice, as JAX does it if the batch has no size; axes that are indexed by a number disappear."""
    (value, starts), numbers = given, equation.params["dimension_numbers"]
    sizes, indexed = equation.params["slice_sizes"], numbers.start_index_map
    if not isinstance(value, Value) or not isinstance(starts, np.ndarray) or starts.shape != (len(indexed),):
        raise UnsupportedByOnnx("an unsupported kind of indexing")
    ends = [int(start) + int(sizes[axis]) for start, axis in zip(starts, indexed, strict=True)]
    axes = [axis_in_graph(value, axis) for axis in indexed]
    name = graph.node("Slice", value.name, *(graph.integers(*part) for part in (starts.tolist(), ends, axes)))
    lengths = [int(sizes[axis]) if axis in indexed else length for axis, length in enumerate(value.shape)]
    return reshaped(graph, value._replace(name=name, shape=tuple(lengths)), output_shape(equation))


def split(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> list[Value]:
    """Write `split`."""
    (value,), axis, start, parts = given, equation.params["axis"], 0, []
    assert isinstance(value, Value)  # noqa: S101
    for size, output in zip(equation.params["sizes"], equation.outvars, strict=True):
        ends = (int(start), int(start + size), axis_in_graph(value, axis))
        name = graph.node("Slice", value.name, *map(graph.integers, ends))
        parts.append(value._replace(name=name, shape=shape_of(output)))
        start += size
    return parts


def concatenate(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Write `concatenate`."""
    first, shape = any_channels_first(given), output_shape(equation)
    names = [graph.in_layout(operand, channels_first=first) for operand in given]
    output = Value("", shape, first)
    return output._replace(name=graph.node("Concat", *names, axis=axis_in_graph(output, equation.params["dimension"])))


def pad(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> Value:
    """Write `pad`, but for zeros between the elements."""
    (value, filling), lengths = given, equation.params["padding_config"]
    if not isinstance(value, Value) or any(between for _, _, between in lengths):
        raise UnsupportedByOnnx("an unsupported kind of padding")
    pads = [
        zeros
        for part in (0, 1)
        for zeros in in_graph([int(length[part]) for length in lengths], channels_first=value.channels_first)
    ]
    name = graph.in_layout(value, channels_first=value.channels_first)
    name = graph.node("Pad", name, graph.integers(*pads), graph.in_layout(filling))
    return Value(name, output_shape(equation), value.channels_first)
