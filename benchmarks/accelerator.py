"""Speed of spectrograms and signal scores of clips on an accelerator, compared with PyTorch.

    python benchmarks/accelerator.py
    python benchmarks/accelerator.py --quick

Both sides have the same clips as float32 on the device, and compute mel spectrograms in decibels from 0 to 1, signal
scores and grey levels. PyTorch does what a good notebook does: `torch.stft`, a product with the mel filters, decibels,
medians, pooling for the 3 × 3 filters, under `torch.compile`; the faster of compiled and eager counts. First, the
spectrograms are compared with those of the CPU. Without an accelerator or PyTorch, it warns and measures what it can.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import librosa.filters
import numpy as np

from config import Spectrogram
from utils import console
from utils.files import write_json
from utils.spectra.on_device import make_spectrograms
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import make_spectrogram, to_pixels

SETTINGS = Spectrogram()
N_FFT, HOP = 8 * SETTINGS.height, SETTINGS.rate // (SETTINGS.width - 1)


def made_up(count: int) -> np.ndarray:
    """Make clips of one second: calls of many pitches in noise."""
    rng = np.random.default_rng(0)
    clips = rng.normal(0, 0.02, (count, SETTINGS.rate)).astype(np.float32)
    seconds = np.arange(SETTINGS.rate, dtype=np.float32) / SETTINGS.rate
    for clip in clips:
        clip += (
            0.3
            * (np.sin(2 * np.pi * 5 * seconds + rng.uniform(0, 6)) > 0.2)
            * np.sin(2 * np.pi * rng.uniform(800, 9000) * seconds)
        ).astype(np.float32)
    return clips


def torch_spectrograms(clips: Any, window: Any, filters: Any) -> tuple[Any, Any]:
    """Return spectrograms and signal scores by PyTorch."""
    import torch
    from torch.nn.functional import max_pool2d, pad

    emphasised = torch.cat([clips[:, :1], clips[:, 1:] - SETTINGS.pre_emphasis * clips[:, :-1]], dim=1)
    padded = pad(emphasised, (N_FFT // 2, N_FFT // 2))
    spectrum = torch.stft(padded, N_FFT, HOP, window=window, center=False, return_complex=True).abs()
    levels = 20 * torch.log10(torch.clamp(filters @ spectrum, min=1e-5))
    levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - 80).flip(1)[:, :, : SETTINGS.width]
    low, high = levels.amin((1, 2), keepdim=True), levels.amax((1, 2), keepdim=True)
    spectrograms = (levels - low) / torch.clamp(high - low, min=1e-9)
    row, column = _torch_median(spectrograms, 2), _torch_median(spectrograms, 1)
    on = ((spectrograms >= 1.25 * row) & (spectrograms >= 1.15 * column) & (spectrograms > 0)).float()[:, None]
    votes = torch.nn.functional.avg_pool2d(pad(on, (1, 1, 1, 1), mode="replicate"), 3, 1)
    grown = max_pool2d((votes > 0.5).float(), 3, 1, padding=1)
    closed = -max_pool2d(-pad(grown, (1, 1, 1, 1), value=1.0), 3, 1)
    return (spectrograms * 255).round().to(torch.uint8), closed.mean((1, 2, 3))


def _torch_median(spectrograms: Any, axis: int) -> Any:
    ordered, count = spectrograms.sort(axis).values, spectrograms.shape[axis]
    return (ordered.narrow(axis, (count - 1) // 2, 1) + ordered.narrow(axis, count // 2, 1)) / 2


def clips_per_second(run: Callable[[], object], *, clips: int, repeats: int) -> list[float]:
    """Return the speed of several runs, after one that compiles."""
    run()
    speeds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        speeds.append(clips / (time.perf_counter() - start))
    return speeds


def ours(clips: np.ndarray, *, batch: int, repeats: int) -> list[float]:
    """Measure ours on the device that JAX uses."""
    resident = [jax.device_put(clips[first : first + batch]) for first in range(0, len(clips), batch)]
    return clips_per_second(
        lambda: jax.block_until_ready([make_spectrograms(part, SETTINGS) for part in resident]),
        clips=len(clips),
        repeats=repeats,
    )


def theirs(clips: np.ndarray, *, batch: int, repeats: int) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Measure PyTorch, compiled and eager; return the faster one's speeds, and the first spectrograms and scores."""
    import torch

    torch.set_float32_matmul_precision("highest")  # as ours
    device = "cuda" if torch.cuda.is_available() else "cpu"
    window = torch.hann_window(N_FFT, device=device)
    bank = librosa.filters.mel(
        sr=SETTINGS.rate, n_fft=N_FFT, n_mels=SETTINGS.height, fmin=SETTINGS.fmin, fmax=SETTINGS.fmax
    )
    filters = torch.from_numpy(bank).to(device)
    resident = [torch.from_numpy(clips[first : first + batch]).to(device) for first in range(0, len(clips), batch)]
    results = []
    for function in (torch_spectrograms, torch.compile(torch_spectrograms)):

        def run(function: Callable[..., Any] = function) -> None:
            with torch.inference_mode():
                for part in resident:
                    function(part, window, filters)
            if device == "cuda":
                torch.cuda.synchronize()

        try:
            results.append(clips_per_second(run, clips=len(clips), repeats=repeats))
        except Exception as error:  # noqa: BLE001 — the compiler raises many kinds, for example without a C compiler
            console.warning(f"PyTorch: {' '.join(str(error).split())[:200]}")
    with torch.inference_mode():
        spectrograms, scores = torch_spectrograms(resident[0][:16], window, filters)
    return max(results, key=statistics.median), spectrograms.cpu().numpy(), scores.cpu().numpy()


def main() -> None:
    """Compare, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64 clips")
    quick = parser.parse_args().quick
    count, batch, repeats = (64, 32, 2) if quick else (10_000, 500, 5)
    device = jax.devices()[0]
    if device.platform == "cpu":
        console.warning("JAX sees no accelerator; these are times of the CPU")
    clips = made_up(count)
    spectrograms, scores = (np.asarray(array) for array in make_spectrograms(clips[:16], SETTINGS))
    on_cpu = [make_spectrogram(clip, SETTINGS) for clip in clips[:16]]
    differences = np.abs(np.stack([to_pixels(spectrogram) for spectrogram in on_cpu]).astype(int) - spectrograms)
    score_difference = float(np.abs(scores - [signal_score(spectrogram) for spectrogram in on_cpu]).max())
    console.info(
        f"compared with the CPU: {np.mean(differences <= 1):.4%} of the pixels within one grey level, scores within "
        f"{score_difference:.5f}"
    )
    speeds = {"ours": ours(clips, batch=batch, repeats=repeats)}
    try:
        speeds["PyTorch"], others, other_scores = theirs(clips, batch=batch, repeats=repeats)
        close = np.mean(np.abs(others.astype(int) - spectrograms) <= 1)
        console.info(
            f"PyTorch against ours: {close:.4%} of the pixels within one grey level, scores within "
            f"{np.abs(other_scores - scores).max():.5f}"
        )
    except ImportError:
        console.warning("PyTorch is not installed (pip install torch); only JAX is measured")
    rows = [
        [name, f"{statistics.median(runs):,.0f}", f"{min(runs):,.0f} to {max(runs):,.0f}"]
        for name, runs in speeds.items()
    ]
    console.show_grid(f"{device.device_kind}: {count:,} clips, resident", ["", "clips/s", "spread"], rows)
    ratio = statistics.median(speeds["ours"]) / statistics.median(speeds["PyTorch"]) if "PyTorch" in speeds else None
    kind = "cpu" if device.platform == "cpu" else "gpu"
    content = {"device": device.device_kind, "ratio": ratio and round(ratio, 2), "table": rows}
    write_json(Path(__file__).parent / "results" / f"accelerator-{kind}.json", content)
    print(f"ratio {ratio:.2f}" if ratio else "ratio none")


if __name__ == "__main__":
    main()
