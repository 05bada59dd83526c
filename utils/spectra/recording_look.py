"""A look at one recording: its survey, its contact sheet, and a summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console
from utils.spectra.recording_plot import ShownWindow, plot_recording
from utils.spectra.recording_survey import (
    RecordingSurvey,
    clips_without_data_set,
    read_format,
    read_window,
    survey_recording,
)

SHORTEST_WINDOW, LONGEST_WINDOW = 0.1, 60.0  # seconds
EXAMPLE = "python -m utils.spectra robin.wav robin.png"


@dataclass(frozen=True)
class ShownPart:
    """The part of a recording whose spectrograms are shown.

    Attributes
    ----------
    at : its middle, seconds from the start; None: the middle of the clip with the highest signal score
    seconds : its length
    """

    at: float | None = None
    seconds: float = 10.0


def look_at(paths: Sequence[Path], config: Config, shown: ShownPart) -> RecordingSurvey:
    """Write the contact sheet of a recording as PNG, and print a summary.

    Parameters
    ----------
    paths : the recording, and the image to write
    shown : the part whose spectrograms are shown

    Raises
    ------
    UserError
        If the recording cannot be used, no image is named, or a flag is out of its range.
    """
    passed = console.stopwatch()
    file, image = _checked(paths, shown)
    if clips_without_data_set(config.clips).choose != config.clips.choose:
        console.info(f"clips.choose = {config.clips.choose} needs a data set; the clips of the grid are shown instead")
    sound = read_format(file)
    if sound.seconds is not None:  # before a long recording is read
        _check_at(shown, file, sound.seconds)
    survey = survey_recording(file, sound, config)
    _check_at(shown, file, survey.seconds)
    for warning in survey.warnings:
        console.warning(f"{console.printable(file)}: {warning}")
    window = _window(file, survey, config, shown)
    plot_recording(image, file.name, survey, window, config)
    console.show_table(file.name, {**_summary_rows(survey, config), "time": console.clock(passed())})
    console.info(f"{console.printable(image)}: the contact sheet of {console.printable(file)}")
    console.info("next: the same with other settings, such as --clips.signal_threshold or --clips.choose; or spec.py")
    return survey


def _checked(paths: Sequence[Path], shown: ShownPart) -> tuple[Path, Path]:
    """Return the recording and the image to write."""
    if len(paths) < 2:
        raise console.UserError(f"name a recording and the image to write, such as: {EXAMPLE}")
    file, image = paths
    if image.suffix.lower() != ".png":
        raise console.UserError(f"{image}: the second argument must be the image to write, such as {file.stem}.png")
    if not SHORTEST_WINDOW <= shown.seconds <= LONGEST_WINDOW:
        raise console.UserError(f"--seconds {shown.seconds:g}: should be {SHORTEST_WINDOW:g} to {LONGEST_WINDOW:g}")
    if shown.at is not None and not shown.at >= 0:
        raise console.UserError(f"--at {shown.at:g}: should be 0 or more")
    return file, image


def _check_at(shown: ShownPart, file: Path, seconds: float) -> None:
    if shown.at is not None and shown.at > seconds:
        raise console.UserError(f"--at {shown.at:g}: {console.printable(file)} ends at {seconds:.2f} s")


def _window(file: Path, survey: RecordingSurvey, config: Config, shown: ShownPart) -> ShownWindow:
    best = survey.starts[survey.best] + config.clips.length / 2
    middle = float(best) if shown.at is None else shown.at
    start, samples = read_window(file, config.spectrogram, middle=middle, seconds=shown.seconds, of=survey.seconds)
    return ShownWindow(start, middle, samples)


def _summary_rows(survey: RecordingSurvey, config: Config) -> dict[str, str]:
    clips = clips_without_data_set(config.clips)
    accepted = int((survey.scores >= clips.signal_threshold).sum())
    channels = f"{survey.format.channels} channel{'s' if survey.format.channels > 1 else ''}"
    strongest = max(survey.peaks, key=lambda peak: peak.strength)
    return {
        "recording": f"{console.clock(survey.seconds)}, {survey.format.rate:,} Hz, {channels}",
        "clips": f"{len(survey.scores):,} of {clips.length:g} s (clips.choose = {clips.choose})",
        "accepted": f"{accepted:,}",
        "rejected": f"{len(survey.scores) - accepted:,}, signal score below {clips.signal_threshold:g}",
        "best clip": f"at {survey.starts[survey.best]:.2f} s, signal score {survey.scores[survey.best]:.4f}",
        "strongest peak": f"at {strongest.peak:.2f} s, {strongest.strength:.1f} dB above the median",
    }
