"""Ground truth of soundscapes that a table of Kaggle's BirdCLEF challenges labels, window by window."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from config import Dataset
from utils.console import Failure, printable, warning
from utils.recordings.audio_files import sounds_in
from utils.recordings.class_names import read_class_names
from utils.recordings.kaggle import names_of_species
from utils.recordings.kaggle_soundscapes import (
    SOUNDSCAPE_FOLDER,
    WINDOW,
    LabelledSoundscape,
    SoundscapeLabels,
    read_soundscape_labels,
    soundscape_folder,
    soundscape_tables,
    unknown_labels,
)
from utils.recordings.labels import Taxonomy, read_aliases, read_taxonomy
from utils.recordings.recording import NOISE, Event
from utils.recordings.spans import Spans, labelled_intervals

_LISTED = 3  # names in one line


@dataclass(frozen=True)
class KaggleTruth:
    """Which species are present when; keys are paths below the folder of the recordings.

    Attributes
    ----------
    events : one for each species of each row; none if all rows are nocall
    labelled : the spans that have rows
    annotated : the recordings that tables name, also those without usable rows
    annotations : number of labels, also unusable ones
    failures : what could not be used, and why
    seen : the files that were read, or are in `failures`
    """

    events: dict[str, tuple[Event, ...]]
    labelled: dict[str, Spans]
    annotated: frozenset[str]
    annotations: int
    failures: tuple[Failure, ...]
    seen: frozenset[Path]


def read_kaggle_truth(folder: Path, settings: Dataset) -> KaggleTruth | None:
    """Read the labels of soundscapes from the table in a folder, in the folder above, or in the archive.

    The folder holds the sounds, or it is the archive with the folder `train_soundscapes`. Recordings and windows
    without a row have no ground truth; one line tells how many. None is returned if no table labels any of them.

    Parameters
    ----------
    settings : the archive, and names of species besides those in the tables of the archive
    """
    for archive in _folders_with_tables(folder, settings):
        labels = _labels_at(archive, folder)
        if labels is not None:
            return _truth_of(labels, archive, folder, settings)
    return None


def _folders_with_tables(folder: Path, settings: Dataset) -> list[Path]:
    """Return the folders with tables, each once, in the order in which they are looked through."""
    homes: dict[Path, Path] = {}
    for home in (folder, folder.absolute().parent, settings.archive_folder or settings.root):
        if soundscape_tables(home):
            homes.setdefault(home.resolve(), home)
    return [*homes.values()]


def _labels_at(archive: Path, folder: Path) -> SoundscapeLabels | None:
    """Return the labels that the tables of an archive have for a folder; None if they label other recordings."""
    if archive == folder:
        return read_soundscape_labels(archive, soundscape_folder(archive), base=folder)
    is_apart = archive.resolve() != folder.resolve().parent
    labels = read_soundscape_labels(archive, folder, base=folder, present_only=is_apart)
    is_theirs = folder.name == SOUNDSCAPE_FOLDER and not is_apart
    return labels if is_theirs or any(one.file.is_file() for one in labels.soundscapes) else None


def _truth_of(labels: SoundscapeLabels, archive: Path, folder: Path, settings: Dataset) -> KaggleTruth:
    above, sounds = folder.absolute().parent, soundscape_folder(archive) if archive == folder else folder
    present = [one for one in labels.soundscapes if one.file.is_file()]
    missing = [
        Failure(one.file.relative_to(folder).as_posix(), "is labelled, but does not exist")
        for one in labels.soundscapes
        if one not in present
    ]
    home = settings.archive_folder
    homes = [archive, folder, *([above] if sounds == folder else []), *([home] if home else [])]
    taxa, known = names_of_species(dict.fromkeys(home.absolute() for home in homes), settings)
    named = read_taxonomy(settings.taxonomy) if settings.taxonomy else []
    classes = read_class_names(settings.root)
    aliases = read_aliases(settings.aliases) if settings.aliases else None
    taxonomy = Taxonomy([*named, *taxa, *classes.taxa], aliases, classes.labels)
    events = {one.file.relative_to(folder).as_posix(): _named_events(one, taxonomy) for one in present}
    unusable = [file for file in labels.unusable if file.is_file()]
    _warn(labels, present, events, sounds)
    return KaggleTruth(
        events,
        {one.file.relative_to(folder).as_posix(): one.labelled for one in present},
        frozenset([*events, *(file.relative_to(folder).as_posix() for file in unusable)]),
        labels.annotations,
        (*labels.failures, *missing, *unknown_labels(labels, known)),
        frozenset([*labels.tables, *unusable, *(one.file for one in present)]),
    )


def _named_events(soundscape: LabelledSoundscape, taxonomy: Taxonomy) -> tuple[Event, ...]:
    """Return the events by the names of their classes; labels that are no known code stay as they are."""
    events = (replace(event, species=taxonomy.label(event.species)) for event in soundscape.events)
    return tuple(dict.fromkeys(event for event in events if event.species != NOISE))


def _warn(
    labels: SoundscapeLabels,
    present: Sequence[LabelledSoundscape],
    events: dict[str, tuple[Event, ...]],
    folder: Path,
) -> None:
    """Tell what has no ground truth, and what the metrics cannot tell."""
    table = printable(labels.tables[0])
    named = {one.file for one in labels.soundscapes} | set(labels.unusable)
    sounds = sounds_in(folder)
    unnamed = [sound.name for sound in sounds if sound not in named]
    if unnamed:
        what = f"{len(unnamed):,} of {len(sounds):,} recordings beside it have no row, and so no ground truth"
        warning(f"{table}: {what}: {_some(unnamed)}")
    windows, without = _count_holes(present)
    if without:
        left_out = "they count neither as presence nor as absence"
        warning(
            f"{table}: {without:,} of {windows:,} windows of {WINDOW:g} s are not covered by usable rows; {left_out}"
        )
    rows = sum(len(one.windows) for one in present)
    counts = [event.species for of_sound in events.values() for event in of_sound]
    if rows and not counts:
        warning(f"{table}: no species is in any usable row, so that only false detections can be found")
    always = sorted(species for species in set(counts) if rows > 1 and counts.count(species) == rows)
    if always:
        warning(f"{table}: in every usable row, so that metrics of it say little: {_some(always)}")


def _count_holes(soundscapes: Sequence[LabelledSoundscape]) -> tuple[int, int]:
    """Return the number of windows of all soundscapes, and of those without a usable row."""
    windows = without = 0
    for one in soundscapes:
        seconds = one.labelled[-1][1] if one.seconds is None else one.seconds
        starts = WINDOW * np.arange(max(1, round(seconds / WINDOW)))
        told = labelled_intervals(one.labelled, starts, np.minimum(starts + WINDOW, seconds))
        windows, without = windows + len(told), without + int((~told).sum())
    return windows, without


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
