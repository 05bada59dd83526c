"""The plot of a search: values of trials in their order, how much each setting matters, and values by setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from utils.learning.tuning.journal import Journal, Trial
from utils.learning.tuning.space import Dimension
from utils.learning.tuning.study import LEAST_FOR_IMPORTANCE
from utils.plotting import make_logarithmic, new_figure, write_figure

SLICES = 4  # settings with a plot of their own: those that matter most
STYLES: Mapping[str, dict[str, Any]] = {
    "complete": {"marker": "o", "color": "tab:blue", "label": "complete"},
    "pruned": {"marker": "x", "color": "tab:gray", "label": "stopped early"},
}
LONGEST_LABEL = 18  # characters of a value beside an axis


def draw_search(
    path: Path, journal: Journal, space: Sequence[Dimension], importances: Mapping[str, float], *, title: str
) -> None:
    """Draw the trials that ended.

    Parameters
    ----------
    importances : of settings, from `study.settings_importance`; empty if there are too few trials
    """
    order = sorted(space, key=lambda one: -importances.get(one.name, 0.0))[:SLICES]
    figure = new_figure(11.0, 7.0)
    upper, lower = figure.subfigures(2, 1, squeeze=False)[:, 0]
    history, importance = upper.subplots(1, 2, width_ratios=(2, 1))
    _draw_history(history, journal)
    _draw_importances(importance, importances)
    slices = lower.subplots(1, len(order), sharey=True, squeeze=False)[0]
    for dimension, axes in zip(order, slices, strict=True):
        _draw_slice(axes, dimension, journal, labelled=axes is slices[0])
    figure.suptitle(f"{title}: {len(journal.finished)} trials")
    write_figure(path, figure)


def _draw_history(axes: Axes, journal: Journal) -> None:
    for state, style in STYLES.items():
        shown = _with_value(journal, state)
        if shown:
            axes.scatter([one.index + 1 for one in shown], _values_of(shown), **style)
    if journal.failed:
        at = axes.get_xaxis_transform()  # no value: on the lower edge
        axes.scatter(
            [one.index + 1 for one in journal.failed], [0.03] * len(journal.failed), transform=at, marker="v",
            color="tab:red", label="failed",
        )  # fmt: skip
    complete = _with_value(journal, "complete")
    if complete:
        worth = np.maximum.accumulate([journal.worth(one.value or 0.0) for one in complete])
        best = [journal.worth(value) for value in worth]
        axes.step([one.index + 1 for one in complete], best, where="post", color="tab:orange", label="best so far")
    axes.set(title="history", xlabel="trial", ylabel=journal.metric, xlim=(0.5, len(journal.finished) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def _draw_importances(axes: Axes, importances: Mapping[str, float]) -> None:
    names = list(importances)[::-1]
    axes.barh(range(len(names)), [importances[name] for name in names], color="tab:blue")
    axes.set_yticks(range(len(names)), [_two_lines(name) for name in names], fontsize="small")
    axes.set(title="importance", xlabel="share of the variance that it explains", xlim=(0, 1))
    if not names:
        axes.set_yticks([])
        text = f"unknown: there are not yet {LEAST_FOR_IMPORTANCE}\ncomplete trials with different values"
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
    axes.grid(alpha=0.3, axis="x")


def _draw_slice(axes: Axes, dimension: Dimension, journal: Journal, *, labelled: bool) -> None:
    for state, style in STYLES.items():
        shown = _with_value(journal, state)
        places = [_place(dimension, one.values[dimension.name]) for one in shown]
        if places:  # without any, matplotlib could not make the axis logarithmic
            axes.scatter(places, _values_of(shown), alpha=0.7, **{**style, "label": None})
    best = journal.best
    if best:
        axes.scatter(
            _place(dimension, best.values[dimension.name]), _values_of([best]), s=120, fc="none", ec="tab:orange", lw=2
        )
    if dimension.choices:
        labels = [_label(value) for value in dimension.choices]
        axes.set_xticks(range(len(labels)), labels, rotation=20 if max(map(len, labels)) > 4 else 0)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif dimension.log:
        make_logarithmic(axes, "x")
    elif dimension.integer:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if not (dimension.choices or axes.has_data()):
        axes.set_xlim(dimension.low, dimension.high)
    axes.set(title=dimension.name, ylabel=journal.metric if labelled else "")
    axes.title.set_fontsize("medium" if len(dimension.name) < 24 else "small")
    axes.grid(alpha=0.3)


def _with_value(journal: Journal, state: str) -> list[Trial]:
    return [trial for trial in journal.trials if trial.state == state and trial.value is not None]


def _values_of(trials: Sequence[Trial]) -> list[float]:
    return [trial.value or 0.0 for trial in trials]


def _place(dimension: Dimension, value: Any) -> float:
    return float(dimension.choices.index(value)) if dimension.choices else value


def _label(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_LABEL else f"…{text[-LONGEST_LABEL:]}"


def _two_lines(name: str) -> str:
    section, _, rest = name.partition(".")
    return f"{section}.\n{rest}"
