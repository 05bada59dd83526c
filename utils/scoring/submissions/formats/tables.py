"""Folders of tables, in formats with one file per recording."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from utils.files import LONGEST_NAME
from utils.scoring.submissions.formats.detections import Detection, RecordingDetections
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.formats.problems import Problems
from utils.scoring.submissions.formats.writing import table_folder, text_file

HASH_DIGITS = 16  # hexadecimal digits that replace the end of a name that is too long


def write_tables(
    path: Path,
    recordings: Iterable[RecordingDetections],
    layout: SubmissionLayout,
    *,
    ending: str,
    line_of: Callable[[int, str, Detection], str],
    header: str = "",
) -> int:
    """Write a folder of tables; recordings that cannot be used have none.

    Parameters
    ----------
    ending : of the tables' names
    line_of : from the index of a detection in its recording, from 1, the recording, and the detection to its row
    header : first line of every table

    Returns
    -------
    Number of rows of all tables.
    """
    names, count = table_names(layout.files, ending=ending), 0
    with table_folder(path, ending=ending) as folder:
        for file, detections in recordings:
            with text_file(folder / names[file], lasting=False) as stream:
                stream.write(header)
                for index, one in enumerate(detections, 1):
                    stream.write(f"{line_of(index, file, one)}\n")
                    count += 1
    return count


def check_tables(
    path: Path, layout: SubmissionLayout, *, ending: str, check_table: Callable[[Path, Problems], None]
) -> Problems:
    """Check a folder of tables; recordings that could not be used have none.

    Parameters
    ----------
    check_table : adds the problems of one table
    """
    problems = Problems()
    known = set(table_names(layout.files, ending=ending).values())
    if not path.is_dir():
        problems.add("should be a folder, with a file for each recording")
        return problems
    for table in sorted(file for file in path.rglob("*") if file.is_file()):
        name = table.relative_to(path).as_posix()
        of_table = Problems(name)
        if name not in known:
            of_table.add("does not have the name of a recording")
        else:
            check_table(table, of_table)
        problems.join(of_table)
    return problems


def table_names(files: Sequence[str], *, ending: str) -> dict[str, str]:
    """Return the path of each recording's table: that of the sound file with another ending, so that they lie together.

    If two recordings differ only in their extensions or in upper and lower case, the sound's extension stays in the
    name, and numbers tell them apart. The end of a name that would be too long is replaced by a hash.
    """
    longest = LONGEST_NAME - len(ending)
    stems = {file: _shortened(str(PurePosixPath(file).with_suffix("")), longest=longest) for file in files}
    alike = Counter(stem.casefold() for stem in stems.values())
    names: dict[str, str] = {}
    taken: set[str] = set()
    for file in files:
        name = base = stems[file] if alike[stems[file].casefold()] == 1 else _shortened(file, longest=longest)
        copy = 1
        while name.casefold() in taken:
            copy += 1
            name = f"{base}.{copy}"
        taken.add(name.casefold())
        names[file] = f"{name}{ending}"
    return names


def _shortened(path: str, *, longest: int) -> str:
    """Return a path whose last part has at most `longest` bytes."""
    name = path.rsplit("/", 1)[-1].encode("utf-8", "surrogateescape")
    if len(name) <= longest:
        return path
    start = name[: longest - HASH_DIGITS - 1].decode(errors="ignore")
    return f"{path[: path.rfind('/') + 1]}{start}~{hashlib.sha256(name).hexdigest()[:HASH_DIGITS]}"
