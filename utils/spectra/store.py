"""The store: the spectrograms or the sound of clips, in shards from which any clip can be read by itself.

It is the folder `dataset.store`, here or elsewhere; by default `<root>/spec`. Of a store elsewhere, pages, images and
caches are in `<root>/remote_spec` on this machine, and nothing of it is in parts/.

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
                                     (PIXEL_SUM_COLUMNS); key.txt: hash of its recordings and settings; sources.jsonl:
                                     what each recording's clips depend on (earlier_shards).
                                     clips.keep = sound: sound.npy: int16 (clips, samples) instead, and
                                     pixel_sums_<key>.parquet: the sums by the spectrogram settings of a training; of a
                                     store elsewhere with the shard's own key, too. clips.keep = embeddings:
                                     embeddings.npy: float16 (clips, windows, values)
    <root>/spec/parts/               finished recordings of unfinished shards
    <root>/spec/noise_*/             stores of the clips of folders of noise (noise_store)
    <root>/spec/predictions_*.npy    predictions of teachers for all clips (utils.learning.cached_predictions)

A shard holds the clips of up to 64 recordings of one class, ordered by name and time. So it depends neither on other
classes nor on the order in which recordings were done.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl
from jaxtyping import Float32, Int16, Int64, Shaped

from config import Clips, Config, Location, Spectrogram
from utils.console import UserError
from utils.files import atomic_file
from utils.settings_keys import settings_for_key, short_key
from utils.spectra.clip_parts import copy_rows
from utils.spectra.clips import margin_samples
from utils.spectra.pixel_sums import PixelSums
from utils.spectra.shard_arrays import EMBEDDINGS, SOUND, SPECTROGRAMS, ShardArrays, array_header, at_once
from utils.spectra.store_settings import read_store_settings
from utils.spectra.stored_sound import ModelInput, RowFormat, row_format, spectrograms_of_rows
from utils.storage import FolderStorage, Storage, open_storage
from utils.tables import leads_outside, read_stored_table

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
        "rejected": pl.Int32(),  # clips that were rejected, by the signal rule or because they have no event
        # number of clips by signal score (bins: score_counts.EDGES), before max_per_class; null: could not be used
        "scores": pl.List(pl.Int64()),
        "reason": pl.String(),  # why the recording could not be used; null: it could
        "warning": pl.String(),  # problems of its file, and how much of it was read; null: none
        # rejected clips that lie between annotated events, whatever their score; null: not known
        "without_event": pl.Int32(),
    }
)
# columns of these tables that stores of earlier versions lack
ADDED_CLIP_COLUMNS: Mapping[str, None] = MappingProxyType({"peak": None})
ADDED_COLUMNS: Mapping[str, None] = MappingProxyType({"warning": None, "without_event": None})
RENAMED_COLUMNS: Mapping[str, str] = MappingProxyType({"number": "index"})  # name in earlier versions: name now
SHARD_KEY = "key.txt"  # of a shard: hash of its recordings and settings
PIXEL_SUMS = "pixel_sums.parquet"  # table of a shard; shards of earlier versions have none
PIXEL_SUM_COLUMNS = pl.Schema(
    {
        "recording": pl.String(),  # those without accepted clips are left out
        "pixels": pl.Int64(),  # number of pixels in each row of all its accepted clips: clips · width
        "sums": pl.List(pl.Int64()),  # sum of the pixels of each row, from the top
        "squares": pl.List(pl.Int64()),  # sum of their squares
    }
)
REMOTE_FOLDER = "remote_spec"  # in the root: tables, pages and caches of a store elsewhere
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
    at : the folder of the store; None: `spec` in the root

    Attributes
    ----------
    storage : its folder, here or elsewhere
    folder : the folder of this machine for what is made from it: its own, or another one if that is elsewhere
    settings_text : the file of the settings that it was made with
    clips : one row per clip; `spectrograms` and `sounds` take indices of these rows
    recordings : one row per recording
    keeps_sound, keeps_embeddings : whether it keeps the sound of clips, or their embeddings, in place of spectrograms
    margin : samples that it keeps on each side of a clip

    Raises
    ------
    UserError
        If the store is not finished, or damaged.
    """

    def __init__(self, root: Path, spectrogram: Spectrogram | None = None, *, at: Location | None = None) -> None:
        self.storage = open_storage(at or root / "spec")
        self.folder = self.storage.folder or root / REMOTE_FOLDER
        first = "run spec.py with the same experiment first (it resumes if it was stopped)"
        self.clips = read_stored_table(
            self.storage,
            "clips.parquet",
            CLIP_COLUMNS,
            missing=first,
            damaged="run spec.py --fresh",
            later=ADDED_CLIP_COLUMNS,
            renamed=RENAMED_COLUMNS,
        )
        self.recordings = read_stored_table(
            self.storage,
            "recordings.parquet",
            RECORDING_COLUMNS,
            missing=first,
            damaged="run spec.py --fresh",
            later=ADDED_COLUMNS,
        )
        self._check_clips()
        made_with, self.settings_text = self._settings()
        self.keeps_sound = made_with.clips.keep == "sound"
        self.keeps_embeddings = made_with.clips.keep == "embeddings"
        self.margin = margin_samples(made_with.clips, rate=made_with.spectrogram.rate)
        self.spectrogram = spectrogram if spectrogram and self.keeps_sound else made_with.spectrogram
        self._row = row_format(made_with.clips, made_with.spectrogram, made_with.external)
        names = self.clips.group_by("shard", maintain_order=True).len()
        self._arrays = ShardArrays(self.storage, names["shard"].to_list(), names["len"].to_list(), self._row)
        self._shards = self.clips["shard"].rle_id().to_numpy()  # the clips of a shard are consecutive
        self._rows = self.clips["row"].to_numpy()

    def _settings(self) -> tuple[Config, str]:
        try:
            return read_store_settings(self.storage)
        except FileNotFoundError:
            where = self.storage.where("settings.toml")
            raise UserError(f"{where}: no such file; run spec.py again, which keeps what is there") from None

    @property
    def address(self) -> str:
        """Its folder as users write it."""
        return self.storage.address

    def spectrograms(self, clips: Int64[np.ndarray, " n"]) -> ModelInput:
        """Read the spectrograms of the given rows of `clips`, at least one, or compute them; safe in several threads.

        Of a store of embeddings, these are what is read.

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
        """Read rows from the shards."""
        order = np.argsort(clips)  # by shard and row, in the order on disk
        found = np.empty((len(clips), *self._row.shape), self._row.dtype)
        self._arrays.read_rows(found, order, shards=self._shards[clips[order]], rows=self._rows[clips[order]])
        return found

    def pixel_sums(self, recordings: Collection[str]) -> dict[str, PixelSums]:
        """Return the sums over the accepted clips of those of these recordings for which they were saved.

        Raises
        ------
        UserError
            If a table of sums is damaged.
        """
        found: dict[str, PixelSums] = {}
        wanted = pl.col("recording").is_in(list(recordings))
        shards = self.clips.filter(wanted)["shard"].unique().sort().to_list()
        # sums by the settings of a training are on this machine
        storage = FolderStorage(self.folder) if self.keeps_sound else self.storage
        for table in at_once(storage, lambda shard: self._pixel_sums_of(storage, shard), shards):
            for name, pixels, *sums in table.filter(wanted).iter_rows():
                found[name] = PixelSums(pixels, *(np.array(values, np.int64) for values in sums))
        return found

    def _pixel_sums_of(self, storage: Storage, shard: str) -> pl.DataFrame:
        name = self._pixel_sums_name(shard)
        if not storage.exists(name):
            return pl.DataFrame(schema=PIXEL_SUM_COLUMNS)
        return _read_pixel_sums(storage, name, height=self.spectrogram.height)

    def pixel_sums_of_shard(self, shard: str) -> Path:
        """Return the table of a shard's sums in a store of sound for these settings of spectrograms."""
        return self.folder / self._pixel_sums_name(shard)

    def _pixel_sums_name(self, shard: str) -> str:
        if not self.keeps_sound:
            return f"shards/{shard}/{PIXEL_SUMS}"
        # what is made of a store elsewhere is not removed with its shards, and must not serve later ones
        suffix = "" if self.storage.folder else f"_{self._shard_keys.get(shard, '')}"
        return f"shards/{shard}/pixel_sums_{self.spectrogram_key}{suffix}.parquet"

    @cached_property
    def _shard_keys(self) -> dict[str, str]:
        """A text for each shard of a store elsewhere that changes if the shard does."""
        shards = self.clips["shard"].unique().sort().to_list()
        try:
            keys = list(at_once(self.storage, lambda shard: self.storage.read(f"shards/{shard}/{SHARD_KEY}"), shards))
        except FileNotFoundError as error:
            raise _damaged(str(error.filename)) from None
        return {shard: hashlib.sha256(key).hexdigest()[:16] for shard, key in zip(shards, keys, strict=True)}

    @property
    def spectrogram_key(self) -> str:
        """A text that changes if the settings of the spectrograms do."""
        settings = settings_for_key(replace(Config(), spectrogram=self.spectrogram), of=("spectrogram.",))
        return short_key(settings)

    def _check_clips(self) -> None:
        """Check that shards and rows in the table are possible."""
        inside = (
            ~leads_outside("shard", folders=False) & (pl.col("row") >= 0) & (pl.col("row") < pl.len().over("shard"))
        )
        if not self.clips.select(inside.fill_null(value=False).all()).item():
            raise _damaged(self.storage.where("clips.parquet"))


def array_name(clips: Clips) -> str:
    """Return the name of the file with the clips of a shard."""
    return {"sound": SOUND, "embeddings": EMBEDDINGS}.get(clips.keep, SPECTROGRAMS)


def _read_pixel_sums(storage: Storage, name: str, *, height: int) -> pl.DataFrame:
    advice = "remove it; train.py then computes these sums itself"
    table = read_stored_table(storage, name, PIXEL_SUM_COLUMNS, missing=advice, damaged=advice)
    sums, squares = pl.col("sums").list, pl.col("squares").list
    sizes = (sums.len() == height) & (squares.len() == height)
    values = (pl.col("pixels") > 0) & (sums.min() >= 0) & (squares.min() >= 0)
    if not table.select((sizes & values).fill_null(value=False).all()).item():
        raise UserError(f"{storage.where(name)}: holds impossible sums; {advice}")
    return table


def _damaged(where: str) -> UserError:
    return UserError(f"{where}: is missing or damaged; run spec.py --fresh")


def write_clips(path: Path, parts: Sequence[Path], *, clips: int, row: RowFormat) -> None:
    """Write the clips of some parts as one .npy file, without holding them in memory.

    Parameters
    ----------
    clips : their number
    row : what is kept of each
    """
    with atomic_file(path) as stream:
        stream.write(array_header(clips, row))
        for part in parts:
            copy_rows(part, stream)
