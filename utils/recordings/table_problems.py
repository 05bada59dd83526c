"""Why files that look like annotation tables are not read as such."""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from config import Columns
from utils.encodings import decoded, undecoded
from utils.files import check_plain
from utils.recordings.annotation_formats import NOT_READ, PRAAT_EXPORT, PROGRAM_SUFFIXES, export_hint, program_hint
from utils.recordings.audio_files import sounds_below
from utils.recordings.event_layout import SEPARATORS, TableLayout, find_layout, is_number
from utils.recordings.event_tables import TABLE_SUFFIXES, read_layout, read_rows, stems_of_blank_table
from utils.recordings.sound_finder import SoundFinder
from utils.recordings.table_sample import (
    LONGEST_HEADING,
    SAMPLE_ROWS,
    TableSample,
    is_list,
    lacks_headings,
    looks_like_table,
)
from utils.tables import csv_rows, first_line, without_preamble

_SAMPLE_BYTES = 65_536  # enough to tell what a file is
_LONGEST_HEADINGS = 110  # characters of all headings in a message
_MAX_TITLE_LINES = 8  # above the headings
_REQUIRED = {"start": "start times", "species": "species"}
_PROSE = re.compile(
    r"(read.?me|licen[cs]e|copying|notice|authors|change.?log|changes|history|version|contributors|citation|manifest"
    r"|checksums?|md5(sums?)?|sha\d+(sums?)?|requirements|robots)\b.*|.*\.(md5|sha1|sha256|sha512)\.txt"
)
# tables that never hold annotations; the last are summaries of Song Meter recorders
_OTHER_TABLES = re.compile(r".*birdnet_analysis_params.*\.csv|read.?me\.csv|.*_summary\.txt")


def explain(table: Path, columns: Columns, sounds: SoundFinder | Collection[Path] | None = None) -> str:
    """Return why a file is not read as annotations; '' if it does not look like annotations.

    Parameters
    ----------
    columns : headings from the settings; the others are recognised
    sounds : the audio files of the archive; None: those in the table's folder and below it
    """
    name = table.name.lower()
    if _OTHER_TABLES.fullmatch(name) or (name.endswith(".txt") and _PROSE.fullmatch(name)):
        return ""
    if hint := export_hint(name):
        return hint
    if not name.endswith((*TABLE_SUFFIXES, *PROGRAM_SUFFIXES)):
        return ""
    try:
        check_plain(table)
        if table.is_symlink() and not table.exists():
            return f"{NOT_READ}: is a broken link"
        if not table.is_file():
            return ""
        with table.open("rb") as stream:
            content = stream.read(_SAMPLE_BYTES)
        if not name.endswith(TABLE_SUFFIXES):
            return program_hint(content.decode("utf-8", "replace"), name)
        searched = "in its folder" if sounds is None else "in the archive"
        if not isinstance(sounds, SoundFinder):
            sounds = SoundFinder(sounds_below(table.parent) if sounds is None else sounds)
        reason = _table_problem(table, content, columns, sounds, searched)
        return f"{NOT_READ}: {reason}" if reason else ""
    except OSError as error:
        return f"{NOT_READ}: cannot be read ({error.strerror})"
    except ValueError as error:
        return f"{NOT_READ}: {error}"


def no_species(layout: TableLayout) -> str:
    """Return the message that a table has no species column."""
    return f"no column for species; the columns are {_shortened_list(layout.headings)} (set dataset.columns.species)"


def _table_problem(table: Path, content: bytes, columns: Columns, sounds: SoundFinder, searched: str) -> str:
    """Return why a table is not read; '' if it does not look like annotations.

    Parameters
    ----------
    content : the start of the file
    searched : where its audio files were searched, for messages
    """
    lines, separator = without_preamble(decoded(content).lines)
    first = first_line(lines)
    prose = table.suffix.lower() == ".txt"
    if not first:
        beside = any(sounds.in_folder(table.parent, stem) for stem in stems_of_blank_table(table))
        return "is empty; with dataset.kind = annotations, that means no species" if beside else ""
    if undecoded(first) or "\0" in first:
        return "" if prose else "is not text in UTF-8, UTF-16 or Windows-1252"
    if 'File type = "ooTextFile"' in first:
        return PRAAT_EXPORT
    layout = read_layout(table, columns)
    separator = layout.separator if layout else separator or max(SEPARATORS, key=first.count)
    rows = [
        row
        for _, (_, row) in zip(range(SAMPLE_ROWS), csv_rows(lines, separator=separator), strict=False)
        if row and any(map(str.strip, row))
    ]
    if not layout or is_list(rows, lines, separator) or (prose and not looks_like_table(rows, layout, separator)):
        return ""
    cells = [[cell.strip() for cell in row] for row in rows]
    sample = TableSample(layout, cells[1:], sounds)
    only_numbers = all(is_number(cell) for row in cells for cell in row if cell)
    if layout.holds_events and (layout.headings or not only_numbers):
        return _why_unused(table, sample, searched)
    if lacks_headings(cells[0], sounds):
        return _heading_problem(TableSample(layout, cells, sounds), lines, columns, prose=prose)
    return _missing_columns(table, sample) if sample.may_be_annotations(table) else ""


def _heading_problem(sample: TableSample, lines: Sequence[str], columns: Columns, *, prose: bool) -> str:
    """Return what is wrong with a table whose first line holds no headings; '' if it does not look like annotations."""
    if sample.has_times:
        return "has no headings; add them as its first line, such as file,start,end,species"
    if _has_headings_below(lines, columns, prose=prose):
        return "its headings are not in its first line; remove the lines above them"
    return ""


def _has_headings_below(lines: Sequence[str], columns: Columns, *, prose: bool) -> bool:
    """Tell whether the headings of annotations follow a few lines of titles."""
    filled = [index for index, line in enumerate(lines) if line.strip()]
    for index in filled[1:_MAX_TITLE_LINES]:
        with suppress(ValueError):
            layout = find_layout(lines[index:], columns, prose=prose)
            if layout and layout.headings and layout.holds_events:
                return True
    return False


def _missing_columns(table: Path, sample: TableSample) -> str:
    """Return which columns a table lacks."""
    layout = sample.layout
    has_sounds = layout.names_files or bool(sample.file_column) or sample.sounds.has_sound_for(table)
    missing = {kind: what for kind, what in _REQUIRED.items() if kind not in layout.positions}
    missing |= {} if has_sounds else {"file": "audio files"}
    settings = " and ".join(f"dataset.columns.{kind}" for kind in missing)
    *others, last = missing.values()
    what = f"columns for {', '.join(others)} and {last}" if others else f"column for {last}"
    reason = f"no {what}; the columns are {_shortened_list(layout.headings)} (set {settings})"
    return f"{_file_column_hint(sample)}; {reason}" if sample.file_column and not layout.names_files else reason


def _file_column_hint(sample: TableSample) -> str:
    column = sample.file_column
    return f"column {column!r} holds the names of audio files: set dataset.columns.file = {column}"


def _why_unused(table: Path, sample: TableSample, searched: str) -> str:
    """Return why a table whose annotations can be read is not used."""
    layout, sounds = sample.layout, sample.sounds
    holds = f"holds annotations ({layout.format})"
    use = "set dataset.kind = annotations to use it"
    if not layout.names_files:
        if sounds.has_sound_for(table):
            return f"{holds}; {use}"
        if sample.file_column:
            return _file_column_hint(sample)
        if not layout.headings:
            return f"{holds}, but is not named after an audio file {searched}"
        columns = f"the columns are {_shortened_list(layout.headings)} (set dataset.columns.file)"
        return f"is not named after an audio file {searched}, and no column holds file names; {columns}"
    names = dict.fromkeys(row.file for row in read_rows(table, layout) if row.file)
    if not names:
        return "has the headings of annotations, but no rows"
    if any(sounds.knows(name) for name in names):
        return f"{holds}; {use}"
    return f"names audio files that are not {searched}, such as {next(iter(names))[:LONGEST_HEADING]!r}"


def _shortened_list(names: Sequence[str]) -> str:
    text = ", ".join(names)
    return text if len(text) <= _LONGEST_HEADINGS else f"{text[:_LONGEST_HEADINGS]}…"
