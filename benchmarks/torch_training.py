"""The PyTorch side of training.py: the same ResNet, augmentation and Adam, in a process that takes requests.

training.py starts it with a folder of settings.json, clips.npy, noise.npy, tables.npz and png/. Each line of its
standard input is a request, each line of its output the result, as JSON. PyTorch is used as its tuning guide advises:
channels last, bfloat16 autocast and fused Adam on a GPU, losses that stay on the device, cuDNN's search for the fastest
convolutions, and the fastest of eager, compiled, and compiled with CUDA graphs.
"""

# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu
from torch.utils.data import DataLoader, Dataset

COMPILED = {"compiled": "default", "compiled, CUDA graphs": "reduce-overhead"}  # ways, and the modes of torch.compile
ROLL, PROBABILITY = 0.15, 0.5  # augmentation.roll_v and .probability
VALIDATION_BATCH = 256


class Block(nn.Module):
    """Norm, ReLU, convolution, twice, added to a shortcut, as in utils/models/architectures/resnet.py."""

    def __init__(self, channels_in: int, channels: int, size: int, *, first: bool) -> None:
        super().__init__()
        stride, padding = 2 if first else 1, size // 2
        self.first = first
        self.norm_in = nn.BatchNorm2d(channels_in, eps=1e-4)
        self.convolution_in = nn.Conv2d(channels_in, channels, size, stride, padding, bias=False)
        self.norm_out = nn.BatchNorm2d(channels, eps=1e-4)
        self.convolution_out = nn.Conv2d(channels, channels, size, 1, padding)
        self.shortcut = (
            nn.Conv2d(channels_in, channels, 1, stride, bias=False) if first or channels_in != channels else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W), height and width halved by the first block of a stack."""
        active = relu(self.norm_in(x))
        shortcut = active if self.first else x
        inner = self.convolution_out(relu(self.norm_out(self.convolution_in(active))))
        return inner + (shortcut if self.shortcut is None else self.shortcut(shortcut))


class ResNet(nn.Module):
    """A first convolution, stacks of blocks, global mean, one dense layer."""

    def __init__(self, *, filters: list[int], kernel_sizes: list[int], k: int, n: int, classes: int) -> None:
        super().__init__()
        width = filters[0]
        self.first = nn.Conv2d(1, width, kernel_sizes[0], 1, kernel_sizes[0] // 2, bias=False)
        blocks = []
        for channels, size in zip(filters, kernel_sizes, strict=True):
            for block in range(n):
                blocks.append(Block(width, channels * k, size, first=block == 0))
                width = channels * k
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(width, eps=1e-4)
        self.output = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        x = relu(self.norm(self.blocks(self.first(x))))
        return self.output(x.mean((2, 3), dtype=torch.float32))


def stretched(images: Tensor) -> Tensor:
    """Rescale images (B, H, W) to −1 to 1, and add a channel axis."""
    low, high = images.amin((1, 2), keepdim=True), images.amax((1, 2), keepdim=True)
    return (2 * (images - low) / (high - low).clamp(min=1e-6) - 1)[:, None].contiguous(
        memory_format=torch.channels_last
    )


def augmented(pixels: Tensor, noise: Tensor) -> Tensor:
    """Augment a batch by roll_v and add, as the default settings do; return images from 0 to 1."""
    count, height, _ = pixels.shape
    device = pixels.device
    rolled, added = torch.rand(2, count, device=device) < PROBABILITY
    shift = (rolled * ((2 * torch.rand(count, device=device) - 1) * ROLL * height).round()).long()
    rows = (torch.arange(height, device=device) - shift[:, None]) % height
    images = pixels[torch.arange(count, device=device)[:, None], rows].float() / 255
    other = noise[torch.randint(len(noise), (count,), device=device)].float() / 255
    weight, other_weight = 1 + torch.rand(2, count, 1, 1, device=device)
    return torch.where(added[:, None, None], (weight * images + other_weight * other) / (weight + other_weight), images)


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """PNG files in folders of classes."""

    def __init__(self, files: list[str], labels: list[int]) -> None:
        self.files, self.labels = files, labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(cv2.imread(self.files[index], cv2.IMREAD_GRAYSCALE)), self.labels[index]


class Peer:
    """A training in PyTorch; its public methods are the requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = json.loads((folder / "settings.json").read_text())
        self.device = torch.device("cuda" if self.settings["gpu"] else "cpu")
        self.batch = self.settings["batch"]
        tables = np.load(folder / "tables.npz")
        self.clips = torch.from_numpy(np.load(folder / "clips.npy")).to(self.device)
        self.noise = torch.from_numpy(np.load(folder / "noise.npy")).to(self.device)
        self.labels = torch.from_numpy(tables["labels"].astype(np.int64)).to(self.device)
        self.weights = {name: tables[name] for name in tables if name.startswith("weights/")}
        self.loaders: dict[str, DataLoader[tuple[Tensor, int]]] = {}

    def build(self) -> None:
        """Build the model and its optimizer."""
        torch.manual_seed(1)
        self.network = ResNet(**self.settings["model"]).to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.settings["learning_rate"], eps=1e-8, fused=self.settings["gpu"]
        )

    def loss_of(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch's mean loss and accuracy."""
        images = stretched(augmented(pixels, self.noise))
        with self.autocast():
            logits = self.network(images).float()
        return cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which the model computes in bfloat16 on a GPU."""
        return torch.autocast("cuda", torch.bfloat16) if self.settings["gpu"] else contextlib.nullcontext()

    def step(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Run one step; return loss and accuracy, which stay on the device."""
        loss, right = self.function(pixels, labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.stack([loss.detach(), right])

    def choose(self) -> dict[str, Any]:
        """Try all ways and keep the fastest; return each one's seconds per step and to its first step, or its error."""
        steps = self.settings["tried"]
        tried: dict[str, Any] = {}
        functions: dict[str, Callable[..., Any]] = {}
        for way in self.settings["ways"]:
            torch._dynamo.reset()
            start = time.perf_counter()
            self.build()
            function = torch.compile(self.loss_of, mode=COMPILED[way]) if way in COMPILED else self.loss_of
            self.function = function
            try:
                self.resident(steps=1)
                first = time.perf_counter() - start
                self.resident(steps=steps)
                tried[way] = {
                    "first": first,
                    "step": min(self.resident(steps=steps)["seconds"] for _ in range(3)) / steps,
                }
                functions[way] = function
            # the compiler raises many kinds, for example without a C compiler
            except Exception as error:  # noqa: BLE001
                tried[way] = {"failed": " ".join(str(error).split())[:200]}
        best = min(functions, key=lambda way: tried[way]["step"])
        self.function = functions[best]
        self.build()
        self.resident(steps=steps)
        if self.settings["gpu"]:
            torch.cuda.reset_peak_memory_stats()
        return {"tried": tried, "best": best, "parameters": sum(weight.numel() for weight in self.network.parameters())}

    def resident(self, steps: int = 0) -> dict[str, float]:
        """Run steps, or an epoch, on clips on the device; return seconds and, on a GPU, the peak of memory in bytes."""
        start = time.perf_counter()
        steps = steps or -(-len(self.clips) // self.batch)
        order = torch.randperm(len(self.clips), device=self.device).repeat(-(-steps * self.batch // len(self.clips)))
        totals = torch.zeros(2, device=self.device)
        self.network.train()
        for step in range(steps):
            batch = order[step * self.batch : (step + 1) * self.batch]
            totals += self.step(self.clips[batch], self.labels[batch])
        loss = totals.tolist()[0] / steps  # waits for the device
        return {
            "seconds": time.perf_counter() - start,
            "loss": loss,
            "bytes": torch.cuda.max_memory_allocated() if self.settings["gpu"] else 0,
        }

    def epoch(self) -> dict[str, float]:
        """Train on all PNG files, validate, and save."""
        if not self.loaders:
            self.loaders = {split: self._loader(split) for split in ("train", "val")}
        start = time.perf_counter()
        totals, count = torch.zeros(2, device=self.device), 0
        self.network.train()
        for pixels, labels in self.loaders["train"]:
            totals += self.step(pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True))
            count += len(pixels)
        totals.tolist()
        steps = time.perf_counter() - start
        self._validate()
        saved = {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(saved, self.folder / "saved.pt")
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "steps": steps, "clips": count}

    def _loader(self, split: str) -> DataLoader[tuple[Tensor, int]]:
        listed = [line.split("\t") for line in (self.folder / f"{split}.tsv").read_text().splitlines()]
        train = split == "train"
        return DataLoader(
            ImageDataset([str(self.folder / "png" / name) for _, name in listed], [int(label) for label, _ in listed]),
            batch_size=self.batch if train else VALIDATION_BATCH,
            shuffle=train,
            drop_last=train,  # a batch of another size would be compiled again
            num_workers=os.cpu_count() or 1,
            pin_memory=self.settings["gpu"],
            persistent_workers=True,
            prefetch_factor=4,
            worker_init_fn=_one_thread,
        )

    @torch.inference_mode()
    def _validate(self) -> list[float]:
        self.network.eval()
        totals = torch.zeros(2, device=self.device)
        for pixels, labels in self.loaders["val"]:
            labels = labels.to(self.device, non_blocking=True)
            with self.autocast():
                logits = self.network(stretched(pixels.to(self.device, non_blocking=True).float() / 255)).float()
            totals += torch.stack([cross_entropy(logits, labels, reduction="sum"), (logits.argmax(1) == labels).sum()])
        return totals.tolist()

    @torch.inference_mode()
    def logits(self) -> dict[str, Any]:
        """Return the logits of the first clips with the weights of the JAX model, computed by the CPU in float32."""
        network = ResNet(**self.settings["model"]).eval()
        for name, weight in network.named_parameters():
            given = torch.from_numpy(self.weights[f"weights/{name}"])
            weight.copy_(given.permute(3, 2, 0, 1) if given.ndim == 4 else given.T if given.ndim == 2 else given)
        return {"logits": network(stretched(self.clips[:8].cpu().float() / 255)).tolist()}


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def serve(folder: Path) -> None:
    """Serve requests until there are no more."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    peer = Peer(folder)
    for line in sys.stdin:
        try:
            result = getattr(peer, line.strip())()
        except Exception as error:  # noqa: BLE001 — reported to training.py, which continues without
            result = {"failed": " ".join(str(error).split())[:300]}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
