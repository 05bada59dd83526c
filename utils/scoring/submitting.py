"""The steps of both submission scripts: what is asked for, answering what is missing, and the file that counts."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from config import Config
from utils import console
from utils.scoring.ensembles import Ensemble, assemble, chosen_models
from utils.scoring.formats import Sheet, suffix, write_submission
from utils.scoring.interval_answers import answer_intervals
from utils.scoring.intervals import IntervalScores
from utils.scoring.kept_intervals import Parts, fingerprint_of, is_whole, read_part
from utils.scoring.submission_sheet import Finishing, chosen_thresholds, finishing_of, recordings_of
from utils.spectra.interval_grid import interval_times

Kind = Literal["monophone", "soundscape"]
NEXT: dict[Kind, str] = {
    "monophone": "python submission_soundscape.py with the same experiment, for long recordings; or hand the file in",
    "soundscape": "open the file beside the sound, or hand it in",
}


@dataclass(frozen=True)
class Task:
    """All that is known before the first recording is heard.

    Attributes
    ----------
    kind : which script is run
    interval : seconds; 0: each recording is one
    ensemble : what answers
    files : the recordings, and `targets`, where what is kept of each stands
    finishing, sheet : how pooled scores become those that are written, and how these are
    parts : what is kept
    path : of the submission
    """

    kind: Kind
    interval: float
    ensemble: Ensemble
    files: list[Path]
    targets: list[Path]
    finishing: Finishing
    sheet: Sheet
    parts: Parts
    path: Path

    @property
    def folder(self) -> Path:
        """Where submissions are."""
        return self.path.parent

    @property
    def name(self) -> str:
        """By which no other call may work on it meanwhile."""
        return self.path.stem


@dataclass(frozen=True)
class Heard:
    """What was answered in this call, and what could not be.

    Attributes
    ----------
    failures : by the number of the recording
    seconds : of sound that was heard, in how many seconds of `time`
    """

    failures: dict[int, console.Failure]
    seconds: float
    time: float


@dataclass
class Tally:
    """What was written so far."""

    intervals: int = 0
    said: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Submitted:
    """What a submission holds.

    Attributes
    ----------
    path : where it is
    recordings, intervals, rows : how many were answered and written
    species : how many were said in some interval: reached their threshold, or, without thresholds, came first
    failures : the recordings that could not be used
    """

    path: Path
    recordings: int
    intervals: int
    rows: int
    species: int
    failures: list[console.Failure]


def prepare(config: Config, kind: Kind) -> Task:
    """Read all that a submission depends on, so that nothing is refused after hours of work.

    Raises
    ------
    Trouble
        If something is missing or does not fit.
    """
    models = chosen_models(config)
    root, files = recordings_of(config, long=kind == "soundscape")
    ensemble = assemble(models)
    interval = config.submission.interval if kind == "soundscape" else 0.0
    _check_overlap(ensemble, config)
    names = tuple(file.relative_to(root).as_posix() for file in files)
    finishing = finishing_of(ensemble.classes, names, config)
    sheet = Sheet(ensemble.classes, config.submission, root, chosen_thresholds(ensemble.classes, finishing, config), names)
    path = config.submission.folder / f"{config.run}_{kind}{suffix(config.submission)}"
    parts = Parts(config.submission.folder / f"{config.run}_{kind}.parts", fingerprint_of(models, config, interval=interval), root=root)
    return Task(kind, interval, ensemble, files, [parts.path_of(file) for file in files], finishing, sheet, parts, path)


def _check_overlap(ensemble: Ensemble, config: Config) -> None:
    overlap = config.submission.overlap
    for listener in ensemble.listeners:
        if overlap is not None and int((listener.clips.length - overlap) * listener.spectrogram.rate) < 1:
            raise console.Trouble(f"submission.overlap = {overlap:g}: should be less than the clips of all nets, {listener.clips.length:g} s")


def answer_missing(task: Task, config: Config) -> Heard:
    """Answer the recordings of which nothing is kept, and keep what is answered.

    Raises
    ------
    Trouble
        If a net is damaged.
    """
    missing = [number for number, target in enumerate(task.targets) if not is_whole(target)]
    task.parts.say_others()
    done = len(task.files) - len(missing)
    if done:
        console.say(f"{done:,} of {len(task.files):,} recordings were answered before")
    failures: dict[int, console.Failure] = {}
    seconds, passed = 0.0, console.stopwatch()
    files, targets = [task.files[number] for number in missing], [task.targets[number] for number in missing]
    sizes = [1 + (file.stat().st_size if file.is_file() else 0) for file in files]
    share = 0.0
    with console.progress(task.kind, total=len(task.files), unit="recordings", spoken=True) as advance:
        advance(done)
        coming = answer_intervals(task.ensemble, files, targets, config, interval=task.interval, scratch_in=task.parts.folder)
        with closing(coming):
            for one in coming:
                seconds += one.length.frames / one.length.rate
                share += sizes[one.row] / sum(sizes)
                if one.failure:
                    failures[missing[one.row]] = one.failure
                advance(1, note=f"{seconds / passed():,.0f} × real time, {console.clock(passed() * (1 - share) / share)} left")
    return Heard(failures, seconds, passed())


def write(task: Task, heard: Heard) -> Submitted:
    """Write the submission from what is kept of its recordings; it appears whole, and then what was kept is removed.

    Raises
    ------
    Trouble
        If the format cannot hold it.
    """
    tally = Tally()
    rows = write_submission(task.path, _results(task, heard.failures, tally), task.sheet)
    task.parts.remove()
    failures = [console.Failure(task.sheet.files[number], failure.reason) for number, failure in heard.failures.items()]
    return Submitted(task.path, len(task.files) - len(failures), tally.intervals, rows, len(tally.said), failures)


def _results(task: Task, failures: dict[int, console.Failure], tally: Tally) -> Iterator[IntervalScores]:
    """Yield what is answered to each recording, in the order of files, and count it."""
    nothing = np.zeros(0)
    for number, (file, target) in enumerate(zip(task.sheet.files, task.targets, strict=True)):
        name = task.files[number].stem
        if number in failures:
            yield IntervalScores(name, file, nothing, nothing, np.zeros((0, len(task.sheet.classes))), failures[number].reason)
            continue
        kept = read_part(target)
        scores = task.finishing.scores(kept, number=number, scratch_in=task.parts.folder)
        starts, ends = interval_times(kept.length, interval=task.interval)
        tally.intervals += len(scores)
        if task.sheet.chosen is None:
            tally.said.update(scores.argmax(axis=1).tolist())
        else:
            tally.said.update(np.flatnonzero(scores.max(axis=0) >= task.sheet.chosen).tolist())
        yield IntervalScores(name, file, starts, ends, scores)


def conclude(submitted: Submitted, heard: Heard, task: Task, *, seconds: float) -> Submitted:
    """Say what was submitted, and what comes next."""
    speed = f", {heard.seconds / heard.time:,.0f} × real time" if heard.seconds else ""
    console.show_table(
        "Submission",
        {
            "snapshots": ", ".join(console.shown(model.snapshot.folder) for model in task.ensemble.models),
            "recordings": f"{submitted.recordings:,} of {len(task.files):,} in {console.shown(task.sheet.root)}",
            "intervals": f"{submitted.intervals:,}",
            "species": f"{submitted.species:,} of {len(task.sheet.classes):,} said",
            "time": f"{console.clock(seconds)}{speed}",
            "submission": f"{console.shown(submitted.path)}, {submitted.rows:,} rows",
        },
    )
    console.say(f"next: {NEXT[task.kind]}")
    console.report_failures(submitted.failures, what="recordings", done="could not be used")
    return submitted
