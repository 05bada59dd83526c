"""The spectrogram store: clips as pictures on disk, in shards that are read by memory map.

    <root>/spec/settings.toml       what the pictures were made with
    <root>/spec/clips.parquet       one row a clip (CLIPS)
    <root>/spec/recordings.parquet  one row a recording (RECORDINGS)
    <root>/spec/rejected.csv        the recordings that could not be used, and why
    <root>/spec/shards/<class>-000/ pictures.npy: uint8 (clips, height, width); clips.parquet, recordings.parquet: its rows; key.txt: what it was made of
    <root>/spec/parts/              recordings that are done while their shard is not

A shard holds the clips of up to 64 recordings of one class, in the order of names and of time, so it depends neither on other classes nor on who was first.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64, UInt8

from config import Config, differences, load
from utils.console import Trouble

PICTURE_SETTINGS = ("clips.", "spectrogram.")  # what decides on the pictures
CLIPS = pl.Schema(
    {
        "recording": pl.String(),  # name of the recording
        "class": pl.String(),  # its species: the primary label
        "background": pl.List(pl.String()),  # species heard besides: the background labels
        "number": pl.Int32(),  # which clip of the recording, from 0
        "start": pl.Float64(),  # seconds from the recording's begin
        "length": pl.Float64(),  # seconds
        "score": pl.Float32(),  # signal score, 0 to 1
        "accepted": pl.Boolean(),  # False: rejected as empty, kept as noise
        "weight": pl.Float32(),  # how much the clip counts in training
        "shard": pl.String(),  # folder of its picture
        "row": pl.Int32(),  # and its place there
    }
)
RECORDINGS = pl.Schema(
    {
        "recording": pl.String(),
        "class": pl.String(),
        "seconds": pl.Float64(),  # length of the recording
        "kept": pl.Int32(),  # accepted clips in the store
        "noise": pl.Int32(),  # rejected clips in the store
        "rejected": pl.Int32(),  # clips that the signal rule rejected
        "reason": pl.String(),  # why the recording could not be used; null where it could
    }
)


def check_settings(root: Path, config: Config) -> None:
    """Refuse a store that was filled with other settings than the config's.

    Raises
    ------
    Trouble
        That names the settings which differ.
    """
    settings = root / "spec" / "settings.toml"
    changed = differences(load(settings), config, of=PICTURE_SETTINGS) if settings.is_file() else []
    if changed:
        raise Trouble(f"{settings.parent}: was made with other settings ({'; '.join(changed)}); set them back, or run spec.py --fresh to make it anew")


class Store:
    """A finished store, opened for reading.

    Attributes
    ----------
    clips : one row a clip; a row's number is the clip's number in `pictures`
    recordings : one row a recording
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "spec"
        self.clips = _read_table(self.folder / "clips.parquet", CLIPS)
        self.recordings = _read_table(self.folder / "recordings.parquet", RECORDINGS)
        names = self.clips["shard"].unique(maintain_order=True).to_list()
        numbers = {name: number for number, name in enumerate(names)}
        self._shards = [_map_shard(self.folder / "shards" / name / "pictures.npy") for name in names]
        self._shard = self.clips["shard"].replace_strict(numbers, return_dtype=pl.Int64).to_numpy() if names else np.zeros(0, np.int64)
        self._row = self.clips["row"].to_numpy()

    def pictures(self, clips: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width"]:
        """Gather the pictures of the given rows of `clips`."""
        return np.stack([self._shards[self._shard[clip]][self._row[clip]] for clip in clips])


def _read_table(path: Path, schema: Mapping[str, Any]) -> pl.DataFrame:
    if not path.is_file():
        raise Trouble(f"{path}: no such file; run spec.py with the same experiment first (it goes on where it was stopped)")
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Trouble(f"{path}: cannot be read ({' '.join(str(error).split())}); run spec.py --fresh") from None
    if table.schema != schema:
        raise Trouble(f"{path}: has other columns than this version writes; run spec.py --fresh")
    return table


def _map_shard(path: Path) -> UInt8[np.ndarray, "clips height width"]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Trouble(f"{path}: cannot be read ({error}); run spec.py --fresh") from None
