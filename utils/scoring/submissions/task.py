"""The task of a submission: its recordings, models, parts and format, read and checked before inference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from config import Config
from utils import console
from utils.recordings.audio_files import has_text_name, sounds_below
from utils.recordings.recorders.clocks import time_zone
from utils.recordings.recorders.survey import NO_SURVEY, Survey, survey_files
from utils.scoring.evaluation.soundscape_truth import Truth, read_truth
from utils.scoring.inference.ensembles import Ensemble, Member, assemble, chosen_members
from utils.scoring.inference.fingerprints import fingerprint_of_parts, fingerprint_of_scores
from utils.scoring.inference.interval_rules import for_unit, warn_of_unused_rules
from utils.scoring.metrics.units import Unit
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.formats.registry import FORMATS, check_layout
from utils.scoring.submissions.formats.species_names import model_names
from utils.scoring.submissions.plots.folder import plots_folder
from utils.scoring.submissions.postprocessing import Postprocessing, needs_places, postprocessing_of
from utils.scoring.submissions.results_of_test import TestResults, read_test_results
from utils.scoring.submissions.score_parts import Parts

TEST_FOLDERS = ("test", "test_audio")  # of a data set or its archive
SOUNDSCAPE_FOLDERS = ("soundscapes", "test_soundscapes")

Kind = Literal["monophone", "soundscape"]


@dataclass(frozen=True)
class Task:
    """What a submission is made from and where it goes.

    Attributes
    ----------
    kind : which script runs
    interval : seconds; 0: each recording is one interval
    ensemble : the models
    files : the recordings, and `targets`, the paths of their parts
    postprocessing, layout : how pooled scores become those that are written, and how these are written
    parts : of the recordings
    path : of the submission
    truth : the annotations of soundscapes, if there are any
    recorders : what recorders wrote about the recordings, if the submission needs it
    plots : the folder of its plots, if there are to be any
    """

    kind: Kind
    interval: float
    ensemble: Ensemble
    files: list[Path]
    targets: list[Path]
    postprocessing: Postprocessing
    layout: SubmissionLayout
    parts: Parts
    path: Path
    truth: Truth | None = None
    recorders: Survey = NO_SURVEY
    plots: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder of submissions."""
        return self.path.parent

    @property
    def name(self) -> str:
        """The name under which only one call may work at a time, in whatever format."""
        return self.parts.folder.name


def prepare_submission(config: Config, kind: Kind) -> Task:
    """Read and check all that a submission depends on, so that no error comes after hours of work.

    Raises
    ------
    UserError
        If something is missing or does not fit.
    """
    unit: Unit = "interval" if kind == "soundscape" else "recording"
    warn_of_unused_rules(config, unit)
    config = for_unit(config, unit)
    members = chosen_members(config)
    _check_events(members, config, kind)
    root, files = recordings_of(config, long=kind == "soundscape")
    truth = _truth_of(root, config) if kind == "soundscape" and files else None
    stem = config.submission.folder / f"{config.run}_{kind}"
    path = stem.with_name(f"{stem.name}{FORMATS[config.submission.format].suffix}")
    parts = stem.with_name(f"{stem.name}.parts")
    return replace(task_of(config, kind, members, root=root, files=files, path=path, parts=parts), truth=truth)


def task_of(
    config: Config,
    kind: Kind,
    members: Sequence[Member],
    *,
    root: Path,
    files: list[Path],
    path: Path,
    parts: Path,
    given_thresholds: bool = False,
    origins: bool = True,
) -> Task:
    """Read and check all that the predictions of some recordings depend on.

    Parameters
    ----------
    root, files : the folder of the recordings, and these
    path, parts : where the submission and its parts go
    given_thresholds : `submission.min_score` is the threshold, whatever a test has found
    origins : whether the submission may tell what recorders wrote; else they are read only if a prior needs them

    Raises
    ------
    UserError
        If something is missing or does not fit.
    """
    basis = basis_of(config, kind, members, given_thresholds=given_thresholds)
    return task_on(basis, root=root, files=files, path=path, parts=parts, origins=origins)


@dataclass(frozen=True)
class TaskBasis:
    """What the predictions of any recordings depend on, read and checked once.

    Attributes
    ----------
    config, kind, members : as of `task_of`
    interval : seconds; 0: each recording is one interval
    ensemble : the models
    tested : thresholds and calibration
    fingerprint : of parts
    """

    config: Config
    kind: Kind
    members: tuple[Member, ...]
    interval: float
    ensemble: Ensemble
    tested: TestResults
    fingerprint: str


def basis_of(config: Config, kind: Kind, members: Sequence[Member], *, given_thresholds: bool = False) -> TaskBasis:
    """Read and check what does not depend on the recordings; parameters and errors are those of `task_of`."""
    ensemble = assemble(members, frames=config.submission.events != "none")
    interval = config.submission.interval if kind == "soundscape" else 0.0
    _check_overlap(ensemble, config)
    of_scores = fingerprint_of_scores(members, config)
    tested = read_test_results(
        ensemble.classes, config, fingerprint=of_scores, interval=interval, given_thresholds=given_thresholds
    )
    of_parts = fingerprint_of_parts(members, config, interval=interval)
    return TaskBasis(config, kind, tuple(members), interval, ensemble, tested, of_parts)


def task_on(basis: TaskBasis, *, root: Path, files: list[Path], path: Path, parts: Path, origins: bool = True) -> Task:
    """Return the task for some recordings; parameters and errors are those of `task_of`."""
    config, classes = basis.config, basis.ensemble.classes
    names = tuple(file.relative_to(root).as_posix() for file in files)
    plotted = config.submission.plots and basis.kind == "soundscape"
    needed = _needs_recorders(config, origins=origins) or plotted
    recorders = survey_files(names, root, config.dataset) if needed else NO_SURVEY
    told = recorders.metadata or None
    postprocessing = postprocessing_of(classes, names, basis.tested.calibration, config, told)
    layout = SubmissionLayout(
        classes,
        config.submission,
        config.dataset.root,
        root,
        basis.tested.thresholds,
        names,
        monophone=basis.kind == "monophone",
        novelty=basis.ensemble.measures_novelty,
        recorders=dict(zip(names, told or (), strict=bool(told))),
        zone=time_zone(config.dataset.time_zone),
        taxonomy=config.dataset.taxonomy,
        model=model_names(member.snapshot.folder for member in basis.members),
    )
    layout = check_layout(layout)
    of_parts = Parts(parts, basis.fingerprint, root=root)
    targets = [of_parts.path_of(file) for file in files]
    used = basis.interval, basis.ensemble, files, targets, postprocessing, layout, of_parts, path
    plots = plots_folder(path.with_name(path.name.removesuffix(FORMATS[config.submission.format].suffix)))
    return Task(basis.kind, *used, recorders=recorders, plots=plots if plotted else None)


def _needs_recorders(config: Config, *, origins: bool) -> bool:
    """Tell whether a submission depends on sites, times or places of the recordings.

    Raises
    ------
    UserError
        If the prior cannot be read.
    """
    chosen = [FORMATS[name] for name in (config.submission.format, config.submission.events) if name != "none"]
    tells = any(form.recorders for form in chosen) or config.submission.history != "none"
    return (origins and tells) or needs_places(config)


def recordings_of(config: Config, *, long: bool) -> tuple[Path, list[Path]]:
    """Return the folder of the recordings, and these, sorted by path.

    Parameters
    ----------
    long : if `submission.recordings` is not set, whether soundscapes are looked for first, or test recordings

    Raises
    ------
    UserError
        If there are none. A folder without recordings is allowed if a sample says which rows are wanted: Kaggle fills
        the folder when a submission is scored.
    """
    named, archive = config.submission.recordings, config.dataset.archive_folder
    homes = [config.dataset.root, *([archive] if archive else [])]
    in_order = (*SOUNDSCAPE_FOLDERS, *TEST_FOLDERS) if long else (*TEST_FOLDERS, *SOUNDSCAPE_FOLDERS)
    folders = [named] if named else [home / name for name in in_order for home in homes]
    for folder in folders:
        # others are reported at the end, with all files that are not used
        named_files = (file for file in sounds_below(folder) if has_text_name(file.relative_to(folder)))
        files = sorted(named_files, key=lambda file: file.relative_to(folder).as_posix())
        if files:
            return folder, files
    empty = next((folder for folder in folders if folder.is_dir()), None)
    takes_sample = FORMATS[config.submission.format].check_sample is not None
    if empty and takes_sample and config.submission.sample:
        console.warning(
            f"{console.printable(empty)}: has no recordings; "
            f"all rows of {config.submission.sample} are written without predictions"
        )
        return empty, []
    hint = (
        "; with submission.sample = sample_submission.csv, its rows are written without predictions, "
        "as in a notebook that is saved before it is scored"
        if empty and takes_sample
        else ""
    )
    if named:
        raise console.UserError(
            f"submission.recordings = {named}: {'has no recordings' if empty else 'no such folder'}{hint}"
        )
    raise console.UserError(
        f"no recordings in {' or '.join(map(console.printable, folders))}; "
        f"set submission.recordings to their folder{hint}"
    )


def submissions_within(root: Path, config: Config) -> Path | None:
    """Return the folder of submissions as a path below that of the recordings; None if it is elsewhere."""
    pairs = [
        tuple(folder.resolve() for folder in (config.submission.folder, root)),
        tuple(folder.absolute() for folder in (config.submission.folder, root)),
    ]
    return next(
        (root / folder.relative_to(home) for folder, home in pairs if folder != home and folder.is_relative_to(home)),
        None,
    )


def _truth_of(root: Path, config: Config) -> Truth | None:
    """Read the annotations of the recordings, except in the folder of submissions: these would be their own truth."""
    folder = config.submission.folder
    if folder.resolve() == root.resolve():
        raise console.UserError(
            f"submission.folder = {folder}: is the folder of the recordings, whose tables are read as annotations; "
            "choose another folder"
        )
    return read_truth(root, config.dataset, without=submissions_within(root, config) or folder)


def _check_events(members: Sequence[Member], config: Config, kind: Kind) -> None:
    """Refuse events of whole recordings, and of models that do not predict frames; warn if thresholds are too low."""
    setting = f"submission.events = {config.submission.events}"
    if config.submission.events == "none":
        return
    if kind == "monophone":
        raise console.UserError(f"{setting}: is for submission_soundscape.py; set it to none for whole recordings")
    for member in members:
        if not member.snapshot.config.has_frames:
            raise console.UserError(
                f"{setting}: {console.printable(member.snapshot.folder)} does not predict frames; train a model with "
                "model.pool = attention"
            )
    rules = config.testing.postprocessing
    if rules.top_intervals or rules.maximum_power:
        console.warning(
            f"{setting}: testing.postprocessing lowers the scores of intervals, not those of frames, so that "
            "thresholds that were chosen with it are low for events; choose others (submission.thresholds)"
        )


def _check_overlap(ensemble: Ensemble, config: Config) -> None:
    overlap = config.submission.overlap
    for group in ensemble.groups:
        if overlap is not None and int((group.clips.length - overlap) * group.spectrogram.rate) < 1:
            raise console.UserError(
                f"submission.overlap = {overlap:g}: should be less than the clips of all models, "
                f"{group.clips.length:g} s"
            )
