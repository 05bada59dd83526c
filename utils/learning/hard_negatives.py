"""Hard negatives: the clips of `training.noise_folder` that a model takes most for a bird, mined before each epoch.

`snapshots/<run>/hard_negatives.csv` lists those of the latest epoch, hardest first: clips that stay at its top may have
a bird. Source of the idea: Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining,
arXiv:1604.03540; here, the model of the start of an epoch chooses for all of it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float32, Int, Int32, Int64

from config import Config
from utils import console
from utils.learning.batch_images import plain_images
from utils.learning.batches import BatchSupply
from utils.learning.devices import replicate, replicated
from utils.learning.examples import Examples
from utils.learning.sampling import drawn_per_epoch
from utils.models.networks import Network, apply
from utils.recordings.recording import NOISE
from utils.tables import write_csv

FILE = "hard_negatives.csv"  # in the folder of a run

Mining = Callable[[Network, int], tuple[int, ...]]


class HighestScores(NamedTuple):
    """Of each clip, the highest score of any species, 0 to 1, and the index of its class."""

    scores: Float32[np.ndarray, " clips"]
    classes: Int32[np.ndarray, " clips"]


def hard_per_epoch(examples: Examples, config: Config) -> int:
    """Return how many hard negatives an epoch has; it is the same for every epoch."""
    settings = config.training
    drawn = drawn_per_epoch(examples.sampled_classes, settings, drawn_ratio=examples.drawn_ratio)
    return round(settings.hard_negatives * drawn) if examples.noise_clips else 0


def hardest(scores: Float32[np.ndarray, " clips"], count: int) -> Int64[np.ndarray, " hard"]:
    """Return the indices of the highest scores, highest first; of equal ones, the first clip comes first."""
    return np.argsort(-scores, kind="stable")[:count]


def make_mining(
    graph: nnx.GraphDef, supply: BatchSupply, examples: Examples, config: Config, mesh: Mesh
) -> Mining | None:
    """Return mine(network, epoch), which returns the hard negatives as indices of `Examples.rows`; None if it is off.

    They depend on the network alone. It sees the clips without augmentation, and its dropout is off.
    """
    count = hard_per_epoch(examples, config)
    if not count:
        return None
    score = _make_scoring(graph, supply, examples, config, mesh)
    first = len(examples.rows_of_data_set)

    def mine(network: Network, epoch: int) -> tuple[int, ...]:
        found = score(network)
        chosen = hardest(found.scores, count)
        _report(found, chosen, examples, config, epoch=epoch)
        return tuple((first + chosen).tolist())

    return mine


def _make_scoring(
    graph: nnx.GraphDef, supply: BatchSupply, examples: Examples, config: Config, mesh: Mesh
) -> Callable[[Network], HighestScores]:
    noise = replicate(examples.noise, mesh)
    species = jnp.array([label != NOISE for label in examples.classes])
    squash = jax.nn.sigmoid if config.training.multi_label else jax.nn.softmax

    @jax.jit
    def score_batch(network: Network, source: Any, index: Int[Array, ""]) -> tuple[Array, Array]:
        images = plain_images(supply.batch_at(source, index), noise, config)
        scores = jnp.where(species, squash(apply(graph, network, images)[0]), -1.0)
        return jax.lax.with_sharding_constraint((scores.max(axis=1), scores.argmax(axis=1)), replicated(mesh))

    def batches(network: Network) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        size, count = config.training.clips_per_step, examples.noise_clips
        clips = len(examples.rows_of_data_set) + np.arange(count)
        order = np.resize(clips, (-(-count // size), size))
        for given in supply.chunks(order, lambda: supply.capacity):
            yield from [
                jax.device_get(score_batch(network, given.source, jnp.int32(index))) for index in range(given.count)
            ]

    def score(network: Network) -> HighestScores:
        scores, classes = zip(*batches(network), strict=True)
        count = examples.noise_clips  # the last batch is filled up with clips that were there
        return HighestScores(np.concatenate(scores)[:count], np.concatenate(classes)[:count].astype(np.int32))

    return score


def _report(
    found: HighestScores, chosen: Int64[np.ndarray, " hard"], examples: Examples, config: Config, *, epoch: int
) -> None:
    """Write the table of hard negatives, and tell their scores."""
    scores = found.scores[chosen]
    rows = examples.rows[len(examples.rows_of_data_set) + chosen]
    names = pl.Series([examples.classes[index] for index in found.classes[chosen].tolist()], dtype=pl.String)
    table = examples.store.clips[rows].select(pl.lit(epoch).alias("epoch"), "recording", "start")
    path = config.run_folder / FILE
    write_csv(path, table.with_columns(species=names, score=pl.Series(scores)))
    console.info(
        f"epoch {epoch:3d}   the hardest {len(chosen):,} of {examples.noise_clips:,} noise clips have scores from "
        f"{scores[-1]:.2f} to {scores[0]:.2f} ({console.printable(path)})"
    )
