"""The store: the spectrograms or the sound of clips on disk, in shards from which any clip can be read by itself.

    <root>/spec/settings.toml        settings that it was made with; clips.keep = sound: the spectrogram settings are
                                     those by whose signal scores clips were accepted
    <root>/spec/clips.parquet        one row per clip (CLIP_COLUMNS)
    <root>/spec/recordings.parquet   one row per recording (RECORDING_COLUMNS)
    <root>/spec/rejected.csv         recordings that could not be used, with the reason
    <root>/spec/peaks.csv            clips.choose = peaks: the peaks of all recordings (PEAK_COLUMNS)
    <root>/spec/classes.csv          accepted and rejected clips per class
    <root>/spec/overview.html        the same as a page with spectrograms
    <root>/spec/images/, noise/      the clips as PNG files, if `spectrogram.images` is on
    <root>/spec/shards/<class>-000/  spectrograms.npy: uint8 (clips, height, width); clips.parquet, recordings.parquet:
                                     its rows of the tables; pixel_sums.parquet: sums over the pixels of its recordings
                                     (PIXEL_SUM_COLUMNS); key.txt: hash of its recordings and settings.
                                     clips.keep = sound: sound.npy: int16 (clips, samples) instead, and
                                     pixel_sums_<key>.parquet: the sums by the spectrogram settings of a training
    <root>/spec/parts/               finished recordings of unfinished shards
    <root>/spec/predictions_*.npy    predictions of teachers for all clips (utils.learning.cached_predictions)

A shard holds the clips of up to 64 recordings of one class, ordered by name and time. So it depends neither on other
classes nor on the order in which recordings were done.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tokenize import TokenError
from types import MappingProxyType

import numpy as np
import polars as pl
from jaxtyping import Float32, Int16, Int64, Shaped, UInt8

from config import Clips, Config, Spectrogram
from utils.console import UserError
from utils.files import atomic_file
from utils.settings import load
from utils.settings_keys import settings_for_key
from utils.spectra.clip_parts import copy_rows
from utils.spectra.clips import margin_samples
from utils.spectra.pixel_sums import PixelSums
from utils.spectra.stored_sound import RowFormat, row_format, spectrograms_of_rows
from utils.tables import leads_outside, read_table

UNRATED_WEIGHT = 0.6  # weight of the clips of unrated recordings: that of a medium rating
CLIP_COLUMNS = pl.Schema(
    {
        "recording": pl.String(),  # name of the recording
        "class": pl.String(),  # primary label
        "background": pl.List(pl.String()),  # background labels
        "index": pl.Int32(),  # index of the clip in the recording, from 0
        "start": pl.Float64(),  # seconds from the start of the recording
        "length": pl.Float64(),  # seconds
        "score": pl.Float32(),  # signal score, 0 to 1
        "accepted": pl.Boolean(),  # False: rejected as empty, saved as noise
        # quality of the recording, 0.2 to 1, unrated 0.6: weight in training if training.quality_weights is on
        "weight": pl.Float32(),
        # strength of the peak that it was cut for, decibels above the recording's median; null: no peak
        "strength": pl.Float32(),
        "peak": pl.Float32(),  # clips.keep = sound: its largest sample, 1 is full scale; null: its sound is not kept
        "shard": pl.String(),  # folder of its spectrogram or sound
        "row": pl.Int32(),  # index of it in the array there
    }
)
RECORDING_COLUMNS = pl.Schema(
    {
        "recording": pl.String(),
        "class": pl.String(),
        "seconds": pl.Float64(),  # length of the recording
        "kept": pl.Int32(),  # accepted clips in the store
        "noise": pl.Int32(),  # rejected clips in the store
        "rejected": pl.Int32(),  # clips that the signal rule rejected
        # number of clips by signal score (bins: score_counts.EDGES), before max_per_class; null: could not be used
        "scores": pl.List(pl.Int64()),
        "reason": pl.String(),  # why the recording could not be used; null: it could
        "warning": pl.String(),  # problems of its file, and how much of it was read; null: none
    }
)
# columns of these tables that stores of earlier versions lack
ADDED_CLIP_COLUMNS: Mapping[str, None] = MappingProxyType({"peak": None})
ADDED_COLUMNS: Mapping[str, None] = MappingProxyType({"warning": None})
RENAMED_COLUMNS: Mapping[str, str] = MappingProxyType({"number": "index"})  # name in earlier versions: name now
PIXEL_SUMS = "pixel_sums.parquet"  # table of a shard; shards of earlier versions have none
PIXEL_SUM_COLUMNS = pl.Schema(
    {
        "recording": pl.String(),  # those without accepted clips are left out
        "pixels": pl.Int64(),  # number of pixels in each row of all its accepted clips: clips · width
        "sums": pl.List(pl.Int64()),  # sum of the pixels of each row, from the top
        "squares": pl.List(pl.Int64()),  # sum of their squares
    }
)
SPECTROGRAMS, EARLIER_SPECTROGRAMS = "spectrograms.npy", "pictures.npy"  # array of a shard, now and in earlier versions
SOUND = "sound.npy"  # array of a shard, clips.keep = sound
SOUNDS_AT_ONCE = 256  # clips whose sound is in memory while their spectrograms are computed
PEAK_COLUMNS = pl.Schema(
    {
        "recording": pl.String(),
        "seconds": pl.Float64(),  # time of the peak from the start of the recording
        "strength": pl.Float32(),  # decibels above the recording's median
        "kept": pl.Boolean(),  # whether its clip was accepted and is in the store
    }
)


class Store:
    """A finished store, opened for reading.

    Parameters
    ----------
    root : root of the data set
    spectrogram : settings of the spectrograms that are wanted of a store of sound; None: those that it was made with

    Attributes
    ----------
    clips : one row per clip; `spectrograms` and `sounds` take indices of these rows
    recordings : one row per recording
    keeps_sound : whether it keeps the sound of clips
    margin : samples that it keeps on each side of a clip

    Raises
    ------
    UserError
        If the store is not finished, or damaged.
    """

    def __init__(self, root: Path, spectrogram: Spectrogram | None = None) -> None:
        self.folder = root / "spec"
        first = "run spec.py with the same experiment first (it resumes if it was stopped)"
        self.clips = read_table(
            self.folder / "clips.parquet",
            CLIP_COLUMNS,
            missing=first,
            damaged="run spec.py --fresh",
            later=ADDED_CLIP_COLUMNS,
            renamed=RENAMED_COLUMNS,
        )
        self.recordings = read_table(
            self.folder / "recordings.parquet",
            RECORDING_COLUMNS,
            missing=first,
            damaged="run spec.py --fresh",
            later=ADDED_COLUMNS,
        )
        self._check_clips()
        made_with = load(self.folder / "settings.toml")
        self.keeps_sound = made_with.clips.keep == "sound"
        self.margin = margin_samples(made_with.clips, rate=made_with.spectrogram.rate)
        self.spectrogram = spectrogram if spectrogram and self.keeps_sound else made_with.spectrogram
        self._row = row_format(made_with.clips, made_with.spectrogram)
        names = self.clips.group_by("shard", maintain_order=True).len()
        self._paths = [_array_of(self.folder / "shards" / name) for name in names["shard"]]
        self._offsets = [self._offset_of(path, clips) for path, clips in zip(self._paths, names["len"], strict=True)]
        self._shards = self.clips["shard"].rle_id().to_numpy()  # the clips of a shard are consecutive
        self._rows = self.clips["row"].to_numpy()

    def spectrograms(self, clips: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width"]:
        """Read the spectrograms of the given rows of `clips`, at least one, or compute them; safe in several threads.

        Raises
        ------
        UserError
            If a shard was damaged since the store was opened.
        """
        if not self.keeps_sound:
            return self._read(clips)
        spectrograms = np.empty((len(clips), *self.spectrogram.shape), np.uint8)
        seeds = self.clips["index"].to_numpy()
        for start in range(0, len(clips), SOUNDS_AT_ONCE):
            some = clips[start : start + SOUNDS_AT_ONCE]
            spectrograms[start : start + len(some)] = spectrograms_of_rows(
                self._read(some),
                self.peaks(some),
                seeds[some].astype(np.int64),
                settings=self.spectrogram,
                margin=self.margin,
            )
        return spectrograms

    def sounds(self, clips: Int64[np.ndarray, " n"]) -> Int16[np.ndarray, "n samples"]:
        """Read the samples, with margins, of the given rows of `clips`; raises the errors of `spectrograms`."""
        return self._read(clips)

    def peaks(self, clips: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        """Return the largest samples of the given rows of `clips`."""
        return self.clips["peak"].to_numpy()[clips]

    def _read(self, clips: Int64[np.ndarray, " n"]) -> Shaped[np.ndarray, "n ..."]:
        """Read rows from the shards.

        Each shard is opened once. Memory maps would take ten times as long for batches from more shards than can be
        open at the same time, and kill the process if a file is truncated meanwhile.
        """
        size = self._row.bytes
        found = np.empty((len(clips), *self._row.shape), self._row.dtype)
        content = found.reshape(-1).view(np.uint8).data
        order = np.argsort(clips)  # by shard and row, in the order on disk
        ends = (order + 1) * size
        shards, rows = self._shards[clips[order]], self._rows[clips[order]].astype(np.int64)
        for some in np.split(np.arange(len(order)), np.flatnonzero(np.diff(shards)) + 1):
            shard = int(shards[some[0]])
            offsets = self._offsets[shard] + rows[some] * size
            with self._paths[shard].open("rb", buffering=0) as stream:
                for offset, end in zip(offsets.tolist(), ends[some].tolist(), strict=True):
                    stream.seek(offset)
                    if stream.readinto(content[end - size : end]) != size:
                        raise _damaged(self._paths[shard])
        return found

    def pixel_sums(self, recordings: Collection[str]) -> dict[str, PixelSums]:
        """Return the sums over the accepted clips of those of these recordings for which they were saved.

        Raises
        ------
        UserError
            If a table of sums is damaged.
        """
        found: dict[str, PixelSums] = {}
        for shard in self.clips.filter(pl.col("recording").is_in(list(recordings)))["shard"].unique().sort():
            path = self.pixel_sums_of_shard(shard)
            if path.is_file():
                table = _read_pixel_sums(path, height=self.spectrogram.height)
                rows = table.filter(pl.col("recording").is_in(list(recordings)))
                for name, pixels, *sums in rows.iter_rows():
                    found[name] = PixelSums(pixels, *(np.array(values, np.int64) for values in sums))
        return found

    def pixel_sums_of_shard(self, shard: str) -> Path:
        """Return the table of a shard's sums; of a store of sound, that for these settings of spectrograms."""
        folder = self.folder / "shards" / shard
        if not self.keeps_sound:
            return folder / PIXEL_SUMS
        return folder / f"pixel_sums_{self.spectrogram_key}.parquet"

    @property
    def spectrogram_key(self) -> str:
        """A text that changes if the settings of the spectrograms do."""
        settings = settings_for_key(replace(Config(), spectrogram=self.spectrogram), of=("spectrogram.",))
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    def _check_clips(self) -> None:
        """Check that shards and rows in the table are possible."""
        inside = (
            ~leads_outside("shard", folders=False) & (pl.col("row") >= 0) & (pl.col("row") < pl.len().over("shard"))
        )
        if not self.clips.select(inside.fill_null(value=False).all()).item():
            raise _damaged(self.folder / "clips.parquet")

    def _offset_of(self, path: Path, clips: int) -> int:
        """Return the offset of the first clip in the file of a shard, bytes, and check number of clips and size."""
        try:
            with path.open("rb") as stream:
                np.lib.format.read_magic(stream)
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                offset = stream.tell()
        except (OSError, ValueError, TokenError):
            raise _damaged(path) from None
        if (
            shape != (clips, *self._row.shape)
            or dtype != self._row.dtype
            or path.stat().st_size != offset + clips * self._row.bytes
        ):
            raise _damaged(path)
        return offset


def _array_of(shard: Path) -> Path:
    """Return the file with the clips of a shard, which has another name in stores of earlier versions."""
    files = [shard / name for name in (SOUND, SPECTROGRAMS, EARLIER_SPECTROGRAMS)]
    return next((file for file in files if file.is_file()), shard / SPECTROGRAMS)


def array_name(clips: Clips) -> str:
    """Return the name of the file with the clips of a shard."""
    return SOUND if clips.keep == "sound" else SPECTROGRAMS


def _read_pixel_sums(path: Path, *, height: int) -> pl.DataFrame:
    advice = "remove it; train.py then computes these sums itself"
    table = read_table(path, PIXEL_SUM_COLUMNS, missing=advice, damaged=advice)
    sums, squares = pl.col("sums").list, pl.col("squares").list
    sizes = (sums.len() == height) & (squares.len() == height)
    values = (pl.col("pixels") > 0) & (sums.min() >= 0) & (squares.min() >= 0)
    if not table.select((sizes & values).fill_null(value=False).all()).item():
        raise UserError(f"{path}: holds impossible sums; {advice}")
    return table


def _damaged(path: Path) -> UserError:
    return UserError(f"{path}: is missing or damaged; run spec.py --fresh")


def write_clips(path: Path, parts: Sequence[Path], *, clips: int, row: RowFormat) -> None:
    """Write the clips of some parts as one .npy file, without holding them in memory.

    Parameters
    ----------
    clips : their number
    row : what is kept of each
    """
    header = {"descr": row.dtype.str, "fortran_order": False, "shape": (clips, *row.shape)}
    with atomic_file(path) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            copy_rows(part, stream)
