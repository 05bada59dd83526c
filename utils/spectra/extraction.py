"""What a worker does with one recording: decode, select windows, compute spectrograms and scores, reject, save."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from config import Clips, External, Location, Spectrogram
from utils.external.embeddings import embed_clip
from utils.files import atomic_file
from utils.sound.remote import on_local_copy
from utils.spectra.clip_parts import NOT_KEPT, Clip, ClipReservoir, RecordingSummary, Row
from utils.spectra.clip_selection import EventSpan, EventSpans, select_windows
from utils.spectra.clips import clip_samples, margin_samples
from utils.spectra.decode import AudioError, Length, decode
from utils.spectra.mixing import mixer_for
from utils.spectra.score_counts import count_scores
from utils.spectra.spectrogram import scored_spectrogram, to_pixels
from utils.spectra.stored_sound import to_16_bit

MAX_SCRATCH_IN_MEMORY = 64 * 2**20  # bytes of clips that a worker holds in memory; more go to disk


@dataclass(frozen=True)
class Job:
    """One recording whose spectrograms are wanted.

    Attributes
    ----------
    name, file : name of the recording, and its audio file or the address of it
    max_clips : number of clips at most; 0: all
    part : the file to write spectrograms to, if they go to a file
    events : the annotated events, if only they say which species a clip has: clips without an event are rejected
    reject : whether the signal rule applies; False for recordings without birds
    unsure : whether an annotation is missing, so that clips without an event may have a bird and are no noise
    times : clips.choose = table: the times in the recording on which clips are centred, seconds, in order
    external : clips.keep = embeddings: the bird model
    content : hash of all that its clips depend on, but for `max_clips`
    """

    name: str
    file: Location
    max_clips: int
    clips: Clips
    spectrogram: Spectrogram
    part: Path = Path()
    events: tuple[EventSpan, ...] | None = None
    reject: bool = True
    unsure: bool = False
    times: tuple[float, ...] = ()
    external: External = field(default_factory=External)
    content: str = ""

    @property
    def kept_for_models(self) -> Literal["spectrograms", "embeddings"]:
        """What models take of its clips."""
        return "embeddings" if self.external.sha256 else "spectrograms"


class DecodedRecording:
    """A recording that can be decoded several times, and what the last decoding found.

    Attributes
    ----------
    samples : number of samples
    lowest, highest : smallest and largest sample
    length : length at the rate of the file; known after decoding to the end
    """

    def __init__(self, job: Job) -> None:
        self._job, self._file = job, Path(job.file)
        self.length = Length(0, job.spectrogram.rate)
        self._mixer = mixer_for(self._file, job.spectrogram.channel)
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
        self._mixer, self._to_end = mixer_for(self._file, settings.channel), False
        self.length = yield from decode(self._file, rate=settings.rate, mixer=self._mixer)
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
    """What was done for one recording.

    Attributes
    ----------
    seconds : its length
    clips : number of spectrograms that were computed
    stored_bytes : size of the clips that stay
    """

    seconds: float
    clips: int
    stored_bytes: int


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


# a candidate, its samples with margins, its spectrogram (0 to 1, or uint8), and its signal score
ScoredClip = tuple[ClipCandidate, Float[np.ndarray, " samples"], Any, float]


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

    def candidates(self) -> Iterator[tuple[ClipCandidate, Float[np.ndarray, " samples"]]]:
        """Yield the windows whose spectrogram is needed, with their samples and margins, in order of time.

        Raises
        ------
        AudioError
            If the recording cannot be used.
        """
        job, recording = self._job, DecodedRecording(self._job)
        generator = np.random.default_rng((job.clips.seed, zlib.crc32(job.name.encode())))
        spans = None if job.events is None else EventSpans(job.events)
        windows = select_windows(recording.blocks, job.clips, job.spectrogram, events=job.events, times=job.times)
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


@on_local_copy
def extract(job: Job) -> JobResult:
    """Compute the spectrograms of a recording and write the clips that stay to `job.part`.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    scan, margin = RecordingScan(job), margin_samples(job.clips, rate=job.spectrogram.rate)

    def scored() -> Iterator[ScoredClip]:
        for candidate, samples in scan.candidates():
            clip = samples[margin : len(samples) - margin]
            yield candidate, samples, *scored_spectrogram(clip, job.spectrogram, seed=candidate.clip.clip_index)

    return write_part(job, scan, scored())


def write_part(job: Job, scan: RecordingScan, scored: Iterator[ScoredClip]) -> JobResult:
    """Accept or reject clips by the signal rule and write `job.part`: accepted clips, and a share of the rejected.

    Of either kind at most `job.max_clips` stay, drawn at random. By `clips.keep`, it is their spectrograms that are
    written, their samples, or their embeddings.

    Parameters
    ----------
    scored : `scan` is complete at its end
    """
    scores: list[float] = []
    rejected = computed = without_event = 0
    with (
        atomic_file(job.part, lasting=False) as stream,
        SpooledTemporaryFile(MAX_SCRATCH_IN_MEMORY, dir=str(job.part.parent)) as scratch,
    ):
        reservoir = ClipReservoir(job.max_clips, scratch)
        for candidate, samples, spectrogram, score in scored:
            computed += 1
            if candidate.eligible:  # the scores of other clips do not matter
                scores.append(score)
            accepted = candidate.eligible and (score >= job.clips.signal_threshold or not job.reject)
            if accepted or candidate.noise_draw < job.clips.noise_share:
                row, peak = _row(job, samples, spectrogram)
                clip = candidate.clip._replace(score=score, accepted=accepted, peak=peak)
                reservoir.add(clip, row, rank=candidate.rank)
            rejected += not accepted
            without_event += not candidate.eligible
        summary = RecordingSummary(
            scan.peaks,
            scan.seconds,
            rejected + scan.skipped,
            count_scores(scores),
            "; ".join(scan.warnings) or None,
            without_event + scan.skipped,
        )
        reservoir.write(stream, summary)
    return JobResult(scan.seconds, computed, job.part.stat().st_size)


def _row(job: Job, samples: Float[np.ndarray, " samples"], spectrogram: np.ndarray) -> tuple[Row, float]:
    """Return what is kept of a clip, and its peak."""
    if job.clips.keep == "sound":
        return to_16_bit(samples)
    if job.clips.keep == "embeddings":
        return embed_clip(samples, job.external), NOT_KEPT
    return spectrogram if spectrogram.dtype == np.uint8 else to_pixels(spectrogram), NOT_KEPT
