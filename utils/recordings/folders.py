"""Reader of plain folders: one folder a class, either directly in the archive or divided into `train/`, `val/` and `test/`.

More may be known of the recordings: a data set that the 2018 baseline sorted has `metadata/<recording>.json` files, and
a table `metadata.csv` or `recordings.csv` in the archive may name each file (column `file`) with its author, date,
time, place, background species, and so on.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.console import Failure, UserError
from utils.recordings.audio_files import below, check_readable, is_sound, walk
from utils.recordings.labels import SPECIES_COLUMNS
from utils.recordings.names import plain_name
from utils.recordings.recording import (
    NOISE,
    SIDES,
    Contents,
    Recording,
    Side,
    Taxon,
    absent_in,
    both_names,
    clean_labels,
    degrees,
    from_metadata,
    label_of_folder,
    read_metadata,
    several_in,
)
from utils.tables import ForeignTable, find_column, read_foreign, reason_of

SIDE_NAMES: Mapping[Side, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
TABLES = ("metadata.csv", "recordings.csv")
_COLUMNS: Mapping[str, tuple[str, ...]] = {  # attributes of a recording, by the names of columns
    "author": ("author", "recordist", "rec"),
    "date": ("date",),
    "time": ("time",),
    "locality": ("locality", "location", "site", "place"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lng", "lon"),
    "elevation": ("elevation", "altitude"),
    "quality": ("quality", "rating"),
    "licence": ("licence", "license"),
    "url": ("url",),
    "comments": ("comments", "remarks"),
    "common_name": ("common_name",),
    "class_id": ("class_id", "code"),
    "background": ("background", "background_species", "secondary_labels"),
}


def sides_of(archive: Path, gone: Sequence[Path] = ()) -> dict[Side, Path]:
    """Return the folders of an archive that came divided: `train/` and at least one of `val/` and `test/`, in any case or `valid`, …; else nothing.

    Parameters
    ----------
    gone : files that were in the archive, and were moved
    """
    there = sorted(child.name for child in archive.iterdir() if child.is_dir()) if archive.is_dir() else []
    there += [file.relative_to(archive).parts[0] for file in gone if file.is_relative_to(archive)]
    sides: dict[Side, Path] = {}
    for side in SIDES:
        names = [name for name in (*SIDE_NAMES[side], *there) if name in there and name.lower() in SIDE_NAMES[side]]
        sides |= {side: archive / names[0]} if names else {}
    return sides if "train" in sides and len(sides) > 1 else {}


def read_folders(archive: Path, gone: Sequence[Path] = ()) -> Contents:
    """Read the classes and recordings of an archive of folders; each recording has its side where the archive is divided.

    Recordings may be called alike, as `1.wav` and `1.mp3` of one class.

    Parameters
    ----------
    gone : files that were in the archive, and were moved
    """
    sides = sides_of(archive, gone)
    tables = _read_tables(archive)
    places: list[tuple[Side | None, Path]] = [*sides.items()] or [(None, archive)]
    found = [_read_place(archive, folder, side, gone, tables.rows) for side, folder in places]
    recordings = sorted(
        (recording for place in found for recording in place.recordings), key=lambda recording: recording.name
    )
    failures = [failure for place in found for failure in place.failures] + tables.failures
    noise = sorted({folder for place in found for folder in place.noise})
    form = f"folders of classes, {'divided into ' + ', '.join(sides) if sides else 'undivided'}"
    form += f"; {', '.join(noise)} as {NOISE}" if noise else ""
    seen = frozenset().union(tables.seen, (archive / "metadata").rglob("*.json"), *(place.sounds for place in found))
    return Contents(form, recordings, failures, _taxa(recordings), seen, tuple(sides.values()))


@dataclass(frozen=True)
class _Place:
    """What lies in the classes' folders of one side.

    Attributes
    ----------
    sounds : all of them, used or not
    noise : folders without birds that are not called so
    """

    recordings: list[Recording]
    failures: list[Failure]
    sounds: frozenset[Path]
    noise: frozenset[str]


def _read_place(
    archive: Path, folder: Path, side: Side | None, gone: Sequence[Path], rows: Mapping[str, Mapping[str, str]]
) -> _Place:
    looked = walk(folder)
    moved = [file for file in gone if file.is_relative_to(folder)]
    sounds = sorted({*(file for file in looked.files if is_sound(file)), *moved})
    recordings, noise, absent = [], set[str](), Counter[str]()
    twice = [link for link in looked.again if link.parent == folder]
    failures = [
        Failure(
            _below(link, archive), f"is a link to {link.resolve()}, whose recordings are read already, as another class"
        )
        for link in twice
    ]
    for file in sounds:
        first, *rest = file.relative_to(folder).parts
        path = _below(file, archive)
        try:
            if not rest:
                raise ValueError("lies in no class's folder")
            if absent_in(first):
                absent[first] += 1
                continue
            recording = _recording(file, archive=archive, folder=folder, side=side)
            noise |= {first} if recording.species == NOISE and first.lower() != NOISE.lower() else set()
            recordings.append(_with_row(recording, rows[path]) if path in rows else recording)
        except (ValueError, OSError) as error:
            failures.append(Failure(path, str(error)))
    failures += [
        Failure(_below(folder / name, archive), _ABSENT.format(count=count, species=absent_in(name)))
        for name, count in absent.items()
    ]
    return _Place(recordings, failures, frozenset(sounds), frozenset(noise))


_ABSENT = "{count} recordings without {species}, as the minus says, of which nothing is learned; those without any bird may go into a folder Noise"


def _taxa(recordings: Sequence[Recording]) -> list[Taxon]:
    """Return the common names that stand in folders' names."""
    return [
        Taxon(species, common_name=name)
        for species, name in dict.fromkeys((one.species, one.common_name) for one in recordings if one.common_name)
    ]


def _below(file: Path, archive: Path) -> str:
    return file.relative_to(archive).as_posix()


def _recording(file: Path, *, archive: Path, folder: Path, side: Side | None) -> Recording:
    check_readable(file)
    first, *rest = file.relative_to(folder).parts
    species, *others = (label_of_folder(part) for part in several_in(first))
    name = "/".join([species, *(plain_name(part) for part in rest[:-1]), plain_name(file.stem)])
    if any(part.endswith(".json") for part in (species, *rest[:-1])):
        raise ValueError("lies in a folder whose name ends in .json, as the metadata of a recording does")
    # ours, and the 2018 baseline's
    for metadata in (archive / "metadata" / f"{name}.json", archive / "metadata" / f"{file.stem}.json"):
        if metadata.is_file():
            # the JSON may be of another sort
            known = {**read_metadata(metadata), "sci-name": species, "moved_from": ""}
            return from_metadata(known, name=name, file=file, side=side)
    common_name = both_names(several_in(first)[0])[1]
    return Recording(
        name=name,
        file=file,
        species=species,
        background=clean_labels(others, without=species),
        side=side,
        common_name=common_name,
    )


@dataclass(frozen=True)
class _Tables:
    """What the archive's tables say of its files, by their paths, what of them cannot be used, and which they are."""

    rows: dict[str, dict[str, str]]
    failures: list[Failure]
    seen: frozenset[Path]


def _read_tables(archive: Path) -> _Tables:
    """Read the archive's tables, in whichever case their names are written; those without a column of files are not ours."""
    there = sorted(file for file in archive.iterdir() if file.is_file()) if archive.is_dir() else []
    known: dict[str, dict[str, str]] = {}
    failures, seen = [], set[Path]()
    for path in (file for name in TABLES for file in there if file.name.lower() == name):
        try:
            table = read_foreign(path, ragged=True)
        except UserError as error:
            failures.append(Failure(path.name, reason_of(error, path)))
            seen.add(path)
            continue
        if files := find_column(table.columns, ("file", "filename", "path")):
            rows, faults = _read_table(table, files, archive)
            for name, row in rows.items():
                known[name] = known.get(name, {}) | row
            failures += [*(Failure(path.name, fault) for fault in faults), *table.bad]
            seen.add(path)
    return _Tables(known, failures, frozenset(seen))


def _read_table(table: ForeignTable, files: str, archive: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return what a table says of files, by their paths, and what of it cannot be used; `files` is its column of paths."""
    columns = {name: column for name, usual in _COLUMNS.items() if (column := find_column(table.columns, usual))}
    said = [
        (_tidy(row[files]), {name: text for name, column in columns.items() if (text := row[column].strip())})
        for row in table.rows.values()
    ]
    found, unlike = _joined(said)
    absent = {name: None for name in found if not _is_there(name, archive)}  # in their order
    faults = []
    if len(absent) == len(found):
        faults.append(f"names no file of the archive ({files} should be a path in it, such as 'Turdus merula/1.wav')")
    elif absent:
        faults.append(
            f"{len(absent)} of its {len(found)} rows name files that are not there, such as {next(iter(absent))!r}"
        )
    species, sides = find_column(table.columns, SPECIES_COLUMNS), {folder.name for folder in sides_of(archive).values()}
    labels = [(_tidy(row[files]), row[species].strip()) for row in table.rows.values()] if species else []
    other = [
        f"{label!r} of {name!r}"
        for name, label in labels
        if name not in absent and _is_of_another(name, label, archive, sides)
    ]
    nowhere = [f"{fault} of {name!r}" for name, row in said if name not in absent and (fault := _coordinates(row)[1])]
    for reason, some in ((_UNLIKE, unlike), (_ANOTHER, other), (_NOWHERE, nowhere)):
        faults += (
            [reason.format(count=f"{len(some)} {'row' if len(some) == 1 else 'rows'}", example=some[0])] if some else []
        )
    return found, faults


_UNLIKE = "{count} of files that it names already, and differently; the first counts, such as for {example}"
_ANOTHER = "{count} with another species than the folder, which counts, such as {example}"
_NOWHERE = "{count} with coordinates that cannot be used (they should be degrees, as 52.5 and 13.4), such as {example}"


def _joined(rows: Iterable[tuple[str, dict[str, str]]]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return what the rows of each file say together, the background of all, and the first of what else differs; and in which rows it does."""
    found: dict[str, dict[str, str]] = {}
    unlike = []
    for name, row in rows:
        before = found.setdefault(name, {})
        backgrounds = [text for text in (before.get("background"), row.get("background")) if text]
        unlike += [
            f"the {kind} of {name!r}"
            for kind, text in row.items()
            if kind != "background" and before.get(kind, text) != text
        ][:1]
        found[name] = row | before | ({"background": ";".join(dict.fromkeys(backgrounds))} if backgrounds else {})
    return found, unlike


def _is_of_another(path: str, label: str, archive: Path, sides: Collection[str]) -> bool:
    """Tell whether a table says another species of a file than its folder: both are binomials, or there is a folder of that name, too."""
    parts = path.split("/")
    top, parts = (archive / parts[0], parts[1:]) if parts[0] in sides else (archive, parts)
    try:
        own, said = {label_of_folder(part) for part in several_in(parts[0])}, label_of_folder(label)
    except ValueError:
        return False
    if not label or NOISE in own or said.casefold() in {name.casefold() for name in own}:
        return False
    binomials = [re.fullmatch(r"[A-Z][a-z]+ [a-z-]+\b", " ".join(name.split()[:2])) for name in (said, *own)]
    alike = any(name.split()[:2] == said.split()[:2] for name in own)
    return (all(binomials) and not alike) or (top / label).is_dir()


def _coordinates(row: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return latitude and longitude as far as a row says them, and, where they cannot be used or one is missing, what it says; else ''."""
    said = {name: text for name in _LIMITS if (text := row.get(name, "")).lower() not in _UNSAID}
    found = {name: degrees(text.replace(",", "."), limit=_LIMITS[name]) for name, text in said.items()}
    faulty = bool(said) and (len(said) < len(_LIMITS) or None in found.values())
    return found, repr(", ".join(said.values())) if faulty else ""


_LIMITS = {"latitude": 90.0, "longitude": 180.0}
_UNSAID = frozenset({"", "-", "na", "n/a", "nan", "none", "null", "unknown"})


def _is_there(path: str, archive: Path) -> bool:
    """Tell whether a table's path leads to a file below the archive; it may be endless, or lead elsewhere."""
    try:
        return below(archive, path).is_file()
    except (OSError, ValueError):
        return False


def _tidy(path: str) -> str:
    return path.strip().replace("\\", "/").removeprefix("./")


def _with_row(recording: Recording, row: Mapping[str, str]) -> Recording:
    """Return a recording with what a table says of it; its class is its folder's."""
    background = clean_labels(re.findall(r"[^\[\]'\",;|]+", row.get("background", "")), without=recording.species)
    texts: dict[str, Any] = {name: text for name, text in row.items() if name not in ("background", *_LIMITS)}
    return dataclasses.replace(
        recording, background=background or recording.background, **_coordinates(row)[0], **texts
    )
