"""What was verified, as a data set that sort_data.py reads: a table of annotations, and links to its recordings."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from utils.console import UserError
from utils.files import digest_file, write_text
from utils.review.csv_tables import csv_text
from utils.review.detections import DetectionKey, Detections
from utils.review.verdicts import Verdict, Verdicts

ANNOTATIONS = "annotations.csv"
HEADER = {"file": pl.String, "start": pl.Float64, "end": pl.Float64, "species": pl.String, "present": pl.String}
HEADER |= {"verified": pl.String}


def check_labels(folder: Path) -> None:
    """Refuse to replace what is somebody's own: anything but links, and the table as it was written.

    Raises
    ------
    UserError
        That names it.
    """
    for path in sorted(folder.rglob("*")) if folder.exists() else ():
        if path.is_symlink() or path.is_dir():
            continue
        known = digest_file(folder).read_text(encoding="utf-8") if digest_file(folder).is_file() else ""
        if path != folder / ANNOTATIONS or hashlib.sha256(path.read_bytes()).hexdigest() != known:
            raise UserError(f"{path}: is not as this command wrote it; move it elsewhere")


def write_labels(folder: Path, detections: Detections, verdicts: Verdicts) -> int:
    """Write the data set, in place of an earlier one; return the number of verified calls.

    Detections that nobody was sure about are rows that are not verified. So sort_data.py knows that the annotations of
    their recordings are incomplete, and takes no noise from them. Verdicts on detections that the table has no more
    count as well.

    Raises
    ------
    OSError
        If links cannot be made.
    UserError
        If there is anything in the folder that is not of such a data set.
    """
    check_labels(folder)
    rows = [_label_row(key, verdicts.of(key)) for key in _keys(detections, verdicts)]
    names = {row[0] for row in rows}
    folder.mkdir(parents=True, exist_ok=True)
    for link in [path for path in folder.rglob("*") if path.is_symlink()]:
        if link.relative_to(folder).as_posix() not in names:
            link.unlink()
    for name in sorted(names):
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to((detections.recordings / name).resolve())
    text = csv_text(pl.DataFrame(rows, schema=HEADER, orient="row"))
    write_text(digest_file(folder), hashlib.sha256(text.encode()).hexdigest())
    write_text(folder / ANNOTATIONS, text)
    return sum(row[-1] == row[-2] == "yes" for row in rows)


def _keys(detections: Detections, verdicts: Verdicts) -> Iterator[DetectionKey]:
    """Yield the detections in recordings that somebody reviewed, and what is verified beside them."""
    reviewed = {name for name, *_ in verdicts.given}
    index = np.flatnonzero(detections.table["recording"].is_in(list(reviewed)).to_numpy())
    yield from detections.keys(index.tolist())
    given = list(verdicts.given)
    recordings = set(detections.table["recording"].unique()) & reviewed
    for key, found in zip(given, detections.find(given).tolist(), strict=True):
        if found < 0 and key[0] in recordings:
            yield key


def _label_row(key: DetectionKey, verdict: Verdict | None) -> tuple[str, float, float, str, str, str]:
    recording, start, end, species = key
    if verdict is None or verdict.correct is None:
        return recording, start, end, species, "yes", "no"
    if verdict.kind == "other":
        return recording, start, end, verdict.other, "yes", "yes"
    return recording, start, end, species, "yes" if verdict.correct else "no", "yes"
