"""Soundscapes of several species, with a table of annotations, and recordings of noise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from utils.demo.acoustics import NoiseKind, apply_microphone, make_noise, propagate
from utils.demo.singing import SoundArray, sing
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
QUIET_BLOCKS = 2  # without birds, in a soundscape of the forms kaggle2021 and annotations
SungStrophe = tuple[float, float, int]  # start and end in seconds, index into SPECIES


def write_soundscapes(folder: Path, *, seed: int) -> None:
    """Write two soundscapes of several species, and the table of their annotations."""
    rows = ["file,start,end,species"]
    for number in SOUNDSCAPE_NUMBERS:
        sound, annotations = _synthesize_soundscape(seed=seed, rng=np.random.default_rng((seed, 1006, number)))
        name = f"LIFECLEF2018_DEMO_SCAPE_wav_RN{number}.wav"
        write_wav(folder / name, sound)
        rows += [
            f"{name},{start:.3f},{end:.3f},{SPECIES[species].scientific_name}" for start, end, species in annotations
        ]
    write_text(folder / "annotations.csv", "\n".join(rows) + "\n")


def _synthesize_soundscape(*, seed: int, rng: np.random.Generator) -> tuple[SoundArray, list[SungStrophe]]:
    """Return a soundscape with six species of a place, and its strophes."""
    place = int(rng.integers(len(SITES)))
    present = tuple(int(species) for species in rng.choice(COMMON, 6, replace=False))
    return synthesize_soundscape(place, present, seconds=SOUNDSCAPE_SECONDS, rate=RATE, seed=seed, rng=rng)


def synthesize_soundscape(
    place: int,
    present: Sequence[int],
    *,
    seconds: float,
    rate: int,
    seed: int,
    rng: np.random.Generator,
    shares: Float[np.ndarray, " present"] | None = None,
    quiet_blocks: int = 3,
) -> tuple[SoundArray, list[SungStrophe]]:
    """Synthesize a soundscape: blocks of BLOCK_LENGTH seconds with one or two species, who may sing at the same time.

    Parameters
    ----------
    place, present : index into SITES, and indices into SPECIES
    seconds, rate : length, a multiple of BLOCK_LENGTH, and sample rate in Hz
    shares : how much each of the species sings; they add up to 1. None: all the same
    quiet_blocks : number of blocks without birds

    Returns
    -------
    float32 (samples,), and start (seconds), end and species of each strophe.
    """
    site = site_of(place, seed=seed)
    sound = np.zeros(int(seconds * rate), np.float32)
    annotations: list[SungStrophe] = []
    blocks = int(seconds / BLOCK_LENGTH)
    quiet = rng.choice(blocks, quiet_blocks, replace=False)
    for block in range(blocks):
        singers = () if block in quiet else rng.choice(present, int(rng.integers(1, 3)), replace=False, p=shares)
        for species in singers:
            opening = (float(rng.uniform(0.0, 2.5)), BLOCK_LENGTH - float(rng.uniform(0.5, 3.0)))
            bird = individual_of(int(species), place, seed=seed)
            voices, times = sing(
                SPECIES[species], bird, content="song", seconds=BLOCK_LENGTH, intervals=[opening], rate=rate, rng=rng
            )
            first = int(block * BLOCK_LENGTH * rate)
            sound[first : first + len(voices)] += propagate(
                voices, distance=float(rng.uniform(0.1, 0.8)), echo=site.echo, rate=rate, rng=rng
            )
            annotations += [
                (block * BLOCK_LENGTH + start, block * BLOCK_LENGTH + end, int(species)) for start, end in times
            ]
    sound += np.float32(0.04) * make_noise("hiss", len(sound), rate=rate, rng=rng, slope=site.slope)
    sound += np.float32(0.08) * make_noise("wind", len(sound), rate=rate, rng=rng)
    return scale_to_peak(apply_microphone(sound, site.colour, rate=rate), 0.7), sorted(annotations)


def check_soundscape_seconds(seconds: int) -> None:
    """Check the length of a soundscape with two blocks without birds.

    Raises
    ------
    ValueError
        If it is not a multiple of BLOCK_LENGTH, or has no room for a block with birds.
    """
    if seconds % BLOCK_LENGTH or seconds < 3 * BLOCK_LENGTH:
        raise ValueError(f"soundscapes of {seconds} s: should be a multiple of {BLOCK_LENGTH:g}, at least 30")


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
