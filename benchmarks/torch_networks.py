"""The default models in PyTorch, for comparison with ours."""

import torch
from torch import Tensor, nn


class TorchBlock(nn.Module):  # type: ignore[misc]
    """A residual block, the same as in utils/models/architectures/resnet.py."""

    def __init__(self, inputs: int, outputs: int, *, first: bool) -> None:
        super().__init__()
        stride = 2 if first else 1
        self.norm_in, self.norm_out = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.convolution_in = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.convolution_out = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if first else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W), halved by the first block of a stack."""
        active = torch.relu(self.norm_in(x))
        inner = self.convolution_out(torch.relu(self.norm_out(self.convolution_in(active))))
        return inner + (x if self.shortcut is None else self.shortcut(active))


class TorchClassifier(nn.Module):  # type: ignore[misc]
    """Layers, global mean, and a dense layer."""

    def __init__(self, layers: list[nn.Module], width: int, classes: int) -> None:
        super().__init__()
        self.layers, self.output = nn.Sequential(*layers), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, classes)."""
        return self.output(self.layers(x).mean((2, 3)))


def resnet(classes: int) -> nn.Module:
    """Return the default ResNet."""
    layers: list[nn.Module] = [nn.Conv2d(1, 16, 3, 1, 1, bias=False)]
    width = 16
    for filters in (32, 64, 128, 256):
        layers += [TorchBlock(width, filters, first=True), TorchBlock(filters, filters, first=False)]
        width = filters
    return TorchClassifier([*layers, nn.BatchNorm2d(width), nn.ReLU()], width, classes)


def baseline(classes: int) -> nn.Module:
    """Return the default Baseline."""
    layers: list[nn.Module] = []
    width = 1
    for filters in (16, 32, 64, 128):
        layers += [nn.Conv2d(width, filters, 3, 2, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
        width = filters
    return TorchClassifier(
        [*layers, nn.Conv2d(width, 2 * width, 1, bias=False), nn.BatchNorm2d(2 * width)], 2 * width, classes
    )


NETWORKS = {"Baseline": baseline, "ResNet": resnet}
