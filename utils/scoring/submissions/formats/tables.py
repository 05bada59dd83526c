"""Folders of tables, in formats that have one file a recording."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from utils.files import LONGEST_NAME
from utils.scoring.inference.interval_scores import IntervalScores
from utils.scoring.submissions.formats.sheet import Sheet, usable
from utils.scoring.submissions.formats.writing import table_folder, text_file

HASHED = 16  # hexadecimal digits that stand for the end of a name that is too long


def write_tables(
    path: Path,
    results: Iterable[IntervalScores],
    sheet: Sheet,
    *,
    ending: str,
    lines_of: Callable[[IntervalScores], Iterable[str]],
    header: str = "",
) -> int:
    """Write a folder of tables; recordings that cannot be used have none.

    Parameters
    ----------
    lines_of : the rows of a recording
    header : what every table begins with

    Returns
    -------
    Number of rows of all tables.
    """
    names, count = table_names(sheet.files, ending=ending), 0
    with table_folder(path, ending=ending) as folder:
        for one in usable(results, sheet):
            with text_file(folder / names[one.file], lasting=False) as stream:
                stream.write(header)
                for line in lines_of(one):
                    stream.write(f"{line}\n")
                    count += 1
    return count


def table_names(files: Sequence[str], *, ending: str) -> dict[str, str]:
    """Return the path of each recording's table: folders and name of the sound, with another ending, so that it can be laid beside it.

    Where two recordings differ in their endings or in upper and lower case only, the sound's ending stays in the name,
    and numbers tell them apart. Of a name that would be too long the end is a hash.
    """
    stems = {
        file: _short(str(PurePosixPath(file).with_suffix("")), longest=LONGEST_NAME - len(ending)) for file in files
    }
    alike = Counter(stem.casefold() for stem in stems.values())
    names: dict[str, str] = {}
    taken: set[str] = set()
    for file in files:
        name = base = (
            stems[file] if alike[stems[file].casefold()] == 1 else _short(file, longest=LONGEST_NAME - len(ending))
        )
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}.{number}"
        taken.add(name.casefold())
        names[file] = f"{name}{ending}"
    return names


def _short(path: str, *, longest: int) -> str:
    """Return a path whose last part has at most `longest` bytes."""
    name = path.rsplit("/", 1)[-1].encode("utf-8", "surrogateescape")
    if len(name) <= longest:
        return path
    begin = name[: longest - HASHED - 1].decode(errors="ignore")
    return f"{path[: path.rfind('/') + 1]}{begin}~{hashlib.sha256(name).hexdigest()[:HASHED]}"
