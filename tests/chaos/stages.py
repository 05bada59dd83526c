"""The stages that are killed and starved, what they must leave all the same, and how a stage is started with a plan of what is to happen to it."""

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

from config import to_toml
from tests.conftest import REPOSITORY, small_config, write_folders

INJECT = Path(__file__).parent / "inject"
LIMIT = 300.0  # seconds that a stage may take on a machine that is busy with other things
TIMES = {"seconds", "clips_per_second"}  # figures that no two runs share
SIZES = {"bytes"}  # of snapshots: Orbax packs the same arrays into files of slightly different sizes
IGNORED = ("*/tensorboard/*",)  # its files are named by the second in which they were begun


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Attributes
    ----------
    words : its script and what stands behind the experiment's file
    makes : files below the root that it must leave; the test of equality covers every file there, these only show that
        it compares something
    locked : whether a second instance is refused; one without a lock may run beside another, and both leave the same
    largest : bytes beyond which the test of files that may not grow lets none grow: less than its largest has
    """

    words: tuple[str, ...]
    makes: tuple[str, ...]
    locked: bool = True
    largest: int = 2000


# a new stage is one more line, in the order of the chain; each is run once undisturbed, when a test first asks for it
STAGES: Mapping[str, Stage] = {
    "sort_data": Stage(("sort_data.py",), ("split.parquet", "metadata/Altus clarus/A0.json", "audit.csv")),
    "spec": Stage(
        ("spec.py",), ("spec/clips.parquet", "spec/shards/Altus clarus-000/pictures.npy", "spec/overview.html")
    ),
    "train": Stage(("train.py",), ("snapshots/small/log.csv", "snapshots/small/epoch_003/classes.txt")),
    "test": Stage(
        ("test.py",), ("snapshots/small/test/metrics.json", "snapshots/small/test/scores.parquet"), locked=False
    ),
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
            "taught",
            "--distillation.teachers",
            "root/snapshots/small",
            "--distillation.no-untaught",
        ),
        ("snapshots/taught/log.csv", "snapshots/taught/teachers.json", "snapshots/taught/test/metrics.json"),
    ),
}


@dataclass
class Chain:
    """A small data set below `base`: its archive, its experiment, its root, and copies of the root as each stage leaves it undisturbed."""

    base: Path
    spent: dict[str, "Ended"] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.base / "root"

    def after(self, stage: str) -> Path:
        """Return the folder of the root as this stage leaves it undisturbed."""
        return self.base / f"after {stage}"

    def put_before(self, stage: str) -> None:
        """Bring the root into the state in which this stage finds it; the first time, run it undisturbed, to know what it leaves."""
        names = list(STAGES)
        before = names[names.index(stage) - 1] if stage != names[0] else None
        if before and before not in self.spent:
            self.put_before(before)
        self._lay(before)
        if stage not in self.spent:
            self.spent[stage] = run(self, stage)
            assert self.spent[stage].status == 0, self.spent[stage].told
            self.root.rename(self.after(stage))
            self._lay(before)

    def _lay(self, before: str | None) -> None:
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
    status : exit status; −9 where it was killed
    told : what it printed
    seconds : from the first file that it opened for writing to its end
    renames, opens : how many files it renamed, and opened for writing
    """

    status: int
    told: str
    seconds: float
    renames: int
    opens: int


def start(chain: Chain, stage: str, *flags: str, root: Path | None = None, **plan: Any) -> subprocess.Popen[str]:
    """Start a stage in a group of processes of its own; `plan` is that of inject/sitecustomize.py."""
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
    """Wait until a stage opens so many files for writing, the first of which is after all its imports; returns when that was."""
    end = time.monotonic() + LIMIT
    while size_of(chain.base / "journal.opens") < opens and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.002)
    return time.monotonic()


def run(chain: Chain, stage: str, *flags: str, kill_after: float | None = None, **plan: Any) -> Ended:
    """Run a stage until it ends, or until so many seconds of its working time have passed, after which its whole group is killed."""
    process = start(chain, stage, *flags, **plan)
    begun = wait_for_work(chain, process)
    if kill_after is not None:
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    told, _ = process.communicate(timeout=LIMIT)
    counts = {kind: size_of(chain.base / f"journal.{kind}") for kind in ("renames", "opens")}
    return Ended(process.returncode, told, time.monotonic() - begun, **counts)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def difference(one: Path, other: Path) -> list[str]:
    """Return what differs between two roots: names, and the content of every file.

    All files are compared byte for byte, but for those that tell times (compared without them), snapshots' arrays
    (whose files have names drawn by chance: every array is compared, bit for bit), and TensorBoard's.
    """
    files = [
        {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()} for root in (one, other)
    ]
    nets = sorted({name.rsplit("/_METADATA", 1)[0] for found in files for name in found if name.endswith("/_METADATA")})
    ours = [
        {
            name
            for name in found
            if not any(fnmatch(name, pattern) for pattern in (*IGNORED, *(f"{net}/*" for net in nets)))
        }
        for found in files
    ]
    differing = sorted(ours[0] ^ ours[1])
    differing += [name for name in sorted(ours[0] & ours[1]) if content(one / name) != content(other / name)]
    return differing + [net for net in nets if arrays(one / net) != arrays(other / net)]


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


def _nets(path: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in net.items() if key not in TIMES | SIZES}
        for net in json.loads(path.read_text(encoding="utf-8"))["nets"]
    ]


def _page(path: Path) -> str:
    """Return a report without the sizes and speeds in its table of teachers and student, the fourth and fifth column."""
    before, heading, after = path.read_text(encoding="utf-8").partition('<h2 id="nets">')
    table, end, rest = after.partition("</table>")
    return (
        before + heading + re.sub("(<tr>(?:<td>[^<]*</td>){3})<td>[^<]*</td><td>[^<]*</td>", r"\1", table) + end + rest
    )


WITHOUT_TIMES: Mapping[str, Callable[[Path], Any]] = {
    "timings.json": lambda path: list(json.loads(path.read_text(encoding="utf-8"))),
    "log.csv": _rows,
    "distillation.json": _nets,
    "report.html": _page,
    "metrics.json": _metrics,
    "settings.toml": _settings,
}


def arrays(folder: Path) -> dict[str, bytes]:
    """Return every array that Orbax kept in a folder, as bytes, with its shape and kind."""
    if not folder.is_dir():
        return {}
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(folder.absolute())
    return {
        name: repr((np.shape(array), np.asarray(array).dtype)).encode() + np.asarray(array).tobytes()
        for name, array in tree.items()
    }
