"""Reader of the BirdCLEF archives from Kaggle, 2021 to 2026.

A table lists the recordings in `train_short_audio/` or `train_audio/`; labels of soundscapes are in a table of their
own. Labels are codes: eBird's ('amerob'), or numbers of iNaturalist for species that are not birds.

Source: the data pages of the competitions, kaggle.com/competitions/birdclef-2021/data and those of the later years.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.console import Failure, UserError
from utils.files import check_name
from utils.recordings.audio_files import check_readable, date_and_time_in, path_below, sounds_below, sounds_in
from utils.recordings.names import plain_name
from utils.recordings.recording import (
    NOISE,
    Contents,
    Event,
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
# tables with the labels of soundscapes, of 2021 and of 2026, and their necessary columns
_SOUNDSCAPE_TABLES = {
    "train_soundscape_labels.csv": ("birds",),
    "train_soundscapes_labels.csv": ("filename", "start", "end", "primary_label"),
}
# columns of scientific name, code and common name: Kaggle's, eBird's
_TAXON_COLUMNS = (("scientific_name", "primary_label", "common_name"), ("SCI_NAME", "SPECIES_CODE", "PRIMARY_COM_NAME"))
# folders whose sounds need no labels
_UNLABELLED_FOLDERS = ("train_soundscapes", "unlabeled_soundscapes", "test_soundscapes", "test_audio")
_WINDOW = 5.0  # seconds; the interval that a row of 2021 labels; the row gives its end only


def is_kaggle(archive: Path) -> bool:
    """Tell whether a folder has the structure of a BirdCLEF archive from Kaggle."""
    return any((archive / table).is_file() for table in _RECORDING_TABLES) and any(
        (archive / folder).is_dir() for folder in _RECORDING_FOLDERS
    )


def read_kaggle(archive: Path) -> Contents:
    """Read the table of recordings, the labels of soundscapes and the names of species.

    Raises
    ------
    UserError
        If the table of recordings cannot be read, or lacks a necessary column.
    """
    table = next(archive / name for name in _RECORDING_TABLES if (archive / name).is_file())
    folder = next(archive / name for name in _RECORDING_FOLDERS if (archive / name).is_dir())
    read = read_foreign(table, needed=("primary_label", "filename"), separators=",")
    rows, failures = read.rows, list(read.bad)
    recordings: dict[Path, Recording] = {}
    for line, row in rows.items():
        try:
            _add_unique(_recording_of_row(row, folder), recordings)
        except ValueError as error:
            failures.append(failure_of(line, error))
    failures += _add_soundscapes(recordings, archive)
    sounds = list(sounds_below(folder))
    failures += [
        Failure(sound.relative_to(archive).as_posix(), "no usable row names it")
        for sound in sounds
        if sound not in recordings
    ]
    taxon_rows, unread = _read_taxon_rows(archive)
    description = f"BirdCLEF archive from Kaggle ({table.name} + {folder.name}/)"
    unlabelled = frozenset(
        sound for name in _UNLABELLED_FOLDERS for sound in sounds_below(archive / name) if sound not in recordings
    )
    ordered = sorted(recordings.values(), key=lambda recording: recording.name)
    seen = frozenset([*sounds, *recordings, *_known_tables(archive)])
    taxa = _taxa_of_rows([*rows.values(), *taxon_rows])
    return Contents(description, ordered, failures + unread, taxa, seen, (folder,), unlabelled)


def _known_tables(archive: Path) -> list[Path]:
    """Return the tables of Kaggle's archives, whether they are used or not."""
    others = ("taxonomy.csv", "sample_submission.csv", "test.csv")
    return [
        *(archive / name for name in (*_RECORDING_TABLES, *_SOUNDSCAPE_TABLES, *others)),
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


@dataclass(frozen=True)
class _Window:
    """The labels of a soundscape from `start` to `end` (seconds); `sound`: the file, or the start of its name."""

    sound: str
    site: str
    start: float
    end: float
    labels: tuple[str, ...]


def _add_soundscapes(recordings: dict[Path, Recording], archive: Path) -> list[Failure]:
    """Add the labelled soundscapes to the recordings; return what cannot be used."""
    failures = []
    folder = archive / "train_soundscapes"
    for table, needed in _SOUNDSCAPE_TABLES.items():
        if not (archive / table).is_file():
            continue
        try:
            read = read_foreign(archive / table, needed=needed, separators=",")
        except UserError as error:
            failures.append(Failure(table, reason_of(error, archive / table)))
            continue
        windows, unread = _windows_by_sound(read.rows)
        failures += read.bad + unread
        sounds = sounds_in(folder)
        for sound, of_sound in windows.items():
            try:
                file = folder / sound if "filename" in needed else _sound_with_prefix(sound, sounds)
                _add_unique(_recording_of_windows(file, of_sound), recordings)
            except ValueError as error:
                failures.append(failure_of(f"train_soundscapes/{sound}", error))
    return failures


def _windows_by_sound(rows: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, list[_Window]], list[Failure]]:
    windows: dict[str, list[_Window]] = {}
    failures = []
    for line, row in rows.items():
        try:
            window = _window_of_row(row)
            windows.setdefault(window.sound, []).append(window)
        except ValueError as error:
            failures.append(failure_of(line, error))
    return windows, failures


def _window_of_row(row: Mapping[str, str]) -> _Window:
    if "filename" in row:
        sound, labels = _file_below(Path(), row["filename"]).as_posix(), row["primary_label"].split(";")
        start, end = _parse_seconds(row["start"]), _parse_seconds(row["end"])
    else:
        key = row.get("row_id") or "_".join(row.get(part, "") for part in ("audio_id", "site", "seconds"))
        sound, _, last = key.rpartition("_")
        labels, end = row["birds"].split(), _parse_seconds(last)
        start = max(0.0, end - _WINDOW)
        check_name(sound)
    species = tuple(check_label(label) for label in labels if label.strip())
    if not species:
        raise ValueError("has neither birds nor nocall")
    if end <= start:
        raise ValueError("its end is not after its start")
    return _Window(sound, row.get("site", "").strip(), start, end, species)


def _parse_seconds(text: str) -> float:
    """Return the seconds of a time such as '00:01:05' or '65'."""
    text = text.strip()
    if not re.fullmatch(r"\d{1,9}(:\d{1,9}){0,2}(\.\d{1,9})?", text, re.ASCII):
        raise ValueError(f"{text!r} is not a time")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _sound_with_prefix(name: str, sounds: Sequence[Path]) -> Path:
    """Return the sound with this name, with or without a date after it: '7019_COR' is 7019_COR_20190904.ogg."""
    found = [sound for sound in sounds if sound.stem == name] or [
        sound for sound in sounds if sound.name.startswith(f"{name}_")
    ]
    if len(found) != 1:
        raise ValueError(f"is labelled, but {len(found) or 'no'} sounds have this name")
    return found[0]


def _recording_of_windows(file: Path, windows: Sequence[_Window]) -> Recording:
    check_readable(file)
    # a set: the table of 2026 has every row twice
    events = {Event(window.start, window.end, label) for window in windows for label in window.labels if label != NOISE}
    date, time = date_and_time_in(file.stem)
    return Recording(
        name=plain_name(file.stem),
        file=file,
        species="" if events else NOISE,
        events=tuple(sorted(events, key=lambda event: (event.start, event.end, event.species))),
        locality=windows[0].site,
        date=date,
        time=time,
    )


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
