"""The names of a bird model's classes, in the order of its outputs."""

import csv
import re
from pathlib import Path

from config import External
from utils.console import UserError
from utils.external.model_files import file_of

NAME_COLUMNS = ("sci_name", "scientific_name", "scientific name", "inat2024_fsd50k", "label", "name", "class")
DELIMITERS = ";,\t"


def label_names(external: External, *, classes: int) -> tuple[str, ...]:
    """Return the scientific names of a model's classes.

    They are in `external.labels`, or in the file beside the model that has as many lines: text with a line for each
    class, `Scientific name_Common name` or one name, or CSV with a header.

    Raises
    ------
    UserError
        If there is no such file, or it has another number of names.
    """
    if external.labels is not None:
        names = _read_names(external.labels)
        if len(names) != classes:
            raise UserError(f"{external.labels}: has {len(names)} names, but the model has {classes} classes")
        return names
    file = file_of(external)
    candidates = sorted(path for path in file.parent.glob("*") if path.suffix in (".txt", ".csv"))
    found = {names: path for path in reversed(candidates) if len(names := _names_if_readable(path)) == classes}
    if len(found) > 1:
        files = ", ".join(sorted(path.name for path in found.values()))
        raise UserError(
            f"{file}: {files} beside it name {classes} classes each, but others; set external.labels to the right one"
        )
    if not found:
        raise UserError(
            f"{file}: no file beside it has names for its {classes} classes; set external.labels to that file"
        )
    return next(iter(found))


def _names_if_readable(path: Path) -> tuple[str, ...]:
    """Return the names in a file that may be something else; none if it is no text."""
    try:
        return _read_names(path)
    except UserError:
        return ()


def _read_names(path: Path) -> tuple[str, ...]:
    """Return the names in a file, scientific ones where it has both."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        if path.suffix == ".csv" and lines:
            return _column_of(lines)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as labels ({error})") from None
    return tuple(scientific_name(line) for line in lines)


def _column_of(lines: list[str]) -> tuple[str, ...]:
    """Return the column with the names; the first if none is known by its title."""
    delimiter = max(DELIMITERS, key=lines[0].count)
    header, *rows = csv.reader(lines, delimiter=delimiter)
    titles = [title.strip().lower() for title in header]
    column = next((titles.index(title) for title in NAME_COLUMNS if title in titles), 0)
    return tuple(scientific_name(row[column]) if column < len(row) else "" for row in rows)


def scientific_name(label: str) -> str:
    """Return the scientific name in a label such as `Turdus merula_Eurasian Blackbird`; `Acoustic_guitar` is one."""
    name, _, common = label.partition("_")
    return name.strip() if " " in name or not re.match("[a-z]", common) else label.strip()
