"""What a worker does with one recording: decode, choose windows, picture, score, reject, and keep."""

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

from config import Clips, Spectrogram
from utils.files import whole_file
from utils.spectra.choosing import Heard, Spans, chosen_windows
from utils.spectra.clips import clip_samples, cut
from utils.spectra.decode import AudioError, Length, decode
from utils.spectra.mixing import mixer_for
from utils.spectra.parts import Clip, Draw, Found
from utils.spectra.score_counts import count_scores
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import make_picture, mel_levels, to_pixels

IN_MEMORY = 64 * 2**20  # bytes of pictures that a worker holds in memory; more go to disk
FROM_HAND_TO_HAND = 8 * 2**20  # bytes of pictures that a worker hands over through memory; more go through a file


@dataclass(frozen=True)
class Job:
    """One recording to be turned into pictures.

    Attributes
    ----------
    name, file : the recording, and where its sound is
    cap : how many clips are taken at most; 0: all
    part : the file to leave the pictures in, where they are left in a file
    events : who sings from when to when, where only that says what a clip is: clips in which nobody sings are rejected
    reject : whether the signal rule applies; not to recordings without birds
    unsure : whether some event is not known, so that clips in which nobody sings are no noise
    """

    name: str
    file: Path
    cap: int
    clips: Clips
    spectrogram: Spectrogram
    part: Path = Path()
    events: tuple[Heard, ...] | None = None
    reject: bool = True
    unsure: bool = False


class Sound:
    """A recording that can be heard more than once, and what was found when it was heard the last time.

    Attributes
    ----------
    samples : how many there are
    lowest, highest : of them
    length : as the file has it, at its own rate; known once it was heard to its end
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.length = Length(0, job.spectrogram.rate)
        self._mixer = mixer_for(job.file, job.spectrogram.channel)
        self._to_end = False
        self.samples, self.lowest, self.highest = 0, np.inf, -np.inf

    @property
    def seconds(self) -> float:
        """The length that was found."""
        return self.samples / self._job.spectrogram.rate

    def hear(self) -> Iterator[Float[np.ndarray, " _"]]:
        """Decode it from its begin."""
        self.samples, self.lowest, self.highest = 0, np.inf, -np.inf
        for block in self._decoded():
            self.samples += len(block)
            self.lowest, self.highest = block.min(initial=self.lowest), block.max(initial=self.highest)
            yield block

    def _decoded(self) -> Iterator[Float[np.ndarray, " _"]]:
        picture = self._job.spectrogram
        self._mixer, self._to_end = mixer_for(self._job.file, picture.channel), False
        self.length = yield from decode(self._job.file, rate=picture.rate, mixer=self._mixer)
        self._to_end = True

    def warnings(self) -> tuple[str, ...]:
        """Say what is odd about it; where it was not heard to its end, about its channels as far as they were heard.

        Raises
        ------
        AudioError
            If channels cancel each other.
        """
        return self.length.warnings if self._to_end else self._mixer.warnings()

    def check_length(self) -> None:
        """Refuse what turned out to be too short for a clip.

        Raises
        ------
        AudioError
            That says how short it is.
        """
        _, _, least = clip_samples(self._job.clips, rate=self._job.spectrogram.rate)
        if self.samples < max(least, 1):
            raise AudioError(
                f"is {self.seconds:.2f} s long, shorter than a clip (clips.min_length = {self._job.clips.min_length:g} s)"
            )

    def check_level(self) -> None:
        """Refuse silence.

        Raises
        ------
        AudioError
            If all samples are the same.
        """
        if self.lowest == self.highest:
            raise AudioError(f"is silent: all its samples are {self.highest:g}")


class Work(NamedTuple):
    """What was done of one recording: how many seconds of sound it holds, and of how many clips a picture was made."""

    seconds: float
    clips: int


class Candidate(NamedTuple):
    """A window of which a picture is made: its clip, as yet without a score; whether it may be accepted; and the two lots that it drew."""

    clip: Clip
    possible: bool
    ticket: float
    lot: float


class Listening:
    """The windows of a recording that may be kept, and what is found besides while they are looked for.

    Attributes
    ----------
    seconds : length of the recording
    peaks : where peaks were looked for: seconds, decibels, and the number of the window
    passed_over : how many windows are rejected without a picture, for nobody sings in them
    warnings : what is odd about the file
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self.seconds = 0.0
        self.peaks: list[tuple[float, float, int]] = []
        self.passed_over = 0
        self.warnings: tuple[str, ...] = ()

    def candidates(self) -> Iterator[tuple[Candidate, Float[np.ndarray, " length"]]]:
        """Yield the windows of which a picture is made, with their samples, in the order of time.

        Raises
        ------
        AudioError
            If the recording cannot be used.
        """
        job, sound = self._job, Sound(self._job)
        generator = np.random.default_rng((job.clips.seed, zlib.crc32(job.name.encode())))
        sung = None if job.events is None else Spans(job.events)
        for number, (window, samples) in enumerate(
            chosen_windows(sound.hear, job.clips, job.spectrogram, events=job.events)
        ):
            start = window.start / job.spectrogram.rate
            if np.isfinite(window.strength):
                self.peaks.append((window.peak, window.strength, number))
            ticket, lot = generator.random(2)
            possible = sung is None or sung.touch(start, start + job.clips.length)
            if possible or (ticket < job.clips.noise_share and not job.unsure):
                yield (
                    Candidate(Clip(number, start, window.event, window.strength, 0.0, False), possible, ticket, lot),
                    samples,
                )
            else:
                self.passed_over += 1
        sound.check_length()
        sound.check_level()
        self.seconds, self.warnings = sound.seconds, sound.length.warnings


def extract(job: Job) -> Work:
    """Turn a recording into pictures and leave them in `job.part`.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    heard = Listening(job)

    def drawn() -> Iterator[tuple[Candidate, Float32[np.ndarray, "height width"], float]]:
        for candidate, samples in heard.candidates():
            picture = make_picture(samples, job.spectrogram, seed=candidate.clip.number)
            yield candidate, picture, signal_score(picture)

    return leave_part(job, heard, drawn())


def leave_part(job: Job, heard: Listening, drawn: Iterator[tuple[Candidate, Any, float]]) -> Work:
    """Accept clips by the signal rule, keep a share of the rejected ones as noise, and of both at most `job.cap`: those with the smallest lots.

    Parameters
    ----------
    drawn : the candidates with their pictures, from 0 to 1 or in grey levels, and their signal scores; `heard` is
        complete when it ends
    """
    scores: list[float] = []
    rejected = pictures = 0
    with (
        whole_file(job.part, lasting=False) as stream,
        SpooledTemporaryFile(IN_MEMORY, dir=str(job.part.parent)) as scratch,
    ):
        draw = Draw(job.cap, scratch)
        for candidate, picture, score in drawn:
            pictures += 1
            if candidate.possible:  # where nobody sings, no score helps
                scores.append(score)
            accepted = candidate.possible and (score >= job.clips.signal_threshold or not job.reject)
            if accepted or candidate.ticket < job.clips.noise_share:
                pixels = picture if picture.dtype == np.uint8 else to_pixels(picture)
                draw.offer(candidate.clip._replace(score=score, accepted=accepted), pixels, lot=candidate.lot)
            rejected += not accepted
        found = Found(
            heard.peaks,
            heard.seconds,
            rejected + heard.passed_over,
            count_scores(scores),
            "; ".join(heard.warnings) or None,
        )
        draw.write(stream, found)
    return Work(heard.seconds, pictures)


def grid_clips(job: Job) -> Iterator[Float32[np.ndarray, " length"]]:
    """Yield the clips of a recording's grid, whatever `clips.choose` says.

    Raises
    ------
    AudioError
        If the recording cannot be read, or is too short for a clip.
    """
    yield from _grid(Sound(job), job)


def _grid(sound: Sound, job: Job) -> Iterator[Float32[np.ndarray, " length"]]:
    length, step, least = clip_samples(job.clips, rate=job.spectrogram.rate)
    for _, batch in cut(sound.hear(), length=length, step=step, least=least):
        yield from batch
    sound.check_length()


@dataclass(frozen=True)
class FirstClips:
    """The pictures of a recording's first clips, in memory or, where they are many, in a file.

    Attributes
    ----------
    count : how many there are
    shape : height and width of a picture, pixels
    pixels : all of them, if they are in memory
    file : where their bytes are, one picture after the other, if they are not
    warnings : what is odd about the recording, as far as it was heard
    """

    count: int
    shape: tuple[int, int]
    pixels: UInt8[np.ndarray, "clips height width"] | None = None
    file: Path | None = None
    warnings: tuple[str, ...] = ()

    def blocks(self, size: int) -> Iterator[UInt8[np.ndarray, "_ height width"]]:
        """Yield the pictures in blocks of at most `size`; afterwards their file is gone."""
        if self.pixels is not None:
            yield from (self.pixels[first : first + size] for first in range(0, self.count, size))
        if self.file is not None:
            with self.file.open("rb") as stream:
                for first in range(0, self.count, size):
                    clips = min(size, self.count - first)
                    yield np.frombuffer(stream.read(clips * math.prod(self.shape)), np.uint8).reshape(
                        clips, *self.shape
                    )
            self.file.unlink()


def first_clips(job: Job) -> FirstClips:
    """Draw the first clips of a recording's grid, at most `job.cap` of them, without any rejection; many are left in `job.part`.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    sound = Sound(job)
    clips = drawn_clips(islice(_grid(sound, job), job.cap or None), job)
    try:
        return replace(clips, warnings=sound.warnings())
    except AudioError:
        if clips.file:
            clips.file.unlink(missing_ok=True)
        raise


def drawn_clips(clips: Iterable[Float32[np.ndarray, " length"]], job: Job) -> FirstClips:
    """Draw clips of a recording, in memory as long as they are few, else in `job.part`."""
    pictures: list[UInt8[np.ndarray, "height width"]] = []
    count, most = 0, max(1, FROM_HAND_TO_HAND // math.prod(job.spectrogram.shape))
    with ExitStack() as open_files:
        stream = None
        for number, samples in enumerate(clips):
            pictures.append(to_pixels(make_picture(samples, job.spectrogram, seed=number)))
            count += 1
            if len(pictures) == most:
                stream = stream or open_files.enter_context(whole_file(job.part, lasting=False))
                stream.write(np.stack(pictures).tobytes())
                pictures.clear()
        if stream is None:
            return FirstClips(count, job.spectrogram.shape, pixels=np.stack(pictures))
        stream.write(b"".join(picture.tobytes() for picture in pictures))
    return FirstClips(count, job.spectrogram.shape, file=job.part)


def mean_spectrum(job: Job) -> Float32[np.ndarray, " bands"]:
    """Return a recording's mean level in each mel band, in decibels above the mean of all bands, lowest band first.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    levels = [mel_levels(samples, job.spectrogram) for samples in grid_clips(job)]
    spectrum = np.mean(levels, axis=0, dtype=np.float32)
    return spectrum - spectrum.mean()
