"""One audio file and what is known of it, and the JSON that keeps it."""

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

Side = Literal["train", "val", "test"]
SIDES: tuple[Side, ...] = ("train", "val", "test")

LONGEST_REASON = 200  # characters
LONG = "(long recordings)"  # how tables for people call the class of those in which several sing
LETTERS = {"A": 1.0, "B": 0.8, "C": 0.6, "D": 0.4, "E": 0.2}  # of quality
NOISE = "Noise"  # the class of recordings in which no bird sings
_NAMES_OF_NOISE = frozenset({"noise", "nocall", "no call", "no bird", "no birds", "background", "silence"})
# of BirdNET-Analyzer's training data, beside those above; in a table, `other` may be another bird
_FOLDERS_OF_NOISE = frozenset({"other"})
# how BirdNET writes species: 'Turdus merula_Eurasian Blackbird'
_WITH_COMMON_NAME = re.compile(r"([A-Z][a-z]+(?: [a-z][a-z-]+){1,2})_(\S.*)", re.DOTALL)


@dataclass(frozen=True)
class Event:
    """Who sings when in a recording.

    Attributes
    ----------
    start, end : seconds from the recording's begin; equal where only a point in time was marked
    species : scientific name of the bird
    low, high : Hz; None where not known
    """

    start: float
    end: float
    species: str
    low: float | None = None
    high: float | None = None


def sings_between(event: tuple[float, float], start: float, end: float) -> bool:
    """Tell whether an event (start, end) has a part between two times; all in seconds. A point in time belongs to what begins with it."""
    return event[0] < end and (event[1] > start or event[0] == event[1] == start)


@dataclass(frozen=True)
class Recording:
    """One audio file and what is known of it.

    Attributes
    ----------
    name : what it is called everywhere, once in a data set: the file's name without its ending, after `class/` where
        classes are folders
    file : where the sound is
    species : scientific name of the bird that is recorded; the class. '' for long recordings, of which only `events`
        say who sings
    background : scientific names of the birds that are heard besides
    events : who sings when, in the order of time, where somebody listened
    side : 'train', 'val' or 'test' where the archive came divided and its division is kept
    class_id : code of the species in the archive
    date, time : as YYYY-MM-DD and HH:MM, where the archive keeps to that
    latitude, longitude : degrees
    elevation : metres, as the archive has it
    moved_from : where sorting by move took the sound from
    source : the sound's path below the archive, by which its name stays the same when recordings are added
    unsure : whether some annotation of it cannot be used, so that a time without events is not known to be without
        birds
    common_name, author, locality, quality, licence, url, comments : as the archive has them, '' where it does not
    """

    name: str
    file: Path
    species: str
    background: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    side: Side | None = None
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

    @property
    def heard(self) -> tuple[str, ...]:
        """The species that can be learned from it: its own, or those of its events."""
        return (self.species,) if self.species else tuple(dict.fromkeys(event.species for event in self.events))


def quality_share(rating: str) -> float | None:
    """Return a rating as a share of the best: A to E, as of xeno-canto, and 5 to 1 are 1, 0.8, … 0.2; None where it is neither, as unrated ones are."""
    if rating.strip().upper() in LETTERS:
        return LETTERS[rating.strip().upper()]
    try:
        stars = float(rating)
    except ValueError:
        return None
    return stars / 5 if 1 <= stars <= 5 else None


@dataclass(frozen=True)
class Taxon:
    """The names of one species: scientific, the code of eBird or of the archive, and the common one; '' where not known."""

    species: str
    code: str = ""
    common_name: str = ""


def refused(name: str, error: object) -> Failure:
    """Return that something cannot be used, and why; the values of broken tables may be endless, a reason is not."""
    reason = str(error)
    return Failure(name, reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}…")


@dataclass(frozen=True)
class Contents:
    """What a reader found in an archive, in the archive's own labels.

    Attributes
    ----------
    form : what was recognised, for people
    recordings : in the order of their names; whether the sound is there is not looked at
    failures : files and rows that cannot be used, and why
    taxa : the names of species that the archive itself knows
    seen : every file that was used or is named in `failures`; what else lies in the archive is told by
        `utils.recordings.account`
    tables : of each annotated sound, the places of the tables that speak of it
    folders : where the archive's things are, where they may be called as those that sorting makes
    spare : sounds without labels, which other stages are for
    """

    form: str
    recordings: list[Recording]
    failures: list[Failure]
    taxa: list[Taxon] = field(default_factory=list)
    seen: frozenset[Path] = frozenset()
    folders: tuple[Path, ...] = ()
    spare: frozenset[Path] = frozenset()
    tables: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)


# names of the JSON files' keys that differ from the attributes', as the 2018 baseline wrote them
_BASELINE_KEYS = {"sci-name": "species", "species": "common_name", "classid": "class_id"}
_TEXTS = (
    "author",
    "date",
    "time",
    "locality",
    "elevation",
    "quality",
    "licence",
    "url",
    "comments",
    "moved_from",
    "source",
)
_NUMBERS = ("latitude", "longitude")


def to_metadata(recording: Recording) -> dict[str, Any]:
    """Return what `metadata/<recording>.json` holds: the baseline's five keys and what else is known."""
    known = {key: getattr(recording, attribute) for key, attribute in _BASELINE_KEYS.items()}
    more = {
        key: getattr(recording, key)
        for key in (*_TEXTS, *_NUMBERS, "side", "unsure")
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
        **({"events": events} if events else {}),
    }


def from_metadata(metadata: Mapping[str, Any], *, name: str, file: Path, side: Side | None = None) -> Recording:
    """Return the recording that `to_metadata` described.

    Raises
    ------
    ValueError
        If the species is missing or a value is of another type.
    """
    texts = {attribute: metadata.get(key, "") for key, attribute in _BASELINE_KEYS.items()} | {
        key: metadata.get(key, "") for key in _TEXTS
    }
    background = metadata.get("background") or []
    if not isinstance(background, list) or not all(isinstance(text, str) for text in (*texts.values(), *background)):
        raise ValueError("a value is neither text nor a list of texts")
    if any("\ud800" <= character <= "\udfff" for text in (*texts.values(), *background) for character in text):
        raise ValueError("a value is no Unicode")
    events = _read_events(metadata.get("events", []))
    species = texts.pop("species")
    species = species if events and not species else check_label(species)
    return Recording(
        name,
        file,
        species,
        background=clean_labels(background, without=species),
        events=events,
        side=side,
        unsure=metadata.get("unsure") is True,
        latitude=degrees(metadata.get("latitude"), limit=90.0),
        longitude=degrees(metadata.get("longitude"), limit=180.0),
        **texts,
    )


def _read_events(entries: Any) -> tuple[Event, ...]:
    if not isinstance(entries, list):
        raise ValueError("events is no list")
    try:
        return tuple(_read_event(entry) for entry in entries)
    except (AttributeError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"an event cannot be read: {error}") from None


def _read_event(entry: Mapping[str, Any]) -> Event:
    low, high = (None if entry.get(key) is None else float(entry[key]) for key in ("low", "high"))
    start, end = float(entry["start"]), float(entry["end"])
    if not all(math.isfinite(number) for number in (start, end, low or 0.0, high or 0.0)):
        raise ValueError("an event's time or frequency is no number")
    return Event(start, end, check_label(entry["species"]), low, high)


def read_metadata(file: Path) -> Mapping[str, Any]:
    """Read a recording's JSON.

    Raises
    ------
    ValueError
        If it is no JSON object.
    """
    check_plain(file)
    try:
        metadata = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("is nested too deeply to be read") from None
    if not isinstance(metadata, dict):
        raise ValueError("is not a JSON object")
    return metadata


def check_label(text: str) -> str:
    """Return a species' name with its spaces tidied; the marks for recordings without birds (noise, nocall, background, silence) become 'Noise'.

    Of BirdNET's `Genus species_Common name`, the scientific name is the label.

    Raises
    ------
    ValueError
        If it cannot name a folder: labels come from files of others and become folders' names.
    """
    label = unicodedata.normalize("NFC", " ".join(text.split()))  # macOS takes accents to pieces
    if label.lower() in _NAMES_OF_NOISE:
        return NOISE
    try:
        return check_name(both_names(label)[0])
    except ValueError as error:
        raise ValueError(f"cannot use the species' name: {error}") from None


def both_names(label: str) -> tuple[str, str]:
    """Return the scientific and the common name of a label as BirdNET writes it; of any other the label and ''."""
    found = _WITH_COMMON_NAME.fullmatch(label)
    return (found[1], found[2]) if found else (label, "")


def clean_labels(texts: Iterable[str], *, without: str) -> tuple[str, ...]:
    """Tidy a list of background species: no empty ones, each once, and not the recording's own species."""
    labels = (" ".join(text.split()) for text in texts)
    return tuple(dict.fromkeys(label for label in labels if label and label != without))


def degrees(value: object, *, limit: float) -> float | None:
    """Return a latitude (limit 90) or longitude (limit 180) in degrees; None where the archive's text is none."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) <= limit else None


def label_of_folder(folder: str) -> str:
    """Return the class that a folder's name stands for: 'Turdus_merula' is the species 'Turdus merula', 'Other' is noise, other names stay as they are.

    Raises
    ------
    ValueError
        If it names no class.
    """
    if folder.strip().lower() in _FOLDERS_OF_NOISE:
        return NOISE
    binomial = re.fullmatch(r"[A-Z][a-z]+(_[a-z][a-z-]+){1,2}", folder)
    return check_label(folder.replace("_", " ") if binomial else folder)


def several_in(folder: str) -> list[str]:
    """Return the species of a folder of BirdNET's training data that names several, with a comma between them; else the folder's name."""
    parts = [part.strip() for part in folder.split(",")]
    return parts if all(both_names(part)[1] for part in parts) else [folder]


def absent_in(folder: str) -> str:
    """Return the species that the recordings of a folder are examples *without*, as BirdNET marks them by a minus; '' where it is no such folder."""
    return both_names(folder[1:].strip())[0] if folder.startswith("-") else ""
