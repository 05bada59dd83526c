"""What runs models: JAX or ONNX Runtime, as `testing.engine` says."""

from config import Testing
from utils.models.accelerators import computes_on_cpu
from utils.models.onnx.interface import can_export, check_can_export

INT8 = "onnx-int8"  # value of `testing.engine`


def check_engine(settings: Testing) -> None:
    """Refuse an engine that is not installed.

    Raises
    ------
    UserError
        That says how to install it.
    """
    if settings.engine in ("onnx", INT8):
        check_can_export(f"testing.engine = {settings.engine}")


def runs_onnx(settings: Testing) -> bool:
    """Tell whether ONNX Runtime is to run models, rather than JAX."""
    return settings.engine in ("onnx", INT8) or (settings.engine == "auto" and can_export() and computes_on_cpu())


def engine_text(settings: Testing) -> str:
    """Return the name of what is to run models, for reports."""
    if not runs_onnx(settings):
        return "JAX"
    return f"ONNX Runtime, {'int8' if settings.engine == INT8 else 'float32'}"
