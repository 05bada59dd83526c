"""The classes of a bird model from a file: its last layer as that of a network, matched by scientific name."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from config import Config
from utils import console
from utils.external.labels import label_names
from utils.external.model_files import ClassLayer
from utils.external.settings import class_layer_of
from utils.models.array_trees import named_leaves, unflatten_named
from utils.models.networks import Network, build_network
from utils.models.saved_networks import save_snapshot
from utils.models.snapshots import Snapshot
from utils.recordings.recording import NOISE

UNKNOWN_LOGIT = -30.0  # of a class that the file does not have: never detected
START_OF_OTHERS = 0.01  # head = file: the weights of such a class start with so much of what they would be alone
MISSING_SHOWN = 5  # classes in a message


def with_file_classes(network: Network, classes: tuple[str, ...], config: Config) -> Network:
    """Return a network whose last layer has the weights that the file has for these classes.

    Raises
    ------
    UserError
        If the file has none of the classes, or its last layer cannot be read.
    """
    return _with_layer(network, classes, *_layer_and_names(config), config)


def _layer_and_names(config: Config) -> tuple[ClassLayer, tuple[str, ...]]:
    """Read the layer of the file's classes, and their names."""
    layer = class_layer_of(config.external)
    return layer, label_names(config.external, classes=len(layer.bias))


def _with_layer(
    network: Network, classes: tuple[str, ...], layer: ClassLayer, names: tuple[str, ...], config: Config
) -> Network:
    index = {name: position for position, name in enumerate(names)}
    columns = np.array([index.get(label, -1) for label in classes])
    missing = [label for label, column in zip(classes, columns, strict=True) if column < 0 and label != NOISE]
    some = f"{', '.join(missing[:MISSING_SHOWN])}{', …' if len(missing) > MISSING_SHOWN else ''}"
    if not (columns >= 0).any():
        raise console.UserError(
            f"{config.external.title} has none of the {len(classes)} classes ({some}); its classes are such as "
            f"{names[0]!r} and {names[-1]!r}, and are matched as scientific names (dataset.label, dataset.aliases)"
        )
    if missing:
        console.warning(
            f"{config.external.title} does not have {len(missing)} of {len(classes)} classes ({some}); they "
            f"{'start with random weights' if config.model.head == 'file' else 'are never detected'}"
        )
    known = columns >= 0
    leaves = named_leaves(network.params)
    others = leaves["output/kernel"] * START_OF_OTHERS if config.model.head == "file" else 0
    leaves["output/kernel"] = jnp.asarray(jnp.where(known, layer.weights[:, columns], others), jnp.float32)
    leaves["output/bias"] = jnp.asarray(np.where(known, layer.bias[columns], _logit_of_others(layer, config)))
    params: nnx.State = unflatten_named(network.params, leaves)
    return network._replace(params=params)


def _logit_of_others(layer: ClassLayer, config: Config) -> float:
    """Return the bias of a class that the file does not have; head = file: that of a usual class."""
    return float(np.median(layer.bias)) if config.model.head == "file" else UNKNOWN_LOGIT


def save_without_data(config: Config) -> Snapshot:
    """Save a snapshot that predicts all classes of the file, for those who have no data set; it learned nothing.

    Raises
    ------
    UserError
        If the file's last layer or the names of its classes cannot be read.
    """
    layer, names = _layer_and_names(config)
    classes = tuple(sorted(set(names)))
    _, network = build_network(config.model, classes=len(classes), shape=config.input_shape, seed=config.training.seed)
    snapshot = Snapshot(config.run_folder / "epoch_001", config, classes, 1, None, "")
    network = _with_layer(network, classes, layer, names, config)
    save_snapshot(snapshot, network, {"steps": np.zeros(1, np.int32)}, recordings=())
    return snapshot
