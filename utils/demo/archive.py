"""The whole demo data set in one folder: large enough to train on, and hard enough that a model can fail."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from utils.console import UserError, clock, printable, progress
from utils.demo.broken import BROKEN, write_broken
from utils.demo.soundscapes import (
    NOISE_KINDS,
    SOUNDSCAPE_NUMBERS,
    SOUNDSCAPE_SECONDS,
    write_noises,
    write_soundscapes,
)
from utils.demo.species import SPECIES
from utils.demo.synthesis import write_recording
from utils.files import write_text

# of all forms: if one of them is there, the folder holds recordings
_FOLDERS = ("wav", "xml", "train_short_audio", "train_soundscapes", "recordings")


@dataclass(frozen=True)
class DemoSummary:
    """The contents of a demo data set.

    Attributes
    ----------
    root : its folder
    species, recordings : their numbers, without the broken recordings
    seconds : total length of these recordings
    more : what else there is, for people: its name, and a description
    """

    root: Path
    species: int
    recordings: int
    seconds: float
    more: Mapping[str, str] = field(default_factory=dict)


def make_demo(root: Path, *, seed: int = 0, per_species: int = 16) -> DemoSummary:
    """Write the whole data set below `root`.

    Parameters
    ----------
    root : wav/, xml/, soundscapes/ and noise/ are written there
    seed : the same seed gives the same bytes
    per_species : recordings of each common species, 2 to 99; two rare species have one and two

    Raises
    ------
    UserError
        If `root` contains other recordings, or was written with other arguments.
    """
    if not 2 <= per_species <= 99:
        raise ValueError(f"per_species = {per_species}: should be 2 to 99")
    claim(root, {"seed": seed, "per_species": per_species})
    counts = [species.rare or per_species for species in SPECIES]
    seconds = 0.0
    with progress(
        "Synthesizing birds", total=sum(counts) + len(BROKEN) + len(NOISE_KINDS) + len(SOUNDSCAPE_NUMBERS), unit="files"
    ) as advance:
        for index, count in enumerate(counts):
            for recording in range(count):
                seconds += write_recording(root, index, recording, seed=seed)
                advance(note=SPECIES[index].scientific_name)
        write_broken(root, seed=seed)
        advance(len(BROKEN), note="broken files")
        write_noises(root / "noise", seed=seed)
        advance(len(NOISE_KINDS), note="noises")
        write_soundscapes(root / "soundscapes", seed=seed)
        advance(len(SOUNDSCAPE_NUMBERS), note="soundscapes")
    more = {
        "soundscapes": f"{len(SOUNDSCAPE_NUMBERS)} of {clock(SOUNDSCAPE_SECONDS)}, with soundscapes/annotations.csv",
        "noises": f"{len(NOISE_KINDS)} recordings without birds",
        "broken": f"{len(BROKEN)} files, which every stage must report without failing",
    }
    return DemoSummary(root, len(SPECIES), sum(counts), seconds, more)


def claim(root: Path, made_with: Mapping[str, int | str]) -> None:
    """Mark `root` as a demo data set, unless it contains other recordings, which must not be mixed with it.

    Parameters
    ----------
    made_with : the arguments; the same may be written again

    Raises
    ------
    UserError
        If `root` contains other recordings, or was written with other arguments.
    """
    mark = root / "demo.json"
    text = json.dumps(made_with) + "\n"
    ours = mark.is_file() and mark.read_text(encoding="utf-8") == text
    if not ours and any((root / folder).exists() for folder in _FOLDERS):
        raise UserError(f"{printable(root)} already contains other recordings; delete it or choose another folder")
    write_text(mark, text)
