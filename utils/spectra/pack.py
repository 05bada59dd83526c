"""A pack: the clips of one training in random order, in files of one size that are read whole (`spec.py --pack`).

    settings.toml                   settings that it was made with
    split.parquet                   the split (SPLIT_SCHEMA)
    pixel_sums.parquet              sums over the pixels of recordings (PIXEL_SUM_COLUMNS); of sound, no rows
    pack-00000-of-00064.npy         uint8 (clips, height, width), or int16 (clips, samples): the clips to learn from
    pack-00000-of-00064.parquet     its rows of the table of clips (PACKED_COLUMNS)
    validation-00000-of-00003.*     the clips of the recordings for validation, in the order of the store
    noise-00000-of-00001.*          rejected clips for augmentation
    key.txt                         hash of settings and clips, written first
    pack.json                       version, key, hash of the split, number of clips, files with their checksums,
                                    written last

Its order makes it readable from object storage: a store's shards have one class each, so that every batch needs many of
them.
"""

import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64, Shaped
from pydantic import TypeAdapter, ValidationError

from config import Config, Location, SettingsError, Spectrogram
from utils.console import UserError
from utils.recordings.splits import SPLIT_SCHEMA
from utils.settings import load_text
from utils.settings_keys import changed_settings, short_key
from utils.spectra.clips import margin_samples
from utils.spectra.file_cache import FileCache
from utils.spectra.pixel_sums import PixelSums
from utils.spectra.shard_arrays import array_header, at_once
from utils.spectra.store import CLIP_COLUMNS, PIXEL_SUM_COLUMNS, REMOTE_FOLDER, Store
from utils.spectra.store_settings import with_judging_spectrogram
from utils.spectra.stored_sound import row_format
from utils.storage import DamagedFile, Storage, open_storage
from utils.tables import read_stored_table

CONTENTS = "pack.json"
PACK_VERSION = 1
FILE_NAME = re.compile(r"(pack|validation|noise)-\d{5}-of-\d{5}")
PACKED_COLUMNS = pl.Schema({name: kind for name, kind in CLIP_COLUMNS.items() if name not in ("shard", "row")})
# settings that decide which clips a pack holds, besides the split; training.seed draws the validation recordings, too,
# but a pack brings its own, so that trainings with other seeds can use it
PACK_SETTINGS = (
    *("clips.", "spectrogram.", "external.", "dataset.fold", "training.signal_interval", "training.validation_share"),
    *("training.all_data", "training.noise_class"),
)
WRITE_SETTINGS = "run the same spec.py --pack again, which writes only this file anew"
WRITE_FRESH = "write the pack again with spec.py --pack … --fresh"


@dataclass(frozen=True)
class PackFile:
    """A file of a pack: its name without ending, number of clips, and checksum of its array (CRC-32)."""

    name: str
    clips: int
    checksum: int


@dataclass(frozen=True)
class PackContents:
    """What `pack.json` says; `clips`: those to learn from."""

    version: int
    key: str
    split: str
    clips: int
    files: tuple[PackFile, ...]


CONTENTS_FORM = TypeAdapter(PackContents)


class Pack(Store):
    """A finished pack, opened for reading: a store whose shards are files of clips in random order.

    Parameters
    ----------
    root : folder on this machine for what is made from a pack elsewhere
    spectrogram : settings of the spectrograms that are wanted of a pack of sound; None: those that it was made with
    at : the folder of the pack
    cache : folder of this machine that its files are copied to; None: they are read where they are
    cache_gb : largest size of that folder, GB; 0: no limit

    Attributes
    ----------
    contents : what `pack.json` says
    made_with : the settings that it was made with
    split : the split
    validation_recordings : names of the recordings for validation

    Raises
    ------
    UserError
        If the pack is not finished, or damaged.
    """

    def __init__(
        self,
        root: Path,
        spectrogram: Spectrogram | None = None,
        *,
        at: Location,
        cache: Path | None = None,
        cache_gb: float = 0.0,
    ) -> None:
        self.storage = open_storage(at)
        self.folder = self.storage.folder or root / REMOTE_FOLDER
        self.contents = read_contents(self.storage)
        made_with, self.settings_text = self._settings()
        self.made_with = made_with
        self.keeps_sound = made_with.clips.keep == "sound"
        self.margin = margin_samples(made_with.clips, rate=made_with.spectrogram.rate)
        self.spectrogram = spectrogram if spectrogram and self.keeps_sound else made_with.spectrogram
        self._row = row_format(made_with.clips, made_with.spectrogram, made_with.external)
        self._files: Storage | FileCache = self.storage
        self._check_sizes()
        if cache:
            key = short_key(CONTENTS_FORM.dump_python(self.contents))
            self._files = FileCache(self.storage, cache / key, cache_gb)
        self.split = self._table("split.parquet", SPLIT_SCHEMA)
        self.recordings = self.split.select("recording", "class")
        self.clips = pl.concat(at_once(self.storage, self._clips_of, self.contents.files))
        self.validation_recordings = set(self.clips.filter(pl.col("shard").str.starts_with("validation"))["recording"])
        counts = [file.clips for file in self.contents.files]
        self._shards = np.repeat(np.arange(len(counts)), counts)
        self._rows = self.clips["row"].to_numpy()

    def file_of(self, clips: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the index of the file that holds each of the given rows of `clips`."""
        return self._shards[clips]

    def read_file(self, index: int) -> Shaped[np.ndarray, "clips ..."]:
        """Read all clips of a file; safe in several threads.

        Raises
        ------
        UserError
            If it is missing or damaged.
        """
        file = self.contents.files[index]
        name, header = f"{file.name}.npy", array_header(file.clips, self._row)
        try:
            content = self._files.read(name)
        except (DamagedFile, FileNotFoundError):
            raise self._damaged_file(name) from None
        if len(content) != self._size_of(file) or zlib.crc32(content) != file.checksum:
            raise self._damaged_file(name)
        return np.frombuffer(content, self._row.dtype, offset=len(header)).reshape(file.clips, *self._row.shape)

    @property
    def bytes_of_files(self) -> int:
        """Size of all arrays."""
        return sum(self._size_of(file) for file in self.contents.files)

    def _size_of(self, file: PackFile) -> int:
        return len(array_header(file.clips, self._row)) + file.clips * self._row.bytes

    def rows_in_file(self, clips: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Return the index of each of the given rows of `clips` in its file."""
        return self._rows[clips].astype(np.int64)

    def pixel_sums(self, recordings: Collection[str]) -> dict[str, PixelSums]:
        """Return the sums over the accepted clips of those of these recordings for which they were saved."""
        table = self._table("pixel_sums.parquet", PIXEL_SUM_COLUMNS)
        wanted = table.filter(pl.col("recording").is_in(list(recordings)))
        return {
            name: PixelSums(pixels, *(np.array(values, np.int64) for values in sums))
            for name, pixels, *sums in wanted.iter_rows()
        }

    def _read(self, clips: Int64[np.ndarray, " n"]) -> Shaped[np.ndarray, "n ..."]:
        """Read single rows."""
        found = np.empty((len(clips), *self._row.shape), self._row.dtype)
        size, content, files = self._row.bytes, found.reshape(-1).view(np.uint8).data, self.file_of(clips)
        for index in np.unique(files).tolist():
            file, some = self.contents.files[index], np.flatnonzero(files == index)
            offset = len(array_header(file.clips, self._row))
            starts = (offset + self.rows_in_file(clips[some]) * size).tolist()
            targets = [content[place * size : (place + 1) * size] for place in some.tolist()]
            try:
                self._files.read_into(f"{file.name}.npy", starts, targets)
            except (DamagedFile, FileNotFoundError):
                raise self._damaged_file(f"{file.name}.npy") from None
        return found

    def _settings(self) -> tuple[Config, str]:
        try:
            text = self.storage.read("settings.toml").decode()
            return load_text(text, source=self.storage.where("settings.toml")), text
        except (OSError, UnicodeDecodeError):
            raise UserError(f"{self.storage.where('settings.toml')}: is missing or damaged; {WRITE_SETTINGS}") from None
        except SettingsError as error:
            raise UserError(f"{error}; {WRITE_SETTINGS}") from None

    def _check_sizes(self) -> None:
        """Compare the sizes of all files, by one listing of the folder."""
        sizes = {entry.name: entry.size for entry in self.storage.entries()}
        for file in self.contents.files:
            if sizes.get(f"{file.name}.npy") != self._size_of(file):
                raise self._damaged_file(f"{file.name}.npy")

    def _clips_of(self, file: PackFile) -> pl.DataFrame:
        table = self._table(f"{file.name}.parquet", PACKED_COLUMNS)
        if len(table) != file.clips:
            raise UserError(f"{self.storage.where(file.name)}.parquet: has {len(table)} rows; {WRITE_FRESH}")
        return table.with_columns(shard=pl.lit(file.name), row=pl.int_range(pl.len(), dtype=pl.Int32))

    def _table(self, name: str, schema: Mapping[str, Any]) -> pl.DataFrame:
        return read_stored_table(self.storage, name, schema, missing=WRITE_FRESH, damaged=WRITE_FRESH)

    def _damaged_file(self, name: str) -> UserError:
        if isinstance(self._files, FileCache) and self._files.has_copy(name):
            return UserError(f"{self._files.where(name)}: is damaged; remove it, and it is copied again")
        return UserError(f"{self.storage.where(name)}: is missing or damaged; {WRITE_FRESH}")


def read_contents(storage: Storage) -> PackContents:
    """Read `pack.json`.

    Raises
    ------
    UserError
        If there is none, it is damaged, or a later version of the toolkit wrote it.
    """
    where = storage.where(CONTENTS)
    try:
        contents = CONTENTS_FORM.validate_json(storage.read(CONTENTS), strict=True)
    except FileNotFoundError:
        raise UserError(f"{where}: no such file; run spec.py --pack first (it resumes if it was stopped)") from None
    except (ValidationError, OSError):
        raise UserError(f"{where}: is damaged; {WRITE_FRESH}") from None
    if contents.version != PACK_VERSION:
        raise UserError(f"{where}: has version {contents.version}, this toolkit reads {PACK_VERSION}; update it")
    plausible = all(FILE_NAME.fullmatch(file.name) and file.clips > 0 for file in contents.files)
    if not plausible or not re.fullmatch(r"[0-9a-f]{16}", contents.key):
        raise UserError(f"{where}: is damaged; {WRITE_FRESH}")
    return contents


def open_pack(config: Config, at: Location) -> Pack:
    """Open a pack, such as `training.packed`, for a training.

    Raises
    ------
    UserError
        If it is not finished, damaged, or was made with settings that give other clips; the text names them. Or if it
        does not fit in the cache, but triplets are learned.
    """
    training = config.training
    pack = Pack(
        config.dataset.root,
        config.spectrogram,
        at=at,
        cache=training.cache,
        cache_gb=training.cache_gb,
    )
    now = with_judging_spectrogram(pack.made_with, config)
    if changed := changed_settings(pack.made_with, now, of=PACK_SETTINGS):
        raise UserError(
            f"{pack.address}: was made with other settings ({'; '.join(changed)}); change them back, or write another "
            "pack with spec.py --pack"
        )
    if training.compares_clips and training.cache and 0 < training.cache_gb * 1e9 < pack.bytes_of_files:
        raise UserError(
            f"training.cache_gb = {training.cache_gb:g}: should be at least {pack.bytes_of_files / 1e9:.3g}, the whole "
            f"pack, because training.loss = {training.loss} reads its clips in any order"
        )
    return pack
