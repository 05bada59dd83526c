"""Noisy students: rounds in which a student learns pseudo labels of the models before it (`distillation.rounds`).

    snapshots/<run>-round-0   the model trained on labels alone; not there if there are teachers
    snapshots/<run>-round-1   the student of these; and so on
    snapshots/<run>           snapshots of the best round, and rounds.csv

A round is a run of its own, with settings of its own: its teachers by name, its part and its power. Rounds end when
validation falls. A stopped call is resumed by the same command, with the same result.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from config import Config
from utils import console
from utils.files import atomic_file, atomic_folder, remove_folder, write_text
from utils.learning.distillation import round_run
from utils.learning.runs import check_run_folder
from utils.models.snapshots import Snapshot, find_snapshot, network_digest, snapshots_of
from utils.models.training_log import EpochRow, read_training_log
from utils.settings import to_toml

LABELS_ALONE = 0  # index of the round without teachers


@dataclass(frozen=True)
class FinishedRound:
    """A round that was trained, and how good its student is on the validation recordings.

    Attributes
    ----------
    index : 0 for the model that learned labels alone
    snapshot : by `testing.snapshot`
    """

    index: int
    snapshot: Snapshot

    @property
    def rank(self) -> tuple[float, float]:
        """What the best round maximises."""
        return self.snapshot.chosen_by.rank(self.snapshot.validation_loss)


def round_indices(config: Config) -> range:
    """Return the indices of the rounds that learn pseudo labels."""
    return range(LABELS_ALONE + 1, config.distillation.rounds + 1)


def round_config(config: Config, index: int) -> Config:
    """Return the settings of a round, from 1 on: one round, with its teachers, its part and its power."""
    settings = config.distillation
    labels = settings.pseudo_labels
    part = (labels.first_part + index - 1) % labels.parts
    power = labels.power[min(index, len(labels.power)) - 1]
    teachers = teachers_of_round(config, index)
    return replace(
        config,
        run=round_run(config, index),
        distillation=replace(
            settings,
            rounds=1,
            teachers=teachers,
            weights=settings.weights if teachers == settings.teachers else (),
            snapshot=settings.snapshot if teachers == settings.teachers else config.testing.snapshot,
            loss="binary" if config.training.multi_label else "cross_entropy",
            pseudo_labels=replace(labels, first_part=part, power=(power,)),
        ),
    )


def teachers_of_round(config: Config, index: int) -> tuple[Path, ...]:
    """Return the models that label the clips of a round: those of the parts − 1 rounds before it.

    What comes before the first round is the teachers of the settings, or else the model that learned labels alone. No
    student among them learned the part of this round.
    """
    first = config.distillation.teachers or (config.snapshots / round_run(config, LABELS_ALONE),)
    earliest = max(0, index - (config.distillation.pseudo_labels.parts - 1))
    students = [config.snapshots / round_run(config, one) for one in range(max(earliest, 1), index)]
    return (*(first if earliest == 0 else ()), *students)


def finished_round(config: Config, index: int) -> FinishedRound:
    """Return a round that was trained.

    Raises
    ------
    UserError
        If it has no snapshot.
    """
    folder = config.snapshots / round_run(config, index)
    snapshot = find_snapshot(folder, config.testing.snapshot)
    if not snapshot:
        raise console.UserError(f"{folder}: has no snapshot; run distill.py with the same experiment again")
    return FinishedRound(index, snapshot)


def best_round(rounds: Sequence[FinishedRound]) -> FinishedRound:
    """Return the round with the best validation, the earlier one of equals; the last one if there is no validation."""
    if all(one.snapshot.chosen_by.value is None for one in rounds):
        return rounds[-1]
    return max(rounds, key=lambda one: (one.rank, -one.index))


def is_worse(rounds: Sequence[FinishedRound]) -> bool:
    """Tell whether the last round is worse than one before it, so that no other should follow."""
    return rounds[-1].rank < best_round(rounds).rank


def open_rounds(config: Config, *, fresh: bool) -> None:
    """Refuse a folder of the run that holds something else, or remove what an earlier run left there if `fresh`.

    Raises
    ------
    UserError
        That names a file which does not belong to a run, or a snapshot of another kind of run.
    """
    folder = config.run_folder
    check_run_folder(folder)
    if fresh:
        remove_folder(folder)
    others = [one.folder.name for one in snapshots_of(folder) if one.config.run == config.run]
    if others:
        raise console.UserError(
            f"{folder}: contains {others[0]}, which is not of distillation.rounds; choose another --run, another "
            "folder for --snapshots, or remove that run with --fresh"
        )


def keep_best(rounds: Sequence[FinishedRound], config: Config) -> None:
    """Make the run: copies of the snapshots of the best round, and rounds.csv."""
    best, folder = best_round(rounds), config.run_folder
    write_text(folder / "settings.toml", to_toml(config))
    write_text(folder / "rounds.csv", _rounds_table(rounds, best).write_csv())
    source = best.snapshot.folder.parent
    wanted = snapshots_of(source)
    digests = {network_digest(one) for one in wanted}
    for snapshot in snapshots_of(folder):
        if network_digest(snapshot) not in digests:
            remove_folder(snapshot.folder)
    for snapshot in wanted:
        _copy_snapshot(snapshot, folder / snapshot.folder.name)
    for name in ("log.csv", "curves.png"):
        made = source / name
        if made.is_file():
            with atomic_file(folder / name) as stream:
                stream.write(made.read_bytes())


def _copy_snapshot(snapshot: Snapshot, to: Path) -> None:
    """Copy a snapshot without what resuming needs, unless it is there."""
    if to.is_dir():
        return
    files = [path for path in snapshot.folder.rglob("*") if path.is_file()]
    with atomic_folder(to) as new:
        for path in files:
            name = path.relative_to(snapshot.folder)
            if not name.parts[0].startswith("training"):
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, new / name)


def _rounds_table(rounds: Sequence[FinishedRound], best: FinishedRound) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "round": one.index,
                "run": one.snapshot.config.run,
                "metric": one.snapshot.chosen_by.title,
                "value": one.snapshot.chosen_by.value,
                "validation_loss": one.snapshot.validation_loss,
                "kept": one is best,
            }
            for one in rounds
        ]
    )


def log_of_rounds(config: Config) -> list[EpochRow]:
    """Return the log of the round that is kept."""
    return read_training_log(config.run_folder / "log.csv", until=config.training.epochs)


def report_rounds(rounds: Sequence[FinishedRound], config: Config) -> None:
    """Print how good the student of each round is, and which is kept."""
    best = best_round(rounds)
    lines = {
        "labels alone" if one.index == LABELS_ALONE else f"round {one.index}": (
            f"{one.snapshot.chosen_by.text}, {console.printable(one.snapshot.folder.parent)}"
            f"{', kept' if one is best else ''}"
        )
        for one in rounds
    }
    console.show_table("Rounds", {**lines, "kept as": console.printable(config.run_folder)})
    if best.index == LABELS_ALONE and len(rounds) > 1:
        console.warning(
            "no round is better than labels alone, which are kept; try a higher distillation.pseudo_labels.confidence, "
            "or more unlabelled recordings"
        )
