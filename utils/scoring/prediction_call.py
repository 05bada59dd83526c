"""How predict.py is called: recordings, an experiment or the snapshots of a run, and flags."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.console import UserError
from utils.models.published import published_at

SNAPSHOT = "--snapshot"
SETTINGS = "settings.toml"  # of a run, and of each of its snapshots
# a snapshot may be somebody else's: it says neither which file gets the log nor which machines are called
NOT_OF_A_SNAPSHOT = ("--log.file", "None", "--cluster.address", "")


@dataclass(frozen=True)
class PredictFlags:
    """Flags of a single call."""

    # folder of a run, or one of its snapshots, or hf:OWNER/NAME of a published model; several: an ensemble of equal
    # weights; none: the run of the experiment
    snapshot: tuple[Path, ...] = ()
    # file, or folder in formats with one file for each recording, that detections are written to; none: the screen
    out: Path | None = None
    # of --out: csv, raven, audacity, …, as submission.format; '': by the ending of its name, or csv
    format: str = ""
    # score from which a species counts as detected, 0 to 1; none: the thresholds that test.py found for the run
    threshold: float | None = None
    overwrite: bool = False  # replace the file or folder of --out if it is there
    # of --out: also plot when and where species were detected, how many, and their scores, in a folder beside it
    plots: bool = False


def split_call(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the places of recordings, and the words for the settings: an experiment, or that of the snapshot, first.

    The words before the first flag are places, but for a name that ends in `.toml`. If there is none, those behind the
    first snapshot are.
    """
    count = next((index for index, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    leading, flags = list(arguments[:count]), list(arguments[count:])
    experiments = [word for word in leading if _is_experiment(word)]
    places = [word for word in leading if not _is_experiment(word)]
    if not places and SNAPSHOT in flags:  # `--snapshot RUN RECORDING …`
        first = flags.index(SNAPSHOT) + 2
        end = next((index for index in range(first, len(flags)) if flags[index].startswith("-")), len(flags))
        places, flags = flags[first:end], flags[:first] + flags[end:]
    found = settings_of(_snapshots_in(flags))
    return places, [*(experiments or ([str(found), *NOT_OF_A_SNAPSHOT] if found else [])), *flags]


def _is_experiment(word: str) -> bool:
    return word.endswith(".toml") and not Path(word).is_dir()


def settings_of(snapshots: Sequence[Path]) -> Path | None:
    """Return the settings of the first of some runs or snapshots; those of its latest snapshot if a run has none.

    None, too, where a published model cannot be downloaded: whoever loads it raises the error.
    """
    for given in map(Path.expanduser, snapshots):
        try:
            path = published_at(given)
        except UserError:
            return None
        for file in (path / SETTINGS, *sorted(path.glob(f"epoch_*/{SETTINGS}"), reverse=True)):
            if file.is_file():
                return file
    return None


def _snapshots_in(words: Sequence[str]) -> list[Path]:
    """Return the paths that follow the flag; of several such flags, the last one counts."""
    found, in_flag = list[Path](), False
    for word in words:
        if word.startswith("-"):
            name, _, value = word.partition("=")
            in_flag = name == SNAPSHOT
            found = ([Path(value)] if value else []) if in_flag else found
        elif in_flag:
            found.append(Path(word))
    return found
