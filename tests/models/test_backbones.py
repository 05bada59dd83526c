"""Backbones that take public weights: the same values as timm's, and what training needs of them."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from config import MODELS_WITHOUT_WEIGHTS, Model
from tests.conftest import SHARED
from tests.models import make_golden
from tests.models.small_backbones import (
    CLASSES,
    TINY,
    make_small,
    split,
    tensor_name,
    timm_shape,
    with_tensors,
)
from utils.models.architectures import convolutions
from utils.models.architectures.backbone_layers import drop_path, drop_path_rates
from utils.models.architectures.convnext import _at_least
from utils.models.array_trees import named_leaves
from utils.models.layer_table import layers, totals
from utils.models.networks import NETWORKS, Network, abstract_network, apply
from utils.models.public_weights import read_tensors

GOLDEN = Path(__file__).with_name("golden")
WEIGHTS = SHARED / "weights" / "tf_efficientnet_lite0.safetensors"
PADDING = {"EfficientNetLite0": "same", "EfficientNetV2S": "same", "EfficientNetB0-same": "same"}
# the compiler takes half the time
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def golden_arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "small" / f"{name}.npz") as arrays:
        return dict(arrays)


def golden_tensors(name: str) -> dict[str, np.ndarray]:
    arrays = golden_arrays(name.removesuffix("-same"))
    return {tensor: array for tensor, array in arrays.items() if " " not in tensor}


def error(found: jax.Array, expected: np.ndarray) -> float:
    """Return the largest error relative to the largest value."""
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


def assert_equal_outputs(
    graph: nnx.GraphDef, network: Network, images: np.ndarray, logits: np.ndarray, features: np.ndarray
) -> None:
    @compiled
    def outputs(network: Network, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        module = nnx.merge(graph, *network)
        found = module.features(images, train=False, key=None)
        return module.output(found), found

    found = outputs(network, jnp.asarray(images))
    assert found[1].shape == features.shape
    assert error(found[1], features) < 1e-4
    assert error(found[0], logits) < 1e-4


@pytest.mark.parametrize("name", make_golden.SMALL)
def test_small_copies_have_the_golden_values(name: str) -> None:
    settings = Model(name=name.removesuffix("-same"), channels=3, padding=PADDING.get(name, "symmetric"))
    graph, network = split(nnx.eval_shape(lambda: make_small(settings)))
    network = with_tensors(network, golden_tensors(name))
    arrays = golden_arrays(name)
    for height, width in make_golden.SIZES:
        expected = [arrays[f"{kind} {height} {width}"] for kind in ("logits", "features")]
        assert_equal_outputs(graph, network, make_golden.images((height, width)), *expected)


def test_padding_makes_a_difference() -> None:
    symmetric, same = (golden_arrays(name)["features 64 40"] for name in ("EfficientNetB0", "EfficientNetB0-same"))
    assert error(symmetric, same) > 0.01


def test_every_backbone_has_a_list_of_tensors() -> None:
    backbones = NETWORKS.keys() - {*MODELS_WITHOUT_WEIGHTS, "External"}
    assert {path.stem for path in (GOLDEN / "tensors").iterdir()} == backbones == make_golden.MEMBERS.keys()


@pytest.mark.parametrize("name", make_golden.MEMBERS)
def test_variables_are_the_tensors_of_the_full_files(name: str) -> None:
    lines = (GOLDEN / "tensors" / f"{name}.txt").read_text().splitlines()[1:]
    tensors = {tensor: tuple(map(int, shape.split("x"))) for tensor, shape in (line.split(" ") for line in lines)}
    _, network = abstract_network(Model(name=name, channels=3), classes=1000, shape=(64, 64))
    variables = named_leaves(network)
    found = {tensor_name(variable, tensors): timm_shape(leaf.shape) for variable, leaf in variables.items()}
    assert len(found) == len(variables)
    assert found == tensors


@pytest.mark.parametrize("name", ["EfficientNetLite0", "ConvNeXtAtto", "MobileNetV4Small"])
def test_flops_and_parameters_of_the_table_are_those_of_timm(name: str) -> None:
    head, *lines = (GOLDEN / "tensors" / f"{name}.txt").read_text().splitlines()
    parameters, flops = totals(layers(Model(name=name, channels=3), classes=1000, shape=(224, 224)))
    assert flops == 2 * int(head.split()[2])
    shapes = [line.split()[1] for line in lines if ".running_" not in line]
    assert parameters == sum(np.prod([int(side) for side in shape.split("x")]) for shape in shapes)


def test_real_weights_have_the_golden_values() -> None:
    if not WEIGHTS.is_file():
        pytest.skip("no ../shared/weights beside the repository")
    settings = Model(name="EfficientNetLite0", channels=3, weights=str(WEIGHTS))
    graph, network = abstract_network(settings, classes=1000, shape=(128, 256))
    network = with_tensors(network, read_tensors(WEIGHTS))
    images = np.random.default_rng(2026).normal(size=(2, 128, 256, 3)).astype(np.float32)
    with np.load(WEIGHTS.with_name("tf_efficientnet_lite0_golden.npz")) as golden:
        assert_equal_outputs(graph, network, images, golden["logits"], golden["features"])


@pytest.mark.parametrize("size", [(160, 224), (133, 192)])
@pytest.mark.parametrize("name", make_golden.MEMBERS)
def test_full_sizes_are_equal_to_timm(name: str, size: tuple[int, int]) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    member = make_golden.MEMBERS[name]
    model = timm.create_model(member)
    images = make_golden.images(size)
    if name == "EfficientNetLite0" and WEIGHTS.is_file():
        import torch

        tensors = read_tensors(WEIGHTS)
        model.load_state_dict({tensor: torch.tensor(array) for tensor, array in tensors.items()}, strict=False)
    else:
        make_golden.randomize(model, seed=1)
        tensors = make_golden.calibrate(model, images)
    settings = Model(name=name, channels=3, padding="same" if member.startswith("tf_") else "symmetric")
    graph, network = abstract_network(settings, classes=1000, shape=size)
    assert_equal_outputs(graph, with_tensors(network, tensors), images, *make_golden.outputs(model, images))


@pytest.fixture
def library_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute all convolutions in one operation, which XLA compiles faster; test_convolutions.py has the others."""
    monkeypatch.setattr(convolutions, "_chosen", lambda *_: convolutions._library)


def tiny_network(name: str, *, dtype: str = "float32", **options: float) -> tuple[nnx.GraphDef, Network]:
    """Make a tiny backbone with random weights, drawn by NumPy: JAX compiles a function for each shape."""
    graph, network = split(nnx.eval_shape(lambda: make_small(Model(name=name, **options), TINY, dtype=dtype)))
    random = np.random.default_rng(0)

    def drawn(leaf: jax.Array) -> jax.Array:
        spread, mean = (np.sqrt(2 / np.prod(leaf.shape[:-1])), 0) if leaf.ndim > 1 else (0.1, 1)
        return jnp.asarray(random.normal(mean, spread, leaf.shape), jnp.float32)

    return graph, jax.tree.map(drawn, network)


def images() -> jax.Array:
    return jax.random.uniform(jax.random.key(1), (4, 33, 47))


@pytest.mark.usefixtures("library_convolutions")
@pytest.mark.parametrize("name", TINY)
def test_a_step_of_training_reaches_everything_in_both_dtypes(name: str) -> None:
    logits = {}
    for dtype in ("float32", "bfloat16"):
        graph, network = tiny_network(name, dtype=dtype, dropout=0.2, drop_path=0.3)

        def loss(
            params: nnx.State, rest: nnx.State, key: jax.Array, graph: nnx.GraphDef = graph
        ) -> tuple[jax.Array, tuple[jax.Array, nnx.State]]:
            logits, rest = apply(graph, Network(params, rest), images(), train=True, key=key)
            return (jax.nn.softmax(logits) ** 2).sum(), (logits, rest)

        step = compiled(jax.value_and_grad(loss, has_aux=True))
        # the arrays that a step returns have strong types: with weak ones at first, it would be compiled again
        assert not [path for path, array in named_leaves(network).items() if array.weak_type]
        (_, (logits[dtype], rest)), gradients = step(*network, jax.random.key(2))
        (_, (other, _)), _ = step(*network, jax.random.key(3))
        assert logits[dtype].shape == (4, CLASSES)
        assert np.abs(logits[dtype] - other).max() > 1e-3
        before, after = named_leaves(network.rest), named_leaves(rest)
        found = named_leaves(gradients) | after
        assert {array.dtype for array in (logits[dtype], *found.values())} == {jnp.dtype(jnp.float32)}
        for path, array in found.items():
            assert np.isfinite(array).all(), path
            assert np.abs(array - before.get(path, 0)).max() > 0, path
    assert 0 < error(logits["bfloat16"], np.asarray(logits["float32"])) < 0.1


@pytest.mark.parametrize("name", TINY)
def test_only_training_drops(name: str) -> None:
    def draws(*, train: bool, **options: float) -> int:
        """Return how often random numbers are drawn."""
        graph, network = split(nnx.eval_shape(lambda: make_small(Model(name=name, **options), TINY)))
        traced = jax.make_jaxpr(functools.partial(apply, graph, train=train))
        return str(traced(network, images(), key=jax.random.key(0))).count("random_bits")

    assert draws(train=True) == 0
    assert draws(train=True, dropout=0.5) == 1
    assert draws(train=True, drop_path=0.5) >= 1
    assert draws(train=False, dropout=0.5, drop_path=0.5) == 0


def test_drop_path_drops_whole_clips() -> None:
    ones = jnp.ones((2000, 2, 3, 4))
    left = np.asarray(drop_path(ones, rate=0.25, train=True, key=jax.random.key(0)))
    assert set(np.unique(left)) == {0, np.float32(1 / 0.75)}
    assert np.ptp(left, axis=(1, 2, 3)).max() == 0
    assert (left[:, 0, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.03)
    assert drop_path(ones, rate=0.25, train=False, key=None) is ones
    np.testing.assert_allclose(drop_path_rates(Model(drop_path=0.4), 4), [0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", TINY)
def test_any_size_and_one_or_three_channels_are_taken(name: str) -> None:
    for channels, sides in ((1, (8, 8)), (3, (21, 100))):
        traced = jax.eval_shape(
            lambda images, channels=channels: make_small(Model(name=name, channels=channels), TINY)(images),
            jax.ShapeDtypeStruct((2, *sides), jnp.float32),
        )
        assert traced.shape == (2, CLASSES)


def test_convnext_adds_zeros_to_what_is_too_small() -> None:
    padded = _at_least(jnp.ones((1, 16, 40, 3)), 32)
    assert padded.shape == (1, 32, 40, 3)
    assert float(padded[:, :16].min()) == 1
    assert float(padded[:, 16:].max()) == 0
