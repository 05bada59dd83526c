"""Reader of the BirdCLEF archives from Kaggle, 2021 to 2026.

A table lists the recordings in `train_short_audio/` or `train_audio/`; labels of soundscapes are in a table of their
own, see `kaggle_soundscapes`; an archive may hold only these. Labels are codes: eBird's ('amerob'), or numbers of
iNaturalist for species that are not birds.

Source: the data pages of the competitions, kaggle.com/competitions/birdclef-2021/data and those of the later years.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from config import Dataset
from utils.console import Failure, UserError
from utils.recordings.audio_files import check_readable, date_and_time_in, path_below, sounds_below, sounds_in
from utils.recordings.kaggle_soundscapes import (
    SOUNDSCAPE_FOLDER,
    SOUNDSCAPE_TABLES,
    LabelledSoundscape,
    SoundscapeLabels,
    read_soundscape_labels,
    soundscape_folder,
    soundscape_tables,
    unknown_labels,
)
from utils.recordings.labels import read_aliases, read_taxonomy
from utils.recordings.names import plain_name
from utils.recordings.recording import (
    NOISE,
    Contents,
    Recording,
    Taxon,
    check_label,
    clean_labels,
    degrees,
    failure_of,
)
from utils.tables import read_foreign, reason_of

_RECORDING_TABLES = ("train_metadata.csv", "train.csv")
_RECORDING_FOLDERS = ("train_short_audio", "train_audio")
# columns of scientific name, code and common name: Kaggle's, eBird's
_TAXON_COLUMNS = (("scientific_name", "primary_label", "common_name"), ("SCI_NAME", "SPECIES_CODE", "PRIMARY_COM_NAME"))
# folders whose sounds need no labels
_UNLABELLED_FOLDERS = (SOUNDSCAPE_FOLDER, "unlabeled_soundscapes", "test_soundscapes", "test_audio")


_DEFAULT_SETTINGS = Dataset()


def is_kaggle(archive: Path, moved: Sequence[Path] = ()) -> bool:
    """Tell whether a folder has the structure of a BirdCLEF archive from Kaggle, or of its labelled soundscapes.

    Parameters
    ----------
    moved : sounds that were in the archive before sorting moved them
    """
    return _has_recordings(archive) or _has_soundscapes(archive, moved)


def _has_recordings(archive: Path) -> bool:
    return any((archive / table).is_file() for table in _RECORDING_TABLES) and any(
        (archive / folder).is_dir() for folder in _RECORDING_FOLDERS
    )


def _has_soundscapes(archive: Path, moved: Sequence[Path]) -> bool:
    folder = soundscape_folder(archive, moved)
    return bool(soundscape_tables(archive)) and bool(
        sounds_in(folder) or any(sound.parent == folder for sound in moved)
    )


def read_kaggle(archive: Path, settings: Dataset = _DEFAULT_SETTINGS, moved: Sequence[Path] = ()) -> Contents:
    """Read the table of recordings, the labels of soundscapes and the names of species.

    Parameters
    ----------
    settings : names of species; labels of soundscapes that nobody knows are failures
    moved : sounds that were in the archive before sorting moved them

    Raises
    ------
    UserError
        If the table of recordings cannot be read, or lacks a necessary column.
    """
    recordings: dict[Path, Recording] = {}
    rows: dict[str, dict[str, str]] = {}
    failures: list[Failure] = []
    folder, description = None, []
    if _has_recordings(archive) or not _has_soundscapes(archive, moved):
        table = next(archive / name for name in _RECORDING_TABLES if (archive / name).is_file())
        folder = next(archive / name for name in _RECORDING_FOLDERS if (archive / name).is_dir())
        rows, failures = _add_recordings(recordings, table, folder)
        description.append(f"{table.name} + {folder.name}/")
    labels = read_soundscape_labels(archive, moved=moved)
    failures += labels.failures + _add_soundscapes(recordings, labels, archive)
    description += [] if folder else [table.name for table in labels.tables]
    sounds = list(sounds_below(folder)) if folder else []
    failures += [
        Failure(sound.relative_to(archive).as_posix(), "no usable row names it")
        for sound in sounds
        if sound not in recordings
    ]
    taxon_rows, unread = _read_taxon_rows(archive)
    taxa = _taxa_of_rows([*rows.values(), *taxon_rows])
    failures += unknown_labels(labels, _known_labels([*rows.values(), *taxon_rows], settings))
    ordered = sorted(recordings.values(), key=lambda recording: recording.name)
    return Contents(
        f"BirdCLEF archive from Kaggle ({', '.join(description)})",
        ordered,
        failures + unread,
        taxa,
        seen=frozenset([*sounds, *recordings, *labels.unusable, *_known_tables(archive)]),
        folders=(folder or soundscape_folder(archive, moved),),
        unlabelled=_unlabelled(archive, labels).difference(recordings),
        tables={one.file: (one.table.name,) for one in labels.soundscapes},
    )


def _unlabelled(archive: Path, labels: SoundscapeLabels) -> frozenset[Path]:
    """Return the sounds that need no labels; those that a table names are not among them."""
    beside = sounds_in(archive) if labels.tables and soundscape_folder(archive) == archive else []
    found = [sound for name in _UNLABELLED_FOLDERS for sound in sounds_below(archive / name)]
    return frozenset([*found, *beside]) - frozenset(labels.unusable)


def _add_recordings(
    recordings: dict[Path, Recording], table: Path, folder: Path
) -> tuple[dict[str, dict[str, str]], list[Failure]]:
    """Add the recordings that a table names; return its rows, and what cannot be used."""
    read = read_foreign(table, needed=("primary_label", "filename"), separators=",")
    failures = list(read.bad)
    for line, row in read.rows.items():
        try:
            _add_unique(_recording_of_row(row, folder), recordings)
        except ValueError as error:
            failures.append(failure_of(line, error))
    return read.rows, failures


def _known_tables(archive: Path) -> list[Path]:
    """Return the tables of Kaggle's archives, whether they are used or not."""
    others = ("taxonomy.csv", "sample_submission.csv", "test.csv")
    return [
        *(archive / name for name in (*_RECORDING_TABLES, *SOUNDSCAPE_TABLES, *others)),
        *archive.glob("eBird_Taxonomy*.csv"),
    ]


def _add_unique(recording: Recording, recordings: dict[Path, Recording]) -> None:
    if recording.file in recordings:
        raise ValueError("an earlier row names the same sound")
    recordings[recording.file] = recording


def _recording_of_row(row: Mapping[str, str], folder: Path) -> Recording:
    code = " ".join(row["primary_label"].split())
    species = check_label(code)
    filename = row["filename"].strip()
    # in 2021, file names lack the label's folder
    file = _file_below(folder, filename if "/" in filename else f"{code}/{filename}")
    check_readable(file)
    others = [check_label(label) for label in _parse_labels(row.get("secondary_labels", "")) if label.strip()]
    return Recording(
        name=plain_name(file.stem),
        file=file,
        species=species,
        background=clean_labels((label for label in others if label != NOISE), without=species),
        class_id=code,
        common_name=row.get("common_name", "").strip(),
        author=row.get("author", "").strip(),
        date=row.get("date", "").strip(),
        time=row.get("time", "").strip(),
        latitude=degrees(row.get("latitude"), limit=90.0),
        longitude=degrees(row.get("longitude"), limit=180.0),
        quality=row.get("rating", "").strip(),
        licence=row.get("license", "").strip(),
        url=row.get("url", "").strip(),
    )


def _file_below(folder: Path, filename: str) -> Path:
    try:
        return path_below(folder, filename)
    except ValueError as error:
        raise ValueError(f"cannot use its filename: {error}") from None


def _parse_labels(text: str) -> list[str]:
    """Return the labels of a list in Python's notation, such as "['amered', 'amerob']"."""
    found = re.fullmatch(r"\s*\[(.*)\]\s*|\s*", text, re.DOTALL)
    inner = (found[1] or "") if found else text
    quoted = r"'([^']*)'|\"([^\"]*)\""
    if not found or re.sub(f"{quoted}|,", "", inner).strip():
        raise ValueError(f"cannot read its secondary_labels: {text!r}")
    return [one or other for one, other in re.findall(quoted, inner)]


def _add_soundscapes(recordings: dict[Path, Recording], labels: SoundscapeLabels, archive: Path) -> list[Failure]:
    """Add the labelled soundscapes to the recordings; return what cannot be used."""
    failures = []
    for soundscape in labels.soundscapes:
        try:
            _add_unique(_recording_of_soundscape(soundscape), recordings)
        except ValueError as error:
            failures.append(failure_of(soundscape.file.relative_to(archive).as_posix(), error))
    return failures


def _recording_of_soundscape(soundscape: LabelledSoundscape) -> Recording:
    check_readable(soundscape.file)
    date, time = date_and_time_in(soundscape.file.stem)
    return Recording(
        name=plain_name(soundscape.file.stem),
        file=soundscape.file,
        species="" if soundscape.events else NOISE,
        events=soundscape.events,
        locality=soundscape.windows[0].site,
        date=date,
        time=time,
        unsure=soundscape.unsure,
        labelled=soundscape.labelled,
    )


def names_of_species(folders: Iterable[Path], settings: Dataset) -> tuple[list[Taxon], frozenset[str]]:
    """Read the tables of species of Kaggle's archives that are directly in some folders.

    Tables that cannot be read are skipped: sort_data.py reports them.

    Returns
    -------
    The species, and all names and codes of species in lower case, also those of the settings.
    """
    rows: list[Mapping[str, str]] = []
    for folder in folders:
        for file in (folder / name for name in _RECORDING_TABLES):
            with suppress(UserError):
                rows += read_foreign(file, separators=",").rows.values() if file.is_file() else []
        rows += _read_taxon_rows(folder)[0]
    return _taxa_of_rows(rows), _known_labels(rows, settings)


def _known_labels(rows: Iterable[Mapping[str, str]], settings: Dataset) -> frozenset[str]:
    """Return the names and codes of species in rows of tables and in the settings, in lower case."""
    columns = [column for names in _TAXON_COLUMNS for column in names]
    known = {" ".join(row[column].split()).lower() for row in rows for column in columns if row.get(column)}
    if settings.taxonomy:
        taxa = read_taxonomy(settings.taxonomy)
        known |= {name.lower() for taxon in taxa for name in (taxon.species, taxon.code, taxon.common_name)}
    if known and settings.aliases:
        known |= {name.lower() for pair in read_aliases(settings.aliases).items() for name in pair}
    return frozenset(known - {""})


def _read_taxon_rows(archive: Path) -> tuple[list[Mapping[str, str]], list[Failure]]:
    """Return the rows of Kaggle's and eBird's lists of species, if they are in the archive."""
    rows: list[Mapping[str, str]] = []
    failures = []
    for file in (archive / "taxonomy.csv", *sorted(archive.glob("eBird_Taxonomy*.csv"))):
        if file.is_file():
            try:
                table = read_foreign(file, separators=",")
                rows += table.rows.values()
                failures += table.bad
            except UserError as error:
                failures.append(Failure(file.name, reason_of(error, file)))
    return rows, failures


def _taxa_of_rows(rows: Iterable[Mapping[str, str]]) -> list[Taxon]:
    """Return the species in rows of tables, each code once; of several rows with one code, the first is used."""
    taxa: dict[str, Taxon] = {}
    for row in rows:
        for columns in _TAXON_COLUMNS:
            name, code, common_name = (" ".join(row.get(column, "").split()) for column in columns)
            try:
                species = check_label(name)
            except ValueError:  # missing, or not a species, such as eBird's 'Anas crecca/carolinensis'
                continue
            if species != NOISE:
                taxa.setdefault(code or species, Taxon(species, code, common_name))
    codes = Counter(taxon.species for taxon in taxa.values())
    # 'Insecta' has many codes, so that it is the name of none of them: the code stays the label
    return [taxon for taxon in taxa.values() if codes[taxon.species] == 1]
