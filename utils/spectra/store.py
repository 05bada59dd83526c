"""The spectrogram store: clips as pictures on disk, in shards of which any clip can be read alone.

    <root>/spec/settings.toml       what the pictures were made with
    <root>/spec/clips.parquet       one row a clip (CLIPS)
    <root>/spec/recordings.parquet  one row a recording (RECORDINGS)
    <root>/spec/rejected.csv        the recordings that could not be used, and why
    <root>/spec/peaks.csv           where clips.choose = peaks: the peaks of every recording (PEAKS)
    <root>/spec/classes.csv         what was kept and rejected of each class
    <root>/spec/overview.html       the same with pictures, to look at
    <root>/spec/pictures/ noise/    the clips as PNG files, where `spectrogram.pictures` asked for them
    <root>/spec/shards/<class>-000/ pictures.npy: uint8 (clips, height, width); clips.parquet, recordings.parquet: its
    rows; key.txt: what it was made of <root>/spec/parts/              recordings that are done while their shard is not
    <root>/spec/answers_*.npy       what teachers answered to all clips, where distill.py kept it
    (utils.learning.cached_predictions)

A shard holds the clips of up to 64 recordings of one class, in the order of names and of time, so it depends neither on
other classes nor on who was first.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from types import MappingProxyType

import numpy as np
import polars as pl
from jaxtyping import Int64, UInt8

from config import Config, differences, load
from utils.console import UserError
from utils.files import whole_file
from utils.spectra.parts import copy_pixels
from utils.tables import leads_away, read_table

UNRATED = 0.6  # weight of clips of recordings that nobody rated: a middle one
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
        # quality of its recording, by which it counts in training where training.quality_weights: 0.2 to 1, unrated 0.6
        "weight": pl.Float32(),
        # of the peak that it was cut for, decibels above the recording's median; null: for none
        "strength": pl.Float32(),
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
        # how many clips have which signal score (thresholds.EDGES), before any limit; null where it could not be used
        "scores": pl.List(pl.Int64()),
        "reason": pl.String(),  # why the recording could not be used; null where it could
        "warning": pl.String(),  # what is odd about its file, and how much of it was read; null where nothing is
    }
)
LATER: Mapping[str, None] = MappingProxyType({"warning": None})  # columns that stores of earlier versions lack
PEAKS = pl.Schema(
    {
        "recording": pl.String(),
        "seconds": pl.Float64(),  # where the peak is, from the recording's begin
        "strength": pl.Float32(),  # decibels above the recording's median
        "kept": pl.Boolean(),  # whether its clip is in the store, accepted
    }
)


def check_settings(root: Path, config: Config) -> None:
    """Refuse a store that was filled with other settings than the config's.

    Raises
    ------
    UserError
        That names the settings which differ.
    """
    check_made_with(root / "spec" / "settings.toml", config)


def check_made_with(settings: Path, config: Config) -> None:
    """Refuse pictures whose settings file, beside them, names other settings than the config's.

    Raises
    ------
    UserError
        That names the settings which differ.
    """
    changed = differences(load(settings), config, of=PICTURE_SETTINGS) if settings.is_file() else []
    if changed:
        raise UserError(
            f"{settings.parent}: was made with other settings ({'; '.join(changed)}); set them back, or run spec.py --fresh to make it anew"
        )


class Store:
    """A finished store, opened for reading.

    Attributes
    ----------
    clips : one row a clip; a row's number is the clip's number in `pictures`
    recordings : one row a recording

    Raises
    ------
    UserError
        If the store is not finished, or damaged.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "spec"
        first = "run spec.py with the same experiment first (it goes on where it was stopped)"
        self.clips = read_table(self.folder / "clips.parquet", CLIPS, missing=first, damaged="run spec.py --fresh")
        self.recordings = read_table(
            self.folder / "recordings.parquet", RECORDINGS, missing=first, damaged="run spec.py --fresh", later=LATER
        )
        self._check_clips()
        self._shape = load(self.folder / "settings.toml").spectrogram.shape
        names = self.clips.group_by("shard", maintain_order=True).len()
        self._paths = [self.folder / "shards" / name / "pictures.npy" for name in names["shard"]]
        self._begins = [self._begin_of(path, clips) for path, clips in zip(self._paths, names["len"], strict=True)]
        self._shards = self.clips["shard"].rle_id().to_numpy()  # the clips of a shard follow each other
        self._rows = self.clips["row"].to_numpy()

    def pictures(self, clips: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width"]:
        """Gather the pictures of the given rows of `clips`; there must be at least one. Threads may do so at once.

        Each shard is opened once. To map them into memory takes ten times as long where batches are spread over more
        shards than can be kept open, and a map of a file that was cut off since kills the process.

        Raises
        ------
        UserError
            If a shard was damaged since the store was opened.
        """
        size = self._shape[0] * self._shape[1]
        pictures = np.empty((len(clips), *self._shape), np.uint8)
        pixels = pictures.reshape(-1).data
        order = np.argsort(clips)  # by shard and row, as they lie on disk
        ends = (order + 1) * size
        shards, rows = self._shards[clips[order]], self._rows[clips[order]].astype(np.int64)
        for some in np.split(np.arange(len(order)), np.flatnonzero(np.diff(shards)) + 1):
            shard = int(shards[some[0]])
            begins = self._begins[shard] + rows[some] * size
            with self._paths[shard].open("rb", buffering=0) as stream:
                for begin, end in zip(begins.tolist(), ends[some].tolist(), strict=True):
                    stream.seek(begin)
                    if stream.readinto(pixels[end - size : end]) != size:
                        raise _damaged(self._paths[shard])
        return pictures

    def _check_clips(self) -> None:
        """Refuse a table that names pictures where none can be."""
        inside = ~leads_away("shard", folders=False) & (pl.col("row") >= 0) & (pl.col("row") < pl.len().over("shard"))
        if not self.clips.select(inside.fill_null(value=False).all()).item():
            raise _damaged(self.folder / "clips.parquet")

    def _begin_of(self, path: Path, clips: int) -> int:
        """Return where the pictures begin in a shard's file, bytes, which must hold those of so many clips and nothing else."""
        try:
            with path.open("rb") as stream:
                np.lib.format.read_magic(stream)
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                begin = stream.tell()
        except (OSError, ValueError, TokenError):
            raise _damaged(path) from None
        if (
            shape != (clips, *self._shape)
            or dtype != np.dtype(np.uint8)
            or path.stat().st_size != begin + clips * self._shape[0] * self._shape[1]
        ):
            raise _damaged(path)
        return begin


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: is missing or damaged; run spec.py --fresh")


def write_pictures(path: Path, parts: Sequence[Path], *, shape: tuple[int, int, int]) -> None:
    """Write the pictures of some parts as one .npy, without holding them in memory.

    Parameters
    ----------
    shape : (clips, height, width) of all together
    """
    with whole_file(path) as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for part in parts:
            copy_pixels(part, stream)
