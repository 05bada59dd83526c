"""Embeddings of detections, computed once by the snapshot that made them, and kept in the folder of the review.

    <review>/embeddings/<key>.npy         float16 (spans, features): all, whole or not at all
    <review>/embeddings/parts/<key>.npy   those of one recording, until all are there: a stopped call resumes

A key is a hash of the network, the settings of its clips, and the spans; and of each recording's size and time.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float16, Float32

from config import Config
from utils import console
from utils.console import Failure, UserError, printable
from utils.files import atomic_file
from utils.models.prototypes import unit_length
from utils.models.snapshots import Snapshot, network_digest
from utils.review.detections import Detections
from utils.review.embeddings import SoundEmbeddings, span_index, spans_of
from utils.scoring.inference.ensembles import input_settings, outputs_of
from utils.scoring.inference.snapshot_predictors import SnapshotPredictor
from utils.scratch import scratch_folder
from utils.settings_keys import settings_for_key, short_key
from utils.spectra.event_clips import EventSpectrograms, event_spectrograms
from utils.spectra.extraction import Job
from utils.workers.fanout import fan_out

EMBEDDING_FOLDER = "embeddings"
EMBEDDING_FORM = 1  # version of the files
ON_WHICH_THEY_DEPEND = ("clips.", "spectrogram.", "external.", "model.")
RECORDINGS_AHEAD = 2  # in hand for each worker
EMBEDDING_SCRATCH = ".spectrograms-"


@dataclass(frozen=True)
class RecordingPart:
    """The spans of one recording.

    Attributes
    ----------
    spans : starts and ends, seconds
    path : of its embeddings, while others are missing
    """

    recording: str
    spans: tuple[tuple[float, float], ...]
    path: Path


def embeddings_of(detections: Detections, snapshot: Snapshot, config: Config, folder: Path) -> SoundEmbeddings:
    """Return the embeddings of all detections; those that are missing are computed now.

    Parameters
    ----------
    snapshot : whose network makes them
    folder : of the review

    Raises
    ------
    UserError
        If no recording can be read, or the network is damaged.
    """
    spans, home = spans_of(detections), folder / EMBEDDING_FOLDER
    network = [EMBEDDING_FORM, network_digest(snapshot) or snapshot.folder.as_posix()]
    network += [settings_for_key(snapshot.config, of=ON_WHICH_THEY_DEPEND)]
    parts = list(_embedding_parts(detections, spans, home / "parts", network))
    path = home / f"{short_key([part.path.name for part in parts])}.npy"
    if not path.is_file():
        with console.alone(home, "computation of embeddings"):
            failures = _compute_embeddings(detections, parts, snapshot, config)
            _join_parts_of_embeddings(path, parts)
            shutil.rmtree(home / "parts", ignore_errors=True)
        console.report_failures(failures, what="recordings", done="have no embeddings")
    return SoundEmbeddings(_mapped(path, rows=len(spans)), span_index(detections, spans), path)


def _embedding_parts(
    detections: Detections, spans: pl.DataFrame, folder: Path, network: list[object]
) -> Iterator[RecordingPart]:
    for (name,), rows in spans.group_by(["recording"], maintain_order=True):
        found = (detections.recordings / str(name)).stat()
        times = tuple(rows.select("start", "end").iter_rows())
        key = short_key([network, name, found.st_size, found.st_mtime_ns, times])
        yield RecordingPart(str(name), times, folder / f"{key}.npy")


def _compute_embeddings(
    detections: Detections, parts: list[RecordingPart], snapshot: Snapshot, config: Config
) -> list[Failure]:
    """Write the embeddings of each recording that has none yet; return those that cannot be read."""
    missing = {part.recording: part for part in parts if not _has_embeddings(part)}
    failures = []
    if not missing:
        return []
    predict = outputs_of(snapshot, config.testing, further=("embeddings",))
    clips, spectrogram, external = input_settings(snapshot.config)
    home = parts[0].path.parent
    home.mkdir(parents=True, exist_ok=True)
    with (
        scratch_folder(home, prefix=EMBEDDING_SCRATCH) as scratch,
        console.progress("embeddings", total=len(missing), unit="recordings") as advance,
    ):
        jobs = [
            Job(
                part.recording,
                detections.recordings / part.recording,
                0,
                clips,
                spectrogram,
                part=scratch / part.path.stem,
                events=tuple((start, end, "") for start, end in part.spans),
                external=external,
            )
            for part in missing.values()
        ]
        outcomes = fan_out(
            event_spectrograms, jobs, workers=config.workers, name=lambda job: job.name, ahead=RECORDINGS_AHEAD
        )
        for job, outcome in outcomes:
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                part = missing[job.name]
                with atomic_file(part.path) as stream:
                    np.save(stream, _of_spans(outcome, predict, len(part.spans), config.testing.batch_size))
            advance()
    return failures


def _has_embeddings(part: RecordingPart) -> bool:
    """Tell whether the embeddings of a recording are there; a damaged file is removed, to be made again."""
    try:
        if len(np.load(part.path, mmap_mode="r", allow_pickle=False)) == len(part.spans):
            return True
    except FileNotFoundError:
        return False
    except (OSError, ValueError, EOFError) as error:
        console.warning(f"{printable(part.path)}: is damaged ({error}), and is made again")
    part.path.unlink()
    return False


def _of_spans(
    made: EventSpectrograms, predict: SnapshotPredictor, spans: int, batch_size: int
) -> Float16[np.ndarray, "spans features"]:
    """Return the mean embedding of each span's clips at unit length; zeros for spans after the end of the recording."""
    parts: list[Float32[np.ndarray, "clips features"]] = []
    for pixels in made.blocks(batch_size):
        found = predict(pixels).embeddings
        assert found is not None  # noqa: S101 — they were asked for
        parts.append(unit_length(found))
    clips = np.concatenate(parts)
    sums = np.zeros((spans, clips.shape[1]), np.float32)
    np.add.at(sums, made.events, clips)
    return unit_length(sums).astype(np.float16)


def _join_parts_of_embeddings(path: Path, parts: list[RecordingPart]) -> None:
    """Write the embeddings of all recordings as one array; zeros for recordings that have none.

    Raises
    ------
    UserError
        If none has any.
    """
    widths = {np.load(part.path, mmap_mode="r").shape[1] for part in parts if part.path.is_file()}
    if not widths:
        raise UserError(f"{path.parent}: no recording of the table can be read, so there are no embeddings")
    (width,) = widths
    shape = (sum(len(part.spans) for part in parts), width)
    with atomic_file(path) as stream:
        header: Mapping[str, object] = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, dict(header))
        for part in parts:
            rows = np.load(part.path) if part.path.is_file() else np.zeros((len(part.spans), width), np.float16)
            stream.write(rows.astype("<f2").tobytes())


def _mapped(path: Path, *, rows: int) -> Float16[np.ndarray, "rows features"]:
    """Return an array that stays on disk until it is read."""
    try:
        found: Float16[np.ndarray, "rows features"] = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.dtype != np.float16 or found.ndim != 2 or len(found) != rows:
            raise ValueError("is no array of the embeddings of this table")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{printable(path)}: cannot be used ({error}); remove it, and it is made again") from None
    return found
