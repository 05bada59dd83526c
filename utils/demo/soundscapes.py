"""Long recordings in which several species sing, with the table of who sings when, and clips in which nobody does."""

from pathlib import Path

import numpy as np

from utils.demo.places import Noise, carry, microphone, weather
from utils.demo.singing import Sound, sing
from utils.demo.species import SPECIES
from utils.demo.takes import COMMON, RATE, SITES, at_peak, bird_of, site_of, write_wav
from utils.files import write_text

NOISES: tuple[Noise, ...] = (
    "wind",
    "rain",
    "hum",
    "hiss",
    "insects",
    "wind",
    "rain",
    "hum",
    "hiss",
    "insects",
    "wind",
    "rain",
)
NOISE_SECONDS = 5.0
SCAPES = (90001, 90002)  # numbers of the soundscapes
SCAPE_SECONDS, SCAPE_BLOCK = 120.0, 10.0  # a soundscape is made of blocks; in some of them nobody sings


def write_soundscapes(folder: Path, *, seed: int) -> None:
    """Write two long recordings in which several species sing, and the table of who sings when."""
    rows = ["file,start,end,species"]
    for number in SCAPES:
        sound, sung = _soundscape(seed=seed, rng=np.random.default_rng((seed, 1006, number)))
        name = f"LIFECLEF2018_DEMO_SCAPE_wav_RN{number}.wav"
        write_wav(folder / name, sound)
        rows += [f"{name},{start:.3f},{end:.3f},{SPECIES[species].latin}" for start, end, species in sorted(sung)]
    write_text(folder / "annotations.csv", "\n".join(rows) + "\n")


def _soundscape(*, seed: int, rng: np.random.Generator) -> tuple[Sound, list[tuple[float, float, int]]]:
    """Let one or two of six species sing in most blocks of time; return the sound and who sings from when to when (seconds)."""
    place = int(rng.integers(len(SITES)))
    site = site_of(place, seed=seed)
    cast = rng.choice(COMMON, 6, replace=False)
    sound = np.zeros(int(SCAPE_SECONDS * RATE), np.float32)
    sung: list[tuple[float, float, int]] = []
    blocks = int(SCAPE_SECONDS / SCAPE_BLOCK)
    quiet = rng.choice(blocks, 3, replace=False)
    for block in range(blocks):
        for species in rng.choice(cast, int(rng.integers(1, 3)), replace=False) if block not in quiet else ():
            opening = (float(rng.uniform(0.0, 2.5)), SCAPE_BLOCK - float(rng.uniform(0.5, 3.0)))
            bird = bird_of(int(species), place, seed=seed)
            voices, times = sing(
                SPECIES[species], bird, content="song", seconds=SCAPE_BLOCK, openings=[opening], rate=RATE, rng=rng
            )
            first = int(block * SCAPE_BLOCK * RATE)
            sound[first : first + len(voices)] += carry(
                voices, distance=float(rng.uniform(0.1, 0.8)), echo=site.echo, rate=RATE, rng=rng
            )
            sung += [(block * SCAPE_BLOCK + start, block * SCAPE_BLOCK + end, int(species)) for start, end in times]
    sound += np.float32(0.04) * weather("hiss", len(sound), rate=RATE, rng=rng, slope=site.slope)
    sound += np.float32(0.08) * weather("wind", len(sound), rate=RATE, rng=rng)
    return at_peak(microphone(sound, site.colour, rate=RATE), 0.7), sung


def write_noises(folder: Path, *, seed: int) -> None:
    """Write clips in which no bird sings."""
    for index, kind in enumerate(NOISES):
        rng = np.random.default_rng((seed, 1005, index))
        site = site_of(int(rng.integers(len(SITES))), seed=seed)
        count = int(NOISE_SECONDS * RATE)
        sound = weather(kind, count, rate=RATE, rng=rng, insect=site.insect)
        if kind != "hiss":
            sound += np.float32(0.3) * weather("hiss", count, rate=RATE, rng=rng, slope=site.slope)
        sound = at_peak(microphone(sound, site.colour, rate=RATE), rng.uniform(0.2, 0.8))
        write_wav(folder / f"{kind}_{index + 1:02d}.wav", sound)
