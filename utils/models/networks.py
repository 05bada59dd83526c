"""Models by name, as a graph and its pure state.

A new model is a file in `architectures/`, an entry in `NETWORKS`, and its name in `Model.name` of config.py;
`used_settings.py` says which settings only some models use.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.architectures import convnext, efficientnet, mobilenet, resnest
from utils.models.architectures.baseline import Baseline
from utils.models.architectures.classifier import Classifier, FeatureVectors, NetworkOutput
from utils.models.architectures.convnext import ConvNeXt
from utils.models.architectures.dilated import Dilated
from utils.models.architectures.efficientnet import EfficientNet
from utils.models.architectures.external import ExternalHead
from utils.models.architectures.mobilenet import MobileNet
from utils.models.architectures.pi import Pi
from utils.models.architectures.resnest import ResNeSt
from utils.models.architectures.resnet import ResNet
from utils.models.input_scaling import Images

NETWORKS: dict[str, Callable[..., Classifier]] = {
    "Baseline": Baseline,
    "ResNet": ResNet,
    "Pi": Pi,
    "Dilated": Dilated,
    "External": ExternalHead,
    **dict.fromkeys(efficientnet.DESIGNS, EfficientNet),
    **dict.fromkeys(convnext.DESIGNS, ConvNeXt),
    **dict.fromkeys(resnest.DESIGNS, ResNeSt),
    **dict.fromkeys(mobilenet.DESIGNS, MobileNet),
}


class Network(NamedTuple):
    """The variables of a network: parameters, and running means and variances."""

    params: nnx.State
    rest: nnx.State


def make_module(
    settings: Model, *, classes: int, shape: tuple[int, int], seed: int, dtype: DTypeLike = jnp.float32
) -> Classifier:
    """Make the Flax module of a network; parameters are the same as of `build_network`."""
    return NETWORKS[settings.name](settings, classes=classes, shape=shape, dtype=dtype, rngs=nnx.Rngs(seed))


def build_network(
    settings: Model, *, classes: int, shape: tuple[int, int], seed: int, dtype: DTypeLike = jnp.float32
) -> tuple[nnx.GraphDef, Network]:
    """Build a network; `apply` runs it with its graph.

    Parameters
    ----------
    classes : number of outputs
    shape : height and width of its spectrograms, pixels; a Pi takes no others
    seed : of the initial weights
    dtype : what it computes in, float32 or bfloat16; its variables, embeddings and logits are always float32
    """
    return _split(make_module(settings, classes=classes, shape=shape, seed=seed, dtype=dtype))


def abstract_network(
    settings: Model, *, classes: int, shape: tuple[int, int], dtype: DTypeLike = jnp.float32
) -> tuple[nnx.GraphDef, Network]:
    """Return what `build_network` does with shapes instead of arrays: drawing initial weights takes seconds."""
    return _split(nnx.eval_shape(lambda: make_module(settings, classes=classes, shape=shape, seed=0, dtype=dtype)))


def _split(module: Classifier) -> tuple[nnx.GraphDef, Network]:
    graph, params, rest = nnx.split(module, nnx.Param, ...)  # type: ignore[misc]
    return graph, Network(params, rest)


def apply(
    graph: nnx.GraphDef,
    network: Network,
    images: Images,
    *,
    train: bool = False,
    key: PRNGKeyArray | None = None,
) -> tuple[Float[Array, "batch classes"], nnx.State]:
    """Return a network's logits for images from 0 to 1, and its running statistics, which `train` updates."""
    module = _merge(graph, network)
    logits = module(images, train=train, key=key)
    return logits, _split(module)[1].rest


def embed(
    graph: nnx.GraphDef,
    network: Network,
    images: Images,
    *,
    train: bool = False,
    key: PRNGKeyArray | None = None,
) -> tuple[Float[Array, "batch embedding"], nnx.State]:
    """Return a network's embeddings, and its running statistics; otherwise the same as `apply`."""
    module = _merge(graph, network)
    embeddings = module.embed(images, train=train, key=key)
    return embeddings, _split(module)[1].rest


def before_output(
    graph: nnx.GraphDef,
    network: Network,
    images: Images,
    *,
    train: bool = False,
    key: PRNGKeyArray | None = None,
) -> tuple[FeatureVectors, nnx.State]:
    """Return the input of a network's last layer, of each clip or frame; otherwise the same as `embed`."""
    module = _merge(graph, network)
    found = module.before_output(images, train=train, key=key)
    return found, _split(module)[1].rest


def classify(graph: nnx.GraphDef, network: Network, found: FeatureVectors) -> NetworkOutput:
    """Return what a network makes of clips from the input of its last layer."""
    return _merge(graph, network).classify(found)


def all_outputs(graph: nnx.GraphDef, network: Network, images: Images) -> NetworkOutput:
    """Return what a network makes of images from 0 to 1: logits, embeddings, and logits of frames if it has any."""
    module = _merge(graph, network)
    return module.classify(module.before_output(images))


@lru_cache
def frames_in(settings: Model, shape: tuple[int, int]) -> int:
    """Return the number of frames for which a network has logits, in a spectrogram of height × width; 0: none."""
    graph, network = abstract_network(settings, classes=1, shape=shape)
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    found = jax.eval_shape(partial(all_outputs, graph), network, images).frames
    return 0 if found is None else int(found.shape[1])


def is_frozen(settings: Model, path: tuple[Any, ...]) -> bool:
    """Tell whether a parameter, by its path in `Network.params`, stays as it is (`model.frozen_stages`, `head`)."""
    if settings.name == "External" and settings.head == "none":
        return True
    if not settings.frozen_stages:
        return False
    layer = tuple(part.key for part in path[:2])
    stage = cast(type[Classifier], NETWORKS[settings.name]).stage_of(layer)
    return stage is not None and stage <= settings.frozen_stages


def of_last_layer(path: tuple[Any, ...]) -> bool:
    """Tell whether a parameter, by its path in `Network.params`, belongs to the last layer."""
    return path[0].key == "output"


def of_backbone(path: tuple[Any, ...]) -> bool:
    """Tell whether a parameter, by its path, belongs neither to the last layers nor to that of `model.embedding`."""
    return path[0].key not in ("embedding", "frame_attention", "output")


def _merge(graph: nnx.GraphDef, network: Network) -> Classifier:
    return nnx.merge(graph, network.params, network.rest, copy=True)


def count_parameters(network: Network) -> int:
    """Count the trainable parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(network.params))
