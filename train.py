"""Train a network on the spectrogram store, and save its best and its latest snapshot.

    python train.py experiments/birdclef2018.toml
    python train.py experiments/birdclef2018.toml --run small --model.name Baseline
    python train.py experiments/birdclef2018.toml --training.images datasets/TrainingSet/spectrograms
    python train.py experiments/birdclef2018.toml --coordinator 10.0.0.1:1234 --processes 2 --process 0

Some recordings of train/ are set apart for validation (`training.validation_share`). The best snapshot is that of the
epoch with the best value of `training.monitor` on them, by default the highest mean label-ranking average precision
(MLRAP). A stopped run is resumed by the same command; `--fresh` starts it again. With `training.images`, a folder of
PNG files with names as in the 2018 baseline is used instead of the store. Experiments with teachers
(`distillation.teachers`) are trained by distill.py. With `--coordinator`, several hosts train one network together: the
last line above on each of them, with another `--process`.

Source: train.py of the 2018 BirdCLEF baseline.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console
from utils.learning.host_flags import HostFlags


@dataclass(frozen=True)
class Flags:
    """Flags of a single call, which are never saved with the settings."""

    fresh: bool = False  # delete this run and start again


@dataclass(frozen=True)
class CallFlags(HostFlags, Flags):
    """Flags of a single call on one of several hosts."""


@dataclass(frozen=True)
class Trained:
    """The result of training: the run's folder, the number of epochs, and their time in seconds."""

    folder: Path
    epochs: int
    seconds: float


def main(config: Config, flags: Flags = Flags()) -> Trained:
    """Train the network of `config.model` under the name `config.run`."""
    from utils.external.settings import with_external_model
    from utils.learning.devices import request_determinism
    from utils.learning.examples import read_examples
    from utils.learning.host_checks import check_hosts
    from utils.learning.host_messages import from_first, lock_by_host_0, on_all
    from utils.learning.loop import learn, summarize_training
    from utils.learning.noise_clips import with_noise_folder
    from utils.learning.runs import open_run, refuse_teachers
    from utils.models.used_settings import warn_of_unused
    from utils.recordings.splits import has_split

    elapsed = console.stopwatch()
    config = with_external_model(config)
    refuse_teachers(config)
    warn_of_unused(config.model)
    request_determinism(config.training)
    if config.model.head == "none" and not has_split(config.dataset):
        return predict_all_classes(config, flags)
    examples = on_all(lambda: with_noise_folder(read_examples(config), config))
    check_hosts(examples, config)
    with lock_by_host_0(config.snapshots, f"training of {config.run}"):
        from_first(lambda: open_run(config, fresh=flags.fresh))
        rows = learn(examples, config)
    from_first(lambda: summarize_training(rows, config, seconds=elapsed()))
    return Trained(config.run_folder, len(rows), sum(row.seconds for row in rows))


def predict_all_classes(config: Config, flags: Flags) -> Trained:
    """Make the run of a bird model that predicts all its classes: without a data set, there is nothing to train."""
    from utils.learning.file_classes import save_without_data
    from utils.learning.runs import open_run

    with console.alone(config.snapshots, f"training of {config.run}"):
        open_run(config, fresh=flags.fresh)
        snapshot = save_without_data(config)
    console.show_table(
        "Made",
        {
            "model": f"{config.external.title}, all its {len(snapshot.classes):,} classes",
            "trained": f"nothing: there is no {console.printable(config.dataset.root / 'split.parquet')}",
            "snapshot": console.printable(snapshot.folder),
            "next": "python submission_soundscape.py, with the same experiment and --submission.recordings FOLDER",
        },
    )
    return Trained(config.run_folder, 1, 0.0)


def train_with_others(config: Config, flags: CallFlags = CallFlags()) -> Trained:
    """Train with the other hosts that `--coordinator` tells of, if it is set."""
    from utils.learning.hosts import connected

    with connected(flags):
        return main(config, flags)


if __name__ == "__main__":
    sys.exit(console.run(train_with_others, doc=__doc__, flags=CallFlags))
