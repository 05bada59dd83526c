"""Which recordings are learned from and which are held out: the split, one table, and how it is drawn."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from utils.recordings.recording import Recording, Side
from utils.tables import read_table, write_table

SCHEMA = pl.Schema(
    {
        "recording": pl.String(),  # its name
        "file": pl.String(),  # where its sound is, below the data set's root
        "class": pl.String(),  # its species
        "background": pl.List(pl.String()),  # species that are heard besides
        "side": pl.String(),  # train or val
        "group": pl.String(),  # recordings of one group stand on one side
        "reason": pl.String(),  # why it stands there
    }
)


def held_out(count: int, *, share: float, least: int = 2) -> int:
    """Return how many of a class's `count` recordings are held out: about `share` of them, at least one, and never all.

    A class with fewer than `least` recordings gives none.
    """
    if share == 0 or count < least:
        return 0
    return min(max(1, round(count * share)), count - 1)


def draw(names: Sequence[str], count: int, *, seed: int, label: str) -> set[str]:
    """Draw `count` of the names, the same ones for the same seed and label whatever other classes there are."""
    generator = np.random.default_rng((seed, zlib.crc32(label.encode())))
    return set(generator.permutation(np.array(sorted(names), dtype=object))[:count].tolist())


def split_by_recording(recordings: Sequence[Recording], *, val_share: float, seed: int) -> list[tuple[Side, str]]:
    """Hold out a share of every class's recordings; each class keeps at least one to learn from.

    Returns
    -------
    For each recording its side, and the reason in words.
    """
    by_class: dict[str, list[str]] = {}
    for recording in recordings:
        by_class.setdefault(recording.species, []).append(recording.name)
    chosen: set[str] = set()
    for label, names in by_class.items():
        chosen |= draw(names, held_out(len(names), share=val_share), seed=seed, label=label)
    only = "the only recording of its class"
    sides: list[tuple[Side, str]] = []
    for recording in recordings:
        if recording.name in chosen:
            sides.append(("val", "drawn"))
        else:
            sides.append(("train", only if len(by_class[recording.species]) == 1 else "drawn"))
    return sides


def split_table(recordings: Sequence[Recording], sides: Sequence[tuple[Side, str]], files: Sequence[str]) -> pl.DataFrame:
    """Put the split into its table, in the order of class and name."""
    rows = [
        (recording.name, file, recording.species, list(recording.background), side, recording.name, reason)
        for recording, (side, reason), file in zip(recordings, sides, files, strict=True)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("class", "recording")


def write_split(root: Path, table: pl.DataFrame) -> Path:
    """Write the split of a data set; it appears whole or not at all."""
    path = root / "split.parquet"
    write_table(path, table)
    return path


def read_split(root: Path) -> pl.DataFrame:
    """Read the split of a data set, in the order of class and name.

    Raises
    ------
    Trouble
        If there is none, or it is no table of the columns in SCHEMA.
    """
    return read_table(root / "split.parquet", SCHEMA, missing="run sort_data.py with the same experiment first", damaged="run sort_data.py again")
