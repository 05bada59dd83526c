"""The plots of a submission or a table, in a folder beside it: which can be drawn, and what others need."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

import numpy as np

from utils import console
from utils.scoring.evaluation.score_histograms import ScorePanel, draw_score_panels
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.metrics.detection_rule import DetectionRule
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.plots.accumulation import draw_accumulation
from utils.scoring.submissions.plots.activity import draw_activity
from utils.scoring.submissions.plots.counts import PlotCounts, PlotTables
from utils.scoring.submissions.plots.folder import PLOT_NAMES, remove_plots
from utils.scoring.submissions.plots.sites import draw_sites, site_table

SCORE_PANELS = 24  # species
NEEDS_TIMES = (
    "no recording tells when it was made; headers of recorders do, and names such as SITE_20230615_025100.wav "
    "(dataset.site_pattern for others)"
)
NEEDS_PLACES = (
    "no recording tells where it was made; dataset.deployments names a table of sites with latitude and longitude"
)


@dataclass
class WrittenPlots:
    """The plots that were drawn.

    Attributes
    ----------
    folder : where they are
    files : by what they show
    missing : why others were not drawn, one line each
    """

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The plots for people."""
        return f"{console.printable(self.folder)}: {', '.join(self.files) or 'none'}"

    def report(self) -> None:
        """Print what was not drawn, and what it needs."""
        for line in self.missing:
            console.info(line)


def write_plots_through(
    written: WrittenPlots, results: Iterable[IntervalScores], layout: SubmissionLayout
) -> Iterator[IntervalScores]:
    """Pass recordings on, and draw the plots after the last one, each whole or not at all.

    Plots of an earlier call that are not drawn again are removed.

    Parameters
    ----------
    written : its folder is where they go; what was drawn is added to it
    """
    counts = PlotCounts(layout)
    yield from counts.through(results)
    _draw_all(written, counts.tables(), layout)
    remove_plots(written.folder, besides=written.files.values())


def _draw_all(written: WrittenPlots, tables: PlotTables, layout: SubmissionLayout) -> None:
    """Draw what can be drawn, and note what is missing."""
    if not len(tables.recordings):
        written.missing.append("no plots: no recording could be used")
        return
    paths = {name: written.folder / f"{name}.png" for name in PLOT_NAMES}
    sites = site_table(tables)
    reasons = {
        "activity": _reason_against_activity(tables),
        "accumulation": _reason_against_accumulation(tables),
        "scores": "",
        "sites": "" if len(sites) else NEEDS_PLACES,
    }
    written.missing += [f"no plot of {name}: {reason}" for name, reason in reasons.items() if reason]
    written.files |= {name: paths[name] for name, reason in reasons.items() if not reason}
    if "activity" in written.files:
        draw_activity(paths["activity"], tables, _local_zone(layout))
    if "accumulation" in written.files:
        draw_accumulation(paths["accumulation"], tables)
    draw_score_panels(
        paths["scores"], score_panels(tables, layout.rule), ("all scores",), title=_intervals_title(tables)
    )
    if "sites" in written.files:
        draw_sites(paths["sites"], sites)


def _reason_against_activity(tables: PlotTables) -> str:
    if not len(tables.effort):
        return NEEDS_TIMES
    return "" if len(tables.detections) else "nothing is detected in recordings whose time is known"


def _reason_against_accumulation(tables: PlotTables) -> str:
    if len(tables.recordings) < 2:
        return "it needs two recordings at least"
    return "" if len(tables.species) else "nothing is detected"


def _local_zone(layout: SubmissionLayout) -> tzinfo | None:
    """Return the time zone of local clocks; None if it is not known."""
    starts = (one.started for one in layout.recorders.values())
    return layout.zone or next((start.tzinfo for start in starts if start and start.tzinfo), None)


def score_panels(tables: PlotTables, rule: DetectionRule) -> list[ScorePanel]:
    """Return the histograms of the species that are detected in most recordings, then of those with high scores."""
    detected = np.bincount(tables.species["class"].to_numpy(), minlength=len(tables.classes))
    counts = tables.scores.counts
    highest = counts.shape[1] - (counts[:, ::-1] > 0).argmax(axis=1)
    order = np.lexsort((np.arange(len(detected)), -highest, -detected))
    limits = np.broadcast_to(np.asarray(rule.thresholds, float), (len(detected),))
    factors = (1.0, *((rule.factor,) if rule.factor < 1 else ()))
    return [
        ScorePanel(tables.classes[index], (counts[index],), [float(limits[index] * factor) for factor in factors])
        for index in order[:SCORE_PANELS].tolist()
    ]


def _intervals_title(tables: PlotTables) -> str:
    some = f" of {SCORE_PANELS} of {len(tables.classes):,} species" if len(tables.classes) > SCORE_PANELS else ""
    return f"scores of all intervals{some}"
