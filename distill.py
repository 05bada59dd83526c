"""Train a small network (the student) on the predictions of larger ones (its teachers), and compare them.

    python distill.py experiments/distillation.toml --distillation.teachers snapshots/one snapshots/other
    python distill.py experiments/mine.toml --run small --model.name Pi --model.dense_units 64 --distillation.teachers
    snapshots/large

The student is the network of `model`. Its targets are the mean of the teachers' predictions for the same augmented
spectrograms, which each teacher gets in its own size. `distillation.unlabelled` adds clips of data sets without labels.
Apart from that, training is that of train.py: the same command resumes a stopped run. Then the student is tested as by
test.py, and a table compares it with its teachers, their ensemble, and (`distillation.compare_without_teachers`) the
same network trained without teachers.

With `distillation.rounds` students are trained one after the other, each on the labels and on pseudo labels that models
before it, which did not learn from these clips, give the unlabelled ones; the best by validation is kept. It needs no
teachers:

    python distill.py experiments/mine.toml --distillation.unlabelled datasets/soundscapes --distillation.rounds 3

Source: TEACHER in train.py of the 2018 BirdCLEF baseline; Hinton et al., arXiv:1503.02531; rounds: Xie et al., Noisy
Student, arXiv:1911.04252.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import train
from config import Config
from utils import console

if TYPE_CHECKING:
    import polars as pl

    from utils.scoring.inference.ensembles import Member
    from utils.scoring.reports.distillation_table import NetworkRow
    from utils.scoring.testing import Tested

Flags = train.Flags


@dataclass(frozen=True)
class Distilled:
    """The result of distillation: the student's training and test, and the rows of the comparison."""

    trained: train.Trained
    tested: "Tested"
    networks: "tuple[NetworkRow, ...]"


def main(config: Config, flags: train.Flags = train.Flags()) -> Distilled:
    """Train the network of `config.model` as `config.run` on the predictions of its teachers, and test it."""
    from utils.learning.devices import request_determinism
    from utils.learning.distillation import check_student, report_earlier_name, without_teachers
    from utils.learning.rounds import open_rounds
    from utils.learning.students import train_rounds, train_student
    from utils.learning.teachers import chosen_teachers
    from utils.learning.unlabelled import check_unlabelled
    from utils.models.used_settings import warn_of_unused
    from utils.recordings.splits import read_split
    from utils.scoring.held_out import held_out_recordings
    from utils.scoring.inference.noise_folder import check_noise_folder
    from utils.scoring.testing import check_not_trained_on

    check_student(config)
    warn_of_unused(config.model)
    request_determinism(config.training)
    starts_alone = config.distillation.starts_alone
    members = [] if starts_alone else chosen_teachers(config)
    split = read_split(config.dataset)
    recordings = held_out_recordings(split, config)
    check_not_trained_on(recordings, members, config)
    check_noise_folder(config)
    if config.distillation.rounds:
        check_unlabelled(config)
        open_rounds(config, fresh=flags.fresh)
    if starts_alone:
        train.main(without_teachers(config), flags)
    if config.distillation.rounds:
        rows = train_rounds(config, fresh=flags.fresh)
    else:
        rows = train_student(members, config, fresh=flags.fresh)
    if config.distillation.compare_without_teachers and not starts_alone:
        report_earlier_name(config)
        train.main(without_teachers(config), flags)
    tested, networks = compare_networks(members, recordings, split, config)
    return Distilled(train.Trained(config.run_folder, len(rows), sum(row.seconds for row in rows)), tested, networks)


def compare_networks(
    teachers: "Sequence[Member]", recordings: "pl.DataFrame", split: "pl.DataFrame", config: Config
) -> "tuple[Tested, tuple[NetworkRow, ...]]":
    """Predict the recordings once with each network, print the comparison, and report on those trained here."""
    from utils.learning.distillation import run_without_teachers, without_teachers
    from utils.scoring.inference.units import predict_units, unit_of
    from utils.scoring.reports.distillation_table import (
        STUDENT,
        STUDENT_WITHOUT_TEACHERS,
        compared_networks,
        tabulate,
    )
    from utils.scoring.testing import check_not_trained_on, evaluate_and_report

    networks = compared_networks(teachers, config, without_teachers=run_without_teachers(config))
    check_not_trained_on(recordings, [member for together in networks.values() for member in together])
    unit, predictions, seconds = unit_of(recordings, config), {}, {}
    for name, members in networks.items():
        elapsed = console.stopwatch()
        predictions[name] = predict_units(members, recordings, config, unit, what=name)
        seconds[name] = elapsed()
    table = tabulate(networks, predictions, config)
    if STUDENT_WITHOUT_TEACHERS in networks:
        evaluate_and_report(
            predictions[STUDENT_WITHOUT_TEACHERS],
            networks[STUDENT_WITHOUT_TEACHERS],
            split,
            without_teachers(config),
            seconds=seconds[STUDENT_WITHOUT_TEACHERS],
        )
    return evaluate_and_report(predictions[STUDENT], networks[STUDENT], split, config, seconds=seconds[STUDENT]), table


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=Flags, complete=lambda done: done.tested.complete))
