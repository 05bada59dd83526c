"""The table by which BirdNET-Analyzer hands detections to Kaleidoscope, with those of all recordings.

    INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence,lat,lon,week,overlap,sensitivity
    soundscapes,site 1,tape1.wav,5.000000,5.000000,Turdus merula,Eurasian Blackbird,0.912345,50.83,12.92,37,,

INDIR is `submission.recordings`, FOLDER the folder below it. Place and week (of 48) are those that recorders tell, for
the start of the recording; BirdNET-Analyzer writes -1 for what is not known, here the cell is empty, because -1 is a
place on earth. `sensitivity` is a setting of BirdNET alone.

Source: BirdNET-Analyzer 2, `birdnet_analyzer/analyze/utils.py` (kaleidoscope).
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.recording import degrees
from utils.scoring.inference.prior_metadata import week_of
from utils.scoring.submissions.formats.detections import RecordingDetections
from utils.scoring.submissions.formats.layout import DIGITS, SubmissionLayout
from utils.scoring.submissions.formats.problems import (
    Problems,
    cells_of,
    check_event,
    check_score,
    parsed_number,
    quoted,
)
from utils.scoring.submissions.formats.species_names import species_names
from utils.scoring.submissions.formats.writing import csv_line, text_file

KALEIDOSCOPE_HEADER = (
    "INDIR",
    "FOLDER",
    "IN FILE",
    "OFFSET",
    "DURATION",
    "scientific_name",
    "common_name",
    "confidence",
    "lat",
    "lon",
    "week",
    "overlap",
    "sensitivity",
)
POSSIBLE_WEEKS = frozenset(map(str, range(1, 49)))


def write_kaleidoscope(path: Path, recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows. Recordings that cannot be used have no row."""
    names, digits, count = species_names(layout), layout.time_digits, 0
    overlap = "" if layout.settings.overlap is None else f"{layout.settings.overlap:g}"
    with text_file(path) as stream:
        stream.write(csv_line(KALEIDOSCOPE_HEADER))
        for file, detections in recordings:
            place = _place_and_week(layout.recorders.get(file, RecorderMetadata()))
            for one in detections:
                name = names[one.class_index]
                times = f"{one.start:.{digits}f}", f"{one.end - one.start:.{digits}f}"
                score = f"{one.score:.{DIGITS}f}"
                values = [*_split_path(file, layout), *times, name.scientific, name.shown, score, *place, overlap, ""]
                stream.write(csv_line([layout.cell(value) for value in values]))
                count += 1
    return count


def _split_path(file: str, layout: SubmissionLayout) -> tuple[str, str, str]:
    """Return INDIR, FOLDER and IN FILE of a recording."""
    below = PurePosixPath(file)
    folder = below.parent.as_posix()
    return layout.recordings.as_posix(), "" if folder == "." else folder, below.name


def _place_and_week(told: RecorderMetadata) -> tuple[str, str, str]:
    latitude, longitude = ("" if value is None else f"{value:.6f}" for value in (told.latitude, told.longitude))
    return latitude, longitude, str(week_of(told.date) or "")


def check_kaleidoscope(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a table for Kaleidoscope."""
    problems, species = Problems(), {name.scientific for name in species_names(layout)}
    sounds = {_split_path(file, layout) for file in layout.files}
    cells = cells_of(path, problems, separator=",", fields=len(KALEIDOSCOPE_HEADER), quoting=True)
    for index, (line, values) in enumerate(cells):
        if index == 0:
            if tuple(values) != KALEIDOSCOPE_HEADER:
                problems.add("the header is not that of BirdNET-Analyzer's tables for Kaleidoscope", line)
            continue
        row = dict(zip(KALEIDOSCOPE_HEADER, map(layout.text, values), strict=True))
        sound = row["INDIR"], row["FOLDER"], row["IN FILE"]
        if sound not in sounds:
            problems.add(f"no recording has the path {quoted('/'.join(filter(None, sound)))}", line)
        offset, duration = parsed_number(row["OFFSET"]), parsed_number(row["DURATION"])
        end = row["DURATION"] if offset is None or duration is None else repr(offset + duration)
        check_event(row["OFFSET"], end, row["scientific_name"], species, layout, problems, line)
        check_score(row["confidence"], problems, line)
        _check_place(row["lat"], row["lon"], row["week"], problems, line)
    return problems


def _check_place(latitude: str, longitude: str, week: str, problems: Problems, line: int) -> None:
    for value, limit, name in ((latitude, 90.0, "lat"), (longitude, 180.0, "lon")):
        if value and degrees(value, limit=limit) is None:
            problems.add(f"{name} is {quoted(value)}, it should be degrees from {-limit:g} to {limit:g}", line)
    if week and week not in POSSIBLE_WEEKS:
        problems.add(f"week is {quoted(week)}, it should be from 1 to 48", line)
