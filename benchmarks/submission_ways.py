"""What submission.py measures, each in a process of its own: submission_soundscape.py, and the way of the 2018 scripts.

    python benchmarks/submission_ways.py (ours | 2018) FOLDER

FOLDER has the recordings, `settings.toml`, and a run with a snapshot. The last line of output is JSON: seconds from the
first file to the last row on disk (without imports, but with all preparation), and the number of clips.
"""

import json
import os
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])

import numpy as np
import workers
from inference_ways import CLASSES

from config import Config
from utils import console
from utils.settings import load
from utils.spectra.clips import clip_samples
from utils.spectra.decode import Length
from utils.spectra.interval_grid import clip_starts, count_intervals, interval_start

TOGETHER = 5  # clips that the 2018 scripts predicted at once
BEST = 100  # species of an interval that are written


def settings_of(folder: Path) -> Config:
    """Return settings for a folder's recordings, with the submission beside them."""
    config = load(folder / "settings.toml")
    ids = folder / "ids.csv"
    ids.write_text(
        "scientific_name,class_id\n" + "".join(f"species {index:04d},c{index:04d}\n" for index in range(CLASSES))
    )
    asked: dict[str, Any] = {
        "recordings": folder,
        "folder": folder / "submissions",
        "format": "birdclef2018",
        "class_ids": ids,
        "page_minutes": 0.0,
    }
    return replace(config, submission=replace(config.submission, **asked))


def ours(folder: Path) -> None:
    """Predict all recordings with the script."""
    import submission_soundscape

    submitted = submission_soundscape.main(settings_of(folder))
    if submitted.failures:
        raise console.UserError(str(submitted.failures[0]))


def as_in_2018(folder: Path) -> None:
    """Predict recordings one by one: one spectrogram at a time by librosa, five clips at a time by XLA."""
    import librosa

    from utils.models.saved_networks import load_network
    from utils.scoring.inference.ensembles import chosen_members
    from utils.scoring.inference.onnx_sessions import scores_of
    from utils.scoring.inference.pooling import median_filtered
    from utils.scoring.inference.predictors import predictor

    config = settings_of(folder)
    (member,) = chosen_members(config)
    graph, network = load_network(member.snapshot)
    predict = predictor(graph, batch_size=TOGETHER)
    rows = []
    for file in sorted(folder.glob("*.flac")):
        samples, _ = librosa.load(file, sr=workers.RATE, mono=True)
        for interval, starts in enumerate(starts_of(len(samples), config)):
            spectrograms = [
                np.round(255 * workers.librosa_spectrogram(samples[start : start + workers.LENGTH])).astype(np.uint8)
                for start in starts
            ]
            logits = [
                predict(network, np.stack(spectrograms[first : first + TOGETHER])).logits
                for first in range(0, len(spectrograms), TOGETHER)
            ]
            pooled = median_filtered(scores_of(np.concatenate(logits), multi_label=False))
            when = f"{file.stem};{5 * interval}-{5 * interval + 5}"
            rows += [
                f"{when};{member.snapshot.classes[index]};{pooled[index]}\n" for index in np.argsort(-pooled)[:BEST]
            ]
    (folder / "2018.txt").write_text("".join(rows))


def starts_of(samples: int, config: Config) -> list[list[int]]:
    """Return where the clips of a recording's intervals start, samples."""
    length, step, _ = clip_samples(config.clips, rate=workers.RATE)
    seconds = config.submission.interval
    count = count_intervals(Length(samples, workers.RATE), interval=seconds)
    bounds = [min(samples, interval_start(index, interval=seconds, rate=workers.RATE)) for index in range(count + 1)]
    return [list(clip_starts(start, end, length=length, step=step)) for start, end in pairwise(bounds)]


def main() -> None:
    """Run one way, and print how long it took."""
    import soundfile

    import submission_soundscape  # noqa: F401 — the import is not measured

    way, folder = sys.argv[1], Path(sys.argv[2])
    run: Any = {"ours": ours, "2018": as_in_2018}[way]
    if way == "2018":
        import librosa

        # compile
        librosa.feature.melspectrogram(y=np.zeros(workers.LENGTH, np.float32), sr=workers.RATE)
    config = settings_of(folder)
    passed = console.stopwatch()
    run(folder)
    seconds = passed()
    clips = sum(
        len(starts) for file in folder.glob("*.flac") for starts in starts_of(soundfile.info(file).frames, config)
    )
    print(json.dumps({"seconds": seconds, "clips": clips}))


if __name__ == "__main__":
    main()
