"""The batches of an epoch from a pack, whose files are read once each, whole, and some before they are needed."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int64, Shaped

from utils.learning.batches import ClipReader, StreamedBatches
from utils.learning.examples import Examples
from utils.spectra.pack import Pack

FILE_READERS = 4  # threads that read files
FILES_AHEAD = 4  # files that are read before they are needed


class PackedBatches(StreamedBatches):
    """Batches of a pack in the order of `packed_order`, with as many files in memory as its buffer spans."""

    def __init__(self, examples: Examples, *, pack: Pack, batch_size: int, mesh: Mesh, loops: bool) -> None:
        super().__init__(examples, batch_size=batch_size, mesh=mesh, loops=loops)
        self._pack = pack

    @contextmanager
    def _clip_reader(self, rows: Int64[np.ndarray, "steps batch"]) -> Iterator[ClipReader]:
        with ThreadPoolExecutor(FILE_READERS, thread_name_prefix="pack files") as threads:
            ahead = FilesAhead(self._pack, rows.ravel(), lambda index: threads.submit(self._pack.read_file, index))
            try:
                yield ahead.read
            finally:
                threads.shutdown(cancel_futures=True)


class FilesAhead:
    """The files that the clips of an epoch are read from: each once; it leaves the memory with its last clip.

    Parameters
    ----------
    rows : rows of `pack.clips`, in the order in which they will be read, about
    start : starts to read a file
    """

    def __init__(
        self,
        pack: Pack,
        rows: Int64[np.ndarray, " n"],
        start: Callable[[int], Future[Shaped[np.ndarray, "clips ..."]]],
    ) -> None:
        self._pack, self._start = pack, start
        files = pack.file_of(rows)
        self._left = np.bincount(files, minlength=1)  # clips of each file that are still to be read
        found, first = np.unique(files, return_index=True)
        self._coming = deque(found[np.argsort(first)].tolist())
        self._unused: set[int] = set()  # started, and not needed so far
        self._arrays: dict[int, Future[Shaped[np.ndarray, "clips ..."]]] = {}
        self._lock = Lock()

    def read(self, rows: Int64[np.ndarray, " n"]) -> Shaped[np.ndarray, "n ..."]:
        """Return clips of the pack; waits for files that are not yet there, and raises their errors."""
        files, places = self._pack.file_of(rows), self._pack.rows_in_file(rows)
        needed, counts = np.unique(files, return_counts=True)
        arrays = self._opened(needed.tolist())
        parts = {file: array.result()[places[files == file]] for file, array in arrays.items()}
        first = next(iter(parts.values()))
        found = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for file, part in parts.items():
            found[files == file] = part
        self._leave(needed, counts)
        return found

    def _opened(self, files: list[int]) -> dict[int, Future[Shaped[np.ndarray, "clips ..."]]]:
        """Start to read these files, if nobody did, and the next ones."""
        with self._lock:
            while self._coming and not all(file in self._arrays for file in files):
                self._start_next()
            self._unused.difference_update(files)
            while self._coming and len(self._unused) < FILES_AHEAD:
                self._start_next()
            return {file: self._arrays[file] for file in files}

    def _start_next(self) -> None:
        file = self._coming.popleft()
        self._unused.add(file)
        self._arrays[file] = self._start(file)

    def _leave(self, files: Int64[np.ndarray, " files"], counts: Int64[np.ndarray, " files"]) -> None:
        with self._lock:
            self._left[files] -= counts
            for file in files[self._left[files] == 0].tolist():
                del self._arrays[file]
