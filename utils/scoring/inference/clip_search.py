"""The clip of one recording that is looked at: that with the highest score, or that at a given time."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from utils.console import UserError, printable
from utils.scoring.inference.ensembles import Scorer
from utils.spectra.decode import AudioError
from utils.spectra.extraction import DecodedRecording
from utils.spectra.interval_clips import IntervalJob, clips_by_interval
from utils.spectra.spectrogram import make_spectrogram, to_pixels


class ClipOfRecording(NamedTuple):
    """A clip as predictions have it: its start, seconds from that of the recording (below 0: silence), and pixels."""

    start: float
    pixels: UInt8[np.ndarray, "height width"]


@dataclass(frozen=True)
class FoundClip:
    """The clip that was found.

    Attributes
    ----------
    start, length : seconds
    scores : of all columns of the scorer
    """

    start: float
    length: float
    pixels: UInt8[np.ndarray, "height width"]
    scores: Float[np.ndarray, " columns"]

    @property
    def middle(self) -> float:
        """Its middle, seconds from the start of the recording."""
        return self.start + self.length / 2


def clip_with_highest_score(
    job: IntervalJob,
    scorer: Scorer,
    columns: Sequence[int],
    *,
    batch_size: int,
    advance: Callable[[float], object] = lambda _: None,
) -> FoundClip:
    """Return the clip of a recording in which one of some classes has its highest score; of equal ones, the first.

    Parameters
    ----------
    job : the recording; its clips are those of predictions by interval
    columns : the classes, as columns of the scorer
    advance : is told up to which second clips were scored

    Raises
    ------
    UserError
        If the recording cannot be used.
    """
    best: FoundClip | None = None
    with closing(_predicted_clips(job, spectrograms=_everywhere)) as clips:
        while batch := list(islice(clips, batch_size)):
            table = scorer(np.stack([clip.pixels for clip in batch])).columns
            row = int(table[:, columns].max(axis=1).argmax())
            if best is None or table[row, columns].max() > best.scores[columns].max():
                best = FoundClip(batch[row].start, job.clips.length, batch[row].pixels, table[row])
            advance(batch[-1].start)
    if best is None:  # a recording has one interval at least, and an interval one clip
        raise UserError(f"{printable(str(job.file))}: has no clip")
    return best


def clip_at(job: IntervalJob, scorer: Scorer, *, at: float) -> FoundClip:
    """Return the clip of a recording whose middle is nearest to a time; what comes after it is not decoded.

    Parameters
    ----------
    at : seconds from the start of the recording

    Raises
    ------
    UserError
        If the recording cannot be used, or ends before.
    """
    half, nearest, last = job.clips.length / 2, None, -1.0

    def near(start: float) -> bool:
        return abs(start + half - at) <= max(job.interval, job.clips.length)

    with closing(_predicted_clips(job, spectrograms=near)) as clips:
        for clip in clips:
            last = clip.start + job.clips.length
            if clip.pixels.size and (nearest is None or abs(clip.start + half - at) < abs(nearest.start + half - at)):
                nearest = clip
            if clip.start > at + job.interval + job.clips.length:
                break
    if nearest is None or at > last:
        raise UserError(f"--at {at:g}: {printable(str(job.file))} ends at about {max(last, 0.0):.1f} s")
    return FoundClip(nearest.start, job.clips.length, nearest.pixels, scorer(nearest.pixels[None]).columns[0])


def _everywhere(_: float) -> bool:
    return True


def _predicted_clips(job: IntervalJob, *, spectrograms: Callable[[float], bool]) -> Generator[ClipOfRecording]:
    """Yield the clips of a recording; without pixels where `spectrograms` does not want them for a start (seconds)."""
    nothing, rate = np.zeros((0, 0), np.uint8), job.spectrogram.rate
    try:
        for index, clip in enumerate(clips_by_interval(DecodedRecording(job), job)):
            start = clip.start / rate
            wanted = spectrograms(start)
            made = to_pixels(make_spectrogram(clip.samples, job.spectrogram, seed=index)) if wanted else nothing
            yield ClipOfRecording(start, made)
    except AudioError as error:
        raise UserError(f"{printable(str(job.file))}: {error}") from None
