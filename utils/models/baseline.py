"""The baseline net: plain convolutions that halve the picture, and a mean over what is left of it (BASELINE, Nets)."""

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from config import Model
from utils.models.layers import HE, NONLINEARITIES, Dropout, Norm, Picture, convolution, halve, keys_for


class Group(nnx.Module):
    """Convolution, batch norm, nonlinearity, dropout; the picture's sides are halved."""

    def __init__(self, channels_in: int, index: int, settings: Model, rngs: nnx.Rngs) -> None:
        self.max_pooling = settings.max_pooling
        self.nonlinearity = NONLINEARITIES[settings.nonlinearity]
        self.convolution = convolution(
            channels_in,
            settings.filters[index],
            settings.kernel_sizes[index],
            stride=1 if settings.max_pooling else 2,
            groups=settings.groups[index] if index else 1,
            bias=not settings.batch_norm,
            rngs=rngs,
        )
        self.norm = Norm(settings.filters[index], settings, rngs)
        self.dropout = Dropout(settings)

    def __call__(self, x: Picture, *, train: bool, key: PRNGKeyArray | None) -> Picture:
        """Return (B, H / 2, W / 2, filters)."""
        x = self.nonlinearity(self.norm(self.convolution(x), train=train))
        return self.dropout(halve(x) if self.max_pooling else x, train=train, key=key)


class Baseline(nnx.Module):
    """Groups of one convolution each, a 1×1 convolution to twice the last filters, global mean, one dense layer."""

    def __init__(self, settings: Model, *, channels: int, classes: int, rngs: nnx.Rngs) -> None:
        widths = [channels, *settings.filters]
        self.groups = nnx.List([Group(widths[index], index, settings, rngs) for index in range(len(settings.filters))])
        width = 2 * settings.filters[-1]
        self.last = convolution(settings.filters[-1], width, 1, bias=not settings.batch_norm, rngs=rngs)
        self.last_norm = Norm(width, settings, rngs)
        self.output = nnx.Linear(width, classes, kernel_init=HE, rngs=rngs)

    def embed(self, x: Picture, *, train: bool = False, key: PRNGKeyArray | None = None) -> Float[Array, "batch features"]:
        """Return what the last layer sees."""
        for group, group_key in zip(self.groups, keys_for(key, len(self.groups)), strict=True):
            x = group(x, train=train, key=group_key)
        x = self.last_norm(self.last(x), train=train)
        return x.mean(axis=(1, 2))  # (B, features)

    def __call__(self, x: Picture, *, train: bool = False, key: PRNGKeyArray | None = None) -> Float[Array, "batch classes"]:
        """Return logits."""
        return self.output(self.embed(x, train=train, key=key))
