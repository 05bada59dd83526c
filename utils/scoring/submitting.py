"""The steps of both submission scripts: what is asked for, answering what is missing, and the file that counts."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from config import Config
from utils import console
from utils.recordings.account import Account, account_of
from utils.recordings.annotations import is_annotations, read_annotations
from utils.scoring.evaluation.soundscape_truth import Truth, read_truth
from utils.scoring.evaluation.soundscapes import SoundscapeFigures, SoundscapeScores, show_figures, write_figures
from utils.scoring.inference.ensembles import Ensemble, assemble, chosen_models
from utils.scoring.inference.fingerprints import fingerprint_of_parts, fingerprint_of_scores
from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.inference.intervals import answer_intervals
from utils.scoring.submissions.formats import Sheet, check, check_sheet, suffix, write_submission
from utils.scoring.submissions.formats.sheet import called
from utils.scoring.submissions.parts import Parts, is_whole, read_part
from utils.scoring.submissions.postprocessing import Finishing, finishing_of, found_by_test, recordings_of
from utils.scoring.submissions.timeline import write_timeline
from utils.sound.report import is_partial
from utils.spectra.interval_grid import interval_times

Kind = Literal["monophone", "soundscape"]


@dataclass(frozen=True)
class Flags:
    """What a call of either script may ask for."""

    # answer nothing; only say, line by line, what a challenge's parser would refuse in this file, or folder
    check: Path | None = None


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
    truth : who sings in soundscapes, where somebody has listened
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
    truth: Truth | None = None

    @property
    def folder(self) -> Path:
        """Where submissions are."""
        return self.path.parent

    @property
    def name(self) -> str:
        """By which no other call may work on it meanwhile, in whatever format."""
        return self.parts.folder.name


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
    """What was written so far: how many intervals, which classes were called in some of them, and of which recordings something is odd."""

    intervals: int = 0
    said: set[int] = field(default_factory=set)
    odd: list[console.Failure] = field(default_factory=list)

    def through(self, results: Iterable[IntervalScores], sheet: Sheet) -> Iterator[IntervalScores]:
        """Pass recordings on, and count them."""
        for one in results:
            self.intervals += len(one.scores)
            self.said.update(np.flatnonzero(called(one, sheet).any(axis=0)).tolist())
            self.odd += [console.Failure(one.file, "; ".join(one.warnings))] if one.warnings else []
            yield one


@dataclass(frozen=True)
class Submitted:
    """What a submission holds.

    Attributes
    ----------
    path : where it is
    recordings, intervals, rows : how many were answered and written
    species : how many were called in some interval
    failures : the recordings that could not be used
    figures : how right the answers are, where somebody has listened
    page : the timelines of soundscapes
    odd : the recordings of which something is odd, such as that their end is missing
    unused : files of the folder, and annotations, that could not be used
    files : what became of the files of the folder, in words
    """

    path: Path
    recordings: int
    intervals: int
    rows: int
    species: int
    failures: list[console.Failure]
    figures: SoundscapeFigures | None = None
    page: Path | None = None
    odd: Sequence[console.Failure] = ()
    unused: Sequence[console.Failure] = ()
    files: str = ""

    @property
    def complete(self) -> bool:
        """Whether there were recordings, nothing was left out, and none was used only in part."""
        partial = [warning for warning in self.odd if is_partial(warning.reason)]
        return bool(self.recordings) and not (self.failures or partial or self.unused)


@dataclass(frozen=True)
class Checked:
    """What a challenge's parser would refuse in a file, a line each."""

    path: Path
    failures: list[str]

    @property
    def complete(self) -> bool:
        """Whether nothing would be refused."""
        return not self.failures


def prepare(config: Config, kind: Kind) -> Task:
    """Read all that a submission depends on, so that nothing is refused after hours of work.

    Raises
    ------
    UserError
        If something is missing or does not fit.
    """
    models = chosen_models(config)
    root, files = recordings_of(config, long=kind == "soundscape")
    ensemble = assemble(models)
    interval = config.submission.interval if kind == "soundscape" else 0.0
    _check_overlap(ensemble, config)
    truth = _truth_of(root, config) if kind == "soundscape" and files else None
    names = tuple(file.relative_to(root).as_posix() for file in files)
    found = found_by_test(ensemble.classes, config, fingerprint=fingerprint_of_scores(models, config))
    finishing = finishing_of(ensemble.classes, names, found.calibration, config)
    sheet = Sheet(
        ensemble.classes,
        config.submission,
        config.dataset.root,
        root,
        found.thresholds,
        names,
        monophone=kind == "monophone",
    )
    check_sheet(sheet)
    path = config.submission.folder / f"{config.run}_{kind}{suffix(config.submission.format)}"
    parts = Parts(
        config.submission.folder / f"{config.run}_{kind}.parts",
        fingerprint_of_parts(models, config, interval=interval),
        root=root,
    )
    return Task(
        kind, interval, ensemble, files, [parts.path_of(file) for file in files], finishing, sheet, parts, path, truth
    )


def _truth_of(root: Path, config: Config) -> Truth | None:
    """Read what people say of the recordings; what is in the folder of submissions is no annotation, and would be scored against itself."""
    folder = config.submission.folder
    if folder.resolve() == root.resolve():
        raise console.UserError(
            f"submission.folder = {folder}: is the folder of the recordings, whose tables are read as annotations; choose another"
        )
    return read_truth(root, config.dataset, without=_submissions_in(root, config))


def _submissions_in(root: Path, config: Config) -> Path | None:
    """Return the folder of submissions as a path below that of the recordings, by whatever way both are named; None where it does not lie in it."""
    ways = [
        tuple(folder.resolve() for folder in (config.submission.folder, root)),
        tuple(folder.absolute() for folder in (config.submission.folder, root)),
    ]
    return next(
        (root / folder.relative_to(home) for folder, home in ways if folder != home and folder.is_relative_to(home)),
        None,
    )


def _check_overlap(ensemble: Ensemble, config: Config) -> None:
    overlap = config.submission.overlap
    for listener in ensemble.listeners:
        if overlap is not None and int((listener.clips.length - overlap) * listener.spectrogram.rate) < 1:
            raise console.UserError(
                f"submission.overlap = {overlap:g}: should be less than the clips of all nets, {listener.clips.length:g} s"
            )


def answer_missing(task: Task, config: Config) -> Heard:
    """Answer the recordings of which nothing is kept, and keep what is answered.

    Raises
    ------
    UserError
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
        coming = answer_intervals(
            task.ensemble, files, targets, config, interval=task.interval, scratch_in=task.parts.folder
        )
        with closing(coming):
            for one in coming:
                seconds += one.length.frames / one.length.rate
                share += sizes[one.row] / sum(sizes)
                if one.failure:
                    failures[missing[one.row]] = one.failure
                advance(
                    1,
                    note=f"{seconds / passed():,.0f} × real time, {console.clock(passed() * (1 - share) / share)} left",
                )
    return Heard(failures, seconds, passed())


def check_file(path: Path, task: Task) -> Checked:
    """Say what a challenge's parser would refuse in a file that is to answer what `task` asks for.

    Raises
    ------
    UserError
        If there is no such file.
    """
    problems = check(path, task.sheet)
    for problem in problems:
        console.warn(problem)
    console.say(
        f"{console.shown(path)}: {'would be refused' if problems else 'nothing to refuse'} as {task.sheet.settings.format}, {task.kind}"
    )
    return Checked(path, problems)


def write(task: Task, heard: Heard, config: Config) -> Submitted:
    """Write the submission from what is kept of its recordings; it appears whole, and then what was kept is removed.

    Soundscapes come with a page of timelines and, where annotations lie beside them, with figures.

    Raises
    ------
    UserError
        If the format cannot hold it.
    """
    tally, judged = Tally(), SoundscapeScores(task.truth, task.sheet) if task.truth else None
    results = tally.through(_results(task, heard.failures), task.sheet)
    rows = write_submission(task.path, judged.through(results) if judged else results, task.sheet)
    figures = judged.finish() if judged else None
    if figures:
        write_figures(task.folder / f"{config.run}_{task.kind}.json", figures)
    pictured = task.kind == "soundscape" and config.submission.page_minutes and task.files
    page = _write_page(task, heard, config, judged.used if judged else None, figures) if pictured else None
    task.parts.remove()
    failures = [console.Failure(task.sheet.files[number], failure.reason) for number, failure in heard.failures.items()]
    account = _account(task, heard, config)
    unused = [*account.failures, *(task.truth.failures if task.truth else ()), *(judged.failures if judged else ())]
    answered = len(task.files) - len(failures)
    return Submitted(
        task.path,
        answered,
        tally.intervals,
        rows,
        len(tally.said),
        failures,
        figures,
        page,
        tally.odd,
        unused,
        account.line(),
    )


def _account(task: Task, heard: Heard, config: Config) -> Account:
    """Say what became of all files in the folder of the recordings."""
    root, columns = task.sheet.recordings, config.dataset.columns
    without = _submissions_in(root, config)
    seen = {task.files[number] for number in heard.failures} | (
        task.truth.seen if task.truth else _annotations_in(root, config)
    )
    settings = (
        config.submission.sample,
        config.submission.class_ids,
        config.submission.whitelist,
        config.dataset.taxonomy,
        config.dataset.aliases,
    )
    named = {path.resolve() for path in (*settings, config.testing.prior) if path}
    seen |= {root / path.relative_to(root.resolve()) for path in named if path.is_relative_to(root.resolve())}
    used = {file for number, file in enumerate(task.files) if number not in heard.failures}
    return account_of(root, used=used, seen=seen, columns=columns, without=[] if without is None else [without])


def _annotations_in(root: Path, config: Config) -> frozenset[Path]:
    """Return the files of annotations that a submission has no use for."""
    columns, without = config.dataset.columns, _submissions_in(root, config)
    with suppress(console.UserError):  # of the columns that the settings name
        return (
            read_annotations(root, columns, without=without).seen
            if is_annotations(root, columns, without=without)
            else frozenset()
        )
    return frozenset()


def _write_page(
    task: Task, heard: Heard, config: Config, truth: Truth | None, figures: SoundscapeFigures | None
) -> Path:
    path = task.folder / f"{config.run}_{task.kind}.html"
    pictured = task.ensemble.models[0].snapshot.config
    write_timeline(
        path,
        _results(task, heard.failures),
        task.sheet,
        settings=pictured,
        title=config.run,
        truth=truth,
        figures=figures,
    )
    return path


def _results(task: Task, failures: dict[int, console.Failure]) -> Iterator[IntervalScores]:
    """Yield what is answered to each recording, in the order of files."""
    nothing, no_scores = np.zeros(0), np.zeros((0, len(task.sheet.classes)))
    for number, (file, target) in enumerate(zip(task.sheet.files, task.targets, strict=True)):
        name = task.files[number].stem
        if number in failures:
            yield IntervalScores(name, file, nothing, nothing, no_scores, no_scores, failures[number].reason)
            continue
        kept = read_part(target)
        scores, uncalibrated = task.finishing.scores(kept, number=number, scratch_in=task.parts.folder)
        starts, ends = interval_times(kept.length, interval=task.interval)
        yield IntervalScores(name, file, starts, ends, scores, uncalibrated, warnings=kept.length.warnings)


def conclude(submitted: Submitted, heard: Heard, task: Task, *, seconds: float) -> Submitted:
    """Say what was submitted, and what comes next."""
    speed = f", {heard.seconds / heard.time:,.0f} × real time" if heard.seconds else ""
    console.show_table(
        "Submission",
        {
            "snapshots": ", ".join(console.shown(model.snapshot.folder) for model in task.ensemble.models),
            "recordings": f"{submitted.recordings:,} of {len(task.files):,} in {console.shown(task.sheet.recordings)}",
            "files": submitted.files,
            "intervals": f"{submitted.intervals:,}",
            "species": f"{submitted.species:,} of {len(task.sheet.classes):,} called",
            "time": f"{console.clock(seconds)}{speed}",
            "submission": f"{console.shown(submitted.path)}, {submitted.rows:,} rows",
            **({"timelines": console.shown(submitted.page)} if submitted.page else {}),
        },
    )
    if submitted.figures:
        show_figures(submitted.figures)
    elif task.truth:
        console.warn(
            "annotations lie beside the recordings, but nothing of them can be used, so that nothing is scored"
        )
    console.say(f"next: {_next(submitted, task)}")
    console.report_failures(submitted.failures, what="recordings", done="could not be used")
    console.report_failures(submitted.odd, what="recordings", done="read, with a warning")
    console.report_failures(submitted.unused, what="files or annotations")
    return submitted


def _next(submitted: Submitted, task: Task) -> str:
    """Say what comes after a submission."""
    if task.kind == "monophone":
        return "python submission_soundscape.py with the same experiment, for long recordings; or hand the file in"
    if submitted.page:
        return f"open {console.shown(submitted.page)}, the timelines of the recordings, in a browser; or hand {console.shown(submitted.path)} in"
    return f"open {console.shown(submitted.path)} beside the recordings, or hand it in"
