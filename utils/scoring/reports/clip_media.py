"""The sound and the spectrogram of a detection, with a little of what is before and after it."""

import math
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

from config import Config
from utils.scoring.reports.excerpts import SOUND_RATE, jpeg, mp3
from utils.spectra.decode import AudioError, decode
from utils.spectra.decoded_part import samples_between

AROUND = 1.0  # seconds of sound before and after a detection
LONGEST = 30.0  # seconds that are shown of a detection
LEAST_SHOWN = 0.1  # seconds that are shown at least
IMAGE_SIZE = (900, 256)  # pixels
SMALL_SIZE = (240, 96)


class ShownSpan(NamedTuple):
    """The part of a recording that is shown, seconds."""

    start: float
    end: float


def shown_span(file: Path, start: float, end: float) -> ShownSpan:
    """Return the part of a recording that is shown for a detection."""
    behind = min(min(end, start + LONGEST) + AROUND, recording_seconds(file))
    return ShownSpan(max(0.0, start - AROUND), max(behind, start + LEAST_SHOWN))


@lru_cache(maxsize=1000)
def recording_seconds(file: Path) -> float:
    """Return the length of a recording by its header; infinite if it has none."""
    try:
        return float(soundfile.info(file).duration) or math.inf
    except (soundfile.LibsndfileError, RuntimeError, OSError):
        return math.inf


def samples_of(file: Path, span: ShownSpan, *, rate: int, config: Config) -> Float32[np.ndarray, " samples"]:
    """Return the samples of a part of a recording; of intact files, only that part is read.

    Raises
    ------
    AudioError
        If there are none.
    """
    samples = np.zeros(0, np.float32)
    channel = config.spectrogram.channel
    if channel != "loudest":  # that takes the whole recording
        with suppress(soundfile.LibsndfileError, RuntimeError, ValueError, OSError, IndexError):
            samples = _read_directly(file, span, rate=rate, channel=channel)
    if not len(samples):  # damaged, or of a kind in which one cannot jump
        blocks = decode(file, rate=rate, channel=channel)
        samples = samples_between(blocks, start=span.start, end=span.end, rate=rate)
    if not len(samples):
        raise AudioError("has no sound there")
    return samples


def _read_directly(
    file: Path, span: ShownSpan, *, rate: int, channel: Literal["mean"] | int
) -> Float32[np.ndarray, " samples"]:
    with soundfile.SoundFile(file) as sound:
        sound.seek(round(span.start * sound.samplerate))
        count = round((span.end - span.start) * sound.samplerate)
        channels = sound.read(count, dtype="float32", always_2d=True)
        mixed = channels.mean(axis=1) if channel == "mean" or channels.shape[1] == 1 else channels[:, channel - 1]
        return soxr.resample(mixed, sound.samplerate, rate).astype(np.float32)


def spectrogram_image(file: Path, span: ShownSpan, config: Config, *, size: tuple[int, int] = IMAGE_SIZE) -> bytes:
    """Return the spectrogram of a part of a recording as JPEG.

    Parameters
    ----------
    size : width and height, pixels

    Raises
    ------
    AudioError
        If there is no sound.
    """
    return jpeg(samples_of(file, span, rate=config.spectrogram.rate, config=config), config, size=size)


def sound_file(file: Path, span: ShownSpan, config: Config) -> bytes:
    """Return the sound of a part of a recording as MP3; raises the same error."""
    return mp3(samples_of(file, span, rate=SOUND_RATE, config=config))
