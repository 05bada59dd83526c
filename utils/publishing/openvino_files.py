"""Networks as OpenVINO's IR, made from our ONNX files: an .xml file and its weights beside it. Needs `openvino`.

OpenVINO reports its use over the network, which is prevented here.

Source: https://docs.openvino.ai/2026/openvino-workflow/model-preparation.html
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from utils.files import atomic_file

SECTION = "birdclef"  # of the metadata of the file


def write_openvino(source: Path, path: Path) -> None:
    """Write an ONNX file as OpenVINO's IR in float32, with its metadata in the section `birdclef` of `rt_info`.

    Parameters
    ----------
    source : from `export`
    path : of the .xml file; the weights become the file of the same name that ends in .bin
    """
    import onnx

    openvino = _openvino()
    model = openvino.Core().read_model(source)
    for prop in onnx.load(source).metadata_props:
        value = json.loads(prop.value)
        model.set_rt_info(value if isinstance(value, str) else prop.value, [SECTION, prop.key])
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        openvino.save_model(model, made, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):  # the weights first: the description names them
            with atomic_file(path.with_suffix(suffix)) as stream:
                stream.write(made.with_suffix(suffix).read_bytes())


def open_openvino(path: Path) -> Any:
    """Return a network in OpenVINO's IR, which runs on the CPU in float32 whatever that could do faster."""
    return _openvino().Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _openvino() -> Any:
    """Import OpenVINO without its telemetry: that sends an event over the network, from a fork of this process."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
