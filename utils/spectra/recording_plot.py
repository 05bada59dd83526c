"""The contact sheet of one recording: levels, signal-to-noise curve and scores over time, spectrograms, and clips."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import numpy as np
from jaxtyping import Float, Float32
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import SubplotSpec

from config import Clips, Config, SettingsError, Spectrogram
from utils.console import one_line, warning
from utils.plotting import new_figure, write_figure
from utils.spectra.frequency_axis import kilohertz_ticks
from utils.spectra.recording_survey import RecordingSurvey
from utils.spectra.shown_clips import ShownClip
from utils.spectra.spectrogram import make_spectrogram
from utils.spectrogram_checks import check_spectrogram

SPECTROGRAM_KINDS: tuple[Any, ...] = get_args(get_type_hints(Spectrogram)["kind"])
DESCRIPTIONS = {
    "mel": "mel bands, decibels",
    "linear": "equal steps in Hz, decibels",
    "pcen": "mel bands, per-channel energy normalization",
    "reassigned": "mel bands, decibels, energy moved to where it is in time and frequency",
}
WIDTH = 14.0  # of the figure, inches
OVERVIEW_HEIGHTS = (1.15, 1.35, 1.15)  # of the panels over the whole recording, inches
KIND_HEIGHT, CLIP_HEIGHT, HEADING = 1.75, 1.45, 0.45  # inches
COLUMNS = 6  # of clips
MAX_FRAMES = 5000  # of a spectrogram of the window; about four for each pixel
MAX_NAME = 90  # characters of the file's name in the title
PCEN_SETTLED = 1.0  # after which PCEN's automatic gain control has settled
CONTRAST = {"pcen": (0.3, 0.998)}  # shares of the pixels of a window's spectrogram up to black, and up to white
USUAL_CONTRAST = (0.3, 1.0)
ACCEPTED, REJECTED, PEAK, LEVEL, WINDOW, MIDDLE = "#1a8f3c", "#777777", "#d1495b", "#33658a", "#f2c14e", "#7a5c00"
COLOURS = "magma"
MOST_SHADED = 0.98  # of the recording; a window that is all of it is not shaded
LOWEST_SCORE = 1e-4  # lower scores are drawn here
SCORE_TICKS = (0.0001, 0.001, 0.01, 0.1)


class ShownWindow(NamedTuple):
    """The part of a recording whose spectrograms are shown: start and middle in seconds, and samples."""

    start: float
    middle: float
    samples: Float[np.ndarray, " samples"]


def plot_recording(path: Path, name: str, survey: RecordingSurvey, window: ShownWindow, config: Config) -> None:
    """Write the contact sheet as PNG.

    Parameters
    ----------
    name : of the recording
    """
    kinds = kinds_of(config.spectrogram, samples=len(window.samples), clip_seconds=config.clips.length)
    clips_height = HEADING + CLIP_HEIGHT * -(-len(survey.shown) // COLUMNS)
    heights = [*OVERVIEW_HEIGHTS, *[KIND_HEIGHT] * len(kinds), clips_height]
    figure = new_figure(WIDTH, sum(heights) + HEADING)
    figure.suptitle(_title(name, survey), fontsize=14, fontweight="bold", x=0.01, ha="left")
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    rows = [grid[index, 0] for index in range(len(heights))]
    plot_overview(_column(figure, rows[:3]), survey, window, config)
    plot_kinds(_column(figure, rows[3:-1]), kinds, window, usual=config.spectrogram.kind)
    plot_clips(figure.add_subfigure(rows[-1]), survey, config)
    write_figure(path, figure)


def _column(figure: Figure, rows: Sequence[SubplotSpec]) -> list[Axes]:
    """Return panels that share a time axis, which only the last one labels."""
    panels: list[Axes] = []
    for row in rows:
        panels.append(figure.add_subplot(row, sharex=panels[0] if panels else None))
        panels[-1].tick_params(labelbottom=row is rows[-1], labelsize=9)
    panels[-1].set_xlabel("time, s")
    return panels


def kinds_of(settings: Spectrogram, *, samples: int, clip_seconds: float) -> list[Spectrogram]:
    """Return settings for each kind of spectrogram of a window of so many samples, in the resolution of clips.

    Kinds that cannot be computed with the other settings are left out, with a warning.
    """
    frames = round(samples / settings.rate * settings.width / clip_seconds)
    width = max(2, min(frames, MAX_FRAMES, samples))
    kinds = []
    for kind in SPECTROGRAM_KINDS:
        n_fft = settings.n_fft if (kind == "linear") == (settings.kind == "linear") else 0
        one = replace(settings, kind=kind, n_fft=n_fft, width=width, hop=0, scale="clip", resize="squeeze")
        try:
            check_spectrogram(one, samples=samples)
        except SettingsError as error:
            warning(f"spectrogram.kind = {kind} is not on the contact sheet: {error}")
        else:
            kinds.append(one)
    return kinds


def plot_overview(panels: Sequence[Axes], survey: RecordingSurvey, window: ShownWindow, config: Config) -> None:
    """Plot the waveform, the signal-to-noise curve with its peaks, and the signal scores of clips over time."""
    waveform, curve, scores = panels
    _plot_ranges(waveform, survey.amplitudes, survey.amplitude_step)
    low, high = min(0.0, float(survey.amplitudes[0].min())), max(0.0, float(survey.amplitudes[1].max()))
    pad = 0.05 * (high - low)
    waveform.set(ylim=(low - pad, high + pad), ylabel="amplitude", xlim=(0, survey.seconds))
    _heading(waveform, "Waveform; full scale is 1")
    _plot_curve(curve, survey)
    _heading(curve, f"PCEN-SNR curve, above its median, and {_peaks_text(survey)} of clips.choose = peaks")
    _plot_scores(scores, survey, config.clips)
    _heading(scores, _score_heading(survey, config.clips))
    seconds = len(window.samples) / config.spectrogram.rate
    for axes in panels:
        if seconds < MOST_SHADED * survey.seconds:
            axes.axvspan(window.start, window.start + seconds, color=WINDOW, alpha=0.35, linewidth=0)
        axes.axvline(window.middle, color=MIDDLE, linestyle=":", linewidth=1, zorder=0.5)
        axes.spines[["top", "right"]].set_visible(False)


def _plot_ranges(axes: Axes, ranges: Float32[np.ndarray, "2 steps"], step: float) -> None:
    """Plot a curve by its lowest and highest value in each step."""
    times = step * (np.arange(ranges.shape[1]) + 0.5)
    axes.plot(np.repeat(times, 2), ranges.T.ravel(), color=LEVEL, linewidth=0.8)


def _plot_curve(axes: Axes, survey: RecordingSurvey) -> None:
    _plot_ranges(axes, survey.curve, survey.curve_step)
    times, levels = [peak.peak for peak in survey.peaks], [peak.strength for peak in survey.peaks]
    axes.plot(times, levels, "v", markersize=8, color=PEAK, markeredgecolor="white", clip_on=False, zorder=3)
    low, high = float(np.quantile(survey.curve[0], 0.1)), float(survey.curve[1].max())  # PCEN has to settle first
    spread = max(high - low, 1.0)
    axes.set(ylim=(low - 0.3 * spread, high + 0.2 * spread), ylabel="dB")


def _plot_scores(axes: Axes, survey: RecordingSurvey, clips: Clips) -> None:
    accepted = survey.scores >= clips.signal_threshold
    middles, heights = survey.starts + clips.length / 2, np.maximum(survey.scores, LOWEST_SCORE)
    size = 5.0 if len(middles) <= 500 else 2.0
    for some, colour in ((accepted, ACCEPTED), (~accepted, REJECTED)):
        axes.plot(middles[some], heights[some], "o", markersize=size, color=colour)
    axes.axhline(max(clips.signal_threshold, LOWEST_SCORE), color=PEAK, linestyle="--", linewidth=1)
    axes.set(yscale="log", ylabel="score", ylim=(LOWEST_SCORE / 1.6, 1.0 if heights.max() > 0.2 else 0.3))
    axes.set_yticks(SCORE_TICKS, [f"{tick:g}" for tick in SCORE_TICKS])
    axes.minorticks_off()


def plot_kinds(panels: Sequence[Axes], kinds: Sequence[Spectrogram], window: ShownWindow, *, usual: str) -> None:
    """Plot the kinds of spectrogram of the window, one below the other.

    Parameters
    ----------
    usual : the kind of the experiment, which its heading tells
    """
    for axes, settings in zip(panels, kinds, strict=True):
        end = window.start + len(window.samples) / settings.rate
        spectrogram = _window_spectrogram(window.samples, settings)
        black, white = np.quantile(spectrogram, CONTRAST.get(settings.kind, USUAL_CONTRAST)).tolist()
        axes.imshow(
            spectrogram,
            cmap=COLOURS,
            vmin=black,
            vmax=max(white, black + 0.01),
            aspect="auto",
            extent=(window.start, end, 0, 1),
        )
        axes.axvline(window.middle, color="white", linestyle=":", linewidth=1)
        _frequency_axis(axes, settings)
        experiment = "; the kind of the experiment" if settings.kind == usual else ""
        _heading(axes, f"{settings.kind}: {DESCRIPTIONS.get(settings.kind, 'spectrogram.kind')}{experiment}")


def _window_spectrogram(
    samples: Float[np.ndarray, " samples"], settings: Spectrogram
) -> Float[np.ndarray, "height width"]:
    """Return the spectrogram of a window; PCEN has the window's start, backwards, to settle on."""
    settled = min(len(samples), int(PCEN_SETTLED * settings.rate)) if settings.kind == "pcen" else 0
    frames = round(settings.width * settled / len(samples))
    samples = np.concatenate([samples[:settled][::-1], samples])
    return make_spectrogram(samples, replace(settings, width=settings.width + frames))[:, frames:]


def plot_clips(figure: SubFigure, survey: RecordingSurvey, config: Config) -> None:
    """Plot clips as the model gets them: accepted ones in colours, rejected ones in grey."""
    figure.suptitle(_clips_heading(survey, config.clips), fontsize=11, x=0.01, ha="left")
    rows = -(-len(survey.shown) // COLUMNS)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes, clip in zip(grid.flat, survey.shown, strict=False):
        _plot_clip(axes, clip, config)
    for axes in grid.flat[len(survey.shown) :]:
        axes.set_axis_off()
    for row in grid:
        _frequency_axis(row[0], config.spectrogram)


def _plot_clip(axes: Axes, clip: ShownClip, config: Config) -> None:
    colour, colours = (ACCEPTED, COLOURS) if clip.accepted else (REJECTED, "gray")
    axes.imshow(clip.spectrogram, cmap=colours, vmin=0, vmax=255, aspect="auto", extent=(0, config.clips.length, 0, 1))
    axes.set_title(f"{clip.start:.2f} s · score {clip.score:.4f}", fontsize=9, color=colour, pad=3)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=2)


def _frequency_axis(axes: Axes, settings: Spectrogram) -> None:
    ticks = kilohertz_ticks(settings)
    axes.set_yticks([height for _, height in ticks], [text for text, _ in ticks], fontsize=9)
    axes.set_ylabel("kHz", fontsize=9)


def _heading(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, pad=4)


def _title(name: str, survey: RecordingSurvey) -> str:
    name = one_line(name)
    name = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME // 2]}…{name[-MAX_NAME // 2 :]}"
    return f"{name}: {survey.seconds:,.2f} s, {survey.format.rate:,} Hz, {_count(survey.format.channels, 'channel')}"


def _score_heading(survey: RecordingSurvey, clips: Clips) -> str:
    accepted = int((survey.scores >= clips.signal_threshold).sum())
    rejected = len(survey.scores) - accepted
    return (
        f"Signal scores of {_count(len(survey.scores), 'clip')}: {accepted:,} accepted (green), {rejected:,} rejected "
        f"(grey) by clips.signal_threshold = {clips.signal_threshold:g}"
    )


def _peaks_text(survey: RecordingSurvey) -> str:
    return "the peak" if len(survey.peaks) == 1 else f"the {len(survey.peaks):,} peaks"


def _clips_heading(survey: RecordingSurvey, clips: Clips) -> str:
    accepted = sum(clip.accepted for clip in survey.shown)
    counts = f"{accepted} accepted, {len(survey.shown) - accepted} rejected (grey)"
    if len(survey.shown) == len(survey.scores):
        return f"All clips, of {clips.length:g} s: {counts}"
    which = f"{len(survey.shown)} of {len(survey.scores):,} clips, of {clips.length:g} s"
    return f"{which}: those with the highest signal scores, {counts}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
