"""Reader of the BirdCLEF archives on Kaggle, 2021 to 2026: a table of recordings beside `train_short_audio/` or `train_audio/`, and labelled soundscapes.

Labels are codes: eBird's ('amerob'), or iNaturalist's numbers for what is no bird.

Source: the data pages of the competitions, kaggle.com/competitions/birdclef-2021/data and those of the years after.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.console import Failure, UserError
from utils.files import check_name
from utils.recordings.audio_files import below, check_readable, sounds_below, sounds_in, stamp_of
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
    refused,
)
from utils.tables import read_foreign, reason_of

Row = Mapping[str, str]

_TABLES = ("train_metadata.csv", "train.csv")
_FOLDERS = ("train_short_audio", "train_audio")
# tables of soundscapes' windows, of 2021 and of 2026, and what they cannot do without
_LABELS = {
    "train_soundscape_labels.csv": ("birds",),
    "train_soundscapes_labels.csv": ("filename", "start", "end", "primary_label"),
}
# of columns: Kaggle's, eBird's
_NAMES = (("scientific_name", "primary_label", "common_name"), ("SCI_NAME", "SPECIES_CODE", "PRIMARY_COM_NAME"))
# folders of sound that tables need not name
_UNLABELLED = ("train_soundscapes", "unlabeled_soundscapes", "test_soundscapes", "test_audio")
_WINDOW = 5.0  # seconds of a soundscape that one row of 2021 labels; the row says where they end


def is_kaggle(archive: Path) -> bool:
    """Tell whether a folder has the form of a BirdCLEF archive from Kaggle."""
    return any((archive / table).is_file() for table in _TABLES) and any(
        (archive / folder).is_dir() for folder in _FOLDERS
    )


def read_kaggle(archive: Path) -> Contents:
    """Read the table of recordings, the labels of soundscapes and the names of species.

    Raises
    ------
    UserError
        If the table of recordings cannot be read, or lacks a column that must be there.
    """
    table = next(archive / name for name in _TABLES if (archive / name).is_file())
    folder = next(archive / name for name in _FOLDERS if (archive / name).is_dir())
    read = read_foreign(table, needed=("primary_label", "filename"), separators=",")
    rows, failures = read.rows, list(read.bad)
    recordings: dict[Path, Recording] = {}
    for place, row in rows.items():
        try:
            _add(_recording(row, folder), recordings)
        except ValueError as error:
            failures.append(refused(place, error))
    failures += _add_soundscapes(recordings, archive)
    sounds = list(sounds_below(folder))
    failures += [
        Failure(sound.relative_to(archive).as_posix(), "no usable row names it")
        for sound in sounds
        if sound not in recordings
    ]
    names, unread = _read_names(archive)
    form = f"BirdCLEF archive from Kaggle ({table.name} + {folder.name}/)"
    spare = frozenset(
        sound for name in _UNLABELLED for sound in sounds_below(archive / name) if sound not in recordings
    )
    ordered = sorted(recordings.values(), key=lambda recording: recording.name)
    seen = frozenset([*sounds, *recordings, *_tables(archive)])
    return Contents(form, ordered, failures + unread, _taxa([*rows.values(), *names]), seen, (folder,), spare)


def _tables(archive: Path) -> list[Path]:
    """Return the tables that Kaggle's archives hold, used or not."""
    return [
        *(archive / name for name in (*_TABLES, *_LABELS, "taxonomy.csv", "sample_submission.csv", "test.csv")),
        *archive.glob("eBird_Taxonomy*.csv"),
    ]


def _add(recording: Recording, recordings: dict[Path, Recording]) -> None:
    if recording.file in recordings:
        raise ValueError("an earlier row names the same sound")
    recordings[recording.file] = recording


def _recording(row: Row, folder: Path) -> Recording:
    code = " ".join(row["primary_label"].split())
    species = check_label(code)
    filename = row["filename"].strip()
    # the names of 2021 leave the label's folder out
    file = _below(folder, filename if "/" in filename else f"{code}/{filename}")
    check_readable(file)
    others = [check_label(label) for label in _labels(row.get("secondary_labels", "")) if label.strip()]
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


def _below(folder: Path, filename: str) -> Path:
    try:
        return below(folder, filename)
    except ValueError as error:
        raise ValueError(f"cannot use its filename: {error}") from None


def _labels(text: str) -> list[str]:
    """Return the labels of a list as Python writes it, such as "['amered', 'amerob']"."""
    found = re.fullmatch(r"\s*\[(.*)\]\s*|\s*", text, re.DOTALL)
    inner = (found[1] or "") if found else text
    quoted = r"'([^']*)'|\"([^\"]*)\""
    if not found or re.sub(f"{quoted}|,", "", inner).strip():
        raise ValueError(f"cannot read its secondary_labels: {text!r}")
    return [one or other for one, other in re.findall(quoted, inner)]


@dataclass(frozen=True)
class _Window:
    """What one row says of a soundscape: who sings from `start` to `end` (seconds); `sound` is its file, or how the file's name begins."""

    sound: str
    site: str
    start: float
    end: float
    labels: tuple[str, ...]


def _add_soundscapes(recordings: dict[Path, Recording], archive: Path) -> list[Failure]:
    """Add the soundscapes that are labelled; return what cannot be used."""
    failures = []
    folder = archive / "train_soundscapes"
    for table, needed in _LABELS.items():
        if not (archive / table).is_file():
            continue
        try:
            read = read_foreign(archive / table, needed=needed, separators=",")
        except UserError as error:
            failures.append(Failure(table, reason_of(error, archive / table)))
            continue
        windows, unread = _windows(read.rows)
        failures += read.bad + unread
        sounds = sounds_in(folder)
        for sound, of_it in windows.items():
            try:
                file = folder / sound if "filename" in needed else _begins(sound, sounds)
                _add(_soundscape(file, of_it), recordings)
            except ValueError as error:
                failures.append(refused(f"train_soundscapes/{sound}", error))
    return failures


def _windows(rows: Mapping[str, Row]) -> tuple[dict[str, list[_Window]], list[Failure]]:
    """Return the windows of each soundscape, and the rows that are none."""
    windows: dict[str, list[_Window]] = {}
    failures = []
    for place, row in rows.items():
        try:
            window = _window(row)
            windows.setdefault(window.sound, []).append(window)
        except ValueError as error:
            failures.append(refused(place, error))
    return windows, failures


def _window(row: Row) -> _Window:
    if "filename" in row:
        sound, labels = _below(Path(), row["filename"]).as_posix(), row["primary_label"].split(";")
        start, end = _seconds(row["start"]), _seconds(row["end"])
    else:
        key = row.get("row_id") or "_".join(row.get(part, "") for part in ("audio_id", "site", "seconds"))
        sound, _, last = key.rpartition("_")
        labels, end = row["birds"].split(), _seconds(last)
        start = max(0.0, end - _WINDOW)
        check_name(sound)
    species = tuple(check_label(label) for label in labels if label.strip())
    if not species:
        raise ValueError("names neither birds nor nocall")
    if end <= start:
        raise ValueError("ends before it has begun")
    return _Window(sound, row.get("site", "").strip(), start, end, species)


def _seconds(text: str) -> float:
    """Return the seconds of a time such as '00:01:05' or '65'."""
    text = text.strip()
    if not re.fullmatch(r"\d{1,9}(:\d{1,9}){0,2}(\.\d{1,9})?", text, re.ASCII):
        raise ValueError(f"{text!r} is no time")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _begins(name: str, sounds: Sequence[Path]) -> Path:
    """Return the one sound of this name, or of a name that goes on with the date: '7019_COR' is 7019_COR_20190904.ogg."""
    found = [sound for sound in sounds if sound.stem == name] or [
        sound for sound in sounds if sound.name.startswith(f"{name}_")
    ]
    if len(found) != 1:
        raise ValueError(f"labelled, but {len(found) or 'no'} sounds are named so")
    return found[0]


def _soundscape(file: Path, windows: Sequence[_Window]) -> Recording:
    check_readable(file)
    # a set, for the table of 2026 says everything twice
    events = {Event(window.start, window.end, label) for window in windows for label in window.labels if label != NOISE}
    date, time = stamp_of(file.stem)
    return Recording(
        name=plain_name(file.stem),
        file=file,
        species="" if events else NOISE,
        events=tuple(sorted(events, key=lambda event: (event.start, event.end, event.species))),
        locality=windows[0].site,
        date=date,
        time=time,
    )


def _read_names(archive: Path) -> tuple[list[Row], list[Failure]]:
    """Return the rows of Kaggle's and eBird's lists of species, where they lie beside the table."""
    rows: list[Row] = []
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


def _taxa(rows: Iterable[Row]) -> list[Taxon]:
    """Return the species that are named, each code once; the first row that names it counts."""
    taxa: dict[str, Taxon] = {}
    for row in rows:
        for columns in _NAMES:
            name, code, common_name = (" ".join(row.get(column, "").split()) for column in columns)
            try:
                species = check_label(name)
            except ValueError:  # not known, or no species, such as eBird's 'Anas crecca/carolinensis'
                continue
            if species != NOISE:
                taxa.setdefault(code or species, Taxon(species, code, common_name))
    codes = Counter(taxon.species for taxon in taxa.values())
    # 'Insecta' of many codes names none of them: the code stays their label
    return [taxon for taxon in taxa.values() if codes[taxon.species] == 1]
