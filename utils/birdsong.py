"""Made-up birds that sing: species with their syllables, the individuals of a species, and how song and weather reach a microphone.

Species share bands and kinds of syllable on purpose: who only hears which frequencies are loud on average confuses them,
who hears contour and rhythm can tell them apart.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import fft, signal
from scipy.interpolate import PchipInterpolator

Content = Literal["song", "call"]
Noise = Literal["hiss", "wind", "rain", "hum", "insects"]
Sound = Float[np.ndarray, " samples"]  # float32, one channel

HIGHEST = 14_000.0  # Hz; overtones above it are left out, and so are those that the sample rate cannot hold
EDGE = 0.03  # seconds; the longest rise and fall of a syllable: it begins and ends without a click


@dataclass(frozen=True)
class Syllable:
    """One sound between two breaths."""

    contour: tuple[float, ...]  # pitches that the voice glides through at even steps, Hz
    length: float  # seconds
    rest: float  # silence after it, seconds
    overtones: tuple[float, ...] = (1.0, 0.12)  # strength of the pitch and its multiples
    vibrato: tuple[float, float] = (0.0, 0.0)  # how often the pitch swings, Hz, and how far, as a share of it
    beat: tuple[float, float] = (0.0, 0.0)  # how often the voice falters, Hz, and how much of it then is missing, 0 to 1


@dataclass(frozen=True)
class Strophe:
    """Syllables that are sung in turn, again and again."""

    syllables: tuple[Syllable, ...]
    repeats: tuple[int, int] = (1, 1)  # from, to (both included)
    hurry: float = 1.0  # each repeat lasts this times the one before
    slide: float = 1.0  # each repeat is this times as high as the one before


@dataclass(frozen=True)
class Species:
    """A made-up bird and all that it can sing."""

    latin: str  # "Genus species"
    english: str
    songs: tuple[Strophe, ...]
    call: Strophe
    pause: float = 0.6  # between two strophes, typically, seconds
    rare: int | None = None  # it has only so many recordings

    @property
    def genus(self) -> str:
        """First half of the scientific name."""
        return self.latin.split()[0]

    @property
    def family(self) -> str:
        """Name of its family, made of its genus."""
        return re.sub("(us|es|a)$", "", self.genus) + "idae"

    @property
    def class_id(self) -> str:
        """Six letters, as in the archive."""
        return "".join(word[:3] for word in self.latin.lower().split())


@dataclass(frozen=True)
class Bird:
    """An individual: how it differs from its species."""

    pitch: float = 1.0  # factor on all frequencies
    tempo: float = 1.0  # factor on all lengths and rests
    timbre: float = 1.0  # factor on the first overtone, its square on the second, …


@dataclass(frozen=True)
class Site:
    """How recordings made at one place sound."""

    slope: float  # of its hiss, see `weather`
    colour: tuple[float, ...]  # of its microphone, see `microphone`
    noises: tuple[Noise, ...]  # what is often heard there
    insect: float  # pitch of its insects, Hz
    echo: float  # how long echoes last, seconds


_NASAL, _SOFT = (0.5, 0.8, 1.0, 0.8, 0.4), (1.0, 0.3, 0.1)
_DOWN, _UP = (6200.0, 4400.0, 3300.0), (3300.0, 4400.0, 6200.0)
_HIGH, _LOW = Syllable((5150.0, 5050.0), 0.17, 0.03), Syllable((3500.0, 3430.0), 0.17, 0.03)
_SINK, _RISE = Syllable((5150.0, 5050.0, 3500.0, 3400.0), 0.36, 0.25), Syllable((3400.0, 3500.0, 5050.0, 5150.0), 0.36, 0.25)
_RATTLE, _FALL, _CLIMB = Syllable(_DOWN, 0.045, 0.018), Syllable(_DOWN, 0.075, 0.05), Syllable(_UP, 0.095, 0.06)
_BUZZ = Syllable((4300.0, 4500.0, 4700.0), 0.6, 0.3, vibrato=(34.0, 0.2), beat=(34.0, 0.7))
_LAUGH = Syllable((1350.0, 1700.0, 1400.0), 0.11, 0.07, _NASAL)
_CHATTER = (
    Syllable((3400.0, 5200.0, 3800.0), 0.12, 0.03),
    Syllable((5800.0, 4200.0), 0.07, 0.03),
    Syllable((4300.0, 4300.0), 0.14, 0.03, vibrato=(38.0, 0.12)),
    Syllable((3300.0, 5900.0), 0.08, 0.05),
)
_SCOLD = (
    Syllable((5900.0, 3600.0, 5400.0), 0.13, 0.04),
    Syllable((1500.0, 1500.0), 0.1, 0.03, _NASAL),
    Syllable((3500.0, 4600.0, 3600.0, 5200.0), 0.2, 0.04),
)
_WAVER = Syllable((4600.0, 4400.0, 4200.0), 0.85, 0.3, vibrato=(11.0, 0.2))

SPECIES = (
    Species(
        "Sibilator matutinus",
        "Morning Whistler",
        songs=(Strophe((_SINK,), (1, 3)), Strophe((_HIGH, _LOW, replace(_LOW, rest=0.4)), (1, 2))),
        call=Strophe((Syllable((5100.0, 4200.0, 3400.0), 0.2, 0.5),), (1, 2)),
    ),
    Species(
        "Sibilator vespertinus",
        "Evening Whistler",
        songs=(Strophe((_RISE,), (1, 3)), Strophe((_LOW, _HIGH, replace(_HIGH, rest=0.4)), (1, 2))),
        call=Strophe((Syllable((3400.0, 4200.0, 5100.0), 0.2, 0.5),), (1, 2)),
    ),
    Species(
        "Tremulus rapidus",
        "Rattling Triller",
        songs=(Strophe((_RATTLE,), (16, 32)), Strophe((_RATTLE,), (10, 18), slide=0.99)),
        call=Strophe((_RATTLE,), (3, 4)),
    ),
    Species(
        "Tremulus lentus",
        "Sober Triller",
        songs=(Strophe((_FALL,), (8, 16)), Strophe((_FALL,), (6, 10), hurry=0.97)),
        call=Strophe((replace(_FALL, rest=0.4),), (1, 3)),
    ),
    Species(
        "Tremulus ascendens",
        "Climbing Triller",
        songs=(Strophe((_CLIMB,), (7, 13)), Strophe((_CLIMB,), (5, 8), hurry=0.97)),
        call=Strophe((replace(_CLIMB, rest=0.4),), (1, 3)),
    ),
    Species(
        "Stridulator ruficollis",
        "Rufous-necked Buzzer",
        songs=(Strophe((_BUZZ,), (1, 2)), Strophe((replace(_BUZZ, length=0.22, rest=0.09),), (2, 4))),
        call=Strophe((replace(_BUZZ, contour=(4500.0, 4400.0), length=0.25),), (1, 2)),
    ),
    Species(
        "Cachinnus clamator",
        "Laughing Clamator",
        songs=(Strophe((_LAUGH,), (6, 11), hurry=0.96, slide=0.985), Strophe((replace(_LAUGH, length=0.24, rest=0.12),), (2, 4))),
        call=Strophe((replace(_LAUGH, rest=0.35),), (1, 3)),
    ),
    Species(
        "Fringilloides varius",
        "Variable Chatterer",
        songs=(Strophe(_CHATTER, (2, 4)), Strophe(_SCOLD, (2, 4))),
        call=Strophe((*_CHATTER[:2], replace(_CHATTER[0], rest=0.4)), (1, 2)),
    ),
    Species(
        "Undulator silvestris",
        "Forest Waverer",
        songs=(Strophe((_WAVER,)), Strophe((Syllable((3900.0, 4500.0, 4900.0), 0.5, 0.15, vibrato=(15.0, 0.14)),), (1, 2))),
        call=Strophe((replace(_WAVER, length=0.28),), (1, 2)),
    ),
    Species(
        "Acutula minima",
        "Least Needlebill",
        songs=(Strophe((Syllable((8300.0, 7300.0), 0.18, 0.1, (1.0,)),), (3, 6)),),
        call=Strophe((Syllable((8000.0, 7500.0), 0.12, 0.4, (1.0,)),), (1, 2)),
        rare=2,
    ),
    Species(
        "Bombator nocturnus",
        "Nocturnal Boomer",
        songs=(Strophe((Syllable((1950.0, 2100.0, 1950.0), 0.22, 0.12, _SOFT), Syllable((1900.0, 1950.0, 1800.0), 0.45, 0.5, _SOFT))),),
        call=Strophe((Syllable((2050.0, 1800.0), 0.3, 0.4, _SOFT),), (1, 2)),
        rare=1,
    ),
)


def meet(rng: np.random.Generator) -> Bird:
    """Draw an individual: several per cent higher or lower, quicker or slower, brighter or duller than its species."""
    return Bird(pitch=float(rng.uniform(0.93, 1.07)), tempo=float(rng.uniform(0.9, 1.12)), timbre=float(rng.uniform(0.6, 1.5)))


def visit(rng: np.random.Generator) -> Site:
    """Draw a place."""
    colour = tuple(float(value) for _ in range(4) for value in (rng.normal(0.0, 2.5), rng.uniform(0.0, 2 * np.pi)))
    noises: tuple[Noise, ...] = ("wind", "rain", "hum", "insects")
    heard = tuple(noise for noise in noises if rng.random() < 0.4)
    return Site(float(rng.uniform(0.4, 1.8)), colour, heard, insect=float(rng.uniform(4500.0, 8500.0)), echo=float(rng.uniform(0.15, 0.5)))


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
    species: Species, bird: Bird, *, content: Content, seconds: float, openings: Sequence[tuple[float, float]], rate: int, rng: np.random.Generator
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


def _sing_strophe(strophe: Strophe, bird: Bird, sound: Sound, *, start: float, end: float, rate: int, rng: np.random.Generator) -> float | None:
    """Add one strophe to `sound`, as far as there is time; return when it ends, None where not one syllable found room."""
    now, last = start, None
    strength = rng.uniform(0.7, 1.0)
    for repeat in range(int(rng.integers(strophe.repeats[0], strophe.repeats[1] + 1))):
        for syllable in strophe.syllables:
            tempo = strophe.hurry**repeat * rng.uniform(0.96, 1.04)
            note = voice(syllable, bird, pitch=strophe.slide**repeat * rng.uniform(0.985, 1.015), tempo=tempo, rate=rate)
            first = int(now * rate)
            if now + len(note) / rate > end or first + len(note) > len(sound):
                return last
            sound[first : first + len(note)] += np.float32(strength * rng.uniform(0.85, 1.0)) * note
            last = now + len(note) / rate
            now = last + syllable.rest * tempo * bird.tempo
    return last


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


def weather(kind: Noise, count: int, *, rate: int, rng: np.random.Generator, slope: float = 1.0, insect: float = 7000.0) -> Sound:
    """Make noise without birds.

    Parameters
    ----------
    kind : hiss (all frequencies), wind (gusts, below 500 Hz), rain (drops and hiss), hum (50 Hz and multiples), insects (a high steady buzz)
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
        gusts = np.interp(np.linspace(0.0, 1.0, count), np.linspace(0.0, 1.0, count // rate + 2), rng.uniform(0.1, 1.0, count // rate + 2) ** 2)
        return _level(_coloured(hertz**-1.2 * (hertz > 20) / (1 + (hertz / 300) ** 6), count, size=size, rng=rng) * gusts.astype(np.float32))
    if kind == "rain":
        drops = (rng.random(count, dtype=np.float32) < 60.0 / rate) * rng.exponential(1.0, count).astype(np.float32) ** 2
        rings = signal.lfilter([1.0], [1.0, -2 * 0.97 * np.cos(2 * np.pi * 2500.0 / rate), 0.97**2], drops).astype(np.float32)
        return _level(_level(rings) + np.float32(0.5) * _level(_coloured(hertz / (hertz + 2000.0), count, size=size, rng=rng)))
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
    period = sum(rng.uniform(0.3, 1.0) / multiple * np.sin(2 * np.pi * (multiple * wave + rng.random())) for multiple in range(1, 17))
    return _level(np.resize(np.asarray(period, np.float32), count))


def microphone(sound: Sound, colour: tuple[float, ...], *, rate: int) -> Sound:
    """Colour a sound as a cheap microphone does: `colour` is, over the octaves, each bump's dB and its phase, in turn."""
    size = fft.next_fast_len(len(sound), real=True)
    octaves = np.log2(np.maximum(_hertz(size, rate=rate), 50.0) / 50.0)
    bumps = sum(colour[2 * k] * np.cos((k + 1) * octaves + colour[2 * k + 1]) for k in range(len(colour) // 2))
    return fft.irfft(fft.rfft(sound, size) * 10 ** (np.asarray(bumps, np.float32) / 20), size)[: len(sound)]
