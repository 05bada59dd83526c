"""The peer of training.py: the same ResNet, augmentation and Adam in PyTorch, in a process of its own, which does what it is asked on its standard input.

It is started by training.py, with a folder that holds settings.json, clips.npy, noise.npy, tables.npz and png/. Each
line that it reads is a request, each line that it writes its answer, as JSON. PyTorch is used as its tuning guide
advises: channels last, bfloat16 autocast and fused Adam on a GPU, losses that stay on the device, cuDNN's search for
the quickest convolutions, and the quickest of eager, compiled, and compiled with CUDA graphs.
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
ROLL, CHANCE = 0.15, 0.5  # augmentation.roll_v and .probability
WATCHED_AT_ONCE = 256  # clips that are answered together in validation


class Block(nn.Module):
    """Norm, ReLU, convolution, twice, added to a shortcut, as in utils/models/resnet.py."""

    def __init__(self, channels_in: int, channels: int, size: int, *, first: bool) -> None:
        super().__init__()
        stride, side = 2 if first else 1, size // 2
        self.first = first
        self.norm_in = nn.BatchNorm2d(channels_in, eps=1e-4)
        self.convolution_in = nn.Conv2d(channels_in, channels, size, stride, side, bias=False)
        self.norm_out = nn.BatchNorm2d(channels, eps=1e-4)
        self.convolution_out = nn.Conv2d(channels, channels, size, 1, side)
        self.shortcut = (
            nn.Conv2d(channels_in, channels, 1, stride, bias=False) if first or channels_in != channels else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W), the sides halved by the first block of a stack."""
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
            for number in range(n):
                blocks.append(Block(width, channels * k, size, first=number == 0))
                width = channels * k
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(width, eps=1e-4)
        self.output = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        x = relu(self.norm(self.blocks(self.first(x))))
        return self.output(x.mean((2, 3), dtype=torch.float32))


def stretched(pictures: Tensor) -> Tensor:
    """Stretch pictures (B, H, W) to −1 to 1, and give them a channel."""
    low, high = pictures.amin((1, 2), keepdim=True), pictures.amax((1, 2), keepdim=True)
    return (2 * (pictures - low) / (high - low).clamp(min=1e-6) - 1)[:, None].contiguous(
        memory_format=torch.channels_last
    )


def varied(pixels: Tensor, noise: Tensor) -> Tensor:
    """Augment a batch by roll_v and add, each with its chance for each picture, which is all that the default settings do; answers pixels from 0 to 1."""
    count, height, _ = pixels.shape
    place = pixels.device
    rolled, added = torch.rand(2, count, device=place) < CHANCE
    shift = (rolled * ((2 * torch.rand(count, device=place) - 1) * ROLL * height).round()).long()
    rows = (torch.arange(height, device=place) - shift[:, None]) % height
    pictures = pixels[torch.arange(count, device=place)[:, None], rows].float() / 255
    other = noise[torch.randint(len(noise), (count,), device=place)].float() / 255
    ours, theirs = 1 + torch.rand(2, count, 1, 1, device=place)
    return torch.where(added[:, None, None], (ours * pictures + theirs * other) / (ours + theirs), pictures)


class Pictures(Dataset[tuple[Tensor, int]]):
    """PNG files in folders of classes."""

    def __init__(self, files: list[str], labels: list[int]) -> None:
        self.files, self.labels = files, labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return torch.from_numpy(cv2.imread(self.files[number], cv2.IMREAD_GRAYSCALE)), self.labels[number]


class Peer:
    """A training in PyTorch, and what it can be asked."""

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

    def made(self) -> None:
        """Make the net and its optimizer."""
        torch.manual_seed(1)
        self.net = ResNet(**self.settings["net"]).to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            self.net.parameters(), lr=self.settings["learning_rate"], eps=1e-8, fused=self.settings["gpu"]
        )

    def loss_of(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch's mean loss, and the share that is right."""
        pictures = stretched(varied(pixels, self.noise))
        with self.autocast():
            logits = self.net(pictures).float()
        return cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return what makes the net compute in bfloat16 on a GPU."""
        return torch.autocast("cuda", torch.bfloat16) if self.settings["gpu"] else contextlib.nullcontext()

    def step(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Do one step; returns loss and accuracy, which stay on the device."""
        loss, right = self.function(pixels, labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.stack([loss.detach(), right])

    def choose(self) -> dict[str, Any]:
        """Try every way, keep the quickest; answers each one's seconds a step and to its first step, and why others failed."""
        steps = self.settings["tried"]
        tried: dict[str, Any] = {}
        functions: dict[str, Callable[..., Any]] = {}
        for way in self.settings["ways"]:
            torch._dynamo.reset()
            begun = time.perf_counter()
            self.made()
            function = torch.compile(self.loss_of, mode=COMPILED[way]) if way in COMPILED else self.loss_of
            self.function = function
            try:
                self.resident(steps=1)
                first = time.perf_counter() - begun
                self.resident(steps=steps)
                tried[way] = {
                    "first": first,
                    "step": min(self.resident(steps=steps)["seconds"] for _ in range(3)) / steps,
                }
                functions[way] = function
            # the compiler's own, of many kinds, as where there is no C compiler
            except Exception as error:  # noqa: BLE001
                tried[way] = {"failed": " ".join(str(error).split())[:200]}
        best = min(functions, key=lambda way: tried[way]["step"])
        self.function = functions[best]
        self.made()
        self.resident(steps=steps)
        if self.settings["gpu"]:
            torch.cuda.reset_peak_memory_stats()
        return {"tried": tried, "best": best, "parameters": sum(weight.numel() for weight in self.net.parameters())}

    def resident(self, steps: int = 0) -> dict[str, float]:
        """Do so many steps on clips that wait on the device, or an epoch of them; answers seconds and, on a GPU, the most bytes that were in use."""
        begun = time.perf_counter()
        steps = steps or -(-len(self.clips) // self.batch)
        order = torch.randperm(len(self.clips), device=self.device).repeat(-(-steps * self.batch // len(self.clips)))
        totals = torch.zeros(2, device=self.device)
        self.net.train()
        for number in range(steps):
            some = order[number * self.batch : (number + 1) * self.batch]
            totals += self.step(self.clips[some], self.labels[some])
        loss = totals.tolist()[0] / steps  # waits for the device
        return {
            "seconds": time.perf_counter() - begun,
            "loss": loss,
            "bytes": torch.cuda.max_memory_allocated() if self.settings["gpu"] else 0,
        }

    def epoch(self) -> dict[str, float]:
        """Train on all PNG files, validate, and save."""
        if not self.loaders:
            self.loaders = {side: self._loader(side) for side in ("train", "val")}
        begun = time.perf_counter()
        totals, count = torch.zeros(2, device=self.device), 0
        self.net.train()
        for pixels, labels in self.loaders["train"]:
            totals += self.step(pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True))
            count += len(pixels)
        totals.tolist()
        steps = time.perf_counter() - begun
        self._validate()
        torch.save({"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}, self.folder / "saved.pt")
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "steps": steps, "clips": count}

    def _loader(self, side: str) -> DataLoader[tuple[Tensor, int]]:
        listed = [line.split("\t") for line in (self.folder / f"{side}.tsv").read_text().splitlines()]
        train = side == "train"
        return DataLoader(
            Pictures([str(self.folder / "png" / name) for _, name in listed], [int(label) for label, _ in listed]),
            batch_size=self.batch if train else WATCHED_AT_ONCE,
            shuffle=train,
            drop_last=train,  # a batch of another size would be compiled anew
            num_workers=os.cpu_count() or 1,
            pin_memory=self.settings["gpu"],
            persistent_workers=True,
            prefetch_factor=4,
            worker_init_fn=_one_thread,
        )

    @torch.inference_mode()
    def _validate(self) -> list[float]:
        self.net.eval()
        totals = torch.zeros(2, device=self.device)
        for pixels, labels in self.loaders["val"]:
            labels = labels.to(self.device, non_blocking=True)
            with self.autocast():
                logits = self.net(stretched(pixels.to(self.device, non_blocking=True).float() / 255)).float()
            totals += torch.stack([cross_entropy(logits, labels, reduction="sum"), (logits.argmax(1) == labels).sum()])
        return totals.tolist()

    @torch.inference_mode()
    def answers(self) -> dict[str, Any]:
        """Answer the first clips with the weights of the JAX net: the logits, computed by the CPU in float32."""
        net = ResNet(**self.settings["net"]).eval()
        for name, weight in net.named_parameters():
            given = torch.from_numpy(self.weights[f"weights/{name}"])
            weight.copy_(given.permute(3, 2, 0, 1) if given.ndim == 4 else given.T if given.ndim == 2 else given)
        return {"logits": net(stretched(self.clips[:8].cpu().float() / 255)).tolist()}


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def serve(folder: Path) -> None:
    """Answer requests until there are no more."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    peer = Peer(folder)
    for line in sys.stdin:
        try:
            answer = getattr(peer, line.strip())()
        except Exception as error:  # noqa: BLE001 — told to who asked, who goes on without
            answer = {"failed": " ".join(str(error).split())[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
