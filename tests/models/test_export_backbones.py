"""Small copies of all backbones as ONNX files: equal to JAX, in the layout of convolutions, with input scaling."""

from collections import Counter
from collections.abc import Callable, Hashable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from config import Model
from utils.models.architectures import convnext, efficientnet, mobilenet, resnest
from utils.models.architectures.classifier import Classifier
from utils.models.architectures.convnext import ConvNeXt
from utils.models.architectures.efficientnet import EfficientNet, Stage
from utils.models.architectures.mobilenet import Conv, Inverted, MobileNet
from utils.models.architectures.resnest import ResNeSt
from utils.models.input_scaling import Statistics, from_pixels, with_statistics
from utils.models.networks import Network, all_outputs, apply

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")

from utils.models.onnx.conversion import to_onnx  # noqa: E402
from utils.models.onnx.export import to_onnx_model  # noqa: E402

predict = jax.jit(apply, static_argnums=0)
SHAPE = (33, 48)  # an odd height: padding depends on it
PIXELS = np.random.default_rng(5).integers(0, 256, (3, *SHAPE), dtype=np.uint8)
STAGES = (Stage("separable", 1, 3, 1, 1, 8, 0.25), Stage("inverted", 2, 5, 2, 2, 8, 0.25))
LITE = efficientnet.Design(STAGES, stem=8, features=16, lite=True)
FIRST = efficientnet.Design(STAGES, stem=8, features=16)
SECOND = efficientnet.Design(
    (Stage("conv", 1, 3, 1, 1, 8), Stage("fused", 2, 3, 2, 2, 8), *STAGES[1:]), stem=8, features=16
)
V4 = mobilenet.Design(((Conv(8, 3, 2),), (Inverted(8, 5, 3, 2, 2), Inverted(8, 3, 0, 2))), stem=8, features=16)
SPLIT = resnest.Design((1, 1, 1, 1), (4, 4, 8, 8), stem=4)
FAMILIES = [
    (EfficientNet, LITE, Model("EfficientNetLite0", normalize="weights", padding="same", channels=3)),
    (EfficientNet, FIRST, Model("EfficientNetB0", normalize="bands")),
    (EfficientNet, SECOND, Model("EfficientNetV2S", normalize="dataset")),
    (ConvNeXt, convnext.Design((1, 1), (8, 16), conv_mlp=True), Model("ConvNeXtAtto", normalize="weights")),
    (ConvNeXt, convnext.Design((1, 1), (8, 16), conv_mlp=False), Model("ConvNeXtTiny")),
    (MobileNet, V4, Model("MobileNetV4Small", normalize="weights", channels=3)),
    (ResNeSt, SPLIT, Model("ResNeSt50")),
    (EfficientNet, LITE, Model("EfficientNetLite0", pool="attention")),
    (EfficientNet, LITE, Model("EfficientNetLite0", pool="gem")),
    (MobileNet, V4, Model("MobileNetV4Small", pool="attention")),
]


@cache
def exported(
    kind: type[Classifier], design: Hashable, settings: Model
) -> tuple[nnx.GraphDef, Network, "onnx.ModelProto"]:
    """Build a small copy and export it, once for all tests."""
    graph, network = network_of(kind, design, settings)
    return graph, network, to_onnx_model(graph, network, shape=SHAPE)


def network_of(kind: type[Classifier], design: Hashable, settings: Model) -> tuple[nnx.GraphDef, Network]:
    """Build a small copy with random weights, norms and input scaling; drawing initial weights would take seconds."""

    def module() -> Classifier:
        return kind(settings, classes=5, shape=SHAPE, dtype=jnp.float32, rngs=nnx.Rngs(0), design=design)

    rng = np.random.default_rng(1)

    def values(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        spread = (2 / np.prod(leaf.shape[:-1])) ** 0.5
        drawn = rng.normal(0, spread, leaf.shape) if len(leaf.shape) > 1 else rng.uniform(0.5, 1.5, leaf.shape)
        return jnp.asarray(drawn, jnp.float32)

    graph, *states = nnx.split(nnx.eval_shape(module), nnx.Param, ...)
    network = jax.tree.map(values, Network(*states))
    if settings.normalize == "spectrogram":
        return graph, network
    shape = {"dataset": (), "bands": SHAPE[:1], "weights": (settings.channels,)}[settings.normalize]
    mean, deviation = (rng.uniform(low, 0.7, shape).astype(np.float32) for low in (0.3, 0.5))
    return graph, network._replace(rest=with_statistics(network.rest, Statistics(mean, deviation)))


@pytest.mark.parametrize(("kind", "design", "settings"), FAMILIES, ids=lambda value: getattr(value, "name", ""))
def test_scores_are_those_of_jax(kind: type[Classifier], design: Hashable, settings: Model) -> None:
    graph, network, model = exported(kind, design, settings)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    wanted = np.asarray(predict(graph, network, from_pixels(jnp.asarray(PIXELS)))[0])
    for count in (1, 3):
        (found,) = session.run(["logits"], {"spectrograms": PIXELS[:count]})
        np.testing.assert_allclose(found, wanted[:count], atol=1e-4 * max(1, np.abs(wanted).max()))
        np.testing.assert_allclose(jax.nn.softmax(found), jax.nn.softmax(wanted[:count]), atol=1e-4)
    assert np.ptp(wanted, axis=0).max() > 1e-3  # the clips differ: something was compared


@pytest.mark.parametrize(
    ("kind", "design", "settings"),
    [family for family in FAMILIES if family[2].pool == "attention"],
    ids=lambda value: getattr(value, "name", ""),
)
def test_frames_are_those_of_jax(kind: type[Classifier], design: Hashable, settings: Model) -> None:
    graph, network = network_of(kind, design, settings)
    model = to_onnx_model(graph, network, shape=SHAPE, further=("embeddings", "frames"))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    wanted = jax.jit(all_outputs, static_argnums=0)(graph, network, from_pixels(jnp.asarray(PIXELS)))
    assert wanted.frames is not None
    assert wanted.frames.shape[1] > 1
    assert np.ptp(wanted.frames, axis=1).max() > 1e-3  # frames differ
    for name, found in zip(wanted._fields, session.run([*wanted._fields], {"spectrograms": PIXELS}), strict=True):
        expected = np.asarray(getattr(wanted, name))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("kind", "design", "settings"), FAMILIES, ids=lambda value: getattr(value, "name", ""))
def test_the_layout_of_convolutions_is_kept(kind: type[Classifier], design: Hashable, settings: Model) -> None:
    nodes = exported(kind, design, settings)[2].graph.node
    operations = Counter(node.op_type for node in nodes)
    # dense layers on each position need the other order: one transpose before, one after them; those of frames, one
    by_frame = settings.pool == "attention"
    assert operations["Transpose"] == (4 if settings.name == "ConvNeXtTiny" else 1 if by_frame else 0)
    if kind is not ConvNeXt:
        assert operations["BatchNormalization"] == 0  # all are parts of convolutions
    if kind is EfficientNet:
        assert operations["Clip"] + operations["Sigmoid"] > 5
        assert operations["Relu"] + operations["Min"] + operations["Exp"] == by_frame  # its softmax
    depthwise = [node for node in nodes for one in node.attribute if one.name == "group" and one.i in (8, 16)]
    assert depthwise or kind is ResNeSt


def maps(x: jax.Array) -> jax.Array:
    """Make feature maps of 3 channels that differ, 2 clips of 4 × 6, by a convolution."""
    kernel = jnp.asarray(np.random.default_rng(3).normal(size=(2, 2, 1, 3)), jnp.float32) / 100
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x.astype(jnp.float32)[..., None], kernel, (1, 1), "SAME", dimension_numbers=dimensions
    )


def in_onnx(function: Callable[[jax.Array], jax.Array]) -> "onnx.ModelProto":
    """Return a function of clips of 4 × 6 as an ONNX model."""
    return to_onnx(lambda x: [function(x)], shape=(4, 6), source="x", targets=["y"])


@pytest.mark.parametrize(
    "function",
    [
        lambda y: jax.nn.gelu(y, approximate=True).mean(axis=(1, 2)),
        lambda y: jax.nn.softmax(y.reshape(*y.shape[:3], 3, 1), axis=3).sum(axis=(1, 2, 4)),
        lambda y: jnp.concatenate([y[..., 2:], y[..., :2] * 2], axis=3).max(axis=(1, 2)),
        lambda y: jnp.concatenate([part[..., None, :] for part in jnp.split(y, 3, axis=3)], axis=3).min(axis=(1, 2, 4)),
        lambda y: jnp.pad(-y, ((0, 0), (1, 0), (0, 2), (0, 0)), constant_values=3).mean(axis=(1, 2)),
        lambda y: nnx.avg_pool(y, (3, 3), (2, 2), padding=((1, 1), (1, 1)), count_include_pad=False).sum(axis=(1, 2)),
        lambda y: nnx.avg_pool(y, (3, 3), (2, 2), padding=((1, 0), (0, 1))).sum(axis=(1, 2)),
        lambda y: (y - y.mean(axis=3, keepdims=True)).transpose(0, 3, 1, 2).max(axis=(2, 3)),
        lambda y: (y * y.mean(axis=1, keepdims=True) + jnp.sqrt(jnp.square(y) + 1)).sum(axis=2)[:, 0],
        lambda y: jax.nn.relu6(y).reshape(y.shape[0], -1) @ jnp.arange(216.0).reshape(72, 3) / 100,
    ],
)
def test_each_operation_is_that_of_jax(function: object) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (2, 4, 6), dtype=np.uint8)

    def wanted(x: jax.Array) -> jax.Array:
        return function(maps(x))  # type: ignore[operator]

    session = onnxruntime.InferenceSession(in_onnx(wanted).SerializeToString())
    np.testing.assert_allclose(session.run(None, {"x": pixels})[0], wanted(jnp.asarray(pixels)), rtol=1e-4, atol=1e-4)


def test_a_number_that_maps_are_multiplied_by_costs_no_operation() -> None:
    model = in_onnx(lambda x: (maps(x) / 3 * 2).mean(axis=(1, 2)) * 1.25)
    assert [node.op_type for node in model.graph.node] == [
        *("Cast", "Reshape", "Conv", "GlobalAveragePool", "Reshape"),
        *("Mul", "Identity"),
    ]


def test_a_norm_beside_another_use_of_its_input_stays() -> None:
    def function(x: jax.Array) -> jax.Array:
        y = maps(x)
        return (y + jax.nn.relu(y * jnp.array([1.0, -2, 3]) + jnp.array([1.0, 2, 3]))).sum(axis=(1, 2))

    model = in_onnx(function)
    operations = Counter(node.op_type for node in model.graph.node)
    assert (operations["Conv"], operations["BatchNormalization"]) == (1, 1)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 4, 6), dtype=np.uint8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_allclose(session.run(None, {"x": pixels})[0], function(jnp.asarray(pixels)), rtol=1e-4)
