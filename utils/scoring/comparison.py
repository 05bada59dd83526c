"""Runs side by side, on the recordings that all of them answered: each figure, and how far the others are from the first run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Float32

from utils import console
from utils.files import write_text
from utils.scoring.evaluation.measures import NOTES, TOP
from utils.scoring.evaluation.saved_scores import Kept, matrices, read_answers
from utils.scoring.metrics import bootstrap
from utils.scoring.metrics.ranking import (
    auroc,
    average_precision,
    class_mean,
    first_right_ranks,
    judged_firsts,
    lrap,
    mean_of_defined,
    micro_average_precision,
    within_first,
)
from utils.scoring.reports.page import figure_text, render

CHANGED = 10  # recordings shown that got better, and that got worse
Draws = Float32[np.ndarray, "draws recordings"]


@dataclass(frozen=True)
class Run:
    """What a run answered.

    Attributes
    ----------
    own : each recording's own class; a recording may have none
    lrap : of each recording; NaN without right answer
    first_right : whether the first answer is the recording's own class, 1 or 0; NaN where the net does not know that
    ranks : of each recording's first right answer; NaN without one
    ap : average precision of each class that has right answers
    """

    name: str
    recordings: list[str]
    own: list[str]
    classes: list[str]
    scores: Float[np.ndarray, "recordings classes"]
    truth: Bool[np.ndarray, "recordings classes"]
    lrap: Float[np.ndarray, " recordings"]
    first_right: Float[np.ndarray, " recordings"]
    ranks: Float[np.ndarray, " recordings"]
    ap: dict[str, float]


# what is a mean over recordings, by its key in metrics.json
ROWS: dict[str, Callable[[Run], Float[np.ndarray, " recordings"]]] = {
    "mlrap": lambda run: run.lrap,
    "top1_accuracy": lambda run: run.first_right,
    "top5_accuracy": lambda run: within_first(run.ranks, TOP),
    "mrr": lambda run: 1 / run.ranks,
}
# and over classes
CLASSES = {"cmap": (average_precision, bootstrap.drawn_cmap), "macro_auroc": (auroc, bootstrap.drawn_macro_auroc)}


@dataclass(frozen=True)
class Difference:
    """One figure of one run, and how far it is from that of the first run.

    Attributes
    ----------
    value : None where it is not defined
    difference, low, high : this run's minus the first's, and its 95% interval; None for the first run
    """

    run: str
    value: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """Whether the interval leaves zero out."""
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
    """Runs side by side.

    Attributes
    ----------
    runs : what each of them answered to the recordings that all of them have
    figures : of each run, by the figure's name
    min_positives : recordings in which a class must be right to count in class means
    notes : what differs between them besides the answers
    page : where compare.html is
    """

    runs: tuple[Run, ...]
    figures: dict[str, list[Difference]]
    min_positives: int
    notes: list[str]
    page: Path


def signed(value: float) -> str:
    """Write a difference for people."""
    return f"{value:+.3f}".replace("-", "−")


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare tested runs, print a table, and write compare.html beside the first run's folder.

    Parameters
    ----------
    folders : of runs, such as snapshots/demo

    Raises
    ------
    UserError
        If there are fewer than two, one was not tested, its files are damaged, or no recording was answered by all.
    """
    folders = [folder.expanduser() for folder in folders]
    if len(folders) < 2:
        raise console.UserError(
            "--compare needs the folders of two or more runs, such as snapshots/one snapshots/other"
        )
    answers = [read_answers(folder) for folder in folders]
    min_positives = max(kept.min_positives for kept in answers)
    kept, notes = _on_common_ground(answers, folders)
    runs = tuple(run_of(name, each) for name, each in zip(_names(folders), kept, strict=True))
    figures = differences(runs, min_positives=min_positives)
    comparison = Comparison(runs, figures, min_positives, notes, folders[0].resolve().parent / "compare.html")
    write_text(comparison.page, page(comparison))
    _say(comparison)
    return comparison


def _names(folders: Sequence[Path]) -> list[str]:
    """Return what to call runs: by their folders' names, with the folder above where two are the same."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [console.shown(folder) for folder in folders]


def _on_common_ground(answers: Sequence[Kept], folders: Sequence[Path]) -> tuple[list[Kept], list[str]]:
    """Return the answers to the recordings that all runs have, and what differs between the runs."""
    names, notes = [console.shown(folder) for folder in folders], []
    have = [set(kept.scores["recording"]) for kept in answers]
    common, every = set.intersection(*have), set.union(*have)
    if not common:
        raise console.UserError("no recording was answered by all of these runs; they were tested on different data")
    if common != every:
        notes.append(
            f"not the same recordings ({_counts(names, map(len, have))}): compared on the {len(common):,} that all have"
        )
    kept = [replace(each, scores=each.scores.filter(pl.col("recording").is_in(list(common)))) for each in answers]
    classes = [set(each.scores["class"]) for each in kept]
    if any(own != classes[0] for own in classes):
        notes.append(
            f"not the same classes ({_counts(names, map(len, classes))}): each run is judged among its own, class means are over those that all have"
        )
    shared = list(set.intersection(*classes))
    truths = [
        set(each.scores.filter("right", pl.col("class").is_in(shared)).select("recording", "class").iter_rows())
        for each in kept
    ]
    if any(truth != truths[0] for truth in truths):
        notes.append("not the same right answers: labels have changed, or testing.background differs")
    least = [each.min_positives for each in answers]
    if len(set(least)) > 1:
        notes.append(f"not the same testing.min_positives ({_counts(names, least)}): class means are by the largest")
    return kept, notes


def _counts(names: Sequence[str], counts: Iterable[int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))


def run_of(name: str, kept: Kept) -> Run:
    """Return what a run answered, recordings and classes in the order of their names."""
    recordings, classes, scores, truth = matrices(kept.scores)
    own = [kept.own[recording] for recording in recordings]
    numbers = {label: number for number, label in enumerate(classes)}
    known = np.array([numbers.get(label, -1) for label in own], np.int64)
    first_right = np.where(known >= 0, judged_firsts(scores, truth, known) == known, np.nan)
    ap = {
        label: float(value)
        for label, value in zip(classes, average_precision(scores, truth), strict=True)
        if not np.isnan(value)
    }
    return Run(
        name,
        recordings,
        own,
        classes,
        scores,
        truth,
        lrap(scores, truth),
        first_right,
        first_right_ranks(scores, truth),
        ap,
    )


def differences(runs: Sequence[Run], *, min_positives: int) -> dict[str, list[Difference]]:
    """Return each figure of each run, with the paired 95% interval of its difference to the first run, by percentile bootstrap over recordings.

    All runs keep the same recordings in every draw: that some recordings are harder than others then tells nothing of
    the runs, and drops out. Of fewer than two recordings there is no interval.

    Parameters
    ----------
    runs : on the same recordings
    min_positives : recordings of every run in which a class must be right to count in class means
    """
    recordings = len(runs[0].recordings)
    draws = bootstrap.draw_weights(np.arange(recordings), draws=bootstrap.DRAWS if recordings > 1 else 0, seed=0)
    figures = {key: _of_rows(runs, values, draws) for key, values in ROWS.items()}
    figures |= _of_classes(runs, draws, min_positives=min_positives)
    pairs = [(run.scores, run.truth) for run in runs]
    figures["micro_ap"] = _against_first(
        runs,
        [micro_average_precision(*pair) for pair in pairs],
        [bootstrap.drawn_micro_ap(*pair, draws) for pair in pairs],
    )
    return {name: figures[key] for key, (name, _) in NOTES.items() if key in figures}


def _of_rows(
    runs: Sequence[Run], values: Callable[[Run], Float[np.ndarray, " recordings"]], draws: Draws
) -> list[Difference]:
    """Return the mean of some values of each run over those recordings of which all have one."""
    table = np.stack([values(run) for run in runs])
    defined = ~np.isnan(table).any(axis=0)
    draws = draws[:, defined] if defined.sum() > 1 else draws[:0, defined]
    return _against_first(
        runs,
        [mean_of_defined(row) for row in table[:, defined]],
        [bootstrap.drawn_means(row, draws) for row in table[:, defined]],
    )


def _of_classes(runs: Sequence[Run], draws: Draws, *, min_positives: int) -> dict[str, list[Difference]]:
    """Return the class means of each run, by key, over those classes that all know and that are right in enough recordings."""
    right = [dict(zip(run.classes, run.truth.sum(axis=0).tolist(), strict=True)) for run in runs]
    shared = [
        label for label in runs[0].classes if all(counts.get(label, 0) >= max(min_positives, 1) for counts in right)
    ]
    places = [[run.classes.index(label) for label in shared] for run in runs]
    pairs = [(run.scores[:, own], run.truth[:, own]) for run, own in zip(runs, places, strict=True)]
    return {
        key: _against_first(
            runs, [class_mean(figure(*pair), pair[1]) for pair in pairs], [drawn(*pair, draws) for pair in pairs]
        )
        for key, (figure, drawn) in CLASSES.items()
    }


def _against_first(
    runs: Sequence[Run], values: Sequence[float | None], drawn: Sequence[Float[np.ndarray, " draws"]]
) -> list[Difference]:
    """Return a figure of each run, from what it was in each draw."""
    result = [Difference(runs[0].name, values[0])]
    for run, value, each in zip(runs[1:], values[1:], drawn[1:], strict=True):
        found = bootstrap.compare(value, values[0], drawn_a=each, drawn_b=drawn[0]).interval
        result.append(Difference(run.name, value, found.value, found.low, found.high))
    return result


def page(comparison: Comparison) -> str:
    """Return the comparison as HTML, one file that needs no network."""
    first, *others = comparison.runs
    classes = sorted({label for run in comparison.runs for label in run.ap})
    return render(
        "compare.html.j2",
        comparison=comparison,
        first=first,
        others=others,
        classes=classes,
        changed=changed(comparison.runs),
        signed=signed,
    )


def changed(runs: Sequence[Run]) -> list[tuple[str, str, float, float]]:
    """Return the recordings whose LRAP the last run changed most against the first: those that got better, then those that got worse."""
    ahead = runs[-1].lrap - runs[0].lrap
    order: list[int] = [number for number in np.argsort(-ahead, kind="stable").tolist() if not np.isnan(ahead[number])]
    better = [number for number in order if ahead[number] > 0][:CHANGED]
    worse = [number for number in order if ahead[number] < 0][-CHANGED:]
    return [
        (runs[0].recordings[n], runs[0].own[n], float(runs[0].lrap[n]), float(runs[-1].lrap[n]))
        for n in [*better, *worse]
    ]


def _say(comparison: Comparison) -> None:
    rows = []
    for name, entries in comparison.figures.items():
        rows += [
            [name if number == 0 else "", entry.run, figure_text(entry.value), entry.text]
            for number, entry in enumerate(entries)
        ]
    console.show_grid(
        f"Compared on {len(comparison.runs[0].recordings):,} recordings",
        ["figure", "run", "value", "difference to the first (95%)"],
        rows,
    )
    for note in comparison.notes:
        console.warn(note)
    console.show_table("", {"page": console.shown(comparison.page)})
