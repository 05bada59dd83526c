"""What a worker does with a recording for predictions per event: spectrograms of the clips around annotated events."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from utils.recordings.audio_files import check_readable
from utils.sound.remote import on_local_copy
from utils.spectra.clip_selection import windows_around
from utils.spectra.clips import clip_samples, cut_windows
from utils.spectra.decode import AudioError, Length
from utils.spectra.extraction import DecodedRecording, Job
from utils.spectra.recording_spectrograms import RecordingSpectrograms, spectrograms_of_clips
from utils.spectra.stored_sound import ModelInput


@dataclass(frozen=True)
class EventSpectrograms:
    """The spectrograms of the clips around a recording's events, in order of time.

    Attributes
    ----------
    spectrograms : those of all clips
    events : index of each clip's event in `Job.events`; an event that is longer than a clip has several clips
    length : length of the recording
    """

    spectrograms: RecordingSpectrograms
    events: Int64[np.ndarray, " clips"]
    length: Length

    @property
    def count(self) -> int:
        """Number of clips."""
        return self.spectrograms.count

    def blocks(self, size: int) -> Iterator[ModelInput]:
        """Yield the spectrograms in blocks of at most `size`, and remove their file at the end."""
        return self.spectrograms.blocks(size)


@on_local_copy
def event_spectrograms(job: Job) -> EventSpectrograms:
    """Compute the spectrograms of the clips around each of `job.events`, cut as in training, without any rejection.

    Events that start after the end of the recording have no clips. The rest of the recording is decoded all the same,
    to know its length.

    Raises
    ------
    AudioError
        If the recording cannot be read, or all events start after its end.
    """
    try:
        check_readable(Path(job.file))
    except ValueError as error:
        raise AudioError(str(error)) from None
    recording, indices = DecodedRecording(job), list[int]()
    rate = job.spectrogram.rate
    length, step, _ = clip_samples(job.clips, rate=rate)
    around = [
        windows_around(index, event, length=length, step=step, rate=rate)
        for index, event in enumerate(job.events or ())
    ]
    windows = heapq.merge(*around, key=lambda one: one.start)

    def counted() -> Iterator[Float[np.ndarray, " length"]]:
        for window, samples in cut_windows(recording.blocks(), windows, length=length):
            indices.append(window.event)
            yield samples

    clips = counted()
    first = next(clips, None)
    if first is None:
        raise AudioError(f"all its annotations start after its end ({recording.seconds:.1f} s)")
    spectrograms = spectrograms_of_clips(chain([first], clips), job)
    return EventSpectrograms(spectrograms, np.array(indices, np.int64), recording.length)
