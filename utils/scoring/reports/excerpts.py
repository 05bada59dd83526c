"""Excerpts of recordings: spectrogram, scores of the clips, and sound."""

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import soundfile
from jaxtyping import Bool, Float, UInt8

from config import Config, Spectrogram
from utils.scoring.reports.report_parts import Excerpt, Strip
from utils.spectra.clips import clip_samples
from utils.spectra.decode import decode
from utils.spectra.decoded_part import samples_between
from utils.spectra.frequency_axis import height_of
from utils.spectra.spectrogram import make_spectrogram

EXCERPT_SECONDS = 15.0  # at most
TOP_CLASSES = 4  # classes whose scores are shown, besides the correct ones
CORRECT_CLASSES = 4  # correct classes whose scores are shown, at most
MARK_SECONDS = 0.2  # width of a point in time
SPECTROGRAM_SIZE = (960, 128)  # width and height, pixels, at most
LEAST_FRAMES = 8  # of a spectrogram, whatever it is of
FRAMES_PER_PIXEL = 4  # at most, before the spectrogram is made smaller
JPEG_QUALITY = 60
SOUND_RATE = 32_000  # samples per second of the MP3; enough for 16 kHz
MP3_COMPRESSION = 0.85  # 0 (largest) to 1: 64 kbit/s at a constant rate, about 120 kB for an excerpt
MP3_PEAK = 0.9  # amplitude to which the sound is amplified
FREQUENCY_TICKS = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000)  # Hz


def strongest_window(
    scores: Float[np.ndarray, " clips"], *, step: float, length: float, longest: float = EXCERPT_SECONDS
) -> tuple[int, int]:
    """Return the first and last + 1 clip of the window of at most `longest` seconds with the highest sum of scores.

    If several have the same sum, the middle one.

    Parameters
    ----------
    scores : of one class, one per clip
    step, length : from one clip to the next, and of a clip, seconds
    """
    count = min(len(scores), max(1, 1 + int((longest - length) / step + 1e-9)))
    sums = np.convolve(scores, np.ones(count), "valid")
    highest = np.flatnonzero(sums > sums.max() - 1e-9)
    start = int(highest[(len(highest) - 1) // 2])
    return start, start + count


def make_excerpt(
    file: Path,
    clip_scores: Float[np.ndarray, "clips classes"],
    pooled: Float[np.ndarray, " classes"],
    truth: Bool[np.ndarray, " classes"],
    *,
    name: str,
    classes: Sequence[str],
    lrap: float,
    credit: str,
    settings: Config,
) -> Excerpt:
    """Cut out the part of a recording in which the top class of the recording has its highest scores.

    Parameters
    ----------
    file : the audio file
    clip_scores, pooled : of the grid of clips from the start of the recording, and of the whole recording
    settings : of the snapshot, for clips and spectrograms

    Raises
    ------
    AudioError
        If the recording cannot be read.
    """
    rate = settings.spectrogram.rate
    clip, step, _ = (samples / rate for samples in clip_samples(settings.clips, rate=rate))
    first, last = strongest_window(clip_scores[:, int(pooled.argmax())], step=step, length=clip)
    start, end = first * step, min((last - 1) * step + clip, first * step + EXCERPT_SECONDS)  # a clip may be longer
    times = [(index * step, (index + 1) * step) for index in range(last - first - 1)]
    return _excerpt(
        file,
        clip_scores[first:last],
        pooled,
        truth,
        start=start,
        end=end,
        times=[*times, ((last - first - 1) * step, math.inf)],
        recording_seconds=(len(clip_scores) - 1) * step + clip,
        name=name,
        classes=classes,
        lrap=lrap,
        credit=credit,
        settings=settings,
    )


def make_row_excerpt(
    file: Path,
    scores: Float[np.ndarray, " classes"],
    truth: Bool[np.ndarray, " classes"],
    *,
    start: float,
    end: float,
    name: str,
    classes: Sequence[str],
    lrap: float,
    credit: str,
    settings: Config,
) -> Excerpt:
    """Cut out an interval or an event; of a longer one, its middle, and of a shorter one, a whole clip around it.

    Parameters
    ----------
    scores : of the row
    start, end : seconds
    settings : of the snapshot, for clips and spectrograms

    Raises
    ------
    AudioError
        If the recording cannot be read.
    """
    middle, length = (start + end) / 2, min(EXCERPT_SECONDS, max(end - start, settings.clips.length))
    first = max(0.0, middle - length / 2)
    return _excerpt(
        file,
        scores[None],
        scores,
        truth,
        start=first,
        end=first + length,
        times=[(max(0.0, start - first), max(end, start + MARK_SECONDS) - first)],
        recording_seconds=0.0,
        name=name,
        classes=classes,
        lrap=lrap,
        credit=credit,
        settings=settings,
    )


def _excerpt(
    file: Path,
    clip_scores: Float[np.ndarray, "clips classes"],
    pooled: Float[np.ndarray, " classes"],
    truth: Bool[np.ndarray, " classes"],
    *,
    start: float,
    end: float,
    times: Sequence[tuple[float, float]],
    recording_seconds: float,
    name: str,
    classes: Sequence[str],
    lrap: float,
    credit: str,
    settings: Config,
) -> Excerpt:
    """Read the sound from `start` to `end`, seconds, and return the excerpt; `times` end with it at the latest."""
    rate, channel = settings.spectrogram.rate, settings.spectrogram.channel
    samples = samples_between(decode(file, rate=rate, channel=channel), start=start, end=end, rate=rate)
    sound = samples_between(decode(file, rate=SOUND_RATE, channel=channel), start=start, end=end, rate=SOUND_RATE)
    seconds = len(samples) / rate
    return Excerpt(
        recording=name,
        correct=tuple(label for label, correct in zip(classes, truth, strict=True) if correct),
        lrap=lrap,
        start=start,
        seconds=seconds,
        recording_seconds=recording_seconds,
        spectrogram=jpeg(samples, settings),
        ticks=frequency_ticks(settings.spectrogram),
        sound=mp3(sound),
        times=tuple((first, min(seconds, last)) for first, last in times),
        strips=strips_of(clip_scores, pooled, truth, classes),
        credit=credit,
    )


def strips_of(
    clip_scores: Float[np.ndarray, "clips classes"],
    pooled: Float[np.ndarray, " classes"],
    truth: Bool[np.ndarray, " classes"],
    classes: Sequence[str],
) -> tuple[Strip, ...]:
    """Return the classes with the highest pooled scores, and the correct ones whatever their rank, highest first."""
    order: list[int] = np.argsort(-pooled, kind="stable").tolist()
    shown = {*order[:TOP_CLASSES], *[index for index in order if truth[index]][:CORRECT_CLASSES]}
    return tuple(Strip(classes[i], bool(truth[i]), float(pooled[i]), clip_scores[:, i]) for i in order if i in shown)


def jpeg(
    samples: Float[np.ndarray, " samples"], settings: Config, *, size: tuple[int, int] = SPECTROGRAM_SIZE
) -> bytes:
    """Return one spectrogram of a whole excerpt, made as those of clips, from its median level (black) to white.

    Parameters
    ----------
    size : width and height, pixels, at most
    """
    seconds = len(samples) / settings.spectrogram.rate
    samples = np.pad(samples, (0, max(0, LEAST_FRAMES - len(samples))))
    frames = min(
        round(seconds * settings.spectrogram.width / settings.clips.length), FRAMES_PER_PIXEL * size[0], len(samples)
    )
    spectrogram = make_spectrogram(
        samples, replace(settings.spectrogram, width=max(LEAST_FRAMES, frames), hop=0, resize="squeeze", scale="clip")
    )
    low = float(np.median(spectrogram))
    contrast = np.clip((spectrogram - low) / max(1e-6, 1 - low), 0, 1)
    pixels: UInt8[np.ndarray, "height width"] = (255 * contrast).astype(np.uint8)
    width, height = min(size[0], pixels.shape[1]), min(size[1], pixels.shape[0])
    image = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def frequency_ticks(settings: Spectrogram) -> tuple[tuple[str, float], ...]:
    """Return frequencies to write beside a spectrogram, and their heights in it, from 0 (bottom) to 1 (top)."""
    inside = [tick for tick in FREQUENCY_TICKS if settings.fmin <= tick <= settings.fmax]
    texts = [f"{tick / 1000:g} kHz" if tick >= 1000 else f"{tick} Hz" for tick in inside]
    heights = [height_of(float(tick), settings) for tick in inside]
    return tuple((text, height) for text, height in zip(texts, heights, strict=True) if 0 <= height <= 1)


def mp3(samples: Float[np.ndarray, " samples"]) -> bytes:
    """Return sound of one channel at SOUND_RATE as MP3, amplified to MP3_PEAK.

    MP3, because every browser can play it; not all can play Ogg Vorbis.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    content = io.BytesIO()
    options = {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": MP3_COMPRESSION,
    }
    with soundfile.SoundFile(content, "w", SOUND_RATE, 1, **options) as sound:
        for start in range(0, len(samples), SOUND_RATE):
            sound.write(samples[start : start + SOUND_RATE] * (MP3_PEAK / peak if peak else 1.0))
    return content.getvalue()
