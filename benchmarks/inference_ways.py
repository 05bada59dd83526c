"""What inference.py measures, each in a process of its own: ours, and a good notebook in PyTorch with librosa.

    python benchmarks/inference_ways.py (ours | jax | PyTorch) FOLDER

FOLDER has `recordings.parquet`, the recordings, and, for ours, a run with a snapshot. The last line of output is JSON:
seconds from the first file to the last score (without imports, but with all preparation), and the number of clips.
"""

# mypy: disable-error-code="misc"

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])

import numpy as np
import polars as pl

from config import Clips, Spectrogram
from utils import console
from utils.scoring.inference.pooling import median_filtered
from utils.settings import load

PIECE = 60.0  # seconds of a recording that the notebook reads at once
BATCH, CLASSES = 64, 1500


def ours(folder: Path, *, engine: Literal["jax"] | None = None) -> int:
    """Predict all recordings with the snapshot beside them; return the number of clips."""
    from utils.scoring.inference.ensembles import chosen_members
    from utils.scoring.inference.recordings import predict_recordings

    config = load(folder / "settings.toml")
    config = replace(config, testing=replace(config.testing, engine=engine or config.testing.engine))
    predictions = predict_recordings(chosen_members(config), pl.read_parquet(folder / "recordings.parquet"), config)
    if predictions.failures:
        raise console.UserError(str(predictions.failures[0]))
    return int(predictions.clips.sum())


class Pieces:
    """The recordings in pieces, as a DataLoader's workers read them with librosa, and their spectrograms."""

    def __init__(self, folder: Path) -> None:
        import soundfile

        self.pieces: list[tuple[int, Path, float]] = []
        for row, file in enumerate(pl.read_parquet(folder / "recordings.parquet")["file"]):
            seconds = soundfile.info(folder / file).duration
            step = PIECE - PIECE % (Clips().length - Clips().overlap)  # so that pieces start where clips do
            self.pieces += [
                (row, folder / file, start) for start in np.arange(0, max(seconds - Clips().length, 0) + 1e-6, step)
            ]
        self.step = step

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.pieces)

    def __getitem__(self, index: int) -> tuple[int, np.ndarray]:
        """Return a piece's recording and its spectrograms, uint8 (clips, height, width)."""
        import librosa

        row, file, start = self.pieces[index]
        settings, clips = Spectrogram(), Clips()
        length, step = int(clips.length * settings.rate), int((clips.length - clips.overlap) * settings.rate)
        samples, _ = librosa.load(file, sr=settings.rate, offset=start, duration=self.step + clips.overlap)
        cut = librosa.util.frame(samples, frame_length=length, hop_length=step, axis=0)
        mel = librosa.feature.melspectrogram(
            y=cut,
            sr=settings.rate,
            n_fft=8 * settings.height,
            hop_length=length // (settings.width - 1),
            n_mels=settings.height,
            fmin=settings.fmin,
            fmax=settings.fmax,
            power=1,
        )
        levels = librosa.amplitude_to_db(mel, ref=np.max)[:, ::-1, : settings.width]
        low, high = levels.min((1, 2), keepdims=True), levels.max((1, 2), keepdims=True)
        return row, np.round(255 * (levels - low) / np.maximum(high - low, 1e-6)).astype(np.uint8)


def notebook(folder: Path) -> int:
    """Predict all recordings in PyTorch, channels last; workers make spectrograms, and recordings share batches."""
    import torch
    from torch_networks import NETWORKS

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network: Any = NETWORKS["ResNet"](CLASSES).eval().to(device, memory_format=torch.channels_last)
    pieces = Pieces(folder)
    torch.set_num_threads(os.cpu_count() or 1)
    loader = torch.utils.data.DataLoader(pieces, batch_size=None, num_workers=os.cpu_count() or 1, prefetch_factor=2)
    scores: dict[int, list[np.ndarray]] = {}
    waiting: list[tuple[int, np.ndarray]] = []
    count = 0

    def predict_batch() -> None:
        pixels = torch.from_numpy(np.concatenate([spectrograms for _, spectrograms in waiting])).to(device).float()
        rows = np.concatenate([np.full(len(spectrograms), row) for row, spectrograms in waiting])
        low, high = pixels.amin((1, 2), keepdim=True), pixels.amax((1, 2), keepdim=True)
        stretched = (2 * (pixels - low) / (high - low).clamp(min=1e-6) - 1)[:, None].contiguous(
            memory_format=torch.channels_last
        )
        parts = [torch.softmax(network(part), 1) for part in stretched.split(BATCH)]
        for row, clip in zip(rows, torch.cat(parts).cpu().numpy(), strict=True):
            scores.setdefault(int(row), []).append(clip)
        waiting.clear()

    with torch.inference_mode():
        for row, spectrograms in loader:
            waiting.append((row, np.asarray(spectrograms)))
            count += len(spectrograms)
            if sum(len(spectrograms) for _, spectrograms in waiting) >= BATCH:
                predict_batch()
        if waiting:
            predict_batch()
    for clips in scores.values():
        median_filtered(np.stack(clips))
    return count


def main() -> None:
    """Run one way, and print how long it took."""
    way, folder = sys.argv[1], Path(sys.argv[2])
    if way == "PyTorch":
        import torch  # noqa: F401 — the import is not measured

        clips_of: Any = lambda: notebook(folder)  # noqa: E731
    else:
        import utils.scoring.inference.recordings  # noqa: F401

        clips_of = lambda: ours(folder, engine="jax" if way == "jax" else None)  # noqa: E731
    passed = console.stopwatch()
    clips = clips_of()
    seconds = passed()
    print(json.dumps({"seconds": seconds, "clips": clips}))


if __name__ == "__main__":
    main()
