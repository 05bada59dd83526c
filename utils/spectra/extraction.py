"""What a worker does with one recording: decode, select windows, compute spectrograms and scores, reject, save."""

import math
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8

from config import Clips, Config, Spectrogram
from utils.files import atomic_file
from utils.spectra.clip_selection import EventSpan, EventSpans, select_windows
from utils.spectra.clips import clip_samples, cut_grid
from utils.spectra.decode import AudioError, Length, decode
from utils.spectra.mixing import mixer_for
from utils.spectra.parts import Clip, ClipReservoir, RecordingSummary
from utils.spectra.score_counts import count_scores
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import make_spectrogram, mel_levels, to_pixels

MAX_SCRATCH_IN_MEMORY = 64 * 2**20  # bytes of spectrograms that a worker holds in memory; more go to disk
MAX_PASSED_IN_MEMORY = 8 * 2**20  # bytes of spectrograms that a worker returns in memory; more go through a file


@dataclass(frozen=True)
class Job:
    """One recording whose spectrograms are wanted.

    Attributes
    ----------
    name, file : name of the recording, and its audio file
    max_clips : number of clips at most; 0: all
    part : the file to write spectrograms to, if they go to a file
    events : the annotated events, if only they say which species a clip has: clips without an event are rejected
    reject : whether the signal rule applies; False for recordings without birds
    unsure : whether an annotation is missing, so that clips without an event may have a bird and are no noise
    """

    name: str
    file: Path
    max_clips: int
    clips: Clips
    spectrogram: Spectrogram
    part: Path = Path()
    events: tuple[EventSpan, ...] | None = None
    reject: bool = True
    unsure: bool = False


class DecodedRecording:
    """A recording that can be decoded several times, and what the last decoding found.

    Attributes
    ----------
    samples : number of samples
    lowest, highest : smallest and largest sample
    length : length at the rate of the file; known after decoding to the end
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.length = Length(0, job.spectrogram.rate)
        self._mixer = mixer_for(job.file, job.spectrogram.channel)
        self._to_end = False
        self.samples, self.lowest, self.highest = 0, np.inf, -np.inf

    @property
    def seconds(self) -> float:
        """Length of the recording as far as it was decoded."""
        return self.samples / self._job.spectrogram.rate

    def blocks(self) -> Iterator[Float[np.ndarray, " _"]]:
        """Decode the recording from its start."""
        self.samples, self.lowest, self.highest = 0, np.inf, -np.inf
        for block in self._decoded():
            self.samples += len(block)
            self.lowest, self.highest = block.min(initial=self.lowest), block.max(initial=self.highest)
            yield block

    def _decoded(self) -> Iterator[Float[np.ndarray, " _"]]:
        settings = self._job.spectrogram
        self._mixer, self._to_end = mixer_for(self._job.file, settings.channel), False
        self.length = yield from decode(self._job.file, rate=settings.rate, mixer=self._mixer)
        self._to_end = True

    def warnings(self) -> tuple[str, ...]:
        """Return the problems of the file; if it was not decoded to its end, only those of its channels so far.

        Raises
        ------
        AudioError
            If channels cancel each other.
        """
        return self.length.warnings if self._to_end else self._mixer.warnings()

    def check_length(self) -> None:
        """Check that the recording is long enough for a clip.

        Raises
        ------
        AudioError
            If it is too short.
        """
        _, _, min_length = clip_samples(self._job.clips, rate=self._job.spectrogram.rate)
        if self.samples < max(min_length, 1):
            needed = self._job.clips.min_length
            raise AudioError(f"is {self.seconds:.2f} s long, shorter than a clip (clips.min_length = {needed:g} s)")

    def check_level(self) -> None:
        """Check that the recording is not silent.

        Raises
        ------
        AudioError
            If all samples are the same.
        """
        if self.lowest == self.highest:
            raise AudioError(f"is silent: all its samples are {self.highest:g}")


class JobResult(NamedTuple):
    """What was done for one recording: its length in seconds, and how many spectrograms were computed."""

    seconds: float
    clips: int


class ClipCandidate(NamedTuple):
    """A window whose spectrogram is computed.

    Attributes
    ----------
    clip : the clip, not yet scored
    eligible : whether it may be accepted; False if it has no event where one is needed
    noise_draw : random number from 0 to 1; a rejected clip stays as noise if it is below `clips.noise_share`
    rank : random number; of more clips than `Job.max_clips`, those with the lowest ranks stay
    """

    clip: Clip
    eligible: bool
    noise_draw: float
    rank: float


class RecordingScan:
    """The search for candidate clips in a recording, and what else it finds.

    Attributes
    ----------
    seconds : length of the recording
    peaks : if clips are cut at peaks: time in seconds, decibels, and index of the window of each
    skipped : number of windows rejected without a spectrogram, because they have no event
    warnings : problems of the file
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.seconds = 0.0
        self.peaks: list[tuple[float, float, int]] = []
        self.skipped = 0
        self.warnings: tuple[str, ...] = ()

    def candidates(self) -> Iterator[tuple[ClipCandidate, Float[np.ndarray, " length"]]]:
        """Yield the windows whose spectrogram is needed, with their samples, in order of time.

        Raises
        ------
        AudioError
            If the recording cannot be used.
        """
        job, recording = self._job, DecodedRecording(self._job)
        generator = np.random.default_rng((job.clips.seed, zlib.crc32(job.name.encode())))
        spans = None if job.events is None else EventSpans(job.events)
        windows = select_windows(recording.blocks, job.clips, job.spectrogram, events=job.events)
        for index, (window, samples) in enumerate(windows):
            start = window.start / job.spectrogram.rate
            if np.isfinite(window.strength):
                self.peaks.append((window.peak, window.strength, index))
            noise_draw, rank = generator.random(2)
            eligible = spans is None or spans.overlap(start, start + job.clips.length)
            if eligible or (noise_draw < job.clips.noise_share and not job.unsure):
                clip = Clip(index, start, window.event, window.strength, 0.0, False)
                yield ClipCandidate(clip, eligible, noise_draw, rank), samples
            else:
                self.skipped += 1
        recording.check_length()
        recording.check_level()
        self.seconds, self.warnings = recording.seconds, recording.length.warnings


def extract(job: Job) -> JobResult:
    """Compute the spectrograms of a recording and write those that stay to `job.part`.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    scan = RecordingScan(job)

    def scored() -> Iterator[tuple[ClipCandidate, Float32[np.ndarray, "height width"], float]]:
        for candidate, samples in scan.candidates():
            spectrogram = make_spectrogram(samples, job.spectrogram, seed=candidate.clip.clip_index)
            yield candidate, spectrogram, signal_score(spectrogram)

    return write_part(job, scan, scored())


def write_part(job: Job, scan: RecordingScan, scored: Iterator[tuple[ClipCandidate, Any, float]]) -> JobResult:
    """Accept or reject clips by the signal rule and write `job.part`: accepted clips, and a share of the rejected.

    Of either kind at most `job.max_clips` stay, drawn at random.

    Parameters
    ----------
    scored : candidates with their spectrograms (0 to 1, or uint8) and signal scores; `scan` is complete at its end
    """
    scores: list[float] = []
    rejected = computed = 0
    with (
        atomic_file(job.part, lasting=False) as stream,
        SpooledTemporaryFile(MAX_SCRATCH_IN_MEMORY, dir=str(job.part.parent)) as scratch,
    ):
        reservoir = ClipReservoir(job.max_clips, scratch)
        for candidate, spectrogram, score in scored:
            computed += 1
            if candidate.eligible:  # the scores of other clips do not matter
                scores.append(score)
            accepted = candidate.eligible and (score >= job.clips.signal_threshold or not job.reject)
            if accepted or candidate.noise_draw < job.clips.noise_share:
                pixels = spectrogram if spectrogram.dtype == np.uint8 else to_pixels(spectrogram)
                reservoir.add(candidate.clip._replace(score=score, accepted=accepted), pixels, rank=candidate.rank)
            rejected += not accepted
        summary = RecordingSummary(
            scan.peaks,
            scan.seconds,
            rejected + scan.skipped,
            count_scores(scores),
            "; ".join(scan.warnings) or None,
        )
        reservoir.write(stream, summary)
    return JobResult(scan.seconds, computed)


def grid_clips(job: Job) -> Iterator[Float32[np.ndarray, " length"]]:
    """Yield the clips of a regular grid over a recording, whatever `clips.choose` says.

    Raises
    ------
    AudioError
        If the recording cannot be read, or is too short for a clip.
    """
    yield from _grid_of(DecodedRecording(job), job)


def _grid_of(recording: DecodedRecording, job: Job) -> Iterator[Float32[np.ndarray, " length"]]:
    length, step, min_length = clip_samples(job.clips, rate=job.spectrogram.rate)
    for _, batch in cut_grid(recording.blocks(), length=length, step=step, min_length=min_length):
        yield from batch
    recording.check_length()


def spectrograms_of_file(file: Path, config: Config) -> UInt8[np.ndarray, "clips height width"]:
    """Return the spectrograms of all clips of an audio file, in order of time, without any rejection.

    Clip i starts at i · (`clips.length` − `clips.overlap`) seconds. The settings that matter are `clips.length`,
    `overlap` and `min_length`, and those of `spectrogram`.

    Parameters
    ----------
    file : any format that libsndfile reads
    config : the settings; `Config()` has those of the 2018 baseline

    Returns
    -------
    uint8; the last row is the lowest frequency, the columns are frames.

    Raises
    ------
    AudioError
        If the file cannot be read, or is too short for a clip.

    Examples
    --------
    Two seconds of a 3 kHz tone are two clips of one second that overlap by 0.25 seconds; the tone is a horizontal line:

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import soundfile
    >>> from config import Config
    >>> tone = 0.5 * np.sin(2 * np.pi * 3000 * np.arange(2 * 44_100) / 44_100)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     soundfile.write(Path(folder) / "tone.wav", tone, 44_100)
    ...     spectrograms = spectrograms_of_file(Path(folder) / "tone.wav", Config())
    >>> spectrograms.shape, spectrograms.dtype
    ((2, 128, 256), dtype('uint8'))
    >>> int(spectrograms[0].mean(axis=1).argmax())  # row of the tone, counted from the top
    63
    """
    job = Job(file.stem, file, 0, config.clips, config.spectrogram)
    clips = enumerate(grid_clips(job))
    return np.stack([to_pixels(make_spectrogram(samples, config.spectrogram, seed=index)) for index, samples in clips])


@dataclass(frozen=True)
class RecordingSpectrograms:
    """The spectrograms of a recording's clips, in memory or, if there are many, in a file.

    Attributes
    ----------
    count : number of clips
    shape : height and width of a spectrogram, pixels
    pixels : all spectrograms, if they are in memory
    file : file with their bytes, one spectrogram after the other, if they are not
    warnings : problems of the recording, as far as it was decoded
    """

    count: int
    shape: tuple[int, int]
    pixels: UInt8[np.ndarray, "clips height width"] | None = None
    file: Path | None = None
    warnings: tuple[str, ...] = ()

    def blocks(self, size: int) -> Iterator[UInt8[np.ndarray, "_ height width"]]:
        """Yield the spectrograms in blocks of at most `size`, and remove the file at the end."""
        if self.pixels is not None:
            yield from (self.pixels[first : first + size] for first in range(0, self.count, size))
        if self.file is not None:
            with self.file.open("rb") as stream:
                for first in range(0, self.count, size):
                    clips = min(size, self.count - first)
                    content = stream.read(clips * math.prod(self.shape))
                    yield np.frombuffer(content, np.uint8).reshape(clips, *self.shape)
            self.file.unlink()


def first_spectrograms(job: Job) -> RecordingSpectrograms:
    """Compute the spectrograms of the first clips of a grid, at most `job.max_clips`, without any rejection.

    If they are many, they are in the file `job.part`.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    recording = DecodedRecording(job)
    spectrograms = spectrograms_of_clips(islice(_grid_of(recording, job), job.max_clips or None), job)
    try:
        return replace(spectrograms, warnings=recording.warnings())
    except AudioError:
        if spectrograms.file:
            spectrograms.file.unlink(missing_ok=True)
        raise


def spectrograms_of_clips(clips: Iterable[Float32[np.ndarray, " length"]], job: Job) -> RecordingSpectrograms:
    """Compute the spectrograms of clips, in memory if they are few, else in the file `job.part`."""
    spectrograms: list[UInt8[np.ndarray, "height width"]] = []
    count, most = 0, max(1, MAX_PASSED_IN_MEMORY // math.prod(job.spectrogram.shape))
    with ExitStack() as open_files:
        stream = None
        for index, samples in enumerate(clips):
            spectrograms.append(to_pixels(make_spectrogram(samples, job.spectrogram, seed=index)))
            count += 1
            if len(spectrograms) == most:
                stream = stream or open_files.enter_context(atomic_file(job.part, lasting=False))
                stream.write(np.stack(spectrograms).tobytes())
                spectrograms.clear()
        if stream is None:
            return RecordingSpectrograms(count, job.spectrogram.shape, pixels=np.stack(spectrograms))
        stream.write(b"".join(spectrogram.tobytes() for spectrogram in spectrograms))
    return RecordingSpectrograms(count, job.spectrogram.shape, file=job.part)


def mean_spectrum(job: Job) -> Float32[np.ndarray, " bands"]:
    """Return a recording's mean level in each mel band, in decibels relative to the mean of all bands, lowest first.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    levels = [mel_levels(samples, job.spectrogram) for samples in grid_clips(job)]
    spectrum = np.mean(levels, axis=0, dtype=np.float32)
    return spectrum - spectrum.mean()
