"""Opening an audio file so that libsndfile reads all of it."""

import io
import os
import re
import struct
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float32

from utils.console import UserError
from utils.sound.aiff import aiff_layout
from utils.sound.au import au_layout
from utils.sound.caf import caf_layout
from utils.sound.concatenated import concatenated_layout
from utils.sound.flac import flac_layout
from utils.sound.layout import UNKNOWN_FRAMES, Layout, Segment, SegmentFile
from utils.sound.mpeg import mpeg_layout
from utils.sound.ogg import ogg_layout
from utils.sound.sphere import sphere_layout
from utils.sound.wave import wave_layout

FIRST_BYTES = 64  # enough to recognise every container
MPEG_SUFFIXES = (".mp3", ".mp2", ".mpga")
# before an MP3 is read, one of so many samples is set to NaN; after an error, this tells how far the decoder came
MARK_EVERY = 64
# raised by soundfile and by the parsers of headers for files that are no sound, or damaged
DECODING_ERRORS = (soundfile.LibsndfileError, ValueError, OverflowError, struct.error)
STREAMED_SIZE = 0x7FFFFFFF  # larger sizes are placeholders of programs that did not know the size yet


class AudioError(UserError):
    """A recording that cannot be used; the message says why, but does not name the file."""


class ForwardOnlyFile(soundfile.SoundFile):  # type: ignore[misc]  # it comes without types
    """A file that is read once, from its start to its end.

    After each block, soundfile seeks to the position that it has reached. In an MP3, this changes the last bits of the
    samples that follow.
    """

    def seekable(self) -> bool:
        """Return False, so that soundfile never seeks."""
        return False


def layout_of(file: Path, *, quick: bool = False) -> Layout:
    """Return how to decode a file.

    Parameters
    ----------
    quick : read only the start and the end; later parts of concatenated files may be missed

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        first_bytes = stream.read(FIRST_BYTES)
        found = (
            concatenated_layout(stream, size, first_bytes)
            or wave_layout(stream, size, first_bytes)
            or aiff_layout(stream, size, first_bytes)
            or au_layout(stream, size, first_bytes)
            or caf_layout(stream, size, first_bytes)
            or sphere_layout(stream, size, first_bytes)
            or flac_layout(stream, size, first_bytes, quick=quick)
            or ogg_layout(stream, size, first_bytes, quick=quick)
            or mpeg_layout(stream, size, first_bytes, has_mpeg_name=file.suffix.lower() in MPEG_SUFFIXES, quick=quick)
        )
    return found or Layout((Segment(0, size),))


class OpenSegment:
    """A segment that the decoder has opened: the file itself, or a view of a part of it.

    Attributes
    ----------
    rate, channels : of its sound
    """

    def __init__(self, file: Path, segment: Segment, *, as_is: bool) -> None:
        self.segment, self._frames_read = segment, 0
        self._file: io.FileIO | SegmentFile = file.open("rb", buffering=0) if as_is else SegmentFile(file, segment)
        try:
            # as a file descriptor: its position tells how far the decoder came. By a name, libsndfile would guess the
            # format of a file without a header
            self.sound = ForwardOnlyFile(
                self._file.fileno() if as_is and os.name == "posix" else file if as_is else self._file, closefd=False
            )
        except Exception:
            self._file.close()
            raise
        self.rate, self.channels = int(self.sound.samplerate), int(self.sound.channels)

    @property
    def position(self) -> int:
        """Position in the file that the decoder has reached."""
        return self._file.position if isinstance(self._file, SegmentFile) else self._file.tell()

    @property
    def frames(self) -> int | None:
        """Length, if it is known without decoding; else None."""
        if self.segment.frames is not None:
            return self.segment.frames
        return int(self.sound.frames) if self.sound.frames < UNKNOWN_FRAMES else None

    @property
    def declared(self) -> int | None:
        """Length by the header; if libsndfile found less, it writes both to its log."""
        if self.segment.declared is not None:
            return self.segment.declared
        for declared, actual in re.findall(
            r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", self.sound.extra_info, flags=re.MULTILINE
        ):
            if 0 < int(actual) < int(declared) < STREAMED_SIZE:
                return int(self.sound.frames * int(declared) / int(actual))
        return self.frames

    def read_next(self, frames: int) -> tuple[Float32[np.ndarray, "_ channels"], str]:
        """Read the next frames; if there is an error, return those before it, and its message."""
        samples = np.empty((frames, self.channels), np.float32)
        if self._is_mpeg:
            samples[::MARK_EVERY, 0] = np.nan
        try:
            read, message = self.sound.read(out=samples), ""
        except soundfile.LibsndfileError as error:
            read, message = (
                samples[: self._frames_before_error(samples)],
                str(error.error_string).strip().removeprefix("Error : ").rstrip("."),
            )
        self._frames_read += len(read)
        return read, message

    @property
    def _is_mpeg(self) -> bool:
        return str(self.sound.subtype).startswith("MPEG")

    def _frames_before_error(self, samples: Float32[np.ndarray, "_ channels"]) -> int:
        """Return how many frames were read before an error.

        libsndfile does not report it for MP3, so up to `MARK_EVERY` frames may be lost there.
        """
        if self._is_mpeg:
            marked = np.append(np.isnan(samples[::MARK_EVERY, 0]), True)
            return max(0, (int(marked.argmax()) - 1) * MARK_EVERY + 1)
        try:
            return max(0, int(self.sound.tell()) - self._frames_read)
        except soundfile.LibsndfileError:  # some formats do not support it
            return 0

    def close(self) -> None:
        """Close the file."""
        self.sound.close()
        self._file.close()
