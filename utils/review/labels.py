"""What was verified, as a data set that sort_data.py reads: a table of annotations, and links to its recordings."""

import os
from pathlib import Path

import polars as pl

from utils.files import atomic_folder, remove_folder, write_text
from utils.review.detections import DetectionKey, Detections
from utils.review.verdicts import Verdict, Verdicts

ANNOTATIONS = "annotations.csv"
HEADER = {"file": pl.String, "start": pl.Float64, "end": pl.Float64, "species": pl.String, "present": pl.String}
HEADER |= {"verified": pl.String}


def write_labels(folder: Path, detections: Detections, verdicts: Verdicts) -> int:
    """Write the data set, in place of an earlier one; return the number of verified calls.

    Detections that nobody was sure about are rows that are not verified. So sort_data.py knows that the annotations of
    their recordings are incomplete, and takes no noise from them.

    Raises
    ------
    OSError
        If links cannot be made.
    """
    reviewed = {name for name, *_ in verdicts.given}
    rows = [
        _label_row(key, verdicts.of(key)) for key in map(detections.key, range(len(detections))) if key[0] in reviewed
    ]
    fresh = folder.with_name(f".{folder.name}.new")
    remove_folder(fresh)
    with atomic_folder(fresh) as home:
        write_text(home / ANNOTATIONS, pl.DataFrame(rows, schema=HEADER, orient="row").write_csv())
        for name in sorted({row[0] for row in rows}):
            link = home / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((detections.recordings / name).resolve())
    remove_folder(folder)
    os.rename(fresh, folder)
    return sum(row[-1] == row[-2] == "yes" for row in rows)


def _label_row(key: DetectionKey, verdict: Verdict | None) -> tuple[str, float, float, str, str, str]:
    recording, start, end, species = key
    if verdict is None or verdict.correct is None:
        return recording, start, end, species, "yes", "no"
    if verdict.kind == "other":
        return recording, start, end, verdict.other, "yes", "yes"
    return recording, start, end, species, "yes" if verdict.correct else "no", "yes"
