"""Tested runs compared on the rows that all of them scored: each metric, and its difference to the first run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from utils import console
from utils.files import write_text
from utils.scoring.evaluation.common_rows import on_common_rows
from utils.scoring.evaluation.saved_scores import SavedScores, read_scores
from utils.scoring.metrics import bootstrap
from utils.scoring.metrics.metric_kinds import (
    ClassMean,
    DetectionMetric,
    Metric,
    NoiseShare,
    Resampled,
    RowMean,
    ScoredRows,
)
from utils.scoring.metrics.ranking import average_precision, mean_of_defined
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.units import Unit, unit_word
from utils.scoring.reports.page import metric_text, render, signed

LISTED_CHANGES = 10  # recordings that improved, and that got worse, at most


@dataclass(frozen=True)
class Run:
    """The scores of a run.

    Attributes
    ----------
    rows : names of the recordings, intervals or events
    species : of each row, for people: its primary label; if it has none, all that are correct
    data : scores, ground truth and detections, a column per class
    ap : average precision of each class that has correct recordings
    noise : table of `NOISE_COLUMNS`, of recordings without birds; None: not known
    """

    name: str
    rows: list[str]
    species: list[str]
    classes: list[str]
    data: ScoredRows
    ap: dict[str, float]
    noise: pl.DataFrame | None = None


@dataclass(frozen=True)
class Difference:
    """A metric of one run, and its difference to the first run.

    Attributes
    ----------
    value : None if it is not defined
    difference, low, high : of this run minus the first, and its 95% interval; None for the first run
    """

    run: str
    value: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def text(self) -> str:
        """The difference for people, with its interval."""
        if self.difference is None:
            return ""
        between = "" if self.low is None or self.high is None else f" ({signed(self.low)} to {signed(self.high)})"
        return signed(self.difference) + between


@dataclass(frozen=True)
class Comparison:
    """Runs that were compared.

    Attributes
    ----------
    runs : their scores of the recordings that all of them have
    metrics : of each run, by title
    min_positives : class means leave out classes that are correct in fewer recordings
    notes : what else differs between the runs
    page : path of compare.html
    unit : what the rows are
    """

    runs: tuple[Run, ...]
    metrics: dict[str, list[Difference]]
    min_positives: int
    notes: list[str]
    page: Path
    unit: Unit = "recording"

    @property
    def with_detections(self) -> bool:
        """Whether all runs have metrics of detections."""
        return all(run.data.detected is not None for run in self.runs)


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Compare tested runs, print a table, and write compare.html beside the first run's folder.

    Parameters
    ----------
    folders : of runs, such as snapshots/demo

    Raises
    ------
    UserError
        If there are fewer than two, one was not tested, its files are damaged, or no recording was scored by all.
    """
    folders = [folder.expanduser() for folder in folders]
    if len(folders) < 2:
        raise console.UserError(
            "--compare needs the folders of two or more runs, such as snapshots/one snapshots/other"
        )
    names, page = _run_names(folders), folders[0].resolve().parent / "compare.html"
    places = [console.printable(folder) for folder in folders]
    return compare_scores([read_scores(folder) for folder in folders], names, page=page, places=places)


def compare_scores(
    saved: Sequence[SavedScores], names: Sequence[str], *, page: Path, places: Sequence[str] = ()
) -> Comparison:
    """Compare the scores of runs on the rows that all have, print a table, and write a page.

    Parameters
    ----------
    saved, names : of two or more runs; the others are compared with the first
    places : how notes call the runs; none: by their names

    Raises
    ------
    UserError
        If the rows differ in kind, or no row was scored by all, or they have no class in common.
    """
    common, notes = on_common_rows(saved, places or names)
    min_positives = max(one.min_positives for one in saved)
    draws = _draws(common[0].recordings)
    runs = tuple(run_of(name, one, draws) for name, one in zip(names, common, strict=True))
    metrics = metric_differences(runs, min_positives=min_positives)
    comparison = Comparison(runs, metrics, min_positives, notes, page, common[0].unit)
    write_text(comparison.page, comparison_page(comparison))
    _print_comparison(comparison)
    return comparison


def _run_names(folders: Sequence[Path]) -> list[str]:
    """Return names of runs: those of their folders, or their paths if two folders have the same name."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [console.printable(folder) for folder in folders]


def _draws(recordings: Sequence[str]) -> bootstrap.Draws:
    """Return draws of recordings, the same for all runs; no draws for fewer than two recordings.

    Parameters
    ----------
    recordings : name of each row's recording
    """
    names, indices = np.unique(np.array(recordings, dtype=object), return_inverse=True)
    return bootstrap.draw_recordings(indices, draws=bootstrap.DRAWS if len(names) > 1 else 0, seed=0)


def run_of(name: str, saved: SavedScores, draws: bootstrap.Draws) -> Run:
    """Return a run by its saved scores."""
    scores, truth = saved.scores, saved.truth
    indices = {label: index for index, label in enumerate(saved.classes)}
    primary = np.array([indices.get(label, -1) for label in saved.primary], np.int64)
    ap = {
        label: float(value)
        for label, value in zip(saved.classes, average_precision(scores, truth), strict=True)
        if not np.isnan(value)
    }
    unknown = None if saved.unknown is None else np.array([len(labels) for labels in saved.unknown], np.int64)
    data = ScoredRows(scores, truth, primary, draws, detected=saved.detected, unknown=unknown)
    return Run(name, saved.rows, _species_of(saved), saved.classes, data, ap, saved.noise)


def _species_of(saved: SavedScores) -> list[str]:
    """Return the primary label of each row; without one, its correct species, also those that no class stands for."""
    unknown = saved.unknown or [[]] * len(saved.rows)
    return [
        label or ", ".join(sorted([*(saved.classes[index] for index in np.flatnonzero(correct)), *others]))
        for label, correct, others in zip(saved.primary, saved.truth, unknown, strict=True)
    ]


def metric_differences(runs: Sequence[Run], *, min_positives: int) -> dict[str, list[Difference]]:
    """Return each metric of each run, with its difference to the first run and the paired 95% interval of that.

    The intervals are percentile bootstrap over recordings. All runs have the same recordings in every draw, which
    removes how much harder some recordings are than others. Metrics that saved scores do not give are left out.

    Parameters
    ----------
    runs : on the same recordings
    min_positives : class means leave out classes that are correct in fewer recordings of any run
    """
    data, frequent = [run.data for run in runs], _on_shared_classes(runs, least=max(min_positives, 1))
    shared = _on_shared_classes(runs, least=0)
    found = {}
    for metric in METRICS.values():
        if isinstance(metric, RowMean):
            resampled = _row_means(metric, data)
        elif isinstance(metric, NoiseShare):
            resampled = _noise_shares(metric, [run.noise for run in runs])
        else:
            chosen = frequent if isinstance(metric, ClassMean) else shared if _is_mean_of_classes(metric) else data
            resampled = [metric.resampled(one) for one in chosen]
        values = [one for one in resampled if one is not None]
        if len(values) == len(runs):
            found[metric.title] = _against_first(runs, values)
    return found


def _noise_shares(metric: NoiseShare, tables: Sequence[pl.DataFrame | None]) -> list[Resampled | None]:
    """Return the share of each run over the recordings without birds that all runs have."""
    known = [table for table in tables if table is not None]
    shared = set.intersection(*(set(table["recording"]) for table in known)) if known else set()
    if len(known) < len(tables) or not shared:
        return [None] * len(tables)
    common = [table.filter(pl.col("recording").is_in(list(shared))).sort("recording") for table in known]
    draws = _draws(common[0]["recording"].to_list())
    return [metric.share_of(one["detected"].to_numpy(), one["clips"].to_numpy(), draws) for one in common]


def _is_mean_of_classes(metric: Metric) -> bool:
    return isinstance(metric, DetectionMetric) and metric.average != "micro"


def _row_means(metric: RowMean, data: Sequence[ScoredRows]) -> list[Resampled | None]:
    """Return the mean of each run over the rows for which all runs have a value."""
    rows = [values for one in data if (values := metric.rows(one)) is not None]
    if len(rows) < len(data):
        return [None] * len(data)
    table = np.stack(rows)
    defined = ~np.isnan(table).any(axis=0)
    draws = data[0].draws.of_rows(defined)
    if len(np.unique(draws.recording)) < 2:
        draws = replace(draws, weights=draws.weights[:0])
    return [(mean_of_defined(row), bootstrap.drawn_means(row, draws)) for row in table[:, defined]]


def _on_shared_classes(runs: Sequence[Run], *, least: int) -> list[ScoredRows]:
    """Return the columns of the classes that all runs know and that are correct in `least` recordings or more."""
    positives = [dict(zip(run.classes, run.data.truth.sum(axis=0).tolist(), strict=True)) for run in runs]
    shared = [label for label in runs[0].classes if all(counts.get(label, -1) >= least for counts in positives)]
    return [run.data if run.classes == shared else _of_classes(run, shared) for run in runs]


def _of_classes(run: Run, classes: Sequence[str]) -> ScoredRows:
    some, data = [run.classes.index(label) for label in classes], run.data
    detected = None if data.detected is None else data.detected[:, some]
    return replace(data, scores=data.scores[:, some], truth=data.truth[:, some], detected=detected)


def _against_first(runs: Sequence[Run], found: Sequence[Resampled]) -> list[Difference]:
    """Return a metric of each run and its difference to the first, from the values in each draw."""
    first, drawn_first = found[0]
    result = [Difference(runs[0].name, first)]
    for run, (value, drawn) in zip(runs[1:], found[1:], strict=True):
        one = bootstrap.difference_interval(value, first, drawn_a=drawn, drawn_b=drawn_first)
        result.append(Difference(run.name, value, one.value, one.low, one.high))
    return result


def comparison_page(comparison: Comparison) -> str:
    """Return the comparison as HTML, one file that needs no network."""
    first, *others = comparison.runs
    return render(
        "compare.html.j2",
        comparison=comparison,
        first=first,
        others=others,
        classes=sorted({label for run in comparison.runs for label in run.ap}),
        changed=changed(comparison.runs),
        unit=unit_word(comparison.unit),
        signed=signed,
    )


def changed(runs: Sequence[Run]) -> list[tuple[str, str, float, float]]:
    """Return the recordings whose LRAP changed most from the first run to the last: improved ones, then worse ones."""
    before, after = runs[0].data.lrap, runs[-1].data.lrap
    gain = after - before
    order: list[int] = [index for index in np.argsort(-gain, kind="stable").tolist() if not np.isnan(gain[index])]
    better = [index for index in order if gain[index] > 0][:LISTED_CHANGES]
    worse = [index for index in order if gain[index] < 0][-LISTED_CHANGES:]
    return [
        (runs[0].rows[index], runs[0].species[index], float(before[index]), float(after[index]))
        for index in [*better, *worse]
    ]


def _print_comparison(comparison: Comparison) -> None:
    rows = []
    for title, entries in comparison.metrics.items():
        rows += [
            [title if index == 0 else "", entry.run, metric_text(entry.value), entry.text]
            for index, entry in enumerate(entries)
        ]
    console.show_grid(
        f"Compared on {len(comparison.runs[0].rows):,} {unit_word(comparison.unit)}",
        ["metric", "run", "value", "difference to the first (95%)"],
        rows,
    )
    for note in comparison.notes:
        console.warning(note)
    console.show_table("", {"page": console.printable(comparison.page)})
