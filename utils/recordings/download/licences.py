"""Who recorded what, and under which licence: the table beside the sounds."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from utils.console import UserError
from utils.formula_cells import defused
from utils.recordings.download.candidates import SOUNDS
from utils.recordings.recording import Recording
from utils.recordings.xenocanto import read_xenocanto
from utils.tables import read_foreign, write_csv

TABLE = "licences.csv"
UNKNOWN = "not given"
_CREATIVE_COMMONS = re.compile(
    r"(?:https?:)?//(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]{2,20})/(\d\.\d)(?:/.*)?"
)


def write_licences(out: Path) -> list[Recording]:
    """Write licences.csv: a row for each sound in a folder of downloads, also those of earlier calls.

    Cells that a spreadsheet would run as a formula are made texts.

    Returns
    -------
    The recordings in it.
    """
    recordings = read_xenocanto(out / SOUNDS).recordings
    earlier = _earlier_dates(out / TABLE)
    rows = [
        {
            "id": recording.name.removeprefix("XC"),
            "species": recording.species,
            "recordist": recording.author,
            "licence": licence_name(recording.licence),
            "licence_url": _whole(recording.licence),
            "url": _whole(recording.url),
            "downloaded": earlier.get(recording.name.removeprefix("XC")) or _date_of(recording.file),
        }
        for recording in sorted(recordings, key=lambda recording: int(recording.name[2:]))
        if recording.file.is_file()
    ]
    columns = ("id", "species", "recordist", "licence", "licence_url", "url", "downloaded")
    cells = [{column: defused(row[column]) for column in columns} for row in rows]
    write_csv(out / TABLE, pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String)))
    return [recording for recording in recordings if recording.file.is_file()]


def licence_name(address: str) -> str:
    """Return the usual name of a licence's address: 'CC BY-NC-SA 4.0'; others as they are."""
    found = _CREATIVE_COMMONS.fullmatch(address.strip().lower())
    if not found:
        return address.strip() or UNKNOWN
    kind, terms, edition = found.groups()
    if kind == "publicdomain":
        return f"CC0 {edition}" if terms == "zero" else f"Public Domain Mark {edition}"
    return f"CC {terms.upper()} {edition}"


def licence_counts(recordings: Sequence[Recording]) -> str:
    """Return how many recordings have each licence, the most frequent first: '12 CC BY-NC-SA 4.0, 3 CC0 1.0'."""
    counts = Counter(licence_name(recording.licence) for recording in recordings)
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def forbids_derivatives(recording: Recording) -> bool:
    """Tell whether a licence has the term ND."""
    return bool(re.search(r"\bnd\b", licence_name(recording.licence).lower()))


def _whole(address: str) -> str:
    return f"https:{address}" if address.startswith("//") else address


def _date_of(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()


def _earlier_dates(table: Path) -> dict[str, str]:
    """Return when each recording was downloaded, by an earlier table: copies of files are younger."""
    if not table.is_file():
        return {}
    try:
        rows = read_foreign(table, needed=("id", "downloaded")).rows.values()
    except UserError:
        return {}
    return {row["id"]: row["downloaded"] for row in rows if re.fullmatch(r"\d{4}-\d\d-\d\d", row["downloaded"])}
