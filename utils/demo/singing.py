"""Synthesis of songs and calls: an individual of a species sings strophes of syllables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from utils.demo.species import Species, Strophe, Syllable

Vocalisation = Literal["song", "call"]
SoundArray = Float[np.ndarray, " samples"]  # float32, one channel


MAX_FREQUENCY = 14_000.0  # Hz; overtones above it, or too high for the sample rate, are left out
MAX_FADE = 0.03  # seconds; syllables are faded in and out, so that they do not click


@dataclass(frozen=True)
class Individual:
    """An individual, by its differences from the species."""

    pitch: float = 1.0  # factor on all frequencies
    tempo: float = 1.0  # factor on all durations
    timbre: float = 1.0  # factor on the first overtone, its square on the second, …


def draw_individual(rng: np.random.Generator) -> Individual:
    """Draw an individual: a few per cent higher or lower, faster or slower, brighter or darker than its species."""
    return Individual(
        pitch=float(rng.uniform(0.93, 1.07)), tempo=float(rng.uniform(0.9, 1.12)), timbre=float(rng.uniform(0.6, 1.5))
    )


def draw_song_intervals(seconds: float, *, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Draw when birds may sing, as (start, end) in seconds; most longer recordings have 1 to 3 seconds of silence."""
    if seconds < 5.0 or rng.random() < 0.2:
        return [(0.0, seconds)]
    silence = rng.uniform(1.0, min(3.0, seconds - 3.6))
    start = rng.uniform(1.8, seconds - silence - 1.8)
    return [(0.0, start), (start + silence, seconds)]


def sing_syllable(
    syllable: Syllable, bird: Individual, *, pitch: float = 1.0, tempo: float = 1.0, rate: int
) -> SoundArray:
    """Synthesize one syllable.

    Parameters
    ----------
    pitch, tempo : factors on its frequencies and its duration, besides those of the individual
    rate : sample rate, Hz

    Returns
    -------
    float32 (samples,), with the power of a sine of amplitude 1, whatever its overtones; faded in and out.
    """
    count = max(int(syllable.length * tempo * bird.tempo * rate), 8)
    time = np.arange(count) / rate  # (samples,), float64, like the phase below: float32 would detune long syllables
    steps = np.linspace(0.0, time[-1], len(syllable.contour))
    hertz = PchipInterpolator(steps, syllable.contour)(time) * (pitch * bird.pitch)
    swings, depth = syllable.vibrato
    hertz *= 1.0 + depth * np.sin(2 * np.pi * swings / bird.tempo * time)
    cycles = np.cumsum(hertz) / rate
    cycles -= np.floor(cycles)
    angle = (2 * np.pi * cycles).astype(np.float32)
    strengths = [strength * bird.timbre**index for index, strength in enumerate(syllable.overtones)]
    limit = min(MAX_FREQUENCY, 0.45 * rate) / hertz.max()
    whole = np.hypot.reduce(strengths)
    sound = np.zeros(count, np.float32)
    for index, strength in enumerate(strengths):
        if index == 0 or index + 1 <= limit:
            sound += np.float32(strength / whole) * np.sin((index + 1) * angle)
    beats, missing = syllable.tremolo
    sound *= (1.0 - missing * (0.5 + 0.5 * np.cos(2 * np.pi * beats / bird.tempo * time))).astype(np.float32)
    return sound * _envelope(count, rate=rate)


def _envelope(count: int, *, rate: int) -> SoundArray:
    """Fade in and out as a squared sine, over a third of a short syllable or MAX_FADE seconds of a long one."""
    edge = max(min(count // 3, int(MAX_FADE * rate)), 1)
    rise = np.sin(0.5 * np.pi * np.arange(edge, dtype=np.float32) / edge) ** 2
    envelope = np.ones(count, np.float32)
    envelope[:edge] = rise
    envelope[count - edge :] = rise[::-1]
    return envelope


def sing(
    species: Species,
    bird: Individual,
    *,
    content: Vocalisation,
    seconds: float,
    intervals: Sequence[tuple[float, float]],
    rate: int,
    rng: np.random.Generator,
) -> tuple[SoundArray, list[tuple[float, float]]]:
    """Synthesize strophes, one after the other, in the given intervals.

    Parameters
    ----------
    seconds : length of the result
    intervals : (start, end) in seconds, outside of which the bird is silent
    rate : sample rate, Hz

    Returns
    -------
    float32 (samples,) without noise, and the (start, end) of each strophe in seconds.
    """
    sound = np.zeros(round(seconds * rate), np.float32)
    annotations: list[tuple[float, float]] = []
    for start, end in intervals:
        now = start + rng.uniform(0.05, 0.4)
        while True:
            strophe = species.call if content == "call" else species.songs[int(rng.integers(len(species.songs)))]
            last = _sing_strophe(strophe, bird, sound, start=now, end=end, rate=rate, rng=rng)
            if last is None:
                break
            annotations.append((now, last))
            now = last + species.pause * rng.uniform(0.6, 1.6)
    return sound, annotations


def _sing_strophe(
    strophe: Strophe,
    bird: Individual,
    sound: SoundArray,
    *,
    start: float,
    end: float,
    rate: int,
    rng: np.random.Generator,
) -> float | None:
    """Add one strophe to `sound`, cut at `end`; return when it ends, or None if no syllable fits."""
    now, last = start, None
    strength = rng.uniform(0.7, 1.0)
    for repeat in range(int(rng.integers(strophe.repeats[0], strophe.repeats[1] + 1))):
        for syllable in strophe.syllables:
            tempo = strophe.tempo_change**repeat * rng.uniform(0.96, 1.04)
            note = sing_syllable(
                syllable, bird, pitch=strophe.pitch_change**repeat * rng.uniform(0.985, 1.015), tempo=tempo, rate=rate
            )
            first = int(now * rate)
            if now + len(note) / rate > end or first + len(note) > len(sound):
                return last
            sound[first : first + len(note)] += np.float32(strength * rng.uniform(0.85, 1.0)) * note
            last = now + len(note) / rate
            now = last + syllable.rest * tempo * bird.tempo
    return last
