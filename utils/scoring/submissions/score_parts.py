"""Parts of a submission: the pooled scores of each finished recording, so that a killed call can be resumed.

    submissions/<run>_soundscape.parts/<fingerprint of networks and settings>/<fingerprint of the recording>.part

A part is one line of JSON, padded with spaces, and the pooled scores of its intervals, float32, with their novelty as
the last column if it was asked for; then, for `submission.events`, the scores of its cells, float16; then a checksum of
all that. Post-processing, prior, calibration, whitelist and format are applied later: they may change, and the parts
can still be used.
"""

import hashlib
import json
import zlib
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float16, Float32

from config import Config
from utils.console import UserError, info, printable
from utils.files import atomic_file, remove_folder
from utils.scoring.inference.ensembles import Ensemble
from utils.scoring.inference.frame_grid import count_cells
from utils.scoring.inference.intervals import IntervalPrediction, predict_intervals
from utils.spectra.decode import Length
from utils.workers.shared_disk import SEEN_SECONDS, unseen_files

ALIGNMENT = 64  # bytes: the offset of the first score is a multiple of it
CHECKSUM_SIZE = 4  # bytes
READ_SIZE = 2**20  # bytes read at once


@dataclass(frozen=True)
class PartScores:
    """The pooled scores of one recording.

    Attributes
    ----------
    length : of the recording
    scores : one column per class of the ensemble, before prior and calibration; they stay in their file
    novelty : of each interval; None if it was not asked for
    cells : the scores of its cells (`frame_grid`), which stay in their file, too; None if they were not asked for
    """

    length: Length
    scores: Float32[np.ndarray, "intervals classes"]
    novelty: Float32[np.ndarray, " intervals"] | None = None
    cells: Float16[np.ndarray, "cells classes"] | None = None


class Parts:
    """The parts of one submission.

    Attributes
    ----------
    folder : of all its parts, whatever networks and settings they are of

    Parameters
    ----------
    fingerprint : from `fingerprint_of_parts`
    root : folder of the recordings
    """

    def __init__(self, folder: Path, fingerprint: str, *, root: Path) -> None:
        self.folder, self._current, self._root = folder, folder / fingerprint, root

    def report_others(self) -> None:
        """Report, in one line, that there are parts of other networks or settings."""
        others = [file for file in self.folder.glob("*/[!.]*.part") if file.parent != self._current]
        if others:
            info(
                f"{len(others):,} recordings in {printable(self.folder)} were predicted with other networks or "
                "settings; these predictions are not used, and are removed at the end"
            )

    def path_of(self, file: Path) -> Path:
        """Return the path of a recording's part; a recording that has changed has another one."""
        try:
            stamp = file.stat().st_size, file.stat().st_mtime_ns
        except OSError:
            stamp = -1, -1
        name = json.dumps([str(self._root.absolute()), file.relative_to(self._root).as_posix(), *stamp])
        return self._current / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.part"

    def remove(self) -> None:
        """Remove all parts of the submission."""
        remove_folder(self.folder)


def predict_parts(
    ensemble: Ensemble,
    config: Config,
    *,
    files: Sequence[Path],
    targets: Sequence[Path],
    interval: float,
    scratch_in: Path,
) -> Generator[IntervalPrediction]:
    """Predict recordings, and write the part of each as it is finished; it is yielded without its scores.

    Those whose parts are complete, because a worker wrote them before it died, are not predicted again.

    Parameters
    ----------
    targets : the paths of the parts

    Others, and errors, are those of `predict_intervals`.
    """
    novelty = ensemble.measures_novelty
    columns = len(ensemble.classes) + novelty
    left = []
    for row, target in enumerate(targets):
        if is_score_part_complete(target):
            part = read_score_part(target)
            yield IntervalPrediction(row, part.length, len(part.scores), tables=())
        else:
            left.append(row)
    some = [files[row] for row in left]
    with closing(predict_intervals(ensemble, some, config, interval=interval, scratch_in=scratch_in)) as predictions:
        for one in predictions:
            row = left[one.row]
            if not one.failure:
                shape = one.intervals, columns
                write_score_part(targets[row], one.length, one.tables, shape=shape, novelty=novelty, cells=one.cells)
            yield one._replace(row=row, tables=(), cells=None)


def wait_for_parts(targets: Iterable[Path]) -> None:
    """Wait until this machine sees the parts that others wrote.

    Raises
    ------
    UserError
        If it does not, because their disk is another one.
    """
    missing = unseen_files(targets, seconds=SEEN_SECONDS)
    if missing:
        raise UserError(
            f"{missing[0]}: was written by a machine of the cluster, but is not here; all need the same disk"
        )


def write_score_part(
    path: Path,
    length: Length,
    rows: Iterable[Float[np.ndarray, "_ columns"]],
    *,
    shape: tuple[int, int],
    novelty: bool = False,
    cells: Iterable[Float[np.ndarray, "_ classes"]] | None = None,
) -> None:
    """Write a recording's part; it appears whole or not at all.

    Nobody waits for the disk, so that its checksum has to be checked before it is used.

    Parameters
    ----------
    rows : tables of scores, one after the other
    shape : of all of them together: intervals, columns
    novelty : whether the last column is the novelty
    cells : tables of the scores of all cells, one after the other
    """
    optional: dict[str, Any] = {"warnings": length.warnings} if length.warnings else {}
    optional |= {"novelty": True} if novelty else {}
    optional |= {"cells": count_cells(length)} if cells is not None else {}
    head = json.dumps({"frames": length.frames, "rate": length.rate, "shape": shape, **optional}).encode()
    head += b" " * (-(len(head) + 1) % ALIGNMENT) + b"\n"
    with atomic_file(path, lasting=False) as stream:
        stream.write(head)
        checksum = zlib.crc32(head)
        for kind, tables in (("<f4", rows), ("<f2", map(_rounded_down, cells or ()))):
            for table in tables:
                content = np.ascontiguousarray(table, kind).tobytes()
                stream.write(content)
                checksum = zlib.crc32(content, checksum)
        stream.write(checksum.to_bytes(CHECKSUM_SIZE, "little"))


def _rounded_down(scores: Float[np.ndarray, "_ classes"]) -> Float16[np.ndarray, "_ classes"]:
    """Return scores as float16, rounded towards 0, so that none reaches a threshold that it did not reach."""
    nearest = scores.astype(np.float16)
    return np.where(nearest > scores, np.nextafter(nearest, np.float16(0)), nearest)


def is_score_part_complete(path: Path) -> bool:
    """Tell whether a part is there and its checksum is right."""
    try:
        left, checksum = path.stat().st_size - CHECKSUM_SIZE, 0
        with path.open("rb") as stream:
            while left > 0:
                content = stream.read(min(READ_SIZE, left))
                checksum, left = zlib.crc32(content, checksum), left - len(content) if content else 0
            return stream.read() == checksum.to_bytes(CHECKSUM_SIZE, "little")
    except OSError:
        return False


def read_score_part(path: Path) -> PartScores:
    """Read a complete part; its scores are not read before they are used."""
    with path.open("rb") as stream:
        line = stream.readline()
    head: Mapping[str, Any] = json.loads(line)
    # parts of earlier versions have no warnings
    length = Length(head["frames"], head["rate"], tuple(head.get("warnings", ())))
    columns = np.memmap(path, "<f4", "r", offset=len(line), shape=tuple(head["shape"]))
    scores, novelty = (columns[:, :-1], columns[:, -1]) if head.get("novelty") else (columns, None)
    if "cells" not in head:
        return PartScores(length, scores, novelty)
    shape = head["cells"], scores.shape[1]
    # a recording of less than a tenth of a second has no cells, and NumPy maps no empty array
    mapped = partial(np.memmap, path, mode="r", offset=len(line) + columns.nbytes) if shape[0] else np.zeros
    return PartScores(length, scores, novelty, mapped(dtype="<f2", shape=shape))
