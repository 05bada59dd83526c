"""The sound and the spectrogram of a detection, with a little of what is before and after it."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from jaxtyping import Float32

from config import Config
from utils.scoring.reports.excerpts import SOUND_RATE, jpeg, mp3, samples_between
from utils.spectra.decode import AudioError, decode

AROUND = 1.0  # seconds of sound before and after a detection
LONGEST = 30.0  # seconds that are shown of a detection
IMAGE_SIZE = (900, 256)  # pixels


class ShownSpan(NamedTuple):
    """The part of a recording that is shown, seconds."""

    start: float
    end: float


def shown_span(start: float, end: float) -> ShownSpan:
    """Return the part that is shown for a detection."""
    return ShownSpan(max(0.0, start - AROUND), min(end, start + LONGEST) + AROUND)


def samples_of(file: Path, span: ShownSpan, *, rate: int, config: Config) -> Float32[np.ndarray, " samples"]:
    """Return the samples of a part of a recording; of intact files, only that part is read.

    Raises
    ------
    AudioError
        If there are none.
    """
    samples = np.zeros(0, np.float32)
    with suppress(soundfile.LibsndfileError, RuntimeError, ValueError, OSError):
        samples = _read_directly(file, span, rate=rate)
    if not len(samples):  # damaged, or of a kind in which one cannot jump
        blocks = decode(file, rate=rate, channel=config.spectrogram.channel)
        samples = samples_between(blocks, start=span.start, end=span.end, rate=rate)
    if not len(samples):
        raise AudioError("has no sound there")
    return samples


def _read_directly(file: Path, span: ShownSpan, *, rate: int) -> Float32[np.ndarray, " samples"]:
    with soundfile.SoundFile(file) as sound:
        sound.seek(round(span.start * sound.samplerate))
        count = round((span.end - span.start) * sound.samplerate)
        mixed = sound.read(count, dtype="float32", always_2d=True).mean(axis=1)
        return soxr.resample(mixed, sound.samplerate, rate).astype(np.float32)


def spectrogram_image(file: Path, span: ShownSpan, config: Config) -> bytes:
    """Return the spectrogram of a part of a recording as JPEG.

    Raises
    ------
    AudioError
        If there is no sound.
    """
    return jpeg(samples_of(file, span, rate=config.spectrogram.rate, config=config), config, size=IMAGE_SIZE)


def sound_file(file: Path, span: ShownSpan, config: Config) -> bytes:
    """Return the sound of a part of a recording as MP3; raises the same error."""
    return mp3(samples_of(file, span, rate=SOUND_RATE, config=config))
