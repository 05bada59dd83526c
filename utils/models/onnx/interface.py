"""Inputs and outputs of networks as ONNX files, and whether these can be used here; without JAX."""

from importlib.util import find_spec
from typing import Literal

from utils.console import UserError

INPUT, OUTPUT = "spectrograms", "logits"
FurtherOutput = Literal["embeddings", "frames"]  # of a network, beside its logits; names of fields of `NetworkOutput`


def can_export() -> bool:
    """Tell whether the extra `export` is installed."""
    return bool(find_spec("onnx") and find_spec("onnxruntime"))


def check_can_export(wanted: str) -> None:
    """Refuse what needs the extra `export` if that is not installed.

    Raises
    ------
    UserError
        That says how to install it.
    """
    if not can_export():
        raise UserError(f"{wanted}: needs ONNX and ONNX Runtime, which are not installed (pip install '.[export]')")
