"""How an individual of a species sings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator

from utils.demo.species import Species, Strophe, Syllable

Content = Literal["song", "call"]
Sound = Float[np.ndarray, " samples"]  # float32, one channel


HIGHEST = 14_000.0  # Hz; overtones above it are left out, and so are those that the sample rate cannot hold
EDGE = 0.03  # seconds; the longest rise and fall of a syllable: it begins and ends without a click


@dataclass(frozen=True)
class Bird:
    """An individual: how it differs from its species."""

    pitch: float = 1.0  # factor on all frequencies
    tempo: float = 1.0  # factor on all lengths and rests
    timbre: float = 1.0  # factor on the first overtone, its square on the second, …


def meet(rng: np.random.Generator) -> Bird:
    """Draw an individual: several per cent higher or lower, quicker or slower, brighter or duller than its species."""
    return Bird(
        pitch=float(rng.uniform(0.93, 1.07)), tempo=float(rng.uniform(0.9, 1.12)), timbre=float(rng.uniform(0.6, 1.5))
    )


def draw_openings(seconds: float, *, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Draw when birds may sing, as (start, end) in seconds: most longer recordings have 1 to 3 seconds in which nobody does."""
    if seconds < 5.0 or rng.random() < 0.2:
        return [(0.0, seconds)]
    silence = rng.uniform(1.0, min(3.0, seconds - 3.6))
    start = rng.uniform(1.8, seconds - silence - 1.8)
    return [(0.0, start), (start + silence, seconds)]


def voice(syllable: Syllable, bird: Bird, *, pitch: float = 1.0, tempo: float = 1.0, rate: int) -> Sound:
    """Sing one syllable.

    Parameters
    ----------
    pitch, tempo : factors on its frequencies and its length, on top of the bird's own
    rate : samples per second

    Returns
    -------
    float32 (samples,), as loud as a sine of size 1 whatever its overtones, rising from and falling to silence.
    """
    count = max(int(syllable.length * tempo * bird.tempo * rate), 8)
    time = np.arange(count) / rate  # (samples,), float64 as the phase below: float32 would detune long syllables
    steps = np.linspace(0.0, time[-1], len(syllable.contour))
    hertz = PchipInterpolator(steps, syllable.contour)(time) * (pitch * bird.pitch)
    swings, depth = syllable.vibrato
    hertz *= 1.0 + depth * np.sin(2 * np.pi * swings / bird.tempo * time)
    cycles = np.cumsum(hertz) / rate
    cycles -= np.floor(cycles)
    angle = (2 * np.pi * cycles).astype(np.float32)
    strengths = [strength * bird.timbre**index for index, strength in enumerate(syllable.overtones)]
    limit = min(HIGHEST, 0.45 * rate) / hertz.max()
    whole = np.hypot.reduce(strengths)
    sound = np.zeros(count, np.float32)
    for index, strength in enumerate(strengths):
        if index == 0 or index + 1 <= limit:
            sound += np.float32(strength / whole) * np.sin((index + 1) * angle)
    beats, missing = syllable.beat
    sound *= (1.0 - missing * (0.5 + 0.5 * np.cos(2 * np.pi * beats / bird.tempo * time))).astype(np.float32)
    return sound * _envelope(count, rate=rate)


def _envelope(count: int, *, rate: int) -> Sound:
    """Rise and fall as a squared sine, over a third of a short syllable or EDGE seconds of a long one."""
    edge = max(min(count // 3, int(EDGE * rate)), 1)
    rise = np.sin(0.5 * np.pi * np.arange(edge, dtype=np.float32) / edge) ** 2
    envelope = np.ones(count, np.float32)
    envelope[:edge] = rise
    envelope[count - edge :] = rise[::-1]
    return envelope


def sing(
    species: Species,
    bird: Bird,
    *,
    content: Content,
    seconds: float,
    openings: Sequence[tuple[float, float]],
    rate: int,
    rng: np.random.Generator,
) -> tuple[Sound, list[tuple[float, float]]]:
    """Let a bird sing strophe after strophe wherever it may.

    Parameters
    ----------
    seconds : length of the result
    openings : (start, end) in seconds, outside of which it is silent
    rate : samples per second

    Returns
    -------
    float32 (samples,) without any noise, and the (start, end) of each strophe in seconds.
    """
    sound = np.zeros(round(seconds * rate), np.float32)
    sung: list[tuple[float, float]] = []
    for start, end in openings:
        now = start + rng.uniform(0.05, 0.4)
        while True:
            strophe = species.call if content == "call" else species.songs[int(rng.integers(len(species.songs)))]
            last = _sing_strophe(strophe, bird, sound, start=now, end=end, rate=rate, rng=rng)
            if last is None:
                break
            sung.append((now, last))
            now = last + species.pause * rng.uniform(0.6, 1.6)
    return sound, sung


def _sing_strophe(
    strophe: Strophe, bird: Bird, sound: Sound, *, start: float, end: float, rate: int, rng: np.random.Generator
) -> float | None:
    """Add one strophe to `sound`, as far as there is time; return when it ends, None where not one syllable found room."""
    now, last = start, None
    strength = rng.uniform(0.7, 1.0)
    for repeat in range(int(rng.integers(strophe.repeats[0], strophe.repeats[1] + 1))):
        for syllable in strophe.syllables:
            tempo = strophe.hurry**repeat * rng.uniform(0.96, 1.04)
            note = voice(
                syllable, bird, pitch=strophe.slide**repeat * rng.uniform(0.985, 1.015), tempo=tempo, rate=rate
            )
            first = int(now * rate)
            if now + len(note) / rate > end or first + len(note) > len(sound):
                return last
            sound[first : first + len(note)] += np.float32(strength * rng.uniform(0.85, 1.0)) * note
            last = now + len(note) / rate
            now = last + syllable.rest * tempo * bird.tempo
    return last
