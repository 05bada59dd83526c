"""The net for a Raspberry Pi: strided convolutions, whose places all go into two dense layers (BASELINE, Nets)."""

from dataclasses import replace

from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.baseline import Group
from utils.models.classifier import Classifier
from utils.models.layers import NONLINEARITIES, Dropout, Picture, dense, keys_for

DENSE = 2  # dense layers before the last one


class Pi(Classifier):
    """The Baseline's groups without their dropout, then dense layer, nonlinearity, dropout, twice, and the last layer.

    The first dense layer has a weight for every place that the groups leave, so that the net is made for pictures of
    one shape.
    """

    def __init__(
        self, settings: Model, *, classes: int, shape: tuple[int, int], dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        widths = [settings.channels, *settings.filters]
        plain = replace(settings, dropout=0.0)
        self.groups = nnx.List([Group(widths[index], index, plain, rngs) for index in range(len(settings.filters))])
        height, width = places_left(shape, settings)
        sizes = [height * width * settings.filters[-1], *[settings.dense_units] * DENSE]
        self.dense = nnx.List([dense(sizes[index], sizes[index + 1], rngs=rngs) for index in range(DENSE)])
        self.nonlinearity = NONLINEARITIES[settings.nonlinearity]
        self.dropout = Dropout(settings, flat=True)
        super().__init__(settings, features=settings.dense_units, classes=classes, dtype=dtype, rngs=rngs)

    def features(self, x: Picture, *, train: bool, key: PRNGKeyArray | None) -> Float[Array, "batch features"]:
        """Return what the second dense layer answers."""
        for group in self.groups:
            x = group(x, train=train, key=None)
        flat = x.reshape(x.shape[0], -1)  # (B, H · W · C); the batch may be a symbol, which len() refuses
        for layer, layer_key in zip(self.dense, keys_for(key, DENSE), strict=True):
            flat = self.dropout(self.nonlinearity(layer(flat)), train=train, key=layer_key)
        return flat


def places_left(shape: tuple[int, int], settings: Model) -> tuple[int, int]:
    """Return a picture's height and width after all groups: maxima leave out an odd last row or column, strided convolutions keep it."""
    height, width = shape
    for _ in settings.filters:
        height, width = (height // 2, width // 2) if settings.max_pooling else (-(-height // 2), -(-width // 2))
    return height, width
