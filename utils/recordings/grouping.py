"""Which recordings belong together, so that they must stand on one side of a split."""

import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from config import Dataset
from utils.recordings.recording import Recording

Grouping = Literal["author", "site", "day", "recording", "block"]
SITE_DIGITS = 2  # coordinates that agree to so many decimals of a degree (about a kilometre) are one site
_NOBODY = frozenset({"", "?", "-", "unknown", "anonymous", "nan", "none", "not specified"})


@dataclass(frozen=True)
class Groups:
    """Recordings that belong together.

    Attributes
    ----------
    of : number of the group of each recording
    names : of the groups; that of a recording which belongs to no other is its own
    """

    of: Int64[np.ndarray, " recordings"]
    names: list[str]


def kept_together(settings: Dataset) -> Grouping:
    """Return by what `dataset.split` groups recordings."""
    if settings.split == "grouped":
        return settings.group_by
    return "block" if settings.split == "blocked" else "recording"


def group(
    recordings: Sequence[Recording], settings: Dataset, by: Grouping, duplicates: Iterable[Sequence[int]] = ()
) -> Groups:
    """Put together the recordings that share a recordist, site, day or block, and those that hold the same sound.

    Who shares a key with one and another key with another joins them all.

    Parameters
    ----------
    duplicates : numbers of recordings with the same sound
    """
    dense = _dense_blocks(recordings, settings) if by == "block" else frozenset[str]()
    keys = [keys_of(recording, settings, by, dense) for recording in recordings]
    for same in duplicates:
        for number in same:
            keys[number] = [*keys[number], f"same sound: {recordings[same[0]].name}"]
    of = _connected(keys)
    names: dict[int, str] = {}
    for number, recording in enumerate(recordings):
        name = min(keys[number], default=recording.name)
        names[int(of[number])] = min(names.get(int(of[number]), name), name)
    return Groups(of, [names[number] for number in range(len(names))])


def _connected(keys: Sequence[Sequence[str]]) -> Int64[np.ndarray, " recordings"]:
    """Return the number of the connected part of each recording, in the order in which they come."""
    numbers: dict[str, int] = {}
    pairs = [(row, numbers.setdefault(key, len(numbers))) for row, own in enumerate(keys) for key in own]
    size = len(keys) + len(numbers)
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(pairs), np.int8), (rows, columns + len(keys))), shape=(size, size))
    _, part = connected_components(links, directed=False)
    _, first, of = np.unique(part[: len(keys)], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[of].astype(np.int64)


def keys_of(recording: Recording, settings: Dataset, by: Grouping, dense: Container[str] = ()) -> list[str]:
    """Return what a recording shares with the others of its group; nothing where that is not known.

    Parameters
    ----------
    dense : the blocks that hold enough recordings, where `by` is 'block'
    """
    if by == "author":
        author = _plain(recording.author)
        return [] if author in _NOBODY else [f"author: {author}"]
    if by == "site":
        return _sites(recording)
    if by == "day":
        date = date_of(recording)
        return [f"day: {date} {site}".strip() for site in _sites(recording) or [""]] if date else []
    if by == "block":
        block = block_of(recording, settings)
        return [block] if block in dense else []
    return []


def _sites(recording: Recording) -> list[str]:
    sites = [] if _plain(recording.locality) in _NOBODY else [f"site: {_plain(recording.locality)}"]
    if recording.latitude is not None and recording.longitude is not None:
        # −0 and 0 are one place
        north, east = (round(value, SITE_DIGITS) + 0.0 for value in (recording.latitude, recording.longitude))
        sites.append(f"site: {north:g}, {east:g}")
    return sites


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def date_of(recording: Recording) -> str:
    """Return the day as YYYY-MM-DD; '' where it is not known to the day."""
    found = re.match(r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\d)", recording.date.strip())
    return found.group() if found else ""


def quarter_of(recording: Recording) -> int:
    """Return the quarter of the year, 1 to 4; 0 where the month is not known."""
    found = re.match(r"\d{4}-(0[1-9]|1[0-2])(?!\d)", recording.date.strip())
    return (int(found.group(1)) + 2) // 3 if found else 0


def block_of(recording: Recording, settings: Dataset) -> str:
    """Return the cell of the grid and the quarter of the year; '' where the place is not known."""
    if recording.latitude is None or recording.longitude is None:
        return ""
    south, west = (
        math.floor(value / settings.block_degrees) * settings.block_degrees
        for value in (recording.latitude, recording.longitude)
    )
    return f"block: {south:g}, {west:g}, quarter {quarter_of(recording) or '?'}"


def _dense_blocks(recordings: Sequence[Recording], settings: Dataset) -> frozenset[str]:
    counts = Counter(block_of(recording, settings) for recording in recordings)
    return frozenset(block for block, count in counts.items() if block and count >= settings.block_recordings)
