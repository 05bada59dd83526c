"""Validation after each epoch: loss, accuracy and MLRAP on the validation recordings, which `examples.py` chooses.

It uses their accepted clips in the store. Their scores are always pooled by the median-filtered mean, whatever
`testing.pooling` says.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from config import Training
from utils.learning.batches import put_on_device
from utils.learning.devices import replicated
from utils.learning.examples import Examples
from utils.learning.losses import losses
from utils.learning.targets import Labels, targets_of
from utils.models.networks import Network
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.inference.predictors import predictor, scores_of
from utils.scoring.metrics.ranking import lrap, mean_of_defined

CLIPS_IN_MEMORY = 1024  # validation clips that are read into memory together
VALIDATION_BATCH = 256  # clips that the network predicts together


@dataclass(frozen=True)
class Validation:
    """Metrics on the validation clips; None if there are none.

    Attributes
    ----------
    loss, accuracy : mean loss of the clips, and the share of clips whose class has the highest score
    mlrap : over recordings, of the pooled scores of their clips, background species included
    """

    loss: float | None = None
    accuracy: float | None = None
    mlrap: float | None = None


def make_validation(
    graph: nnx.GraphDef, examples: Examples, settings: Training, mesh: Mesh, *, resident: bool
) -> Callable[[Network], Validation]:
    """Return a function that validates a network.

    Parameters
    ----------
    resident : whether the clips are kept on the device
    """
    count = len(examples.validation_rows)
    if count == 0:
        return lambda _: Validation()
    predict = predictor(graph, batch_size=min(VALIDATION_BATCH, count))
    parts = np.array_split(np.arange(count), -(-count // CLIPS_IN_MEMORY))
    pixels = put_on_device(examples, examples.validation_rows, replicated(mesh)) if resident else None
    by_recording = np.split(
        np.argsort(examples.validation_recording, kind="stable"),
        np.cumsum(np.bincount(examples.validation_recording))[:-1],
    )

    @jax.jit
    def loss_of(logits: jax.Array, labels: Labels) -> jax.Array:
        return losses(logits, targets_of(labels, logits.shape[1], settings), settings)

    def pixels_of(part: np.ndarray) -> jax.Array | np.ndarray:
        return examples.store.spectrograms(examples.validation_rows[part]) if pixels is None else pixels[part]

    def validate(network: Network) -> Validation:
        logits = np.concatenate([predict(network, pixels_of(part)) for part in parts])
        scores = scores_of(logits, multi_label=settings.multi_label)
        pooled = np.stack([median_filtered(scores[clips]) for clips in by_recording])
        loss = [
            loss_of(
                jnp.asarray(logits[part]), jax.tree.map(lambda leaf, part=part: leaf[part], examples.validation_labels)
            )
            for part in parts
        ]
        return Validation(
            loss=float(np.concatenate(loss).mean()),
            accuracy=float((logits.argmax(axis=1) == examples.validation_labels.primary).mean()),
            mlrap=mean_of_defined(lrap(pooled, examples.validation_truth)),
        )

    return validate
