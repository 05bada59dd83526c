"""What a training step learns: the targets of a batch, and the loss of the network's output against them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from config import Config, Training
from utils.learning.losses import ClipLosses, Logits, losses
from utils.learning.targets import Labels, species_of, targets_of
from utils.learning.triplet_losses import AnchorLosses, relations, triplet_losses
from utils.models.architectures.classifier import NetworkOutput
from utils.models.networks import Network

LossFunction = Callable[[NetworkOutput], ClipLosses]


def with_frame_loss(loss_of: Callable[[Logits], ClipLosses], output: NetworkOutput, settings: Training) -> ClipLosses:
    """Return the loss of each clip, to the part `frame_loss` that of the highest logit of each class in any frame.

    Networks without frames have only the loss of the clips' logits.
    """
    if output.frames is None or not settings.frame_loss:
        return loss_of(output.logits)
    share, highest = settings.frame_loss, output.frames.max(axis=1)
    return (1 - share) * loss_of(output.logits) + share * loss_of(highest)


@runtime_checkable  # for the shape checks of tests
class Objective(Protocol):
    """What a step learns."""

    @property
    def frozen(self) -> tuple[Network, ...]:
        """Networks that the loss applies and that do not learn: arguments of the compiled step, not part of it."""

    def targets(
        self, labels: Labels, soft_targets: Float[Array, "batch soft_columns"] | None
    ) -> Float[Array, "batch columns"]:
        """Return the targets of a batch; mixup mixes their columns as it mixes the images.

        Parameters
        ----------
        soft_targets : of the batch, if they were computed before
        """

    def loss_function(
        self,
        targets: Float[Array, "batch columns"],
        images: Float[Array, "batch height width"],
        frozen: tuple[Network, ...],
    ) -> LossFunction:
        """Return the function from a network's output to the loss of each clip.

        It may have the losses of the first clips only, to which the others are compared. This is called outside of the
        gradient.

        Parameters
        ----------
        images : as the network sees them, augmented, from 0 to 1
        """


@dataclass(frozen=True)
class LearnLabels:
    """Learn the labels alone."""

    settings: Training
    classes: int
    frozen: tuple[Network, ...] = ()

    def targets(
        self, labels: Labels, soft_targets: Float[Array, "batch soft_columns"] | None
    ) -> Float[Array, "batch columns"]:
        """Return the targets by `training`."""
        return targets_of(labels, self.classes, self.settings)

    def loss_function(
        self,
        targets: Float[Array, "batch columns"],
        images: Float[Array, "batch height width"],
        frozen: tuple[Network, ...],
    ) -> LossFunction:
        """Return the loss by `training.loss`."""
        return lambda output: with_frame_loss(
            lambda logits: losses(logits, targets, self.settings), output, self.settings
        )


@dataclass(frozen=True)
class LearnTriplets:
    """Learn the embedding by triplets, in batches of anchors, positives and negatives."""

    config: Config
    classes: int
    frozen: tuple[Network, ...] = ()

    def targets(
        self, labels: Labels, soft_targets: Float[Array, "batch soft_columns"] | None
    ) -> Float[Array, "batch columns"]:
        """Return the targets by `training`, and beside them, as further columns, which species are in each clip."""
        targets = targets_of(labels, self.classes, self.config.training)
        return jnp.concatenate([targets, species_of(labels, self.classes)], axis=1)

    def loss_function(
        self,
        targets: Float[Array, "batch columns"],
        images: Float[Array, "batch height width"],
        frozen: tuple[Network, ...],
    ) -> LossFunction:
        """Return the loss of the anchors by `training.triplets`."""
        by_labels, species = jnp.split(targets, 2, axis=1)
        related = relations(jax.nn.one_hot(by_labels.argmax(axis=1), self.classes), species)
        anchors, share = len(targets) // 3, self.config.training.triplets.cross_entropy

        def loss(output: NetworkOutput) -> AnchorLosses:
            of_triplets = triplet_losses(output.embeddings, related, self.config)
            if not share:
                return of_triplets
            return (1 - share) * of_triplets + share * losses(
                output.logits[:anchors], by_labels[:anchors], self.config.training
            )

        return loss


def learn_recordings(config: Config, classes: int) -> Objective:
    """Return what is learned without teachers, by `training.loss`."""
    return LearnTriplets(config, classes) if config.training.compares_clips else LearnLabels(config.training, classes)
