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

    python distill.py experiments/soundscapes.toml --distillation.unlabelled datasets/soundscapes

Source: TEACHER in train.py of the 2018 BirdCLEF baseline; Hinton et al., arXiv:1503.02531; rounds: Xie et al., Noisy
Student, arXiv:1911.04252.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

import train
from config import Config
from utils import console
from utils.learning.devices import request_determinism
from utils.learning.distillation import (
    LearnFromTeachers,
    check_student,
    record_teachers,
    report_earlier_name,
    run_without_teachers,
    with_cached_predictions,
    with_teachers_recordings,
    without_teachers,
)
from utils.learning.examples import read_examples
from utils.learning.loop import learn, summarize_training
from utils.learning.pseudo_labels import LearnPseudoLabels, with_pseudo_labels
from utils.learning.rounds import (
    LABELS_ALONE,
    check_home,
    finished_round,
    is_worse,
    keep_best,
    log_of_rounds,
    report_rounds,
    round_config,
    round_indices,
)
from utils.learning.runs import open_run
from utils.learning.teachers import chosen_teachers, load_teachers
from utils.learning.unlabelled import with_unlabelled
from utils.models.training_log import EpochRow
from utils.models.used_settings import warn_of_unused
from utils.recordings.splits import read_split
from utils.scoring.held_out import held_out_recordings
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.noise_folder import check_noise_folder
from utils.scoring.inference.units import predict_units, unit_of
from utils.scoring.reports.distillation_table import (
    STUDENT,
    STUDENT_WITHOUT_TEACHERS,
    NetworkRow,
    compared_networks,
    tabulate,
)
from utils.scoring.testing import Tested, check_not_trained_on, evaluate_and_report


@dataclass(frozen=True)
class Distilled:
    """The result of distillation: the student's training and test, and the rows of the comparison."""

    trained: train.Trained
    tested: Tested
    networks: tuple[NetworkRow, ...]


def main(config: Config, flags: train.Flags = train.Flags()) -> Distilled:
    """Train the network of `config.model` as `config.run` on the predictions of its teachers, and test it."""
    check_student(config)
    warn_of_unused(config.model)
    request_determinism(config.training)
    starts_alone = not config.distillation.teachers and config.distillation.rounds > 0
    members = [] if starts_alone else chosen_teachers(config)
    split = read_split(config.dataset)
    recordings = held_out_recordings(split, config)
    check_not_trained_on(recordings, members, config)
    check_noise_folder(config)
    if starts_alone:
        train.main(without_teachers(config), flags)
    rows = train_rounds(config, flags) if config.distillation.rounds else train_student(members, config, flags)
    if config.distillation.compare_without_teachers and not starts_alone:
        report_earlier_name(config)
        train.main(without_teachers(config), flags)
    tested, networks = compare_networks(members, recordings, split, config)
    return Distilled(train.Trained(config.run_folder, len(rows), sum(row.seconds for row in rows)), tested, networks)


def train_student(members: Sequence[Member], config: Config, flags: train.Flags) -> list[EpochRow]:
    """Train the student of some teachers."""
    elapsed = console.stopwatch()
    examples = with_teachers_recordings(with_unlabelled(read_examples(config), config), members)
    teachers = load_teachers(members, examples.classes, config)
    with console.alone(config.snapshots, f"training of {config.run}"):
        open_run(config, fresh=flags.fresh)
        record_teachers(config.run_folder, teachers.named_contents)
        examples = with_cached_predictions(examples, teachers, config)
        rows = learn(examples, config, LearnFromTeachers.of(examples, teachers, config))
    summarize_training(rows, config, seconds=elapsed())
    return rows


def train_rounds(config: Config, flags: train.Flags) -> list[EpochRow]:
    """Train the students of all rounds, until validation falls; keep the best as `config.run`; return its log."""
    with console.alone(config.snapshots, f"rounds of {config.run}"):
        check_home(config)
        rounds = [] if config.distillation.teachers else [finished_round(config, LABELS_ALONE)]
        for index in round_indices(config):
            train_round(round_config(config, index), flags)
            rounds.append(finished_round(config, index))
            console.info(f"round {index}: validation {rounds[-1].snapshot.chosen_by.text}")
            if is_worse(rounds):
                console.info(f"round {index} is worse on the validation recordings: learning ends")
                break
        keep_best(rounds, config)
    report_rounds(rounds, config)
    return log_of_rounds(config)


def train_round(config: Config, flags: train.Flags) -> None:
    """Train the student of one round, whose settings these are."""
    members = chosen_teachers(config)
    examples = with_teachers_recordings(read_examples(config), members)
    teachers = load_teachers(members, examples.classes, config)
    with console.alone(config.snapshots, f"training of {config.run}"):
        open_run(config, fresh=flags.fresh)
        record_teachers(config.run_folder, teachers.named_contents)
        examples = with_pseudo_labels(examples, teachers, config)
        learn(examples, config, LearnPseudoLabels(config.training, len(examples.classes)))


def compare_networks(
    teachers: Sequence[Member], recordings: pl.DataFrame, split: pl.DataFrame, config: Config
) -> tuple[Tested, tuple[NetworkRow, ...]]:
    """Predict the recordings once with each network, print the comparison, and report on those trained here."""
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
    sys.exit(console.run(main, doc=__doc__, flags=train.Flags, complete=lambda done: done.tested.complete))
