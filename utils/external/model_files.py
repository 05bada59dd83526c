"""The file of a bird model: its tensors, the layer that makes its classes, and its outputs for windows of sound.

A new format is a module with a class like those of `tflite_files.py` and `onnx_files.py`, and an entry in
`MODEL_FORMATS`.
"""

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from config import External
from utils.console import UserError

# by the end of a file's name: the module of its format, the class, and what has to be installed
MODEL_FORMATS = {
    ".tflite": ("tflite_files", "TFLiteFile", "ai_edge_litert", "litert"),
    ".onnx": ("onnx_files", "OnnxFile", "onnxruntime", "export"),
}

Windows = Float32[np.ndarray, "windows samples"]
Runner = Callable[[Windows], Float32[np.ndarray, "windows values"]]


class Tensor(NamedTuple):
    """An input or output of a model; −1 in its shape: any size."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def text(self) -> str:
        """Its name and shape, as messages show it."""
        return f"{self.name} ({' × '.join('any' if size < 0 else str(size) for size in self.shape)})"


class ClassLayer(NamedTuple):
    """The dense layer that makes a model's classes of its embedding: logits = embedding · weights + bias."""

    embedding: Tensor
    weights: Float32[np.ndarray, "width classes"]
    bias: Float32[np.ndarray, " classes"]


@runtime_checkable  # for the shape checks of tests
class ModelFile(Protocol):
    """A model as its file describes it."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What it takes."""

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What it gives."""

    def class_layer(self) -> ClassLayer | None:
        """Return the last dense layer; None if there is none whose weights can be read."""

    def runner(self, tensor: str) -> Runner:
        """Return a function from windows of sound to the values of an output, or of a tensor within the model."""


def open_model_file(path: Path) -> ModelFile:
    """Open the file of a bird model.

    Raises
    ------
    UserError
        If there is none, its format is another one or needs a package, or it is damaged.
    """
    if path.suffix.lower() not in MODEL_FORMATS:
        raise UserError(f"{path}: should be a file .onnx or .tflite (model.weights, for model.name = External)")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; docs/external-models.md says where bird models are had")
    module, name, package, extra = MODEL_FORMATS[path.suffix.lower()]
    try:
        opened: ModelFile = getattr(import_module(f"{__package__}.{module}"), name)(path)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith((package, "onnx", "flatbuffers")):
            raise
        raise UserError(f"{path}: needs the extra `{extra}`: pip install -e '.[{extra}]'") from None
    return opened


def file_of(external: External) -> Path:
    """Return the file of the bird model of some settings.

    Raises
    ------
    UserError
        If they name none.
    """
    if external.file is None:
        raise UserError("model.weights: the settings name no bird model")
    return external.file


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def damaged(path: Path, error: Exception | str) -> UserError:
    """Return the error for a file that cannot be read as a model."""
    return UserError(f"{path}: is damaged, or not a model ({' '.join(str(error).split())[:200]})")


def as_input(windows: Windows, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
    """Return windows in the shape of a model's input: an axis of windows, one of samples, others of length 1."""
    if len(shape) < 3:
        return windows
    samples = next((axis for axis, size in enumerate(shape[1:], 1) if size != 1), 1)
    return windows.reshape(len(windows), *(windows.shape[1] if axis == samples else 1 for axis in range(1, len(shape))))
