"""The cells of one recording by one group of members, which leave the memory as clips pass by."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile

import numpy as np
from jaxtyping import Float32

from utils.scoring.inference.batching import ScoredClips
from utils.scoring.inference.ensembles import MemberGroup
from utils.scoring.inference.frame_grid import FrameGrid, count_cells
from utils.spectra.clips import clip_samples
from utils.spectra.interval_clips import IntervalSpectrograms

CELLS_IN_MEMORY = 2**20  # bytes of a recording's cells; more wait in a file


class CellCollector:
    """Collects the scores of frames as clips are scored, and holds the finished cells; many are in a file.

    Parameters
    ----------
    scratch : folder for what does not fit into memory; None: `TMPDIR`
    """

    def __init__(self, group: MemberGroup, scratch: Path | None) -> None:
        self._group, self._cells = group, 0
        self._grid: FrameGrid | None = None
        home = None if scratch is None else str(scratch)
        self._rows = SpooledTemporaryFile(CELLS_IN_MEMORY, dir=home)  # noqa: SIM115 — `close` closes it

    def add(self, part: ScoredClips) -> None:
        """Take in the scores of the next clips' frames."""
        outcome = part.source.outcome
        if not isinstance(outcome, IntervalSpectrograms) or part.frames is None:
            return
        self._grid = self._grid or self._grid_of(outcome)
        cells = self._grid.add(part.frames)
        self._rows.write(cells.tobytes())
        self._cells += len(cells)

    def _grid_of(self, outcome: IntervalSpectrograms) -> FrameGrid:
        rate = self._group.spectrogram.rate
        length, _, _ = clip_samples(self._group.clips, rate=rate)
        return FrameGrid(
            outcome.starts,
            length=length,
            rate=rate,
            cells=count_cells(outcome.length),
            classes=len(self._group.classes),
        )

    def tables(self, size: int) -> Iterator[Float32[np.ndarray, "_ classes"]]:
        """Yield all cells, at most `size` at once."""
        self._rows.seek(0)
        classes = len(self._group.classes)
        for first in range(0, self._cells, size):
            count = min(size, self._cells - first)
            yield np.frombuffer(self._rows.read(4 * count * classes), np.float32).reshape(count, classes)

    def close(self) -> None:
        """Drop the cells."""
        self._rows.close()
