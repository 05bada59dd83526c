"""Teach a small net what large nets, or several together, have learned, and say how much of it arrived.

    python distill.py experiments/distillation.toml --distillation.teachers snapshots/one snapshots/other
    python distill.py experiments/mine.toml --run small --model.name Pi --model.dense_units 64 --distillation.teachers snapshots/large

The student is the net of `model`; its targets are the mean of the teachers' answers to the very pictures that it sees, varied as `augmentation` says, each
teacher in its own size. Clips of data sets without labels (`distillation.unlabelled`) can take part. All else is as in train.py: a stopped run goes on where it
was. Then the student is tested as by test.py, and stands in a table beside its teachers, their ensemble, and the same net trained without them
(`distillation.untaught`).

Source: TEACHER in train.py of the 2018 BirdCLEF baseline; Hinton et al., arXiv:1503.02531.
"""

import sys
from dataclasses import dataclass

import test
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
from utils.scoring.distillation_table import tabulate
from utils.scoring.report_parts import NetRow
from utils.scoring.testing import Tested, check_unheard, held_out_recordings


@dataclass(frozen=True)
class Flags(train.Flags):
    """What this call may ask for."""


@dataclass(frozen=True)
class Distilled:
    """What distilling left: how the student trained and tested, and the table of all nets."""

    trained: train.Trained
    tested: Tested
    nets: tuple[NetRow, ...]


def main(config: Config, flags: Flags = Flags()) -> Distilled:
    """Train the net of `config.model` under the name `config.run` by the answers of `distillation.teachers`, and test it."""
    passed = console.stopwatch()
    check_student(config)
    ask_for_same_bits(config.training)
    models = chosen_teachers(config)
    recordings = held_out_recordings(read_split(config.dataset), config)
    check_unheard(recordings, models)
    examples = note_what_teachers_heard(with_unlabelled(read_examples(config), config), models)
    teachers = gather(models, examples.classes, config)
    with console.alone(config.snapshots, f"train of {config.run}"):
        open_run(config, fresh=flags.fresh)
        rows = learn(keep_where_same(examples, teachers, config), config, teachers)
    summarize(rows, config.run_folder, seconds=passed())
    if config.distillation.untaught:
        train.main(untaught(config), flags)
        test.main(untaught(config))
    nets = tabulate(models, recordings, config)
    tested = test.main(config)
    return Distilled(train.Trained(config.run_folder, len(rows), sum(row.seconds for row in rows)), tested, nets)


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=Flags))
