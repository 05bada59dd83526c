"""Networks in int8: a quarter of the size, nearly the same scores, and what would lose much stays in float32."""

from collections import Counter

import jax
import numpy as np
import pytest
import scipy.special
from flax import nnx

from config import Model
from utils.models.networks import Network, build_network

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")

from utils.models.onnx.export import to_onnx_model  # noqa: E402
from utils.models.onnx.int8 import FLOAT_LAYERS, to_int8  # noqa: E402

SHAPE = (32, 48)


def spectrograms(count: int, seed: int) -> np.ndarray:
    """Draw blobs at random places, on noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (count, *SHAPE))
    for clip, (row, column) in zip(pixels, rng.integers(0, 24, (count, 2)), strict=True):
        clip[row : row + 8, column : column + 8] += 150
    return pixels.astype(np.uint8)


@pytest.fixture(scope="module")
def models() -> tuple["onnx.ModelProto", "onnx.ModelProto"]:
    settings = Model("Baseline", filters=(16, 32, 64), kernel_sizes=(5, 3, 3), groups=(1, 1, 1))
    graph, network = build_network(settings, classes=6, shape=SHAPE, seed=3)
    model = to_onnx_model(graph, network, shape=SHAPE)
    onnx.helper.set_model_props(model, {"classes": "six"})
    return model, to_int8(model, spectrograms(40, 1))


def run(model: "onnx.ModelProto", pixels: np.ndarray) -> np.ndarray:
    return np.asarray(
        onnxruntime.InferenceSession(model.SerializeToString()).run(["logits"], {"spectrograms": pixels})[0]
    )


def test_scores_are_nearly_the_same(models: tuple["onnx.ModelProto", "onnx.ModelProto"]) -> None:
    pixels = spectrograms(20, 2)  # others than those of the calibration
    wanted, found = (scipy.special.softmax(run(model, pixels), axis=1) for model in models)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - wanted).max() < 0.1  # not the same: it computed in int8
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.99
    assert wanted.std(axis=0).max() > 0.01  # the clips differ


def test_weights_are_int8_but_for_the_first_layers(models: tuple["onnx.ModelProto", "onnx.ModelProto"]) -> None:
    model, small = models
    onnx.checker.check_model(small, full_check=True)
    weights = small.graph.initializer
    kinds = Counter(one.data_type for one in weights if len(one.dims) == 4 or one.name.endswith("quantized"))
    layers = sum(node.op_type in ("Conv", "MatMul") for node in model.graph.node)
    assert kinds[onnx.TensorProto.FLOAT] == FLOAT_LAYERS
    assert kinds[onnx.TensorProto.INT8] == layers - FLOAT_LAYERS
    assert small.ByteSize() < model.ByteSize()  # in spite of the names of more operations
    assert [(prop.key, prop.value) for prop in small.metadata_props] == [("classes", "six")]
    assert [prop.value for prop in model.metadata_props] == ["six"]


def test_ranges_come_from_the_clips(models: tuple["onnx.ModelProto", "onnx.ModelProto"]) -> None:
    model, small = models
    dark = to_int8(model, np.zeros((3, *SHAPE), np.uint8))
    pixels = spectrograms(20, 2)
    wanted = run(model, pixels)
    assert np.abs(run(dark, pixels) - wanted).mean() > np.abs(run(small, pixels) - wanted).mean()
    assert to_int8(model, spectrograms(40, 1)).SerializeToString() == small.SerializeToString()


def test_squares_of_layer_norms_stay_in_float() -> None:
    from utils.models.architectures.convnext import ConvNeXt, Design

    def module() -> ConvNeXt:
        design = Design((1, 1), (8, 16), conv_mlp=True)
        return ConvNeXt(
            Model("ConvNeXtAtto"), classes=3, shape=SHAPE, dtype=np.float32, rngs=nnx.Rngs(0), design=design
        )

    graph, *states = nnx.split(nnx.eval_shape(module), nnx.Param, ...)
    rng = np.random.default_rng(0)
    network = jax.tree.map(lambda leaf: rng.uniform(0.5, 1, leaf.shape).astype(np.float32), Network(*states))
    nodes = to_int8(to_onnx_model(graph, network, shape=SHAPE), spectrograms(4, 1)).graph.node
    rounded = {node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    squares = [node for node in nodes if node.op_type == "Mul" and node.input[0] == node.input[1]]
    assert len(squares) >= 2 * 5  # of five norms, the squares of their values and of their means
    assert not rounded.intersection(node.output[0] for node in squares)
