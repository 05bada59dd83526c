"""Train a net on the spectrogram store, and keep its best and its latest snapshot.

    python train.py experiments/birdclef2018.toml
    python train.py experiments/birdclef2018.toml --run small --model.name Baseline
    python train.py experiments/birdclef2018.toml --training.pictures datasets/TrainingSet/pictures

Some recordings of the training side watch: after every epoch the net answers them, and the snapshot with the highest
mean label-ranking average precision (MLRAP) over them is the best. A run that was stopped goes on where it was;
`--fresh` begins it anew. With `training.pictures`, a folder of PNG files in the baseline's naming is learned from
instead of the store. An experiment that names teachers (`distillation.teachers`) is one for distill.py.

Source: train.py of the 2018 BirdCLEF baseline.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console
from utils.learning.devices import ask_for_same_bits
from utils.learning.examples import read_examples
from utils.learning.loop import learn, summarize
from utils.learning.runs import open_run, refuse_teachers


@dataclass(frozen=True)
class Flags:
    """What this call may ask for."""

    fresh: bool = False  # throw this run away and begin it anew


@dataclass(frozen=True)
class Trained:
    """What training left: the run's folder, how many epochs it took, and how long they took together."""

    folder: Path
    epochs: int
    seconds: float


def main(config: Config, flags: Flags = Flags()) -> Trained:
    """Train the net of `config.model` under the name `config.run`."""
    passed = console.stopwatch()
    refuse_teachers(config)
    ask_for_same_bits(config.training)
    examples = read_examples(config)
    with console.alone(config.snapshots, f"train of {config.run}"):
        open_run(config, fresh=flags.fresh)
        rows = learn(examples, config)
    summarize(rows, config.run_folder, seconds=passed())
    return Trained(config.run_folder, len(rows), sum(row.seconds for row in rows))


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=Flags))
