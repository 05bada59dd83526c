"""Class prototypes as the output layer of a network that learned from triplets, so that it classifies like any other.

    logit of class k = −‖z − cₖ‖² / T + ‖z‖² / T = (2 cₖ · z − ‖cₖ‖²) / T

z is the embedding of a clip, cₖ the mean embedding of the class's training clips, without augmentation, and T the mean
squared distance of these clips from their own class's mean. ‖z‖² is the same for all classes, so that a softmax of
these logits is that of −‖z − cₖ‖² / T: the nearest prototype has the highest score.

Source: Snell et al., arXiv:1703.05175 (section 2.4, prototypes as a linear layer); T is ours.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int, Integer

from config import Config
from utils.learning.batch_images import plain_images
from utils.learning.batches import BatchSupply
from utils.learning.devices import replicate, replicated
from utils.learning.examples import Examples
from utils.learning.steps import TrainState
from utils.models.networks import Network, embed, of_last_layer

LEAST_TEMPERATURE = 1e-6  # if all clips of each class have the same embedding


class ClassSums:
    """Sums over the embeddings of training clips, from which the output layer follows."""

    def __init__(self, classes: int, features: int) -> None:
        self._clips = np.zeros(classes)
        self._sums = np.zeros((classes, features))
        self._squares = 0.0

    def add(self, embeddings: Float[np.ndarray, "clips features"], classes: Integer[np.ndarray, " clips"]) -> None:
        """Add clips; `classes` are the indices of their classes."""
        np.add.at(self._clips, classes, 1)
        np.add.at(self._sums, classes, embeddings.astype(np.float64))
        self._squares += float((embeddings.astype(np.float64) ** 2).sum())

    def output_layer(self) -> tuple[Float32[np.ndarray, "features classes"], Float32[np.ndarray, " classes"]]:
        """Return the kernel and the bias; every class has clips."""
        means = self._sums / self._clips[:, None]
        lengths = (means**2).sum(axis=1)
        temperature = max((self._squares - self._clips @ lengths) / self._clips.sum(), LEAST_TEMPERATURE)
        return (2 * means.T / temperature).astype(np.float32), (-lengths / temperature).astype(np.float32)


def make_filling(
    graph: nnx.GraphDef, supply: BatchSupply, examples: Examples, config: Config, mesh: Mesh
) -> Callable[[TrainState], TrainState]:
    """Return a function that fills the output layer of the network to save, and of that in training."""
    noise = replicate(examples.noise, mesh)

    @jax.jit
    def embed_batch(network: Network, source: Any, index: Int[Array, ""]) -> Float[Array, "batch features"]:
        batch = supply.batch_at(source, index)
        images = plain_images(batch, noise, config)
        return jax.lax.with_sharding_constraint(embed(graph, network, images)[0], replicated(mesh))

    def embeddings(network: Network) -> Iterator[Float32[np.ndarray, "clips features"]]:
        steps = -(-len(examples.rows) // config.training.clips_per_step)
        order = np.resize(np.arange(len(examples.rows)), (steps, config.training.clips_per_step))
        for given in supply.chunks(order, lambda: supply.capacity):
            yield from [embed_batch(network, given.source, jnp.int32(index)) for index in range(given.count)]

    def fill(state: TrainState) -> TrainState:
        classes, sums, first = examples.labels.primary, None, 0
        for found in map(np.asarray, embeddings(state.best_network)):
            known = classes[first : first + len(found)]  # the last batch is filled up with clips that were there
            sums = sums or ClassSums(len(examples.classes), found.shape[1])
            sums.add(found[: len(known)], known)
            first += len(found)
        assert sums is not None  # noqa: S101 — there are clips to learn from
        kernel, bias = sums.output_layer()
        average = state.average and with_output(state.average, kernel, bias, mesh)
        return state._replace(network=with_output(state.network, kernel, bias, mesh), average=average)

    return fill


def with_output(
    network: Network,
    kernel: Float32[np.ndarray, "features classes"],
    bias: Float32[np.ndarray, " classes"],
    mesh: Mesh,
) -> Network:
    """Return a network with this output layer, in memory of its own: steps donate that of their networks."""

    def filled(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        values = {"kernel": kernel, "bias": bias}
        return replicate(jnp.asarray(values[path[1].key]), mesh) if of_last_layer(path) else leaf

    return network._replace(params=jax.tree_util.tree_map_with_path(filled, network.params))
