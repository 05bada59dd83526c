"""Names of species in all their forms, and the ground truth: which classes are correct for a recording or clip."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool

from utils.console import UserError
from utils.recordings.recording import Event, Recording, Taxon, check_label, clean_labels, event_overlaps, plain_label
from utils.tables import ForeignTable, csv_rows, find_column, lines_of, not_utf8, read_foreign, refuse_bad_rows

# names of columns in tables of species: our own, Kaggle's, eBird's, Zenodo's
SPECIES_COLUMNS = ("scientific_name", "sci_name", "species", "scientific")
CODE_COLUMNS = ("primary_label", "species_code", "species_ebird_code", "ebird_code", "code", "class_id", "classid")
COMMON_COLUMNS = ("common_name", "primary_com_name", "com_name", "vernacular_name", "english_name")


class Taxonomy:
    """Translates between scientific names, codes and common names of species.

    A name is looked up first among old names, then among scientific names, codes and common names; case and extra
    spaces do not matter.

    Parameters
    ----------
    taxa : if two have the same name, it belongs to the first
    aliases : old names of species, each with its new name; either may be a code
    labels : names of classes that are not the scientific name, by that

    Raises
    ------
    UserError
        If the aliases contain a cycle.
    """

    def __init__(
        self,
        taxa: Iterable[Taxon] = (),
        aliases: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        known = [taxon for taxon in taxa if taxon.species]
        self._species: dict[str, str] = {}
        for names in (
            [taxon.species for taxon in known],
            [taxon.code for taxon in known],
            [taxon.common_name for taxon in known],
        ):
            for name, taxon in zip(names, known, strict=True):
                if name:
                    self._species.setdefault(_lookup_key(name), taxon.species)
        for species, label in (labels or {}).items():
            self._species.setdefault(_lookup_key(label), species)
        renamed = {old: new for old, new in (aliases or {}).items() if _lookup_key(old) != _lookup_key(new)}
        for old, new in (aliases or {}).items():
            if old not in renamed:  # only the spelling is new
                self._species.setdefault(_lookup_key(new), " ".join(new.split()))
        self._aliases = {
            _lookup_key(name): new
            for old, new in renamed.items()
            for name in (old, self._known_species(old))
            if _lookup_key(name) != _lookup_key(new)
        }
        for old in self._aliases:
            self.species(old)
        self._taxa: dict[str, Taxon] = {}
        for taxon in known:
            present = self.species(taxon.species)
            self._taxa.setdefault(present, replace(taxon, species=present))
        self._labels = {self.species(species): label for species, label in (labels or {}).items()}

    def _known_species(self, text: str) -> str:
        return self._species.get(_lookup_key(text), plain_label(text))

    def species(self, text: str) -> str:
        """Return the current scientific name of a species, for any of its names; `text` itself if it is not known."""
        seen: list[str] = []
        while True:
            key = _lookup_key(text)
            if key in seen:
                raise UserError(f"{text}: the aliases contain a cycle ({' → '.join(seen)}); remove one of them")
            seen.append(key)
            if key in self._aliases:
                text = self._aliases[key]
            elif _lookup_key(name := self._known_species(text)) == key:
                return name
            else:
                text = name

    def label(self, text: str) -> str:
        """Return the name of a species' class, for any of its names: its current scientific name, or its label."""
        species = self.species(text)
        return self._labels.get(species, species)

    def code(self, species: str) -> str:
        """Return the code of a species, for any of its names; '' if none is known."""
        taxon = self._taxa.get(self.species(species))
        return taxon.code if taxon else ""

    def common_name(self, species: str) -> str:
        """Return the common name of a species, for any of its names; '' if none is known."""
        taxon = self._taxa.get(self.species(species))
        return taxon.common_name if taxon else ""

    def translate(self, recording: Recording) -> Recording:
        """Return a recording with the names of classes as labels.

        Raises
        ------
        ValueError
            If a label cannot be the name of a folder.
        """
        known = recording.scientific_name or recording.species
        species, scientific = (check_label(self.label(known)), check_label(self.species(known))) if known else ("", "")
        name = recording.name
        # of class folders, the class is part of the name
        if recording.species and name.startswith(recording.species + "/"):
            name = species + name.removeprefix(recording.species)
        return replace(
            recording,
            name=name,
            species=species,
            scientific_name=scientific if scientific != species else "",
            background=clean_labels((self.label(label) for label in recording.background), without=species),
            events=tuple(_with_species(event, check_label(self.label(event.species))) for event in recording.events),
            class_id=recording.class_id or self.code(species),
            common_name=recording.common_name or self.common_name(species),
        )


def _lookup_key(text: str) -> str:
    return plain_label(text).lower()


def _with_species(event: Event, species: str) -> Event:
    return event if event.species == species else replace(event, species=species)


def read_taxonomy(path: Path) -> list[Taxon]:
    """Read a table of species: a column of scientific names, and optional columns of codes and common names.

    Raises
    ------
    UserError
        If it cannot be read, or has no column of scientific names.
    """
    table = read_foreign(path)
    columns = [find_column(table.columns, usual) for usual in (SPECIES_COLUMNS, CODE_COLUMNS, COMMON_COLUMNS)]
    if columns[0] is None:
        raise UserError(
            f"{path}: has no column of scientific names, such as {SPECIES_COLUMNS[0]}; "
            f"its columns are {', '.join(table.columns)}"
        )
    refuse_bad_rows(path, table)
    return [
        Taxon(*(" ".join(row[column].split()) if column else "" for column in columns)) for row in table.rows.values()
    ]


def read_aliases(path: Path) -> dict[str, str]:
    """Read a CSV file of renamed species: old name, new name; a first line `old,new` is a header.

    Raises
    ------
    UserError
        If it cannot be read, or a line does not have two names.
    """
    try:
        lines = lines_of(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    aliases: dict[str, str] = {}
    for number, row in csv_rows(lines, separator=","):
        names = [" ".join(cell.split()) for cell in (["broken quoting"] if row is None else row)] or [""]
        if (
            not any(names)
            or names[0].startswith("#")
            or (number == 1 and [name.lower() for name in names] == ["old", "new"])
        ):
            continue
        if len(names) != 2 or not all(names) or not_utf8("".join(names)):
            raise UserError(f"{path} line {number}: should be an old name, a comma, and a new name, in UTF-8")
        aliases[names[0]] = names[1]
    return aliases


def read_species_table(path: Path) -> tuple[ForeignTable, str]:
    """Read a table of species for this toolkit, such as a whitelist; return it and its column of names or codes.

    Raises
    ------
    UserError
        If it cannot be read, has a bad row, or lacks such a column.
    """
    table = read_foreign(path)
    column = find_column(table.columns, (*SPECIES_COLUMNS, *CODE_COLUMNS, *COMMON_COLUMNS))
    if column is None:
        raise UserError(
            f"{path}: has no column of species, such as scientific_name or species_code; "
            f"its columns are {', '.join(table.columns)[:200]}"
        )
    refuse_bad_rows(path, table)
    return table, column


def spelling_variants(labels: Iterable[str]) -> list[list[str]]:
    """Return lists of labels that differ only by case, spaces, underscores or dots at the end."""
    alike: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        alike.setdefault(" ".join(re.split(r"[\s_]+", label.casefold())).strip(" ."), []).append(label)
    return [names for names in alike.values() if len(names) > 1]


def labels_between(events: Sequence[Mapping[str, Any]], start: float, end: float) -> list[str]:
    """Return the species annotated between two times (seconds), by descending duration; a point in time has none."""
    duration: dict[str, float] = {}
    for event in events:
        if event_overlaps((event["start"], event["end"]), start, end):
            overlap = min(event["end"], end) - max(event["start"], start)
            duration[event["species"]] = duration.get(event["species"], 0.0) + overlap
    return sorted(duration, key=lambda species: -duration[species])


def labels_of_clips(
    events: Sequence[Mapping[str, Any]], starts: Iterable[float], *, length: float
) -> Iterator[list[str]]:
    """Yield `labels_between` for each clip of a recording, in one pass over its events.

    Parameters
    ----------
    starts : of the clips, ascending, in seconds
    length : of every clip, in seconds
    """
    later = deque(sorted(range(len(events)), key=lambda index: events[index]["start"]))
    current: list[int] = []  # events that may overlap the clip, in the order of `events`
    for start in starts:
        while later and events[later[0]]["start"] < start + length:
            current.append(later.popleft())
        current = sorted(index for index in current if events[index]["end"] >= start)
        yield labels_between([events[index] for index in current], start, start + length)


def ground_truth(
    recordings: pl.DataFrame, classes: Sequence[str], *, background: bool
) -> Bool[np.ndarray, "recordings classes"]:
    """Return which classes are correct for each recording: primary species, species of events, and background species.

    Parameters
    ----------
    recordings : with columns `class`, `background` and, optionally, `events`; labels that are not in `classes` are
        ignored
    background : whether background species are correct
    """
    index = {label: column for column, label in enumerate(classes)}
    truth = np.zeros((len(recordings), len(classes)), bool)
    events = recordings["events"].to_list() if "events" in recordings.columns else [[]] * len(recordings)
    for row, ((primary, others), annotated) in enumerate(
        zip(recordings.select("class", "background").iter_rows(), events, strict=True)
    ):
        for label in [primary, *(event["species"] for event in annotated), *(others if background else [])]:
            if label in index:
                truth[row, index[label]] = True
    return truth
