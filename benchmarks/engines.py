"""Whether CPU, accelerator and librosa make the same spectrogram and signal score, and how long each takes.

    python benchmarks/engines.py
    python benchmarks/engines.py --quick
    python benchmarks/engines.py --folder RECORDINGS --kind pcen

Each makes a spectrogram of every clip of every recording below the folder. librosa's spectrogram is that of
docs/baseline.md (melspectrogram, amplitude_to_db; stft; pcen; reassigned_spectrogram, summed into mel bands by NumPy),
its score that of NumPy's medians. Decoding is not measured. Without an accelerator JAX runs on the CPU: the comparison
is valid, but its time says little.
"""

import argparse
import itertools
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as workers run
sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import jax
import librosa
import numpy as np

from config import Clips, Spectrogram
from utils import console
from utils.files import write_json
from utils.spectra.bands import bands_of, hop_of, unit_area_heights
from utils.spectra.clips import clip_samples, cut_grid
from utils.spectra.decode import AudioError, decode
from utils.spectra.on_device import make_spectrograms
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import make_spectrogram, to_pixels

BATCH = 64  # clips that the device processes at once
NEAR = 1e-4  # scores this near to the threshold may fall on either side

Extracted = tuple[np.ndarray, np.ndarray]  # uint8 (clips, height, width), scores (clips,)


def on_cpu(clips: np.ndarray, settings: Spectrogram) -> Extracted:
    """Process clips one by one, as workers do."""
    spectrograms = [make_spectrogram(clip, settings) for clip in clips]
    return np.stack([to_pixels(spectrogram) for spectrogram in spectrograms]), np.array(
        [signal_score(spectrogram) for spectrogram in spectrograms]
    )


def on_device(clips: np.ndarray, settings: Spectrogram) -> Extracted:
    """Process clips at once, where JAX runs, and bring them back."""
    spectrograms, scores = make_spectrograms(jax.numpy.asarray(clips), settings)
    return np.asarray(spectrograms), np.asarray(scores)


def by_librosa(clips: np.ndarray, settings: Spectrogram) -> Extracted:
    """Process clips as a notebook would, with librosa, OpenCV and NumPy."""
    spectrograms = [_by_librosa(clip, settings) for clip in clips]
    return np.stack([to_pixels(spectrogram) for spectrogram in spectrograms]), np.array(
        [_numpy_score(spectrogram) for spectrogram in spectrograms]
    )


def _by_librosa(clip: np.ndarray, settings: Spectrogram) -> np.ndarray:
    bands, hop = bands_of(settings), hop_of(settings, samples=len(clip))
    emphasized = np.append(clip[0], clip[1:] - np.float32(settings.pre_emphasis) * clip[:-1])
    if settings.kind == "linear":
        spectrum = np.abs(librosa.stft(clip, n_fft=len(bands.window), hop_length=hop, window="hamming"))[
            bands.first_bin : bands.last_bin
        ]
    elif settings.kind == "reassigned":
        spectrum = _reassigned(emphasized, settings, n_fft=len(bands.window), hop=hop)
    else:
        spectrum = librosa.feature.melspectrogram(
            y=emphasized,
            sr=settings.rate,
            n_fft=len(bands.window),
            hop_length=hop,
            power=1,
            n_mels=settings.height,
            fmin=settings.fmin,
            fmax=settings.fmax,
        )
    levels = librosa.amplitude_to_db(spectrum, ref=np.max)
    if settings.kind == "pcen":
        levels = librosa.pcen(spectrum * 2**31, sr=settings.rate, hop_length=hop)
    levels = levels[::-1, : settings.width]
    spread = levels.max() - levels.min()
    return (levels - levels.min()) / (spread if spread else 1)


def _reassigned(emphasized: np.ndarray, settings: Spectrogram, *, n_fft: int, hop: int) -> np.ndarray:
    """Return amplitudes (bands, frames): each cell's power goes to the nearest bands and frames, by distance."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'where' used without 'out'")
        frequencies, times, magnitudes = librosa.reassigned_spectrogram(
            emphasized, sr=settings.rate, n_fft=n_fft, hop_length=hop, ref_power=0, fill_nan=True, clip=False
        )
    low, high = librosa.hz_to_mel(settings.fmin), librosa.hz_to_mel(settings.fmax)
    positions = (librosa.hz_to_mel(frequencies) - low) / (high - low) * (settings.height + 1) - 1
    columns = (times * settings.rate - 0.5) / hop  # librosa's times are half a sample late
    power, frames = magnitudes.astype(np.float64) ** 2, magnitudes.shape[1]
    grid = np.zeros((settings.height, frames))
    for row, column in itertools.product((0, 1), repeat=2):
        band, frame = np.floor(positions) + row, np.floor(columns) + column
        part = power * (1 - np.abs(positions - band)) * (1 - np.abs(columns - frame))
        inside = (band >= 0) & (band < settings.height) & (frame >= 0) & (frame < frames)
        index = (band * frames + frame)[inside].astype(int)
        grid += np.bincount(index, part[inside], grid.size).reshape(grid.shape)
    # one frequency fills a filter of unit area; 1 / Hz, as in kind mel
    return np.sqrt(grid * unit_area_heights(settings)[:, None] * n_fft / settings.rate)


def _numpy_score(spectrogram: np.ndarray) -> float:
    row, column = np.median(spectrogram, axis=1, keepdims=True), np.median(spectrogram, axis=0, keepdims=True)
    on = (spectrogram >= 1.25 * row) & (spectrogram >= 1.15 * column) & (spectrogram > 0)
    patches = cv2.medianBlur(on.astype(np.uint8), 3)
    return float(cv2.morphologyEx(patches, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).mean())


def batches_of(paths: list[Path], settings: Spectrogram) -> Iterator[np.ndarray]:
    """Yield the clips of all recordings in batches of one size, except for the last."""
    length, step, min_length = clip_samples(Clips(), rate=settings.rate)
    waiting: list[np.ndarray] = []
    for path in paths:
        try:
            for _, clips in cut_grid(decode(path, rate=settings.rate), length=length, step=step, min_length=min_length):
                waiting += [*clips]
        except AudioError as error:
            print(f"{path.name}: {error}")
        while len(waiting) >= BATCH:
            yield np.stack(waiting[:BATCH])
            waiting = waiting[BATCH:]
    if waiting:
        yield np.stack(waiting)


class Comparison:
    """How spectrograms and scores of another engine differ from those of the CPU."""

    def __init__(self) -> None:
        self.clips, self.pixels, self.far, self.decisions, self.excused, self.score = 0, 0, 0, 0, 0, 0.0

    def add(self, ours: Extracted, other: Extracted) -> None:
        """Count one batch."""
        threshold = Clips().signal_threshold
        self.clips += len(ours[0])
        self.pixels += ours[0].size
        self.far += int((np.abs(ours[0].astype(np.int16) - other[0]) > 1).sum())
        differing = (ours[1] >= threshold) != (other[1] >= threshold)
        near = np.minimum(np.abs(ours[1] - threshold), np.abs(other[1] - threshold)) <= NEAR
        self.decisions += int((differing & ~near).sum())
        self.excused += int((differing & near).sum())
        self.score = max(self.score, float(np.abs(ours[1] - other[1]).max()))

    def cells(self) -> list[str]:
        """Return the counts, as texts."""
        within = f"{100 * (1 - self.far / self.pixels):.5f}"
        return [f"{self.clips:,}", within, str(self.decisions), str(self.excused), f"{self.score:.5f}"]


def main() -> None:
    """Run all three in turn on each batch, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the first 1,024 clips of every twentieth recording")
    parser.add_argument(
        "--folder", type=Path, default=Path(__file__).parents[2] / "shared" / "birds", help="recordings, in any folders"
    )
    parser.add_argument(
        "--kind", choices=["mel", "linear", "pcen", "reassigned"], default="mel", help="kind of spectrogram"
    )
    call = parser.parse_args()
    paths = sorted(path for path in call.folder.rglob("*") if path.suffix in {".wav", ".ogg", ".flac", ".mp3"})[
        :: 20 if call.quick else 1
    ]
    if not paths:
        print(f"{call.folder}: no recordings")
        return
    settings = Spectrogram(kind=call.kind)
    engines: dict[str, Callable[[np.ndarray, Spectrogram], Extracted]] = {
        "CPU": on_cpu,
        "device": on_device,
        "librosa": by_librosa,
    }
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    compared = {name: Comparison() for name in engines}
    for index, clips in enumerate(islice(batches_of(paths, settings), 16 if call.quick else None)):
        extracted: dict[str, Extracted] = {}
        for name, extract in engines.items():
            start = time.perf_counter()
            extracted[name] = extract(clips, settings)
            if index and len(clips) == BATCH:  # other batches compile
                seconds[name].append((time.perf_counter() - start) / BATCH)
            compared[name].add(extracted["CPU"], extracted[name])
    rows = [[name, *compared[name].cells(), *_times(seconds[name])] for name in engines]
    device: Any = jax.devices()[0]
    kind = "cpu" if device.platform == "cpu" else "gpu"
    versions = f"jax {jax.__version__}, librosa {version('librosa')}"
    title = f"{call.kind}, {len(paths)} recordings, {device.device_kind}, {versions}"
    heads = ["engine", "clips", "% pixels", "decisions", "near", "score", "ms", "from", "to"]
    console.show_grid(title, heads, rows)
    print("compared with the CPU: pixels within one grey level; clips that only one of the two accepts, and more such")
    print("clips with a score within 1e-4 of the threshold; largest difference of scores")
    print("milliseconds per clip with its score: median of batches, 5% and 95%")
    ours = min(np.median(seconds["CPU"]), np.median(seconds["device"]))
    ratio = float(np.median(seconds["librosa"]) / ours)
    write_json(
        Path(__file__).parent / "results" / f"engines-{call.kind}-{kind}.json",
        {"device": device.device_kind, "ratio": round(ratio, 2), "table": rows},
    )
    print(f"ratio {ratio:.2f}")


def _times(seconds: list[float]) -> list[str]:
    return [f"{1000 * part:.2f}" for part in np.percentile(seconds, [50, 5, 95])]


if __name__ == "__main__":
    main()
