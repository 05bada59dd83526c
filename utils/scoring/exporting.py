"""The step of `test.py --export`: the network that is tested, as an ONNX file."""

from collections.abc import Sequence
from pathlib import Path

from utils import console
from utils.models.onnx.export import export
from utils.models.onnx.interface import check_can_export
from utils.scoring.inference.calibration_clips import calibration_clips
from utils.scoring.inference.ensembles import Member


def export_network(members: Sequence[Member], path: Path | None, *, int8: bool = False) -> None:
    """Write the network that is tested as an ONNX file, if `path` is given.

    Parameters
    ----------
    int8 : whether the file computes in 8-bit integers instead of float32

    Raises
    ------
    UserError
        If several networks are tested, the file cannot be written, or there are no clips for int8.
    """
    if path is None:
        if int8:
            raise console.UserError("--int8: says how to export; add --export FILE, or use --testing.engine onnx-int8")
        return
    if len(members) > 1:
        raise console.UserError(
            f"--export: can export only one network, but testing.models names {len(members)}; test one of them"
        )
    check_can_export("--export")
    snapshot = members[0].snapshot
    export(snapshot, path, calibration=calibration_clips(snapshot) if int8 else None)
    kind = "the network in int8" if int8 else "the network"
    console.info(f"wrote {kind} to {console.printable(path)}; docs/file-formats.md shows how to use it")
