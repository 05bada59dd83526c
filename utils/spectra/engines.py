"""Where pictures are made: by the workers that decode, or, of what they decoded, by an accelerator in the main process.

Workers leave the clips of a recording beside its part, as float32; they are read, drawn and removed at once, so that
they hardly reach the disk.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from config import Config
from utils.console import UserError
from utils.files import whole_file
from utils.spectra.clips import clip_samples
from utils.spectra.extraction import Candidate, Job, Listening, Work, extract, leave_part
from utils.spectra.parts import Clip

BATCH = 256  # clips that the device draws at once
# what JAX needs for an accelerator
PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm60_plugin", "jax_rocm7_plugin", "libtpu")
SAMPLES, WORDS = "samples", "heard.json"


def engine_of(config: Config) -> tuple[Callable[[Job], Any], Callable[[Job], Work] | None]:
    """Return what workers do with a recording, and what the main process then does, by `spectrogram.engine`.

    Raises
    ------
    UserError
        If the device is asked for and cannot draw these pictures.
    """
    engine = config.spectrogram.engine
    # JAX takes seconds to import
    if engine == "cpu" or (engine == "auto" and not any(find_spec(plugin) for plugin in PLUGINS)):
        return extract, None
    import jax

    from utils.spectra.on_device import refusal

    length, _, _ = clip_samples(config.clips, rate=config.spectrogram.rate)
    reason = refusal(config.spectrogram, samples=length)
    if engine == "auto" and (reason or jax.default_backend() == "cpu"):
        return extract, None
    if reason:
        raise UserError(f"spectrogram.engine = device, but {reason}; cpu draws them")
    return listen, draw


def listen(job: Job) -> None:
    """Decode a recording and leave its candidates beside its part, for `draw`.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    heard, rows = Listening(job), []
    with whole_file(_beside(job), lasting=False) as stream, zipfile.ZipFile(stream, "w") as archive:
        with archive.open(SAMPLES, "w", force_zip64=True) as entry:
            for candidate, samples in heard.candidates():
                rows.append([*candidate.clip, *candidate[1:]])
                entry.write(np.ascontiguousarray(samples, np.float32).tobytes())
        words = {
            "seconds": heard.seconds,
            "peaks": heard.peaks,
            "passed_over": heard.passed_over,
            "rows": rows,
            "warnings": heard.warnings,
        }
        archive.writestr(WORDS, json.dumps(words, default=float))


def draw(job: Job) -> Work:
    """Draw what `listen` left on the device, and leave the pictures in `job.part`, as `extract` does."""
    file, heard = _beside(job), Listening(job)
    with zipfile.ZipFile(file) as archive, archive.open(SAMPLES) as entry:
        words = json.loads(archive.read(WORDS))
        heard.seconds, heard.passed_over, heard.peaks = (
            words["seconds"],
            words["passed_over"],
            [tuple(peak) for peak in words["peaks"]],
        )
        heard.warnings = tuple(words["warnings"])
        split = len(Clip._fields)
        candidates = [Candidate(Clip(*row[:split]), *row[split:]) for row in words["rows"]]
        work = leave_part(job, heard, _drawn(candidates, entry, job))
    file.unlink()
    return work


def _drawn(
    candidates: list[Candidate], entry: Any, job: Job
) -> Iterator[tuple[Candidate, UInt8[np.ndarray, "height width"], float]]:
    from utils.spectra.on_device import make_pictures

    length, _, _ = clip_samples(job.clips, rate=job.spectrogram.rate)
    for first in range(0, len(candidates), BATCH):
        batch = candidates[first : first + BATCH]
        samples = np.zeros((BATCH, length), np.float32)  # one size, so that one program serves all
        samples[: len(batch)] = np.frombuffer(entry.read(4 * length * len(batch)), np.float32).reshape(-1, length)
        pictures, scores = (np.asarray(array) for array in make_pictures(samples, job.spectrogram))
        yield from zip(batch, pictures, scores.tolist(), strict=False)


def _beside(job: Job) -> Path:
    return job.part.with_suffix(".sound")
