"""Files of sound, read once from their begin to their end: all that the decoder can make out, with a word on what is odd."""

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from utils.sound.chunks import only_padding
from utils.sound.flac import READ_AHEAD, links_within
from utils.sound.links import Link
from utils.sound.mpeg import links_from
from utils.sound.opening import NOT_SOUND, AudioError, Opened, layout_of
from utils.sound.report import Report

LEAST = 1024  # unread bytes of an MP3 in which more sound is looked for where the decoder stopped
MUCH = 1 << 14  # and where the header said that it ends


class Block(NamedTuple):
    """Samples as they were decoded, their rate, and the number of the link that they are from."""

    samples: Float32[np.ndarray, "frames channels"]
    rate: int
    link: int


class Reading:
    """A file of sound that is read once.

    Attributes
    ----------
    rate, channels : of its first link
    warnings : what is odd about it, and how much of it was read; complete when all blocks were read

    Raises
    ------
    AudioError
        If it is no sound that can be read.
    """

    def __init__(self, file: Path, *, quick: bool = False) -> None:
        self._file, self._quick = file, quick
        try:
            if file.stat().st_size == 0:
                raise AudioError("is empty (0 bytes)")
            self._layout = layout_of(file, quick=quick)
            self._open = Opened(file, self._layout.links[0], plain=self._layout.plain)
        except FileNotFoundError:
            raise AudioError("no such file") from None
        except OSError as error:
            raise AudioError(f"cannot be opened: {error.strerror}") from None
        except NOT_SOUND as error:
            raise AudioError(f"is no sound that can be read: {_said_by(error)}") from None
        self.rate, self.channels = self._open.rate, self._open.channels
        self.warnings: tuple[str, ...] = ()

    def __enter__(self) -> "Reading":
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._open.close()

    @property
    def frames(self) -> int | None:
        """Length at the first link's rate, as far as it is known without decoding; None where it is not, or is only estimated."""
        if not self._layout.sure or self._open.frames is None:
            return None
        total = Fraction(self._open.frames)
        links = self._layout.links
        if links[0].unsearched and not self._quick:
            links = self._within(links[0])
            total = Fraction(links[0].frames or 0)
        for link in links[1:]:
            try:
                with closing(Opened(self._file, link, plain=False)) as other:
                    if other.frames is None:
                        return None
                    total += Fraction(other.frames * self.rate, other.rate)
            except (OSError, *NOT_SOUND):
                return None
        return round(total)

    def blocks(self, *, seconds: float, values: int) -> Iterator[Block]:
        """Yield all samples, at most so many seconds and so many values of all channels at once.

        Raises
        ------
        AudioError
            If there are none.
        """
        report, links = Report(self._layout.notes), list(self._layout.links)
        for number, link in enumerate(links):  # to which is added what is found behind one
            if number:
                self._open.close()
                try:
                    self._open = Opened(self._file, link, plain=False)
                except NOT_SOUND as failed:
                    report.add_error(_said_by(failed))
                    continue
            frames, error = 0, ""
            at_once = max(1, min(int(seconds * self._open.rate), values // self._open.channels))
            while frames < self._open.sound.frames and not error:  # libsndfile gives no more than it says
                samples, error = self._open.read_on(min(at_once, self._open.sound.frames - frames))
                if len(samples) == 0:
                    break
                frames += len(samples)
                yield Block(samples, self._open.rate, number)
            report.add(self._open, frames, error)
            if link.unsearched and (error or self._open.place < link.stop - READ_AHEAD):
                links[number + 1 : number + 1] = self._within(link)[1:]
            if link.open_end:
                links[number + 1 : number + 1] = self._behind(
                    link, report, least=LEAST if error or link.endless else MUCH
                )
        report.check_any()
        self.warnings = report.warnings()

    def _within(self, link: Link) -> tuple[Link, ...]:
        with self._file.open("rb") as stream:
            return links_within(stream, link)

    def _behind(self, link: Link, report: Report, *, least: int) -> tuple[Link, ...]:
        """Return what follows in an MP3 behind the place at which the decoder stopped, where that is at least so many bytes from its end."""
        place = self._open.place
        if not link.start < place < link.stop - least:
            return ()
        with self._file.open("rb") as stream:
            links = links_from(stream, place, link.stop)
            if links:
                damaged = not only_padding(stream, place, links[0].start)
                report.add_gap(links[0].start - place if damaged else 0)
            return links


def _said_by(error: Exception) -> str:
    return str(getattr(error, "error_string", None) or error)
