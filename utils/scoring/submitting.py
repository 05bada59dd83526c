"""The steps of both submission scripts: predict the recordings that have no part yet, and write the submission."""

from contextlib import suppress
from pathlib import Path

from config import Config
from utils import console
from utils.models.snapshots import recordings_used
from utils.recordings.annotations import is_annotations, read_annotations
from utils.recordings.inventory import Inventory, take_inventory
from utils.scoring.evaluation.soundscape_truth import Truth
from utils.scoring.evaluation.soundscapes import (
    SoundscapeEvaluation,
    SoundscapeEvaluator,
    SoundscapeMetrics,
    print_soundscape_metrics,
    write_soundscape_metrics,
    write_soundscape_thresholds,
)
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.interval_rules import rules_text
from utils.scoring.inference.metadata_blend import blend_text
from utils.scoring.submissions.day_times import DayTimes
from utils.scoring.submissions.dynamic_threshold import with_share_threshold
from utils.scoring.submissions.event_table import write_events
from utils.scoring.submissions.flags import SubmissionFlags
from utils.scoring.submissions.formats.registry import check_submission, write_rows
from utils.scoring.submissions.history import DetectionHistory
from utils.scoring.submissions.novelty_table import write_novelty_through
from utils.scoring.submissions.part_inference import InferenceResult, interval_scores, predict_missing
from utils.scoring.submissions.plots.folder import remove_plots
from utils.scoring.submissions.plots.writing import WrittenPlots, write_plots_through
from utils.scoring.submissions.results import Checked, Submitted
from utils.scoring.submissions.tally import Tally
from utils.scoring.submissions.task import Kind, Task, prepare_submission, submissions_within
from utils.scoring.submissions.timeline import write_timeline


def submit(config: Config, kind: Kind, flags: SubmissionFlags) -> Submitted | Checked:
    """Predict the recordings that have no predictions yet, and write the submission; or only check a file."""
    elapsed = console.stopwatch()
    task = prepare_submission(config, kind)
    if flags.check:
        return check_file(flags.check, task)
    with console.alone(task.folder, task.name):
        result = predict_missing(task, config)
        submitted = write_submission(task, result, config)
    return report_submission(submitted, result, task, config, seconds=elapsed())


def check_file(path: Path, task: Task) -> Checked:
    """Report what a challenge's parser would reject in a file, as a submission for `task`.

    Raises
    ------
    UserError
        If there is no such file.
    """
    problems = check_submission(path, task.layout)
    for problem in problems:
        console.warning(problem)
    verdict = "would be rejected" if problems else "no problems found"
    console.info(f"{console.printable(path)}: {verdict} (as {task.layout.settings.format}, {task.kind})")
    return Checked(path, problems)


def write_submission(task: Task, result: InferenceResult, config: Config) -> Submitted:
    """Write the submission from the parts of its recordings; it appears whole, and then the parts are removed.

    Soundscapes get a page of timelines and, as settings and annotations beside them allow, events and metrics.

    Raises
    ------
    UserError
        If the format cannot hold it.
    """
    task = with_share_threshold(task, failed=result.failures)
    layout, truth = task.layout, task.truth
    tally = Tally()
    evaluator = SoundscapeEvaluator(truth, layout.classes, layout.rule, config.testing) if truth else None
    day_times, history = DayTimes(layout), DetectionHistory(layout)
    results = day_times.through(tally.through(interval_scores(task, result.failures), layout))
    results = history.through(results)
    results = evaluator.through(results) if evaluator else results
    novelty = task.folder / f"{config.run}_{task.kind}_novelty.csv"
    novelty.unlink(missing_ok=True)
    if layout.novelty:
        results = write_novelty_through(novelty, results, defuse=config.submission.defuse)
    plots = WrittenPlots(task.plots) if task.plots else None
    if plots:
        results = write_plots_through(plots, results, layout)
    else:
        remove_plots(task.folder / f"{config.run}_{task.kind}_plots")
    rows = write_rows(task.path, results, layout)
    tally.zero_scores.warn(config.testing)
    times = day_times.write(task.folder / f"{config.run}_{task.kind}_times")
    histories = history.write(task.folder / f"{config.run}_{task.kind}_history")
    evaluation = evaluator.finish(made_from=config.run) if evaluator else None
    used = evaluator.used if evaluator else None
    events = write_events(task, run=config.run, failed=result.failures, truth=used)
    if evaluation and truth:
        evaluation = evaluation.with_onsets(events.onsets if events else None)
        _warn_of_known_recordings(task, truth)
    metrics = evaluation.metrics if evaluation else None
    thresholds = _write_evaluation(evaluation, task, config) if evaluation else None
    has_page = task.kind == "soundscape" and config.submission.page_minutes and task.files
    page = _write_page(task, result, config, used, metrics, plots) if has_page else None
    task.parts.remove()
    failures = [console.Failure(layout.files[index], failure.reason) for index, failure in result.failures.items()]
    inventory = _inventory(task, result, config)
    unused = [
        *inventory.failures,
        *task.recorders.failures,
        *task.postprocessing.unused,
        *(truth.failures if truth else ()),
        *(evaluator.failures if evaluator else ()),
    ]
    return Submitted(
        task.path,
        recordings=len(task.files) - len(failures),
        intervals=tally.intervals,
        rows=rows,
        species=len(tally.detected),
        failures=failures,
        metrics=metrics,
        thresholds=thresholds,
        page=page,
        novelty=novelty if layout.novelty else None,
        events=events,
        times=times,
        history=histories,
        plots=plots,
        odd=tally.odd,
        unused=unused,
        files=inventory.line(),
    )


def _warn_of_known_recordings(task: Task, truth: Truth) -> None:
    """Warn if annotated recordings have the names of recordings that a model was trained or validated on."""
    learned = set[str]().union(*(recordings_used(member.snapshot) for member in task.ensemble.members))
    names = {Path(name).name for name in learned}
    known = [file for file in truth.events if Path(file).stem in names]
    if known:
        console.warning(
            f"{len(known)} of {len(truth.events)} annotated recordings have names of recordings that the models were "
            f"trained on ({Path(known[0]).name}{', …' if len(known) > 1 else ''}), so that their metrics and "
            "thresholds are too good; use other recordings"
        )


def _write_evaluation(evaluation: SoundscapeEvaluation, task: Task, config: Config) -> Path | None:
    """Write the metrics and the thresholds that are best for annotated recordings; return the path of the latter."""
    write_soundscape_metrics(task.folder / f"{config.run}_{task.kind}.json", evaluation.metrics)
    stem = task.folder / f"{config.run}_{task.kind}_thresholds"
    fingerprint = fingerprint_of_scores(task.ensemble.members, config)
    written = write_soundscape_thresholds(
        stem, evaluation, task.layout.classes, interval=task.interval, fingerprint=fingerprint, title=config.run
    )
    if written and config.testing.max_false_alarms is not None:
        console.warning(
            f"testing.max_false_alarms raises the thresholds of test.py; those in {stem.name}.json, which are best for "
            "these annotations, stay as they are"
        )
    return stem.with_name(f"{stem.name}.json") if written else None


def _write_page(
    task: Task,
    result: InferenceResult,
    config: Config,
    truth: Truth | None,
    metrics: SoundscapeMetrics | None,
    plots: WrittenPlots | None,
) -> Path:
    path = task.folder / f"{config.run}_{task.kind}.html"
    write_timeline(
        path,
        interval_scores(task, result.failures),
        task.layout,
        settings=task.ensemble.members[0].snapshot.config,
        title=config.run,
        truth=truth,
        metrics=metrics,
        plots=plots.files if plots else {},
    )
    return path


def _inventory(task: Task, result: InferenceResult, config: Config) -> Inventory:
    """Return what all files in the folder of the recordings are."""
    root, columns = task.layout.recordings, config.dataset.columns
    without = submissions_within(root, config)
    seen = {task.files[index] for index in result.failures} | (
        task.truth.seen if task.truth else _annotation_files(root, config)
    )
    settings = (
        config.submission.sample,
        config.submission.class_ids,
        config.submission.whitelist,
        config.dataset.taxonomy,
        config.dataset.aliases,
    )
    tables = (*settings, config.testing.prior, config.dataset.deployments)
    named = {path.resolve() for path in tables if path}
    seen |= task.recorders.summaries
    seen |= {root / path.relative_to(root.resolve()) for path in named if path.is_relative_to(root.resolve())}
    used = {file for index, file in enumerate(task.files) if index not in result.failures}
    return take_inventory(root, used=used, seen=seen, columns=columns, without=[] if without is None else [without])


def _annotation_files(root: Path, config: Config) -> frozenset[Path]:
    """Return the files of annotations beside recordings, for a submission that does not use them."""
    columns, without = config.dataset.columns, submissions_within(root, config)
    with suppress(console.UserError):  # about the columns that the settings name
        if is_annotations(root, columns, without=without):
            return read_annotations(root, columns, without=without).seen
    return frozenset()


def report_submission(
    submitted: Submitted, result: InferenceResult, task: Task, config: Config, *, seconds: float
) -> Submitted:
    """Print what was submitted, and what to do next."""
    speed = f", {result.seconds / result.time:,.0f} × real time" if result.seconds else ""
    folder = console.printable(task.layout.recordings)
    console.show_table(
        "Submission",
        {
            "snapshots": ", ".join(console.printable(member.snapshot.folder) for member in task.ensemble.members),
            **rules_text(config.testing, "interval" if task.interval else "recording"),
            **blend_text(config.testing),
            "recordings": f"{submitted.recordings:,} of {len(task.files):,} in {folder}",
            "files": submitted.files,
            "intervals": f"{submitted.intervals:,}",
            "species": f"{submitted.species:,} of {len(task.layout.classes):,} detected",
            "time": f"{console.clock(seconds)}{speed}",
            "submission": f"{console.printable(submitted.path)}, {submitted.rows:,} rows",
            **({"timelines": console.printable(submitted.page)} if submitted.page else {}),
            **({"events": submitted.events.text} if submitted.events else {}),
            **({"plots": submitted.plots.text} if submitted.plots else {}),
            **({"novelty": console.printable(submitted.novelty)} if submitted.novelty else {}),
            **({"times of day": console.printable(submitted.times)} if submitted.times else {}),
            **({"detection history": submitted.history.text} if submitted.history else {}),
        },
    )
    if submitted.plots:
        submitted.plots.report()
    if submitted.metrics:
        print_soundscape_metrics(submitted.metrics)
        if submitted.thresholds:
            path = console.printable(submitted.thresholds)
            console.info(f"thresholds that are best for these recordings: {path} (for submission.thresholds)")
    elif task.truth:
        console.warning("there are annotations of the recordings, but none of them can be used; there are no metrics")
    console.info(f"next: {_after_submission(submitted, task)}")
    console.report_failures(submitted.failures, what="recordings", done="could not be used")
    console.report_failures(submitted.odd, what="recordings", done="read, with a warning")
    console.report_failures(submitted.unused, what="files or rows of tables")
    return submitted


def _after_submission(submitted: Submitted, task: Task) -> str:
    path = console.printable(submitted.path)
    if task.kind == "monophone":
        return "python submission_soundscape.py with the same experiment, for long recordings; or submit the file"
    if submitted.page:
        page = console.printable(submitted.page)
        return f"open {page}, the timelines of the recordings, in a browser; or submit {path}"
    return f"open {path} beside the recordings, or submit it"
