"""Train a net, test it, and report how good it is: train.py and test.py in one command. Or put runs that were tested side by side.

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
from utils.scoring.comparison import Comparison, compare
from utils.scoring.testing import Tested, check_before_training, figure_rows
from utils.timings import times


@dataclass(frozen=True)
class Flags(train.Flags):
    """What this call may ask for."""

    # only put these runs' folders side by side, on the recordings that all of them answered; two or more
    compare: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """The figures of a run.

    Attributes
    ----------
    mlrap : mean label-ranking average precision on what was held out, the headline; None where nothing could be scored
    top1_accuracy : share of the recordings whose first answer is right
    ridge_mlrap : that of ridge regression on mean spectra, where `testing.ridge` asked for it
    snapshot, log, report : where they are
    seconds : how long each stage took
    complete : whether all recordings that were held out were used as they are
    """

    mlrap: float | None
    top1_accuracy: float | None
    ridge_mlrap: float | None
    snapshot: Path
    log: Path
    report: Path
    seconds: dict[str, float]
    complete: bool = True


def main(config: Config, flags: Flags = Flags()) -> Evaluation | Comparison:
    """Train and test the run `config.run`, and print the summary; or compare runs."""
    if flags.compare:
        return compare(flags.compare)
    check_before_training(read_split(config.dataset), config)
    trained = train.main(config, train.Flags(fresh=flags.fresh))
    tested = test.main(config)
    seconds = {**times(config.dataset.root), "train": trained.seconds, "test": tested.seconds}
    evaluation = Evaluation(
        mlrap=tested.figures.mlrap,
        top1_accuracy=tested.figures.top1_accuracy,
        ridge_mlrap=tested.ridge.mlrap if tested.ridge else None,
        snapshot=tested.snapshot.folder,
        log=trained.folder / "log.csv",
        report=tested.folder / "report.html",
        seconds=seconds,
        complete=tested.complete,
    )
    summarize(evaluation, tested)
    return evaluation


def summarize(evaluation: Evaluation, tested: Tested) -> None:
    """Print the figures, how long each stage took, and where everything is."""
    console.show_table(
        "Evaluated",
        {
            **figure_rows(tested),
            "time": ", ".join(f"{stage} {console.clock(seconds)}" for stage, seconds in evaluation.seconds.items()),
            "snapshot": console.shown(evaluation.snapshot),
            "log": console.shown(evaluation.log),
            "report": console.shown(evaluation.report),
        },
    )


if __name__ == "__main__":
    sys.exit(
        console.run(main, doc=__doc__, flags=Flags, complete=lambda done: isinstance(done, Comparison) or done.complete)
    )
