"""Tested runs compared on the rows that all of them scored: each metric, and its difference to the first run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from utils import console
from utils.files import write_text
from utils.scoring.evaluation.saved_scores import SavedScores, read_scores
from utils.scoring.metrics import bootstrap
from utils.scoring.metrics.metric_kinds import ClassMean, Resampled, RowMean, ScoredRows
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
    primary : primary label of each row; '' if it has none
    data : scores and ground truth, a column per class
    ap : average precision of each class that has correct recordings
    """

    name: str
    rows: list[str]
    primary: list[str]
    classes: list[str]
    data: ScoredRows
    ap: dict[str, float]


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
    saved = [read_scores(folder) for folder in folders]
    common, notes = _on_common_rows(saved, folders)
    min_positives = max(one.min_positives for one in saved)
    draws = _draws(common[0].recordings)
    runs = tuple(run_of(name, one, draws) for name, one in zip(_run_names(folders), common, strict=True))
    metrics = metric_differences(runs, min_positives=min_positives)
    page = folders[0].resolve().parent / "compare.html"
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


def _on_common_rows(saved: Sequence[SavedScores], folders: Sequence[Path]) -> tuple[list[SavedScores], list[str]]:
    """Return the scores of the rows that all runs have, and notes on what differs between the runs."""
    names, notes = [console.printable(folder) for folder in folders], []
    units = [one.unit for one in saved]
    if len(set(units)) > 1:
        by_run = ", ".join(f"{name} by {unit}" for name, unit in zip(names, units, strict=True))
        raise console.UserError(
            f"these runs were tested by different units ({by_run}); set testing.unit to one of them"
        )
    word = unit_word(units[0])
    rows = [set(one.rows) for one in saved]
    shared, every = set.intersection(*rows), set.union(*rows)
    if not shared:
        raise console.UserError(
            f"no {unit_word(units[0], 1)} was scored by all of these runs; they were tested on different data"
        )
    if shared != every:
        counts = _counts_by_run(names, map(len, rows))
        notes.append(f"not the same {word} ({counts}): compared on the {len(shared):,} that all have")
    common = [one.only(shared) for one in saved]
    notes += _label_notes(names, common)
    least = [one.min_positives for one in saved]
    if len(set(least)) > 1:
        counts = _counts_by_run(names, least)
        notes.append(f"not the same testing.min_positives ({counts}): class means use the largest")
    return common, notes


def _label_notes(names: Sequence[str], saved: Sequence[SavedScores]) -> list[str]:
    """Return notes on classes and ground truth that differ between the runs, which have the same rows."""
    notes = []
    classes = [set(one.classes) for one in saved]
    if any(one != classes[0] for one in classes):
        notes.append(
            f"not the same classes ({_counts_by_run(names, map(len, classes))}): "
            "each run is evaluated on its classes, class means are over those that all have"
        )
    shared = sorted(set.intersection(*classes))
    truths = [one.truth[:, [one.classes.index(label) for label in shared]] for one in saved]
    if any((truth != truths[0]).any() for truth in truths):
        notes.append("not the same ground truth: labels have changed, or testing.background differs")
    return notes


def _counts_by_run(names: Sequence[str], counts: Iterable[int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))


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
    return Run(name, saved.rows, saved.primary, saved.classes, ScoredRows(scores, truth, primary, draws), ap)


def metric_differences(runs: Sequence[Run], *, min_positives: int) -> dict[str, list[Difference]]:
    """Return each metric of each run, with its difference to the first run and the paired 95% interval of that.

    The intervals are percentile bootstrap over recordings. All runs have the same recordings in every draw, which
    removes how much harder some recordings are than others. Metrics that saved scores do not give are left out.

    Parameters
    ----------
    runs : on the same recordings
    min_positives : class means leave out classes that are correct in fewer recordings of any run
    """
    data, shared = [run.data for run in runs], _on_shared_classes(runs, min_positives=min_positives)
    found = {}
    for metric in METRICS.values():
        if isinstance(metric, RowMean):
            resampled = _row_means(metric, data)
        else:
            resampled = [metric.resampled(one) for one in (shared if isinstance(metric, ClassMean) else data)]
        values = [one for one in resampled if one is not None]
        if len(values) == len(runs):
            found[metric.title] = _against_first(runs, values)
    return found


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


def _on_shared_classes(runs: Sequence[Run], *, min_positives: int) -> list[ScoredRows]:
    """Return the columns of the classes that all runs know and that are correct in enough recordings."""
    positives = [dict(zip(run.classes, run.data.truth.sum(axis=0).tolist(), strict=True)) for run in runs]
    least = max(min_positives, 1)
    shared = [label for label in runs[0].classes if all(counts.get(label, 0) >= least for counts in positives)]
    columns = [[run.classes.index(label) for label in shared] for run in runs]
    return [
        replace(run.data, scores=run.data.scores[:, some], truth=run.data.truth[:, some])
        for run, some in zip(runs, columns, strict=True)
    ]


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
        (runs[0].rows[index], runs[0].primary[index], float(before[index]), float(after[index]))
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
