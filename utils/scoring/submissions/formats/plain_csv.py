"""One CSV of all detections.

recording,start,end,species,score
site 1/tape1.wav,5.000000,10.000000,Turdus merula,0.912345

With `testing.novelty`, the novelty of the interval is one more column. If recorders tell sites or times of any
recording, three more columns follow: site, and when the interval starts, local and in UTC, as 2021-10-02T19:00:05+02:00
and 2021-10-02T17:00:05Z.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from utils.recordings.recorders.clocks import time_after
from utils.recordings.recorders.metadata import RecorderMetadata, in_utc, iso_text
from utils.scoring.submissions.formats.detections import RecordingDetections
from utils.scoring.submissions.formats.layout import DIGITS, SubmissionLayout
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_event, check_score, quoted
from utils.scoring.submissions.formats.writing import csv_line, text_file

CSV_HEADER = ("recording", "start", "end", "species", "score")
NOVELTY_COLUMN = ("novelty",)  # more columns, if it was asked for
RECORDER_COLUMNS = ("site", "local", "utc")  # if any of them is known


def write_csv_detections(path: Path, recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows.

    Recordings are identified by their path, because file names may repeat; those that cannot be used have no row.
    """
    count, recorded = 0, _has_recorders(layout)
    with text_file(path) as stream:
        stream.write(header_line(layout, recorded=recorded))
        for line in detection_lines(recordings, layout, recorded=recorded):
            stream.write(line)
            count += 1
    return count


def header_line(layout: SubmissionLayout, *, recorded: bool) -> str:
    """Return the first line of such a file; `recorded`: with the columns of what recorders tell."""
    return csv_line(_header(layout, recorded=recorded))


def detection_lines(
    recordings: Iterable[RecordingDetections], layout: SubmissionLayout, *, recorded: bool
) -> Iterator[str]:
    """Yield the line of each detection, under such a header."""
    digits = layout.time_digits
    for file, detections in recordings:
        for one in detections:
            times = f"{one.start:.{digits}f}", f"{one.end:.{digits}f}"
            numbers = [f"{number:.{DIGITS}f}" for number in (one.score, one.novelty) if number is not None]
            origin = recorder_cells(file, one.start, layout) if recorded else ()
            cells = [file, *times, layout.classes[one.class_index], *numbers, *origin]
            yield csv_line([layout.cell(cell) for cell in cells])


def _header(layout: SubmissionLayout, *, recorded: bool) -> tuple[str, ...]:
    return (*CSV_HEADER, *(NOVELTY_COLUMN if layout.novelty else ()), *(RECORDER_COLUMNS if recorded else ()))


def _has_recorders(layout: SubmissionLayout) -> bool:
    return any(one.site or one.started for one in layout.recorders.values())


def recorder_cells(file: str, start: float, layout: SubmissionLayout) -> tuple[str, str, str]:
    """Return the site of a recording, and when an interval of it starts, local and in UTC; '' for what is not known."""
    told = layout.recorders.get(file, RecorderMetadata())
    local = time_after(told.started, start, layout.zone)
    return told.site, iso_text(local), iso_text(in_utc(local))


def check_csv_detections(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a CSV of detections."""
    problems, files, labels = Problems(), set(layout.files), set(layout.classes)
    header = _header(layout, recorded=_has_recorders(layout))
    cells = cells_of(path, problems, separator=",", fields=len(header), quoting=True)
    for index, (line, values) in enumerate(cells):
        if index == 0:
            if tuple(values) != header:
                problems.add(f"the header should be {', '.join(header)}", line)
            continue
        file, start, end, species, score, *more = map(layout.text, values)
        novelty = more[: len(NOVELTY_COLUMN) if layout.novelty else 0]
        if file not in files:
            problems.add(f"no recording has the path {quoted(file)}", line)
        check_event(start, end, species, labels, layout, problems, line)
        for value in (score, *novelty):
            check_score(value, problems, line)
        if more[len(novelty) :] not in ([], list(_origin_of(file, start, layout))):
            problems.add(f"site or times are not those of {quoted(file)}", line)
    return problems


def _origin_of(file: str, start: str, layout: SubmissionLayout) -> tuple[str, str, str]:
    try:
        return recorder_cells(file, float(start), layout)
    except (ValueError, OverflowError):  # not a time, as other checks tell
        return "", "", ""
