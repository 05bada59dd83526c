"""Networks for other programs beside a published snapshot, each compared with the network itself on real clips."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from config import Dataset, Testing
from utils import console
from utils.console import UserError
from utils.models.onnx.interface import INPUT, OUTPUT, check_can_export
from utils.models.published import EXPORTS
from utils.models.snapshots import Snapshot
from utils.publishing.call import ExportFormat
from utils.scoring.inference.calibration_clips import calibration_clips
from utils.scoring.inference.ensembles import outputs_of
from utils.scoring.inference.onnx_sessions import open_session, run_session, scores_of
from utils.spectra.stored_sound import ModelInput

COMPARED_AT_ONCE = 32
NOISE_CLIPS = 32  # compared where there are no real ones
# by format: name of the file, and the largest difference of a score that is accepted
FILES: Mapping[ExportFormat, str] = {
    "onnx": "network.onnx",
    "onnx-int8": "network-int8.onnx",
    "openvino": "network.xml",
}
TOLERANCES: Mapping[ExportFormat, float] = {"onnx": 1e-4, "onnx-int8": 0.3, "openvino": 1e-3}
ClipLogits = Float32[np.ndarray, "clips classes"]


@dataclass(frozen=True)
class Exported:
    """A network in a format, and how far its scores are from those of the network itself.

    Attributes
    ----------
    file : its name in the published folder
    difference, mean_difference : the largest and the mean difference of a score, 0 to 1
    tolerance : which the largest may have
    clips : what was compared, for people
    """

    format: ExportFormat
    file: str
    difference: float
    mean_difference: float
    tolerance: float
    clips: str


def check_formats(formats: Sequence[ExportFormat]) -> None:
    """Refuse formats whose extras are not installed.

    Raises
    ------
    UserError
        That says how to install them.
    """
    if formats:
        check_can_export("--formats")
    if "openvino" in formats and not find_spec("openvino"):
        raise UserError("--formats openvino: needs OpenVINO, which is not installed (pip install '.[openvino]')")


def export_all(
    snapshot: Snapshot, published: Snapshot, data: Dataset, formats: Sequence[ExportFormat], folder: Path
) -> list[Exported]:
    """Write the network of a snapshot in some formats, and compare each with JAX.

    Parameters
    ----------
    published : the same with the settings that are published
    data : where the store of the training clips is now
    folder : of the published model

    Raises
    ------
    UserError
        If a format cannot be written, or its scores differ by more than its tolerance.
    """
    if not formats:
        return []
    here = replace(snapshot, config=replace(snapshot.config, dataset=data))
    clips, what = _clips(here, needed="onnx-int8" in formats)
    wanted = outputs_of(snapshot, Testing(engine="jax", batch_size=COMPARED_AT_ONCE))(clips).logits
    exported = []
    with console.progress("exporting", total=len(formats), unit="formats") as advance:
        for form in FILES:
            if form in formats:
                path = folder / EXPORTS / FILES[form]
                _write(form, published, path, clips)
                exported.append(_compared(form, path, clips, wanted, what, published))
                advance()
    return exported


def _clips(snapshot: Snapshot, *, needed: bool) -> tuple[ModelInput, str]:
    """Return clips of the store, or, if there is none and none is needed, noise; and what they are, for people."""
    try:
        clips = calibration_clips(snapshot)
        return clips, f"{len(clips):,} clips of the training recordings"
    except UserError as error:
        if needed:
            raise
        console.warning(f"{error}; exports are compared on noise instead")
    shape, generator = (NOISE_CLIPS, *snapshot.config.input_shape), np.random.default_rng(1)
    if snapshot.config.input_dtype == "uint8":
        return generator.integers(0, 256, shape, np.uint8), f"{NOISE_CLIPS} spectrograms of noise"
    return generator.normal(0, 1, shape).astype(np.float16), f"{NOISE_CLIPS} embeddings of noise"


def _write(form: ExportFormat, snapshot: Snapshot, path: Path, clips: ModelInput) -> None:
    from utils.models.onnx.export import export

    if form != "openvino":
        export(snapshot, path, calibration=clips if form == "onnx-int8" else None)
        return
    from utils.publishing.openvino_files import write_openvino

    source = path.with_name("for-openvino.onnx")
    export(snapshot, source)
    write_openvino(source, path)
    source.unlink()


def _compared(
    form: ExportFormat, path: Path, clips: ModelInput, wanted: ClipLogits, what: str, snapshot: Snapshot
) -> Exported:
    run = _runner(form, path)
    found = np.concatenate(
        [run(clips[start : start + COMPARED_AT_ONCE]) for start in range(0, len(clips), COMPARED_AT_ONCE)]
    )
    multi_label = snapshot.config.training.multi_label
    differences = np.abs(scores_of(found, multi_label=multi_label) - scores_of(wanted, multi_label=multi_label))
    largest, tolerance = float(differences.max()), TOLERANCES[form]
    if not largest <= tolerance:  # NaN, too
        raise UserError(
            f"--formats {form}: its scores differ by up to {largest:.3g} from those of the network on {what}, but "
            f"{tolerance:g} is the most that is published; leave this format out"
        )
    return Exported(form, f"{EXPORTS}/{path.name}", largest, float(differences.mean()), tolerance, what)


def _runner(form: ExportFormat, path: Path) -> Callable[[ModelInput], ClipLogits]:
    if form == "openvino":
        from utils.publishing.openvino_files import open_openvino

        network = open_openvino(path)
        return lambda pixels: np.asarray(network({INPUT: pixels})[OUTPUT])
    session = open_session(path.read_bytes())
    return lambda pixels: run_session(session, pixels, batch_size=COMPARED_AT_ONCE).logits
