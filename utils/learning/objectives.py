"""What a training step learns: the targets of a batch, and the loss of the network's logits against them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

from config import Training
from utils.learning.losses import ClipLosses, Logits, losses
from utils.learning.targets import Labels, targets_of
from utils.models.networks import Network

LossFunction = Callable[[Logits], ClipLosses]


@runtime_checkable  # for the shape checks of tests
class Objective(Protocol):
    """What a step learns."""

    @property
    def frozen(self) -> tuple[Network, ...]:
        """Networks that the loss applies and that do not learn: arguments of the compiled step, not part of it."""

    def targets(self, labels: Labels) -> Float[Array, "batch columns"]:
        """Return the targets of a batch; mixup mixes their columns as it mixes the images."""

    def loss_function(
        self,
        targets: Float[Array, "batch columns"],
        images: Float[Array, "batch height width"],
        soft_targets: Float[Array, "batch classes"] | None,
        frozen: tuple[Network, ...],
    ) -> LossFunction:
        """Return the function from logits to the loss of each clip; this is called outside of the gradient.

        Parameters
        ----------
        images : as the network sees them, augmented, from 0 to 1
        soft_targets : of the batch, if they were computed before
        """


@dataclass(frozen=True)
class LearnLabels:
    """Learn the labels alone."""

    settings: Training
    classes: int
    frozen: tuple[Network, ...] = ()

    def targets(self, labels: Labels) -> Float[Array, "batch columns"]:
        """Return the targets by `training`."""
        return targets_of(labels, self.classes, self.settings)

    def loss_function(
        self,
        targets: Float[Array, "batch columns"],
        images: Float[Array, "batch height width"],
        soft_targets: Float[Array, "batch classes"] | None,
        frozen: tuple[Network, ...],
    ) -> LossFunction:
        """Return the loss by `training.loss`."""
        return lambda logits: losses(logits, targets, self.settings)
