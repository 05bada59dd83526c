"""Ids of the classes in a submission: from a labelset, a table of species, or the archive's metadata."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from utils.console import UserError, warning
from utils.recordings.class_names import read_class_names
from utils.recordings.labels import read_taxonomy
from utils.recordings.recording import plain_label, read_metadata
from utils.scoring.submissions.formats.layout import IdRules, SubmissionLayout, unquotable

CLASSES_LISTED = 5  # classes in a warning


def class_ids(layout: SubmissionLayout, rules: IdRules) -> tuple[str | None, ...]:
    """Return the id of each class; None if it has none and is left out (`warn_of_classes_without_id` warns of it).

    Ids come from `submission.class_ids`, else from metadata/ of the data set. Kaggle's formats name a class without an
    id by its label.

    Raises
    ------
    UserError
        If no class has an id, two have the same, or a file cannot be used.
    """
    path = layout.settings.class_ids
    labels = {_comparable(species): label for species, label in read_class_names(layout.root).labels.items()}
    known = {
        _comparable(labels.get(_comparable(name), name)): code
        for name, code in (
            read_class_ids(path) if path else ids_of_metadata(layout.root / "metadata", layout.classes)
        ).items()
    }
    found: list[str | None] = [known.get(_comparable(label)) or None for label in layout.classes]
    if not rules.quoting:
        found = [code and unquotable(code) for code in found]
    if rules.class_names:
        found = [code or label for code, label in zip(found, layout.classes, strict=True)]
    if layout.classes and not any(found):
        where = (
            f"{path} has ids for none of the {len(found)} classes"
            if path
            else f"{layout.root / 'metadata'} has no class ids"
        )
        raise UserError(
            f"{where}; submission.class_ids should name the labelset file, "
            "or a table of scientific names and class ids; submission.format = csv needs none"
        )
    owners: dict[str, str] = {}
    for label, code in zip(layout.classes, found, strict=True):
        if code is not None and owners.setdefault(code, label) != label:
            raise UserError(
                f"{owners[code]} and {label} have the same class id {code}" + (f" in {path}" if path else "")
            )
    return tuple(found)


def warn_of_classes_without_id(layout: SubmissionLayout, rules: IdRules) -> None:
    """Warn of classes that are left out because they have no id."""
    without = [label for label, code in zip(layout.classes, class_ids(layout, rules), strict=True) if code is None]
    if without:
        warning(
            f"{len(without)} classes have no class id and are left out: "
            f"{', '.join(without[:CLASSES_LISTED])}{', …' if len(without) > CLASSES_LISTED else ''}"
        )


def read_class_ids(path: Path) -> dict[str, str]:
    """Read class ids by scientific name: from a table with columns of both, or from a labelset of 2018.

    `labelset.txt` has one class id per line, and `labelset_sci.txt` beside it the scientific names in the same order;
    `labelset_codes.txt`, with the codes of eBird, works in the same way.

    Raises
    ------
    UserError
        If a file cannot be read or has no names, or the two have different numbers of lines.
    """
    names = _names_beside(path)
    if names is None:
        return {taxon.species: taxon.code for taxon in read_taxonomy(path) if taxon.code}
    codes, species = _labelset_lines(path), _labelset_lines(names)
    if len(codes) != len(species):
        raise UserError(
            f"{path}: has {len(codes)} lines, but {names.name} beside it {len(species)}; "
            "each line should match one there"
        )
    return {name: code for name, code in zip(species, codes, strict=True) if name and code}


def _names_beside(path: Path) -> Path | None:
    bases = (path.stem, path.stem.rsplit("_", 1)[0])
    return next(
        (names for base in bases if (names := path.with_name(f"{base}_sci{path.suffix}")).is_file() and names != path),
        None,
    )


def _labelset_lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8") from None
    while lines and not lines[-1].strip():
        lines.pop()
    return [line.strip() for line in lines]


def ids_of_metadata(folder: Path, classes: Sequence[str], *, key: str = "classid") -> dict[str, str]:
    """Return the most frequent class id of each class in the recordings' JSON files; unreadable files are ignored.

    Parameters
    ----------
    key : of the value; "species": common names
    """
    wanted = {_comparable(label) for label in classes}
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for file in sorted(folder.rglob("*.json")):
        try:
            metadata = read_metadata(file)
        except (OSError, ValueError):
            continue
        name, code = metadata.get("class") or metadata.get("sci-name"), metadata.get(key)
        if isinstance(name, str) and isinstance(code, str) and code.strip() and _comparable(name) in wanted:
            found[name][code.strip()] += 1
    return {name: codes.most_common(1)[0][0] for name, codes in found.items()}


def _comparable(text: str) -> str:
    return plain_label(text).casefold()
