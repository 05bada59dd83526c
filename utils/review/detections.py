"""Detections to be verified, from a table of predict.py or submission_soundscape.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from utils.console import Failure, UserError
from utils.formula_cells import restored
from utils.recordings.audio_files import is_sound, path_below

DETECTION_COLUMNS = ("recording", "start", "end", "species", "score")

DetectionKey = tuple[str, float, float, str]  # recording, start, end, species


@dataclass(frozen=True)
class Detections:
    """The detections of a table, of recordings that are there.

    Attributes
    ----------
    source : the table
    recordings : the folder of the recordings
    table : recording (path below that folder), start and end (seconds), species, score (0 to 1)
    species : all species, sorted
    failures : recordings that the table names and that are not there
    """

    source: Path
    recordings: Path
    table: pl.DataFrame
    species: tuple[str, ...]
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.table)

    def key(self, index: int) -> DetectionKey:
        """Return what names a detection, also in a table that was made again."""
        return self.keys[index]

    @cached_property
    def keys(self) -> list[DetectionKey]:
        """What names each detection."""
        return list(self.table.select(DETECTION_COLUMNS[:4]).iter_rows())

    def file(self, index: int) -> Path:
        """Return the sound file of a detection."""
        return path_below(self.recordings, self.table["recording"][index])

    @property
    def scores(self) -> Float[np.ndarray, " detections"]:
        """The score of each detection."""
        return self.table["score"].to_numpy()

    @property
    def species_index(self) -> Int64[np.ndarray, " detections"]:
        """The index of the species of each detection."""
        return np.searchsorted(np.array(self.species), self.table["species"].to_numpy().astype(str)).astype(np.int64)


def read_detections(source: Path, recordings: Path) -> Detections:
    """Read a table of detections.

    Raises
    ------
    UserError
        If it cannot be read, has no such columns or no usable row, or names recordings outside their folder.
    """
    try:
        table = pl.read_csv(
            source, columns=list(DETECTION_COLUMNS), schema_overrides=dict.fromkeys(DETECTION_COLUMNS, pl.String)
        )
    except FileNotFoundError:
        advice = f"python predict.py RECORDINGS --out {source.name} writes one"
        raise UserError(f"{source}: no such file; {advice}") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{source}: should be a CSV with the columns {', '.join(DETECTION_COLUMNS)} ({reason})"
        ) from None
    try:
        table = table.select(DETECTION_COLUMNS).with_columns(
            pl.col("start", "end", "score").cast(pl.Float64),
            *(
                pl.Series(name, [restored(text or "") or None for text in table[name]])
                for name in ("recording", "species")
            ),
        )
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{source}: {str(error).splitlines()[0]}") from None
    usable = (
        pl.col("score").is_between(0, 1)
        & (pl.col("start") >= 0)
        & (pl.col("end") >= pl.col("start"))
        & pl.col("end").is_finite()
    )
    wrong = table.filter(~usable.fill_null(False) | pl.any_horizontal(pl.all().is_null()))
    if len(wrong):
        reason = "lack a value, or have times or scores that cannot be"
        raise UserError(f"{source}: {len(wrong)} rows {reason}, such as {wrong.row(0)}")
    failures, there = _check_recordings(table["recording"].unique().sort().to_list(), recordings)
    table = table.filter(pl.col("recording").is_in(there))
    table = table.group_by(DETECTION_COLUMNS[:4], maintain_order=True).agg(pl.col("score").max())
    if not len(table):
        raise UserError(f"{source}: has no detections of recordings in {recordings} (--recordings FOLDER)")
    return Detections(source, recordings, table, tuple(sorted(table["species"].unique())), tuple(failures))


def _without_apostrophes(texts: pl.Series) -> pl.Series:
    """Return texts without what `submission.defuse` has put before those that a spreadsheet would run."""
    return pl.Series(texts.name, [None if text is None else restored(text) for text in texts], dtype=pl.String)


def _check_recordings(names: Sequence[str], folder: Path) -> tuple[list[Failure], list[str]]:
    failures, there = [], []
    for name in names:
        try:
            file = path_below(folder, name)
        except ValueError as error:
            failures.append(Failure(name, str(error)))
            continue
        if not is_sound(file):
            failures.append(Failure(name, "has not the name of a sound"))
        elif file.is_file():
            there.append(name)
        else:
            failures.append(Failure(name, f"is not in {folder}"))
    return failures, there
