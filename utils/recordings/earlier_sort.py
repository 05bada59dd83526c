"""What an earlier sort_data.py left in the data set's root: names of recordings, and sounds that it moved there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from utils.console import Failure
from utils.recordings.names import EarlierNames
from utils.recordings.recording import SPLITS, Recording, from_metadata, read_metadata
from utils.recordings.sorted_folders import find_sorted_file


@dataclass(frozen=True)
class EarlierSort:
    """What an earlier sort left in the root.

    Attributes
    ----------
    moved : recordings that were moved to the root, with their present file, by their original path
    names : the names of recordings
    failures : metadata that cannot be read
    """

    moved: dict[Path, Recording]
    names: EarlierNames
    failures: list[Failure]


def read_earlier_sort(root: Path) -> EarlierSort:
    """Read the metadata that an earlier sort wrote.

    A JSON file has `moved_from` if its recording was to be moved. It is written before the move, so that a sound which
    is still at its original path was not moved yet.
    """
    folder = root / "metadata"
    moved: dict[Path, Recording] = {}
    by_source: dict[str, str] = {}
    others: set[str] = set()
    failures = []
    for file in sorted(folder.rglob("*.json")):
        name = file.relative_to(folder).as_posix().removesuffix(".json")
        try:
            metadata = read_metadata(file)
            if source := metadata.get("source"):
                by_source[str(source)] = name
            else:
                others.add(name)
            if not metadata.get("moved_from"):
                continue
            recording = _moved_recording(metadata, name, root)
        except (OSError, ValueError) as error:
            failures.append(Failure(f"metadata/{name}.json", str(error)))
            continue
        present, original = find_sorted_file(recording, root), Path(recording.moved_from)
        if present and not present.is_symlink() and not original.is_file():
            moved[original] = replace(recording, file=present)
    return EarlierSort(moved, EarlierNames(by_source, frozenset(others)), failures)


def _moved_recording(metadata: Mapping[str, Any], name: str, root: Path) -> Recording:
    """Return a recording from its metadata; of its file only the suffix matters, by which the present path is found."""
    written = metadata.get("split", metadata.get("side"))  # earlier versions wrote `side`
    split = next((split for split in SPLITS if split == written), None)
    suffix = re.search(r"\.\w+$", str(metadata.get("filename")), re.ASCII)
    return from_metadata(metadata, name=name, file=root / f"sound{suffix[0] if suffix else ''}", split=split)
