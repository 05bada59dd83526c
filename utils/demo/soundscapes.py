"""Soundscapes of several species, with a table of annotations, and recordings of noise."""

from pathlib import Path

import numpy as np

from utils.demo.acoustics import NoiseKind, apply_microphone, make_noise, propagate
from utils.demo.singing import Waveform, sing
from utils.demo.species import SPECIES
from utils.demo.synthesis import COMMON, RATE, SITES, individual_of, scale_to_peak, site_of, write_wav
from utils.files import write_text

NOISE_KINDS: tuple[NoiseKind, ...] = (
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
SOUNDSCAPE_NUMBERS = (90001, 90002)  # in file names, after _RN
SOUNDSCAPE_SECONDS, BLOCK_LENGTH = 120.0, 10.0  # seconds; soundscapes consist of blocks, some without birds


def write_soundscapes(folder: Path, *, seed: int) -> None:
    """Write two soundscapes of several species, and the table of their annotations."""
    rows = ["file,start,end,species"]
    for number in SOUNDSCAPE_NUMBERS:
        sound, annotations = _synthesize_soundscape(seed=seed, rng=np.random.default_rng((seed, 1006, number)))
        name = f"LIFECLEF2018_DEMO_SCAPE_wav_RN{number}.wav"
        write_wav(folder / name, sound)
        rows += [
            f"{name},{start:.3f},{end:.3f},{SPECIES[species].scientific_name}"
            for start, end, species in sorted(annotations)
        ]
    write_text(folder / "annotations.csv", "\n".join(rows) + "\n")


def _synthesize_soundscape(*, seed: int, rng: np.random.Generator) -> tuple[Waveform, list[tuple[float, float, int]]]:
    """Return a soundscape, with one or two of six species in most blocks, and its strophes: start, end, species."""
    place = int(rng.integers(len(SITES)))
    site = site_of(place, seed=seed)
    present = rng.choice(COMMON, 6, replace=False)
    sound = np.zeros(int(SOUNDSCAPE_SECONDS * RATE), np.float32)
    annotations: list[tuple[float, float, int]] = []
    blocks = int(SOUNDSCAPE_SECONDS / BLOCK_LENGTH)
    quiet = rng.choice(blocks, 3, replace=False)
    for block in range(blocks):
        for species in rng.choice(present, int(rng.integers(1, 3)), replace=False) if block not in quiet else ():
            opening = (float(rng.uniform(0.0, 2.5)), BLOCK_LENGTH - float(rng.uniform(0.5, 3.0)))
            bird = individual_of(int(species), place, seed=seed)
            voices, times = sing(
                SPECIES[species], bird, content="song", seconds=BLOCK_LENGTH, intervals=[opening], rate=RATE, rng=rng
            )
            first = int(block * BLOCK_LENGTH * RATE)
            sound[first : first + len(voices)] += propagate(
                voices, distance=float(rng.uniform(0.1, 0.8)), echo=site.echo, rate=RATE, rng=rng
            )
            annotations += [
                (block * BLOCK_LENGTH + start, block * BLOCK_LENGTH + end, int(species)) for start, end in times
            ]
    sound += np.float32(0.04) * make_noise("hiss", len(sound), rate=RATE, rng=rng, slope=site.slope)
    sound += np.float32(0.08) * make_noise("wind", len(sound), rate=RATE, rng=rng)
    return scale_to_peak(apply_microphone(sound, site.colour, rate=RATE), 0.7), annotations


def write_noises(folder: Path, *, seed: int) -> None:
    """Write recordings without birds."""
    for index, kind in enumerate(NOISE_KINDS):
        rng = np.random.default_rng((seed, 1005, index))
        site = site_of(int(rng.integers(len(SITES))), seed=seed)
        count = int(NOISE_SECONDS * RATE)
        sound = make_noise(kind, count, rate=RATE, rng=rng, insect=site.insect)
        if kind != "hiss":
            sound += np.float32(0.3) * make_noise("hiss", count, rate=RATE, rng=rng, slope=site.slope)
        sound = scale_to_peak(apply_microphone(sound, site.colour, rate=RATE), rng.uniform(0.2, 0.8))
        write_wav(folder / f"{kind}_{index + 1:02d}.wav", sound)
