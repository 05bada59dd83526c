"""What is known of public bird models by the shapes of their inputs and outputs, and what an unknown one has to tell.

Sources: the models' own pages (docs/external-models.md). BirdNET 2.4 is tested with its real file; of the others only
these published shapes are known.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from config import External
from utils.console import UserError
from utils.external.model_files import ModelFile, Tensor, hash_of

FLOATS = ("float32", "float16")
STM32_CONFIG = "_model_config.json"  # end of the name of the file that birdnet-stm32 puts beside its models
STM32_PEAK = 1.0  # its models take each window scaled to this peak


@dataclass(frozen=True)
class KnownModel:
    """A public bird model.

    Attributes
    ----------
    samples : length of its input; several: any
    classes, width : number of its classes, and of the values of its embedding
    peak : see `External.peak`
    """

    title: str
    licence: str
    rate: int
    samples: int
    classes: int
    width: int
    any_length: bool = False
    peak: float = 0.0


KNOWN = (
    KnownModel("BirdNET 2.4", "CC BY-NC-SA 4.0", 48_000, 144_000, 6522, 1024),
    KnownModel("BirdNET+ 3.0 preview", "CC BY-SA 4.0", 32_000, 96_000, 11_560, 1280, any_length=True),
    KnownModel("Perch 2", "Apache 2.0", 32_000, 160_000, 14_795, 1536, peak=0.25),
)


def recognise(file: ModelFile, given: External) -> External:
    """Return what a model takes and gives: what the settings say, and for the rest what is known of its file.

    Raises
    ------
    UserError
        If it does not take sound, or is unknown and settings are missing.
    """
    path = file.path
    _check_input(file)
    known = _known(file, given)
    filled = replace(
        given,
        title=given.title or (known.title if known else path.stem),
        licence=given.licence or (known.licence if known else ""),
        rate=given.rate or (known.rate if known else 0),
        peak=given.peak or (known.peak if known else 0.0),
        file=path,
        sha256=hash_of(path),
    )
    if not filled.rate:
        raise UserError(
            f"{path}: is no model that is known here ({_shapes_text(file)}); set external.rate, the sample rate that "
            "it takes, in Hz"
        )
    return _with_tensors(replace(filled, window=_window_length(file, filled, known)), file)


def _check_input(file: ModelFile) -> None:
    """Refuse a model that does not take windows of sound alone."""
    long = [size for given in file.inputs for size in given.shape[1:] if size != 1]
    if len(file.inputs) != 1 or file.inputs[0].dtype not in FLOATS or len(long) != 1:
        inputs = ", ".join(f"{one.text} of {one.dtype}" for one in file.inputs) or "nothing"
        raise UserError(
            f"{file.path}: takes {inputs}, but a bird model should take windows of sound: (windows, samples) of float32"
        )


def _known(file: ModelFile, given: External) -> KnownModel | None:
    """Return the public model that has these shapes, or what the file beside one of birdnet-stm32 tells."""
    samples = _samples(file)
    widths = {output.shape[-1] for output in file.outputs if output.shape}
    for known in KNOWN:
        fits = samples == known.samples or (known.any_length and samples < 0)
        if fits and known.classes in widths:
            return known
    beside = next(iter(sorted(file.path.parent.glob(f"{file.path.stem.split('_INT8')[0]}*{STM32_CONFIG}"))), None)
    if beside is None:
        return None
    rate = given.rate or _rate_in(beside)
    return KnownModel("BirdNET-STM32", "Apache 2.0", rate, samples, max(widths, default=0), 0, peak=STM32_PEAK)


def _rate_in(beside: Path) -> int:
    try:
        return int(json.loads(beside.read_text(encoding="utf-8"))["sample_rate"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{beside}: has no sample_rate; set external.rate, the sample rate of the model in Hz"
        ) from None


def _samples(file: ModelFile) -> int:
    """Return the number of samples in a window; −1: any."""
    return next(size for size in file.inputs[0].shape[1:] if size != 1)


def _window_length(file: ModelFile, external: External, known: KnownModel | None) -> float:
    """Return the length of a window in seconds, which is fixed in the file, or known, or set."""
    samples = _samples(file)
    if samples < 0:
        usual = known.samples / known.rate if known else 0.0
        if not (external.window or usual):
            raise UserError(f"{file.path}: takes windows of any length; set external.window, in seconds")
        return external.window or usual
    if external.window and abs(external.window * external.rate - samples) >= 1:
        raise UserError(
            f"external.window = {external.window:g}: {file.path} takes {samples} samples, which are "
            f"{samples / external.rate:g} s at {external.rate} Hz; leave it out"
        )
    return samples / external.rate


def _with_tensors(external: External, file: ModelFile) -> External:
    """Fill in which tensor is the embedding, and which output has the classes.

    Its width is what the model gives (`utils.external.settings`).
    """
    flat = [output for output in file.outputs if sum(size > 1 for size in output.shape[1:]) == 1]
    layer = file.class_layer()
    dense = layer.embedding.name if layer else ""
    named = [output for output in flat if "embed" in output.name.lower() or output.name == dense]
    widest = max(flat, key=lambda output: output.shape[-1], default=None)
    output = external.output or _class_output(flat, named, widest)
    if external.embedding:
        embedding = _tensor_named(external.embedding, file)
    elif named:
        embedding = named[0]
    else:
        embedding = _unnamed_embedding(flat, output, file)
    return replace(external, embedding=embedding.name, output=output)


def _class_output(flat: list[Tensor], named: list[Tensor], widest: Tensor | None) -> str:
    """Return the output with the classes: the widest that is not called an embedding; '': there is none."""
    others = [output for output in flat if output not in named]
    if others and widest in others and widest is not None:
        return widest.name
    return others[0].name if others else ""


def _unnamed_embedding(flat: list[Tensor], output: str, file: ModelFile) -> Tensor:
    """Return the output of a known width, the only other output, or the input of the last dense layer."""
    widths = {known.width for known in KNOWN}
    others = [tensor for tensor in flat if tensor.name != output]
    of_width = [tensor for tensor in others if tensor.shape[-1] in widths]
    if len(of_width) == 1 or len(others) == 1:
        return (of_width or others)[0]
    layer = file.class_layer()
    if layer is not None:
        return layer.embedding
    raise UserError(
        f"{file.path}: which tensor is the embedding cannot be told ({_shapes_text(file)}); set external.embedding to "
        "its name"
    )


def _tensor_named(name: str, file: ModelFile) -> Tensor:
    layer = file.class_layer()
    known = [*file.outputs, *([layer.embedding] if layer else [])]
    found = next((tensor for tensor in known if tensor.name == name), None)
    if found is None:
        raise UserError(f"external.embedding = {name}: {file.path} has {', '.join(tensor.text for tensor in known)}")
    return found


def _shapes_text(file: ModelFile) -> str:
    outputs = ", ".join(output.text for output in file.outputs)
    return f"it takes {file.inputs[0].text} and gives {outputs}"
