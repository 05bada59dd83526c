"""What one recording holds, found without any data set: levels, signal-to-noise curve, peaks, clips and their scores.

Recordings of any length are read in blocks; what stays in memory is a curve and a score per clip, and some clips.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from config import Clips, Config, Spectrogram
from utils.console import UserError, printable, progress
from utils.recordings.audio_files import check_readable
from utils.sound.reading import AudioReader
from utils.spectra.clip_selection import select_windows, windows_at_peaks
from utils.spectra.clips import Window, cut_windows
from utils.spectra.decode import AudioError, decode
from utils.spectra.extraction import DecodedRecording, Job
from utils.spectra.peaks import hop_samples, snr_curve
from utils.spectra.shown_clips import ClipsToShow, ShownClip
from utils.spectra.spectrogram import scored_spectrogram
from utils.spectra.step_ranges import StepRanges

LONG = 300.0  # seconds; reading longer recordings shows a progress bar


class SoundFormat(NamedTuple):
    """Samples per second and channels of a file, and its length in seconds if its header tells it, else None."""

    rate: int
    channels: int
    seconds: float | None


@dataclass(frozen=True)
class RecordingSurvey:
    """What a recording holds.

    Attributes
    ----------
    seconds : length
    format : of the file
    warnings : problems of the file
    amplitudes, amplitude_step : lowest and highest sample in each step, and the length of a step, seconds
    curve, curve_step : lowest and highest value in each step of the signal-to-noise curve, decibels above its median
    peaks : those at which `clips.choose = peaks` cuts clips, in order of time
    starts, scores : start (seconds) and signal score of each clip, in order of time
    shown : some of the clips, in order of time
    """

    seconds: float
    format: SoundFormat
    warnings: tuple[str, ...]
    amplitudes: Float32[np.ndarray, "2 steps"]
    amplitude_step: float
    curve: Float32[np.ndarray, "2 curve_steps"]
    curve_step: float
    peaks: tuple[Window, ...]
    starts: Float[np.ndarray, " clips"]
    scores: Float[np.ndarray, " clips"]
    shown: tuple[ShownClip, ...]

    @property
    def best(self) -> int:
        """Index of the clip with the highest signal score."""
        return int(self.scores.argmax())


def read_format(file: Path) -> SoundFormat:
    """Read the header of a recording.

    Raises
    ------
    UserError
        If it is no sound that can be decoded; the message names the file.
    """
    try:
        check_readable(file)
        with AudioReader(file, quick=True) as sound:
            return SoundFormat(sound.rate, sound.channels, sound.frames and sound.frames / sound.rate)
    except (AudioError, ValueError) as error:
        raise UserError(f"{printable(file)}: {error}") from None


def survey_recording(file: Path, sound: SoundFormat, config: Config) -> RecordingSurvey:
    """Read a recording, twice (clips.choose = peaks: three times), and return what it holds.

    Clips that need more than the recording (clips.choose = annotations or table) are those of the grid.

    Raises
    ------
    UserError
        If it cannot be read, is silent, or is shorter than a clip; the message names the file.
    """
    clips = clips_without_data_set(config.clips)
    job = Job(file.name, file, 0, clips, config.spectrogram)
    rate, recording, amplitudes, curve = config.spectrogram.rate, DecodedRecording(job), StepRanges(), StepRanges()
    with _named_errors(file):
        blocks = _advancing(recording.blocks(), "signal-to-noise curve", seconds=sound.seconds or 0.0, rate=rate)
        levels = snr_curve(_added_to(amplitudes, blocks), config.spectrogram)
        recording.check_length()
        recording.check_level()
        curve.add(levels)
        samples, warnings = recording.samples, recording.length.warnings
        starts, scores, shown = _scored_clips(recording, clips, config)
    return RecordingSurvey(
        samples / rate,
        sound,
        warnings,
        amplitudes.ranges(),
        amplitudes.size / rate,
        curve.ranges(),
        curve.size * hop_samples(rate) / rate,
        tuple(windows_at_peaks(levels, clips, samples=samples, rate=rate)),
        np.array(starts),
        np.array(scores),
        shown.chosen(),
    )


def clips_without_data_set(clips: Clips) -> Clips:
    """Return settings by which clips can be chosen without annotations and tables, and without their margins."""
    choose = "grid" if clips.choose in ("annotations", "table") else clips.choose
    return replace(clips, choose=choose, keep="spectrograms", margin=0.0)


def read_window(
    file: Path, spectrogram: Spectrogram, *, middle: float, seconds: float, of: float
) -> tuple[float, Float[np.ndarray, " samples"]]:
    """Return the start (seconds) and the samples of a part of a recording; what comes after it is not decoded.

    Parameters
    ----------
    middle, seconds : where it is, and its length; it is moved or cut to lie inside the recording
    of : length of the recording, seconds

    Raises
    ------
    UserError
        If the recording cannot be read any more.
    """
    rate = spectrogram.rate
    total = round(of * rate)
    length = min(round(seconds * rate), total)
    start = max(0, min(round(middle * rate) - length // 2, total - length))
    with _named_errors(file), closing(decode(file, rate=rate, channel=spectrogram.channel)) as blocks:
        window, samples = next(cut_windows(blocks, [Window(start)], length=length))
    return window.start / rate, samples


@contextmanager
def _named_errors(file: Path) -> Iterator[None]:
    """Let errors name the file."""
    try:
        yield
    except AudioError as error:
        raise UserError(f"{printable(file)}: {error}") from None


def _added_to(ranges: StepRanges, blocks: Iterable[Float[np.ndarray, " _"]]) -> Iterator[Float[np.ndarray, " _"]]:
    for block in blocks:
        ranges.add(block)
        yield block


def _advancing(
    blocks: Iterable[Float[np.ndarray, " _"]], what: str, *, seconds: float, rate: int
) -> Iterator[Float[np.ndarray, " _"]]:
    """Yield the same blocks; for long recordings show a progress bar."""
    if seconds < LONG:
        yield from blocks
        return
    with progress(what, total=int(seconds), unit="s of sound") as advance:
        samples = 0
        for block in blocks:
            before, samples = samples, samples + len(block)
            advance(samples // rate - before // rate)
            yield block


def _scored_clips(
    recording: DecodedRecording, clips: Clips, config: Config
) -> tuple[list[float], list[float], ClipsToShow]:
    starts, scores, shown = list[float](), list[float](), ClipsToShow()
    seconds, rate = recording.seconds, config.spectrogram.rate

    def blocks() -> Iterator[Float[np.ndarray, " _"]]:
        return _advancing(recording.blocks(), "clips", seconds=seconds, rate=rate)

    for index, (window, samples) in enumerate(select_windows(blocks, clips, config.spectrogram, events=None)):
        spectrogram, score = scored_spectrogram(samples, config.spectrogram, seed=index)
        starts.append(window.start / rate)
        scores.append(score)
        shown.add(starts[-1], score, spectrogram, accepted=score >= clips.signal_threshold)
    return starts, scores, shown
