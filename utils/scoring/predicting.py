"""The steps of predict.py: which recordings and which models, and from their scores to a table of detections."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import Cluster, Config
from utils import console
from utils.console import Failure, UserError, printable
from utils.recordings.audio_files import is_sound
from utils.recordings.given_recordings import GivenRecordings, find_recordings
from utils.scoring.inference.ensembles import chosen_members
from utils.scoring.inference.interval_rules import for_unit
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.named_models import check_named_models, with_snapshots
from utils.scoring.prediction_call import PredictFlags
from utils.scoring.submissions.dynamic_threshold import with_share_threshold
from utils.scoring.submissions.formats.detections import detections_of_intervals
from utils.scoring.submissions.formats.registry import FORMATS
from utils.scoring.submissions.part_inference import InferenceResult, interval_scores, predict_missing
from utils.scoring.submissions.plots.folder import plots_folder
from utils.scoring.submissions.tally import Tally
from utils.scoring.submissions.task import Task, task_of
from utils.sound.report import is_partial

if TYPE_CHECKING:
    from utils.scoring.submissions.plots.writing import WrittenPlots

ROWS_ON_SCREEN = 40
ShownRow = tuple[str, ...]


@dataclass(frozen=True)
class PredictionTask:
    """What is predicted, and where the detections go.

    Attributes
    ----------
    task : as of a submission
    given : the recordings
    out : where the table goes; None: to the screen
    """

    task: Task
    given: GivenRecordings
    out: Path | None


@contextmanager
def prepare_prediction(places: Sequence[str], config: Config, flags: PredictFlags) -> Iterator[PredictionTask]:
    """Read and check all that predictions depend on; yield the task, which nobody else works on meanwhile.

    Raises
    ------
    UserError
        If something is missing or does not fit.
    """
    given = find_recordings(places)
    config = for_unit(config_of_call(config, flags), "interval")
    out = _checked_out(flags, given, config)
    check_named_models(config, flags.snapshot)
    members = chosen_members(config)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "detections" if out is None else out
        home.parent.mkdir(parents=True, exist_ok=True)
        task = task_of(
            config,
            "soundscape",
            members,
            root=given.root,
            files=given.files,
            path=home,
            parts=home.with_name(f".{home.name}.parts"),
            given_thresholds=flags.threshold is not None,
            origins=out is not None,
        )
        task = _with_plots_beside(task, home)
        with console.alone(home.parent, home.name):
            _checked_out(flags, given, config)  # another call may have written it while this one waited
            yield PredictionTask(task, given, out)


def _with_plots_beside(task: Task, out: Path) -> Task:
    """Return the task with the folder of plots named after the table, whatever its ending."""
    stem = out.with_suffix("") if _is_one_file(task.layout.settings.format) else out
    return replace(task, plots=plots_folder(stem)) if task.plots else task


def _is_one_file(form: str) -> bool:
    """Tell whether the detections of a format are one file, not a folder of them."""
    return bool(Path(f"x{FORMATS[form].suffix}").suffix)


def config_of_call(config: Config, flags: PredictFlags) -> Config:
    """Return the settings of the run, with what the call asks for."""
    if flags.threshold is not None and not 0 <= flags.threshold <= 1:
        raise UserError(f"--threshold {flags.threshold:g}: should be from 0 to 1")
    if flags.out is None and (flags.format or flags.overwrite or flags.plots):
        raise UserError("--format, --overwrite and --plots are of --out FILE, which is missing")
    form: Any = _format_of(flags)
    submission = replace(config.submission, format=form, events="none", history="none", sample=None, class_ids=None)
    submission = replace(submission, plots=flags.plots)
    if flags.threshold is not None:
        submission = replace(submission, min_score=flags.threshold, dynamic="off")
    if flags.out is None:  # parts are in the memory of this machine alone
        config = replace(config, cluster=Cluster())
    return with_snapshots(replace(config, submission=submission), flags.snapshot)


def _format_of(flags: PredictFlags) -> str:
    possible = {name: form for name, form in FORMATS.items() if form.write_detections}
    if not flags.format:
        endings = {form.suffix: name for name, form in reversed(possible.items()) if form.suffix.startswith(".")}
        if flags.out and flags.out.suffix.lower() not in endings and not is_sound(flags.out):
            raise UserError(
                f"--out {flags.out}: say in which format (--format {', '.join(possible)}), "
                f"or end the name with {' or '.join(sorted(endings))}"
            )
        return endings.get(flags.out.suffix.lower(), "csv") if flags.out else "csv"
    if flags.format not in possible:
        raise UserError(f"--format {flags.format}: should be one of {', '.join(possible)}")
    return flags.format


def _checked_out(flags: PredictFlags, given: GivenRecordings, config: Config) -> Path | None:
    """Return where detections go; nothing that is there is replaced but a file, if the user says so."""
    if flags.out is None:
        return None
    out = flags.out.expanduser().resolve()
    name = f"--out {printable(out)}"
    if is_sound(out) or out in given.files:
        raise UserError(f"{name}: has the name of a recording; choose another")
    if out.is_dir() or (out.exists() and not _is_one_file(config.submission.format)):
        raise UserError(f"{name}: is there already, and --overwrite replaces only files by files; choose another name")
    if out.exists() and not flags.overwrite:
        raise UserError(f"{name}: is there already; choose another name, or add --overwrite")
    return out


@dataclass(frozen=True)
class PredictedRecordings:
    """What was predicted.

    Attributes
    ----------
    result : of inference
    tally : of intervals and species
    rows : number of detections
    shown : the first of them, for the screen
    highest : the highest score of all, as a sentence
    threshold : from which score on a species is detected, for people
    failures : what could not be used
    plots : of the detections, if they were asked for
    """

    result: InferenceResult
    tally: Tally
    rows: int
    shown: list[ShownRow]
    highest: str
    threshold: str
    failures: list[Failure]
    plots: "WrittenPlots | None" = None

    @property
    def complete(self) -> bool:
        """Whether nothing was left out, and no recording was used only in part."""
        return not self.failures and not any(is_partial(odd.reason) for odd in self.tally.odd)


def write_prediction(prediction: PredictionTask, config: Config) -> PredictedRecordings:
    """Predict the recordings that have no predictions yet; write the table, whole or not at all, if it is wanted.

    Raises
    ------
    UserError
        If a network is damaged.
    """
    task, given = prediction.task, prediction.given
    result = predict_missing(task, config)
    task = with_share_threshold(task, failed=result.failures)
    tally, best = Tally(), Highest(task.layout.classes)
    results = best.through(tally.through(interval_scores(task, result.failures), task.layout))
    plots, results = _with_plots(task, results)
    if prediction.out:
        rows, shown = FORMATS[task.layout.settings.format].write(task.path, results, task.layout), list[ShownRow]()
    else:
        rows, shown = _rows_for_screen(results, task)
    task.parts.remove()
    tally.zero_scores.warn(config.testing)
    failures = [Failure(task.layout.files[index], failure.reason) for index, failure in result.failures.items()]
    unused = [*given.failures, *task.recorders.failures, *task.postprocessing.unused]
    threshold = task.layout.rule.text
    return PredictedRecordings(result, tally, rows, shown, best.text, threshold, [*failures, *unused], plots)


def _with_plots(
    task: Task, results: Iterator[IntervalScores]
) -> tuple["WrittenPlots | None", Iterator[IntervalScores]]:
    """Pass recordings on; the plots are drawn after the last one, if they were asked for."""
    if task.plots is None:
        return None, results
    from utils.scoring.submissions.plots.writing import (
        WrittenPlots,
        write_plots_through,
    )  # matplotlib is slow to import

    plots = WrittenPlots(task.plots)
    return plots, write_plots_through(plots, results, task.layout)


def _rows_for_screen(results: Iterable[IntervalScores], task: Task) -> tuple[int, list[ShownRow]]:
    rows: Iterator[ShownRow] = (
        (file, task.layout.classes[one.class_index], _clock_time(one.start), _clock_time(one.end), f"{one.score:.3f}")
        for file, detections in detections_of_intervals(results, task.layout)
        for one in detections
    )
    shown = list(islice(rows, ROWS_ON_SCREEN))
    return len(shown) + sum(1 for _ in rows), shown


def _clock_time(seconds: float) -> str:
    """Return a time in a recording, such as 1:05 or 1:02:05.5."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    seconds_text = f"{rest:02.0f}" if rest.is_integer() else f"{rest:04.1f}"
    return f"{hours}:{minutes:02d}:{seconds_text}" if hours else f"{minutes}:{seconds_text}"


@dataclass
class Highest:
    """The highest score of all, for when no species is detected."""

    classes: Sequence[str]
    score: float = -1.0
    text: str = ""

    def through(self, results: Iterable[IntervalScores]) -> Iterator[IntervalScores]:
        """Pass recordings on, and look at their scores."""
        for one in results:
            if one.scores.size and float(one.scores.max()) > self.score:
                row, column = divmod(int(one.scores.argmax()), one.scores.shape[1])
                self.score = float(one.scores[row, column])
                when = _clock_time(float(one.starts[row]))
                self.text = f"{self.classes[column]} with {self.score:.3f}, in {one.file} at {when}"
            yield one


def report_prediction(
    predicted: PredictedRecordings, prediction: PredictionTask, *, seconds: float
) -> PredictedRecordings:
    """Print detections, a summary, and what to do next."""
    task, given, result = prediction.task, prediction.given, predicted.result
    for file, rows in groupby(predicted.shown, key=itemgetter(0)):
        console.show_grid(file, ["species", "from", "to", "score"], [row[1:] for row in rows])
    more = predicted.rows - len(predicted.shown)
    if not prediction.out and more:
        console.info(f"and {more:,} more; --out detections.csv writes all of them to a file")
    speed = f", {result.seconds / result.time:,.0f} × real time" if result.seconds else ""
    used = len(task.files) - len(result.failures)
    console.show_table(
        "Prediction",
        {
            "snapshots": ", ".join(printable(member.snapshot.folder) for member in task.ensemble.members),
            "threshold": predicted.threshold,
            "recordings": f"{used:,} of {len(task.files):,} in {printable(given.root)}",
            **({"other files": f"{given.others:,} in the same folders are no recordings"} if given.others else {}),
            "intervals": f"{predicted.tally.intervals:,} of {task.interval:g} s",
            "detections": f"{predicted.rows:,} of {len(predicted.tally.detected):,} species",
            **({"file": printable(prediction.out)} if prediction.out else {}),
            **({"plots": predicted.plots.text} if predicted.plots else {}),
            "time": f"{console.clock(seconds)}{speed}",
        },
    )
    if predicted.plots:
        predicted.plots.report()
    if not predicted.rows and predicted.highest:
        console.info(
            f"no species reaches its threshold; the highest score: {predicted.highest} (--threshold lowers it)"
        )
    console.report_failures(predicted.failures, what="recordings", done="could not be used")
    console.report_failures(predicted.tally.odd, what="recordings", done="read, with a warning")
    return predicted
