"""What people say about detections: one file for each reviewer, to which each verdict is appended at once.

    reviews/anna.jsonl   {"recording": …, "start": …, "end": …, "species": …, "score": …, "verdict": "yes", …}

A line is on disk before the next detection is shown. A line that a power cut left unfinished is dropped. Files of
several reviewers in a folder are read together.
"""

import errno
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from utils.console import UserError, warning
from utils.files import check_name
from utils.review.detections import DetectionKey

VerdictKind = Literal["yes", "no", "other", "unsure"]
VERDICT_KINDS: tuple[VerdictKind, ...] = get_args(VerdictKind)
# why a detection was shown: by the order of the call, as one like another or of its cluster, or to a second reviewer
ShownBecause = Literal["precision", "uncertain", "similar", "cluster", "second"]
SHOWN_REASONS: tuple[ShownBecause, ...] = get_args(ShownBecause)
RANDOM: ShownBecause = "precision"  # the only reason that draws at random
SEARCHES: tuple[ShownBecause, ...] = ("similar", "cluster")
UNDO = "undo"
ENDING = ".jsonl"
LONGEST_TYPED = 200  # letters of the species that a reviewer types


@dataclass(frozen=True)
class Verdict:
    """What one reviewer found of one detection.

    Attributes
    ----------
    kind : yes: it is the species; no: it is not; other: it is not, but `other` is; unsure
    other : name of a species
    score : of the detection
    shown : why the reviewer saw it
    """

    reviewer: str
    kind: VerdictKind
    other: str = ""
    score: float = 0.0
    shown: ShownBecause = RANDOM

    @property
    def random(self) -> bool:
        """Whether the detection was drawn at random from its scores, so that it says something of the others."""
        return self.shown == RANDOM

    @property
    def correct(self) -> bool | None:
        """Whether the detection is correct; None if nobody knows."""
        return None if self.kind == "unsure" else self.kind == "yes"


@dataclass
class Verdicts:
    """The verdicts of all reviewers of a folder; those of one are appended to a file.

    Attributes
    ----------
    given : for each detection, the verdict of each reviewer, in the order of time
    """

    given: dict[DetectionKey, dict[str, Verdict]] = field(default_factory=dict)

    def of(self, key: DetectionKey) -> Verdict | None:
        """Return the verdict of most reviewers on a detection; unsure if they are divided. None: there is none.

        It is of a detection that was drawn at random if any of them was shown it for that reason.
        """
        verdicts = list(self.given.get(key, {}).values())
        found = self._of_most(verdicts)
        return replace(found, shown=RANDOM) if found and any(one.random for one in verdicts) else found

    @staticmethod
    def _of_most(verdicts: Sequence[Verdict]) -> Verdict | None:
        sure = [one for one in verdicts if one.correct is not None]
        correct = sum(one.correct is True for one in sure)
        if not sure:
            return verdicts[-1] if verdicts else None
        if 2 * correct == len(sure):
            return Verdict("", "unsure", score=sure[-1].score, shown=sure[-1].shown)
        return next(one for one in reversed(sure) if one.correct is (2 * correct > len(sure)))

    def disagreements(self) -> int:
        """Return on how many detections reviewers contradict each other."""
        return sum({True, False} <= {one.correct for one in given.values()} for given in self.given.values())

    def take(self, key: DetectionKey, verdict: Verdict | None, *, reviewer: str) -> None:
        """Take in a verdict, or its withdrawal."""
        of_key = self.given.setdefault(key, {})
        of_key.pop(reviewer, None)
        if verdict:
            of_key[reviewer] = verdict
        if not of_key:
            del self.given[key]


def read_verdicts(folder: Path) -> Verdicts:
    """Read the verdicts of all reviewers in a folder.

    Raises
    ------
    UserError
        If a line cannot be understood.
    """
    verdicts = Verdicts()
    for path in sorted(folder.glob(f"*{ENDING}")):
        _read_file(path, verdicts)
    return verdicts


def _read_file(path: Path, verdicts: Verdicts) -> None:
    *lines, last = path.read_bytes().split(b"\n")
    for position, line in enumerate([*lines, last] if _is_whole(last) else lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            key = str(record["recording"]), float(record["start"]), float(record["end"]), str(record["species"])
            kind = record["verdict"]
            if kind not in (*VERDICT_KINDS, UNDO):
                raise ValueError(f"verdict {kind!r}")
            other, score = str(record.get("other", "")), float(record["score"])
            shown = next((reason for reason in SHOWN_REASONS if reason == record.get("order", RANDOM)), None)
            if shown is None:
                raise ValueError(f"order {record['order']!r}")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{path} line {position}: is no verdict ({type(error).__name__}: {error})") from None
        verdict = None if kind == UNDO else Verdict(path.stem, kind, other, score, shown)
        verdicts.take(key, verdict, reviewer=path.stem)
    if last and not _is_whole(last):
        warning(f"{path}: its last line is unfinished, and not used")


def _is_whole(line: bytes) -> bool:
    """Tell whether the last line of a file, which nothing ends, is a verdict all the same, as editors leave it."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def check_reviewer(name: str) -> None:
    """Refuse a name that cannot be that of a file.

    Raises
    ------
    UserError
        That says which names can.
    """
    if not re.fullmatch(r"[\w-]{1,60}", name):
        raise UserError(f"--reviewer {name!r}: should be a short name of letters, digits, - and _")


class VerdictFile:
    """The file of one reviewer, open for more verdicts.

    Raises
    ------
    UserError
        If the name of the reviewer cannot be that of a file.
    """

    def __init__(self, folder: Path, reviewer: str) -> None:
        check_reviewer(reviewer)
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.reviewer = folder / f"{reviewer}{ENDING}", reviewer
        if self.path.is_symlink():
            raise UserError(f"{self.path}: is a link; verdicts are appended to files of the folder itself")
        self._stream = self.path.open("a+b", buffering=0)
        self._end_last_line()

    def _end_last_line(self) -> None:
        """End the last line, or drop it if it is unfinished."""
        self._stream.seek(0)
        content = self._stream.read()
        end = content.rfind(b"\n") + 1
        if end < len(content) and _is_whole(content[end:]):
            self._stream.write(b"\n")
        else:
            self._stream.truncate(end)

    def append(self, key: DetectionKey, verdict: Verdict | None) -> None:
        """Write a verdict, or its withdrawal; it is on disk when this returns."""
        recording, start, end, species = key
        record = {"recording": recording, "start": start, "end": end, "species": species}
        record |= {"score": verdict.score if verdict else 0.0, "verdict": verdict.kind if verdict else UNDO}
        record |= {"other": verdict.other} if verdict and verdict.other else {}
        record |= {} if verdict is None or verdict.random else {"order": verdict.shown}
        record["time"] = datetime.now(UTC).isoformat(timespec="seconds")
        line, end = json.dumps(record).encode() + b"\n", self._stream.seek(0, os.SEEK_END)
        try:
            if self._stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._stream.fileno())
        except OSError:
            self._stream.truncate(end)
            raise

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def clean_name(text: str) -> str:
    """Return the name of a species as a reviewer typed it, in one line."""
    return " ".join(text.split())[:LONGEST_TYPED]


def checked_verdict(kind: object, other: object, species: Sequence[str] = ()) -> tuple[VerdictKind, str]:
    """Return a verdict from outside.

    Parameters
    ----------
    species : names that the table has

    Raises
    ------
    ValueError
        If it is none, or `other` names no species.
    """
    found = next((one for one in VERDICT_KINDS if one == kind), None)
    name = clean_name(other) if isinstance(other, str) else ""
    if found is None or (found == "other" and not name):
        raise ValueError("should be yes, no, unsure, or other with the name of a species")
    return found, _as_known(check_name(name), species) if found == "other" else ""


def _as_known(name: str, species: Sequence[str]) -> str:
    """Return a name as the table writes it, if it has it in whatever letters."""
    return next((known for known in species if known.casefold() == name.casefold()), name)


def checked_reason(reason: object) -> ShownBecause | None:
    """Return why a detection was shown, if it was found by a search; None: because of the order.

    Raises
    ------
    ValueError
        If it is another reason.
    """
    if reason is None:
        return None
    found = next((one for one in SEARCHES if one == reason), None)
    if found is None:
        raise ValueError("shown should be similar or cluster")
    return found
