"""Speed of inference from file to scores: test.py, the same network in a good notebook, and decoding alone.

    python benchmarks/inference.py
    python benchmarks/inference.py --quick
    python benchmarks/inference.py --minutes 10 --recordings 100
    python benchmarks/inference.py --experiment experiments/fine-tune.toml --engine onnx-int8

Measured on one long recording and on many short ones (FLAC, made up, 44.1 kHz), in hours of sound per minute; then each
stage alone, on one core except for the network. The notebook has the default ResNet in PyTorch, channels last, and
spectrograms from librosa in as many workers as there are cores, and fills batches from several recordings. All ways run
in processes of their own, in turn. Ours is also measured on a third of the sound: its memory should not grow. The
network is not trained. With --experiment ours is that of the experiment; the notebook stays the default ResNet's. The
last line is the speed of ours divided by that of the notebook, over both.
"""

import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from file_to_predictions import Sizes, jobs_of, make_recordings, measure_sizes, parsed, show_machine, write_results

from config import Config
from utils import console
from utils.models.snapshots import find_snapshot
from utils.scoring.inference.onnx_sessions import scores_of
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.inference.snapshot_predictors import snapshot_predictor
from utils.settings import load
from utils.spectra.decode import decode
from utils.spectra.recording_spectrograms import grid_clips
from utils.spectra.spectrogram import make_spectrogram, to_pixels

STAGES = 2  # minutes of sound, at most, on which each stage is measured alone


def stages(folder: Path) -> dict[str, float]:
    """Return the seconds of each stage alone for one recording; the network runs on all cores, other stages on one."""
    job, config = jobs_of(folder)[0], load(folder / "settings.toml")
    snapshot = find_snapshot(config.run_folder, "latest")
    assert snapshot is not None  # noqa: S101
    predict = snapshot_predictor(snapshot, config.testing)
    seconds = {}
    passed = console.stopwatch()
    for _ in decode(Path(job.file), rate=job.spectrogram.rate):
        pass
    seconds["decode"] = passed()
    clips = list(grid_clips(job))
    passed = console.stopwatch()
    pixels = np.stack([to_pixels(make_spectrogram(samples, job.spectrogram)) for samples in clips])
    seconds["spectrogram"] = passed()
    predict(pixels[: config.testing.batch_size])  # compile
    passed = console.stopwatch()
    logits = predict(pixels).logits
    seconds["network"] = passed()
    passed = console.stopwatch()
    median_filtered(scores_of(logits, multi_label=False))
    seconds["pooling"] = passed()
    return seconds


def main() -> None:
    """Measure, print and write."""
    options = parsed(__doc__, full=Sizes(60, 1000, 3), quick=Sizes(1, 3, 1), of_models=True)
    experiment = load(options.experiment) if options.experiment else Config()
    if experiment.model.name == "External":
        raise console.UserError("a bird model from a file is measured by benchmarks/external_model.py")
    if options.engine:
        experiment = replace(experiment, testing=replace(experiment.testing, engine=options.engine))
    ways = ["ours"] + (["PyTorch"] if find_spec("torch") else [])
    if len(ways) == 1:
        console.warning("PyTorch is not installed (pip install torch): ours alone is measured")
    versions = show_machine("jax", "onnxruntime", "torch", "librosa")
    minutes = min(options.minutes, STAGES)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        measured = measure_sizes(options, Path(name), ways=ways, script="inference_ways.py", experiment=experiment)
        made = make_recordings(Path(name) / "stages", count=1, seconds=60 * minutes, experiment=experiment)
        part = stages(made)
    rows = [[stage, f"{one:.2f}", f"{minutes / one:.3f}"] for stage, one in part.items()]
    console.show_grid(f"Each stage alone, {minutes:g} min of sound", ["", "seconds", "hours a minute"], rows)
    ratio = measured.seconds["PyTorch"] / measured.seconds["ours"] if len(ways) > 1 else None
    write_results("inference", measured, options, ratio=ratio, versions=versions, stages=rows)


if __name__ == "__main__":
    main()
