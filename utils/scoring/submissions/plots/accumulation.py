"""The species accumulation curve: how many species were detected in how many recordings.

In the order of time it shows when new species came; the expected curve, the mean over all random orders, shows whether
more recordings would bring more species. Both are exact, nothing is drawn at random.

Source: Ugland, Gray and Ellingsen 2003, doi.org/10.1046/j.1365-2656.2003.00748.x; the same curve as Mao Tau of Colwell,
Mao and Chang 2004, doi.org/10.1890/03-0557.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse
from jaxtyping import Float64, Int64
from matplotlib.ticker import MaxNLocator
from scipy.special import gammaln

from utils.plotting import new_figure, write_figure
from utils.scoring.submissions.plots.counts import HOUR_SECONDS, PlotTables

POINTS = 60  # of the expected curve, at most
SPECIES_PAIRS = 2**22  # pairs of species that are counted at once
BAND = 1.96  # standard deviations
CURVE_COLOURS = {"observed": "#d55e00", "expected": "#0072b2"}


@dataclass(frozen=True)
class ExpectedCurve:
    """How many species are found in some recordings, over all choices of so many recordings.

    Attributes
    ----------
    recordings : how many are chosen, from 0 to all
    mean, deviation : of the number of species
    """

    recordings: Int64[np.ndarray, " points"]
    mean: Float64[np.ndarray, " points"]
    deviation: Float64[np.ndarray, " points"]


def expected_curve(species: pl.DataFrame, *, recordings: int) -> ExpectedCurve:
    """Return the exact mean and standard deviation over all orders of the recordings.

    A species that is in Q of N recordings is missed by n of them with the probability C(N − Q, n) / C(N, n); two
    species are both missed with that of the recordings which have one or the other. So the number of missed species has
    the mean Σ_i p(Q_i) and the mean square Σ_i Σ_j p(Q_i∪j).

    Parameters
    ----------
    species : recording, class; one row for each class in a recording
    recordings : how many there are, also those without species
    """
    sizes = np.unique([0, *np.geomspace(1, recordings, POINTS).round().astype(np.int64)])
    _, columns = np.unique(species["class"].to_numpy(), return_inverse=True)
    within = np.bincount(columns)
    unions = _count_unions(species["recording"].to_numpy(), columns, within, recordings=recordings)
    mean, square = (
        np.array([(counts * missed_share(counted, recordings, size)).sum() for size in sizes.tolist()])
        for counted, counts in (np.unique(within, return_counts=True), unions)
    )
    deviation = np.sqrt((square - mean**2).clip(0))
    return ExpectedCurve(sizes, len(within) - mean, deviation)


def missed_share(within: Int64[np.ndarray, " counts"], recordings: int, size: int) -> Float64[np.ndarray, " counts"]:
    """Return the share of choices of `size` recordings, of all, in which none of `within` certain ones is."""
    left = recordings - within
    with np.errstate(invalid="ignore"):
        logarithm = gammaln(left + 1) + gammaln(recordings - size + 1) - gammaln(recordings + 1)
        logarithm = logarithm - gammaln(np.maximum(left - size, 0) + 1)
    return np.where(left >= size, np.exp(logarithm), 0.0)


def _count_unions(
    rows: Int64[np.ndarray, " pairs"],
    columns: Int64[np.ndarray, " pairs"],
    within: Int64[np.ndarray, " species"],
    *,
    recordings: int,
) -> tuple[Int64[np.ndarray, " unions"], Int64[np.ndarray, " unions"]]:
    """Return how many recordings have one or the other of two species, and for how many ordered pairs that is so."""
    shape = recordings, len(within)
    present = scipy.sparse.csr_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape)
    counts, step = np.zeros(recordings + 1, np.int64), max(1, SPECIES_PAIRS // len(within))
    for first in range(0, len(within), step):
        some = slice(first, first + step)
        shared = (present[:, some].T @ present).toarray()
        counts += np.bincount((within[some, None] + within - shared).ravel(), minlength=recordings + 1)
    unions = np.flatnonzero(counts)
    return unions, counts[unions]


def observed_curve(tables: PlotTables) -> tuple[Int64[np.ndarray, " steps"], Int64[np.ndarray, " steps"]]:
    """Return after how many recordings, in the order of time, each new species was detected, and how many they are.

    Recordings whose time is not known come last.
    """
    clocks = tables.recordings["clock"].to_numpy()
    rank = np.empty(len(clocks), np.int64)
    rank[np.argsort(clocks, kind="stable")] = np.arange(1, len(clocks) + 1)  # NaN come last
    ranked = tables.species.with_columns(rank=rank[tables.species["recording"].to_numpy()])
    first = ranked.group_by("class").agg(pl.col("rank").min())["rank"].sort()
    after, new = np.unique(first.to_numpy(), return_counts=True)
    return after, new.cumsum()


def draw_accumulation(path: Path, tables: PlotTables) -> None:
    """Draw both curves, with the band in which 95% of random orders lie.

    Parameters
    ----------
    tables : of two recordings and a detection at least
    """
    total = len(tables.recordings)
    expected, (after, found) = expected_curve(tables.species, recordings=total), observed_curve(tables)
    figure = new_figure(8.0, 5.0)
    axes = figure.add_subplot()
    low, high = (expected.mean + sign * BAND * expected.deviation for sign in (-1, 1))
    blue = CURVE_COLOURS["expected"]
    axes.fill_between(
        expected.recordings, low.clip(0), high.clip(max=found[-1]), color=blue, alpha=0.2, linewidth=0, label="95% band"
    )
    axes.plot(expected.recordings, expected.mean, color=blue, linewidth=2, label="mean of random orders")
    steps, heights = [0, *after.tolist(), total], [0, *found.tolist(), int(found[-1])]
    axes.step(steps, heights, where="post", color=CURVE_COLOURS["observed"], linewidth=1.5, label=_order_text(tables))
    axes.set(xlim=(0, total), ylim=(0, 1.06 * found[-1]), xlabel="recordings", ylabel="species detected")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    hours = tables.recordings["seconds"].sum() / HOUR_SECONDS
    axes.set_title(f"{found[-1]:,} species detected in {total:,} recordings of {hours:,.1f} hours in all", loc="left")
    write_figure(path, figure)


def _order_text(tables: PlotTables) -> str:
    unknown = int(tables.recordings["clock"].is_nan().sum())
    if unknown == len(tables.recordings):
        return "in the order of names (no times are known)"
    return f"in the order of time ({unknown:,} of unknown time last)" if unknown else "in the order of time"
