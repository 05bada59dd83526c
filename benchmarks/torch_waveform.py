"""The PyTorch side of waveform.py: sound is augmented, becomes spectrograms and trains a network, all on the device.

waveform.py starts it with a folder of settings.json and arrays (see waveform_peers.py). Each line of its standard input
is a request, each line of its output the result, as JSON. Everything is batched: shift and speed are one gather with
linear interpolation; pitch reads the magnitudes of `torch.stft` at other bins, or is torchaudio's `pitch_shift`, which
takes one number of semitones for all clips; noise is added by its formula, or by torchaudio's `add_noise`. As in
torch_training.py: channels last, bfloat16 autocast and fused Adam on a GPU, and the fastest of eager and compiled.
"""

# mypy: disable-error-code="misc, import-not-found, untyped-decorator"

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad
from torch_networks import NETWORKS

NAMES = ("shift", "speed", "pitch", "gain", "pink", "background")
CHECKED_CLIPS = 8  # clips whose spectrograms are compared
RANGE_DB, MIN_AMPLITUDE, LOWEST_NOISE = 80.0, 1e-5, 20.0  # as ours
Ways = dict[str, tuple[Callable[..., Any], Callable[..., Any]]]


class Sounds(nn.Module):
    """From 16-bit rows to augmented images.

    Parameters
    ----------
    settings : see waveform_peers.py
    arrays : `window`, `filters` of the mel bands, and `background`, sounds without birds, with margins
    torchaudio : whether its functions are used
    augment : whether sounds are augmented
    """

    window: Tensor
    filters: Tensor
    background: Tensor

    def __init__(
        self, settings: dict[str, Any], arrays: dict[str, Tensor], *, torchaudio: bool = False, augment: bool = True
    ) -> None:
        super().__init__()
        self.settings, self.augment = settings, augment
        self.torchaudio = _torchaudio() if torchaudio else None
        for name in ("window", "filters", "background"):
            self.register_buffer(name, arrays[name])

    @torch.no_grad()
    def forward(self, rows: Tensor, peaks: Tensor) -> Tensor:
        """Return images (B, H, W) from 0 to 1, of int16 rows (B, padded) and their peaks (B,)."""
        sounds = rows.float() * (peaks / 32_767)[:, None]
        margin, samples = self.settings["margin"], self.settings["samples"]
        if not self.augment:
            return self.spectrograms(sounds[:, margin : margin + samples], None)
        chosen = torch.rand(len(NAMES), len(rows), device=rows.device) < self.settings["probability"]
        of_clip = dict(zip(NAMES, chosen, strict=True))
        clips = self.read(sounds, of_clip)
        if self.torchaudio:
            steps = int(torch.randint(-int(self.settings["pitch"]), int(self.settings["pitch"]) + 1, ()))
            some = of_clip["pitch"]
            clips[some] = self.torchaudio.functional.pitch_shift(clips[some], self.settings["rate"], steps)
        gain = 10 ** (self.uniform(of_clip, "gain", self.settings["gain"]) / 20)
        clips = clips * gain[:, None]
        clips = self.add(clips, self.pink_noise(clips), of_clip["pink"], self.settings["pink"])
        bank = self.background[torch.randint(len(self.background), (len(rows),), device=rows.device)]
        other = bank[:, margin : margin + samples].float()
        clips = self.add(clips, other, of_clip["background"], self.settings["background"])
        pitch = None if self.torchaudio else 2 ** (self.uniform(of_clip, "pitch", self.settings["pitch"]) / 12)
        return self.spectrograms(clips, pitch)

    def uniform(self, of_clip: dict[str, Tensor], name: str, amount: float) -> Tensor:
        """Draw a number up to ± `amount` for each clip; 0 for clips that are not changed."""
        drawn = amount * (2 * torch.rand(len(of_clip[name]), device=self.window.device) - 1)
        return torch.where(of_clip[name], drawn, 0.0)

    def read(self, sounds: Tensor, of_clip: dict[str, Tensor]) -> Tensor:
        """Read shifted and faster or slower clips out of the sounds with margins."""
        samples = self.settings["samples"]
        shift = self.uniform(of_clip, "shift", self.settings["shift"]) * samples
        speed = self.uniform(of_clip, "speed", self.settings["speed"])
        steps = torch.arange(samples, device=sounds.device) - samples // 2
        middle = self.settings["margin"] + samples // 2 + shift.round()
        places = (middle[:, None] + (1 + speed)[:, None] * steps).clamp(0, sounds.shape[1] - 2)
        below = places.long()
        share = places - below
        return sounds.gather(1, below) * (1 - share) + sounds.gather(1, below + 1) * share

    def pink_noise(self, clips: Tensor) -> Tensor:
        """Return noise whose power falls by 3 dB per octave, for each clip."""
        samples = clips.shape[1]
        frequencies = torch.fft.rfftfreq(samples, 1 / self.settings["rate"], device=clips.device)
        amplitudes = torch.where(frequencies >= LOWEST_NOISE, frequencies.clamp(min=LOWEST_NOISE) ** -0.5, 0.0)
        real, imaginary = torch.randn(2, len(clips), len(frequencies), device=clips.device)
        return torch.fft.irfft(torch.complex(amplitudes * real, amplitudes * imaginary), samples)

    def add(self, clips: Tensor, other: Tensor, chosen: Tensor, ratios: list[float]) -> Tensor:
        """Add another sound at a ratio between these two, decibels, to the chosen clips."""
        ratio = ratios[0] + (ratios[1] - ratios[0]) * torch.rand(len(clips), device=clips.device)
        if self.torchaudio:
            return torch.where(chosen[:, None], self.torchaudio.functional.add_noise(clips, other, ratio), clips)
        powers = clips.square().mean(1) / other.square().mean(1).clamp(min=1e-20)
        return clips + (chosen * powers.sqrt() * 10 ** (-ratio / 20))[:, None] * other

    def spectrograms(self, clips: Tensor, pitch: Tensor | None) -> Tensor:
        """Return mel spectrograms from 0 to 1, highest band first."""
        n_fft, hop = len(self.window), self.settings["hop"]
        emphasized = torch.cat([clips[:, :1], clips[:, 1:] - self.settings["pre_emphasis"] * clips[:, :-1]], 1)
        padded = pad(emphasized, (n_fft // 2, n_fft // 2))
        spectrum = torch.stft(padded, n_fft, hop, window=self.window, center=False, return_complex=True).abs()
        if pitch is not None:
            source = torch.arange(spectrum.shape[1], device=clips.device) / pitch[:, None]
            below = source.long()
            share = (source - below)[:, :, None]
            spectrum = _bins(spectrum, below) * (1 - share) + _bins(spectrum, below + 1) * share
        first = self.settings["first_bin"]
        levels = self.filters @ spectrum[:, first : first + self.filters.shape[1]]
        levels = 20 * torch.log10(levels.clamp(min=MIN_AMPLITUDE))
        levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - RANGE_DB)
        levels = levels.flip(1)[:, :, : self.settings["width"]]
        low, high = levels.amin((1, 2), keepdim=True), levels.amax((1, 2), keepdim=True)
        return (levels - low) / (high - low).clamp(min=1e-9)


def _bins(spectrum: Tensor, bins: Tensor) -> Tensor:
    """Return these bins of (B, bins, frames); 0 beyond the last one."""
    inside = bins < spectrum.shape[1]
    index = torch.where(inside, bins, 0)[:, :, None].expand(-1, -1, spectrum.shape[2])
    return spectrum.gather(1, index) * inside[:, :, None]


def _torchaudio() -> Any:
    """Return torchaudio; None if it cannot be used."""
    try:
        import torchaudio
    except (ImportError, OSError):  # OSError: its library was made for another PyTorch
        return None
    return torchaudio


class Peer:
    """A training in PyTorch; its public methods are the requests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = json.loads((folder / "settings.json").read_text())
        self.device = torch.device("cuda" if self.settings["gpu"] else "cpu")
        names = ("sounds", "peaks", "labels", "images", "background", "filters", "window")
        self.arrays = {name: torch.from_numpy(np.load(folder / f"{name}.npy")).to(self.device) for name in names}
        self.ways: Ways = {}
        self.chosen: dict[str, str] = {}

    def versions(self) -> dict[str, str]:
        """Return the versions of what is used."""
        torchaudio = _torchaudio()
        without = "not installed, or for another PyTorch"
        return {"torch": torch.__version__, "torchaudio": torchaudio.__version__ if torchaudio else without}

    def spectrograms(self) -> dict[str, str]:
        """Write the spectrograms of the first clips, not augmented; return the name of the file."""
        sounds = Sounds(self.settings, self.arrays, augment=False)
        images = sounds(self.arrays["sounds"][:CHECKED_CLIPS], self.arrays["peaks"][:CHECKED_CLIPS])
        np.save(self.folder / "spectrograms.npy", images.cpu().numpy())
        return {"file": "spectrograms.npy"}

    def build(self) -> None:
        """Build the network and its optimizer."""
        torch.manual_seed(1)
        network: nn.Module = NETWORKS[self.settings["model"]](self.settings["classes"])
        self.network = network.to(self.device, memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.settings["learning_rate"], eps=1e-8, fused=self.settings["gpu"]
        )

    def loss_of(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return a batch's mean loss."""
        inputs = (2 * images[:, None] - 1).contiguous(memory_format=torch.channels_last)
        gpu = self.settings["gpu"]
        with torch.autocast("cuda", torch.bfloat16) if gpu else contextlib.nullcontext():
            logits = self.network(inputs).float()
        return cross_entropy(logits, labels)

    def choose(self) -> dict[str, Any]:
        """Try all ways; return each one's seconds per step of each kind, or its error, and the number of parameters."""
        tried: dict[str, Any] = {}
        for way in self.settings["ways"]:
            torch._dynamo.reset()
            self.build()
            loss = self.loss_of if way == "eager" else torch.compile(self.loss_of)
            for kind in self.kinds():
                sounds: Callable[..., Any] = Sounds(self.settings, self.arrays, torchaudio=kind == "torchaudio")
                if way == "all compiled":
                    sounds = torch.compile(sounds)
                self.ways[f"{kind}, {way}"] = (sounds, loss)
                try:
                    self.run(kind, way, steps=1)
                    best = min(self.run(kind, way, steps=self.settings["tried"]) for _ in range(2))
                    tried[f"{kind}, {way}"] = best / self.settings["tried"]
                # the compiler raises many kinds, for example without a C compiler
                except Exception as error:  # noqa: BLE001
                    tried[f"{kind}, {way}"] = " ".join(str(error).split())[:200]
        for kind in self.kinds():
            found = {way: tried[f"{kind}, {way}"] for way in self.settings["ways"]}
            done = {way: seconds for way, seconds in found.items() if isinstance(seconds, float)}
            if done:
                self.chosen[kind] = min(done, key=lambda way: done[way])
        parameters = sum(weight.numel() for weight in self.network.parameters())
        return {"tried": tried, "chosen": self.chosen, "parameters": parameters}

    def kinds(self) -> list[str]:
        """Return what steps start from: stored spectrograms, sound, and sound with torchaudio's functions."""
        return ["stored", "sound", *(["torchaudio"] if _torchaudio() else [])]

    def run(self, kind: str, way: str, *, steps: int = 0) -> float:
        """Run steps, or an epoch, on clips on the device; return seconds."""
        sounds, loss_of = self.ways[f"{kind}, {way}"]
        arrays, batch = self.arrays, self.settings["batch"]
        start = time.perf_counter()
        count = len(arrays["labels"])
        steps = steps or -(-count // batch)
        order = torch.randperm(count, device=self.device).repeat(-(-steps * batch // count))
        total = torch.zeros((), device=self.device)
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            if kind == "stored":
                images = arrays["images"][rows].float() / 255
            else:
                images = sounds(arrays["sounds"][rows], arrays["peaks"][rows])
            loss = loss_of(images, arrays["labels"][rows])
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
        total.item()  # waits for the device
        return time.perf_counter() - start

    def epochs(self) -> dict[str, float]:
        """Run an epoch of each kind; return seconds."""
        return {kind: self.run(kind, way) for kind, way in self.chosen.items()}


def serve(folder: Path) -> None:
    """Serve requests until there are no more."""
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    peer = Peer(folder)
    for line in sys.stdin:
        try:
            result = getattr(peer, line.strip())()
        except Exception as error:  # noqa: BLE001 — reported to waveform.py, which continues without
            result = {"failed": " ".join(str(error).split())[:300]}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
