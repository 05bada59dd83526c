"""Labels of soundscapes, as Kaggle's BirdCLEF challenges publish them: one row for each window of 5 seconds.

Known of 2021, from the challenge's data page: `train_soundscape_labels.csv` with the columns row_id, site, audio_id,
seconds, birds; row_id is {audio_id}_{site}_{seconds}, `seconds` the end of the window, `birds` eBird codes separated by
spaces, or nocall. The sound is {audio_id}_{site}_{date}.ogg.

Known of 2026, from public descriptions and code of participants: `train_soundscapes_labels.csv` with the columns
filename, start, end (h:mm:ss), primary_label (labels of taxonomy.csv separated by semicolons: eBird's codes, numbers of
iNaturalist, sonotypes of insects). There is no row_id; that of its submissions is {filename without .ogg}_{end}. Every
row is there twice, and 53 of 792 windows of the 66 labelled files have no row. Not known: whether these were empty, and
whether nocall occurs; both are handled.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from utils.console import Failure, UserError
from utils.files import check_name
from utils.recordings.audio_files import path_below, sounds_in
from utils.recordings.duplicates import measure_length, scan_length
from utils.recordings.lengths import events_after_end_message, split_at_end
from utils.recordings.recording import NOISE, Event, check_label, failure_of
from utils.recordings.spans import Spans, merged_spans
from utils.tables import read_foreign, reason_of

# tables of 2021 and of 2026, and their necessary columns
SOUNDSCAPE_TABLES: Mapping[str, tuple[str, ...]] = {
    "train_soundscape_labels.csv": ("birds",),
    "train_soundscapes_labels.csv": ("filename", "start", "end", "primary_label"),
}
SOUNDSCAPE_FOLDER = "train_soundscapes"
WINDOW = 5.0  # seconds; the interval that a row of 2021 labels; the row gives its end only
_SAME_TIME = 0.05  # seconds; windows that overlap by less do not overlap
_LISTED_LABELS = 5  # unknown ones in one line


@dataclass(frozen=True)
class Window:
    """A row: the species from `start` to `end` (seconds), none for nocall.

    `sound` is the file, or the start of its name; `line` the table and line of the row.
    """

    sound: str
    site: str
    start: float
    end: float
    species: frozenset[str]
    line: str


@dataclass(frozen=True)
class LabelledSoundscape:
    """A soundscape with its usable rows.

    Attributes
    ----------
    file : its sound; it need not exist
    table : the table that labels it
    windows : by start; none twice
    seconds : its length; None if not known
    unsure : whether some of its time is not labelled
    """

    file: Path
    table: Path
    windows: tuple[Window, ...]
    seconds: float | None
    unsure: bool

    @property
    def events(self) -> tuple[Event, ...]:
        """One event for each species of each row."""
        return tuple(
            Event(window.start, window.end, species) for window in self.windows for species in sorted(window.species)
        )

    @property
    def labelled(self) -> Spans:
        """The spans that rows label."""
        return merged_spans((window.start, window.end) for window in self.windows)


@dataclass(frozen=True)
class SoundscapeLabels:
    """What the tables of an archive tell of its soundscapes.

    Attributes
    ----------
    soundscapes : those with usable rows, in the order of the tables
    unusable : other sounds that the tables label
    failures : what cannot be used, and why
    tables : the tables that exist
    annotations : number of different labels of windows, and of rows that cannot be read
    """

    soundscapes: list[LabelledSoundscape] = field(default_factory=list)
    unusable: list[Path] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    annotations: int = 0


def soundscape_tables(folder: Path) -> list[Path]:
    """Return the tables of labelled soundscapes that are directly in a folder."""
    return [folder / name for name in SOUNDSCAPE_TABLES if (folder / name).is_file()]


def soundscape_folder(archive: Path, moved: Iterable[Path] = ()) -> Path:
    """Return where the sounds of an archive's labelled soundscapes are: in train_soundscapes/, or beside the tables.

    Parameters
    ----------
    moved : sounds that were in the archive before sorting moved them
    """
    usual = archive / SOUNDSCAPE_FOLDER
    beside = not usual.is_dir() and (sounds_in(archive) or any(sound.parent == archive for sound in moved))
    return archive if beside else usual


def read_soundscape_labels(
    archive: Path,
    folder: Path | None = None,
    *,
    base: Path | None = None,
    moved: Iterable[Path] = (),
    present_only: bool = False,
) -> SoundscapeLabels:
    """Read the labels of soundscapes from Kaggle's tables in a folder.

    Rows that cannot be used, rows after the end of their sound, rows that label the same seconds differently, windows
    that overlap, and sounds that do not exist are failures, one line for each sound or row; the others are used.

    Parameters
    ----------
    archive : the folder with the tables
    folder : of the sounds; None: `soundscape_folder`
    base : failures name sounds by their path below this folder; None: `archive`
    moved : sounds that were in the folder before sorting moved them
    present_only : leave out the rows of sounds that are not in the folder, instead of naming them
    """
    moved = list(moved)
    folder, base = folder or soundscape_folder(archive, moved), base or archive
    labels = SoundscapeLabels()
    sounds = [*sounds_in(folder), *(file for file in moved if file.parent == folder and not file.exists())]
    used: set[Path] = set()
    annotations = 0
    for table in soundscape_tables(archive):
        labels.tables.append(table)
        try:
            read = read_foreign(table, needed=SOUNDSCAPE_TABLES[table.name], separators=",")
        except UserError as error:
            labels.failures.append(Failure(table.name, reason_of(error, table)))
            continue
        labels.failures.extend(read.bad)
        if not read.rows and not read.bad:
            labels.failures.append(Failure(table.name, "has no rows, so that it labels no soundscape"))
        windows, incomplete = _windows_by_sound(read.rows, labels.failures)
        count = len(read.rows)
        if present_only:
            stems = {sound.stem for sound in sounds}
            present = {sound for sound in windows | dict.fromkeys(incomplete) if _is_present(sound, folder, stems)}
            windows = {sound: found for sound, found in windows.items() if sound in present}
            incomplete, count = incomplete & present, sum(map(len, windows.values()))
        annotations += len(read.bad) + _count_annotations(windows, of=count)
        for sound in windows | dict.fromkeys(incomplete):
            name = (folder / sound).relative_to(base).as_posix()
            try:
                file = folder / sound if "filename" in read.columns else _sound_with_prefix(sound, sounds)
                if file in used:
                    raise ValueError("is labelled by an earlier table or name, too; the later rows are not used")
                used.add(file)
                found = _soundscape(file, table, windows.get(sound, []), name, labels.failures, sound in incomplete)
            except ValueError as error:
                labels.failures.extend([failure_of(name, error)] if sound in windows else [])  # else its rows are named
                continue
            if found:
                labels.soundscapes.append(found)
            else:
                labels.unusable.append(file)
    return SoundscapeLabels(labels.soundscapes, labels.unusable, labels.failures, labels.tables, annotations)


def _count_annotations(windows: Mapping[str, Sequence[Window]], *, of: int) -> int:
    """Return the number of different labels of windows, and of the rows (`of` all) without a usable window."""
    found = [window for of_sound in windows.values() for window in of_sound]
    return len({(one.sound, one.start, one.end, label) for one in found for label in one.species}) + of - len(found)


def _windows_by_sound(
    rows: Mapping[str, Mapping[str, str]], failures: list[Failure]
) -> tuple[dict[str, list[Window]], set[str]]:
    """Return the usable rows of each sound, and the sounds with others, which become failures."""
    windows: dict[str, list[Window]] = {}
    incomplete = set()
    for line, row in rows.items():
        sound = ""
        try:
            sound, last = _sound_of_row(row)
            windows.setdefault(sound, []).append(_window_of_row(row, sound, last, line))
        except ValueError as error:
            failures.append(failure_of(line, error))
            if sound:
                incomplete.add(sound)
    return {sound: found for sound, found in windows.items() if found}, incomplete


def _sound_of_row(row: Mapping[str, str]) -> tuple[str, str]:
    """Return the sound of a row, and in the form of 2021 the end of the window."""
    if "filename" in row:
        return _relative_file(row["filename"]), ""
    key = row.get("row_id") or "_".join(row.get(part, "") for part in ("audio_id", "site", "seconds"))
    sound, _, last = key.rpartition("_")
    return check_name(sound), last


def _relative_file(filename: str) -> str:
    try:
        return path_below(Path(), filename).as_posix()
    except ValueError as error:
        raise ValueError(f"cannot use its filename: {error}") from None


def _window_of_row(row: Mapping[str, str], sound: str, last: str, line: str) -> Window:
    if "filename" in row:
        labels, start, end = row["primary_label"].split(";"), _parse_seconds(row["start"]), _parse_seconds(row["end"])
    else:
        labels, end = row["birds"].split(), _parse_seconds(last)
        start = max(0.0, end - WINDOW)
    species = [check_label(label) for label in labels if label.strip()]
    if not species:
        raise ValueError("has neither birds nor nocall")
    if end <= start:
        raise ValueError("its end is not after its start")
    return Window(sound, row.get("site", "").strip(), start, end, frozenset(species) - {NOISE}, line)


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


def _is_present(sound: str, folder: Path, stems: Collection[str]) -> bool:
    """Tell whether a row's sound, a file or the start of a name, is in a folder with these stems."""
    return (folder / sound).is_file() or any(stem == sound or stem.startswith(f"{sound}_") for stem in stems)


def _soundscape(
    file: Path, table: Path, windows: Sequence[Window], name: str, failures: list[Failure], incomplete: bool
) -> LabelledSoundscape | None:
    """Return a soundscape with its usable rows; None, with the failures that say why, if there are none."""
    agreeing, contradictions = _without_contradictions(windows)
    failures += contradictions
    inside, seconds = _inside(file, table, agreeing, name, failures)
    if overlapping := {
        window.line
        for one, other in pairwise(sorted(inside, key=lambda window: (window.start, window.end)))
        if other.start < one.end - _SAME_TIME
        for window in (one, other)
    }:
        reason = f"{len(overlapping)} of its {len(inside)} windows in {table.name} overlap others"
        failures.append(Failure(name, f"{reason}; where they do, the species of both count"))
    if not inside:
        return None
    spans = merged_spans((window.start, window.end) for window in inside)
    end = seconds if seconds is not None else spans[-1][1]
    whole = len(spans) == 1 and spans[0][0] <= _SAME_TIME and spans[0][1] > end - WINDOW / 2
    ordered = tuple(sorted(inside, key=lambda window: (window.start, window.end)))
    return LabelledSoundscape(file, table, ordered, seconds, unsure=incomplete or not whole)


def _without_contradictions(windows: Sequence[Window]) -> tuple[list[Window], list[Failure]]:
    """Return each window once, without those that rows label differently, and the failures that name these."""
    by_time: dict[tuple[float, float], list[Window]] = {}
    for window in windows:
        by_time.setdefault((window.start, window.end), []).append(window)
    usable, failures = [], []
    for first, *others in by_time.values():
        if other := next((other for other in others if other.species != first.species), None):
            earlier = first.line.rsplit(" ", 1)[1]
            reason = f"labels the same seconds as line {earlier}, but differently; both rows are left out"
            failures.append(Failure(other.line, reason))
        else:
            usable.append(first)
    return usable, failures


def _inside(
    file: Path, table: Path, windows: list[Window], name: str, failures: list[Failure]
) -> tuple[list[Window], float | None]:
    """Return the windows before the end of their sound, and its length; None if not known."""
    seconds = scan_length(file)
    events = {Event(window.start, window.end, ""): window for window in windows}
    if seconds is not None and split_at_end([*events], seconds)[1]:
        seconds = measure_length(file) or seconds  # headers may be wrong
    inside, after = ([*events], []) if seconds is None else split_at_end([*events], seconds)
    if after and seconds is not None:
        message = events_after_end_message(after, of=len(windows), seconds=seconds).replace("annotations", "rows")
        none_left = "" if inside else "; none is left"
        failures.append(failure_of(name, f"{table.name}: {message}{none_left}"))
    return [events[event] for event in inside], seconds


def unknown_labels(labels: SoundscapeLabels, known: Collection[str]) -> list[Failure]:
    """Return one failure for each table with labels that are no known names of species.

    Parameters
    ----------
    known : codes and names in lower case; if there are none, nothing is unknown
    """
    failures = []
    for table in labels.tables if known else []:
        windows = [window for one in labels.soundscapes if one.table == table for window in one.windows]
        counts = Counter(label for window in windows for label in window.species if label.lower() not in known)
        if counts:
            some = [f"{label} ({rows:,} {'row' if rows == 1 else 'rows'})" for label, rows in counts.most_common()]
            more = ", …" if len(some) > _LISTED_LABELS else ""
            what = f"{len(some)} {'label is' if len(some) == 1 else 'labels are'} in no table of species"
            listed = ", ".join(some[:_LISTED_LABELS])
            failures.append(failure_of(table.name, f"{what}, and used as written: {listed}{more}"))
    return failures
