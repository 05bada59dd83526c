"""The registry of archive readers: for every value of `dataset.kind`, how such an archive is recognised and read.

To add a reader, write its file and an entry here, and list the kind in `config.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from config import Dataset
from utils.console import Failure, UserError
from utils.recordings.annotations import is_annotations, read_annotations, why_none
from utils.recordings.birdclef2018 import is_birdclef2018, read_birdclef2018
from utils.recordings.folders import read_folders, splits_of
from utils.recordings.kaggle import is_kaggle, read_kaggle
from utils.recordings.recording import Contents
from utils.recordings.xenocanto import is_xenocanto, read_xenocanto

MAX_REASONS = 3  # why tables cannot be read, in one message


@dataclass(frozen=True)
class ArchiveReader:
    """How archives of one kind are recognised and read.

    Attributes
    ----------
    recognises : whether a folder, with these settings and the sounds that were moved out of it, is such an archive
    read : its contents, for the same arguments; a moved sound is read as if it were still in the folder
    needs : what a folder of another kind lacks, as part of an error message
    accepts_any : whether other folders can be read as well
    sounds_apart : whether its sounds are in folders that sorting does not write to, so that it may be `dataset.root`
    explain : why a folder is not recognised, for files that look as if they belong to such an archive
    """

    recognises: Callable[[Path, Dataset, Sequence[Path]], bool]
    read: Callable[[Path, Dataset, Sequence[Path]], Contents]
    needs: str = ""
    accepts_any: bool = False
    sounds_apart: bool = False
    explain: Callable[[Path, Dataset], list[Failure]] = lambda _folder, _settings: []


# in the order in which they are tried: a folder may look like several
READERS: Mapping[str, ArchiveReader] = {
    "birdclef2018": ArchiveReader(
        recognises=lambda folder, _settings, _moved: is_birdclef2018(folder),
        read=lambda folder, _settings, _moved: read_birdclef2018(folder),
        needs="has no wav/ and xml/ folders",
        sounds_apart=True,
    ),
    "kaggle": ArchiveReader(
        recognises=lambda folder, _settings, moved: is_kaggle(folder, moved),
        read=read_kaggle,
        needs="has neither train_metadata.csv (or train.csv) with train_audio/ (or train_short_audio/) nor labelled "
        "soundscapes",
        sounds_apart=True,
    ),
    "folders": ArchiveReader(
        recognises=lambda folder, _settings, moved: bool(splits_of(folder, moved)),
        read=lambda folder, settings, moved: read_folders(folder, moved, site_pattern=settings.site_pattern),
        accepts_any=True,
    ),
    "xenocanto": ArchiveReader(
        recognises=lambda folder, _settings, _moved: is_xenocanto(folder),
        read=lambda folder, _settings, moved: read_xenocanto(folder, moved),
        needs="has no JSON files in the format of xeno-canto",
    ),
    "annotations": ArchiveReader(
        recognises=lambda folder, settings, moved: is_annotations(folder, settings.columns, moved),
        read=lambda folder, settings, moved: read_annotations(
            folder, settings.columns, moved, site_pattern=settings.site_pattern
        ),
        needs="has no table of annotations for its sounds",
        explain=lambda folder, settings: why_none(folder, settings.columns),
    ),
}


def recognise_kind(settings: Dataset, folder: Path, given: Path, moved: Sequence[Path]) -> str:
    """Return the kind of an archive: `dataset.kind`, or the first kind that recognises the folder.

    Parameters
    ----------
    given : the folder as the settings name it, for messages
    moved : sounds that were moved out of the folder

    Raises
    ------
    UserError
        If the folder is not of the kind that the settings name.
    """
    kind: str = settings.kind
    if kind == "auto":
        kind = next((kind for kind, reader in READERS.items() if reader.recognises(folder, settings, moved)), "folders")
        if kind != "folders" or not any(asdict(settings.columns).values()):
            return kind
        kind = "annotations"  # whoever names columns has a table
    reader = READERS[kind]
    if not reader.accepts_any and not reader.recognises(folder, settings, moved):
        reasons = [f"; {failure.name}: {failure.reason}" for failure in reader.explain(folder, settings)]
        setting = f"dataset.kind = {kind}" if settings.kind == kind else "dataset.columns is set"
        raise UserError(f"{given}: {setting}, but the folder {reader.needs}{''.join(reasons[:MAX_REASONS])}")
    return kind
