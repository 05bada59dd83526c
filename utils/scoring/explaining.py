"""The steps of explain.py: which clip, species and models, the map of what the score depends on, image and table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from config import Config
from utils import console
from utils.console import UserError, printable
from utils.recordings.audio_files import is_sound
from utils.recordings.recording import NOISE
from utils.scoring.explanation_call import ExplainFlags
from utils.scoring.inference.clip_search import FoundClip, clip_at, clip_with_highest_score
from utils.scoring.inference.ensembles import Ensemble, MemberGroup, Scorer, assemble, chosen_members
from utils.scoring.inference.occlusion import OcclusionMap, count_clips, occlude
from utils.scoring.named_models import check_named_models, with_snapshots
from utils.spectra.bands import size_before_resizing
from utils.spectra.clips import clip_samples
from utils.spectra.interval_clips import IntervalJob
from utils.spectra.recording_survey import read_format
from utils.tables import write_csv

MOST_CELLS = 64  # rows or columns of the map
EVEN = 0.05  # of the score: if no part matters more, a line says so


@dataclass(frozen=True)
class ExplanationTask:
    """What is explained.

    Attributes
    ----------
    file : the recording
    ensemble : the models
    flags : of the call; `species` is a class, or ''
    image : where the image goes
    """

    file: Path
    ensemble: Ensemble
    flags: ExplainFlags
    image: Path


@dataclass(frozen=True)
class Explanation:
    """How a score of models that take the same spectrograms depends on parts of one of them.

    Attributes
    ----------
    species : whose score it is
    group : the models
    clip : whose spectrogram it is
    found : the map
    """

    species: str
    group: MemberGroup
    clip: FoundClip
    found: OcclusionMap

    @property
    def models(self) -> str:
        """The snapshots, for people."""
        return ", ".join(printable(member.snapshot.folder) for member in self.group.members)


@dataclass(frozen=True)
class Explained:
    """What was written: explanations, one for each kind of spectrogram, the image, and the table if it was wanted."""

    explanations: Sequence[Explanation]
    image: Path
    table: Path | None = None


def prepare_explanation(places: Sequence[str], config: Config, flags: ExplainFlags) -> ExplanationTask:
    """Read and check all that an explanation depends on.

    Raises
    ------
    UserError
        If something is missing or does not fit.
    """
    file = _checked_recording(places)
    _check_time_and_cells(flags)
    image = _checked_image(file, flags)
    config = with_snapshots(config, flags.snapshot)
    check_named_models(config, flags.snapshot)
    # novelty needs more of the models than their scores
    members = chosen_members(replace(config, testing=replace(config.testing, novelty=False)))
    for member in members:
        if member.snapshot.config.external.sha256:
            raise UserError(
                f"{printable(member.snapshot.folder)}: takes sound (a bird model from a file), not spectrograms, so "
                "that no part of a spectrogram can be replaced; explain a model that was trained on spectrograms"
            )
    ensemble = assemble(members)
    return ExplanationTask(file, ensemble, replace(flags, species=_class_named(flags.species, ensemble)), image)


def _checked_recording(places: Sequence[str]) -> Path:
    if len(places) != 1:
        raise UserError("name one recording first, such as: python explain.py robin.wav --snapshot snapshots/mine")
    file = Path(places[0]).expanduser()
    if not file.is_file():
        raise UserError(f"{places[0]}: {'is a folder; name a recording in it' if file.is_dir() else 'no such file'}")
    return file


def _check_time_and_cells(flags: ExplainFlags) -> None:
    if flags.at is not None and not 0 <= flags.at < np.inf:
        raise UserError(f"--at {flags.at:g}: should be 0 or more, seconds from the start of the recording")
    if not all(1 <= count <= MOST_CELLS for count in flags.cells):
        raise UserError(f"--cells {flags.cells[0]} {flags.cells[1]}: should be rows and columns, 1 to {MOST_CELLS}")


def _checked_image(file: Path, flags: ExplainFlags) -> Path:
    """Return where the image goes; a recording is never replaced."""
    if flags.out is None:
        return Path(f"{file.stem}_explain.png")
    image = flags.out.expanduser()
    if image.suffix.lower() != ".png" or image.is_dir() or is_sound(image):
        raise UserError(f"--out {printable(image)}: should be the image to write, such as explain.png")
    return image


def _class_named(species: str, ensemble: Ensemble) -> str:
    """Return the class that is called so, whatever its capitals; '' for ''."""
    by_name = {label.casefold(): label for label in ensemble.classes}
    if not species or species.casefold() in by_name:
        return by_name.get(species.casefold(), "")
    near = get_close_matches(species.casefold(), by_name, n=1, cutoff=0.5)
    hint = f"; the nearest is {by_name[near[0]]}" if near else ""
    raise UserError(f"--species {species!r}: is none of the {len(by_name):,} classes of the model{hint}")


def explain_clip(task: ExplanationTask, config: Config) -> list[Explanation]:
    """Find the clip and the species, and compute how the score depends on parts of the spectrogram.

    Of models that take different spectrograms, the first ones choose the clip, and each kind of spectrogram has an
    explanation of its own.

    Raises
    ------
    UserError
        If the recording or a network cannot be used.
    """
    explanations, species, at = list[Explanation](), task.flags.species, task.flags.at
    for group in _groups_with(species, task.ensemble):
        if species and species not in group.classes:
            continue
        scorer, job = group.scorer(config.testing), _job_of(task.file, group, config)
        clip = _find_clip(job, scorer, _class_columns(group, species), at=at, batch_size=config.testing.batch_size)
        species = species or group.classes[max(_class_columns(group, ""), key=lambda column: clip.scores[column])]
        at = clip.middle if at is None else at
        explanations.append(_explanation_of(species, group, clip, scorer, task.flags, config))
    return explanations


def _groups_with(species: str, ensemble: Ensemble) -> list[MemberGroup]:
    """Return the groups of models that know a class; of '', all."""
    groups = [group for group in ensemble.groups if not species or species in group.classes]
    for group in ensemble.groups:
        if group not in groups:
            names = ", ".join(printable(member.snapshot.folder) for member in group.members)
            console.info(f"{names}: does not know {species}, and is left out")
    return groups


def _class_columns(group: MemberGroup, species: str) -> list[int]:
    """Return the column of a class in the scores of a group; of '', those of all species."""
    return [index for index, label in enumerate(group.classes) if (label == species if species else label != NOISE)]


def _job_of(file: Path, group: MemberGroup, config: Config) -> IntervalJob:
    """Return the recording with clips as predict.py has them."""
    overlap = config.submission.overlap
    clips = group.clips if overlap is None else replace(group.clips, overlap=overlap)
    _warn_of_other_axes(group)
    return IntervalJob(file.name, file, 0, clips, group.spectrogram, interval=config.submission.interval)


def _warn_of_other_axes(group: MemberGroup) -> None:
    settings = group.spectrogram
    length, _, _ = clip_samples(group.clips, rate=settings.rate)
    if settings.resize != "squeeze" and size_before_resizing(settings, samples=length) != settings.shape:
        console.warning(
            f"spectrogram.resize = {settings.resize} cuts or pads spectrograms, so that times and frequencies of the "
            "map are not exact"
        )


def _find_clip(
    job: IntervalJob, scorer: Scorer, columns: Sequence[int], *, at: float | None, batch_size: int
) -> FoundClip:
    if at is not None:
        return clip_at(job, scorer, at=at)
    seconds = int(read_format(Path(str(job.file))).seconds or 0)
    with console.progress("clips", total=seconds, unit="s of sound") as advance:
        done = 0

        def reached(second: float) -> None:
            nonlocal done
            advance(max(0, int(second) - done))
            done = max(done, int(second))

        found = clip_with_highest_score(job, scorer, columns, batch_size=batch_size, advance=reached)
        advance(max(0, seconds - done))
    return found


def _explanation_of(
    species: str, group: MemberGroup, clip: FoundClip, scorer: Scorer, flags: ExplainFlags, config: Config
) -> Explanation:
    column = group.classes.index(species)

    def score_clips(pixels: np.ndarray) -> Float[np.ndarray, " clips"]:
        return scorer(pixels).columns[:, column]

    total = count_clips(*clip.pixels.shape, cells=flags.cells)
    with console.progress("occlusion", total=total, unit="spectrograms") as advance:
        found = occlude(
            clip.pixels,
            score_clips,
            cells=flags.cells,
            batch_size=config.testing.batch_size,
            advance=advance,
        )
    return Explanation(species, group, clip, found)


def write_explanation(task: ExplanationTask, explanations: Sequence[Explanation]) -> Explained:
    """Write the image, and with --table the map as CSV; each appears whole or not at all."""
    from utils.scoring.reports.explanation_plot import ExplainedClip, draw_explanation  # matplotlib is slow to import

    clips = [ExplainedClip(one.species, one.models, one.clip, one.found, one.group.spectrogram) for one in explanations]
    table = task.image.with_suffix(".csv") if task.flags.table else None
    draw_explanation(task.image, clips, title=task.file.name)
    if table:
        write_csv(table, pl.concat([cell_table(one) for one in explanations]))
    return Explained(explanations, task.image, table)


def cell_table(one: Explanation) -> pl.DataFrame:
    """Return a row for each cell: models, start, end (seconds of the recording), low, high (Hz), importance."""
    from utils.spectra.frequency_axis import frequency_at  # matplotlib is slow to import

    height, width = one.clip.pixels.shape
    times = one.clip.start + one.clip.length * one.found.column_edges / width
    hertz = [frequency_at(1 - edge / height, one.group.spectrogram) for edge in one.found.row_edges.tolist()]
    rows, columns = one.found.importance.shape
    return pl.DataFrame(
        {
            "models": [one.models] * rows * columns,
            "start": np.tile(times[:-1].round(6), rows),
            "end": np.tile(times[1:].round(6), rows),
            "low": np.repeat(np.round(hertz[1:], 2), columns),
            "high": np.repeat(np.round(hertz[:-1], 2), columns),
            "importance": one.found.importance.ravel().round(6),
        }
    )


def report_explanation(explained: Explained, task: ExplanationTask, *, seconds: float) -> Explained:
    """Print where, how much, and what next."""
    for one in explained.explanations:
        cells = cell_table(one).sort("importance", descending=True)
        top = cells.row(0, named=True)
        console.show_table(
            f"{task.file.name}: {one.species}",
            {
                "models": one.models,
                "clip": f"{one.clip.start:.2f} to {one.clip.start + one.clip.length:.2f} s",
                "score": f"{one.found.score:.3f}",
                "without a patch": f"{one.found.lowest:.3f} at least",
                "background alone": f"{one.found.background:.3f}",
                "matters most": f"{top['start']:.2f} to {top['end']:.2f} s, {top['low']:,.0f} to {top['high']:,.0f} Hz",
            },
        )
        if top["importance"] < EVEN * one.found.score:
            console.info(
                "no single part matters much: the model finds the species in many parts, or its score is so near 1 "
                "that no part lowers it; try larger parts (--cells 4 8), or a clip with a lower score (--at SECONDS)"
            )
        if one.found.background >= one.found.score / 2:
            console.info(
                "the background alone has at least half of the score: the model may know the species by it, or predict "
                "it where nothing stands out"
            )
    table = f", {printable(explained.table)}" if explained.table else ""
    console.info(f"written: {printable(explained.image)}{table} ({console.clock(seconds)})")
    console.info("next: other clips (--at SECONDS) and classes (--species NAME), or another map (--cells 6 12)")
    return explained
