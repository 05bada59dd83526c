"""Which classes and recordings are used: those of a whitelist, those with enough recordings, and at most so many."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from config import Dataset
from utils.console import UserError
from utils.recordings.labels import CODE_COLUMNS, COMMON_COLUMNS, SPECIES_COLUMNS, Taxonomy
from utils.recordings.recording import NOISE, Recording, both_names
from utils.recordings.splits import draw
from utils.tables import find_column, read_foreign, refuse_bad_rows


@dataclass(frozen=True)
class Selection:
    """The recordings that are used.

    Attributes
    ----------
    recordings : those left, without the events of classes that left
    left : why classes or recordings left, and what left: one line each
    """

    recordings: list[Recording]
    left: list[str]


def select(recordings: Sequence[Recording], settings: Dataset, taxonomy: Taxonomy) -> Selection:
    """Leave out what the settings do not want; recordings without birds ('Noise') are only bound by `max_recordings`.

    Raises
    ------
    UserError
        If nothing is left, or the whitelist cannot be read.
    """
    chosen, left = list(recordings), []

    def keep(wanted: Callable[[str], bool], why: str) -> None:
        nonlocal chosen
        classes = {label for recording in chosen for label in recording.heard}
        leaving = {label for label in classes if label != NOISE and not wanted(label)}
        before = len(chosen)
        chosen = [kept for recording in chosen if (kept := _without(recording, leaving))]
        if leaving:
            left.append(f"{why}: {len(leaving)} classes, {before - len(chosen)} recordings")

    if settings.whitelist:
        listed = read_whitelist(settings.whitelist, taxonomy, frequency=settings.whitelist_frequency)
        present = {label for recording in chosen for label in recording.heard}
        keep(lambda label: label in listed, "not on the whitelist")
        if absent := sorted(listed - present):
            left.append(
                f"on the whitelist, but without a recording: {len(absent)} species ({', '.join(absent[:3])}{', …' if len(absent) > 3 else ''})"
            )
    if settings.min_recordings:
        counts = count_samples(chosen)
        keep(
            lambda label: counts[label] >= settings.min_recordings,
            f"fewer than {settings.min_recordings} recordings or annotations",
        )
    if settings.max_classes:
        stay = _stay(set(count_samples(chosen)) - {NOISE}, settings)
        keep(lambda label: label in stay, f"more than {settings.max_classes} classes")
    if settings.max_recordings:
        before = len(chosen)
        chosen = _capped(chosen, settings)
        if len(chosen) < before:
            left.append(f"more than {settings.max_recordings} recordings of a class: {before - len(chosen)} recordings")
    if not chosen:
        raise UserError(f"no recording is left ({'; '.join(left)})")
    return Selection(chosen, left)


def count_samples(recordings: Iterable[Recording]) -> Counter[str]:
    """Count the recordings of each class; of long recordings, its events."""
    return Counter(
        label
        for recording in recordings
        for label in (event.species for event in recording.events)
        if not recording.species
    ) + Counter(recording.species for recording in recordings if recording.species)


def _without(recording: Recording, leaving: set[str]) -> Recording | None:
    """Return a recording without the classes that leave; None where nothing is left of it."""
    if recording.species:
        return None if recording.species in leaving else recording
    events = tuple(event for event in recording.events if event.species not in leaving)
    return replace(recording, events=events) if events else None


def _stay(classes: set[str], settings: Dataset) -> set[str]:
    if settings.class_order == "alphabetical":
        return set(sorted(classes)[: settings.max_classes])
    order = np.random.default_rng((settings.seed, 1)).permutation(np.array(sorted(classes), dtype=object))
    return set(order[: settings.max_classes].tolist())


def _capped(recordings: Sequence[Recording], settings: Dataset) -> list[Recording]:
    names: dict[str, list[str]] = {}
    for recording in recordings:
        names.setdefault(recording.species, []).append(recording.name)
    kept: set[str] = set(names.pop("", []))  # long recordings belong to no class alone
    for label, own in names.items():
        kept |= draw(own, settings.max_recordings, seed=settings.seed, label=f"kept {label}")
    return [recording for recording in recordings if recording.name in kept]


def read_whitelist(path: Path, taxonomy: Taxonomy, *, frequency: float) -> set[str]:
    """Read the species that are wanted, by scientific name.

    Parameters
    ----------
    path : JSON as eBird's frequency lists (`[{"speciesCode": "grekis", "frequency": 70.83}, …]`), a CSV with a column
        of names or codes and perhaps one of frequencies, or a text of one name or code a line (# begins a comment)
    frequency : the least frequency, percent, where the file has frequencies

    Raises
    ------
    UserError
        If it cannot be read, or names no species.
    """
    kind = path.suffix.lower()
    entries = (
        _json_entries(path) if kind == ".json" else _csv_entries(path) if kind in (".csv", ".tsv") else _lines(path)
    )
    if frequency and all(often is None for _, often in entries):
        raise UserError(
            f"{path}: has no frequencies, so that dataset.whitelist_frequency = {frequency:g} does nothing; set it to 0"
        )
    species = {
        taxonomy.species(both_names(name)[0])
        for name, often in entries
        if name and (often is None or often >= frequency)
    }
    if not species:
        raise UserError(f"{path}: names no species{f' with a frequency of {frequency:g} or more' if frequency else ''}")
    return species


def _lines(path: Path) -> list[tuple[str, float | None]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return [(line.split("#")[0].strip(), None) for line in lines]


def _json_entries(path: Path) -> list[tuple[str, float | None]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(entries, list):
        raise UserError(f"{path}: should be a list of species")
    return [_json_entry(entry, path) for entry in entries]


def _json_entry(entry: Any, path: Path) -> tuple[str, float | None]:
    if isinstance(entry, str):
        return entry, None
    if isinstance(entry, Mapping):
        for key in ("speciesCode", "sciName", "comName"):
            if isinstance(entry.get(key), str):
                return entry[key], _frequency(entry.get("frequency"), path)
    raise UserError(
        f"{path}: {str(entry)[:60]} names no species; should be a text, or an object with speciesCode and frequency"
    )


def _csv_entries(path: Path) -> list[tuple[str, float | None]]:
    table = read_foreign(path)
    column = find_column(table.columns, (*SPECIES_COLUMNS, *CODE_COLUMNS, *COMMON_COLUMNS))
    if column is None:
        raise UserError(
            f"{path}: has no column of species, such as scientific_name or species_code; there are {', '.join(table.columns)}"
        )
    refuse_bad_rows(path, table)
    often = find_column(table.columns, ("frequency", "freq"))
    return [
        (row[column].strip(), _frequency(row[often].strip() or None, path) if often else None)
        for row in table.rows.values()
    ]


def _frequency(value: object, path: Path) -> float | None:
    try:
        return None if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: the frequency {str(value)[:20]!r} is no number") from None
