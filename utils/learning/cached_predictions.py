"""Predictions of teachers, cached with the store: without augmentation they are the same in each epoch.

    <root>/spec/predictions_<key>.npy   float32 (clips, classes), one row per row of the store's clips

With `distillation.embedding_share` the teacher's embeddings follow as further columns. Any student of the same
teachers, classes and settings of `distillation` uses the file again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float16, Float32, Int64, Shaped

from config import Config, Dataset
from utils import console
from utils.files import atomic_file
from utils.learning.augmentation.images import is_augmented
from utils.learning.augmentation.sounds import is_sound_augmented
from utils.learning.noise import Noise
from utils.learning.teacher_embeddings import TeacherEmbeddings, teacher_embeddings
from utils.learning.teachers import Teachers, resized
from utils.learning.unlabelled import dataset_at
from utils.models.input_scaling import from_pixels
from utils.models.networks import Network
from utils.settings_keys import short_key
from utils.spectra.store import Store

TEACHER_BATCH = 256  # clips that the teachers predict together


@dataclass(frozen=True)
class CachedPredictions:
    """Predictions for the clips of one store or several, mapped into memory: only rows that are asked for are read."""

    parts: tuple[Float32[np.ndarray, "_ columns"], ...]

    @property
    def columns(self) -> int:
        """Classes, and values of an embedding."""
        return self.parts[0].shape[1]

    def of(self, rows: Int64[np.ndarray, "*batch"]) -> Float32[np.ndarray, "*batch columns"]:
        """Return the predictions, and embeddings, for clips; rows of the second store follow those of the first."""
        bounds = np.cumsum([0, *(len(part) for part in self.parts)])
        found = np.empty((*rows.shape, self.columns), np.float32)
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


def cache_predictions(
    stores: Sequence[Store], teachers: Teachers, classes: tuple[str, ...], config: Config
) -> CachedPredictions:
    """Return the teachers' predictions for all clips of some stores, from their caches or computed now.

    Parameters
    ----------
    stores : that of the data set, and those of `distillation.unlabelled`
    """
    datasets = [config.dataset, *(dataset_at(root, config) for root in config.distillation.unlabelled)]
    return CachedPredictions(
        tuple(_of_store(store, at, teachers, classes, config) for store, at in zip(stores, datasets, strict=True))
    )


def unlabelled_predictions(
    stores: Sequence[Store], teachers: Teachers, classes: tuple[str, ...], config: Config
) -> CachedPredictions:
    """Do as `cache_predictions`, but only for the stores of `distillation.unlabelled`; others are zeros.

    Parameters
    ----------
    stores : those of `cache_predictions`
    """
    first = np.broadcast_to(np.float32(0), (len(stores[0].clips), len(classes)))
    datasets = [dataset_at(root, config) for root in config.distillation.unlabelled]
    others = [_of_store(store, at, teachers, classes, config) for store, at in zip(stores[1:], datasets, strict=True)]
    return CachedPredictions((first, *others))


def _of_store(
    store: Store, dataset: Dataset, teachers: Teachers, classes: tuple[str, ...], config: Config
) -> Float32[np.ndarray, "clips columns"]:
    path = store.folder / f"predictions_{_cache_key(store, teachers, classes)}.npy"
    _report_earlier_files(store.folder)
    if not _is_complete(path, (len(store.clips), len(classes) + teachers.embedding_width)):
        sources = [
            teacher_embeddings(store, dataset, group.source, config) if group.source else None
            for group in teachers.groups
        ]
        _compute(path, store, sources, teachers, classes)
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
    about: dict[str, object] = {
        "teachers": [
            [content, model.weight] for content, model in zip(teachers.contents, teachers.models, strict=True)
        ],
        "settings": [settings.average, settings.temperature, settings.multi_label],
        "classes": classes,
        "spectrograms": _spectrogram_settings(store),
    }
    if teachers.embedding_width:
        about["embeddings"] = teachers.embedding_width
    table = store.clips.select("recording", "index", "start", "length", "score")
    return short_key(about, text=table.write_csv())


def _spectrogram_settings(store: Store) -> str:
    text = store.settings_text
    return text + store.spectrogram_key if store.keeps_sound else text


def _compute(
    path: Path,
    store: Store,
    sources: Sequence[TeacherEmbeddings | None],
    teachers: Teachers,
    classes: tuple[str, ...],
) -> None:
    """Write the predictions, and embeddings, for all clips, a part at a time; the file is whole or not there.

    Parameters
    ----------
    sources : of each group of teachers, the embeddings that they take; None: spectrograms
    """
    count, shapes = len(store.clips), [group.shape for group in teachers.groups]
    columns = len(classes) + teachers.embedding_width

    @jax.jit
    def predict(
        networks: tuple[Network, ...], inputs: Sequence[Shaped[Array, "_ _ _"]]
    ) -> Float[Array, "batch classes"]:
        images = [
            from_pixels(given) if source else resized(from_pixels(given), shape)
            for given, source, shape in zip(inputs, sources, shapes, strict=True)
        ]
        return teachers.predict(networks, images, clips=TEACHER_BATCH)

    with atomic_file(path) as stream, console.progress("teachers predict", total=count, unit="clips") as advance:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f4", "fortran_order": False, "shape": (count, columns)}
        )
        for start in range(0, count, TEACHER_BATCH):
            rows = np.arange(start, min(start + TEACHER_BATCH, count))
            padded = np.resize(rows, TEACHER_BATCH)  # always one size, so that JAX compiles once
            seen = store.spectrograms(padded) if None in sources else np.zeros(0)
            inputs = [source.of(padded) if source else seen for source in sources]
            found = np.asarray(predict(teachers.networks, inputs), np.float32)
            if teachers.embedding_width:
                found = np.concatenate([found, _mean_embeddings(inputs[0])], axis=1)
            stream.write(found[: len(rows)].tobytes())
            advance(len(rows))


def _mean_embeddings(embeddings: Float16[np.ndarray, "parts windows values"]) -> Float32[np.ndarray, "clips values"]:
    """Return the mean embedding of each clip, over its parts, which follow one another, and their windows."""
    return embeddings.reshape(TEACHER_BATCH, -1, embeddings.shape[2]).mean(axis=1, dtype=np.float32)
