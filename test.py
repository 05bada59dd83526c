"""Test a snapshot on the recordings of val/ (or test/, where the split has it), which no training has seen.

    python test.py experiments/birdclef2018.toml
    python test.py experiments/birdclef2018.toml --testing.snapshot latest
    python test.py experiments/birdclef2018.toml --testing.models snapshots/one snapshots/other
    python test.py experiments/birdclef2018.toml --export net.onnx

The first clips of a recording are answered, without rejection, by one model or several, and the scores of its clips are
pooled (`testing.pooling`), as the 2018 baseline did by the median-filtered mean. The headline is the mean label-ranking
average precision (MLRAP) over the recordings, species in the background included. `--export` first keeps the net as a
file for devices that have ONNX Runtime, but not this toolkit; docs/file-formats.md shows its use.

Source: test.py of the 2018 BirdCLEF baseline, which published an MLRAP of 0.612 on 4,399 recordings of 1,500 species.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console
from utils.recordings.splits import read_split
from utils.scoring.inference.ensembles import chosen_models
from utils.scoring.inference.recordings import answer
from utils.scoring.testing import Tested, check_unheard, conclude, held_out_recordings, keep_net


@dataclass(frozen=True)
class Flags:
    """What this call may ask for."""

    # also keep the net as this ONNX file, which needs no toolkit: grey levels in, logits out
    export: Path | None = None


def main(config: Config, flags: Flags = Flags()) -> Tested:
    """Test the models that `config.testing.models` names, or the snapshot that `config.testing.snapshot` names, of the run `config.run`."""
    passed = console.stopwatch()
    split = read_split(config.dataset)
    models = chosen_models(config)
    keep_net(models, flags.export)
    recordings = held_out_recordings(split, config)
    check_unheard(recordings, models)
    answers = answer(models, recordings, config)
    return conclude(answers, models, split, config, seconds=passed())


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, flags=Flags, complete=lambda tested: tested.complete))
