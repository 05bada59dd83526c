"""The loss of triplets: how much farther a positive is from its anchor than a negative, plus a margin, but at least 0.

A batch holds anchors, their drawn positives, and their drawn negatives, one after the other. `triplets.choose` says
which of its clips are compared.

Source: Schroff et al., arXiv:1503.03832 (semi-hard); Hermans et al., arXiv:1703.07737 (hard).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from config import Config

AnchorLosses = Float[Array, " anchors"]
Embeddings = Float[Array, "clips features"]
Pairs = Bool[Array, "anchors clips"]
Chosen = Int[Array, " anchors"]


class Relations(NamedTuple):
    """Of each anchor and each clip of the batch: whether they have the same class, and whether they share no species.

    Species are the class and the background species; two clips share one if the class of either is among the other's.
    """

    same: Pairs
    apart: Pairs


def relations(primary: Float[Array, "clips classes"], species: Float[Array, "clips classes"]) -> Relations:
    """Return the relations in a batch.

    Parameters
    ----------
    primary, species : 1 at each clip's class, and at all its species
    """
    anchors = len(primary) // 3
    shared = primary[:anchors] @ species.T + species[:anchors] @ primary.T
    return Relations(primary[:anchors] @ primary.T > 0, shared == 0)


def triplet_losses(embeddings: Embeddings, related: Relations, config: Config) -> AnchorLosses:
    """Return the loss of each anchor: max(0, d(anchor, positive) − d(anchor, negative) + margin).

    d is the Euclidean distance, or with `model.distance` = cosine 1 − the cosine, of embeddings of length 1. Anchors
    without a negative have a loss of 0.
    """
    settings, anchors = config.training.triplets, len(embeddings) // 3
    positives, negatives = _chosen_clips(embeddings, related, settings.choose)
    three = embeddings[:anchors], embeddings[positives], embeddings[negatives]
    if config.model.distance == "cosine":
        anchor, positive, negative = three
        farther = (anchor * (negative - positive)).sum(axis=1)
        values = jnp.maximum(farther + settings.margin, 0)
    else:
        values = optax.losses.triplet_margin_loss(*three, margin=settings.margin)
    return jnp.where(related.apart[jnp.arange(anchors), negatives], values, 0)


def _chosen_clips(embeddings: Embeddings, related: Relations, choose: str) -> tuple[Chosen, Chosen]:
    """Return which clip of the batch is the positive and which the negative of each anchor."""
    rows = jnp.arange(len(embeddings) // 3)
    positives, negatives = rows + len(rows), rows + 2 * len(rows)
    if choose == "drawn":
        return positives, negatives
    distances = _squared_distances(jax.lax.stop_gradient(embeddings), anchors=len(rows))
    itself = rows[:, None] == jnp.arange(len(embeddings))
    nearest = jnp.where(related.apart, distances, jnp.inf)
    if choose == "hard":
        return jnp.where(related.same & ~itself, distances, -1).argmax(axis=1), nearest.argmin(axis=1)
    farther = related.apart & (distances > distances[rows, positives][:, None])
    farthest = jnp.where(related.apart, distances, -1).argmax(axis=1)
    semi_hard = jnp.where(farther, distances, jnp.inf).argmin(axis=1)
    return positives, jnp.where(farther.any(axis=1), semi_hard, farthest)


def _squared_distances(embeddings: Embeddings, *, anchors: int) -> Float[Array, "anchors clips"]:
    squares = (embeddings**2).sum(axis=1)
    products = jnp.matmul(embeddings[:anchors], embeddings.T, precision="highest")
    return jnp.maximum(squares[:anchors, None] + squares - 2 * products, 0)
