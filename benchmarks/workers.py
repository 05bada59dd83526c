"""What worker processes do in the benchmark of extraction: this toolkit, the 2018 baseline, and decoding alone.

Each function returns its cost.
"""

import resource
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import soundfile

from utils.spectra.extraction import Job, extract

RATE, LENGTH, STEP = 44_100, 44_100, 33_075  # sample rate, samples of a clip, and step from clip to clip
FMIN, FMAX, HEIGHT, WIDTH = 500, 15_000, 128, 256
THRESHOLD = 0.001


class Spent(NamedTuple):
    """Cost of a recording: seconds of processor time, and peak memory of the process so far, MB."""

    cpu: float
    peak: float


def ours(job: Job) -> Spent:
    """Extract as spec.py does."""
    start = time.process_time()
    extract(job)
    return _spent(start)


def baseline(job: Job) -> Spent:
    """Extract as the 2018 baseline's spec.py, with today's librosa: one PNG for each accepted clip."""
    import librosa  # here, so that it does not count as memory of the toolkit

    start = time.process_time()
    samples, _ = librosa.load(job.file, sr=RATE, mono=True)
    job.part.mkdir(parents=True, exist_ok=True)
    for index, first in enumerate(range(0, len(samples), STEP)):
        clip = samples[first : first + LENGTH]
        if len(clip) == LENGTH:
            spectrogram = librosa_spectrogram(clip)
            score = numpy_score(spectrogram)
            if score >= THRESHOLD:
                cv2.imwrite(
                    str(job.part / f"{int(score * 10_000):04d}_{Path(job.file).stem}_{index:03d}.png"),
                    (spectrogram * 255).astype(np.uint8),
                )
    return _spent(start)


def librosa_spectrogram(clip: np.ndarray) -> np.ndarray:
    """Return the mel spectrogram by librosa's own functions."""
    import librosa

    hop = len(clip) // (WIDTH - 1)
    emphasised = np.append(clip[0], clip[1:] - 0.95 * clip[:-1]).astype(np.float32)
    bands = librosa.feature.melspectrogram(
        y=emphasised, sr=RATE, n_fft=8 * HEIGHT, hop_length=hop, n_mels=HEIGHT, fmin=FMIN, fmax=FMAX, power=1.0
    )
    levels = librosa.amplitude_to_db(bands, ref=np.max)[::-1, :WIDTH]
    return (levels - levels.min()) / max(levels.max() - levels.min(), 1e-9)


def numpy_score(spectrogram: np.ndarray) -> float:
    """Return the signal score by the baseline's NumPy and OpenCV calls."""
    row, column = np.median(spectrogram, axis=1, keepdims=True), np.median(spectrogram, axis=0, keepdims=True)
    on = ((spectrogram >= 1.25 * row) & (spectrogram >= 1.15 * column) & (spectrogram > 0)).astype(np.float32)
    patches = cv2.medianBlur(on, 3)
    return float(cv2.morphologyEx(patches, cv2.MORPH_CLOSE, np.ones((3, 3), np.float32)).mean())


def decode_only(job: Job) -> Spent:
    """Only decode: the least time possible."""
    start = time.process_time()
    with soundfile.SoundFile(job.file) as sound:
        while len(sound.read(1 << 20, dtype="float32")):
            pass
    return _spent(start)


def _spent(start: float) -> Spent:
    return Spent(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def write_song(path: Path, *, rate: int, seconds: float, seed: int) -> None:
    """Write a synthetic recording: calls that rise and fall, in noise.

    It is written in blocks, because libsndfile crashes on long blocks of Vorbis.
    """
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 3000 + 1500 * np.sin(2 * np.pi * 0.7 * time) + 300 * np.sin(2 * np.pi * 9 * time)
    calls = (np.sin(2 * np.pi * 0.45 * time + seed) > 0.4) * (np.sin(2 * np.pi * 6 * time) > -0.3)
    sound = 0.3 * calls * np.sin(2 * np.pi * np.cumsum(pitch) / rate) + rng.normal(0, 0.01, len(time))
    subtype = "VORBIS" if path.suffix == ".ogg" else None
    with soundfile.SoundFile(path, "w", rate, 1, subtype=subtype) as stream:
        for start in range(0, len(sound), rate):
            stream.write(sound[start : start + rate].astype(np.float32))
