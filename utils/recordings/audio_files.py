"""Which files are audio files, by their names, and listing folders: every folder once, including linked ones."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from utils.console import Failure
from utils.files import check_name, check_plain

# extensions of files that libsndfile reads
READABLE = frozenset(
    {
        *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".mpga"),
        *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph"),
    }
)
# audio that libsndfile does not read; the last line is from recorders of Wildlife Acoustics and Titley
UNREADABLE = frozenset(
    {
        *(".m4a", ".m4b", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp", ".3g2", ".spx", ".ape", ".wv", ".tta"),
        *(".mka", ".mkv", ".mov", ".avi", ".mpc", ".ac3", ".ra", ".dsf"),
        *(".wac", ".w4v", ".zc"),
    }
)


def is_sound(file: Path) -> bool:
    """Tell by its name whether a file is an audio file, readable or not; hidden files are not."""
    return file.suffix.lower() in READABLE | UNREADABLE and not file.name.startswith(".")


def has_text_name(file: Path) -> bool:
    """Tell whether a path is text in UTF-8, so that tables can name it."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_readable(file: Path) -> None:
    """Refuse an audio file that libsndfile does not read, and anything that is not a file.

    Raises
    ------
    ValueError
        With the reason, or what to do.
    """
    if file.suffix.lower() in UNREADABLE:
        raise ValueError(f"{file.suffix} cannot be read; convert it to FLAC, WAV, Ogg or MP3")
    check_plain(file)


@dataclass
class Walk:
    """The content of a folder and the folders below it.

    Attributes
    ----------
    files : all files, those of a folder before those of its subfolders, without hidden ones
    unread : folders that cannot be opened, and why
    repeated : links to folders that are listed already
    """

    files: list[Path] = field(default_factory=list)
    unread: list[Failure] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)


def walk(folder: Path) -> Walk:
    """List a folder and all folders below it, in the order of their names.

    Links to folders are followed after everything else. Each folder is listed once, so that loops end. A link to a
    folder that contains `folder` itself is a loop, too.
    """
    found = Walk()
    start = folder.resolve()
    done: set[Path] = set()
    ahead = [folder]
    while ahead:
        links: list[Path] = []
        for top in ahead:
            _walk_without_links(top, folder, found, done, links)
        ahead, real_ahead = [], set[Path]()
        for link in sorted(links):
            real = link.resolve()
            if real in done or start.is_relative_to(real) or real in real_ahead:
                found.repeated.append(link)
            else:
                ahead.append(link)
                real_ahead.add(real)
    return found


def _walk_without_links(top: Path, folder: Path, found: Walk, done: set[Path], links: list[Path]) -> None:
    real_top = top.resolve()

    def unread(error: OSError) -> None:
        path = Path(error.filename).relative_to(folder).as_posix()
        found.unread.append(Failure(path, f"cannot be opened ({error.strerror})"))

    for here, folders, files in os.walk(top, onerror=unread):
        inside = Path(here)
        real = real_top / inside.relative_to(top)
        if real in done:  # a link led into a folder that is listed from its top
            folders.clear()
            continue
        done.add(real)
        seen = sorted(name for name in folders if not name.startswith("."))
        links += [inside / name for name in seen if (inside / name).is_symlink()]
        folders[:] = [name for name in seen if not (inside / name).is_symlink()]
        found.files += [inside / name for name in sorted(files) if not name.startswith(".")]


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, then those of the folders below it; see `walk`."""
    yield from walk(folder).files


def sounds_in(folder: Path) -> list[Path]:
    """Return the audio files directly in a folder, in the order of their names; none if there is no such folder."""
    return sorted(file for file in folder.iterdir() if is_sound(file) and not file.is_dir()) if folder.is_dir() else []


def sounds_below(folder: Path) -> Iterator[Path]:
    """Yield the audio files of a folder and all folders below it, in the order of their paths; see `walk`."""
    yield from sorted(file for file in files_below(folder) if is_sound(file))


def path_below(folder: Path, text: str) -> Path:
    """Return the path below a folder that an untrusted table names.

    Colons, as in the names of BirdNET-Pi, are refused only on Windows.

    Raises
    ------
    ValueError
        If it is empty, absolute, or would leave the folder.
    """
    parts = text.strip().split("/")
    for part in parts:
        check_name(part if os.name != "posix" or part[1:] == ":" else part.replace(":", "-"))
    return folder.joinpath(*parts)


def date_and_time_in(name: str) -> tuple[str, str]:
    """Return date and time from the name of a recorder's file, such as `S4A_20210712_063000.wav`; '' if missing.

    Returns
    -------
    Such as ('2021-07-12', '06:30').
    """
    found = re.search(
        r"(?<!\d)((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
        r"(?:[_T-]?([01]\d|2[0-3])([0-5]\d)([0-5]\d)?)?(?!\d)",
        name,
    )
    if not found:
        return "", ""
    year, month, day, hour, minute, _ = found.groups()
    return f"{year}-{month}-{day}", f"{hour}:{minute}" if hour else ""
