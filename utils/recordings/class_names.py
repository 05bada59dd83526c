"""Names of classes that are not scientific names but codes or common names, and their table, metadata/classes.csv.

The 2018 BirdCLEF baseline says of its classes: "you can use any class name, the class ID would be equally good".
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from config import Dataset
from utils import console
from utils.recordings.labels import Taxonomy
from utils.recordings.recording import NOISE, Recording, Taxon, check_label, plain_label
from utils.tables import read_foreign, refuse_bad_rows, write_csv

NAMED_BY = {"code": "code", "common_name": "common name"}  # value of dataset.label: in words
CLASSES_TABLE = "classes.csv"  # in metadata/
CLASSES_COLUMNS = ("class", "scientific_name", "code", "common_name")
KEPT_LISTED = 3  # species in one line
_DROPPED = " ."  # at the end of a folder's name, Windows leaves these out


@dataclass(frozen=True)
class ClassNames:
    """How classes are named.

    Attributes
    ----------
    labels : the name of each class that is not a scientific name, by that
    taxa : the names of these species
    shared : species whose name belongs to another species, too
    unusable : species whose name cannot be the name of a folder
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    taxa: Sequence[Taxon] = ()
    shared: frozenset[str] = frozenset()
    unusable: frozenset[str] = frozenset()


def name_classes(taxa: Sequence[Taxon], taxonomy: Taxonomy, *, by: Literal["code", "common_name"]) -> ClassNames:
    """Name classes by codes or common names; species without a usable one keep their scientific names.

    Parameters
    ----------
    taxa : names of species; of several names of one species, the first counts
    taxonomy : without labels
    """
    names: dict[str, str] = {}
    for taxon in taxa:
        name = plain_label(taxon.code if by == "code" else taxon.common_name).rstrip(_DROPPED)
        if taxon.species and name:
            names.setdefault(taxonomy.species(taxon.species), name)
    species = {taxonomy.species(taxon.species) for taxon in taxa if taxon.species}
    owners = Counter(_folder(name) for name in names.values())
    taken = {_folder(one) for one in species}
    shared = {
        one for one, name in names.items() if owners[_folder(name)] > 1 or _folder(name) in taken - {_folder(one)}
    }
    unusable = {one for one, name in names.items() if not _can_be_label(name)} - shared
    labels = {one: name for one, name in names.items() if one not in shared | unusable and name != one}
    return ClassNames(labels, tuple(taxa), frozenset(shared), frozenset(unusable))


def _folder(name: str) -> str:
    """Return a name as some file systems compare it."""
    return plain_label(name).rstrip(_DROPPED).casefold()


def _can_be_label(name: str) -> bool:
    try:
        return check_label(name) == name and name != NOISE
    except ValueError:
        return False


def taxa_of_recordings(recordings: Iterable[Recording]) -> list[Taxon]:
    """Return the names of species in the metadata of recordings, the most frequent first."""
    counts = Counter(
        Taxon(one.scientific_name or one.species, one.class_id, one.common_name) for one in recordings if one.species
    )
    return [taxon for taxon, _ in counts.most_common()]


def warn_of_class_names(names: ClassNames, recordings: Sequence[Recording], settings: Dataset) -> None:
    """Warn of species that keep their scientific names, in one line for each reason."""
    if settings.label == "species":
        return
    classes = {label for one in recordings for label in one.labels} - {NOISE}
    codes = {one.class_id for one in recordings if settings.label == "code"}
    kept = classes - set(names.labels.values())
    what, setting = NAMED_BY[settings.label], f"dataset.label = {settings.label}"
    missing = kept - names.shared - names.unusable - codes
    for species, why in (
        (missing, f"have no {what}; dataset.taxonomy may name a table that has"),
        (kept & names.shared, f"have a {what} that is a name of another species, too"),
        (kept & names.unusable, f"have a {what} that cannot be the name of a folder"),
    ):
        if species:
            some = ", ".join(sorted(species)[:KEPT_LISTED]) + (", …" if len(species) > KEPT_LISTED else "")
            console.warning(
                f"{setting}: {len(species):,} of {len(classes):,} species keep their names: they {why} ({some})"
            )


def write_class_names(root: Path, table: pl.DataFrame, taxonomy: Taxonomy, settings: Dataset) -> None:
    """Write `metadata/classes.csv`, by which later stages find the classes for names of species, if they need it.

    Parameters
    ----------
    table : the split
    """
    path = root / "metadata" / CLASSES_TABLE
    if settings.label == "species":
        if path.is_file() and path.read_bytes().startswith(",".join(CLASSES_COLUMNS).encode()):  # of an earlier sort
            path.unlink()
        return
    events = table.select(pl.col("events").explode().struct.field("species")).to_series()
    labels = {*table["class"], *events, *table["background"].explode()} - {"", None, NOISE}
    rows = [
        (label, taxonomy.species(label), taxonomy.code(label), taxonomy.common_name(label)) for label in sorted(labels)
    ]
    write_csv(path, pl.DataFrame(rows, schema=dict.fromkeys(CLASSES_COLUMNS, pl.String()), orient="row"))


def read_class_names(root: Path) -> ClassNames:
    """Read the names of classes of a data set; none if they are scientific names.

    Raises
    ------
    UserError
        If the table cannot be read.
    """
    path = root / "metadata" / CLASSES_TABLE
    if not path.is_file():
        return ClassNames()
    table = read_foreign(path, needed=CLASSES_COLUMNS, separators=",")
    refuse_bad_rows(path, table)
    rows = [{name: " ".join(text.split()) for name, text in row.items()} for row in table.rows.values()]
    taxa = tuple(Taxon(row["scientific_name"], row["code"], row["common_name"]) for row in rows)
    labels = {row["scientific_name"]: row["class"] for row in rows if row["class"] != row["scientific_name"]}
    return ClassNames({species: label for species, label in labels.items() if species and label}, taxa)
