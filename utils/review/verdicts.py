"""What people say about detections: one file for each reviewer, to which each verdict is appended at once.

    reviews/anna.jsonl   {"recording": …, "start": …, "end": …, "species": …, "score": …, "verdict": "yes", …}

A line is on disk before the next detection is shown. A line that a power cut left unfinished is dropped. Files of
several reviewers in a folder are read together.
"""

import json
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from utils.console import UserError, warning
from utils.review.detections import DetectionKey

VerdictKind = Literal["yes", "no", "other", "unsure"]
VERDICT_KINDS: tuple[VerdictKind, ...] = get_args(VerdictKind)
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
    """

    reviewer: str
    kind: VerdictKind
    other: str = ""
    score: float = 0.0

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
        """Return the verdict of most reviewers on a detection; unsure if they are divided. None: there is none."""
        verdicts = list(self.given.get(key, {}).values())
        sure = [one for one in verdicts if one.correct is not None]
        correct = sum(one.correct is True for one in sure)
        if not sure:
            return verdicts[-1] if verdicts else None
        if 2 * correct == len(sure):
            return Verdict("", "unsure", score=sure[-1].score)
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
    lines = path.read_bytes().split(b"\n")
    if lines[-1]:
        warning(f"{path}: its last line is unfinished, and not used")
    for position, line in enumerate(lines[:-1], 1):
        try:
            record = json.loads(line)
            key = str(record["recording"]), float(record["start"]), float(record["end"]), str(record["species"])
            kind = record["verdict"]
            if kind not in (*VERDICT_KINDS, UNDO):
                raise ValueError(f"verdict {kind!r}")
            other, score = str(record.get("other", "")), float(record["score"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{path} line {position}: is no verdict ({type(error).__name__}: {error})") from None
        verdict = None if kind == UNDO else Verdict(path.stem, kind, other, score)
        verdicts.take(key, verdict, reviewer=path.stem)


class VerdictFile:
    """The file of one reviewer, open for more verdicts.

    Raises
    ------
    UserError
        If the name of the reviewer cannot be that of a file.
    """

    def __init__(self, folder: Path, reviewer: str) -> None:
        if not re.fullmatch(r"[\w-]{1,60}", reviewer):
            raise UserError(f"--reviewer {reviewer!r}: should be a short name of letters, digits, - and _")
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.reviewer = folder / f"{reviewer}{ENDING}", reviewer
        self._stream = self.path.open("a+b")
        self._drop_unfinished_line()

    def _drop_unfinished_line(self) -> None:
        self._stream.seek(0)
        content = self._stream.read()
        self._stream.truncate(content.rfind(b"\n") + 1)

    def append(self, key: DetectionKey, verdict: Verdict | None) -> None:
        """Write a verdict, or its withdrawal; it is on disk when this returns."""
        recording, start, end, species = key
        record = {"recording": recording, "start": start, "end": end, "species": species}
        record |= {"score": verdict.score if verdict else 0.0, "verdict": verdict.kind if verdict else UNDO}
        record |= {"other": verdict.other} if verdict and verdict.other else {}
        record["time"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._stream.write(json.dumps(record).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def clean_name(text: str) -> str:
    """Return the name of a species as a reviewer typed it, in one line."""
    return " ".join(text.split())[:LONGEST_TYPED]


def checked_verdict(kind: object, other: object) -> tuple[VerdictKind, str]:
    """Return a verdict from outside.

    Raises
    ------
    ValueError
        If it is none, or `other` names no species.
    """
    found = next((one for one in VERDICT_KINDS if one == kind), None)
    name = clean_name(other) if isinstance(other, str) else ""
    if found is None or (found == "other" and not name):
        raise ValueError("should be yes, no, unsure, or other with the name of a species")
    return found, name if found == "other" else ""
