"""Predict the species in recordings with a trained model: on the screen, or in a table for other programs.

    python predict.py robin.wav --snapshot snapshots/mine
    python predict.py /data/card1 "/data/card2/*.wav" --snapshot snapshots/mine --out detections.csv
    python predict.py /data/card1 experiments/mine.toml --out labels --format audacity

Recordings are files, folders with all that is in them, or patterns of names. Each interval of `submission.interval`
seconds is predicted as by submission_soundscape.py, with the settings of the run. With --out, a call that was stopped
is resumed by the same command.

No trained model comes with the toolkit. Train one on your own recordings (python train.py), start from public weights
(experiments/fine-tune.toml), use a bird model from a file, such as BirdNET (experiments/external.toml), or take one
that somebody published with card.py (--snapshot hf:OWNER/NAME).
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from config import Config
from utils import console
from utils.scoring.prediction_call import PredictFlags, split_call

if TYPE_CHECKING:
    from utils.scoring.predicting import PredictedRecordings


def main(places: Sequence[str], config: Config, flags: PredictFlags) -> "PredictedRecordings":
    """Predict the recordings at some places, and print or write the detections."""
    from utils.scoring.predicting import prepare_prediction, report_prediction, write_prediction

    elapsed = console.stopwatch()
    with prepare_prediction(places, config, flags) as task:
        predicted = write_prediction(task, config)
        return report_prediction(predicted, task, seconds=elapsed())


def command(arguments: Sequence[str]) -> int:
    """Run the command line `RECORDING … [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    places, words = split_call(arguments)
    return console.run(
        partial(main, places),
        doc=__doc__,
        sections=("testing", "submission", "metadata", "cluster", "log"),
        flags=PredictFlags,
        complete=lambda done: done.complete,
        arguments=words,
        script="predict.py RECORDING …",
    )


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
