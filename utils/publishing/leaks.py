"""Whether a folder tells paths of the machine on which it was made."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from utils.console import UserError


def private_paths(*places: Any) -> list[str]:
    """Return the texts that would tell a path of this machine: the home and working folders, and those in settings.

    Parameters
    ----------
    places : paths, or settings whose absolute paths count
    """
    found = {Path.home(), Path.cwd(), *(path for place in places for path in _paths_in(place) if path.is_absolute())}
    return sorted({text for path in found if len(path.parts) > 1 for text in _texts_of(path)})


def _texts_of(path: Path) -> Iterator[str]:
    end = "/" if len(path.parts) == 2 else ""  # /data alone may be a part of other texts
    yield path.as_posix() + end
    yield str(path) + end.replace("/", path.root or "/")[-1:]


def _paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _paths_in(one)
    elif is_dataclass(value):
        for one in fields(value):
            yield from _paths_in(getattr(value, one.name))


def check_no_leaks(folder: Path, private: Iterable[str]) -> None:
    """Refuse a folder in which a file or its name has one of these texts.

    Raises
    ------
    UserError
        That names the file and the text.
    """
    texts = [(text, text.encode()) for text in private]
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes() if path.is_file() else b""
        for text, wanted in texts:
            if wanted in content or text in name:
                raise UserError(f"{name}: would tell a path of this machine, {text}, so nothing was published")
