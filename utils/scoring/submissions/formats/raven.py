"""Selection tables of Raven, one for each recording, named as Raven does, so that each can be opened with its sound.

One table for all recordings would not do: Raven takes its times as positions in all open sounds, one after the other.

    Selection  View           Channel  Begin Time (s)  End Time (s)  Low Freq (Hz)  High Freq (Hz)
    1          Spectrogram 1  1        5.000000        10.000000     500.0          15000.0
    … continued: Begin File  File Offset (s)  Species        Score
                 tape1.wav   5.000000         Turdus merula  0.912345

Source: the manual of Raven Pro (ravensoundsoftware.com), Selection tables; BirdNET-Analyzer writes one per recording,
too.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from utils.scoring.submissions.formats.detections import Detection, RecordingDetections
from utils.scoring.submissions.formats.layout import DIGITS, SubmissionLayout, tab_cell
from utils.scoring.submissions.formats.problems import (
    Problems,
    cells_of,
    check_event,
    check_score,
    parsed_number,
    quoted,
)
from utils.scoring.submissions.formats.tables import check_tables, write_tables

RAVEN_ENDING = ".Table.1.selections.txt"
RAVEN_HEADER = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "File Offset (s)",
    "Species",
    "Score",
)


def write_raven(path: Path, recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> int:
    """Write the folder; return the number of rows of all tables.

    A recording without detections has a table with its header only; recordings that cannot be used have none.
    """
    labels, (low, high), digits = (
        [tab_cell(label) for label in layout.classes],
        layout.settings.band,
        layout.time_digits,
    )

    def selection_line(selection: int, file: str, one: Detection) -> str:
        name, start = tab_cell(PurePosixPath(file).name), f"{one.start:.{digits}f}"
        box = f"{start}\t{one.end:.{digits}f}\t{low:.1f}\t{high:.1f}"
        return (
            f"{selection}\tSpectrogram 1\t1\t{box}\t{name}\t{start}\t{labels[one.class_index]}\t{one.score:.{DIGITS}f}"
        )

    header = "\t".join(RAVEN_HEADER) + "\n"
    return write_tables(path, recordings, layout, ending=RAVEN_ENDING, line_of=selection_line, header=header)


def check_raven(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a folder of selection tables."""
    labels = {tab_cell(label) for label in layout.classes}
    return check_tables(
        path,
        layout,
        ending=RAVEN_ENDING,
        check_table=lambda table, problems: _check_selections(table, labels, layout, problems),
    )


def _check_selections(table: Path, labels: set[str], layout: SubmissionLayout, problems: Problems) -> None:
    for selection, (line, values) in enumerate(cells_of(table, problems, separator="\t", fields=len(RAVEN_HEADER))):
        if selection == 0:
            if tuple(values) != RAVEN_HEADER:
                problems.add("the header is not that of Raven's and the other tables", line)
            continue
        row = dict(zip(RAVEN_HEADER, values, strict=True))
        if row["Selection"] != str(selection):
            problems.add(f"the selection is {quoted(row['Selection'])}, it should be {selection}", line)
        low, high = parsed_number(row["Low Freq (Hz)"]), parsed_number(row["High Freq (Hz)"])
        if low is None or high is None or not 0 <= low < high:
            problems.add("the lowest frequency should be below the highest", line)
        check_event(row["Begin Time (s)"], row["End Time (s)"], row["Species"], labels, layout, problems, line)
        check_score(row["Score"], problems, line)
