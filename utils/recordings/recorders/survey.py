"""What recorders wrote about the files of a folder: headers, names, and summaries on their cards, put together.

A value comes from the first of these that tells it: the name of the file (or a table, where one is read), its header,
the summary on its card, the table of deployments. Of the time, the header is used, with its seconds and time zone,
unless the name contradicts it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from config import Dataset
from utils.console import Failure
from utils.recordings.recorders.audiomoth import parse_audiomoth
from utils.recordings.recorders.clocks import agreed_start, time_zone, with_zone
from utils.recordings.recorders.deployments import read_deployments
from utils.recordings.recorders.file_names import RecorderName, read_recorder_names, start_of
from utils.recordings.recorders.guano import parse_guano
from utils.recordings.recorders.metadata import NOTHING, ReadMetadata, RecorderMetadata, believable_day
from utils.recordings.recorders.summary_files import Summary, read_summary, recorder_of_summary
from utils.recordings.recorders.wave_texts import read_wave_texts

WAVE_SUFFIXES = frozenset({".wav", ".wave", ".bwf", ".rf64"})


@dataclass(frozen=True)
class NamedSound:
    """A sound file: where it is, how messages call it, and what its name, or a table, tells.

    Attributes
    ----------
    moved_from : where it was beside the summary of its card, if it was moved
    """

    file: Path
    label: str
    name: RecorderName
    moved_from: Path | None = None


@dataclass(frozen=True)
class Survey:
    """What recorders wrote about each file, in the order of the files, and what cannot be used, one line each.

    Attributes
    ----------
    summaries : the files of summaries that were read
    """

    metadata: list[RecorderMetadata]
    failures: list[Failure] = field(default_factory=list)
    summaries: frozenset[Path] = frozenset()


NO_SURVEY = Survey([])


def survey_recorders(sounds: Sequence[NamedSound], folder: Path, settings: Dataset) -> Survey:
    """Read what recorders wrote about sound files; the sound itself is not read.

    Parameters
    ----------
    folder : that holds them all; summaries are sought in it and below

    Raises
    ------
    UserError
        If the table of deployments cannot be read.
    """
    summaries, zone = _Summaries(folder), time_zone(settings.time_zone)
    deployments = read_deployments(settings.deployments)
    metadata, failures = list[RecorderMetadata](), list[Failure]()
    for sound in sounds:
        header = read_header(sound.file)
        in_name = start_of(sound.name, sound.file.stem)
        day_in_name = believable_day(sound.name.date)
        started, doubt = agreed_start(header.metadata.started, in_name, day_in_name, zone)
        started = with_zone(started, zone)
        day = started.date().isoformat() if started else day_in_name
        told = replace(metadata_of_name(sound.name), started=started, date=day)
        told = told.completed(replace(header.metadata, started=None))
        told = told.completed(summaries.at(sound.moved_from or sound.file, told))
        metadata.append(deployments.complete(told) if deployments else told)
        problems = [*header.problems, *([doubt] if doubt else [])]
        failures += [Failure(sound.label, "; ".join(problems))] if problems else []
    failures += [*summaries.failures, *(deployments.failures if deployments else ())]
    return Survey(metadata, failures, frozenset(summaries.read))


def read_header(file: Path) -> ReadMetadata:
    """Read what a recorder wrote into a WAV file; of a file that is none, or cannot be read, nothing."""
    if file.suffix.lower() not in WAVE_SUFFIXES or not file.is_file():
        return NOTHING
    try:
        with file.open("rb") as stream:
            texts = read_wave_texts(stream)
    except OSError:  # told when the sound is decoded
        return NOTHING
    guano = parse_guano(texts.guano) if texts.guano is not None else NOTHING
    audiomoth = parse_audiomoth(texts.info)
    found = (_without_formulas(guano.metadata.completed(audiomoth.metadata)), (*guano.problems, *audiomoth.problems))
    cut_off = ("its header is cut off",) if texts.cut_off and found[0] != RecorderMetadata() else ()
    return ReadMetadata(found[0], (*found[1], *cut_off))


def _without_formulas(told: RecorderMetadata) -> RecorderMetadata:
    """Return metadata whose texts no spreadsheet takes for a formula: foreign headers may say anything."""
    texts = {name: getattr(told, name).lstrip("=+-@ \t\r\n") for name in ("site", "recorder", "serial")}
    return replace(told, gain=told.gain.lstrip("=@ \t\r\n"), **texts)


def survey_files(files: Sequence[str], folder: Path, settings: Dataset) -> Survey:
    """Read what recorders wrote about the sound files of a folder, and what their names tell.

    Parameters
    ----------
    files : paths below the folder, with /
    """
    names = read_recorder_names(files, settings.site_pattern)
    sounds = [NamedSound(folder / file, file, name) for file, name in zip(files, names, strict=True)]
    return survey_recorders(sounds, folder, settings)


def metadata_of_name(name: RecorderName) -> RecorderMetadata:
    """Return what the name of a file tells, but for the time of day; coordinates only if both are known."""
    placed = name.latitude is not None and name.longitude is not None
    return RecorderMetadata(
        date=believable_day(name.date),
        site=name.site,
        latitude=name.latitude if placed else None,
        longitude=name.longitude if placed else None,
    )


def _is_of(name: str, recorder: str) -> bool:
    """Tell whether a file's name begins with that of a recorder: SM1_20211002.wav does with SM1, SM10_… does not."""
    return name.startswith(recorder) and not name[len(recorder) : len(recorder) + 1].isalnum()


class _Summaries:
    """The summaries of a folder tree, each read once, when a file beside or below it asks for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_folder: dict[Path, list[tuple[str, Summary]]] = {}
        self.failures: list[Failure] = []
        self.read: set[Path] = set()

    def at(self, file: Path, known: RecorderMetadata) -> RecorderMetadata:
        """Return what the nearest summary of the recorder whose name begins the file's tells of the file."""
        if not file.is_relative_to(self._folder):
            return RecorderMetadata()
        for folder in file.parents:
            found = [(recorder, one) for recorder, one in self._of(folder) if _is_of(file.name.casefold(), recorder)]
            longest = max((len(recorder) for recorder, _ in found), default=0)
            mine = [one for recorder, one in found if len(recorder) == longest]
            if mine:
                told = RecorderMetadata()
                for summary in mine:
                    told = told.completed(summary.at(known.started))
                return told
            if folder == self._folder:
                break
        return RecorderMetadata()

    def _of(self, folder: Path) -> list[tuple[str, Summary]]:
        if folder not in self._in_folder:
            self._in_folder[folder] = [
                (recorder.casefold(), self._summary(file))
                for file in sorted(folder.iterdir() if folder.is_dir() else ())
                if (recorder := recorder_of_summary(file.name)) and not file.is_dir()
            ]
        return self._in_folder[folder]

    def _summary(self, file: Path) -> Summary:
        self.read.add(file)
        try:
            summary = read_summary(file)
        except (OSError, ValueError) as error:
            summary = Summary((), (f"cannot be read ({error})",))
        label = file.relative_to(self._folder).as_posix()
        self.failures += [Failure(label, problem) for problem in summary.problems]
        return summary
