"""Priors: how likely each species is at a recording's place and time; scores are multiplied by factors from a table.

There are two forms of tables, recognised by their content:

- Values per recording, as in the 2018 baseline: a TSV with one row per recording, its file's name and then one value v
  of −1 or more for each species. A first row names the species; without one, `labelset_sci.txt` or `labelset.txt`
  beside the table names them (one name or code per line); without that, they are the classes, sorted.
- eBird frequencies: a table (CSV or TSV) with the columns `species` (or `species_code`, `scientific_name`, …) and
  `frequency` (percent), and optionally `latitude`, `longitude` (degrees) and `week` (1 to 48: four per month, which
  start on the 1st, 8th, 15th and 22nd, as in eBird's bar charts); or the same as JSON, `[{"speciesCode": "grekis",
  "frequency": 70.83, "latitude": -1.3, "longitude": 36.8, "week": 12}, …]`. Rows without a place apply everywhere,
  rows without a week to the whole year. If there are several places, the nearest one is used. The place and date of a
  recording come from `metadata/<recording>.json`; of recordings that are to be predicted, they may also be in
  `submission.places` and in the names of their files (`places.py`).

A species is expected if v ≥ 0, or if eBird has a frequency above 0: its score is multiplied by 1.5. It is less expected
if v < 0 (times 1 + v), or if eBird does not report it (times `testing.prior_unreported`). Recordings and species that
are not in the table keep their scores.

Source: docs/baseline.md, Testing.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from config import Config
from utils import console
from utils.recordings.labels import Taxonomy
from utils.scoring.inference.places import Places
from utils.scoring.inference.prior_frequencies import Frequencies, read_frequencies
from utils.scoring.inference.prior_metadata import MetadataFolder, PlaceAndWeek, read_all_metadata
from utils.tables import csv_rows, find_column, lines_of, not_utf8

EXPECTED = 1.5  # factor for the score of an expected species
LABELSETS = ("labelset_sci.txt", "labelset.txt")

Factors = Float[np.ndarray, " classes"]


def factors_of(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the factors of scores: 1.5 if v ≥ 0, 1 + v if v < 0, and 1 if v is NaN (not in the table).

    Source: docs/baseline.md, Testing.
    """
    return np.where(np.isnan(values), 1.0, np.where(values >= 0, EXPECTED, 1.0 + values))


def uses_places(config: Config) -> bool:
    """Tell whether `testing.prior` is set, and depends on where and when recordings were made.

    Raises
    ------
    UserError
        If the table cannot be read.
    """
    path = config.testing.prior
    return path is not None and (path.suffix.lower() == ".json" or _has_frequencies(path))


def prior_of(
    recordings: pl.DataFrame, classes: Sequence[str], config: Config, *, places: Places | None = None
) -> Callable[[str], Factors] | None:
    """Return a function from a recording's name to the factors of its scores; None if `testing.prior` is not set.

    Parameters
    ----------
    places : where and when recordings were made that are to be predicted; None: as in `metadata/`

    Raises
    ------
    UserError
        If the table cannot be read or used.
    """
    path = config.testing.prior
    if path is None:
        return None
    metadata = read_all_metadata(config.dataset, set(recordings["recording"]))
    if uses_places(config):
        unreported = config.testing.prior_unreported
        return _by_frequency(path, recordings, classes, metadata, places, unreported=unreported)
    return _by_value(path, recordings, classes, metadata.taxonomy)


def _by_frequency(
    path: Path,
    recordings: pl.DataFrame,
    classes: Sequence[str],
    metadata: MetadataFolder,
    places: Places | None,
    *,
    unreported: float,
) -> Callable[[str], Factors]:
    frequencies = read_frequencies(path, metadata.taxonomy)
    absent = sum(label not in frequencies.species for label in classes)
    if absent == len(classes):
        raise console.UserError(
            f"{path}: names none of the {len(classes)} classes; "
            "if it has codes, set dataset.taxonomy to a table of their names"
        )
    if absent:
        console.warning(f"{path}: {absent} of {len(classes)} classes are missing from it; they count as not reported")
    known = {name: (places or Places()).of(name, metadata.places.get(name)) for name in recordings["recording"]}
    _warn_of_unknown(path, frequencies, known.values(), to_predict=places is not None)

    def factors(name: str) -> Factors:
        reported = frequencies.reported(known.get(name))
        return factors_of(
            np.array(
                [np.nan if reported is None else 0.0 if label in reported else unreported - 1.0 for label in classes]
            )
        )

    return factors


def _warn_of_unknown(
    path: Path, frequencies: Frequencies, places: Collection[PlaceAndWeek], *, to_predict: bool
) -> None:
    """Warn of recordings without coordinates or without a date, if the table depends on them."""
    unplaced = sum(frequencies.reported(place) is None for place in places)
    undated = sum(place.week is None for place in places) if frequencies.by_week else 0
    how = (
        "; submission.places may name a table of them"
        if to_predict
        else "; sort_data.py reads them from metadata.csv or sites.csv in the archive"
    )
    if unplaced:
        console.warning(
            f"{path}: {unplaced} of {len(places)} recordings have no coordinates; their scores are not changed{how}"
        )
    if undated:
        console.warning(
            f"{path}: {undated} of {len(places)} recordings have no date; species of any week are expected{how}"
        )


def _by_value(
    path: Path, recordings: pl.DataFrame, classes: Sequence[str], taxonomy: Taxonomy
) -> Callable[[str], Factors]:
    rows = _rows_by_line(path)
    first = next(iter(rows.values()))
    named = not _are_numbers(first[1:])
    species = [
        taxonomy.label(label) for label in (first[1:] if named else _labelset(path, classes, count=len(first) - 1))
    ]
    column_of = {label: index for index, label in enumerate(species)}
    if len(column_of) < len(species):
        raise console.UserError(
            f"{path}: has two columns for {next(label for label in species if species.count(label) > 1)}"
        )
    columns = np.array([column_of.get(label, -1) for label in classes])
    if (columns < 0).all():
        raise console.UserError(f"{path}: names none of the {len(classes)} classes")
    if (columns < 0).any():
        console.warning(
            f"{path}: {(columns < 0).sum()} of {len(classes)} classes are missing from it; their scores are not changed"
        )
    lines = _lines_of_recordings(path, dict(list(rows.items())[named:]), recordings)
    known = {name: _values(path, line, rows[line], count=len(species))[columns] for name, line in lines.items()}
    if len(known) < len(recordings):
        console.warning(
            f"{path}: {len(recordings) - len(known)} of {len(recordings)} recordings are missing from it; "
            "their scores are not changed"
        )
    missing = np.full(len(classes), np.nan)
    return lambda name: factors_of(np.where(columns < 0, np.nan, known.get(name, missing)))


def _has_frequencies(path: Path) -> bool:
    head = _table_lines(path)[:1]
    return (
        bool(head)
        and find_column([cell.strip() for cell in head[0].split(max(",;\t", key=head[0].count))], ("frequency", "freq"))
        is not None
    )


def _table_lines(path: Path) -> list[str]:
    try:
        return lines_of(path.read_bytes())
    except OSError as error:
        raise console.UserError(f"{path}: cannot be read ({error.strerror})") from None


def _rows_by_line(path: Path) -> dict[int, list[str]]:
    """Read the rows of a TSV, by line number."""
    rows: dict[int, list[str]] = {}
    for line, cells in csv_rows(_table_lines(path), separator="\t"):
        if cells is None or not_utf8("".join(cells)):
            raise console.UserError(f"{path} line {line}: {'broken quoting' if cells is None else 'is not UTF-8'}")
        if any(cell.strip() for cell in cells):
            rows[line] = [cell.strip() for cell in cells]
    if not rows or max(map(len, rows.values())) < 2:
        raise console.UserError(
            f"{path}: has no values; it should be a TSV of file names with one value for each species, "
            "or a table with a column frequency"
        )
    return rows


def _are_numbers(cells: Sequence[str]) -> bool:
    try:
        return len([float(cell) for cell in cells]) > 0
    except ValueError:
        return False


def _labelset(path: Path, classes: Sequence[str], *, count: int) -> list[str]:
    for name in LABELSETS:
        file = path.with_name(name)
        if file.is_file():
            labels = [line.strip() for line in _table_lines(file) if line.strip()]
            if len(labels) == count:
                return labels
            raise console.UserError(f"{path}: has {count} values per recording, but {file} has {len(labels)} species")
    if count == len(classes):
        return list(classes)
    raise console.UserError(
        f"{path}: has {count} values per recording for {len(classes)} classes; "
        f"name its species in a first row, or in {LABELSETS[0]} beside it"
    )


def _lines_of_recordings(path: Path, rows: dict[int, list[str]], recordings: pl.DataFrame) -> dict[str, int]:
    """Return the line of each recording, by its name, its file, or the file's name with or without extension."""
    lines: dict[str, int] = {}
    for line, cells in rows.items():
        if cells[0] in lines:
            raise console.UserError(f"{path} line {line}: {cells[0]} is in line {lines[cells[0]]}, too")
        lines[cells[0]] = line
    found = {}
    for name, file in recordings.select("recording", "file").iter_rows():
        for alias in (name, file, Path(file).name, Path(file).stem):
            if alias in lines:
                found[name] = lines[alias]
                break
    return found


def _values(path: Path, line: int, cells: Sequence[str], *, count: int) -> Float[np.ndarray, " species"]:
    if len(cells) != count + 1:
        raise console.UserError(f"{path} line {line}: has {len(cells) - 1} values for {count} species")
    if not _are_numbers(cells[1:]):
        raise console.UserError(f"{path} line {line}: a value is not a number")
    values = np.array([float(cell) for cell in cells[1:]])
    if not (values >= -1).all() or np.isinf(values).any():  # NaN, too
        raise console.UserError(f"{path} line {line}: a value is below −1 or not finite")
    return values
