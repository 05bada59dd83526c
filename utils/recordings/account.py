"""The account of a folder: which of its files were used, which were left out or not understood, and how many are none of our business."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from config import Columns
from utils.console import Failure
from utils.recordings.audio_files import check_readable, is_sound, walk
from utils.recordings.not_understood import explain

_HEAD = 12  # bytes that tell sound from other files
_SOUNDS = ((0, b"fLaC"), (0, b"OggS"), (0, b"ID3"), (8, b"WAVE"), (8, b"AIFF"), (8, b"AIFC"))  # where they have what
SHOWN = 2  # names of other files in the line


@dataclass(frozen=True)
class Account:
    """What became of the files of a folder.

    Attributes
    ----------
    used : sounds
    read : tables and records that say something of sounds
    left_out : sounds that are not used
    not_understood : files that look like tables of annotations and are not read
    others : names of all other files: licences, checksums, prose
    failures : what is left out or not understood and not named by a reader already, and why
    """

    used: int = 0
    read: int = 0
    left_out: int = 0
    not_understood: int = 0
    others: tuple[str, ...] = ()
    failures: list[Failure] = field(default_factory=list)

    def less(self, count: int) -> "Account":
        """Return the account when so many of the sounds that were used turned out to be of no use."""
        return replace(self, used=self.used - count, left_out=self.left_out + count)

    def line(self) -> str:
        """Say it in one line, such as '12 sounds used, 1 left out, 2 tables not understood, 3 other files (README.md, …)'."""
        parts = [f"{self.used:,} {'sound' if self.used == 1 else 'sounds'} used"]
        parts += [f"{self.left_out:,} left out"] if self.left_out else []
        parts += [f"{self.read:,} {'table or record' if self.read == 1 else 'tables or records'} read"] if self.read else []
        parts += [f"{self.not_understood:,} not understood"] if self.not_understood else []
        if self.others:
            some = ", ".join(self.others[:SHOWN]) + (", …" if len(self.others) > SHOWN else "")
            parts.append(f"{len(self.others):,} other {'file' if len(self.others) == 1 else 'files'} ({some})")
        return ", ".join(parts)


def account_of(
    folder: Path,
    *,
    used: Collection[Path],
    seen: Collection[Path],
    columns: Columns,
    tops: Sequence[Path] = (),
    without: Path | None = None,
) -> Account:
    """Look through a folder for what nobody has used or named.

    Parameters
    ----------
    used : sounds that are used
    seen : besides them, the files that are used otherwise or are named in failures already
    columns : of tables of annotations, by which it is told why one is not understood
    tops : the folders in it that are looked through; none: all of it
    without : a folder in it that is not looked into
    """
    failures: list[Failure] = []
    counts, others = Counter[str](), []
    walks = [walk(top) for top in tops or [folder]]
    sounds = [file for looked in walks for file in looked.files if is_sound(file)]
    for looked in walks:
        failures += looked.unread
        for file in looked.files:
            if without and file.is_relative_to(without) and without != folder and not folder.is_relative_to(without):
                continue
            if file in used or file in seen:
                counts["read" if not is_sound(file) else "used" if file in used else "left out"] += 1
                continue
            what, reason = _unseen(file, columns, sounds)
            counts[what] += 1
            place = file.relative_to(folder).as_posix()
            if reason:
                failures.append(Failure(place, reason))
            else:
                others.append(place)
    return Account(counts["used"], counts["read"], counts["left out"], counts["not understood"], tuple(others), failures)


def _unseen(file: Path, columns: Columns, sounds: Sequence[Path]) -> tuple[str, str]:
    """Return what kind of file it is that nobody has seen, and what is to be said of it; '' for those that are none of our business."""
    if is_sound(file):
        try:
            check_readable(file)
        except ValueError as error:
            return "left out", str(error)
        return "left out", "is of no recording that is known"
    if _sounds_like(file):
        return "left out", f"is sound, but {file.suffix or 'no ending'} is no ending of sound; rename it"
    reason = explain(file, columns, sounds)
    return ("not understood", reason) if reason else ("other", "")


def _sounds_like(file: Path) -> bool:
    """Tell by its first bytes whether a file of any name is sound."""
    if not file.is_file():  # a pipe would be waited for
        return False
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return False
    return any(head[place : place + len(mark)] == mark for place, mark in _SOUNDS)
