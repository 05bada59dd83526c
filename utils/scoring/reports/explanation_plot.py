"""The image of an explanation: a spectrogram with the parts that its score depends on, and their sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import SubFigure

from config import Spectrogram
from utils.plotting import new_figure, tick_name, write_figure
from utils.scoring.inference.clip_search import FoundClip
from utils.scoring.inference.occlusion import OcclusionMap
from utils.spectra.frequency_axis import kilohertz_ticks

SIZE = (10.0, 7.4)  # of each explanation, inches
# from what speaks against a class (blue) to what speaks for it (orange); transparent where nothing changes
AGAINST, FOR = "#0072b2", "#e66100"
OPACITY = 0.8  # where most changes
OVERLAY = LinearSegmentedColormap.from_list("importance", [AGAINST, "#ffffff", FOR])
SMALLEST_SCALE = 1e-3  # of importance, so that rounding is not shown in full colours


@dataclass(frozen=True)
class ExplainedClip:
    """What is drawn.

    Attributes
    ----------
    species : whose score it is
    models : whose score it is, for people
    clip, found : the spectrogram, and how the score depends on its parts
    settings : of the spectrogram
    """

    species: str
    models: str
    clip: FoundClip
    found: OcclusionMap
    settings: Spectrogram


def draw_explanation(path: Path, clips: Sequence[ExplainedClip], *, title: str) -> None:
    """Draw one explanation below the other: importance over time, over the spectrogram, and over frequency.

    Parameters
    ----------
    title : names the recording
    """
    figure = new_figure(SIZE[0], SIZE[1] * len(clips) + 0.3)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    parts = figure.subfigures(len(clips), 1, squeeze=False)[:, 0]
    for part, one in zip(parts, clips, strict=True):
        _draw_clip(part, one)
    write_figure(path, figure)


def _draw_clip(figure: SubFigure, one: ExplainedClip) -> None:
    found, clip = one.found, one.clip
    figure.suptitle(
        f"{tick_name(one.species)}: score {found.score:.3f}, without the most important patch {found.lowest:.3f}, "
        f"of the background alone {found.background:.3f}\n{one.models}",
        x=0.01,
        ha="left",
        fontsize=9,
    )
    grid = figure.add_gridspec(3, 3, height_ratios=(1, 3, 3), width_ratios=(30, 6, 0.7))
    overlay = figure.add_subplot(grid[1, 0])
    plain = figure.add_subplot(grid[2, 0], sharex=overlay, sharey=overlay)
    over_time = figure.add_subplot(grid[0, 0], sharex=overlay)
    over_frequency = figure.add_subplot(grid[1, 1], sharey=overlay)
    for axes in (overlay, plain):
        _draw_spectrogram(axes, one)
    most = max(float(np.abs(found.importance).max()), SMALLEST_SCALE)
    _draw_overlay(overlay, one, most)
    bar = figure.colorbar(ScalarMappable(Normalize(-most, most), OVERLAY), cax=figure.add_subplot(grid[1, 2]))
    bar.set_label("loss of score", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    times = clip.start + clip.length * found.column_edges / clip.pixels.shape[1]
    heights = 1 - found.row_edges / clip.pixels.shape[0]
    sums = found.importance.sum(axis=0), found.importance.sum(axis=1)
    over_time.stairs(sums[0], times, baseline=0, fill=True, color=FOR, alpha=0.6)
    over_frequency.stairs(
        sums[1][::-1], heights[::-1], baseline=0, fill=True, color=FOR, alpha=0.6, orientation="horizontal"
    )
    _tidy(over_time, over_frequency)
    overlay.tick_params(labelbottom=False)
    plain.set_xlabel("seconds from the start of the recording", fontsize=9)


def _tidy(over_time: Axes, over_frequency: Axes) -> None:
    over_time.set_title("sum over frequencies", loc="left", fontsize=8)
    over_frequency.set_title("sum over time", loc="left", fontsize=8)
    over_time.tick_params(labelbottom=False, labelsize=7)
    over_frequency.tick_params(labelleft=False, labelsize=7)
    over_time.axhline(0, color="black", linewidth=0.6)
    over_frequency.axvline(0, color="black", linewidth=0.6)
    for axes in (over_time, over_frequency):
        axes.spines[["top", "right"]].set_visible(False)


def _draw_spectrogram(axes: Axes, one: ExplainedClip) -> None:
    extent = _extent(one)
    axes.imshow(one.clip.pixels, cmap="gray_r", vmin=0, vmax=255, aspect="auto", extent=extent, interpolation="nearest")
    ticks = kilohertz_ticks(one.settings)
    axes.set_yticks([height for _, height in ticks], [f"{1000 * float(text):,.0f}" for text, _ in ticks])
    axes.set_ylabel("Hz", fontsize=9)
    axes.tick_params(labelsize=8)


def _extent(one: ExplainedClip) -> tuple[float, float, float, float]:
    return (one.clip.start, one.clip.start + one.clip.length, 0.0, 1.0)


def _draw_overlay(axes: Axes, one: ExplainedClip, most: float) -> None:
    """Draw the cells in colours that are the more opaque the more they matter."""
    found = one.found
    rows = np.repeat(np.arange(len(found.importance)), np.diff(found.row_edges))
    columns = np.repeat(np.arange(found.importance.shape[1]), np.diff(found.column_edges))
    values: Float[np.ndarray, "height width"] = found.importance[rows][:, columns]
    colours = OVERLAY(np.where(values < 0, 0.0, 1.0))
    colours[..., 3] = OPACITY * np.abs(values) / most
    axes.imshow(colours, aspect="auto", extent=_extent(one), interpolation="nearest")
