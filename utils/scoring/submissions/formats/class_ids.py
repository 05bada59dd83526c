"""Ids of the classes in a submission: from a labelset, a table of species, or the archive's metadata."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from utils.console import UserError, warn
from utils.recordings.labels import read_taxonomy
from utils.recordings.recording import read_metadata
from utils.scoring.submissions.formats.sheet import Sheet, unquotable

SHOWN = 5  # classes named in a warning


def class_ids(sheet: Sheet) -> tuple[str | None, ...]:
    """Return the id of each class; None where it has none, and is left out (`say_left_out` says so).

    Taken from `submission.class_ids`, else from metadata/ of the data set. In Kaggle's formats a class that has none is
    called by its name.

    Raises
    ------
    UserError
        If no class has an id, two have the same, or a file cannot be used.
    """
    path = sheet.settings.class_ids
    known = {
        _key(name): code
        for name, code in (
            read_class_ids(path) if path else ids_of_metadata(sheet.root / "metadata", sheet.classes)
        ).items()
    }
    found: list[str | None] = [known.get(_key(label)) or None for label in sheet.classes]
    if sheet.settings.format == "birdclef2018":
        found = [code and unquotable(code) for code in found]
    else:
        found = [code or label for code, label in zip(found, sheet.classes, strict=True)]
    if sheet.classes and not any(found):
        where = (
            f"{path} knows none of the {len(found)} classes"
            if path
            else f"{sheet.root / 'metadata'} knows no class ids"
        )
        raise UserError(
            f"{where}; submission.class_ids should name the labelset file, or a table of scientific names and class ids; submission.format = csv needs none"
        )
    owners: dict[str, str] = {}
    for label, code in zip(sheet.classes, found, strict=True):
        if code is not None and owners.setdefault(code, label) != label:
            raise UserError(
                f"{owners[code]} and {label} have the same class id {code}" + (f" in {path}" if path else "")
            )
    return tuple(found)


def say_left_out(sheet: Sheet) -> None:
    """Warn of classes that have no id."""
    without = [label for label, code in zip(sheet.classes, class_ids(sheet), strict=True) if code is None]
    if without:
        warn(
            f"{len(without)} classes have no class id and are left out: {', '.join(without[:SHOWN])}{', …' if len(without) > SHOWN else ''}"
        )


def read_class_ids(path: Path) -> dict[str, str]:
    """Read class ids by scientific name: from a table with columns of both, or from a labelset of 2018.

    `labelset.txt` holds a class id a line, and `labelset_sci.txt` beside it the scientific names in the same order; so
    do `labelset_codes.txt`, with the codes of eBird, and `labelset_sci.txt`.

    Raises
    ------
    UserError
        If a file cannot be read, has no names, or the two have different numbers of lines.
    """
    names = _names_beside(path)
    if names is None:
        return {taxon.species: taxon.code for taxon in read_taxonomy(path) if taxon.code}
    codes, species = _lines(path), _lines(names)
    if len(codes) != len(species):
        raise UserError(
            f"{path}: has {len(codes)} lines, {names.name} beside it {len(species)}; they should go line by line"
        )
    return {name: code for name, code in zip(species, codes, strict=True) if name and code}


def _names_beside(path: Path) -> Path | None:
    bases = (path.stem, path.stem.rsplit("_", 1)[0])
    return next(
        (names for base in bases if (names := path.with_name(f"{base}_sci{path.suffix}")).is_file() and names != path),
        None,
    )


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.strip() for line in lines]


def ids_of_metadata(folder: Path, classes: Sequence[str]) -> dict[str, str]:
    """Return the class ids that the recordings' JSON files know, of each species the most frequent; files that cannot be read know none."""
    wanted = {_key(label) for label in classes}
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for file in sorted(folder.rglob("*.json")):
        try:
            metadata = read_metadata(file)
        except (OSError, ValueError):
            continue
        name, code = metadata.get("sci-name"), metadata.get("classid")
        if isinstance(name, str) and isinstance(code, str) and code.strip() and _key(name) in wanted:
            found[name][code.strip()] += 1
    return {name: codes.most_common(1)[0][0] for name, codes in found.items()}


def _key(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split())).casefold()
