"""Which tables of annotations speak of the recordings in a folder: those in it, in the folder above, in the archive."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from config import Columns, Dataset
from utils.console import printable, warning
from utils.recordings.audio_files import sounds_below
from utils.recordings.event_tables import TableLayout, is_table, read_layout, read_rows, tables_below
from utils.recordings.kaggle_soundscapes import soundscape_tables
from utils.recordings.sorted_folders import TOOLKIT_FILES
from utils.recordings.sound_finder import SoundFinder


def tables_outside(archive: Path, without: Path | None, *, below: bool = True) -> Iterator[Path]:
    """Yield the files of an archive that may be tables, except those in the folder `without` (a path below it).

    Kaggle's labels of soundscapes are left out, too: read as annotations, times without a row would count as absence.

    Parameters
    ----------
    below : whether files in the folders below count
    """
    kaggle = set(soundscape_tables(archive))
    for table in tables_below(archive) if below else _tables_in(archive):
        if table not in kaggle and (without is None or not table.is_relative_to(without)):
            yield table


def _tables_in(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if is_table(file) and not file.is_dir())
    except PermissionError:  # the folder above may be of others
        return []


@dataclass(frozen=True)
class AnnotationSource:
    """Tables that may hold annotations, and the recordings that they may mean.

    Attributes
    ----------
    folder : its recordings are wanted
    home : folder of the tables; if it is not `folder`, both are absolute
    tables : the files that may be tables
    moved : files that were in the home before sorting moved them
    """

    folder: Path
    home: Path
    tables: Sequence[Path]
    moved: Sequence[Path] = ()

    @property
    def is_elsewhere(self) -> bool:
        """Whether the tables are outside of the folder, and may mean other recordings, too."""
        return self.home != self.folder

    @cached_property
    def sounds(self) -> SoundFinder:
        """The audio files of the folder, and those at home: a name in a table means the nearest one."""
        inside = list(sounds_below(self.folder))
        return SoundFinder([*inside, *(self._others_at_home() if self.is_elsewhere else []), *self.moved])

    def _others_at_home(self) -> list[Path]:
        inside: dict[Path, bool] = {}
        others = []
        for sound in sounds_below(self.home):
            if sound.parent not in inside:  # a link may lead to the folder
                inside[sound.parent] = sound.parent.resolve().is_relative_to(self.folder)
            others += [] if inside[sound.parent] else [sound]
        return others

    def wants(self, sound: Path) -> bool:
        """Tell whether a recording is in the folder."""
        return not self.is_elsewhere or sound.is_relative_to(self.folder)

    def name_of(self, file: Path) -> str:
        """Return the path of a file below the folder, else below the home, as messages show it."""
        return file.relative_to(self.folder if file.is_relative_to(self.folder) else self.home).as_posix()


def source_beside(archive: Path, moved: Sequence[Path] = (), *, without: Path | None = None) -> AnnotationSource:
    """Return the tables in a folder and below.

    Parameters
    ----------
    moved : files that were in it before sorting moved them
    without : a folder in it whose tables are skipped
    """
    return AnnotationSource(archive, archive, list(tables_outside(archive, without)), moved)


def source_elsewhere(folder: Path, settings: Dataset, *, without: Path | None = None) -> AnnotationSource | None:
    """Return the tables that mean recordings of a folder, but are not in it; None if there are none.

    Looked through are the tables directly in the folder above, then those directly in the archive, and, if it is apart
    from the data set's root, everywhere in it, as sort_data.py does.

    Parameters
    ----------
    without : a folder whose tables are skipped
    """
    folder, without = folder.resolve(), without and without.resolve()
    inside = AnnotationSource(folder, folder, ())  # its sounds are looked for only if there is a table
    for home, tables in _homes(folder, settings):
        means = {
            table: _means_some(table, settings.columns, inside) for table in tables if not table.is_relative_to(folder)
        }
        if without and any(wanted and table.parent == without == home for table, wanted in means.items()):
            warning(
                f"{printable(home)}: submissions are written there, so that its tables are not read as annotations of "
                f"{printable(folder)}; set submission.folder to another folder to compare with them"
            )
        means = {table: wanted for table, wanted in means.items() if not (without and table.is_relative_to(without))}
        if any(means.values()):  # the other tables may have the names of species
            return AnnotationSource(folder, home, [table for table, wanted in means.items() if wanted is not False])
    return None


def _homes(folder: Path, settings: Dataset) -> Iterator[tuple[Path, Iterable[Path]]]:
    root, archive = settings.root.resolve(), (settings.archive_folder or settings.root).resolve()
    for home in dict.fromkeys((folder.parent, archive)):
        if home.is_dir() and home != folder:
            yield home, tables_outside(home, None, below=False)
    if archive.is_dir() and not archive.is_relative_to(root) and archive != folder:
        written = TOOLKIT_FILES if (archive / "split.parquet").is_file() else ()
        ours = [root, *(archive / name for name in written)]
        everywhere = tables_outside(archive, None)
        yield archive, (table for table in everywhere if not any(table.is_relative_to(one) for one in ours))


def _means_some(table: Path, columns: Columns, inside: AnnotationSource) -> bool | None:
    """Tell whether a table of annotations names a sound inside, or is named after one; None: it is another table."""
    try:
        layout = read_layout(table, columns)
        if not layout or not layout.holds_events:
            return None
        return inside.sounds.has_sound_for(table) or names_some(table, layout, inside.sounds) is True
    except (OSError, ValueError):
        return None


def names_some(table: Path, layout: TableLayout, sounds: SoundFinder) -> bool | None:
    """Tell whether a table names a sound in its rows; None: it has no rows yet."""
    if not layout.names_files:
        return False
    names = dict.fromkeys(row.file for row in read_rows(table, layout))
    return any(sounds.knows(name) for name in names if name) if names else None
