"""Teach a small net what large nets, or several together, have learned, and say how much of it arrived.

    python distill.py experiments/distillation.toml --distillation.teachers snapshots/one snapshots/other
    python distill.py experiments/mine.toml --run small --model.name Pi --model.dense_units 64 --distillation.teachers
    snapshots/large

The student is the net of `model`; its targets are the mean of the teachers' answers to the very pictures that it sees,
varied as `augmentation` says, each teacher in its own size. Clips of data sets without labels
(`distillation.unlabelled`) can take part. All else is as in train.py: a stopped run goes on where it was. Then the
student is tested as by test.py, and stands in a table beside its teachers, their ensemble, and the same net trained
without them (`distillation.untaught`).

Source: TEACHER in train.py of the 2018 BirdCLEF baseline; Hinton et al., arXiv:1503.02531.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

import train
from config import Config
from utils import console
from utils.learning.devices import ask_for_same_bits
from utils.learning.examples import read_examples
from utils.learning.loop import learn, summarize
from utils.learning.runs import open_run
from utils.learning.teachers import chosen_teachers, gather
from utils.learning.teaching import check_student, keep_where_same, note_what_teachers_heard, untaught
from utils.learning.unlabelled import with_unlabelled
from utils.recordings.splits import read_split
from utils.scoring.inference.ensembles import Model
from utils.scoring.inference.recordings import answer
from utils.scoring.reports.distillation_table import STUDENT, STUDENT_UNTAUGHT, compared_nets, tabulate
from utils.scoring.reports.parts import NetRow
from utils.scoring.testing import Tested, check_unheard, conclude, held_out_recordings


@dataclass(frozen=True)
class Distilled:
    """What distilling left: how the student trained and tested, and the table of all nets."""

    trained: train.Trained
    tested: Tested
    nets: tuple[NetRow, ...]


def main(config: Config, flags: train.Flags = train.Flags()) -> Distilled:
    """Train the net of `config.model` under the name `config.run` by the answers of `distillation.teachers`, and test it."""
    passed = console.stopwatch()
    check_student(config)
    ask_for_same_bits(config.training)
    models = chosen_teachers(config)
    split = read_split(config.dataset)
    recordings = held_out_recordings(split, config)
    check_unheard(recordings, models)
    examples = note_what_teachers_heard(with_unlabelled(read_examples(config), config), models)
    teachers = gather(models, examples.classes, config)
    with console.alone(config.snapshots, f"train of {config.run}"):
        open_run(config, fresh=flags.fresh)
        rows = learn(keep_where_same(examples, teachers, config), config, teachers)
    summarize(rows, config.run_folder, seconds=passed())
    if config.distillation.untaught:
        train.main(untaught(config), flags)
    tested, nets = compare(models, recordings, split, config)
    return Distilled(train.Trained(config.run_folder, len(rows), sum(row.seconds for row in rows)), tested, nets)


def compare(
    teachers: Sequence[Model], recordings: pl.DataFrame, split: pl.DataFrame, config: Config
) -> tuple[Tested, tuple[NetRow, ...]]:
    """Let each net of the table answer the recordings once; print the table, and write the tests of those that were trained here."""
    nets = compared_nets(teachers, config)
    check_unheard(recordings, [model for together in nets.values() for model in together])
    answers, seconds = {}, {}
    for name, models in nets.items():
        passed = console.stopwatch()
        answers[name] = answer(models, recordings, config, what=name)
        seconds[name] = passed()
    table = tabulate(nets, answers, config)
    if STUDENT_UNTAUGHT in nets:
        conclude(
            answers[STUDENT_UNTAUGHT],
            nets[STUDENT_UNTAUGHT],
            split,
            untaught(config),
            seconds=seconds[STUDENT_UNTAUGHT],
        )
    return conclude(answers[STUDENT], nets[STUDENT], split, config, seconds=seconds[STUDENT]), table


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=train.Flags, complete=lambda done: done.tested.complete))
