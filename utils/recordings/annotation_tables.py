"""Which files of an archive are annotation tables."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from config import Columns
from utils.console import Failure
from utils.recordings.annotation_source import AnnotationSource
from utils.recordings.event_tables import TableLayout, has_rows, read_layout, stems_of_blank_table
from utils.recordings.recording import failure_of
from utils.recordings.sound_finder import SoundFinder
from utils.recordings.table_problems import no_species
from utils.tables import find_column


def is_annotation_table(table: Path, layout: TableLayout, sounds: SoundFinder) -> bool:
    """Tell whether a table holds annotations; without headings, it must be named after an audio file."""
    return layout.holds_events and (layout.format != "Sonic Visualiser layers" or sounds.has_sound_for(table))


@dataclass(frozen=True)
class FoundTables:
    """The files of an archive that may be tables.

    Attributes
    ----------
    tables : annotation tables
    others : other tables
    blank : audio files, each with the table that is named after it and has no rows
    unread : tables that cannot be read
    failures : why they cannot be read
    """

    tables: dict[Path, TableLayout] = field(default_factory=dict)
    others: dict[Path, TableLayout] = field(default_factory=dict)
    blank: list[tuple[Path, Path]] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def find_tables(source: AnnotationSource, columns: Columns) -> FoundTables:
    """Look through the files that may be tables.

    Parameters
    ----------
    columns : headings from the settings; the others are recognised
    """
    found, sounds = FoundTables(), source.sounds
    for table in source.tables:
        try:
            layout = read_layout(table, columns)
        except (OSError, ValueError) as error:
            found.unread.append(table)
            found.failures.append(failure_of(source.name_of(table), read_error(error)))
            continue
        if layout is None:
            stems = stems_of_blank_table(table)
            found.blank.extend([(sound, table) for stem in stems for sound in sounds.in_folder(table.parent, stem)][:1])
        else:
            _add_table(found, table, layout, source)
    return found


def _add_table(found: FoundTables, table: Path, layout: TableLayout, source: AnnotationSource) -> None:
    sounds = source.sounds
    if is_annotation_table(table, layout, sounds):
        found.tables[table] = layout
    elif "start" in layout.positions and (layout.names_files or layout.format == "Raven selection tables"):
        # Raven has no species column until the user adds one
        if sounds.has_sound_for(table) and not has_rows(table, layout):
            found.blank.append((sounds.find_for_table(table), table))
            return
        found.unread.append(table)
        found.failures.append(failure_of(source.name_of(table), no_species(layout)))
    else:
        found.others[table] = layout


def most_likely_table(layouts: Mapping[Path, TableLayout], columns: Columns) -> dict[Path, TableLayout]:
    """Return the table that has the most columns of those that the settings name; empty if there are no tables."""
    given = [name for name in asdict(columns).values() if name]
    tables = sorted(
        layouts, key=lambda table: -sum(find_column(layouts[table].headings, [name]) is not None for name in given)
    )
    return {table: layouts[table] for table in tables[:1]}


def read_error(error: OSError | ValueError) -> str:
    """Return why a table cannot be read."""
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
