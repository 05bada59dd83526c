"""What waveform.py compares with: the processes of PyTorch and of a notebook, and their input."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from torch_peer import Peer

from config import Config
from utils import console
from utils.files import write_json
from utils.learning.devices import on_accelerator
from utils.learning.examples import Examples
from utils.spectra.bands import bands_of, hop_of
from utils.spectra.clips import clip_samples, margin_samples
from utils.spectra.on_device import compute_spectrograms
from utils.spectra.stored_sound import FULL_SCALE

TORCH_MODELS = ("Baseline", "ResNet")  # of torch_networks.py


class ScriptPeer(Peer):
    """A script beside this one that takes requests, in a separate process.

    Parameters
    ----------
    folder : its input
    python : that runs it
    """

    def __init__(self, script: str, folder: Path, python: str) -> None:
        environment = os.environ | {
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            "TRITON_CACHE_DIR": str(folder / "triton"),
        }
        self._process = subprocess.Popen(  # noqa: S603
            [python, str(Path(__file__).with_name(script)), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )


def torch_can(python: str, *, gpu: bool, model: str) -> bool:
    """Tell whether a Python has PyTorch, and sees a GPU if JAX does; warn if not."""
    if model not in TORCH_MODELS:
        console.warning(f"{model}: torch_networks.py has only {', '.join(TORCH_MODELS)}; PyTorch is not measured")
        return False
    seen = subprocess.run(  # noqa: S603
        [python, "-c", "import torch; print(torch.cuda.is_available())"], capture_output=True, text=True, check=False
    ).stdout.strip()
    if not seen:
        console.warning("PyTorch is not installed (pip install torch, or --torch PYTHON); it is not measured")
    elif gpu and seen != "True":
        console.warning("PyTorch sees no GPU; it is not measured")
        return False
    return bool(seen)


def hand_over(folder: Path, sound: Examples, stored: Examples, config: Config, *, ways: Sequence[str]) -> None:
    """Write the input of both: settings.json, and sound, spectrograms, labels and filters as arrays.

    Parameters
    ----------
    sound, stored : clips of stores of sound and of spectrograms
    config : settings of the augmented training
    ways : what PyTorch tries: eager, network compiled, all compiled
    """
    spectrogram, waveform = config.spectrogram, config.waveform
    samples, _, _ = clip_samples(config.clips, rate=spectrogram.rate)
    bands = bands_of(spectrogram)
    assert bands.weights is not None  # noqa: S101
    arrays = {
        "sounds": sound.clips(sound.rows),
        "peaks": sound.peaks(sound.rows),
        "labels": sound.labels.primary.astype(np.int64),
        "images": stored.clips(stored.rows),
        "background": sound.noise.sounds,
        "filters": bands.weights.toarray().astype(np.float32),
        "window": bands.window.astype(np.float32),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(array))
    settings = {
        "rate": spectrogram.rate,
        "samples": samples,
        "margin": margin_samples(config.clips, rate=spectrogram.rate),
        "n_fft": len(bands.window),
        "hop": hop_of(spectrogram, samples=samples),
        "height": spectrogram.height,
        "width": spectrogram.width,
        "fmin": spectrogram.fmin,
        "fmax": spectrogram.fmax,
        "pre_emphasis": spectrogram.pre_emphasis,
        "first_bin": bands.first_bin,
    }
    augmentation = {
        name: getattr(waveform, name)
        for name in ("probability", "shift", "speed", "pitch", "gain", "pink", "background")
    }
    training = {
        "model": config.model.name,
        "classes": len(sound.classes),
        "batch": config.training.batch_size,
        "learning_rate": config.training.learning_rate,
        "gpu": on_accelerator(),
        "ways": ways,
        "tried": 20 if on_accelerator() else 2,  # steps
    }
    write_json(folder / "settings.json", settings | augmentation | training)


def check_spectrograms(peer: Peer, folder: Path, sound: Examples, config: Config) -> None:
    """Print how far PyTorch's spectrograms of clips that are not augmented are from ours; refuse to compare others."""
    given = peer.ask("spectrograms")
    if not given:
        return
    theirs = np.load(folder / given["file"])
    rows = sound.rows[: len(theirs)]
    samples, _, _ = clip_samples(config.clips, rate=config.spectrogram.rate)
    margin = margin_samples(config.clips, rate=config.spectrogram.rate)
    clips = sound.clips(rows)[:, margin : margin + samples].astype(np.float32)
    peaks = sound.peaks(rows)
    assert peaks is not None  # noqa: S101
    ours = np.asarray(compute_spectrograms(jnp.asarray(clips * (peaks / FULL_SCALE)[:, None]), config.spectrogram))
    levels = 255 * np.abs(ours - theirs)
    close = float((levels <= 1).mean())
    console.info(f"PyTorch's spectrograms: {close:.4%} of the pixels within one grey level of ours")
    if close < 0.99:
        raise console.UserError("the spectrograms are not the same")


def check_parameters(chosen: dict[str, Any], parameters: int) -> None:
    """Refuse to compare networks of different sizes."""
    if chosen and chosen["parameters"] != parameters:
        raise console.UserError(f"PyTorch's network has {chosen['parameters']:,} parameters, ours {parameters:,}")
