"""The steps of `evaluate.py --tune`: check the space, run trial after trial, and leave the best settings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from config import Config, SettingsError
from utils import console
from utils.files import remove_folder, unrelated_names, write_text
from utils.learning.devices import request_determinism
from utils.learning.runs import RUN_FILES, RUN_SETTINGS, refuse_teachers
from utils.learning.tuning.journal import JOURNAL, Journal, Trial, read_journal, write_journal
from utils.learning.tuning.results import print_result, report_trial, write_results
from utils.learning.tuning.space import Dimension, read_space
from utils.learning.tuning.study import check_optuna, choose_values, stopping_rule
from utils.learning.tuning.trials import TrialKind, kind_of, run_trial, target_of
from utils.settings import load, to_toml
from utils.settings_keys import changed_settings

LONGEST_RUN = 80  # characters; runs of trials and folds have longer names, of at most 100


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes
    ----------
    best : the complete trial with the best value
    journal : all trials
    folder : where the results are
    experiment : path of the experiment that trains again as the best trial did
    """

    best: Trial
    journal: Journal
    folder: Path
    experiment: Path

    @property
    def complete(self) -> bool:
        """Whether no trial failed."""
        return not self.journal.failed


def search_settings(config: Config, *, trials: int, fresh: bool) -> Tuned:
    """Search the settings of `tuning.space` until there are so many trials, and write and print the results.

    A search that was stopped or killed continues with the same trials.

    Parameters
    ----------
    fresh : delete the trials so far and start again

    Raises
    ------
    SettingsError
        If the space has unusable settings or values.
    UserError
        If the search cannot start, a trial cannot run, or all trials failed.
    """
    elapsed = console.stopwatch()
    check_search(config)
    space = read_space(config)
    kind = kind_of(config, [dimension.name for dimension in space])
    _check_held_out(config, kind)
    check_optuna()
    request_determinism(config.training)
    folder = search_folder(config)
    with console.alone(config.snapshots, f"search of {config.run}"):
        journal = _open_search(config, space, kind, fresh=fresh)
        while len(journal.finished) < trials:
            journal = _with_next_trial(journal, space, config, kind, trials=trials)
        experiment = write_results(journal, space, config, folder, testing=kind == "testing")
    best = journal.best
    if best is None or experiment is None:
        raise console.UserError(_reason_of_failure(journal))
    print_result(journal, best, config, folder, seconds=elapsed())
    return Tuned(best, journal, folder, experiment)


def search_folder(config: Config) -> Path:
    """Return the folder of all that a search leaves besides the runs of its trials."""
    return config.snapshots / f"{config.run}-tuning"


def check_tuning_flags(*, trials: int, folds: bool, compare: bool) -> None:
    """Refuse flags of evaluate.py that do not go together.

    Raises
    ------
    UserError
        That names the flag.
    """
    if trials < 0:
        raise console.UserError(f"--tune {trials}: should be how many trials there are in all, at least 1")
    if trials and folds:
        raise console.UserError("--folds goes without --tune; set tuning.folds to search by the mean over folds")
    if trials and compare:
        raise console.UserError("--compare goes without --tune; compare the runs in a call of its own")


def check_search(config: Config) -> None:
    """Refuse what no search can start with.

    Raises
    ------
    UserError
        That names the flag or setting.
    """
    refuse_teachers(config)
    if config.training.all_data:
        raise console.UserError("training.all_data leaves no validation recordings to compare trials on; remove it")
    if config.testing.held_out == "test":
        raise console.UserError(
            "testing.held_out = test: settings must not be chosen by the recordings of test/, which are for the final "
            "test; remove the setting while you tune"
        )
    if config.testing.max_false_alarms is not None:
        raise console.UserError(
            "testing.max_false_alarms raises the thresholds of test.py, and trials are not compared by those; remove it"
        )
    if len(config.run) > LONGEST_RUN:
        raise console.UserError(f"run = {config.run}: should have at most {LONGEST_RUN} characters for --tune")


def _check_held_out(config: Config, kind: TrialKind) -> None:
    if kind == "testing" and config.tuning.folds:
        raise console.UserError(
            "tuning.folds is set, but tuning.space has settings of testing only, which need no training; remove it"
        )
    if kind == "testing" and config.testing.held_out != "val":
        raise console.UserError(
            "testing.held_out = auto: set it to val (--testing.held_out val) to search settings of testing, which must "
            "not be chosen by the recordings of test/"
        )


def _open_search(config: Config, space: Sequence[Dimension], kind: TrialKind, *, fresh: bool) -> Journal:
    """Make the folder of the search, and return the journal so far; one with other settings is refused."""
    folder = search_folder(config)
    if fresh:
        _remove_trials(config)
    settings = folder / "settings.toml"
    journal = read_journal(folder, space) if not _changed(settings, config, kind) else None
    target = target_of(config, kind)
    if journal and journal.data != target.data:
        raise console.UserError(
            f"{folder}: the clips, models or recordings changed since this search was started; choose another --run, "
            "or start over with --fresh"
        )
    if journal and (journal.metric, journal.smaller) != (target.title, target.smaller):
        raise console.UserError(
            f"{folder / JOURNAL}: is damaged (its metric is not {target.title}, or has another direction); start the "
            "search over with --fresh"
        )
    write_text(settings, to_toml(config))
    journal = journal or Journal(target.data, target.title, target.smaller)
    write_journal(folder, journal)
    return journal


def _changed(settings: Path, config: Config, kind: TrialKind) -> bool:
    """Tell whether there is no search yet; refuse one that was started with other settings."""
    if not settings.is_file():
        return True
    sections = (*RUN_SETTINGS, "tuning.") if kind == "training" else (*RUN_SETTINGS, "tuning.", "testing.")
    try:
        changed = changed_settings(load(settings), config, of=sections)
    except SettingsError as error:
        raise console.UserError(f"{error}; start the search over with --fresh") from None
    if changed:
        raise console.UserError(
            f"{settings.parent}: was started with other settings ({'; '.join(changed)}); choose another --run, or "
            "start over with --fresh"
        )
    return False


def _remove_trials(config: Config) -> None:
    """Remove the results and the runs of all trials; a folder with other files is refused."""
    pattern = re.compile(re.escape(config.run) + r"-trial-\d{3,}(-fold\d+)?(-folds)?")
    found = sorted(config.snapshots.iterdir()) if config.snapshots.is_dir() else []
    for run in (folder for folder in found if pattern.fullmatch(folder.name) and folder.is_dir()):
        unrelated = [] if run.name.endswith("-folds") else unrelated_names(run, RUN_FILES)
        if unrelated:
            raise console.UserError(
                f"{run}: contains {unrelated[0]}, which does not belong to a trial; choose another --run"
            )
        remove_folder(run)
    remove_folder(search_folder(config))


def _with_next_trial(
    journal: Journal, space: Sequence[Dimension], config: Config, kind: TrialKind, *, trials: int
) -> Journal:
    """Run the next trial, or the rest of the one that was running, and write what it found."""
    folder, finished = search_folder(config), tuple(journal.finished)
    index = len(finished)
    unfinished = journal.trials[index:]
    trial = unfinished[0] if unfinished else Trial(index, choose_values(journal, space, config.tuning))
    write_journal(folder, replace(journal, trials=(*finished, trial)))
    report_trial(trial, of=max(trials, index + 1))
    before = replace(journal, trials=finished)
    same = next((one for one in finished if one.values == trial.values and one.state != "failed"), None)
    if same:
        trial = replace(same, index=index, repeats=same.index, seconds=0.0)
    else:
        trial = run_trial(trial, config, kind, stopping_rule(before, space, config.tuning))
    journal = replace(journal, trials=(*finished, trial))
    write_journal(folder, journal)
    write_results(journal, space, config, folder, testing=kind == "testing")
    report_trial(trial, of=max(trials, index + 1), best=journal.best)
    return journal


def _reason_of_failure(journal: Journal) -> str:
    count = len(journal.finished)
    reason = next((trial.reason for trial in journal.failed), "")
    return f"{'the only trial' if count == 1 else f'all {count} trials'} failed; the first: {reason}"
