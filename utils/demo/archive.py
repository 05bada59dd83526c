"""The whole made-up data set below one folder: good enough to learn from and hard enough to fail at."""

import json
from dataclasses import dataclass
from pathlib import Path

from utils.console import UserError, progress, shown
from utils.demo.broken import BROKEN, write_broken
from utils.demo.soundscapes import NOISES, SCAPES, write_noises, write_soundscapes
from utils.demo.species import SPECIES
from utils.demo.takes import write_take
from utils.files import write_text


@dataclass(frozen=True)
class DemoSummary:
    """What a demo data set holds.

    Attributes
    ----------
    root : its folder
    species, recordings : how many there are, without the broken ones
    seconds : length of these recordings together
    """

    root: Path
    species: int
    recordings: int
    seconds: float


def make_demo(root: Path, *, seed: int = 0, per_species: int = 16) -> DemoSummary:
    """Write the whole data set below `root`.

    Parameters
    ----------
    root : gets wav/, xml/, soundscapes/ and noise/
    seed : another seed, other recordings; the same seed, the same bytes
    per_species : recordings of each common species, 2 to 99; two rare ones have one and two

    Raises
    ------
    UserError
        If `root` holds recordings that another call, or somebody else, put there.
    """
    if not 2 <= per_species <= 99:
        raise ValueError(f"per_species = {per_species}: should be 2 to 99")
    _claim(root, {"seed": seed, "per_species": per_species})
    counts = [species.rare or per_species for species in SPECIES]
    seconds = 0.0
    with progress(
        "Inventing birds", total=sum(counts) + len(BROKEN) + len(NOISES) + len(SCAPES), unit="files"
    ) as advance:
        for index, count in enumerate(counts):
            for recording in range(count):
                seconds += write_take(root, index, recording, seed=seed)
                advance(note=SPECIES[index].latin)
        write_broken(root, seed=seed)
        advance(len(BROKEN), note="broken files")
        write_noises(root / "noise", seed=seed)
        advance(len(NOISES), note="noises")
        write_soundscapes(root / "soundscapes", seed=seed)
        advance(len(SCAPES), note="soundscapes")
    return DemoSummary(root, len(SPECIES), sum(counts), seconds)


def _claim(root: Path, made_with: dict[str, int]) -> None:
    """Mark `root` as ours, unless recordings of another kind are there: mixed with them the demo would teach nonsense."""
    mark = root / "demo.json"
    text = json.dumps(made_with) + "\n"
    ours = mark.is_file() and mark.read_text(encoding="utf-8") == text
    if not ours and any((root / folder).exists() for folder in ("wav", "xml")):
        raise UserError(f"{shown(root)} already holds other recordings; delete it or name another folder")
    write_text(mark, text)
