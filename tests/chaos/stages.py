"""The stages that chaos tests kill and stop, what they must still write, and how a stage is started with a plan."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from tests.conftest import REPOSITORY, small_config, write_folders
from utils.settings import to_toml

INJECT = Path(__file__).parent / "inject"
LIMIT = 300.0  # seconds that a stage may take on a busy machine
TIMES = {"seconds", "seconds_per_batch", "clips_per_second"}  # values that differ between runs
SIZES = {"bytes"}  # of snapshots: Orbax packs the same arrays into files of slightly different sizes
IGNORED = ("*/tensorboard/*",)  # its files are named by the second in which they were created


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Attributes
    ----------
    words : its script and the flags after the experiment's file
    makes : files below the root that it must write; every file there is compared, these only show that there are some
    largest : limit of file sizes (bytes) in the test of files that cannot grow: less than the stage's largest file has
    """

    words: tuple[str, ...]
    makes: tuple[str, ...]
    largest: int = 2000


# in the order of the chain; each stage is run undisturbed once, when a test first needs it
STAGES: Mapping[str, Stage] = {
    "sort_data": Stage(("sort_data.py",), ("split.parquet", "metadata/Altus clarus/A0.json", "audit.csv")),
    "spec": Stage(
        ("spec.py",), ("spec/clips.parquet", "spec/shards/Altus clarus-000/spectrograms.npy", "spec/overview.html")
    ),
    "train": Stage(("train.py",), ("snapshots/small/log.csv", "snapshots/small/epoch_003/classes.txt")),
    "test": Stage(("test.py",), ("snapshots/small/test/metrics.json", "snapshots/small/test/scores.parquet")),
    "submission": Stage(
        ("submission_soundscape.py", "--submission.recordings", "archive", "--submission.folder", "root/submissions"),
        ("submissions/small_soundscape.csv", "submissions/small_soundscape.html"),
    ),
    "monophone": Stage(
        ("submission_monophone.py", "--submission.recordings", "archive", "--submission.folder", "root/submissions"),
        ("submissions/small_monophone.csv",),
        largest=150,
    ),
    "distill": Stage(
        (
            "distill.py",
            "--run",
            "student",
            "--distillation.teachers",
            "root/snapshots/small",
            "--distillation.no-compare_without_teachers",
        ),
        ("snapshots/student/log.csv", "snapshots/student/teachers.json", "snapshots/student/test/metrics.json"),
    ),
}


@dataclass
class Chain:
    """A small data set below `base`: archive, experiment, root, and a copy of the root after each undisturbed stage."""

    base: Path
    undisturbed: dict[str, "Ended"] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.base / "root"

    def after(self, stage: str) -> Path:
        """Return the copy of the root after this undisturbed stage."""
        return self.base / f"after {stage}"

    def put_before(self, stage: str) -> None:
        """Restore the root to its state before this stage; the first time, run the stage undisturbed."""
        names = list(STAGES)
        before = names[names.index(stage) - 1] if stage != names[0] else None
        if before and before not in self.undisturbed:
            self.put_before(before)
        self._restore(before)
        if stage not in self.undisturbed:
            self.undisturbed[stage] = run(self, stage)
            assert self.undisturbed[stage].status == 0, self.undisturbed[stage].output
            self.root.rename(self.after(stage))
            self._restore(before)

    def _restore(self, before: str | None) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        if before:
            shutil.copytree(self.after(before), self.root, symlinks=True)


def make_chain(base: Path) -> Chain:
    """Write the archive of three species and the experiment."""
    chain = Chain(base)
    write_folders(base / "archive")
    (base / "small.toml").write_text(to_toml(small_config(chain.root, base / "archive")))
    return chain


@dataclass(frozen=True)
class Ended:
    """How a stage ended.

    Attributes
    ----------
    status : exit status; −9 if it was killed
    output : what it printed
    seconds : from the first file that it opened for writing to its end
    renames, opens : number of files that it renamed, and opened for writing
    """

    status: int
    output: str
    seconds: float
    renames: int
    opens: int


def start(chain: Chain, stage: str, *flags: str, root: Path | None = None, **plan: Any) -> subprocess.Popen[str]:
    """Start a stage in a new process group; `plan` is the plan for inject/sitecustomize.py."""
    for left in chain.base.glob("journal.*"):
        left.unlink()
    plan = {"below": str(root or chain.root), "journal": str(chain.base / "journal"), **plan}
    script, *more = STAGES[stage].words
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / script), "small.toml", *more, *flags],
        cwd=chain.base,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(INJECT), "CHAOS": json.dumps(plan), "PYTHONUNBUFFERED": "1"},
    )


def wait_for_work(chain: Chain, process: subprocess.Popen[str], *, opens: int = 1) -> float:
    """Wait until a stage has opened so many files for writing (the first one after all imports); return the time."""
    end = time.monotonic() + LIMIT
    while size_of(chain.base / "journal.opens") < opens and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.002)
    return time.monotonic()


def run(chain: Chain, stage: str, *flags: str, kill_after: float | None = None, **plan: Any) -> Ended:
    """Run a stage to its end, or kill its process group after so many seconds of work."""
    process = start(chain, stage, *flags, **plan)
    started = wait_for_work(chain, process)
    if kill_after is not None:
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=LIMIT)
    counts = {kind: size_of(chain.base / f"journal.{kind}") for kind in ("renames", "opens")}
    return Ended(process.returncode, output, time.monotonic() - started, **counts)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def difference(one: Path, other: Path) -> list[str]:
    """Return what differs between two roots: names, and the content of every file.

    All files are compared byte for byte, except files with times (compared without them), arrays of snapshots (their
    files have random names: every array is compared, bit for bit), and TensorBoard's files.
    """
    files = [
        {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()} for root in (one, other)
    ]
    networks = sorted(
        {name.rsplit("/_METADATA", 1)[0] for found in files for name in found if name.endswith("/_METADATA")}
    )
    ours = [
        {
            name
            for name in found
            if not any(fnmatch(name, pattern) for pattern in (*IGNORED, *(f"{network}/*" for network in networks)))
        }
        for found in files
    ]
    differing = sorted(ours[0] ^ ours[1])
    differing += [name for name in sorted(ours[0] & ours[1]) if content(one / name) != content(other / name)]
    return differing + [network for network in networks if arrays(one / network) != arrays(other / network)]


def content(path: Path) -> Any:
    """Return what a file holds besides times, and how many workers there were."""
    reader = WITHOUT_TIMES.get(path.name)
    return reader(path) if reader else path.read_bytes()


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(stream)]


def _metrics(path: Path) -> dict[str, Any]:
    return {key: value for key, value in json.loads(path.read_text(encoding="utf-8")).items() if key not in TIMES}


def _settings(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("workers = ")]


def _networks(path: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in network.items() if key not in TIMES | SIZES}
        for network in json.loads(path.read_text(encoding="utf-8"))["networks"]
    ]


def _page(path: Path) -> str:
    """Return a report without the sizes and speeds (columns 4 and 5) in its table of teachers and student."""
    before, heading, after = path.read_text(encoding="utf-8").partition('<h2 id="networks">')
    table, end, rest = after.partition("</table>")
    return (
        before + heading + re.sub("(<tr>(?:<td>[^<]*</td>){3})<td>[^<]*</td><td>[^<]*</td>", r"\1", table) + end + rest
    )


WITHOUT_TIMES: Mapping[str, Callable[[Path], Any]] = {
    "timings.json": lambda path: list(json.loads(path.read_text(encoding="utf-8"))),
    "log.csv": _rows,
    "distillation.json": _networks,
    "report.html": _page,
    "metrics.json": _metrics,
    "settings.toml": _settings,
}


def arrays(folder: Path) -> dict[str, bytes]:
    """Return every array that Orbax saved in a folder, as bytes, with shape and type."""
    if not folder.is_dir():
        return {}
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(folder.absolute())
    return {
        name: repr((np.shape(array), np.asarray(array).dtype)).encode() + np.asarray(array).tobytes()
        for name, array in tree.items()
    }
