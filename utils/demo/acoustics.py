"""The acoustics of places: noise, echoes, and microphones."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import fft, signal

from utils.demo.singing import SoundArray

NoiseKind = Literal["hiss", "wind", "rain", "hum", "insects"]


@dataclass(frozen=True)
class Site:
    """The acoustics of the recordings from one place."""

    slope: float  # of its hiss, see `make_noise`
    colour: tuple[float, ...]  # of its microphone, see `apply_microphone`
    noises: tuple[NoiseKind, ...]  # frequent noises
    insect: float  # frequency of its insects, Hz
    echo: float  # reverberation time, seconds


def draw_site(rng: np.random.Generator) -> Site:
    """Draw the acoustics of a place."""
    colour = tuple(float(value) for _ in range(4) for value in (rng.normal(0.0, 2.5), rng.uniform(0.0, 2 * np.pi)))
    noises: tuple[NoiseKind, ...] = ("wind", "rain", "hum", "insects")
    frequent = tuple(noise for noise in noises if rng.random() < 0.4)
    return Site(
        float(rng.uniform(0.4, 1.8)),
        colour,
        frequent,
        insect=float(rng.uniform(4500.0, 8500.0)),
        echo=float(rng.uniform(0.15, 0.5)),
    )


def propagate(sound: SoundArray, *, distance: float, echo: float, rate: int, rng: np.random.Generator) -> SoundArray:
    """Return a song at a distance: with more reverberation and less of the high frequencies, the farther it is.

    Parameters
    ----------
    distance : 0 (at the microphone) to 1 (just audible)
    echo : reverberation time (decay by 60 dB), seconds
    rate : sample rate, Hz

    Returns
    -------
    float32 (samples,), as long as `sound`; reverberation after its end is cut off.
    """
    tail = round(echo * rate)
    size = fft.next_fast_len(len(sound) + tail, real=True)
    response = rng.standard_normal(tail, dtype=np.float32) * np.exp(np.linspace(0.0, -6.9, tail, dtype=np.float32))
    response *= np.float32(0.5 * distance / np.sqrt(np.sum(response**2)))
    response[0] += 1.0
    damping = np.exp(np.float32(-1.2 * distance / 6000.0) * _hertz(size, rate=rate))  # -10 dB at 6 kHz from afar
    return fft.irfft(fft.rfft(sound, size) * fft.rfft(response, size) * damping, size)[: len(sound)]


def _hertz(size: int, *, rate: int) -> Float[np.ndarray, " bins"]:
    return np.arange(size // 2 + 1, dtype=np.float32) * np.float32(rate / size)


def make_noise(
    kind: NoiseKind, count: int, *, rate: int, rng: np.random.Generator, slope: float = 1.0, insect: float = 7000.0
) -> SoundArray:
    """Make noise.

    Parameters
    ----------
    kind : hiss (all frequencies), wind (gusts, below 500 Hz), rain (drops and hiss), hum (50 Hz and multiples), insects
        (a high steady buzz)
    count, rate : number of samples, and sample rate in Hz
    slope : the hiss's power falls with frequency to this power; 1 is pink
    insect : frequency of the insects, Hz

    Returns
    -------
    float32 (count,), root mean square 1; of hiss, that of the band from 2 to 7 kHz, in which birds sing.
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
        return _unit_rms(
            _shaped_noise(hertz**-1.2 * (hertz > 20) / (1 + (hertz / 300) ** 6), count, size=size, rng=rng)
            * gusts.astype(np.float32)
        )
    if kind == "rain":
        drops = (rng.random(count, dtype=np.float32) < 60.0 / rate) * rng.exponential(1.0, count).astype(
            np.float32
        ) ** 2
        rings = signal.lfilter([1.0], [1.0, -2 * 0.97 * np.cos(2 * np.pi * 2500.0 / rate), 0.97**2], drops).astype(
            np.float32
        )
        return _unit_rms(
            _unit_rms(rings)
            + np.float32(0.5) * _unit_rms(_shaped_noise(hertz / (hertz + 2000.0), count, size=size, rng=rng))
        )
    if kind == "insects":
        time = np.arange(count, dtype=np.float32) / np.float32(rate)
        band = _shaped_noise(np.exp(-(((hertz - np.float32(insect)) / 200.0) ** 2)), count, size=size, rng=rng)
        return _unit_rms(
            band * (1.0 + np.float32(0.5) * np.sin(np.float32(2 * np.pi * rng.uniform(30.0, 60.0)) * time))
        )
    power = hertz ** np.float32(-slope / 2) * (hertz > 40)
    among_birds = (hertz > 2000) & (hertz < 7000)
    return _shaped_noise(power / np.sqrt(np.sum(power[among_birds] ** 2)), count, size=size, rng=rng) * np.float32(
        size / 2
    )


def _shaped_noise(gain: Float[np.ndarray, " bins"], count: int, *, size: int, rng: np.random.Generator) -> SoundArray:
    """Return white noise with the given spectral gain."""
    white = rng.standard_normal(2 * (size // 2 + 1), dtype=np.float32).view(np.complex64)
    return fft.irfft(white * gain.astype(np.float32), size)[:count]


def _unit_rms(sound: SoundArray) -> SoundArray:
    return sound / np.sqrt(np.mean(sound**2))


def _hum(count: int, *, rate: int, rng: np.random.Generator) -> SoundArray:
    """Repeat one period of 50 Hz with harmonics; at every rate in use it is a whole number of samples."""
    wave = np.arange(rate // 50) / (rate // 50)
    period = sum(
        rng.uniform(0.3, 1.0) / multiple * np.sin(2 * np.pi * (multiple * wave + rng.random()))
        for multiple in range(1, 17)
    )
    return _unit_rms(np.resize(np.asarray(period, np.float32), count))


def apply_microphone(sound: SoundArray, colour: tuple[float, ...], *, rate: int) -> SoundArray:
    """Apply the frequency response of a cheap microphone.

    Parameters
    ----------
    colour : amplitude (dB) and phase of each of its waves over the octaves, in turn
    """
    size = fft.next_fast_len(len(sound), real=True)
    octaves = np.log2(np.maximum(_hertz(size, rate=rate), 50.0) / 50.0)
    bumps = sum(colour[2 * k] * np.cos((k + 1) * octaves + colour[2 * k + 1]) for k in range(len(colour) // 2))
    return fft.irfft(fft.rfft(sound, size) * 10 ** (np.asarray(bumps, np.float32) / 20), size)[: len(sound)]
