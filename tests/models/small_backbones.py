"""Small copies of all backbones, the same as those of make_golden.py; and tensors of timm as their variables."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from config import Model
from utils.models.architectures import convnext, efficientnet, mobilenet, resnest
from utils.models.architectures.classifier import Classifier
from utils.models.architectures.efficientnet import Stage
from utils.models.architectures.mobilenet import Conv, Inverted
from utils.models.array_trees import named_leaves, unflatten_named
from utils.models.networks import NETWORKS, Network
from utils.models.public_weights import timm_name

CLASSES = 5
LAST_LAYERS = ("classifier", "head.fc", "fc")  # names that timm gives them
DESIGNS: dict[str, Any] = {
    "EfficientNetB0": efficientnet.Design(efficientnet.FIRST_STAGES, 0.125, 0.3),
    "EfficientNetLite0": efficientnet.Design(efficientnet.FIRST_STAGES, 0.125, 0.3, stem=8, features=160, lite=True),
    "EfficientNetV2S": efficientnet.Design(efficientnet.SECOND_STAGES_SMALL, 0.125, 0.1, stem=24),
    "ConvNeXtAtto": convnext.Design((1, 1, 2, 1), (8, 16, 24, 32), conv_mlp=True),
    "ConvNeXtTiny": convnext.Design((1, 1, 2, 1), (8, 16, 24, 32), conv_mlp=False),
    "ResNeSt50": resnest.Design((1, 1, 2, 1), (8, 8, 16, 24), stem=4),
    "MobileNetV4Small": mobilenet.Design(
        (
            (Conv(8, 3, 2), Conv(16, 1)),
            (Inverted(24, 5, 5, 3, 2), *[Inverted(24, 0, 3, 2)] * 2, Inverted(24, 3, 0, 4)),
            (Inverted(32, 3, 0, 2, 2),),
            (Conv(64, 1),),
        ),
        stem=8,
        features=48,
    ),
}

# even smaller ones, with each kind of block: XLA compiles gradients for seconds
TINY: dict[str, Any] = {
    "EfficientNetB0": efficientnet.Design(
        (Stage("separable", 1, 3, 1, 1, 8, 0.25), Stage("inverted", 2, 5, 2, 2, 8, 0.25)), stem=8, features=16
    ),
    "EfficientNetV2S": efficientnet.Design(
        (Stage("conv", 1, 3, 1, 1, 8), Stage("fused", 2, 3, 2, 2, 8)), stem=8, features=16
    ),
    "ConvNeXtAtto": convnext.Design((1, 1), (8, 16), conv_mlp=True),
    "ResNeSt50": resnest.Design((1, 1, 0, 0), (8, 8, 8, 8), stem=4),
    "MobileNetV4Small": mobilenet.Design(
        ((Conv(8, 3, 2),), (Inverted(8, 3, 3, 2), Inverted(16, 3, 0, 2, 2))), stem=8, features=16
    ),
}


def make_small(settings: Model, designs: Mapping[str, Any] = DESIGNS, *, dtype: DTypeLike = jnp.float32) -> Classifier:
    """Make a small copy of the backbone that the settings name."""
    return NETWORKS[settings.name](
        settings, classes=CLASSES, shape=(33, 47), dtype=dtype, rngs=nnx.Rngs(0), design=designs[settings.name]
    )


def split(module: Classifier) -> tuple[nnx.GraphDef, Network]:
    """Return a module's graph and variables."""
    graph, params, rest = nnx.split(module, nnx.Param, ...)  # type: ignore[misc]
    return graph, Network(params, rest)


def tensor_name(variable: str, tensors: Mapping[str, Any]) -> str:
    """Return timm's name of a variable, of the last layer too."""
    name = timm_name(variable)
    candidates = [name.replace("output", last) for last in LAST_LAYERS] if "output" in name else [name]
    (found,) = [candidate for candidate in candidates if candidate in tensors]
    return found


def timm_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a variable as a tensor of PyTorch."""
    return tuple(shape[axis] for axis in {4: (3, 2, 0, 1), 2: (1, 0)}.get(len(shape), range(len(shape))))


def with_tensors(network: Network, tensors: Mapping[str, np.ndarray]) -> Network:
    """Return a network with the values of timm's tensors, which are all used."""
    leaves, used = {}, set()
    for variable, leaf in named_leaves(network).items():
        name = tensor_name(variable, tensors)
        array = np.asarray(tensors[name], np.float32)
        leaves[variable] = jnp.asarray(array.transpose({4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim)))
        assert leaves[variable].shape == leaf.shape, name
        used.add(name)
    assert used == set(tensors)
    return unflatten_named(network, leaves)
