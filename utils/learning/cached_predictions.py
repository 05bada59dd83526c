"""What teachers answered to all clips of a store, kept beside it: without augmentation they always answer the same.

    <root>/spec/answers_<fingerprint>.npy   float32 (clips, classes), one row a row of the store's clips

Any student of the same teachers, classes and settings of `distillation` reads it again.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int64, UInt8

from config import Augmentation
from utils import console
from utils.files import whole_file
from utils.learning.augmentation import variations
from utils.learning.teachers import Teachers
from utils.models.networks import Network, from_pixels
from utils.spectra.store import Store

READ_AT_ONCE = 1024  # clips that are in memory together
LARGEST_BATCH = 256  # clips that the teachers answer together


@dataclass(frozen=True)
class KeptAnswers:
    """The answers to the clips of one store or several, mapped into memory: only rows that are asked for are read."""

    parts: tuple[Float32[np.ndarray, "_ classes"], ...]

    def of(self, rows: Int64[np.ndarray, "*batch"]) -> Float32[np.ndarray, "*batch classes"]:
        """Return the answers to clips; rows of the second store follow those of the first."""
        begins = np.cumsum([0, *(len(part) for part in self.parts)])
        found = np.empty((*rows.shape, self.parts[0].shape[1]), np.float32)
        for part, begin, end in zip(self.parts, begins, begins[1:], strict=False):
            own = (rows >= begin) & (rows < end)
            found[own] = part[rows[own] - begin]
        return found


def never_varied(settings: Augmentation, *, noise_pictures: int) -> bool:
    """Tell whether each clip's picture is the same in all epochs; `noise_pictures` says how many there are, for without any, none is added."""
    on = variations(settings, jnp.zeros((noise_pictures, 1, 1), jnp.uint8))
    return not settings.mixup and not (settings.count and settings.probability and on)


def keep_answers(stores: Sequence[Store], teachers: Teachers, classes: tuple[str, ...]) -> KeptAnswers:
    """Return the teachers' answers to all clips of some stores: as they are kept beside each, or else worked out and kept."""
    return KeptAnswers(tuple(_kept(store, teachers, classes) for store in stores))


def _kept(store: Store, teachers: Teachers, classes: tuple[str, ...]) -> Float32[np.ndarray, "clips classes"]:
    path = store.folder / f"answers_{_fingerprint(store, teachers, classes)}.npy"
    if not _is_whole(path, (len(store.clips), len(classes))):
        _work_out(path, store, teachers, classes)
    return np.load(path, mmap_mode="r")


def _is_whole(path: Path, shape: tuple[int, int]) -> bool:
    try:
        return bool(np.load(path, mmap_mode="r").shape == shape)
    except (OSError, ValueError, EOFError):
        return False


def _fingerprint(store: Store, teachers: Teachers, classes: tuple[str, ...]) -> str:
    """Return a text that changes when the clips, the teachers, or what is made of their answers do."""
    settings = teachers.settings
    about = {
        "teachers": [
            [content, model.weight] for content, model in zip(teachers.contents, teachers.models, strict=True)
        ],
        "made": [settings.average, settings.temperature, settings.loss == "binary"],
        "classes": classes,
        "pictures": (store.folder / "settings.toml").read_text(encoding="utf-8"),
    }
    table = store.clips.select("recording", "number", "start", "length", "score")
    return hashlib.sha256(json.dumps(about).encode() + table.write_csv().encode()).hexdigest()[:16]


def _work_out(path: Path, store: Store, teachers: Teachers, classes: tuple[str, ...]) -> None:
    """Let the teachers answer all clips, and write that a part at a time; the file appears whole or not at all."""
    count = len(store.clips)

    @jax.jit
    def answer(nets: tuple[Network, ...], pixels: UInt8[Array, "batch height width"]) -> Float[Array, "batch classes"]:
        return teachers.answer(nets, from_pixels(pixels))

    with whole_file(path) as stream, console.progress("teachers answer", total=count, unit="clips") as advance:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f4", "fortran_order": False, "shape": (count, len(classes))}
        )
        for start in range(0, count, READ_AT_ONCE):
            pixels = store.pictures(np.arange(start, min(start + READ_AT_ONCE, count)))
            missing = -len(pixels) % LARGEST_BATCH
            padded = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.uint8)])
            coming = [
                answer(teachers.nets, padded[begin : begin + LARGEST_BATCH])
                for begin in range(0, len(padded), LARGEST_BATCH)
            ]
            stream.write(np.concatenate([np.asarray(part, np.float32) for part in coming])[: len(pixels)].tobytes())
            advance(len(pixels))
