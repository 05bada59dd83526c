"""Test a snapshot, or several together, on the held-out recordings: those of test/ if there are any, or else of val/.

    python test.py experiments/birdclef2018.toml
    python test.py experiments/birdclef2018.toml --testing.snapshot latest
    python test.py experiments/birdclef2018.toml --testing.models snapshots/one snapshots/other
    python test.py experiments/birdclef2018.toml --export network.onnx

The first clips of each recording are predicted, also those without signal, and their scores are pooled as
`testing.pooling` says; the 2018 baseline used the median-filtered mean. The main metric is the mean label-ranking
average precision (MLRAP) over recordings, background species included. Long recordings with annotations are tested by
intervals or by annotated calls instead (`testing.unit`), over their whole length. `--export` also saves the network for
ONNX Runtime, to be used without this toolkit as docs/file-formats.md shows; with `--int8` in 8-bit integers.

Source: test.py of the 2018 BirdCLEF baseline, which published an MLRAP of 0.612 on 4,399 recordings of 1,500 species.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from config import Config
from utils import console

if TYPE_CHECKING:
    from utils.scoring.testing import Tested


@dataclass(frozen=True)
class Flags:
    """Flags of a single call, which are never saved with the settings."""

    # save the network as this ONNX file before testing: grey levels in, logits out
    export: Path | None = None
    # with --export: save the network in 8-bit integers, a quarter of the size; needs the store of the training clips
    int8: bool = False


def main(config: Config, flags: Flags = Flags()) -> "Tested":
    """Test the models of `testing.models`, or the snapshot `testing.snapshot` of the run `config.run`."""
    from utils.recordings.splits import read_split
    from utils.scoring.exporting import export_network
    from utils.scoring.held_out import held_out_recordings
    from utils.scoring.inference.ensembles import chosen_members
    from utils.scoring.inference.noise_folder import check_noise_folder
    from utils.scoring.inference.units import predict_units, unit_of
    from utils.scoring.testing import check_not_trained_on, evaluate_and_report

    elapsed = console.stopwatch()
    split = read_split(config.dataset)
    members = chosen_members(config)
    export_network(members, flags.export, int8=flags.int8)
    recordings = held_out_recordings(split, config)
    check_not_trained_on(recordings, members, config)
    check_noise_folder(config)
    unit = unit_of(recordings, config)
    with console.alone(config.run_folder / "test", "test"):
        predictions = predict_units(members, recordings, config, unit)
        return evaluate_and_report(predictions, members, split, config, seconds=elapsed())


if __name__ == "__main__":
    sys.exit(
        console.run(
            main,
            doc=__doc__,
            sections=("testing", "metadata", "cluster", "log"),
            flags=Flags,
            complete=lambda tested: tested.complete,
        )
    )
