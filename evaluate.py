"""Train a network, test it, and report how good it is (train.py and test.py in one command), or compare tested runs.

    python evaluate.py experiments/demo.toml
    python evaluate.py --compare snapshots/one snapshots/other

Source: evaluate.py of the 2018 BirdCLEF baseline.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import test
import train
from config import Config
from utils import console
from utils.recordings.splits import read_split
from utils.scoring.comparison import Comparison, compare_runs
from utils.scoring.testing import Tested, check_before_training, headline_rows
from utils.timings import times


@dataclass(frozen=True)
class Flags(train.Flags):
    """Flags of a single call, which are never saved with the settings."""

    # only compare these runs (two folders or more) on the recordings that all of them predicted
    compare: tuple[Path, ...] = ()


@dataclass(frozen=True)
class EvaluatedRun:
    """The headline metrics of a run.

    Attributes
    ----------
    mlrap : mean label-ranking average precision on the held-out recordings; None if there was nothing to evaluate
    top1_accuracy : share of the recordings whose top prediction is their primary label
    ridge_mlrap : MLRAP of ridge regression on mean spectra, if `testing.ridge` is on
    snapshot, log, report : their paths
    seconds : time of each stage
    complete : whether all held-out recordings could be read to their end
    """

    mlrap: float | None
    top1_accuracy: float | None
    ridge_mlrap: float | None
    snapshot: Path
    log: Path
    report: Path
    seconds: dict[str, float]
    complete: bool = True


def main(config: Config, flags: Flags = Flags()) -> EvaluatedRun | Comparison:
    """Train and test the run `config.run`, and print the summary; or compare runs."""
    if flags.compare:
        return compare_runs(flags.compare)
    check_before_training(read_split(config.dataset), config)
    trained = train.main(config, train.Flags(fresh=flags.fresh))
    tested = test.main(config)
    seconds = {**times(config.dataset.root), "train": trained.seconds, "test": tested.seconds}
    evaluated = EvaluatedRun(
        mlrap=tested.headline.mlrap,
        top1_accuracy=tested.headline.top1_accuracy,
        ridge_mlrap=tested.ridge.mlrap if tested.ridge else None,
        snapshot=tested.snapshot.folder,
        log=trained.folder / "log.csv",
        report=tested.folder / "report.html",
        seconds=seconds,
        complete=tested.complete,
    )
    print_summary(evaluated, tested)
    return evaluated


def print_summary(evaluated: EvaluatedRun, tested: Tested) -> None:
    """Print the metrics, the time of each stage, and the paths of the results."""
    console.show_table(
        "Evaluated",
        {
            **headline_rows(tested),
            "time": ", ".join(f"{stage} {console.clock(seconds)}" for stage, seconds in evaluated.seconds.items()),
            "snapshot": console.printable(evaluated.snapshot),
            "log": console.printable(evaluated.log),
            "report": console.printable(evaluated.report),
        },
    )


if __name__ == "__main__":
    sys.exit(
        console.run(main, doc=__doc__, flags=Flags, complete=lambda done: isinstance(done, Comparison) or done.complete)
    )
