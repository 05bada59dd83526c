"""Count the files that a clip passes on its way from disk to the score of its recording, and the turns back.

    python -m tests.clip_path

Two functions run under a trace of calls: the worker's, from a file to spectrograms, and the main process's, from
recordings to scores. A file of utils/ counts if one of its functions ran, but for the preparation (settings, snapshots,
fingerprints), the layers of the model, and the containers of sound, of which a file has one. A turn is a call into a
file that is further down the stack, such as a callback: a reader has to go back to a file that was left. Only calls
within one thread are seen. The data are those of tests/earlier.
"""

import os
import sys
import tarfile
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

from utils.models.snapshots import find_snapshot
from utils.recordings.splits import read_split
from utils.scoring.inference.clip_workers import recording_jobs
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.recordings import predict_recordings
from utils.settings import load
from utils.spectra.recording_spectrograms import first_spectrograms

UTILS = f"{Path(__file__).parents[1] / 'utils'}{os.sep}"
DATA = Path(__file__).with_name("earlier") / "data.tar.gz"
APART = (
    "console",
    "files",
    "timings",
    "settings",
    "config",
    "models/",
    "scoring/fingerprints",
    "scoring/inference/fingerprints",
)
SHARED = {f"sound/{name}.py" for name in ("opening", "reading", "report")}  # by all containers of sound


class CallTrace:
    """The files whose functions run within the block, and the calls that lead back into one of them."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.turns: set[tuple[str, str]] = set()

    def __enter__(self) -> "CallTrace":
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        file = _file_of(frame)
        if event != "call" or file is None:
            return
        self.files.add(file)
        callers = _files_below(frame)
        if file in callers[1:] and callers[0] != file:
            self.turns.add((callers[0], file))


def _file_of(frame: FrameType) -> str | None:
    name = frame.f_code.co_filename
    file = name.removeprefix(UTILS) if name.startswith(UTILS) and frame.f_code.co_name != "<module>" else None
    if file is None or file.startswith(APART):
        return None
    return "sound/<container>" if file.startswith("sound/") and file not in SHARED else file


def _files_below(frame: FrameType) -> list[str]:
    """Return the files of the callers, nearest first, each stretch of one file once."""
    found: list[str] = []
    below = frame.f_back
    while below:
        file = _file_of(below)
        if file and found[-1:] != [file]:
            found.append(file)
        below = below.f_back
    return found


def trace_prediction(folder: Path) -> CallTrace:
    """Predict two recordings of the data in `folder` under a trace."""
    with tarfile.open(DATA) as archive:
        archive.extractall(folder, filter="data")
    os.chdir(folder)
    (run,) = Path("snapshots").iterdir()
    config, snapshot = load(run / "settings.toml"), find_snapshot(run, "best")
    assert snapshot
    recordings = read_split(config.dataset).filter(split="val").head(2)
    job = recording_jobs(recordings, config.dataset.root, snapshot.config)[0]
    with CallTrace() as trace:
        first_spectrograms(job)
        predict_recordings([Member(snapshot)], recordings, config)
    return trace


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        trace = trace_prediction(Path(scratch))
    print("\n".join(sorted(trace.files)))
    print("\n".join(f"turn: {caller} calls back into {file}" for caller, file in sorted(trace.turns)))
    print(f"{len(trace.files)} files, {len(trace.turns)} turns")
