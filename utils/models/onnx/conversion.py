"""Convert a JAX function to an ONNX graph: it is traced, and each of its operations is written as one of ONNX's.

Operations on weights alone are computed during the conversion, so that the graph has their results. Only the operations
of our models are known (`operations.OPERATIONS`); any other is refused by its name.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jax.typing import DTypeLike
from onnx import TensorProto, helper

from utils.models.onnx.graph import OnnxGraph, Operand, UnsupportedByOnnx, Value
from utils.models.onnx.operations import OPERATIONS
from utils.models.onnx.shapes import shape_of


def to_onnx(
    function: Callable[[jax.Array], Sequence[jax.Array]],
    *,
    shape: tuple[int, ...],
    source: str,
    targets: Sequence[str],
    dtype: DTypeLike = np.uint8,
) -> onnx.ModelProto:
    """Convert a function from arrays (batch, *shape) to several float32 (batch, …), for batches of any size.

    Parameters
    ----------
    source, targets : names of its input and its outputs
    dtype : of its input

    Raises
    ------
    UnsupportedByOnnx
        If it has an operation that cannot be converted.
    """
    (batch,) = jax.export.symbolic_shape("batch")
    traced = jax.make_jaxpr(function)(jax.ShapeDtypeStruct((batch, *shape), dtype))
    graph = OnnxGraph()
    outputs: dict[str, Value] = {}
    for target, output in zip(targets, _convert(graph, traced, [Value(source, (-1, *shape))]), strict=True):
        if not isinstance(output, Value):
            raise UnsupportedByOnnx("an output that does not depend on the input")
        outputs[target] = output
    return graph.model(
        list(outputs.values()),
        source=helper.make_tensor_value_info(
            source, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["batch", *shape]
        ),
        targets=[
            helper.make_tensor_value_info(target, TensorProto.FLOAT, ["batch", *output.shape[1:]])
            for target, output in outputs.items()
        ],
    )


def _convert(graph: OnnxGraph, traced: ClosedJaxpr, operands: Sequence[Operand]) -> list[Operand]:
    """Convert all operations of a traced function; return its outputs."""
    jaxpr: Jaxpr = traced.jaxpr
    known: dict[Any, Operand] = dict(zip(jaxpr.constvars, map(np.asarray, traced.consts), strict=True))
    known |= zip(jaxpr.invars, operands, strict=True)

    def operand(variable: Any) -> Operand:
        literal = isinstance(variable, Literal)
        return np.asarray(variable.val, _dtype(variable)) if literal else known[variable]

    for equation in jaxpr.eqns:
        given = [operand(variable) for variable in equation.invars]
        known |= zip(equation.outvars, _convert_equation(graph, equation, given), strict=True)
    return [operand(variable) for variable in jaxpr.outvars]


def _dtype(variable: Any) -> np.dtype[Any]:
    return np.dtype(variable.aval.dtype)


def _convert_equation(graph: OnnxGraph, equation: JaxprEqn, given: list[Operand]) -> list[Operand]:
    name, params = equation.primitive.name, equation.params
    if name == "cond":
        return _convert(graph, _chosen_branch(params, given[0]), given[1:])
    inner = params.get("jaxpr", params.get("call_jaxpr"))
    if isinstance(inner, ClosedJaxpr):  # a function within the function
        return _convert(graph, inner, given)
    if name == "platform_index":
        return [np.array(0)]  # the branch is chosen by its platform
    if all(isinstance(operand, np.ndarray) for operand in given):
        return _compute_constants(equation, [np.asarray(operand) for operand in given])
    if name not in OPERATIONS:
        raise UnsupportedByOnnx(f"the operation {name}")
    written = OPERATIONS[name](graph, equation, given)
    return list(written) if equation.primitive.multiple_results else [written]


def _chosen_branch(params: dict[str, Any], index: Operand) -> ClosedJaxpr:
    """Return the branch for all platforms without one of their own, or the one that a constant chooses."""
    platforms = params.get("branches_platforms")
    if platforms is not None and None in platforms:
        return params["branches"][platforms.index(None)]
    if isinstance(index, np.ndarray):
        return params["branches"][int(index)]
    raise UnsupportedByOnnx("a branch that depends on the input")


def _compute_constants(equation: JaxprEqn, given: list[np.ndarray]) -> list[Operand]:
    """Return the result of an operation on weights alone."""
    if equation.primitive.name == "broadcast_in_dim":
        return [_with_new_axes(given[0], equation)]
    shapes = [shape_of(variable) for variable in equation.invars]
    if any(-1 in shape and shape != array.shape for array, shape in zip(given, shapes, strict=True)):
        raise UnsupportedByOnnx(f"{equation.primitive.name} of weights repeated for each clip")
    result = equation.primitive.bind(
        *(np.broadcast_to(array, shape) for array, shape in zip(given, shapes, strict=True)), **equation.params
    )
    return [np.asarray(array) for array in (result if equation.primitive.multiple_results else [result])]


def _with_new_axes(array: np.ndarray, equation: JaxprEqn) -> np.ndarray:
    """Give a constant its new axes, but do not repeat it: the next operation broadcasts it."""
    shape = [1] * len(equation.params["shape"])
    for length, axis in zip(array.shape, equation.params["broadcast_dimensions"], strict=True):
        shape[axis] = length
    return array.reshape(shape)
