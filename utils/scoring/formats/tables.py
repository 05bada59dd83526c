"""Where the table of each recording lies, in formats that have one file a recording."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath


def table_names(files: Sequence[str], *, ending: str) -> dict[str, str]:
    """Return the path of each recording's table: folders and name of the sound, with another ending, so that it can be laid beside it.

    Where two recordings differ in their endings or in upper and lower case only, the sound's ending stays in the name, and numbers tell them apart.
    """
    stems = {file: str(PurePosixPath(file).with_suffix("")) for file in files}
    alike = Counter(stem.casefold() for stem in stems.values())
    names: dict[str, str] = {}
    taken: set[str] = set()
    for file in files:
        name = base = stems[file] if alike[stems[file].casefold()] == 1 else file
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{base}.{number}"
        taken.add(name.casefold())
        names[file] = f"{name}{ending}"
    return names
