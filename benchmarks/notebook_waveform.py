"""How notebooks augment sound, for waveform.py: worker processes, one per core, with librosa and NumPy, clip by clip.

waveform.py starts it with a folder of settings.json and arrays (see waveform_peers.py). Each line of its standard input
is a request, each line of its output the result, as JSON. A worker prepares a batch and sends it as uint8, as the
workers of a DataLoader do. The sound is decoded already and in memory, which is better than what notebooks have. Speed
is librosa's `time_stretch`, which leaves the pitch as it is.
"""

import json
import os
import sys
import time

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # one per worker

import multiprocessing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from jaxtyping import Float, UInt8

Sound = Float[np.ndarray, " samples"]
PREPARED = 4  # batches of each worker that a measurement takes, at most


class Preparation:
    """From a row of 16-bit samples to an augmented spectrogram."""

    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, Any] = json.loads((folder / "settings.json").read_text())
        self.sounds = np.load(folder / "sounds.npy", mmap_mode="r")
        self.background = np.load(folder / "background.npy", mmap_mode="r")
        self.peaks = np.load(folder / "peaks.npy")

    def batch(self, rows: list[int]) -> UInt8[np.ndarray, "batch height width"]:
        """Return the spectrograms of some rows."""
        return np.stack([self.spectrogram(self.augmented(row, np.random.default_rng())) for row in rows])

    def augmented(self, row: int, rng: np.random.Generator) -> Sound:
        """Return the sound of a row, with each augmentation at its probability."""
        settings, rate = self.settings, self.settings["rate"]
        chosen = dict(zip(("shift", "speed", "pitch", "gain", "pink", "background"), rng.random(6), strict=True))
        chosen = {name: drawn < settings["probability"] for name, drawn in chosen.items()}
        sound = self.sounds[row].astype(np.float32) * (self.peaks[row] / np.float32(32_767))
        shift = rng.uniform(-1, 1) * settings["shift"] if chosen["shift"] else 0.0
        speed = 1 + rng.uniform(-1, 1) * settings["speed"] if chosen["speed"] else 1.0
        sound = self._middle(sound, shift=shift, length=round(settings["samples"] * speed))
        if chosen["speed"]:
            sound = librosa.effects.time_stretch(sound, rate=speed)
        sound = librosa.util.fix_length(sound, size=settings["samples"])
        if chosen["pitch"]:
            steps = rng.uniform(-1, 1) * settings["pitch"]
            sound = librosa.effects.pitch_shift(sound, sr=rate, n_steps=steps)
        if chosen["gain"]:
            sound = sound * np.float32(10 ** (rng.uniform(-1, 1) * settings["gain"] / 20))
        if chosen["pink"]:
            sound = added(sound, pink_noise(len(sound), rng), rng.uniform(*settings["pink"]))
        if chosen["background"]:
            other = self.background[rng.integers(len(self.background))].astype(np.float32)
            other = self._middle(other, shift=0.0, length=settings["samples"])
            sound = added(sound, other, rng.uniform(*settings["background"]))
        return sound

    def _middle(self, sound: Sound, *, shift: float, length: int) -> Sound:
        start = (len(sound) - length) // 2 + round(shift * self.settings["samples"])
        return sound[max(start, 0) : max(start, 0) + length]

    def spectrogram(self, sound: Sound) -> UInt8[np.ndarray, "height width"]:
        """Return the mel spectrogram in decibels, from 0 to 255."""
        settings = self.settings
        emphasized = np.append(sound[0], sound[1:] - np.float32(settings["pre_emphasis"]) * sound[:-1])
        mel = librosa.feature.melspectrogram(
            y=emphasized,
            sr=settings["rate"],
            n_fft=settings["n_fft"],
            hop_length=settings["hop"],
            n_mels=settings["height"],
            fmin=settings["fmin"],
            fmax=settings["fmax"],
            power=1,
        )
        levels = librosa.amplitude_to_db(mel, ref=np.max)[::-1, : settings["width"]]
        return ((levels - levels.min()) / max(levels.max() - levels.min(), 1e-9) * 255).astype(np.uint8)


def pink_noise(samples: int, rng: np.random.Generator) -> Sound:
    """Return noise whose power falls by 3 dB per octave."""
    spectrum = np.fft.rfft(rng.standard_normal(samples, np.float32))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum), dtype=np.float32))
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def added(sound: Sound, other: Sound, ratio: float) -> Sound:
    """Add another sound at this signal-to-noise ratio, decibels."""
    powers = np.mean(sound**2) / max(np.mean(other**2), 1e-20)
    return sound + np.float32(np.sqrt(powers) * 10 ** (-ratio / 20)) * other


_preparation: Preparation  # of a worker


def start_worker(folder: Path) -> None:
    """Open the arrays, and call everything once: the first calls import and compile."""
    global _preparation
    _preparation = Preparation(folder)
    _preparation.settings["probability"], probability = 2.0, _preparation.settings["probability"]
    _preparation.batch([0])
    _preparation.settings["probability"] = probability


def prepare(rows: list[int]) -> UInt8[np.ndarray, "batch height width"]:
    """Prepare a batch in a worker."""
    return _preparation.batch(rows)


class Notebook:
    """Worker processes; its public methods are the requests."""

    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / "settings.json").read_text())
        self.clips, self.batch = len(np.load(folder / "labels.npy")), settings["batch"]
        self.workers = os.cpu_count() or 1
        # processes are forked on Linux, as DataLoader's
        self.pool = multiprocessing.Pool(self.workers, start_worker, (folder,))
        self.load()

    def versions(self) -> dict[str, str]:
        """Return the versions of what is used, and the number of workers."""
        return {"librosa": version("librosa"), "workers": str(self.workers)}

    def load(self) -> dict[str, float]:
        """Prepare the batches of an epoch, or the first few; return seconds, and the number of clips."""
        start = time.perf_counter()
        order = np.random.default_rng().permutation(self.clips)
        batches = [order[first : first + self.batch].tolist() for first in range(0, self.clips, self.batch)]
        clips = sum(len(images) for images in self.pool.imap(prepare, batches[: PREPARED * self.workers]))
        return {"seconds": time.perf_counter() - start, "clips": clips}


def serve(folder: Path) -> None:
    """Serve requests until there are no more."""
    notebook = Notebook(folder)
    for line in sys.stdin:
        try:
            result = getattr(notebook, line.strip())()
        except Exception as error:  # noqa: BLE001 — reported to waveform.py, which continues without
            result = {"failed": " ".join(str(error).split())[:300]}
        print(json.dumps(result), flush=True)
    notebook.pool.terminate()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
