"""Where spectrograms are computed: in the workers that decode, or on an accelerator in the main process.

For the accelerator, workers leave the clips of a recording as float32 in a file beside its part. The main process reads
and removes the file at once, so that it hardly reaches the disk.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from config import Config
from utils.console import UserError
from utils.files import atomic_file
from utils.sound.remote import on_local_copy
from utils.spectra.clip_parts import Clip
from utils.spectra.clips import clip_samples, margin_samples
from utils.spectra.extraction import ClipCandidate, Job, JobResult, RecordingScan, ScoredClip, extract, write_part

CLIPS_PER_BATCH = 256  # clips that the device computes at once
# packages by which JAX uses an accelerator
PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm60_plugin", "jax_rocm7_plugin", "libtpu")
SAMPLES, METADATA = "samples", "metadata.json"  # contents of the file of clips


def engine_of(config: Config) -> tuple[Callable[[Job], Any], Callable[[Job], JobResult] | None]:
    """Return what a worker does with a recording, and what the main process does after it, by `spectrogram.engine`.

    Raises
    ------
    UserError
        If the device is asked for and cannot compute these spectrograms.
    """
    engine = config.spectrogram.engine
    # JAX takes seconds to import
    if (
        config.clips.keep == "embeddings"
        or engine == "cpu"
        or (engine == "auto" and not any(find_spec(plugin) for plugin in PLUGINS))
    ):
        return extract, None
    import jax

    from utils.spectra.on_device import reason_against_device

    length, _, _ = clip_samples(config.clips, rate=config.spectrogram.rate)
    reason = reason_against_device(config.spectrogram, samples=length)
    if engine == "auto" and (reason or jax.default_backend() == "cpu"):
        return extract, None
    if reason:
        raise UserError(f"spectrogram.engine = device, but {reason}; set spectrogram.engine to cpu")
    return decode_for_device, extract_on_device


@on_local_copy
def decode_for_device(job: Job) -> None:
    """Decode a recording and leave its candidate clips in a file for `extract_on_device`.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    scan, rows = RecordingScan(job), []
    with atomic_file(_clips_file(job), lasting=False) as stream, zipfile.ZipFile(stream, "w") as archive:
        with archive.open(SAMPLES, "w", force_zip64=True) as entry:
            for candidate, samples in scan.candidates():
                rows.append([*candidate.clip, *candidate[1:]])
                entry.write(np.ascontiguousarray(samples, np.float32).tobytes())
        metadata = {
            "seconds": scan.seconds,
            "peaks": scan.peaks,
            "skipped": scan.skipped,
            "rows": rows,
            "warnings": scan.warnings,
        }
        archive.writestr(METADATA, json.dumps(metadata, default=float))


def extract_on_device(job: Job) -> JobResult:
    """Compute the spectrograms of the clips that `decode_for_device` left, and write `job.part` as `extract` does."""
    file, scan = _clips_file(job), RecordingScan(job)
    with zipfile.ZipFile(file) as archive, archive.open(SAMPLES) as entry:
        metadata = json.loads(archive.read(METADATA))
        scan.seconds, scan.skipped = metadata["seconds"], metadata["skipped"]
        scan.peaks = [tuple(peak) for peak in metadata["peaks"]]
        scan.warnings = tuple(metadata["warnings"])
        split = len(Clip._fields)
        candidates = [ClipCandidate(Clip(*row[:split]), *row[split:]) for row in metadata["rows"]]
        result = write_part(job, scan, _spectrograms_on_device(candidates, entry, job))
    file.unlink()
    return result


def _spectrograms_on_device(candidates: list[ClipCandidate], entry: Any, job: Job) -> Iterator[ScoredClip]:
    from utils.spectra.on_device import make_spectrograms

    length, _, _ = clip_samples(job.clips, rate=job.spectrogram.rate)
    margin = margin_samples(job.clips, rate=job.spectrogram.rate)
    whole = length + 2 * margin
    for first in range(0, len(candidates), CLIPS_PER_BATCH):
        batch = candidates[first : first + CLIPS_PER_BATCH]
        samples = np.zeros((CLIPS_PER_BATCH, whole), np.float32)  # always one size, so that JAX compiles once
        samples[: len(batch)] = np.frombuffer(entry.read(4 * whole * len(batch)), np.float32).reshape(-1, whole)
        clips = samples[:, margin : whole - margin]
        spectrograms, scores = (np.asarray(array) for array in make_spectrograms(clips, job.spectrogram))
        yield from zip(batch, samples, spectrograms, scores.tolist(), strict=False)


def _clips_file(job: Job) -> Path:
    return job.part.with_suffix(".sound")
