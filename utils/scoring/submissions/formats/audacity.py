"""Labels of Audacity, one file for each recording: File, Import, Labels.

    5.000000    10.000000   Turdus merula

A label is the species alone, without its score, so that corrected labels can be used for training as they are.

Source: manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from collections.abc import Iterable
from pathlib import Path

from utils.scoring.submissions.formats.detections import Detection, RecordingDetections
from utils.scoring.submissions.formats.layout import SubmissionLayout, tab_cell
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_event
from utils.scoring.submissions.formats.tables import check_tables, write_tables

AUDACITY_ENDING = "_labels.txt"


def write_audacity(path: Path, recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> int:
    """Write the folder; return the number of labels.

    A recording without detections has an empty file; recordings that cannot be used have none.
    """
    labels, digits = [tab_cell(label) for label in layout.classes], layout.time_digits

    def label_line(index: int, file: str, one: Detection) -> str:
        return f"{one.start:.{digits}f}\t{one.end:.{digits}f}\t{labels[one.class_index]}"

    return write_tables(path, recordings, layout, ending=AUDACITY_ENDING, line_of=label_line)


def check_audacity(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a folder of labels."""
    labels = {tab_cell(label) for label in layout.classes}

    def check_labels(table: Path, problems: Problems) -> None:
        if table.stat().st_size:
            for line, (start, end, species) in cells_of(table, problems, separator="\t", fields=3):
                check_event(start, end, species, labels, layout, problems, line)

    return check_tables(path, layout, ending=AUDACITY_ENDING, check_table=check_labels)
