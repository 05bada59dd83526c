"""Labels of Audacity, one file for each recording: File, Import, Labels.

    5.000000    10.000000   Turdus merula

A label is the species alone, without its score, so that labels that somebody has corrected can be learned from as they are.

Source: manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.scoring.formats.sheet import Sheet, called, cell, usable
from utils.scoring.formats.tables import table_names
from utils.scoring.formats.writing import table_folder, text_file
from utils.scoring.intervals import IntervalScores

ENDING = "_labels.txt"


def write(path: Path, results: Iterable[IntervalScores], sheet: Sheet) -> int:
    """Write the folder; return all labels. Where nobody is called, a file is empty; recordings that cannot be used have none."""
    names, count = table_names(sheet.files, ending=ENDING), 0
    labels = [cell(label) for label in sheet.classes]
    with table_folder(path, ending=ENDING) as folder:
        for one in usable(results, sheet):
            with text_file(folder / names[one.file], lasting=False) as stream:
                for interval, number in np.argwhere(called(one, sheet)).tolist():
                    stream.write(f"{one.starts[interval]:.6f}\t{one.ends[interval]:.6f}\t{labels[number]}\n")
                    count += 1
    return count
