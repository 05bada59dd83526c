"""The account of a folder: which of its files were used, which were left out or not understood, and how many are none of our business."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from config import Columns
from utils.console import Failure
from utils.recordings.audio_files import check_readable, is_sound, walk
from utils.recordings.not_understood import explain
from utils.recordings.sound_names import Sounds

_HEAD = 12  # bytes that tell sound from other files
_SOUNDS = (  # where they have what
    *(
        (0, mark)
        for mark in (
            b"fLaC",
            b"OggS",
            b"ID3",
            b"caff",
            b".snd",
            b"riff.\x91\xcf\x11",
            b"\xff\xfb",
            b"\xff\xf3",
            b"\xff\xf2",
            b"\xff\xfa",
        )
    ),
    *((8, mark) for mark in (b"WAVE", b"AIFF", b"AIFC")),
    (4, b"ftypM4A"),
)
SHOWN = 2  # names of other files in the line


@dataclass(frozen=True)
class Account:
    """What became of the files of a folder.

    Attributes
    ----------
    used : sounds
    read : tables and records that say something of sounds
    left_out : sounds that are not used
    unwanted : sounds that the settings leave out
    spare : sounds without labels, which other stages are for
    not_understood : files that look like tables of annotations and are not read
    others : names of all other files: licences, checksums, prose
    failures : what is left out or not understood and not named by a reader already, and why
    """

    used: int = 0
    read: int = 0
    left_out: int = 0
    unwanted: int = 0
    spare: int = 0
    not_understood: int = 0
    others: tuple[str, ...] = ()
    failures: list[Failure] = field(default_factory=list)

    def line(self) -> str:
        """Say it in one line, such as '12 sounds used, 1 left out, 2 tables not understood, 3 other files (README.md, …)'."""
        parts = [f"{self.used:,} {'sound' if self.used == 1 else 'sounds'} used"]
        parts += [f"{self.left_out:,} left out"] if self.left_out else []
        parts += [f"{self.unwanted:,} not wanted by the settings"] if self.unwanted else []
        parts += [f"{self.spare:,} without labels"] if self.spare else []
        parts += (
            [f"{self.read:,} {'table or record' if self.read == 1 else 'tables or records'} read"] if self.read else []
        )
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
    without: Collection[Path] = (),
    spare: Collection[Path] = (),
) -> Account:
    """Look through a folder for what nobody has used or named.

    Parameters
    ----------
    used : sounds that are used
    seen : besides them, the files that are used otherwise or are named in failures already
    columns : of tables of annotations, by which it is told why one is not understood
    without : folders and files in it that are not looked at
    spare : sounds that other stages are for
    """
    looked, home = walk(folder), folder.resolve()
    passed = [path.relative_to(home) for path in (path.resolve() for path in without) if path.is_relative_to(home)]
    files = [file for file in looked.files if not any(file.relative_to(folder).is_relative_to(path) for path in passed)]
    known = Sounds(file for file in files if is_sound(file))
    failures, counts, others = list(looked.unread), Counter[str](), []
    for file in files:
        if file in used or file in seen or file in spare:
            counts[
                "read" if not is_sound(file) else "used" if file in used else "spare" if file in spare else "left out"
            ] += 1
            continue
        what, reason = _unseen(file, columns, known)
        counts[what] += 1
        place = file.relative_to(folder).as_posix()
        if reason:
            failures.append(Failure(place, reason))
        else:
            others.append(place)
    return Account(
        used=counts["used"],
        read=counts["read"],
        left_out=counts["left out"],
        spare=counts["spare"],
        not_understood=counts["not understood"],
        others=tuple(others),
        failures=failures,
    )


def _unseen(file: Path, columns: Columns, sounds: Sounds) -> tuple[str, str]:
    """Return what kind of file it is that nobody has seen, and what is to be said of it; '' for those that are none of our business."""
    if file.is_symlink() and not file.exists():
        return "left out", f"is a link to nothing ({file.readlink()})"
    if is_sound(file):
        try:
            check_readable(file)
        except ValueError as error:
            return "left out", str(error)
        return "left out", "no table or metadata names this sound"
    if _sounds_like(file):
        return "left out", f"is sound, but {file.suffix or 'no ending'} is not how sounds end; rename it"
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
