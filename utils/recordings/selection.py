"""Which classes and recordings are used: those on a whitelist, with enough recordings, and up to a maximum number."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from config import Dataset
from utils.console import UserError
from utils.recordings.labels import Taxonomy, read_species_table
from utils.recordings.recording import NOISE, Recording, split_common_name
from utils.recordings.splits import draw_names
from utils.tables import find_column


@dataclass(frozen=True)
class Selection:
    """The recordings that are used.

    Attributes
    ----------
    recordings : the selected ones, without the events of classes that are left out
    left_out : one line for each reason why classes or recordings are left out, with their numbers
    long : names of the long recordings: those that only annotations label
    """

    recordings: list[Recording]
    left_out: list[str]
    long: frozenset[str] = frozenset()


def select_recordings(
    recordings: Sequence[Recording], settings: Dataset, taxonomy: Taxonomy, *, kind: str = ""
) -> Selection:
    """Leave out what the settings exclude; to recordings without birds ('Noise'), only `max_recordings` applies.

    Nothing is left out of long recordings that are all held out: what is not in the classes counts as unknown there,
    not as absent.

    Parameters
    ----------
    kind : of the archive; a value of `dataset.kind`

    Raises
    ------
    UserError
        If nothing is left, or the whitelist cannot be read.
    """
    long = frozenset(recording.name for recording in recordings if is_long(recording, kind))
    if settings.long_recordings not in ("val", "test", "leave") or not long:
        return replace(_select(recordings, settings, taxonomy), long=long)
    others = [recording for recording in recordings if recording.name not in long]
    rest = _select(others, settings, taxonomy) if others else Selection([], [])
    if settings.long_recordings == "leave":
        why = f"long recordings, because dataset.long_recordings = leave: {len(long)} recordings"
        if not others:
            raise UserError(f"no recording is left ({why})")
        return Selection(rest.recordings, [why, *rest.left_out])
    names = long | {recording.name for recording in rest.recordings}
    return Selection([recording for recording in recordings if recording.name in names], rest.left_out, long)


def is_long(recording: Recording, kind: str) -> bool:
    """Tell whether only annotations label a recording, also one in which they say that there are no birds.

    Parameters
    ----------
    kind : of the archive; a value of `dataset.kind`
    """
    without_birds = recording.species == NOISE and kind == "annotations"
    return not recording.species or recording.labelled is not None or without_birds


def _select(recordings: Sequence[Recording], settings: Dataset, taxonomy: Taxonomy) -> Selection:
    chosen, left_out = list(recordings), []

    def keep(wanted: Callable[[str], bool], why: str) -> None:
        nonlocal chosen
        classes = {label for recording in chosen for label in recording.labels}
        excluded = {label for label in classes if label != NOISE and not wanted(label)}
        before = len(chosen)
        chosen = [rest for recording in chosen if (rest := _without_classes(recording, excluded))]
        if excluded:
            left_out.append(f"{why}: {len(excluded)} classes, {before - len(chosen)} recordings")

    if settings.whitelist:
        listed = read_whitelist(settings.whitelist, taxonomy, frequency=settings.whitelist_frequency)
        present = {label for recording in chosen for label in recording.labels}
        keep(lambda label: label in listed, "not on the whitelist")
        if absent := sorted(listed - present):
            some = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
            left_out.append(f"on the whitelist, but without recordings: {len(absent)} species ({some})")
    if settings.min_recordings:
        counts = count_samples(chosen)
        keep(
            lambda label: counts[label] >= settings.min_recordings,
            f"fewer than {settings.min_recordings} recordings or annotations",
        )
    if settings.max_classes:
        drawn = _draw_classes(set(count_samples(chosen)) - {NOISE}, settings)
        keep(lambda label: label in drawn, f"more than {settings.max_classes} classes")
    if settings.max_recordings:
        before = len(chosen)
        chosen = _draw_recordings(chosen, settings)
        if len(chosen) < before:
            left_out.append(
                f"more than {settings.max_recordings} recordings of a class: {before - len(chosen)} recordings"
            )
    if not chosen:
        raise UserError(f"no recording is left ({'; '.join(left_out)})")
    return Selection(chosen, left_out)


def count_samples(recordings: Iterable[Recording]) -> Counter[str]:
    """Count the recordings of each class; of long recordings, the events."""
    return Counter(
        label
        for recording in recordings
        for label in (event.species for event in recording.events)
        if not recording.species
    ) + Counter(recording.species for recording in recordings if recording.species)


def _without_classes(recording: Recording, excluded: set[str]) -> Recording | None:
    """Return a recording without the excluded classes; None if no label is left."""
    if recording.species:
        return None if recording.species in excluded else recording
    events = tuple(event for event in recording.events if event.species not in excluded)
    return replace(recording, events=events) if events else None


def _draw_classes(classes: set[str], settings: Dataset) -> set[str]:
    if settings.class_order == "alphabetical":
        return set(sorted(classes)[: settings.max_classes])
    order = np.random.default_rng((settings.seed, 1)).permutation(np.array(sorted(classes), dtype=object))
    return set(order[: settings.max_classes].tolist())


def _draw_recordings(recordings: Sequence[Recording], settings: Dataset) -> list[Recording]:
    names: dict[str, list[str]] = {}
    for recording in recordings:
        names.setdefault(recording.species, []).append(recording.name)
    drawn: set[str] = set(names.pop("", []))  # long recordings have no single class
    for label, of_class in names.items():
        # the label is part of the seed: it must stay as it is
        drawn |= draw_names(of_class, settings.max_recordings, seed=settings.seed, label=f"kept {label}")
    return [recording for recording in recordings if recording.name in drawn]


def read_whitelist(path: Path, taxonomy: Taxonomy, *, frequency: float) -> set[str]:
    """Read the wanted species, by the names of their classes.

    Parameters
    ----------
    path : JSON in the format of eBird's frequency lists (`[{"speciesCode": "grekis", "frequency": 70.83}, …]`), a CSV
        file with a column of names or codes and an optional one of frequencies, or a text file with one name or code
        per line (# starts a comment)
    frequency : minimum frequency in percent, if the file has frequencies

    Raises
    ------
    UserError
        If it cannot be read, or names no species.
    """
    suffix = path.suffix.lower()
    entries = (
        _json_entries(path)
        if suffix == ".json"
        else _csv_entries(path)
        if suffix in (".csv", ".tsv")
        else _text_entries(path)
    )
    if frequency and all(often is None for _, often in entries):
        raise UserError(
            f"{path}: has no frequencies, but dataset.whitelist_frequency = {frequency:g} needs them; set it to 0"
        )
    species = {
        taxonomy.label(split_common_name(name)[0])
        for name, often in entries
        if name and (often is None or often >= frequency)
    }
    if not species:
        raise UserError(f"{path}: names no species{f' with a frequency of {frequency:g} or more' if frequency else ''}")
    return species


def _text_entries(path: Path) -> list[tuple[str, float | None]]:
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
                return entry[key], _parse_frequency(entry.get("frequency"), path)
    raise UserError(f"{path}: {str(entry)[:60]} names no species; use names, or objects with speciesCode and frequency")


def _csv_entries(path: Path) -> list[tuple[str, float | None]]:
    table, column = read_species_table(path)
    often = find_column(table.columns, ("frequency", "freq"))
    return [
        (row[column].strip(), _parse_frequency(row[often].strip() or None, path) if often else None)
        for row in table.rows.values()
    ]


def _parse_frequency(value: object, path: Path) -> float | None:
    try:
        return None if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: the frequency {str(value)[:20]!r} is not a number") from None
