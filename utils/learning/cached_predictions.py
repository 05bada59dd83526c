"""Predictions of teachers, cached with the store: without augmentation they are the same in each epoch.

    <root>/spec/predictions_<key>.npy   float32 (clips, classes), one row per row of the store's clips

Any student of the same teachers, classes and settings of `distillation` uses it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int64, UInt8

from config import Config
from utils import console
from utils.files import atomic_file
from utils.learning.augmentation import is_augmented
from utils.learning.augmentation.sounds import is_sound_augmented
from utils.learning.noise import Noise
from utils.learning.teachers import Teachers
from utils.models.input_scaling import from_pixels
from utils.models.networks import Network
from utils.settings_keys import short_key
from utils.spectra.store import Store

CLIPS_READ_AT_ONCE = 1024
TEACHER_BATCH = 256  # clips that the teachers predict together


@dataclass(frozen=True)
class CachedPredictions:
    """Predictions for the clips of one store or several, mapped into memory: only rows that are asked for are read."""

    parts: tuple[Float32[np.ndarray, "_ classes"], ...]

    def of(self, rows: Int64[np.ndarray, "*batch"]) -> Float32[np.ndarray, "*batch classes"]:
        """Return the predictions for clips; rows of the second store follow those of the first."""
        bounds = np.cumsum([0, *(len(part) for part in self.parts)])
        found = np.empty((*rows.shape, self.parts[0].shape[1]), np.float32)
        for part, start, end in zip(self.parts, bounds, bounds[1:], strict=False):
            here = (rows >= start) & (rows < end)
            found[here] = part[rows[here] - start]
        return found


def is_deterministic(config: Config, noise: Noise) -> bool:
    """Tell whether the image of each clip is the same in all epochs."""
    images, sounds = config.augmentation, config.waveform
    bank = jnp.zeros((len(noise.spectrograms), 1, 1), jnp.uint8)
    background = jnp.zeros((len(noise.sounds), 1), jnp.int16)
    mixed = sounds.mixup or images.mixup
    return not (mixed or is_sound_augmented(sounds, background) or is_augmented(images, bank))


def cache_predictions(stores: Sequence[Store], teachers: Teachers, classes: tuple[str, ...]) -> CachedPredictions:
    """Return the teachers' predictions for all clips of some stores, from their caches or computed now."""
    return CachedPredictions(tuple(_of_store(store, teachers, classes) for store in stores))


def _of_store(store: Store, teachers: Teachers, classes: tuple[str, ...]) -> Float32[np.ndarray, "clips classes"]:
    path = store.folder / f"predictions_{_cache_key(store, teachers, classes)}.npy"
    _report_earlier_files(store.folder)
    if not _is_complete(path, (len(store.clips), len(classes))):
        _compute(path, store, teachers, classes)
    return np.load(path, mmap_mode="r")


def _report_earlier_files(folder: Path) -> None:
    """Report files of earlier versions, which are no longer used."""
    if list(folder.glob("answers_*.npy")):
        console.info(
            f"{console.printable(folder)}: answers_*.npy were made by an earlier version and are no longer used; "
            "remove them"
        )


def _is_complete(path: Path, shape: tuple[int, int]) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r").shape == shape)
    except (OSError, ValueError, EOFError):
        return False


def _cache_key(store: Store, teachers: Teachers, classes: tuple[str, ...]) -> str:
    """Return a text that changes if the clips, the teachers, or the settings of their predictions do."""
    settings = teachers.settings
    about = {
        "teachers": [
            [content, model.weight] for content, model in zip(teachers.contents, teachers.models, strict=True)
        ],
        "settings": [settings.average, settings.temperature, settings.multi_label],
        "classes": classes,
        "spectrograms": _spectrogram_settings(store),
    }
    table = store.clips.select("recording", "index", "start", "length", "score")
    return short_key(about, text=table.write_csv())


def _spectrogram_settings(store: Store) -> str:
    text = store.settings_text
    return text + store.spectrogram_key if store.keeps_sound else text


def _compute(path: Path, store: Store, teachers: Teachers, classes: tuple[str, ...]) -> None:
    """Write the teachers' predictions for all clips, a part at a time; the file appears whole or not at all."""
    count = len(store.clips)

    @jax.jit
    def predict(
        networks: tuple[Network, ...], pixels: UInt8[Array, "batch height width"]
    ) -> Float[Array, "batch classes"]:
        return teachers.predict(networks, from_pixels(pixels))

    with atomic_file(path) as stream, console.progress("teachers predict", total=count, unit="clips") as advance:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f4", "fortran_order": False, "shape": (count, len(classes))}
        )
        for start in range(0, count, CLIPS_READ_AT_ONCE):
            pixels = store.spectrograms(np.arange(start, min(start + CLIPS_READ_AT_ONCE, count)))
            missing = -len(pixels) % TEACHER_BATCH
            padded = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
            parts = [
                predict(teachers.networks, padded[first : first + TEACHER_BATCH])
                for first in range(0, len(padded), TEACHER_BATCH)
            ]
            stream.write(np.concatenate([np.asarray(part, np.float32) for part in parts])[: len(pixels)].tobytes())
            advance(len(pixels))
