"""What is known of the recordings that a model learned: how many, by whom, where, when, and under which licences."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from config import Config, Dataset
from utils import console
from utils.console import UserError
from utils.models.snapshots import Snapshot, recordings_used
from utils.recordings.download.licences import licence_name
from utils.recordings.recording import read_metadata
from utils.recordings.splits import read_split
from utils.scoring.held_out import held_out_split


@dataclass(frozen=True)
class ClassFacts:
    """A class, its names, and in how many recordings it is.

    Attributes
    ----------
    learned, held_out : recordings; None if the data set is not here
    """

    label: str
    scientific_name: str = ""
    common_name: str = ""
    code: str = ""
    learned: int | None = None
    held_out: int | None = None


@dataclass(frozen=True)
class RecordingFacts:
    """What the metadata of one recording say."""

    recordist: str = ""
    licence: str = ""
    country: str = ""
    day: date | None = None
    place: tuple[float, float] | None = None


@dataclass(frozen=True)
class DataFacts:
    """What is known of the recordings of a model.

    Attributes
    ----------
    classes : in the order of the model's outputs
    learned : the recordings that it learned or was validated on, by name; of those without metadata, nothing is known
    held_out : the others, on which test.py reports
    held_out_in : the name of their split
    known : whether the data set is here, so that recordings of classes are counted
    """

    classes: tuple[ClassFacts, ...]
    learned: Mapping[str, RecordingFacts]
    held_out: Mapping[str, RecordingFacts] = field(default_factory=dict)
    held_out_in: str = ""
    known: bool = False

    def counts(self, what: str) -> list[tuple[str, int]]:
        """Return the values of a text field of `RecordingFacts`, and how often each is, the most frequent first."""
        counts = Counter(value for one in self.learned.values() if (value := getattr(one, what)))
        return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))

    def known_of(self, what: str) -> int:
        """Return of how many learned recordings a field of `RecordingFacts` is known."""
        return sum(1 for one in self.learned.values() if getattr(one, what))

    @property
    def days(self) -> list[date]:
        """The known dates, in order."""
        return sorted(one.day for one in self.learned.values() if one.day)

    @property
    def places(self) -> list[tuple[float, float]]:
        """The known places: latitude and longitude, degrees."""
        return [one.place for one in self.learned.values() if one.place]

    @property
    def by_known_recordists(self) -> tuple[int, int]:
        """Number of held-out recordings whose recordist also made learned ones, of those with a known recordist."""
        learned = {one.recordist for one in self.learned.values()}
        named = [one.recordist for one in self.held_out.values() if one.recordist]
        return sum(1 for name in named if name in learned), len(named)


def data_facts(snapshot: Snapshot, config: Config) -> DataFacts:
    """Return what the data set and its metadata say of the recordings that a snapshot learned, and of held-out ones.

    Without the data set, only the names of the recordings are known, which a warning says.

    Raises
    ------
    UserError
        If the snapshot does not say what it learned.
    """
    learned = recordings_used(snapshot)
    try:
        split = read_split(config.dataset)
    except UserError as error:
        console.warning(f"{error}; the card has no numbers of recordings, recordists, licences and dates")
        return DataFacts(
            tuple(ClassFacts(label) for label in snapshot.classes), dict.fromkeys(learned, RecordingFacts())
        )
    held_out_in = held_out_split(split, config.testing)
    held_out = set(split.filter(split=held_out_in)["recording"]) - learned
    metadata = _metadata_of(config.dataset, sorted(learned | held_out))
    return DataFacts(
        _class_facts(snapshot.classes, split, learned, held_out, metadata.values()),
        {name: _recorded(metadata.get(name, {})) for name in learned},
        {name: _recorded(metadata.get(name, {})) for name in held_out},
        held_out_in,
        known=True,
    )


def _metadata_of(settings: Dataset, names: list[str]) -> dict[str, Mapping[str, Any]]:
    """Read the metadata of recordings; those whose file cannot be read are counted in a warning."""
    found, damaged = {}, []
    with console.progress("reading metadata", total=len(names), unit="recordings") as advance:
        for name in names:
            path = settings.root / "metadata" / f"{name}.json"
            try:
                found[name] = read_metadata(path)
            except (OSError, ValueError) as error:
                damaged.append(f"{name} ({error})")
            advance()
    if damaged:
        console.warning(f"{len(damaged):,} recordings have no usable metadata, such as {damaged[0]}")
    return found


def _recorded(metadata: Mapping[str, Any]) -> RecordingFacts:
    licence = _metadata_text(metadata, "licence")
    latitude, longitude = (metadata.get(key) for key in ("latitude", "longitude"))
    numbers = isinstance(latitude, int | float) and isinstance(longitude, int | float)
    return RecordingFacts(
        _metadata_text(metadata, "author"),
        licence_name(licence) if licence else "",
        _country(metadata),
        _day(_metadata_text(metadata, "date") or _metadata_text(metadata, "started")),
        (float(latitude or 0), float(longitude or 0)) if numbers else None,
    )


def _country(metadata: Mapping[str, Any]) -> str:
    """Return the country of a recording, where it is told: only localities from xeno-canto end in it."""
    _, comma, country = _metadata_text(metadata, "locality").rpartition(", ")
    return country if comma and "xeno-canto.org/" in _metadata_text(metadata, "url") else ""


def _metadata_text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key, "")
    return value.strip() if isinstance(value, str) else ""


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _class_facts(
    classes: Iterable[str],
    split: pl.DataFrame,
    learned: set[str],
    held_out: set[str],
    metadata: Iterable[Mapping[str, Any]],
) -> tuple[ClassFacts, ...]:
    counts = {name: Counter[str]() for name in ("learned", "held_out")}
    for recording, label, events in split.select("recording", "class", "events").iter_rows():
        labels = {label} if label else {event["species"] for event in events}
        for name, names in (("learned", learned), ("held_out", held_out)):
            if recording in names:
                counts[name].update(labels)
    known = {_metadata_text(one, "class") or _metadata_text(one, "sci-name"): one for one in metadata}
    return tuple(
        ClassFacts(
            label,
            scientific_name=_metadata_text(known.get(label, {}), "sci-name"),
            common_name=_metadata_text(known.get(label, {}), "species"),
            code=_metadata_text(known.get(label, {}), "classid"),
            learned=counts["learned"][label],
            held_out=counts["held_out"][label],
        )
        for label in classes
    )
