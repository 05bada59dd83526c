"""Explain a prediction: which part of the spectrogram a model's score of a species depends on.

    python explain.py robin.wav --snapshot snapshots/mine
    python explain.py robin.wav --snapshot snapshots/mine --at 12.5 --species "Erithacus rubecula" --out explain.png

Patches of the spectrogram of one clip are replaced by its background, the median of each frequency band, and the score
is computed again. The image shows the spectrogram, how much the score falls without each part, and the sums over time
and frequency. Without flags, it is the clip and the species with the highest score of the recording.

Such a map tells what the model uses, not where the bird is (docs/guide.md).

Source: Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from config import Config
from utils import console
from utils.scoring.explanation_call import ExplainFlags
from utils.scoring.prediction_call import split_call

if TYPE_CHECKING:
    from utils.scoring.explaining import Explained


def main(places: Sequence[str], config: Config, flags: ExplainFlags) -> "Explained":
    """Explain one clip of a recording, and write the image."""
    from utils.scoring.explaining import explain_clip, prepare_explanation, report_explanation, write_explanation

    elapsed = console.stopwatch()
    task = prepare_explanation(places, config, flags)
    explanations = explain_clip(task, config)
    explained = write_explanation(task, explanations)
    return report_explanation(explained, task, seconds=elapsed())


def command(arguments: Sequence[str]) -> int:
    """Run the command line `RECORDING [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    places, words = split_call(arguments)
    return console.run(
        partial(main, places),
        doc=__doc__,
        sections=("testing", "log"),
        flags=ExplainFlags,
        arguments=words,
        script="explain.py RECORDING",
    )


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
