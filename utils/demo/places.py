"""How places sound: their weather, their echoes, and the microphones that stand there."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import fft, signal

from utils.demo.singing import Sound

Noise = Literal["hiss", "wind", "rain", "hum", "insects"]


@dataclass(frozen=True)
class Site:
    """How recordings made at one place sound."""

    slope: float  # of its hiss, see `weather`
    colour: tuple[float, ...]  # of its microphone, see `microphone`
    noises: tuple[Noise, ...]  # what is often heard there
    insect: float  # pitch of its insects, Hz
    echo: float  # how long echoes last, seconds


def visit(rng: np.random.Generator) -> Site:
    """Draw a place."""
    colour = tuple(float(value) for _ in range(4) for value in (rng.normal(0.0, 2.5), rng.uniform(0.0, 2 * np.pi)))
    noises: tuple[Noise, ...] = ("wind", "rain", "hum", "insects")
    heard = tuple(noise for noise in noises if rng.random() < 0.4)
    return Site(
        float(rng.uniform(0.4, 1.8)),
        colour,
        heard,
        insect=float(rng.uniform(4500.0, 8500.0)),
        echo=float(rng.uniform(0.15, 0.5)),
    )


def carry(sound: Sound, *, distance: float, echo: float, rate: int, rng: np.random.Generator) -> Sound:
    """Bring a song to the microphone: the farther, the duller, and the more of it is echo.

    Parameters
    ----------
    distance : 0 (beside the microphone) to 1 (as far as one can make it out)
    echo : seconds in which an echo dies away (by 60 dB)
    rate : samples per second

    Returns
    -------
    float32 (samples,), as long as `sound`; an echo after its end is cut off.
    """
    tail = round(echo * rate)
    size = fft.next_fast_len(len(sound) + tail, real=True)
    answer = rng.standard_normal(tail, dtype=np.float32) * np.exp(np.linspace(0.0, -6.9, tail, dtype=np.float32))
    answer *= np.float32(0.5 * distance / np.sqrt(np.sum(answer**2)))
    answer[0] += 1.0
    dulled = np.exp(np.float32(-1.2 * distance / 6000.0) * _hertz(size, rate=rate))  # -10 dB at 6 kHz from afar
    return fft.irfft(fft.rfft(sound, size) * fft.rfft(answer, size) * dulled, size)[: len(sound)]


def _hertz(size: int, *, rate: int) -> Float[np.ndarray, " bins"]:
    return np.arange(size // 2 + 1, dtype=np.float32) * np.float32(rate / size)


def weather(
    kind: Noise, count: int, *, rate: int, rng: np.random.Generator, slope: float = 1.0, insect: float = 7000.0
) -> Sound:
    """Make noise without birds.

    Parameters
    ----------
    kind : hiss (all frequencies), wind (gusts, below 500 Hz), rain (drops and hiss), hum (50 Hz and multiples), insects
        (a high steady buzz)
    count, rate : samples, and samples per second
    slope : the hiss's power falls with frequency to this power; 1 is pink
    insect : pitch of the insects, Hz

    Returns
    -------
    float32 (count,), root mean square 1; of hiss, only what lies between 2 and 7 kHz is counted: where birds sing.
    """
    if kind == "hum":
        return _hum(count, rate=rate, rng=rng)
    size = fft.next_fast_len(count, real=True)
    hertz = np.maximum(_hertz(size, rate=rate), np.float32(1.0))
    if kind == "wind":
        gusts = np.interp(
            np.linspace(0.0, 1.0, count),
            np.linspace(0.0, 1.0, count // rate + 2),
            rng.uniform(0.1, 1.0, count // rate + 2) ** 2,
        )
        return _level(
            _coloured(hertz**-1.2 * (hertz > 20) / (1 + (hertz / 300) ** 6), count, size=size, rng=rng)
            * gusts.astype(np.float32)
        )
    if kind == "rain":
        drops = (rng.random(count, dtype=np.float32) < 60.0 / rate) * rng.exponential(1.0, count).astype(
            np.float32
        ) ** 2
        rings = signal.lfilter([1.0], [1.0, -2 * 0.97 * np.cos(2 * np.pi * 2500.0 / rate), 0.97**2], drops).astype(
            np.float32
        )
        return _level(
            _level(rings) + np.float32(0.5) * _level(_coloured(hertz / (hertz + 2000.0), count, size=size, rng=rng))
        )
    if kind == "insects":
        time = np.arange(count, dtype=np.float32) / np.float32(rate)
        band = _coloured(np.exp(-(((hertz - np.float32(insect)) / 200.0) ** 2)), count, size=size, rng=rng)
        return _level(band * (1.0 + np.float32(0.5) * np.sin(np.float32(2 * np.pi * rng.uniform(30.0, 60.0)) * time)))
    power = hertz ** np.float32(-slope / 2) * (hertz > 40)
    among_birds = (hertz > 2000) & (hertz < 7000)
    return _coloured(power / np.sqrt(np.sum(power[among_birds] ** 2)), count, size=size, rng=rng) * np.float32(size / 2)


def _coloured(gain: Float[np.ndarray, " bins"], count: int, *, size: int, rng: np.random.Generator) -> Sound:
    """Shape white noise by its spectrum."""
    white = rng.standard_normal(2 * (size // 2 + 1), dtype=np.float32).view(np.complex64)
    return fft.irfft(white * gain.astype(np.float32), size)[:count]


def _level(sound: Sound) -> Sound:
    return sound / np.sqrt(np.mean(sound**2))


def _hum(count: int, *, rate: int, rng: np.random.Generator) -> Sound:
    """Repeat one wave of 50 Hz with its multiples; every rate in use holds a whole number of its samples."""
    wave = np.arange(rate // 50) / (rate // 50)
    period = sum(
        rng.uniform(0.3, 1.0) / multiple * np.sin(2 * np.pi * (multiple * wave + rng.random()))
        for multiple in range(1, 17)
    )
    return _level(np.resize(np.asarray(period, np.float32), count))


def microphone(sound: Sound, colour: tuple[float, ...], *, rate: int) -> Sound:
    """Colour a sound as a cheap microphone does: `colour` is, over the octaves, each bump's dB and its phase, in turn."""
    size = fft.next_fast_len(len(sound), real=True)
    octaves = np.log2(np.maximum(_hertz(size, rate=rate), 50.0) / 50.0)
    bumps = sum(colour[2 * k] * np.cos((k + 1) * octaves + colour[2 * k + 1]) for k in range(len(colour) // 2))
    return fft.irfft(fft.rfft(sound, size) * 10 ** (np.asarray(bumps, np.float32) / 20), size)[: len(sound)]
