"""What a worker does with one recording: decode, cut, picture, score, choose, and keep."""

import heapq
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

from config import Clips, Spectrogram
from utils.files import whole_file
from utils.recordings.recording import sings_between
from utils.spectra.clips import clip_samples, cut, step_of
from utils.spectra.decode import AudioError, decode
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import decibels, mel_amplitudes, mel_picture, to_pixels
from utils.spectra.thresholds import count_scores


@dataclass(frozen=True)
class Job:
    """One recording to be turned into pictures.

    Attributes
    ----------
    name, file : the recording, and where its sound is
    cap : how many clips are taken at most; 0: all
    part : the file to leave the pictures in, where they are left in a file
    spans : from when to when somebody sings (seconds), where that is known: other clips are rejected
    reject : whether the signal rule applies; not to recordings without birds
    """

    name: str
    file: Path
    cap: int
    clips: Clips
    spectrogram: Spectrogram
    part: Path = Path()
    spans: tuple[tuple[float, float], ...] | None = None
    reject: bool = True

    def accepts(self, number: int, score: float) -> bool:
        """Tell whether a clip of this recording is kept: it must hold a signal, and where events are known, be of a time in which one sings."""
        if self.reject and score < self.clips.signal_threshold:
            return False
        if self.spans is None:
            return True
        start = number * step_of(self.clips, rate=self.spectrogram.rate)
        return any(sings_between(span, start, start + self.clips.length) for span in self.spans)


@dataclass(frozen=True)
class Pictures:
    """The clips of one recording that are kept, in the order of time.

    Attributes
    ----------
    pixels : uint8, low frequencies in the last row
    number : which clip of the recording each one is, from 0
    score : signal score, 0 to 1
    accepted : False for clips that were rejected and are kept as noise
    seconds : length of the recording
    rejected : how many clips the signal rule rejected
    histogram : how many of all clips on which the signal rule decides have which score (`thresholds.EDGES`)
    """

    pixels: UInt8[np.ndarray, "clips height width"]
    number: Int32[np.ndarray, " clips"]
    score: Float32[np.ndarray, " clips"]
    accepted: Bool[np.ndarray, " clips"]
    seconds: Float64[np.ndarray, ""]
    rejected: Int32[np.ndarray, ""]
    histogram: Int64[np.ndarray, " bins"]


def extract(job: Job) -> float:
    """Turn a recording into pictures and leave them in `job.part`; returns how many seconds of sound it holds.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    pictures = choose_clips(job)
    with whole_file(job.part) as stream:
        np.savez(stream, allow_pickle=False, **vars(pictures))
    return float(pictures.seconds)


def read_part(part: Path) -> Pictures:
    """Read back what `extract` left."""
    with np.load(part, allow_pickle=False) as arrays:
        return Pictures(**arrays)


def all_clips(
    file: Path, *, clips: Clips, spectrogram: Spectrogram, lengths: list[int] | None = None
) -> Iterator[tuple[int, Float32[np.ndarray, "height width"]]]:
    """Yield the number and the picture of every clip of a recording, in the order of time.

    Parameters
    ----------
    lengths : where given, the length of every decoded block is put into it, in samples

    Raises
    ------
    AudioError
        If the recording cannot be read, or is too short for a clip.
    """
    length, step, least = clip_samples(clips, rate=spectrogram.rate)
    lengths = [] if lengths is None else lengths
    empty = True
    for first, batch in cut(_counted(decode(file, rate=spectrogram.rate), lengths), length=length, step=step, least=least):
        for number, samples in enumerate(batch, first):
            empty = False
            yield number, mel_picture(samples, spectrogram)
    if empty:
        raise AudioError(f"is {sum(lengths) / spectrogram.rate:.2f} s long, shorter than a clip (clips.min_length = {clips.min_length:g} s)")


def _counted(blocks: Iterator[Any], lengths: list[int]) -> Iterator[Any]:
    for block in blocks:
        lengths.append(len(block))
        yield block


def first_clips(job: Job) -> UInt8[np.ndarray, "clips height width"]:
    """Return the pictures of a recording's first clips, at most `job.cap` of them, without any rejection.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    pictures = all_clips(job.file, clips=job.clips, spectrogram=job.spectrogram)
    return np.stack([to_pixels(picture) for _, picture in islice(pictures, job.cap or None)])


def mean_spectrum(job: Job) -> Float32[np.ndarray, " bands"]:
    """Return a recording's mean level in each mel band, in decibels above the mean of all bands, lowest band first.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    length, step, least = clip_samples(job.clips, rate=job.spectrogram.rate)
    batches = cut(decode(job.file, rate=job.spectrogram.rate), length=length, step=step, least=least)
    levels = [decibels(mel_amplitudes(samples, job.spectrogram)).mean(axis=0) for _, batch in batches for samples in batch]
    if not levels:
        raise AudioError("is shorter than a clip")
    spectrum = np.mean(levels, axis=0, dtype=np.float32)
    return spectrum - spectrum.mean()


def choose_clips(job: Job) -> Pictures:
    """Accept clips by the signal rule, keep a share of the rejected ones as noise, and of both at most `job.cap`, drawn at random.

    Every clip draws a number as it comes; those with the smallest numbers stay. So a recording of any length needs memory for `cap` pictures only.
    """
    generator = np.random.default_rng((job.clips.seed, zlib.crc32(job.name.encode())))
    kept: dict[bool, list[tuple[float, int, float, Any]]] = {True: [], False: []}
    lengths: list[int] = []
    scores: list[float] = []
    rejected = 0
    for number, picture in all_clips(job.file, clips=job.clips, spectrogram=job.spectrogram, lengths=lengths):
        score = signal_score(picture)
        accepted = job.accepts(number, score)
        rejected += not accepted
        if job.accepts(number, 1.0):  # where nobody sings, no score helps
            scores.append(score)
        ticket, lot = generator.random(2)
        if accepted or ticket < job.clips.noise_share:
            heap = kept[accepted]
            entry = (-lot, number, score, to_pixels(picture))  # the heap's first is the highest lot, the next to leave
            if job.cap and len(heap) >= job.cap:
                heapq.heappushpop(heap, entry)
            else:
                heapq.heappush(heap, entry)
    clips = sorted((number, accepted, score, pixels) for accepted, heap in kept.items() for _, number, score, pixels in heap)
    return Pictures(
        pixels=np.array([clip[3] for clip in clips], np.uint8).reshape(-1, job.spectrogram.height, job.spectrogram.width),
        number=np.array([clip[0] for clip in clips], np.int32),
        score=np.array([clip[2] for clip in clips], np.float32),
        accepted=np.array([clip[1] for clip in clips], bool),
        seconds=np.array(sum(lengths) / job.spectrogram.rate),
        rejected=np.array(rejected, np.int32),
        histogram=count_scores(scores),
    )
