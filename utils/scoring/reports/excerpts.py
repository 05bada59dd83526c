"""Some seconds of a recording with what the net made of them: spectrogram, scores of its clips, and the sound."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import librosa
import numpy as np
import soundfile
from jaxtyping import Bool, Float, UInt8

from config import Config, Spectrogram
from utils.scoring.reports.parts import Excerpt, Strip
from utils.spectra.clips import clip_samples
from utils.spectra.decode import decode
from utils.spectra.spectrogram import make_picture

SECONDS = 15.0  # of an excerpt, at most
CLASSES = 4  # whose scores are shown, besides the right ones
RIGHT = 4  # right classes shown at most
PICTURE = (960, 128)  # pixels of the spectrogram, at most
FINER = 4  # frames a pixel, at most, of which it is made
QUALITY = 60  # of its JPEG
SOUND_RATE = 32_000  # samples per second of the MP3; enough for 16 kHz
COMPRESSION = 0.85  # of the MP3, 0 (largest) to 1: 64 kbit/s at a constant rate, about 120 kB an excerpt
LOUD = 0.9  # peak of the sound
TICKS = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000)  # Hz


def window(
    scores: Float[np.ndarray, " clips"], *, step: float, length: float, longest: float = SECONDS
) -> tuple[int, int]:
    """Return the clips, from and to, of the stretch of at most `longest` seconds in which the scores add up to most; of equal ones the middle one.

    Parameters
    ----------
    scores : of one class, one a clip
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
    """Cut out the stretch in which the first answer was heard most.

    Parameters
    ----------
    file : the sound
    clip_scores, pooled : of the grid's clips from the recording's begin, and of the whole recording
    settings : those of the snapshot: how clips were cut and pictured

    Raises
    ------
    AudioError
        If the recording cannot be read.
    """
    clip, step, _ = (
        samples / settings.spectrogram.rate for samples in clip_samples(settings.clips, rate=settings.spectrogram.rate)
    )
    first, last = window(clip_scores[:, int(pooled.argmax())], step=step, length=clip)
    start, end = first * step, min((last - 1) * step + clip, first * step + SECONDS)  # a clip may be longer
    samples = between(
        decode(file, rate=settings.spectrogram.rate, channel=settings.spectrogram.channel),
        start=start,
        end=end,
        rate=settings.spectrogram.rate,
    )
    seconds = len(samples) / settings.spectrogram.rate
    shares = [
        (number * step, min(seconds, (number + 1) * step if number + 1 < last - first else seconds))
        for number in range(last - first)
    ]
    return Excerpt(
        recording=name,
        right=tuple(label for label, right in zip(classes, truth, strict=True) if right),
        lrap=lrap,
        start=start,
        seconds=seconds,
        whole=(len(clip_scores) - 1) * step + clip,
        picture=jpeg(samples, settings),
        ticks=frequency_ticks(settings.spectrogram),
        sound=mp3(
            between(
                decode(file, rate=SOUND_RATE, channel=settings.spectrogram.channel),
                start=start,
                end=end,
                rate=SOUND_RATE,
            )
        ),
        times=tuple(shares),
        strips=strips_of(clip_scores[first:last], pooled, truth, classes),
        credit=credit,
    )


def strips_of(
    clip_scores: Float[np.ndarray, "clips classes"],
    pooled: Float[np.ndarray, " classes"],
    truth: Bool[np.ndarray, " classes"],
    classes: Sequence[str],
) -> tuple[Strip, ...]:
    """Return the classes of the highest pooled scores, and the right ones wherever they rank, highest first."""
    order: list[int] = np.argsort(-pooled, kind="stable").tolist()
    shown = {*order[:CLASSES], *[number for number in order if truth[number]][:RIGHT]}
    return tuple(Strip(classes[n], bool(truth[n]), float(pooled[n]), clip_scores[:, n]) for n in order if n in shown)


def between(
    blocks: Iterable[Float[np.ndarray, " _"]], *, start: float, end: float, rate: int
) -> Float[np.ndarray, " samples"]:
    """Return the samples of a stream from `start` to `end`, seconds, or to where it ends; what comes behind is not decoded."""
    first, last, passed = round(start * rate), round(end * rate), 0
    wanted = []
    for block in blocks:
        wanted.append(block[max(0, first - passed) : max(0, last - passed)])
        passed += len(block)
        if passed >= last:
            break
    return np.concatenate(wanted)


def jpeg(samples: Float[np.ndarray, " samples"], settings: Config, *, size: tuple[int, int] = PICTURE) -> bytes:
    """Return one spectrogram of a whole excerpt, as the clips' are made, from its median level (black) to its peak (white).

    Parameters
    ----------
    size : width and height, pixels, at most
    """
    seconds = len(samples) / settings.spectrogram.rate
    frames = max(
        8, min(round(seconds * settings.spectrogram.width / settings.clips.length), FINER * size[0], len(samples))
    )
    picture = make_picture(samples, replace(settings.spectrogram, width=frames, hop=0, resize="squeeze"))
    low = float(np.median(picture))
    pixels: UInt8[np.ndarray, "height width"] = (255 * np.clip((picture - low) / max(1e-6, 1 - low), 0, 1)).astype(
        np.uint8
    )
    width, height = min(size[0], pixels.shape[1]), min(size[1], pixels.shape[0])
    return cv2.imencode(
        ".jpg", cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )[1].tobytes()


def frequency_ticks(settings: Spectrogram) -> tuple[tuple[str, float], ...]:
    """Return frequencies to write beside a picture, and how high they stand in it, from 0 (bottom) to 1 (top)."""
    ticks = [(tick, height_in(float(tick), settings)) for tick in TICKS if settings.fmin <= tick <= settings.fmax]
    return tuple((f"{tick / 1000:g} kHz" if tick >= 1000 else f"{tick} Hz", height) for tick, height in ticks)


def height_in(frequency: float, settings: Spectrogram) -> float:
    """Return how high a frequency (Hz) stands in a picture, from 0 (bottom) to 1 (top)."""
    place = float if settings.kind == "linear" else librosa.hz_to_mel
    low, high = place(settings.fmin), place(settings.fmax)
    return float((place(frequency) - low) / (high - low))


def mp3(samples: Float[np.ndarray, " samples"]) -> bytes:
    """Return sound of one channel at SOUND_RATE as MP3, which every browser plays (of Ogg Vorbis that is not true), as loud as it can be."""
    peak = float(np.abs(samples).max(initial=0.0))
    content = io.BytesIO()
    options = {
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": COMPRESSION,
    }
    with soundfile.SoundFile(content, "w", SOUND_RATE, 1, **options) as sound:
        for start in range(0, len(samples), SOUND_RATE):
            sound.write(samples[start : start + SOUND_RATE] * (LOUD / peak if peak else 1.0))
    return content.getvalue()
