"""Species by all their names, and which classes are right for a recording."""

import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool

from utils.console import UserError
from utils.recordings.recording import Event, Recording, Taxon, check_label, clean_labels, sings_between
from utils.tables import csv_rows, find_column, lines_of, not_utf8, read_foreign, refuse_bad_rows

# how tables of species call their columns: our own, Kaggle's, eBird's, Zenodo's
SPECIES_COLUMNS = ("scientific_name", "sci_name", "species", "scientific")
CODE_COLUMNS = ("primary_label", "species_code", "species_ebird_code", "ebird_code", "code", "class_id", "classid")
COMMON_COLUMNS = ("common_name", "primary_com_name", "com_name", "vernacular_name", "english_name")


class Taxonomy:
    """The names of species, both ways.

    A text is looked up first among old names, then among scientific names, codes and common names; case and surplus
    spaces do not matter.

    Parameters
    ----------
    taxa : where two share a name, the first has it
    aliases : new names of renamed species, by the old ones; either may be a code

    Raises
    ------
    UserError
        If a name is renamed in a circle.
    """

    def __init__(self, taxa: Iterable[Taxon] = (), aliases: Mapping[str, str] | None = None) -> None:
        known = [taxon for taxon in taxa if taxon.species]
        self._species: dict[str, str] = {}
        for names in (
            [taxon.species for taxon in known],
            [taxon.code for taxon in known],
            [taxon.common_name for taxon in known],
        ):
            for name, taxon in zip(names, known, strict=True):
                if name:
                    self._species.setdefault(_key(name), taxon.species)
        renamed = {old: new for old, new in (aliases or {}).items() if _key(old) != _key(new)}
        for old, new in (aliases or {}).items():
            if old not in renamed:  # only the spelling is new
                self._species.setdefault(_key(new), " ".join(new.split()))
        self._aliases = {
            _key(name): new
            for old, new in renamed.items()
            for name in (old, self._known(old))
            if _key(name) != _key(new)
        }
        for old in self._aliases:
            self.species(old)
        self._taxa: dict[str, Taxon] = {}
        for taxon in known:
            now = self.species(taxon.species)
            self._taxa.setdefault(now, replace(taxon, species=now))

    def _known(self, text: str) -> str:
        return self._species.get(_key(text), " ".join(text.split()))

    def species(self, text: str) -> str:
        """Return the scientific name, as it is now, of a species that is called `text`; the text itself where it is not known."""
        seen: list[str] = []
        while True:
            key = _key(text)
            if key in seen:
                raise UserError(f"{text}: is renamed in a circle ({' → '.join(seen)}); mend the file of aliases")
            seen.append(key)
            if key in self._aliases:
                text = self._aliases[key]
            elif _key(name := self._known(text)) == key:
                return name
            else:
                text = name

    def code(self, species: str) -> str:
        """Return the code of a species that has any of its names; '' where none is known."""
        taxon = self._taxa.get(self.species(species))
        return taxon.code if taxon else ""

    def common_name(self, species: str) -> str:
        """Return the common name of a species that has any of its names; '' where none is known."""
        taxon = self._taxa.get(self.species(species))
        return taxon.common_name if taxon else ""

    def translate(self, recording: Recording) -> Recording:
        """Return a recording whose labels are scientific names.

        Raises
        ------
        ValueError
            If a name cannot be that of a folder.
        """
        species = check_label(self.species(recording.species)) if recording.species else ""
        name = recording.name
        # where classes are folders, the class is part of the name
        if recording.species and name.startswith(recording.species + "/"):
            name = species + name.removeprefix(recording.species)
        return replace(
            recording,
            name=name,
            species=species,
            background=clean_labels((self.species(label) for label in recording.background), without=species),
            events=tuple(_renamed(event, check_label(self.species(event.species))) for event in recording.events),
            class_id=recording.class_id or self.code(species),
            common_name=recording.common_name or self.common_name(species),
        )


def _key(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split())).lower()


def _renamed(event: Event, species: str) -> Event:
    return event if event.species == species else replace(event, species=species)


def read_taxonomy(path: Path) -> list[Taxon]:
    """Read a table of species: a column of scientific names, and columns of codes and common names where there are any.

    Raises
    ------
    UserError
        If it cannot be read, or has no column of scientific names.
    """
    table = read_foreign(path)
    columns = [find_column(table.columns, usual) for usual in (SPECIES_COLUMNS, CODE_COLUMNS, COMMON_COLUMNS)]
    if columns[0] is None:
        raise UserError(
            f"{path}: has no column of scientific names, such as {SPECIES_COLUMNS[0]}; there are {', '.join(table.columns)}"
        )
    refuse_bad_rows(path, table)
    return [
        Taxon(*(" ".join(row[column].split()) if column else "" for column in columns)) for row in table.rows.values()
    ]


def read_aliases(path: Path) -> dict[str, str]:
    """Read a CSV of renamed species: old name, new name; a first line `old,new` is a heading.

    Raises
    ------
    UserError
        If it cannot be read, or a line has not two names.
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


def spellings(labels: Iterable[str]) -> list[list[str]]:
    """Return the labels that differ by upper case, spaces or underscores only, in lists of two or more."""
    alike: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        alike.setdefault(" ".join(re.split(r"[\s_]+", label.casefold())).strip(), []).append(label)
    return [names for names in alike.values() if len(names) > 1]


def labels_between(events: Sequence[Mapping[str, Any]], start: float, end: float) -> list[str]:
    """Return the species that sing between two times (seconds), those that sing longest first; a point in time counts as no length, but counts."""
    sung: dict[str, float] = {}
    for event in events:
        if sings_between((event["start"], event["end"]), start, end):
            sung[event["species"]] = (
                sung.get(event["species"], 0.0) + min(event["end"], end) - max(event["start"], start)
            )
    return sorted(sung, key=lambda species: -sung[species])


def labels_along(events: Sequence[Mapping[str, Any]], starts: Iterable[float], *, length: float) -> Iterator[list[str]]:
    """Yield the species that sing in each of a recording's clips, as `labels_between` says, in one walk along its events.

    Parameters
    ----------
    starts : of the clips, in the order of time
    length : of every clip; all in seconds
    """
    coming = deque(sorted(range(len(events)), key=lambda number: events[number]["start"]))
    # the events that began before the clip ends and did not end before it begins, in the order of `events`
    near: list[int] = []
    for start in starts:
        while coming and events[coming[0]]["start"] < start + length:
            near.append(coming.popleft())
        near = sorted(number for number in near if events[number]["end"] >= start)
        yield labels_between([events[number] for number in near], start, start + length)


def truth_of(
    recordings: pl.DataFrame, classes: Sequence[str], *, background: bool
) -> Bool[np.ndarray, "recordings classes"]:
    """Tell which classes are right for each recording: its own, those of its events, and, where asked for, those in its background.

    Parameters
    ----------
    recordings : has the columns `class` and `background`, and `events` where there are any; labels that are not among
        `classes` are right for nothing
    """
    number = {label: index for index, label in enumerate(classes)}
    truth = np.zeros((len(recordings), len(classes)), bool)
    events = recordings["events"].to_list() if "events" in recordings.columns else [[]] * len(recordings)
    for row, ((own, others), heard) in enumerate(
        zip(recordings.select("class", "background").iter_rows(), events, strict=True)
    ):
        for label in [own, *(event["species"] for event in heard), *(others if background else [])]:
            if label in number:
                truth[row, number[label]] = True
    return truth
