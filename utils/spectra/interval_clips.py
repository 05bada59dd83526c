"""What a worker does with a recording for predictions per interval: spectrograms of the clips of each interval."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from utils.recordings.audio_files import check_readable
from utils.sound.remote import on_local_copy
from utils.spectra.clips import clip_samples, cut_grid
from utils.spectra.decode import AudioError, Length
from utils.spectra.extraction import DecodedRecording, Job
from utils.spectra.interval_grid import IntervalClip, count_intervals, cut_interval_clips, shift_offsets
from utils.spectra.recording_spectrograms import RecordingSpectrograms, spectrograms_of_clips
from utils.spectra.stored_sound import ModelInput


@dataclass(frozen=True)
class IntervalJob(Job):
    """One recording whose spectrograms are wanted interval by interval.

    Attributes
    ----------
    interval : length of the intervals, seconds; 0: the recording is one interval with the first `max_clips` clips of
        its grid, as in a test
    shifts : how often each clip of an interval is also cut earlier, and later; not with interval 0
    """

    interval: float = 0.0
    shifts: int = 0


@dataclass(frozen=True)
class IntervalSpectrograms:
    """The spectrograms of a recording, interval by interval.

    Attributes
    ----------
    spectrograms : those of all clips, in order of the intervals
    clips : number of clips of each interval, at least one
    starts : first sample of each clip, as those of `IntervalClip`
    length : length of the recording
    """

    spectrograms: RecordingSpectrograms
    clips: Int64[np.ndarray, " intervals"]
    starts: Int64[np.ndarray, " clips"]
    length: Length

    @property
    def count(self) -> int:
        """Number of clips."""
        return self.spectrograms.count

    def blocks(self, size: int) -> Iterator[ModelInput]:
        """Yield the spectrograms in blocks of at most `size`, and remove their file at the end."""
        return self.spectrograms.blocks(size)


@on_local_copy
def interval_spectrograms(job: IntervalJob) -> IntervalSpectrograms:
    """Compute the spectrograms of the clips in a recording's intervals, without any rejection.

    If they are many, they are in the file `job.part`. Recordings of any length will do.

    Raises
    ------
    AudioError
        If the recording cannot be read.
    """
    try:
        check_readable(Path(job.file))
    except ValueError as error:
        raise AudioError(str(error)) from None
    recording, clips, starts = DecodedRecording(job), dict[int, int](), array("q")

    def counted() -> Iterator[Float[np.ndarray, " length"]]:
        for clip in clips_by_interval(recording, job) if job.interval else _first_clips(recording, job):
            clips[clip.interval] = clips.get(clip.interval, 0) + 1
            starts.append(clip.start)
            yield clip.samples

    spectrograms = spectrograms_of_clips(counted(), job)
    of_intervals = np.array(list(clips.values()), np.int64)
    return IntervalSpectrograms(spectrograms, of_intervals, np.array(starts, np.int64), recording.length)


def clips_by_interval(recording: DecodedRecording, job: IntervalJob) -> Iterator[IntervalClip]:
    """Yield the clips of a recording's intervals as they are decoded, in order of time."""
    length, step, _ = clip_samples(job.clips, rate=job.spectrogram.rate)

    def count() -> int:
        return count_intervals(recording.length, interval=job.interval)

    return cut_interval_clips(
        recording.blocks(),
        count,
        interval=job.interval,
        rate=job.spectrogram.rate,
        length=length,
        step=step,
        offsets=shift_offsets(job.shifts, step=min(step, round(job.interval * job.spectrogram.rate))),
    )


def _first_clips(recording: DecodedRecording, job: IntervalJob) -> Iterator[IntervalClip]:
    """Yield the first clips of the grid, or one centred clip if the recording is too short for the grid.

    The rest of the recording is decoded all the same, to know its length.
    """
    length, step, min_length = clip_samples(job.clips, rate=job.spectrogram.rate)
    count = 0
    for first, batch in cut_grid(recording.blocks(), length=length, step=step, min_length=min_length):
        for index, samples in enumerate(batch[: job.max_clips - count if job.max_clips else None], first):
            yield IntervalClip(0, index * step, samples)
            count += 1
    if count == 0:
        interval = (length + step) / job.spectrogram.rate  # longer than the recording
        yield from cut_interval_clips(
            recording.blocks(), lambda: 1, interval=interval, rate=job.spectrogram.rate, length=length, step=step
        )
