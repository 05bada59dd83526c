"""What one recording holds, found without any data set: levels, signal-to-noise curve, peaks, clips and their scores.

Recordings of any length are read in blocks; what stays in memory is a curve and a score per clip, and some clips.
"""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8

from config import Clips, Config, Spectrogram
from utils.console import UserError, printable, progress
from utils.recordings.audio_files import check_readable
from utils.sound.reading import AudioReader
from utils.spectra.clip_selection import select_windows
from utils.spectra.clips import Window, clip_samples, cut_windows
from utils.spectra.decode import AudioError, decode
from utils.spectra.extraction import DecodedRecording, Job
from utils.spectra.peaks import hop_samples, peak_windows, snr_curve
from utils.spectra.spectrogram import scored_spectrogram, to_pixels

PLOTTED_STEPS = 3000  # of a curve over a recording, at least, if it has as many values
SHOWN_CLIPS = 24
SHOWN_REJECTED = 6  # of these, rejected ones, if there are enough accepted ones
LONG = 300.0  # seconds; reading longer recordings shows a progress bar


class SoundFormat(NamedTuple):
    """Samples per second and channels of a file, and its length in seconds if its header tells it, else None."""

    rate: int
    channels: int
    seconds: float | None


class StepRanges:
    """The lowest and the highest value in each of `steps` to 2 · `steps` equal steps of a stream of unknown length.

    Attributes
    ----------
    size : values in a step; the last step may have fewer
    """

    def __init__(self, *, steps: int = PLOTTED_STEPS) -> None:
        self.size = 1
        self._most, self._count = 2 * steps, 0
        self._ranges = np.zeros((2, self._most), np.float32)
        self._rest = np.zeros(0, np.float32)

    def add(self, values: Float[np.ndarray, " values"]) -> None:
        """Add the next values of the stream."""
        values = np.concatenate([self._rest, values])
        while len(values) >= self.size:
            count = min(len(values) // self.size, self._most - self._count)
            rows = values[: count * self.size].reshape(count, self.size)
            new = slice(self._count, self._count + count)
            self._ranges[:, new] = rows.min(axis=1), rows.max(axis=1)
            self._count += count
            values = values[count * self.size :]
            if self._count == self._most:
                self._join_pairs()
        self._rest = values

    def _join_pairs(self) -> None:
        self.size, self._count = 2 * self.size, self._count // 2
        pairs = self._ranges.reshape(2, self._count, 2)
        self._ranges[:, : self._count] = pairs[0].min(axis=1), pairs[1].max(axis=1)

    def ranges(self) -> Float32[np.ndarray, "2 steps"]:
        """Return the lowest and the highest value of each step."""
        ranges = self._ranges[:, : self._count]
        if not len(self._rest):
            return ranges.copy()
        return np.concatenate([ranges, [[self._rest.min()], [self._rest.max()]]], axis=1)


class ShownClip(NamedTuple):
    """A clip to show: its start in seconds, its signal score, whether it is accepted, and its spectrogram."""

    start: float
    score: float
    accepted: bool
    spectrogram: UInt8[np.ndarray, "height width"]


class ClipsToShow:
    """The clips with the highest signal scores: accepted ones, and rejected ones, which nearly were accepted."""

    def __init__(self) -> None:
        self._heaps: dict[bool, list[tuple[float, float, ShownClip]]] = {True: [], False: []}

    def add(
        self, start: float, score: float, spectrogram: Float[np.ndarray, "height width"], *, accepted: bool
    ) -> None:
        """Add a clip if it is among those to show."""
        heap = self._heaps[accepted]
        if len(heap) < SHOWN_CLIPS or (score, -start) > heap[0][:2]:
            entry = (score, -start, ShownClip(start, score, accepted, to_pixels(spectrogram)))
            (heapq.heappush if len(heap) < SHOWN_CLIPS else heapq.heappushpop)(heap, entry)

    def chosen(self) -> tuple[ShownClip, ...]:
        """Return at most SHOWN_CLIPS clips, in order of time."""
        accepted, rejected = (sorted(self._heaps[kind], reverse=True) for kind in (True, False))
        rejected = rejected[: max(SHOWN_REJECTED, SHOWN_CLIPS - len(accepted))]
        accepted = accepted[: SHOWN_CLIPS - len(rejected)]
        return tuple(sorted((clip for _, _, clip in accepted + rejected), key=lambda clip: clip.start))


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
        tuple(_peaks(levels, clips, samples=samples, rate=rate)),
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


def _peaks(curve: Float[np.ndarray, " frames"], clips: Clips, *, samples: int, rate: int) -> list[Window]:
    length, _, _ = clip_samples(clips, rate=rate)
    apart = length if clips.peak_distance is None else clips.peak_distance * rate
    distance = int(min(apart, 2 * samples))  # huge ones are no integers
    return peak_windows(curve, samples=samples, length=length, distance=distance, count=clips.count, rate=rate)


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
