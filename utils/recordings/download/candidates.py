"""Which recordings of a search are downloaded: each once, the best first, at most so many of a species."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from utils.console import Failure
from utils.recordings.audio_files import READABLE, UNREADABLE
from utils.recordings.download.servers import Server
from utils.recordings.recording import Recording
from utils.recordings.xenocanto import catalogue_id, recording_of_record

QUALITIES = "ABCDE"  # of xeno-canto, the best first
SOUNDS = "sounds"  # folder for sounds and their JSON
USUAL_SUFFIX = ".mp3"  # of recordings that do not tell the name of their upload
RESTRICTED = "restricted: xeno-canto gives no sound of it"


@dataclass(frozen=True)
class Wanted:
    """What a user wants of a search.

    Attributes
    ----------
    limit : most recordings of a species; None: all
    min_quality : A to E; None: rated or not
    max_length : seconds; None: any, also unknown
    """

    limit: int | None = None
    min_quality: str | None = None
    max_length: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A recording that can be downloaded.

    Attributes
    ----------
    recording : what the API tells of it; its file is where the sound belongs
    record : the same, as the API writes it
    address : of the sound
    seconds : its length; None if not known
    """

    recording: Recording
    record: dict[str, Any]
    address: str
    seconds: float | None

    @property
    def rank(self) -> tuple[int, int]:
        """Its place among the recordings of a species: by quality, then by catalogue number."""
        return QUALITIES.index(self.quality) if self.quality else len(QUALITIES), int(self.recording.name[2:])

    @property
    def quality(self) -> str:
        """A to E; '' if it has no rating."""
        letter = self.recording.quality.upper()
        return letter if letter and letter in QUALITIES else ""


@dataclass
class Candidates:
    """The recordings of a search, as its pages arrive.

    Attributes
    ----------
    out, server : where the sounds go, and where they come from
    failures : recordings that cannot be had, and why
    found : how many recordings there were, each once
    passed_over : how many were not wanted, by reason
    """

    out: Path
    server: Server
    wanted: Wanted
    failures: list[Failure] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    _of_species: dict[str, list[Candidate]] = field(default_factory=lambda: defaultdict(list))
    _seen: set[str] = field(default_factory=set)

    @property
    def found(self) -> int:
        """How many recordings there were."""
        return len(self._seen)

    def add(self, record: Any, place: str, *, species: str = "") -> None:
        """Add a record of a page.

        Parameters
        ----------
        place : where it stands, for a failure
        species : what was searched; others are passed over, because a search for a genus finds parts of names, too
        """
        name = place
        try:
            name = f"XC{catalogue_id(record)}"
            if name in self._seen:
                return
            self._seen.add(name)
            candidate = candidate_of_record(record, self.out, self.server)
        except ValueError as error:
            self.failures.append(Failure(name, str(error)))
            return
        reason = self._unwanted(candidate, species)
        if reason:
            self.passed_over[reason] += 1
        else:
            self._of_species[candidate.recording.species].append(candidate)

    def is_full(self, species: str) -> bool:
        """Tell whether there are as many recordings of a species as are wanted."""
        wanted = self.wanted.limit
        return wanted is not None and any(
            len(ours) >= wanted for name, ours in self._of_species.items() if name.lower() == species.lower()
        )

    def chosen(self) -> list[Candidate]:
        """Return what to download: the best of each species, in turn, so that species stay balanced at every moment."""
        ranked = {
            species: sorted(ours, key=lambda candidate: candidate.rank)[: self.wanted.limit]
            for species, ours in sorted(self._of_species.items())
        }
        longest = max(map(len, ranked.values()), default=0)
        return [ours[index] for index in range(longest) for ours in ranked.values() if index < len(ours)]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return the name of each species, how many recordings it has, how many are chosen, and of which quality."""
        chosen = defaultdict(list)
        for candidate in self.chosen():
            chosen[candidate.recording.species].append(candidate.quality or "none")
        return [
            (species, f"{len(self._of_species[species]):,}", f"{len(ours):,}", _in_words(ours))
            for species, ours in sorted(chosen.items())
        ]

    def _unwanted(self, candidate: Candidate, species: str) -> str:
        """Return why a recording is not wanted; '' if it is."""
        lowest, longest = self.wanted.min_quality, self.wanted.max_length
        if species and candidate.recording.species.lower() != species.lower():
            return "of other species"
        if lowest and candidate.rank[0] > QUALITIES.index(lowest):
            return f"below quality {lowest} or not rated"
        if longest is not None and (candidate.seconds is None or candidate.seconds > longest):
            return f"longer than {longest:g} s or of unknown length"
        return ""


def candidate_of_record(record: Any, out: Path, server: Server) -> Candidate:
    """Return a recording with the address of its sound and the file that it gets: out/sounds/XC<number>.<suffix>.

    Raises
    ------
    ValueError
        With the reason why it cannot be had.
    """
    identifier = catalogue_id(record)
    suffix = _suffix_of_record(record)
    file = out / SOUNDS / f"XC{identifier}{suffix}"
    recording = recording_of_record(record, out, {identifier: file})
    address = record.get("file") or ""
    if not isinstance(address, str):
        raise ValueError("file is not a text")
    if not address.strip():
        raise ValueError(RESTRICTED)
    try:
        whole = server.address(address)
    except ValueError as error:
        raise ValueError(f"its sound {error}") from None
    record_text(record)
    return Candidate(recording, record, whole, seconds_of_length(record.get("length")))


def record_text(record: dict[str, Any]) -> str:
    """Return a record as JSON.

    Raises
    ------
    ValueError
        If it holds a value that JSON has not, such as NaN.
    """
    try:
        return json.dumps(record, indent=1, allow_nan=False) + "\n"
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _suffix_of_record(record: dict[str, Any]) -> str:
    """Return the suffix of a sound, which is that of its upload if it is one of a sound that can be read."""
    name = record.get("file-name") or ""
    if not isinstance(name, str):
        raise ValueError("file-name is not a text")
    suffix = PurePosixPath(name.strip()).suffix.lower() if name.strip() else USUAL_SUFFIX
    if suffix in UNREADABLE:
        raise ValueError(f"its sound is {suffix}, which cannot be read")
    if suffix not in READABLE:
        raise ValueError(f"its file-name {name[:100]!r} is not that of a sound")
    return suffix


def seconds_of_length(text: Any) -> float | None:
    """Return a length such as '1:27' or '1:02:03' in seconds; None if it is none."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,4}(:\d{1,2}){1,2}", text.strip(), re.ASCII):
        return None
    seconds = 0
    for part in text.strip().split(":"):
        seconds = seconds * 60 + int(part)
    return float(seconds)


def _in_words(qualities: Sequence[str]) -> str:
    """Return '12 A, 3 B'."""
    counts = Counter(qualities)
    return ", ".join(f"{counts[quality]} {quality}" for quality in (*QUALITIES, "none") if counts[quality])
