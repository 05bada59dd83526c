"""How a file of sound is opened so that libsndfile reads all of it."""

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
from utils.sound.flac import flac_layout
from utils.sound.joined import joined_layout
from utils.sound.links import UNKNOWN, Layout, Link, Shown
from utils.sound.mpeg import mpeg_layout
from utils.sound.ogg import ogg_layout
from utils.sound.sphere import sphere_layout
from utils.sound.wave import wave_layout

BEGIN = 64  # bytes by which a container is known
MPEG = (".mp3", ".mp2", ".mpga")
EVERY = 64  # one frame of so many is marked before an MP3 is read, and tells after an error whether it was
# raised by what is no sound that can be read
NOT_SOUND = (soundfile.LibsndfileError, ValueError, OverflowError, struct.error)
STREAMED = 0x7FFFFFFF  # a size from here on was written by a program that could not know it


class AudioError(UserError):
    """A recording that cannot be used; the text says why, without naming it."""


class Forwards(soundfile.SoundFile):  # type: ignore[misc]  # it comes without types
    """A file that is read once, from its begin to its end.

    After each block, soundfile seeks the place it has come to; in an MP3, what follows then differs in its last bits
    from what is decoded without a break.
    """

    def seekable(self) -> bool:
        """Say that it cannot be sought in, so that nobody does."""
        return False


def layout_of(file: Path, *, quick: bool = False) -> Layout:
    """Return how a file is to be decoded.

    Parameters
    ----------
    quick : look at its begin and its end only; in what was joined, later parts may be missed

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        begin = stream.read(BEGIN)
        found = (
            joined_layout(stream, size, begin)
            or wave_layout(stream, size, begin)
            or aiff_layout(stream, size, begin)
            or au_layout(stream, size, begin)
            or caf_layout(stream, size, begin)
            or sphere_layout(stream, size, begin)
            or flac_layout(stream, size, begin, quick=quick)
            or ogg_layout(stream, size, begin, quick=quick)
            or mpeg_layout(stream, size, begin, named=file.suffix.lower() in MPEG, quick=quick)
        )
    return found or Layout((Link(0, size),))


class Opened:
    """A link that the decoder has opened: the file itself, or what it is shown of it.

    Attributes
    ----------
    rate, channels : of its sound
    """

    def __init__(self, file: Path, link: Link, *, plain: bool) -> None:
        self.link, self._read = link, 0
        self._file: io.FileIO | Shown = file.open("rb", buffering=0) if plain else Shown(file, link)
        try:
            # by number: in the open file one sees how far the decoder came, and from a name it would guess what has no
            # header
            self.sound = Forwards(
                self._file.fileno() if plain and os.name == "posix" else file if plain else self._file, closefd=False
            )
        except Exception:
            self._file.close()
            raise
        self.rate, self.channels = int(self.sound.samplerate), int(self.sound.channels)

    @property
    def place(self) -> int:
        """Where in the file the decoder has come to."""
        return self._file.place if isinstance(self._file, Shown) else self._file.tell()

    @property
    def frames(self) -> int | None:
        """Length, as far as it is known without decoding."""
        if self.link.frames is not None:
            return self.link.frames
        return int(self.sound.frames) if self.sound.frames < UNKNOWN else None

    @property
    def promised(self) -> int | None:
        """Length by the header; libsndfile mentions in its log where it found less than that."""
        if self.link.promised is not None:
            return self.link.promised
        for said, there in re.findall(
            r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", self.sound.extra_info, flags=re.MULTILINE
        ):
            if 0 < int(there) < int(said) < STREAMED:
                return int(self.sound.frames * int(said) / int(there))
        return self.frames

    def read_on(self, frames: int) -> tuple[Float32[np.ndarray, "_ channels"], str]:
        """Read the next frames; where there is an error, those before it, and what it says."""
        samples = np.empty((frames, self.channels), np.float32)
        if self._is_mpeg:
            samples[::EVERY, 0] = np.nan
        try:
            read, said = self.sound.read(out=samples), ""
        except soundfile.LibsndfileError as error:
            read, said = (
                samples[: self._before_error(samples)],
                str(error.error_string).strip().removeprefix("Error : ").rstrip("."),
            )
        self._read += len(read)
        return read, said

    @property
    def _is_mpeg(self) -> bool:
        return str(self.sound.subtype).startswith("MPEG")

    def _before_error(self, samples: Float32[np.ndarray, "_ channels"]) -> int:
        """Return how many frames were read before an error; of MP3, libsndfile does not say, so that up to `EVERY` may be lost."""
        if self._is_mpeg:
            marked = np.append(np.isnan(samples[::EVERY, 0]), True)
            return max(0, (int(marked.argmax()) - 1) * EVERY + 1)
        try:
            return max(0, int(self.sound.tell()) - self._read)
        except soundfile.LibsndfileError:  # some kinds of files cannot tell
            return 0

    def close(self) -> None:
        """Close the file."""
        self.sound.close()
        self._file.close()
