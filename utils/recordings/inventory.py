"""The inventory of a folder: which files were used, left out or not understood, and how many are unrelated."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from config import Columns
from utils.console import Failure
from utils.recordings.audio_files import check_readable, has_text_name, is_sound, walk
from utils.recordings.sound_finder import SoundFinder
from utils.recordings.table_problems import explain

_MAGIC_BYTES = 12  # at the start of a file
_AUDIO_MAGIC = (  # offset and bytes of audio formats
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
SHOWN_FILES = 2  # names of other files in the summary line


@dataclass(frozen=True)
class Inventory:
    """What became of the files of a folder.

    Attributes
    ----------
    used : number of audio files that are used
    read : number of tables and records about them
    left_out : number of audio files that are not used
    unwanted : number of audio files that the settings exclude
    unlabelled : number of audio files without labels, for other stages
    not_understood : number of files that look like annotation tables, but are not read
    others : names of all other files: licences, checksums, texts
    failures : what is left out or not understood, and why, except what a reader has reported already
    """

    used: int = 0
    read: int = 0
    left_out: int = 0
    unwanted: int = 0
    unlabelled: int = 0
    not_understood: int = 0
    others: tuple[str, ...] = ()
    failures: list[Failure] = field(default_factory=list)

    def line(self) -> str:
        """Return a summary such as '12 audio files used, 1 left out, 2 not understood, 3 other files (a.md, …)'."""
        parts = [f"{self.used:,} audio {'file' if self.used == 1 else 'files'} used"]
        parts += [f"{self.left_out:,} left out"] if self.left_out else []
        parts += [f"{self.unwanted:,} excluded by the settings"] if self.unwanted else []
        parts += [f"{self.unlabelled:,} without labels"] if self.unlabelled else []
        parts += (
            [f"{self.read:,} {'table or record' if self.read == 1 else 'tables or records'} read"] if self.read else []
        )
        parts += [f"{self.not_understood:,} not understood"] if self.not_understood else []
        if self.others:
            some = ", ".join(self.others[:SHOWN_FILES]) + (", …" if len(self.others) > SHOWN_FILES else "")
            parts.append(f"{len(self.others):,} other {'file' if len(self.others) == 1 else 'files'} ({some})")
        return ", ".join(parts)


def take_inventory(
    folder: Path,
    *,
    used: Collection[Path],
    seen: Collection[Path],
    columns: Columns,
    without: Collection[Path] = (),
    unlabelled: Collection[Path] = (),
) -> Inventory:
    """Look through a folder for files that are neither used nor reported.

    Parameters
    ----------
    used : audio files that are used
    seen : other files that are used, or that failures name already
    columns : headings of annotation tables from the settings, to explain why a table is not understood
    without : folders and files in it that are skipped
    unlabelled : audio files for other stages
    """
    walked, home = walk(folder), folder.resolve()
    skipped = [path.relative_to(home) for path in (path.resolve() for path in without) if path.is_relative_to(home)]
    files = [
        file for file in walked.files if not any(file.relative_to(folder).is_relative_to(path) for path in skipped)
    ]
    known = SoundFinder(file for file in files if is_sound(file))
    failures, counts, others = list(walked.unread), Counter[str](), []
    for file in files:
        if file in used or file in seen or file in unlabelled:
            counts[
                "read"
                if not is_sound(file)
                else "used"
                if file in used
                else "unlabelled"
                if file in unlabelled
                else "left out"
            ] += 1
            continue
        what, reason = _classify(file, columns, known)
        counts[what] += 1
        path = file.relative_to(folder).as_posix()
        if reason:
            failures.append(Failure(path, reason))
        else:
            others.append(path)
    return Inventory(
        used=counts["used"],
        read=counts["read"],
        left_out=counts["left out"],
        unlabelled=counts["unlabelled"],
        not_understood=counts["not understood"],
        others=tuple(others),
        failures=failures,
    )


def _classify(file: Path, columns: Columns, sounds: SoundFinder) -> tuple[str, str]:
    """Return the kind of a file that was not used, and the reason; '' for unrelated files."""
    if file.is_symlink() and not file.exists():
        return "left out", f"is a broken link ({file.readlink()})"
    if is_sound(file):
        if not has_text_name(file):
            return "left out", "has a name that is not UTF-8; rename it"
        try:
            check_readable(file)
        except ValueError as error:
            return "left out", str(error)
        return "left out", "is in no table or metadata"
    if _is_audio(file):
        return (
            "left out",
            f"is audio, but has {f'the extension {file.suffix}' if file.suffix else 'no extension'}; rename it",
        )
    reason = explain(file, columns, sounds)
    return ("not understood", reason) if reason else ("other", "")


def _is_audio(file: Path) -> bool:
    """Tell by its first bytes whether a file is audio, whatever its name."""
    if not file.is_file():  # reading from a pipe would block
        return False
    try:
        with file.open("rb") as stream:
            header = stream.read(_MAGIC_BYTES)
    except OSError:
        return False
    return any(header[offset : offset + len(mark)] == mark for offset, mark in _AUDIO_MAGIC)
