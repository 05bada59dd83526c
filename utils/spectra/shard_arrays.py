"""The arrays of a store's shards, as .npy files of a folder here or elsewhere, of which single rows are read."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from tokenize import TokenError
from typing import TypeVar

import numpy as np
from jaxtyping import Int32, Int64, Shaped, UInt32

from utils.console import UserError
from utils.spectra.stored_sound import RowFormat
from utils.storage import DamagedFile, Storage

SPECTROGRAMS, EARLIER_SPECTROGRAMS = "spectrograms.npy", "pictures.npy"  # array of a shard, now and in earlier versions
SOUND = "sound.npy"  # array of a shard, clips.keep = sound
EMBEDDINGS = "embeddings.npy"  # array of a shard, clips.keep = embeddings
ARRAY_NAMES = {"uint8": SPECTROGRAMS, "int16": SOUND, "float16": EMBEDDINGS}  # by the type of its rows
REQUESTS_AT_ONCE = 16  # to a folder elsewhere: most of the time is spent waiting

Asked = TypeVar("Asked")
Content = TypeVar("Content")


class ShardArrays:
    """The arrays of some shards.

    Parameters
    ----------
    storage : the folder of the store
    shards, clips : names of the shards, and the number of clips of each
    row : what is kept of each clip

    Raises
    ------
    UserError
        If one is missing or has another size.
    """

    def __init__(self, storage: Storage, shards: Sequence[str], clips: Sequence[int], row: RowFormat) -> None:
        self._storage, self._row = storage, row
        if storage.folder:
            self._names = [_array_of(storage.folder, shard) for shard in shards]
            here = zip(self._names, clips, strict=True)
            self._offsets = [self._checked_offset(storage.folder / name, count) for name, count in here]
        else:
            name = ARRAY_NAMES[row.dtype.name]
            self._names = [f"shards/{shard}/{name}" for shard in shards]
            self._offsets = self._listed_offsets(clips)

    def read_rows(
        self,
        found: Shaped[np.ndarray, "n ..."],
        order: Int64[np.ndarray, " n"],
        *,
        shards: UInt32[np.ndarray, " n"],
        rows: Int32[np.ndarray, " n"],
    ) -> None:
        """Read one row into each of `found`.

        Each shard is opened once. Memory maps would take ten times as long for batches from more shards than can be
        open at the same time, and kill the process if a file is truncated meanwhile.

        Parameters
        ----------
        order : indices in `found`, ordered by shard
        shards, rows : for each of `order`, the index of its shard, and its row there

        Raises
        ------
        UserError
            If a shard was damaged since the store was opened.
        """
        size, content = self._row.bytes, found.reshape(-1).view(np.uint8).data
        ends, starts = ((order + 1) * size).tolist(), (rows.astype(np.int64) * size).tolist()
        bounds = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(order)]

        def read_shard(part: tuple[int, int]) -> None:
            first, last = part
            shard = int(shards[first])
            offset = self._offsets[shard]
            targets = [content[end - size : end] for end in ends[first:last]]
            try:
                self._storage.read_into(self._names[shard], [offset + start for start in starts[first:last]], targets)
            except (DamagedFile, FileNotFoundError):
                raise self._damaged_array(self._names[shard]) from None

        for _ in at_once(self._storage, read_shard, list(pairwise(bounds))):
            pass

    def _listed_offsets(self, clips: Sequence[int]) -> list[int]:
        """Return the offset of the first row in each file, and check its size, by one listing of the folder."""
        sizes = {entry.name: entry.size for entry in self._storage.entries("shards")}
        offsets = []
        for name, count in zip(self._names, clips, strict=True):
            offsets.append(len(array_header(count, self._row)))
            if sizes.get(name) != offsets[-1] + count * self._row.bytes:
                raise self._damaged_array(name)
        return offsets

    def _checked_offset(self, path: Path, clips: int) -> int:
        """Return the offset of the first row in a file of this machine, bytes, and check number of clips and size."""
        try:
            with path.open("rb") as stream:
                np.lib.format.read_magic(stream)
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                offset = stream.tell()
        except (OSError, ValueError, TokenError):
            raise self._damaged_array(path.relative_to(str(self._storage.folder)).as_posix()) from None
        if (
            shape != (clips, *self._row.shape)
            or dtype != self._row.dtype
            or path.stat().st_size != offset + clips * self._row.bytes
        ):
            raise self._damaged_array(path.relative_to(str(self._storage.folder)).as_posix())
        return offset

    def _damaged_array(self, name: str) -> UserError:
        return UserError(
            f"{self._storage.where(name)}: is missing or damaged; remove key.txt beside it and run spec.py, which "
            "makes these clips anew"
        )


def _array_of(folder: Path, shard: str) -> str:
    """Return the file with the clips of a shard, which has another name in stores of earlier versions."""
    names = [f"shards/{shard}/{name}" for name in (SOUND, SPECTROGRAMS, EARLIER_SPECTROGRAMS, EMBEDDINGS)]
    return next((name for name in names if (folder / name).is_file()), names[1])


def array_header(clips: int, row: RowFormat) -> bytes:
    """Return what stands before the first row in the file of a shard."""
    header = BytesIO()
    description = {"descr": row.dtype.str, "fortran_order": False, "shape": (clips, *row.shape)}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


def at_once(storage: Storage, function: Callable[[Asked], Content], items: Sequence[Asked]) -> Iterator[Content]:
    """Call a function that reads from a folder for each item, in order; for one elsewhere, in several threads."""
    if storage.folder or len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(min(REQUESTS_AT_ONCE, len(items)), thread_name_prefix="requests") as threads:
        yield from threads.map(function, items)
