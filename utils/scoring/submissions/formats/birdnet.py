"""The table of BirdNET-Analyzer, with the detections of all recordings.

    Start (s),End (s),Scientific name,Common name,Confidence,File
    5.000000,10.000000,Turdus merula,Eurasian Blackbird,0.912345,soundscapes/site 1/tape1.wav

File is the path from where the script was started, as BirdNET-Analyzer writes it. A class without a common name has its
scientific name there: BirdNET-Analyzer sorts segments into folders by this column.

Source: BirdNET-Analyzer 2, `birdnet_analyzer/analyze/utils.py` (csv, and `--combine_results`).
"""

from collections.abc import Iterable
from pathlib import Path

from utils.scoring.submissions.formats.detections import RecordingDetections
from utils.scoring.submissions.formats.layout import DIGITS, SubmissionLayout
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_event, check_score, quoted
from utils.scoring.submissions.formats.species_names import species_names
from utils.scoring.submissions.formats.writing import csv_line, text_file

BIRDNET_HEADER = ("Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File")


def write_birdnet(path: Path, recordings: Iterable[RecordingDetections], layout: SubmissionLayout) -> int:
    """Write the file; return its number of rows. Recordings that cannot be used have no row."""
    names, digits, count = species_names(layout), layout.time_digits, 0
    with text_file(path) as stream:
        stream.write(csv_line(BIRDNET_HEADER))
        for file, detections in recordings:
            sound = (layout.recordings / file).as_posix()
            for one in detections:
                name = names[one.class_index]
                times = f"{one.start:.{digits}f}", f"{one.end:.{digits}f}"
                cells = [*times, name.scientific, name.shown, f"{one.score:.{DIGITS}f}", sound]
                stream.write(csv_line([layout.cell(cell) for cell in cells]))
                count += 1
    return count


def check_birdnet(path: Path, layout: SubmissionLayout) -> Problems:
    """Check a table of BirdNET-Analyzer."""
    problems, names = Problems(), species_names(layout)
    sounds = {(layout.recordings / file).as_posix() for file in layout.files}
    known, species = {(name.scientific, name.shown) for name in names}, {name.scientific for name in names}
    cells = cells_of(path, problems, separator=",", fields=len(BIRDNET_HEADER), quoting=True)
    for index, (line, values) in enumerate(cells):
        if index == 0:
            if tuple(values) != BIRDNET_HEADER:
                problems.add(f"the header should be {', '.join(BIRDNET_HEADER)}", line)
            continue
        start, end, scientific, common, score, sound = map(layout.text, values)
        if sound not in sounds:
            problems.add(f"no recording has the path {quoted(sound)}", line)
        check_event(start, end, scientific, species, layout, problems, line)
        if scientific in species and (scientific, common) not in known:
            problems.add(f"{quoted(common)} is not the common name of {quoted(scientific)}", line)
        check_score(score, problems, line)
    return problems
