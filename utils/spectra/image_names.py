"""Names of PNG files of clips: `{score · 10000:04d}_{recording}_{index:03d}.png`, in one folder per class.

Source: docs/baseline.md (Spectrograms).
"""

import re
from typing import NamedTuple

import polars as pl

from utils.files import check_name
from utils.recordings.names import escaped_name, shortened_name

SCORE_SCALE = 10_000  # factor of scores in names
NO_CLASS = "(no class)"  # folder of clips without any event
_IMAGE_NAME = re.compile(r"([0-9]{4,5})_(.+)_([0-9]{3,9})\.png", re.IGNORECASE | re.DOTALL)


class ImageName(NamedTuple):
    """The parts of an image's name: signal score, name of the recording in file names, index of the clip in it."""

    score: float
    recording: str
    clip_index: int


def image_file_name(name: ImageName) -> str:
    """Return the name of an image's file."""
    return f"{int(name.score * SCORE_SCALE):04d}_{name.recording}_{name.clip_index:03d}.png"


def parse_image_name(name: str) -> ImageName | None:
    """Return the parts of an image's name; None if the file has another kind of name."""
    found = _IMAGE_NAME.fullmatch(name)
    if not found or int(found[1]) > SCORE_SCALE:
        return None
    return ImageName(int(found[1]) / SCORE_SCALE, found[2], int(found[3]))


def class_folder(label: str) -> str:
    """Return the folder of a class.

    Raises
    ------
    ValueError
        If its name cannot be that of a folder.
    """
    return check_name(label) if label else NO_CLASS


def class_is_in_names(recordings: pl.DataFrame) -> bool:
    """Tell whether all names of recordings are `class/name`, so that names of images need not repeat the class."""
    return all(name.startswith(f"{label}/") for name, label in recordings.select("recording", "class").iter_rows())


def names_in_files(recordings: pl.DataFrame) -> dict[str, str]:
    """Return the name of each recording in the names of its images, which is unique within a class.

    Characters that file names cannot hold are percent-encoded (`/` as %2F); names that are too long end with a hash.
    """
    short = class_is_in_names(recordings)
    rows = recordings.select("recording", "class").iter_rows()
    return {name: _file_name_part(name.removeprefix(f"{label}/") if short else name) for name, label in rows}


def _file_name_part(name: str) -> str:
    return shortened_name(escaped_name(name, also="%"), of=name)
