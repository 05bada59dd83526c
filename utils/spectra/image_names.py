"""Names of PNG files of clips: `{score · 10000:04d}_{recording}_{number:03d}.png`, in a folder for each class.

Source: BASELINE, Spectrograms.
"""

import re
from typing import NamedTuple

import polars as pl

from utils.files import check_name
from utils.recordings.names import escaped, shortened

SCALE = 10_000  # scores stand in names as whole numbers of so many parts
NO_CLASS = "(no class)"  # folder of rejected clips of long recordings, in which nobody sings
_NAME = re.compile(r"([0-9]{4,5})_(.+)_([0-9]{3,9})\.png", re.IGNORECASE | re.DOTALL)


class PictureName(NamedTuple):
    """What the name of a picture says: signal score, what the recording is called in it, and which clip of the recording it is."""

    score: float
    recording: str
    number: int


def written(picture: PictureName) -> str:
    """Return the file's name."""
    return f"{int(picture.score * SCALE):04d}_{picture.recording}_{picture.number:03d}.png"


def read(name: str) -> PictureName | None:
    """Return what a file's name says; None where it is not that of a picture."""
    found = _NAME.fullmatch(name)
    if not found or int(found[1]) > SCALE:
        return None
    return PictureName(int(found[1]) / SCALE, found[2], int(found[3]))


def folder_of(label: str) -> str:
    """Return the folder of a class.

    Raises
    ------
    ValueError
        If the class cannot name one.
    """
    return check_name(label) if label else NO_CLASS


def class_is_in_names(recordings: pl.DataFrame) -> bool:
    """Tell whether every recording is called `class/name`, so that the class, which is the pictures' folder, can be left off."""
    return all(name.startswith(f"{label}/") for name, label in recordings.select("recording", "class").iter_rows())


def names_in_files(recordings: pl.DataFrame) -> dict[str, str]:
    """Return what each recording is called in the names of its pictures; in a class's folder no two are called the same.

    What no file's name may hold is written as in addresses of the web (`/` as %2F), and of what is too long the end is
    a hash.
    """
    short = class_is_in_names(recordings)
    rows = recordings.select("recording", "class").iter_rows()
    return {name: _plain(name.removeprefix(f"{label}/") if short else name) for name, label in rows}


def _plain(name: str) -> str:
    return shortened(escaped(name, also="%"), of=name)
