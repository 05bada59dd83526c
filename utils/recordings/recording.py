"""A recording: one audio file with its metadata, and the JSON file in which the metadata is stored."""

import dataclasses
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from utils.console import Failure
from utils.files import check_name, check_plain
from utils.recordings.spans import Spans, labelled_in

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

LONGEST_REASON = 200  # characters
LONG_RECORDINGS = "(long recordings)"  # printed in tables instead of a class, for recordings of several species
QUALITY_LETTERS = {"A": 1.0, "B": 0.8, "C": 0.6, "D": 0.4, "E": 0.2}  # ratings of xeno-canto
NOISE = "Noise"  # the class of recordings without birds
_NOISE_LABELS = frozenset({"noise", "nocall", "no call", "no bird", "no birds", "background", "silence"})
# also used in BirdNET-Analyzer's training data; only as a folder: in a table, `other` may be another bird
_NOISE_FOLDERS = frozenset({"other"})
# labels of BirdNET: 'Turdus merula_Eurasian Blackbird'
_WITH_COMMON_NAME = re.compile(r"([A-Z][a-z]+(?: [a-z][a-z-]+){1,2})_(\S.*)", re.DOTALL)


@dataclass(frozen=True)
class Event:
    """An annotated vocalisation in a recording.

    Attributes
    ----------
    start, end : seconds from the start of the recording; equal if only a point in time was marked
    species : scientific name, or the name of its class (`dataset.label`)
    low, high : Hz; None if not known
    """

    start: float
    end: float
    species: str
    low: float | None = None
    high: float | None = None


def event_overlaps(event: tuple[float, float], start: float, end: float) -> bool:
    """Tell whether an event (start, end) overlaps the span between two times; all in seconds.

    A point in time overlaps a span that starts with it, but not one that ends with it.
    """
    return event[0] < end and (event[1] > start or event[0] == event[1] == start)


@dataclass(frozen=True)
class Recording:
    """One audio file and its metadata.

    Attributes
    ----------
    name : unique in a data set: the file's name without its suffix, after `class/` if classes are folders
    file : path of the sound file
    species : the primary species; the class, named as `dataset.label` says. '' for long recordings, which are labelled
        by `events` only
    background : background species, named in the same way
    events : annotations, in the order of time
    split : 'train', 'val' or 'test' if the archive comes with splits and they are kept
    class_id : code of the species in the archive
    date, time : YYYY-MM-DD and HH:MM, if the archive keeps to that; with the time zone (02:51+10:00) if a name tells it
    latitude, longitude : degrees
    elevation : metres, as written in the archive
    moved_from : path from which sorting by move took the sound
    source : the sound's path below the archive; it keeps the name stable when recordings are added
    unsure : whether some annotation could not be used: then spans without events may contain birds
    labelled : the spans in which all species are annotated, seconds; None: the whole recording
    scientific_name : of the primary species, if its class has another name
    started : when the recording started, by the recorder's clock: 2021-10-02T19:00:00+02:00, with Z for UTC, without a
        time zone if it is not known
    recorder, serial, gain : kind of the recorder, its serial number, and its gain, as it wrote them
    temperature, battery : degrees Celsius and volts, of the recorder
    common_name, author, locality, quality, licence, url, comments : as written in the archive; '' if missing
    """

    name: str
    file: Path
    species: str
    background: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    split: Split | None = None
    class_id: str = ""
    common_name: str = ""
    author: str = ""
    date: str = ""
    time: str = ""
    locality: str = ""
    latitude: float | None = None
    longitude: float | None = None
    elevation: str = ""
    quality: str = ""
    licence: str = ""
    url: str = ""
    comments: str = ""
    moved_from: str = ""
    source: str = ""
    unsure: bool = False
    labelled: Spans | None = None
    scientific_name: str = ""
    started: str = ""
    recorder: str = ""
    serial: str = ""
    gain: str = ""
    temperature: float | None = None
    battery: float | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The species that can be learned from it: the primary species, or those of its events."""
        return (self.species,) if self.species else tuple(dict.fromkeys(event.species for event in self.events))


def quality_fraction(rating: str) -> float | None:
    """Return a rating as a fraction of the best one: A to E (xeno-canto) and 5 to 1 give 1, 0.8, … 0.2; else None."""
    if rating.strip().upper() in QUALITY_LETTERS:
        return QUALITY_LETTERS[rating.strip().upper()]
    try:
        stars = float(rating)
    except ValueError:
        return None
    return stars / 5 if 1 <= stars <= 5 else None


@dataclass(frozen=True)
class Taxon:
    """The names of a species: scientific name, code (of eBird or of the archive), common name; '' if not known."""

    species: str
    code: str = ""
    common_name: str = ""


def failure_of(name: str, error: object) -> Failure:
    """Return a failure with its reason cut to `LONGEST_REASON`: values of broken tables can be arbitrarily long."""
    reason = str(error)
    return Failure(name, reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}…")


@dataclass(frozen=True)
class Contents:
    """What a reader found in an archive, with the archive's labels.

    Attributes
    ----------
    description : the kind of archive, in words
    recordings : in the order of their names; the sound file need not exist
    failures : files and rows that cannot be used, and why
    taxa : names of species that the archive contains
    seen : every file that was used or that `failures` names; `utils.recordings.inventory` reports the others
    folders : the archive's folders that may have the same name as one that sorting makes
    unlabelled : sounds without labels, meant for other stages
    tables : for each annotated sound, the tables with its annotations
    """

    description: str
    recordings: list[Recording]
    failures: list[Failure]
    taxa: list[Taxon] = field(default_factory=list)
    seen: frozenset[Path] = frozenset()
    folders: tuple[Path, ...] = ()
    unlabelled: frozenset[Path] = frozenset()
    tables: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)


# keys of the 2018 baseline's JSON files that differ from the attributes
_BASELINE_KEYS = {"sci-name": "species", "species": "common_name", "classid": "class_id"}
_TEXT_FIELDS = (
    *("author", "date", "time", "locality", "elevation", "quality", "licence", "url", "comments", "moved_from"),
    *("source", "started", "recorder", "serial", "gain"),
)
_NUMBER_FIELDS = ("latitude", "longitude", "temperature", "battery")


def to_metadata(recording: Recording) -> dict[str, Any]:
    """Return the content of `metadata/<recording>.json`: the 2018 baseline's five keys and others with values."""
    known = {key: getattr(recording, attribute) for key, attribute in _BASELINE_KEYS.items()}
    if recording.scientific_name:
        known |= {"sci-name": recording.scientific_name, "class": recording.species}
    more = {
        key: getattr(recording, key)
        for key in (*_TEXT_FIELDS, *_NUMBER_FIELDS, "unsure")
        if getattr(recording, key) not in ("", None, False)
    }
    events = [
        {key: value for key, value in dataclasses.asdict(event).items() if value is not None}
        for event in recording.events
    ]
    return {
        **known,
        "background": list(recording.background),
        "filename": recording.file.name,
        **more,
        **({"split": recording.split} if recording.split else {}),
        **({"events": events} if events else {}),
        **({} if recording.labelled is None else {"labelled": [list(span) for span in recording.labelled]}),
    }


def from_metadata(metadata: Mapping[str, Any], *, name: str, file: Path, split: Split | None = None) -> Recording:
    """Return the recording from the content that `to_metadata` returned.

    Raises
    ------
    ValueError
        If the species is missing or a value has another type.
    """
    texts = {attribute: metadata.get(key, "") for key, attribute in _BASELINE_KEYS.items()} | {
        key: metadata.get(key, "") for key in _TEXT_FIELDS
    }
    background = metadata.get("background") or []
    if not isinstance(background, list) or not all(isinstance(text, str) for text in (*texts.values(), *background)):
        raise ValueError("a value is neither a string nor a list of strings")
    if any("\ud800" <= character <= "\udfff" for text in (*texts.values(), *background) for character in text):
        raise ValueError("a value is not valid Unicode")
    events = _read_events(metadata.get("events", []))
    species = texts.pop("species")
    species = species if events and not species else check_label(species)
    scientific = ""
    if label := metadata.get("class"):
        species, scientific = check_label(str(label)), species
    return Recording(
        name,
        file,
        species,
        background=clean_labels(background, without=species),
        events=events,
        split=split,
        unsure=metadata.get("unsure") is True,
        labelled=labelled_in(metadata),
        scientific_name=scientific,
        latitude=degrees(metadata.get("latitude"), limit=90.0),
        longitude=degrees(metadata.get("longitude"), limit=180.0),
        temperature=in_range(metadata.get("temperature"), -100.0, 100.0),
        battery=in_range(metadata.get("battery"), -100.0, 100.0),
        **texts,
    )


def _read_events(entries: Any) -> tuple[Event, ...]:
    if not isinstance(entries, list):
        raise ValueError("events is not a list")
    try:
        return tuple(_read_event(entry) for entry in entries)
    except (AttributeError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"an event cannot be read: {error}") from None


def _read_event(entry: Any) -> Event:
    low, high = (None if entry.get(key) is None else float(entry[key]) for key in ("low", "high"))
    start, end = float(entry["start"]), float(entry["end"])
    if not all(math.isfinite(number) for number in (start, end, low or 0.0, high or 0.0)):
        raise ValueError("a time or frequency of an event is NaN or infinite")
    return Event(start, end, check_label(entry["species"]), low, high)


def read_metadata(file: Path) -> Mapping[str, Any]:
    """Read a recording's JSON file.

    Raises
    ------
    ValueError
        If it is not a JSON object.
    """
    check_plain(file)
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("is nested too deeply to be read") from None
    if not isinstance(metadata, dict):
        raise ValueError("is not a JSON object")
    return metadata


def plain_label(text: str) -> str:
    """Return a label in one spelling of those that look the same: single spaces, accents in their letters.

    Characters that nobody sees, such as zero-width spaces, are left out.
    """
    if not text.isascii():  # macOS stores accents as separate characters
        visible = (letter for letter in text if unicodedata.category(letter) != "Cf")
        text = unicodedata.normalize("NFC", "".join(visible))
    return " ".join(text.split())


def check_label(text: str) -> str:
    """Return a label in one spelling (`plain_label`).

    Labels for recordings without birds (noise, nocall, …) become 'Noise'.

    Of BirdNET's `Genus species_Common name`, the scientific name is returned.

    Raises
    ------
    ValueError
        If it cannot be the name of a folder: labels come from untrusted files and become folder names.
    """
    label = plain_label(text)
    if label.lower() in _NOISE_LABELS:
        return NOISE
    try:
        return check_name(split_common_name(label)[0])
    except ValueError as error:
        raise ValueError(f"cannot use the species name: {error}") from None


def split_common_name(label: str) -> tuple[str, str]:
    """Split a label of BirdNET's form into scientific and common name; any other label gives the label and ''."""
    found = _WITH_COMMON_NAME.fullmatch(label)
    return (found[1], found[2]) if found else (label, "")


def clean_labels(texts: Iterable[str], *, without: str) -> tuple[str, ...]:
    """Return background species without empty labels, duplicates, and the primary species (`without`)."""
    labels = map(plain_label, texts)
    return tuple(dict.fromkeys(label for label in labels if label and label != without))


def degrees(value: object, *, limit: float) -> float | None:
    """Parse a latitude (limit 90) or longitude (limit 180) in degrees; None if the text is not one."""
    return in_range(value, -limit, limit)


def in_range(value: object, low: float, high: float) -> float | None:
    """Parse a number; None if the text is none from `low` to `high`."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if low <= number <= high else None


def label_of_folder(folder: str) -> str:
    """Return the class of a folder: 'Turdus_merula' is 'Turdus merula', 'Other' is noise, other names stay unchanged.

    Raises
    ------
    ValueError
        If the name cannot be a class.
    """
    if folder.strip().lower() in _NOISE_FOLDERS:
        return NOISE
    binomial = re.fullmatch(r"[A-Z][a-z]+(_[a-z][a-z-]+){1,2}", folder)
    return check_label(folder.replace("_", " ") if binomial else folder)


def species_in_folder(folder: str) -> list[str]:
    """Return the species of a folder: of BirdNET's training data it may name several, separated by commas."""
    parts = [part.strip() for part in folder.split(",")]
    return parts if all(split_common_name(part)[1] for part in parts) else [folder]


def absent_species_in(folder: str) -> str:
    """Return the species that recordings of a folder do *not* contain, which BirdNET marks by a minus; else ''."""
    return split_common_name(folder[1:].strip())[0] if folder.startswith("-") else ""
