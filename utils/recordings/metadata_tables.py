"""Tables with the metadata of recordings or of sites: their columns, and what their rows say of a recording."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from utils.console import warning
from utils.recordings.recording import Recording, clean_labels, degrees
from utils.tables import ForeignTable, find_column

TABLE_NAMES = ("metadata.csv", "recordings.csv", "sites.csv")
RECORDING_COLUMNS = ("recording", "file", "filename", "sound_file", "audio_file", "path", "file_path")
SITE_COLUMNS = ("site", "site_id", "site_name", "station", "locality", "location", "place")
METADATA_COLUMNS: Mapping[str, tuple[str, ...]] = {  # attributes of a recording, with the names of their columns
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
_OF_SITES = (
    "author",
    "elevation",
    "quality",
    "licence",
)  # besides coordinates: what holds for all recordings of a site
_LIMITS = {"latitude": 90.0, "longitude": 180.0}  # degrees
_MISSING_VALUES = frozenset({"", "-", "na", "n/a", "nan", "none", "null", "unknown"})
_CONFLICT = (
    "{count} for a {what} that an earlier row describes differently; the first row is used, such as for {example}"
)
_BAD_COORDINATES = (
    "{count} with coordinates that cannot be used (they should be degrees, as 52.5 and 13.4), such as {example}"
)
_BAD_DATES = "{count} with a date that cannot be used (it should be as 2023-06-15), such as {example}"

FileMetadata = dict[str, str]  # of one file or site: attributes of a recording, as text


@dataclass(frozen=True)
class MetadataRows:
    """The rows of a table, in their order: each with the name of a recording or of a site, and what it says."""

    recordings: list[tuple[str, FileMetadata]]
    sites: list[tuple[str, FileMetadata]]


def metadata_rows(table: ForeignTable, recordings: str | None, sites: str | None) -> MetadataRows:
    """Return the rows of a table; those without the name of a recording are of a site.

    Parameters
    ----------
    recordings, sites : the columns with their names, if there are such
    """
    columns = {
        name: column for name, usual in METADATA_COLUMNS.items() if (column := find_column(table.columns, usual))
    }
    columns |= {"locality": sites} if sites else {}
    found = MetadataRows([], [])
    for row in table.rows.values():
        values = {name: text for name, column in columns.items() if (text := row[column].strip())}
        name, site = (row[column].strip() if column else "" for column in (recordings, sites))
        if recordings and (name or not site):
            found.recordings.append((name, values))
        elif site:
            found.sites.append((site, values))
    return found


def merge_rows(rows: Iterable[tuple[str, FileMetadata]]) -> tuple[dict[str, FileMetadata], list[str]]:
    """Merge the rows of each file: the background of all, of other metadata the first; and name rows that differ."""
    found: dict[str, FileMetadata] = {}
    conflicts = []
    for name, row in rows:
        earlier = found.setdefault(name, {})
        backgrounds = [text for text in (earlier.get("background"), row.get("background")) if text]
        conflicts += [
            f"the {key} of {name!r}"
            for key, text in row.items()
            if key != "background" and earlier.get(key, text) != text
        ][:1]
        found[name] = row | earlier | ({"background": ";".join(dict.fromkeys(backgrounds))} if backgrounds else {})
    return found, conflicts


def merge_sites(rows: Iterable[tuple[str, FileMetadata]]) -> tuple[dict[str, FileMetadata], list[str]]:
    """Merge the rows of each site, by `site_key`; and name rows that differ."""
    kept = (*_LIMITS, *_OF_SITES)
    return merge_rows((site_key(name), {key: row[key] for key in kept if key in row}) for name, row in rows)


def site_key(name: str) -> str:
    """Return the name of a site without regard to upper and lower case."""
    return " ".join(name.split()).casefold()


def conflict_problems(conflicts: Sequence[str], what: str = "file") -> list[str]:
    """Return in one message that rows differ; none if there are none."""
    return counted_problem(_CONFLICT, conflicts, what=what)


def coordinate_problems(rows: Iterable[tuple[str, FileMetadata]]) -> list[str]:
    """Return in one message that coordinates cannot be used; none if all can."""
    bad = [f"{text} of {name!r}" for name, row in rows if (text := parse_coordinates(row)[1])]
    return counted_problem(_BAD_COORDINATES, bad)


def date_problems(rows: Iterable[tuple[str, FileMetadata]]) -> list[str]:
    """Return in one message that dates cannot be used; none if all can."""
    dates = ((name, row["date"]) for name, row in rows if is_given(row, "date"))
    bad = [f"{text!r} of {name!r}" for name, text in dates if not plain_date(text)]
    return counted_problem(_BAD_DATES, bad)


def counted_problem(message: str, examples: Sequence[str], **words: str) -> list[str]:
    """Return a message with the number of rows and the first example; none if there are no examples."""
    count = f"{len(examples)} {'row' if len(examples) == 1 else 'rows'}"
    return [message.format(count=count, example=examples[0], **words)] if examples else []


def is_given(row: Mapping[str, str], name: str) -> bool:
    """Tell whether a row has a value that does not say that it is missing."""
    return row.get(name, "").strip().lower() not in _MISSING_VALUES


def parse_coordinates(row: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return the latitude and longitude of a row, and its text if one of them is missing or cannot be used; else ''."""
    texts = {name: row[name] for name in _LIMITS if is_given(row, name)}
    found = {name: degrees(text.replace(",", "."), limit=_LIMITS[name]) for name, text in texts.items()}
    bad = bool(texts) and (len(texts) < len(_LIMITS) or None in found.values())
    return found, repr(", ".join(texts.values())) if bad else ""


def plain_date(text: str) -> str:
    """Return a date as YYYY-MM-DD, or YYYY or YYYY-MM if that is all it says; '' if it is none. A time may follow."""
    found = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ].*)?", text.strip(), re.ASCII)
    if not found:
        return text.strip() if re.fullmatch(r"\d{4}(-(0[1-9]|1[0-2]))?", text.strip(), re.ASCII) else ""
    try:
        return date(*map(int, found.groups())).isoformat()
    except ValueError:
        return ""


def with_metadata(recording: Recording, row: FileMetadata) -> Recording:
    """Return a recording with the metadata of a table; its class stays that of the folder."""
    background = clean_labels(re.findall(r"[^\[\]'\",;|]+", row.get("background", "")), without=recording.species)
    texts: dict[str, Any] = {name: text for name, text in row.items() if name not in ("background", *_LIMITS)}
    return replace(recording, background=background or recording.background, **parse_coordinates(row)[0], **texts)


def with_sites(recordings: Sequence[Recording], sites: Mapping[str, FileMetadata]) -> list[Recording]:
    """Return recordings with the metadata of their sites (`locality`), where they have none of their own.

    Parameters
    ----------
    sites : by `site_key`
    """
    known = [site_key(recording.locality) for recording in recordings]
    if any(sites.values()) and recordings and not sites.keys() & set(known):
        example = next(filter(None, known), None)
        theirs = f"theirs are as {example!r}" if example else "they have none; set dataset.site_pattern"
        warning(f"the table of sites, such as {next(iter(sites))!r}, names none of those of the recordings: {theirs}")
    return [_with_site(one, sites.get(key, {})) for one, key in zip(recordings, known, strict=True)]


def _with_site(recording: Recording, site: FileMetadata) -> Recording:
    texts: dict[str, Any] = {name: site[name] for name in _OF_SITES if name in site and not getattr(recording, name)}
    placed = recording.latitude is not None and recording.longitude is not None
    coordinates, bad = parse_coordinates(site)
    return replace(recording, **texts, **({} if placed or bad else coordinates))
