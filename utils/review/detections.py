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

KEY_COLUMNS = DETECTION_COLUMNS[:4]

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
        recording, start, end, species, _ = self.table.row(index)
        return recording, start, end, species

    def keys(self, indices: Sequence[int]) -> list[DetectionKey]:
        """Return what names each of some detections."""
        return list(self.table[list(indices)].select(KEY_COLUMNS).iter_rows())

    def find(self, keys: Sequence[DetectionKey]) -> Int64[np.ndarray, " keys"]:
        """Return the index of each detection by what names it; −1: the table has it no more."""
        wanted = pl.DataFrame(list(keys), schema={name: self.table.schema[name] for name in KEY_COLUMNS}, orient="row")
        there = (
            self.table.lazy()
            .select(KEY_COLUMNS)
            .with_row_index("index")
            .join(wanted.lazy(), on=KEY_COLUMNS, how="semi")
            .collect()
        )  # of a large table, few rows are left to be joined in order
        found = wanted.join(there, on=KEY_COLUMNS, how="left", maintain_order="left")
        return found["index"].cast(pl.Int64).fill_null(-1).to_numpy()

    def file(self, index: int) -> Path:
        """Return the sound file of a detection."""
        return path_below(self.recordings, self.table["recording"][index])

    @cached_property
    def scores(self) -> Float[np.ndarray, " detections"]:
        """The score of each detection."""
        return self.table["score"].to_numpy()

    @cached_property
    def species_index(self) -> Int64[np.ndarray, " detections"]:
        """The index of the species of each detection."""
        return index_in(self.table["species"], self.species)

    @cached_property
    def recording_index(self) -> Int64[np.ndarray, " detections"]:
        """The index of the recording of each detection, from 0 without gaps."""
        return index_in(self.table["recording"], self.table["recording"].unique().to_list())


def index_in(texts: pl.Series, known: Sequence[str]) -> Int64[np.ndarray, " texts"]:
    """Return the index of each text in a list that has all of them."""
    return texts.cast(pl.Enum(list(known))).to_physical().cast(pl.Int64).to_numpy()


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
            *(_without_apostrophes(table[name]) for name in ("recording", "species")),
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
    if failures:
        table = table.filter(pl.col("recording").is_in(there))
    table = _without_repetitions(table)
    if not len(table):
        raise UserError(f"{source}: has no detections of recordings in {recordings} (--recordings FOLDER)")
    return Detections(source, recordings, table, tuple(sorted(table["species"].unique())), tuple(failures))


def _without_repetitions(table: pl.DataFrame) -> pl.DataFrame:
    """Return each detection once, with its highest score, in the order of the table."""
    if not table.select(KEY_COLUMNS).is_duplicated().any():
        return table
    return table.group_by(KEY_COLUMNS, maintain_order=True).agg(pl.col("score").max())


def _without_apostrophes(texts: pl.Series) -> pl.Series:
    """Return texts without what `submission.defuse` has put before those that a spreadsheet would run; '' is null."""
    several = texts.unique()
    meant = {text: restored(text) for text in several.filter(several.str.starts_with("'").fill_null(False))}
    return texts.replace({**meant, "": None})


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
