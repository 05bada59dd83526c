"""What Raven, Audacity and programs that read CSV would refuse, or take for something else."""

from pathlib import Path

from utils.scoring.submissions.formats import audacity, plain_csv, raven
from utils.scoring.submissions.formats.problems import Problems, cells_of, check_score, number_of, shown
from utils.scoring.submissions.formats.sheet import SHORTEST, Sheet, cell
from utils.scoring.submissions.formats.tables import table_names


def check_folder(path: Path, sheet: Sheet) -> Problems:
    """Check a folder of Raven's or Audacity's tables; recordings that could not be used have none."""
    problems = Problems()
    ending = raven.ENDING if sheet.settings.format == "raven" else audacity.ENDING
    known = set(table_names(sheet.files, ending=ending).values())
    if not path.is_dir():
        problems.add("should be a folder, with a file for each recording")
        return problems
    for table in sorted(file for file in path.rglob("*") if file.is_file()):
        name = table.relative_to(path).as_posix()
        of_it = Problems(name)
        if name not in known:
            of_it.add("is named for no recording")
        elif sheet.settings.format == "raven":
            _check_raven(table, sheet, of_it)
        elif table.stat().st_size:
            _check_audacity(table, sheet, of_it)
        problems.join(of_it)
    return problems


def check_csv(path: Path, sheet: Sheet) -> Problems:
    """Check a CSV of who is called where."""
    problems, files, labels = Problems(), set(sheet.files), set(sheet.classes)
    for number, (line, values) in enumerate(
        cells_of(path, problems, separator=",", fields=len(plain_csv.HEADER), quoting=True)
    ):
        if number == 0:
            if tuple(values) != plain_csv.HEADER:
                problems.add(f"the headings should be {', '.join(plain_csv.HEADER)}", line)
            continue
        file, start, end, species, score = values
        if file not in files:
            problems.add(f"no recording is called {shown(file)}", line)
        _check_event(start, end, species, labels, sheet, problems, line)
        check_score(score, problems, line)
    return problems


def _check_raven(table: Path, sheet: Sheet, problems: Problems) -> None:
    labels = {cell(label) for label in sheet.classes}
    for number, (line, values) in enumerate(cells_of(table, problems, separator="\t", fields=len(raven.HEADER))):
        if number == 0:
            if tuple(values) != raven.HEADER:
                problems.add("these are not the headings that Raven and the other tables have", line)
            continue
        row = dict(zip(raven.HEADER, values, strict=True))
        if row["Selection"] != str(number):
            problems.add(f"the selection is {shown(row['Selection'])}, it should be {number}", line)
        low, high = number_of(row["Low Freq (Hz)"]), number_of(row["High Freq (Hz)"])
        if low is None or high is None or not 0 <= low < high:
            problems.add("the lowest frequency should be below the highest", line)
        _check_event(row["Begin Time (s)"], row["End Time (s)"], row["Species"], labels, sheet, problems, line)
        check_score(row["Score"], problems, line)


def _check_audacity(table: Path, sheet: Sheet, problems: Problems) -> None:
    labels = {cell(label) for label in sheet.classes}
    for line, (start, end, species) in cells_of(table, problems, separator="\t", fields=3):
        _check_event(start, end, species, labels, sheet, problems, line)


def _check_event(
    start: str, end: str, species: str, labels: set[str], sheet: Sheet, problems: Problems, line: int
) -> None:
    begin, stop = number_of(start), number_of(end)
    if begin is None or stop is None:
        problems.add(f"the times {shown(start)} and {shown(end)} should be seconds, with a point", line)
    elif not 0 <= begin < stop:
        problems.add(f"the event from {begin:g} to {stop:g} s is empty, or begins before the recording", line)
    elif not sheet.monophone:
        apart = begin % sheet.settings.interval
        if min(apart, sheet.settings.interval - apart) > SHORTEST or stop - begin > sheet.settings.interval + SHORTEST:
            problems.add(f"from {begin:g} to {stop:g} s is no interval of {sheet.settings.interval:g} s", line)
    if species not in labels:
        problems.add(f"no class is called {shown(species)}", line)
