"""Reading an audio file once from start to end: everything that can be decoded, with warnings about what is odd."""

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from utils.sound.chunks import contains_only_zeros
from utils.sound.flac import READ_AHEAD, flac_segments
from utils.sound.layout import Segment
from utils.sound.mpeg import mpeg_segments
from utils.sound.opening import DECODING_ERRORS, AudioError, OpenSegment, layout_of
from utils.sound.report import DecodingReport

MIN_UNREAD = 1024  # bytes of an MP3 after which the decoder stopped; fewer are not searched for more sound
MIN_UNREAD_AFTER_HEADER = 1 << 14  # the same, if the decoder stopped where the header says that the sound ends


class DecodedBlock(NamedTuple):
    """Decoded samples, their rate, and the index of the segment that they come from."""

    samples: Float32[np.ndarray, "frames channels"]
    rate: int
    segment: int


class AudioReader:
    """An audio file that is read once.

    Attributes
    ----------
    rate, channels : of the first segment
    warnings : what is odd about the file, and how much of it was read; complete after the last block

    Raises
    ------
    AudioError
        If it cannot be decoded.
    """

    def __init__(self, file: Path, *, quick: bool = False) -> None:
        self._file, self._quick = file, quick
        try:
            if file.stat().st_size == 0:
                raise AudioError("is empty (0 bytes)")
            self._layout = layout_of(file, quick=quick)
            self._decoder = OpenSegment(file, self._layout.segments[0], as_is=self._layout.as_is)
        except FileNotFoundError:
            raise AudioError("no such file") from None
        except OSError as error:
            raise AudioError(f"cannot be opened: {error.strerror}") from None
        except DECODING_ERRORS as error:
            raise AudioError(f"cannot be decoded: {_message_of(error)}") from None
        self.rate, self.channels = self._decoder.rate, self._decoder.channels
        self.warnings: tuple[str, ...] = ()

    def __enter__(self) -> "AudioReader":
        """Return the reader."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._decoder.close()

    @property
    def frames(self) -> int | None:
        """Length at the rate of the first segment, if it is known for certain without decoding; else None."""
        if not self._layout.exact or self._decoder.frames is None:
            return None
        total = Fraction(self._decoder.frames)
        segments = self._layout.segments
        if segments[0].unsearched and not self._quick:
            segments = self._flac_segments(segments[0])
            total = Fraction(segments[0].frames or 0)
        for segment in segments[1:]:
            try:
                with closing(OpenSegment(self._file, segment, as_is=False)) as other:
                    if other.frames is None:
                        return None
                    total += Fraction(other.frames * self.rate, other.rate)
            except (OSError, *DECODING_ERRORS):
                return None
        return round(total)

    def blocks(self, *, seconds: float, values: int) -> Iterator[DecodedBlock]:
        """Yield all samples in blocks.

        Parameters
        ----------
        seconds, values : longest duration and largest number of values (of all channels) of a block

        Raises
        ------
        AudioError
            If there are no samples.
        """
        report, segments = DecodingReport(self._layout.notes), list(self._layout.segments)
        for index, segment in enumerate(segments):  # more segments may be inserted on the way
            if index:
                self._decoder.close()
                try:
                    self._decoder = OpenSegment(self._file, segment, as_is=False)
                except DECODING_ERRORS as failed:
                    report.add_error(_message_of(failed))
                    continue
            frames, error = 0, ""
            at_once = max(1, min(int(seconds * self._decoder.rate), values // self._decoder.channels))
            while frames < self._decoder.sound.frames and not error:  # libsndfile reads no more than this
                samples, error = self._decoder.read_next(min(at_once, self._decoder.sound.frames - frames))
                if len(samples) == 0:
                    break
                frames += len(samples)
                yield DecodedBlock(samples, self._decoder.rate, index)
            report.add(self._decoder, frames, error)
            if segment.unsearched and (error or self._decoder.position < segment.stop - READ_AHEAD):
                segments[index + 1 : index + 1] = self._flac_segments(segment)[1:]
            if segment.may_continue:
                segments[index + 1 : index + 1] = self._mpeg_segments_after(
                    segment, report, least=MIN_UNREAD if error or segment.hide_end else MIN_UNREAD_AFTER_HEADER
                )
        report.check_any()
        self.warnings = report.warnings()

    def _flac_segments(self, segment: Segment) -> tuple[Segment, ...]:
        with self._file.open("rb") as stream:
            return flac_segments(stream, segment)

    def _mpeg_segments_after(self, segment: Segment, report: DecodingReport, *, least: int) -> tuple[Segment, ...]:
        """Return what follows in an MP3 after the decoder stopped, if at least `least` bytes are left."""
        position = self._decoder.position
        if not segment.start < position < segment.stop - least:
            return ()
        with self._file.open("rb") as stream:
            segments = mpeg_segments(stream, position, segment.stop)
            if segments:
                damaged = not contains_only_zeros(stream, position, segments[0].start)
                report.add_gap(segments[0].start - position if damaged else 0)
            return segments


def _message_of(error: Exception) -> str:
    return str(getattr(error, "error_string", None) or error)
