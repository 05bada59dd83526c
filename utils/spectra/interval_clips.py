"""What a worker does with a recording that is answered by intervals: decode it to its end, and draw the clips of each interval."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt8

from utils.recordings.audio_files import check_readable
from utils.spectra.clips import clip_samples, cut
from utils.spectra.decode import AudioError, Length
from utils.spectra.extraction import FirstClips, Job, Sound, drawn_clips
from utils.spectra.interval_grid import cut_intervals, interval_count

Clips = Iterator[tuple[int, Float[np.ndarray, " length"]]]


@dataclass(frozen=True)
class IntervalJob(Job):
    """One recording to be answered by intervals.

    Attributes
    ----------
    interval : seconds; 0: the recording is one, of which the first `cap` clips of its grid are drawn, as a test does
    """

    interval: float = 0.0


@dataclass(frozen=True)
class IntervalClips:
    """The pictures of a recording, interval by interval.

    Attributes
    ----------
    pictures : of all clips, in the order of the intervals
    clips : how many clips each interval has, at least one
    length : of the recording
    """

    pictures: FirstClips
    clips: Int64[np.ndarray, " intervals"]
    length: Length

    @property
    def count(self) -> int:
        """How many clips there are."""
        return self.pictures.count

    def blocks(self, size: int) -> Iterator[UInt8[np.ndarray, "_ height width"]]:
        """Yield the pictures in blocks of at most `size`; afterwards their file is gone."""
        return self.pictures.blocks(size)


def interval_clips(job: IntervalJob) -> IntervalClips:
    """Draw the clips of a recording's intervals, without any rejection; many are left in `job.part`. No recording is too short.

    Raises
    ------
    AudioError
        If the recording cannot be read.
    """
    try:
        check_readable(job.file)
    except ValueError as error:
        raise AudioError(str(error)) from None
    sound, clips = Sound(job), dict[int, int]()

    def counted() -> Iterator[Float[np.ndarray, " length"]]:
        for number, samples in _by_interval(sound, job) if job.interval else _first(sound, job):
            clips[number] = clips.get(number, 0) + 1
            yield samples

    pictures = drawn_clips(counted(), job)
    return IntervalClips(pictures, np.array(list(clips.values()), np.int64), sound.length)


def _by_interval(sound: Sound, job: IntervalJob) -> Clips:
    length, step, _ = clip_samples(job.clips, rate=job.spectrogram.rate)

    def count() -> int:
        return interval_count(sound.length, interval=job.interval)

    return cut_intervals(
        sound.hear(), count, interval=job.interval, rate=job.spectrogram.rate, length=length, step=step
    )


def _first(sound: Sound, job: IntervalJob) -> Clips:
    """Yield the first clips of the grid; one that is centred on the recording, where that is too short for the grid. The rest is heard for its length."""
    length, step, least = clip_samples(job.clips, rate=job.spectrogram.rate)
    number = 0
    for _, batch in cut(sound.hear(), length=length, step=step, least=least):
        for samples in batch[: job.cap - number if job.cap else None]:
            yield 0, samples
            number += 1
    if number == 0:
        longer = (length + step) / job.spectrogram.rate  # than the recording
        yield from cut_intervals(
            sound.hear(), lambda: 1, interval=longer, rate=job.spectrogram.rate, length=length, step=step
        )
