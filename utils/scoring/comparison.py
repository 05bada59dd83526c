"""Runs side by side, on the recordings that all of them answered: each figure, and how far the others are from the first run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float
from sklearn.metrics import average_precision_score

from utils import console
from utils.files import write_text
from utils.scoring import bootstrap
from utils.scoring.metrics import lrap, mean_of_defined
from utils.scoring.report_page import figure_text, render
from utils.tables import read_table

CHANGED = 10  # recordings shown that got better, and that got worse
SCORES = {"recording": pl.String(), "class": pl.String(), "score": pl.Float32(), "right": pl.Boolean()}
ADVICE = {"missing": "run test.py for this run first", "damaged": "run test.py for this run again"}


@dataclass(frozen=True)
class Run:
    """What a run answered.

    Attributes
    ----------
    own : each recording's own class; a recording may have none
    lrap : of each recording; NaN without right answer
    first_right : whether the first answer is the recording's own class, 1 or 0; NaN where the net does not know that
    ap : average precision of each class that has right answers
    """

    name: str
    recordings: list[str]
    own: list[str]
    lrap: Float[np.ndarray, " recordings"]
    first_right: Float[np.ndarray, " recordings"]
    ap: dict[str, float]


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
    notes : what differs between them besides the answers
    page : where compare.html is
    """

    runs: tuple[Run, ...]
    figures: dict[str, list[Difference]]
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
    Trouble
        If there are fewer than two, one was not tested, or no recording was answered by all.
    """
    folders = [folder.expanduser() for folder in folders]
    if len(folders) < 2:
        raise console.Trouble("--compare needs the folders of two or more runs, such as snapshots/one snapshots/other")
    tables = [_read(folder) for folder in folders]
    kept, notes = _on_common_ground(tables, folders)
    names = _names(folders)
    runs = tuple(run_of(name, table, first) for name, table, (_, first) in zip(names, kept, tables, strict=True))
    comparison = Comparison(runs, differences(runs), notes, folders[0].resolve().parent / "compare.html")
    write_text(comparison.page, page(comparison))
    _say(comparison)
    return comparison


def _names(folders: Sequence[Path]) -> list[str]:
    """Return what to call runs: by their folders' names, with the folder above where two are the same."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [console.shown(folder) for folder in folders]


def _read(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return all scores of a run's test, and the own class of each recording."""
    scores = read_table(folder / "test" / "scores.parquet", SCORES, **ADVICE)
    path = folder / "test" / "predictions.csv"
    try:
        own = pl.read_csv(path.read_bytes(), columns=["recording", "class"], schema_overrides={"recording": pl.String, "class": pl.String})
    except (OSError, pl.exceptions.PolarsError) as error:
        raise console.Trouble(f"{path}: cannot be read ({' '.join(str(error).split())}); {ADVICE['damaged']}") from None
    return scores, own.with_columns(pl.col("class").fill_null(""))


def _on_common_ground(tables: Sequence[tuple[pl.DataFrame, pl.DataFrame]], folders: Sequence[Path]) -> tuple[list[pl.DataFrame], list[str]]:
    """Return the scores of the recordings that all runs have, and what differs between the runs."""
    notes = []
    have = [set(scores["recording"]) for scores, _ in tables]
    common, every = set.intersection(*have), set.union(*have)
    if not common:
        raise console.Trouble("no recording was answered by all of these runs; they were tested on different data")
    if common != every:
        counts = ", ".join(f"{console.shown(folder)} {len(own):,}" for folder, own in zip(folders, have, strict=True))
        notes.append(f"not the same recordings ({counts}): compared on the {len(common):,} that all have")
    kept = [scores.filter(pl.col("recording").is_in(list(common))).sort("recording", maintain_order=True) for scores, _ in tables]
    classes = [set(scores["class"]) for scores in kept]
    if any(own != classes[0] for own in classes):
        counts = ", ".join(f"{console.shown(folder)} {len(own):,}" for folder, own in zip(folders, classes, strict=True))
        notes.append(f"not the same classes ({counts}): each run is judged among its own")
    shared = set.intersection(*classes)
    truths = [set(scores.filter("right", pl.col("class").is_in(list(shared))).select("recording", "class").iter_rows()) for scores in kept]
    if any(truth != truths[0] for truth in truths):
        notes.append("not the same right answers: labels have changed, or testing.background differs")
    return kept, notes


def run_of(name: str, scores: pl.DataFrame, predictions: pl.DataFrame) -> Run:
    """Return what a run answered to the recordings of `scores`, in the order of their names.

    Parameters
    ----------
    scores : `recording`, `class`, `score`, `right`, sorted by recording
    predictions : `recording` and `class`, its own
    """
    wide = {what: scores.pivot(on="class", index="recording", values=what, maintain_order=True) for what in ("score", "right")}
    recordings, classes = wide["score"]["recording"].to_list(), wide["score"].columns[1:]
    values, right = (wide[what].drop("recording").to_numpy() for what in ("score", "right"))
    known = dict(predictions.iter_rows())
    own = [known.get(recording) or "" for recording in recordings]
    firsts = [classes[number] for number in values.argmax(axis=1)]
    first_right = np.array([float(first == label) if label in classes else np.nan for first, label in zip(firsts, own, strict=True)])
    ap = {label: float(average_precision_score(right[:, n], values[:, n])) for n, label in enumerate(classes) if right[:, n].any()}
    return Run(name, recordings, own, lrap(values, right), first_right, ap)


def differences(runs: Sequence[Run]) -> dict[str, list[Difference]]:
    """Return each figure of each run; where it is a mean over recordings, with the paired interval of its difference to the first run."""
    figures = {
        "MLRAP": _of_means(runs, lambda run: run.lrap),
        "top-1 accuracy": _of_means(runs, lambda run: run.first_right),
    }
    shared = [label for label in runs[0].ap if all(label in run.ap for run in runs)]
    means = [mean_of_defined(np.array([run.ap[label] for label in shared])) for run in runs]
    ahead = [None if number == 0 or mean is None or means[0] is None else mean - means[0] for number, mean in enumerate(means)]
    figures["class-mean AP"] = [Difference(run.name, mean, difference) for run, mean, difference in zip(runs, means, ahead, strict=True)]
    return figures


def _of_means(runs: Sequence[Run], values: Callable[[Run], Float[np.ndarray, " recordings"]]) -> list[Difference]:
    """Return the mean of some values of each run over those recordings of which all have one."""
    table = np.stack([values(run) for run in runs])
    table = table[:, ~np.isnan(table).any(axis=0)]
    means = [mean_of_defined(row) for row in table]
    result = [Difference(runs[0].name, means[0])]
    for run, row, mean in zip(runs[1:], table[1:], means[1:], strict=True):
        ends = paired_interval(row, table[0])
        low, high = ends or (None, None)
        result.append(Difference(run.name, mean, None if mean is None or means[0] is None else mean - means[0], low, high))
    return result


def paired_interval(one: Float[np.ndarray, " recordings"], other: Float[np.ndarray, " recordings"]) -> tuple[float, float] | None:
    """Return the ends of the 95% interval of mean(one) − mean(other), by percentile bootstrap over recordings; None of fewer than two.

    Both runs keep the same recordings in every resample: that some recordings are harder than others then tells nothing of the runs, and drops out.
    """
    if len(one) < 2:
        return None
    draws = bootstrap.draw_weights(np.arange(len(one)), seed=0)
    found = bootstrap.compare(float(one.mean()), float(other.mean()), drawn_a=bootstrap.drawn_means(one, draws), drawn_b=bootstrap.drawn_means(other, draws))
    return None if found.interval.low is None or found.interval.high is None else (found.interval.low, found.interval.high)


def page(comparison: Comparison) -> str:
    """Return the comparison as HTML, one file that needs no network."""
    first, *others = comparison.runs
    classes = sorted({label for run in comparison.runs for label in run.ap})
    return render("compare.html.j2", comparison=comparison, first=first, others=others, classes=classes, changed=changed(comparison.runs), signed=signed)


def changed(runs: Sequence[Run]) -> list[tuple[str, str, float, float]]:
    """Return the recordings whose LRAP the last run changed most against the first: those that got better, then those that got worse."""
    ahead = runs[-1].lrap - runs[0].lrap
    order: list[int] = [number for number in np.argsort(-ahead, kind="stable").tolist() if not np.isnan(ahead[number])]
    better = [number for number in order if ahead[number] > 0][:CHANGED]
    worse = [number for number in order if ahead[number] < 0][-CHANGED:]
    return [(runs[0].recordings[n], runs[0].own[n], float(runs[0].lrap[n]), float(runs[-1].lrap[n])) for n in [*better, *worse]]


def _say(comparison: Comparison) -> None:
    rows = []
    for name, entries in comparison.figures.items():
        rows += [[name if number == 0 else "", entry.run, figure_text(entry.value), entry.text] for number, entry in enumerate(entries)]
    console.show_grid(f"Compared on {len(comparison.runs[0].recordings):,} recordings", ["figure", "run", "value", "difference to the first (95%)"], rows)
    for note in comparison.notes:
        console.warn(note)
    console.show_table("", {"page": console.shown(comparison.page)})
