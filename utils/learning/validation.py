"""How the net does on the recordings that watch training."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from config import Training
from utils.learning.batches import place_on
from utils.learning.devices import everywhere
from utils.learning.examples import Examples
from utils.learning.targets import Labels, losses, targets_of
from utils.models.networks import Network
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.inference.predictors import predictor, scores_of
from utils.scoring.metrics.ranking import lrap, mean_of_defined

WATCHED_AT_ONCE = 1024  # clips that are read into memory together
LARGEST_BATCH = 256  # clips that the net answers together


@dataclass(frozen=True)
class Validation:
    """Figures of the clips that watch; None where there are none.

    Attributes
    ----------
    loss, accuracy : mean loss of the clips, and share of them whose class is the first answer
    mlrap : over recordings, from the pooled scores of their clips, background species included
    """

    loss: float | None = None
    accuracy: float | None = None
    mlrap: float | None = None


def validator(
    graph: nnx.GraphDef, examples: Examples, settings: Training, mesh: Mesh, *, resident: bool
) -> Callable[[Network], Validation]:
    """Return a function that judges a net.

    Parameters
    ----------
    resident : whether the clips wait on the device, too
    """
    clips = len(examples.val_rows)
    if clips == 0:
        return lambda _: Validation()
    predict = predictor(graph, batch_size=min(LARGEST_BATCH, clips))
    parts = np.array_split(np.arange(clips), -(-clips // WATCHED_AT_ONCE))
    pixels = place_on(examples, examples.val_rows, everywhere(mesh)) if resident else None
    members = np.split(
        np.argsort(examples.val_recording, kind="stable"), np.cumsum(np.bincount(examples.val_recording))[:-1]
    )

    @jax.jit
    def loss_of(logits: jax.Array, labels: Labels) -> jax.Array:
        return losses(logits, targets_of(labels, logits.shape[1], settings), settings)

    def validate(net: Network) -> Validation:
        logits = np.concatenate(
            [
                predict(net, examples.store.pictures(examples.val_rows[part]) if pixels is None else pixels[part])
                for part in parts
            ]
        )
        scores = scores_of(logits, settings.loss)
        pooled = np.stack([median_filtered(scores[clips]) for clips in members])
        loss = [
            loss_of(jnp.asarray(logits[part]), jax.tree.map(lambda leaf: leaf[part], examples.val_labels))
            for part in parts
        ]
        return Validation(
            loss=float(np.concatenate(loss).mean()),
            accuracy=float((logits.argmax(axis=1) == examples.val_labels.own).mean()),
            mlrap=mean_of_defined(lrap(pooled, examples.val_truth)),
        )

    return validate
