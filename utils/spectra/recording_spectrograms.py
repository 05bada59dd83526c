"""The spectrograms of one recording without any rejection: for predictions, for examples, and its mean spectrum."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32, UInt8

from config import Config
from utils.external.embeddings import embed_clip
from utils.files import atomic_file
from utils.sound.remote import on_local_copy
from utils.spectra.clips import clip_samples, cut_grid
from utils.spectra.decode import AudioError
from utils.spectra.extraction import DecodedRecording, Job
from utils.spectra.spectrogram import make_spectrogram, mel_levels, to_pixels
from utils.spectra.stored_sound import ModelInput, row_format

MAX_PASSED_IN_MEMORY = 8 * 2**20  # bytes of spectrograms that a worker returns in memory; more go through a file


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
    """The spectrograms of a recording's clips, or their embeddings, in memory or, if there are many, in a file.

    Attributes
    ----------
    count : number of clips
    shape : height and width of a spectrogram, pixels; windows and values of embeddings
    pixels : all spectrograms, if they are in memory
    file : file with their bytes, one spectrogram after the other, if they are not
    warnings : problems of the recording, as far as it was decoded
    dtype : uint8, or float16 of embeddings
    """

    count: int
    shape: tuple[int, ...]
    pixels: ModelInput | None = None
    file: Path | None = None
    warnings: tuple[str, ...] = ()
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))

    def blocks(self, size: int) -> Iterator[ModelInput]:
        """Yield the spectrograms in blocks of at most `size`, and remove the file at the end."""
        if self.pixels is not None:
            yield from (self.pixels[first : first + size] for first in range(0, self.count, size))
        if self.file is not None:
            with self.file.open("rb") as stream:
                for first in range(0, self.count, size):
                    clips = min(size, self.count - first)
                    content = stream.read(clips * math.prod(self.shape) * self.dtype.itemsize)
                    yield np.frombuffer(content, self.dtype).reshape(clips, *self.shape)
            self.file.unlink()


class WarningsJob(Job):
    """One recording that is only decoded, as far as its clips reach, for the problems of its file."""


@on_local_copy
def first_spectrograms(job: Job) -> RecordingSpectrograms:
    """Compute the spectrograms of the first clips of a grid, at most `job.max_clips`, without any rejection.

    If they are many, they are in the file `job.part`. A `WarningsJob` has no spectrograms, but their number.

    Raises
    ------
    AudioError
        If the recording cannot be used.
    """
    recording = DecodedRecording(job)
    clips = islice(_grid_of(recording, job), job.max_clips or None)
    if isinstance(job, WarningsJob):
        return RecordingSpectrograms(sum(1 for _ in clips), (), warnings=recording.warnings())
    spectrograms = spectrograms_of_clips(clips, job)
    try:
        return replace(spectrograms, warnings=recording.warnings())
    except AudioError:
        if spectrograms.file:
            spectrograms.file.unlink(missing_ok=True)
        raise


def spectrograms_of_clips(clips: Iterable[Float32[np.ndarray, " length"]], job: Job) -> RecordingSpectrograms:
    """Compute the spectrograms (or embeddings) of clips, in memory if they are few, else in the file `job.part`."""
    spectrograms: list[UInt8[np.ndarray, "height width"] | Float16[np.ndarray, "windows values"]] = []
    row = row_format(replace(job.clips, keep=job.kept_for_models), job.spectrogram, job.external)
    count, most = 0, max(1, MAX_PASSED_IN_MEMORY // row.bytes)
    with ExitStack() as open_files:
        stream = None
        for index, samples in enumerate(clips):
            spectrograms.append(_seen_by_model(samples, job, seed=index))
            count += 1
            if len(spectrograms) == most:
                stream = stream or open_files.enter_context(atomic_file(job.part, lasting=False))
                stream.write(np.stack(spectrograms).tobytes())
                spectrograms.clear()
        if stream is None:
            return RecordingSpectrograms(count, row.shape, pixels=np.stack(spectrograms), dtype=row.dtype)
        stream.write(b"".join(spectrogram.tobytes() for spectrogram in spectrograms))
    return RecordingSpectrograms(count, row.shape, file=job.part, dtype=row.dtype)


def _seen_by_model(
    samples: Float32[np.ndarray, " length"], job: Job, *, seed: int
) -> UInt8[np.ndarray, "height width"] | Float16[np.ndarray, "windows values"]:
    if job.kept_for_models == "embeddings":
        return embed_clip(samples, job.external)
    return to_pixels(make_spectrogram(samples, job.spectrogram, seed=seed))


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
