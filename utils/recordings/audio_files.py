"""Which files of a folder are sound, by their names alone."""

import re
from collections.abc import Iterator
from pathlib import Path

from utils.files import check_name, check_plain

# what libsndfile reads, by the names people give such files
READABLE = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"})
UNREADABLE = frozenset({".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp"})  # sound, but of no kind that libsndfile reads


def is_sound(file: Path) -> bool:
    """Tell by its name whether a file is sound, readable or not; hidden files are nobody's sound."""
    return file.suffix.lower() in READABLE | UNREADABLE and not file.name.startswith(".")


def check_readable(file: Path) -> None:
    """Refuse a sound of a kind that cannot be read, and what is no file.

    Raises
    ------
    ValueError
        With what to do.
    """
    if file.suffix.lower() in UNREADABLE:
        raise ValueError(f"{file.suffix} cannot be read; convert it to FLAC, WAV, Ogg or MP3")
    check_plain(file)


def sounds_in(folder: Path) -> list[Path]:
    """Return the files of sound that lie directly in a folder, in the order of their names; none where there is no such folder."""
    return sorted(file for file in folder.iterdir() if is_sound(file) and not file.is_dir()) if folder.is_dir() else []


def sounds_below(folder: Path) -> Iterator[Path]:
    """Yield the files of sound in a folder and all folders below it, in the order of their paths; hidden folders are not looked into."""
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if not hidden and is_sound(file) and not file.is_dir():
            yield file


def below(folder: Path, text: str) -> Path:
    """Return the path that a table of strangers names below a folder.

    Raises
    ------
    ValueError
        If it is empty, absolute, or would leave the folder.
    """
    return folder.joinpath(*(check_name(part) for part in text.strip().split("/")))


def stamp_of(name: str) -> tuple[str, str]:
    """Return the date and the time that recorders write into their files' names, as in `S4A_20210712_063000.wav`; '' where there is none.

    Returns
    -------
    ('2021-07-12', '06:30').
    """
    found = re.search(r"(?<!\d)((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:[_T-]?([01]\d|2[0-3])([0-5]\d)([0-5]\d)?)?(?!\d)", name)
    if not found:
        return "", ""
    year, month, day, hour, minute, _ = found.groups()
    return f"{year}-{month}-{day}", f"{hour}:{minute}" if hour else ""
