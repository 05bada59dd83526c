"""Groups of recordings that must not be separated by a split: by recordist, site, day, block, or equal sound."""

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
SITE_DIGITS = 2  # coordinates equal to this many decimals of a degree (about a kilometre) are one site
_UNKNOWN = frozenset({"", "?", "-", "unknown", "anonymous", "nan", "none", "not specified"})


@dataclass(frozen=True)
class Groups:
    """The groups of recordings.

    Attributes
    ----------
    index : for each recording, the index of its group in `names`
    names : of the groups; a recording that is alone in its group gives it its name
    """

    index: Int64[np.ndarray, " recordings"]
    names: list[str]


def grouping_of(settings: Dataset) -> Grouping:
    """Return the key by which `dataset.split` groups recordings."""
    if settings.split == "grouped":
        return settings.group_by
    return "block" if settings.split == "blocked" else "recording"


def group_recordings(
    recordings: Sequence[Recording],
    settings: Dataset,
    by: Grouping,
    duplicates: Iterable[Sequence[int]] = (),
    *,
    dense: Container[str] | None = None,
) -> Groups:
    """Group recordings that share a recordist, site, day or block, and those with the same sound.

    Groups are connected components: a recording that shares one key with a second recording and another key with a
    third puts all three into one group.

    Parameters
    ----------
    duplicates : indices of recordings with the same sound
    dense : the blocks that stay together; None: those with enough recordings
    """
    if dense is None:
        dense = dense_blocks(recordings, settings) if by == "block" else frozenset[str]()
    keys = [group_keys(recording, settings, by, dense) for recording in recordings]
    for same in duplicates:
        for row in same:
            keys[row] = [*keys[row], f"same sound: {recordings[same[0]].name}"]
    index = _components(keys)
    names: dict[int, str] = {}
    for row, recording in enumerate(recordings):
        name = min(keys[row], default=recording.name)
        names[int(index[row])] = min(names.get(int(index[row]), name), name)
    return Groups(index, [names[group] for group in range(len(names))])


def _components(keys: Sequence[Sequence[str]]) -> Int64[np.ndarray, " recordings"]:
    """Return the index of each recording's connected component; components are numbered in order of appearance."""
    columns_of: dict[str, int] = {}
    pairs = [(row, columns_of.setdefault(key, len(columns_of))) for row, shared in enumerate(keys) for key in shared]
    size = len(keys) + len(columns_of)
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(len(pairs), np.int8), (rows, columns + len(keys))), shape=(size, size))
    _, component = connected_components(links, directed=False)
    _, first, index = np.unique(component[: len(keys)], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[index].astype(np.int64)


def group_keys(recording: Recording, settings: Dataset, by: Grouping, dense: Container[str] = ()) -> list[str]:
    """Return the keys that a recording shares with others of its group; none if they are not known.

    Parameters
    ----------
    dense : the blocks with enough recordings, if `by` is 'block'
    """
    if by == "author":
        author = _casefolded(recording.author)
        return [] if author in _UNKNOWN else [f"author: {author}"]
    if by == "site":
        return _site_keys(recording)
    if by == "day":
        date = date_of(recording)
        return [f"day: {date} {site}".strip() for site in _site_keys(recording) or [""]] if date else []
    if by == "block":
        block = block_of(recording, settings)
        return [block] if block in dense else []
    return []


def _site_keys(recording: Recording) -> list[str]:
    """Return a site's keys: its name, its rounded coordinates, or both."""
    locality = _casefolded(recording.locality)
    sites = [] if locality in _UNKNOWN else [f"site: {locality}"]
    if recording.latitude is not None and recording.longitude is not None:
        # adding 0 turns −0 into 0: both are one place
        north, east = (round(value, SITE_DIGITS) + 0.0 for value in (recording.latitude, recording.longitude))
        sites.append(f"site: {north:g}, {east:g}")
    return sites


def _casefolded(text: str) -> str:
    return " ".join(text.split()).casefold()


def date_of(recording: Recording) -> str:
    """Return the date as YYYY-MM-DD; '' if the day is not known."""
    found = re.match(r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\d)", recording.date.strip())
    return found.group() if found else ""


def quarter_of(recording: Recording) -> int:
    """Return the quarter of the year, 1 to 4; 0 if the month is not known."""
    found = re.match(r"\d{4}-(0[1-9]|1[0-2])(?!\d)", recording.date.strip())
    return (int(found.group(1)) + 2) // 3 if found else 0


def block_of(recording: Recording, settings: Dataset) -> str:
    """Return the name of the block: a grid cell and a quarter of the year; '' without coordinates."""
    if recording.latitude is None or recording.longitude is None:
        return ""
    south, west = (
        math.floor(value / settings.block_degrees) * settings.block_degrees
        for value in (recording.latitude, recording.longitude)
    )
    return f"block: {south:g}, {west:g}, quarter {quarter_of(recording) or '?'}"


def count_dense_blocks(recordings: Sequence[Recording], settings: Dataset) -> tuple[int, int]:
    """Return the number of blocks with at least `block_recordings` recordings, and of all blocks."""
    blocks = {block_of(recording, settings) for recording in recordings} - {""}
    return len(dense_blocks(recordings, settings)), len(blocks)


def dense_blocks(recordings: Sequence[Recording], settings: Dataset) -> frozenset[str]:
    """Return the blocks with at least `block_recordings` recordings."""
    counts = Counter(block_of(recording, settings) for recording in recordings)
    return frozenset(block for block, count in counts.items() if block and count >= settings.block_recordings)
