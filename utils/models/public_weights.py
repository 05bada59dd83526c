"""Public weights of backbones: safetensors files in timm's names, from the disk or the Hugging Face Hub.

Every tensor of a file is used or named as dropped; a file of another model is refused. No pickles are read.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from config import STAGES, Model
from utils.console import UserError
from utils.models.architectures.backbone_layers import pads_like_tensorflow
from utils.models.array_trees import named_leaves, unflatten_named
from utils.models.input_scaling import Statistics, with_statistics
from utils.models.networks import Network

HUB = re.compile(r"hf:([\w.-]+/[\w.-]+)")
FILE, DESCRIPTION = "model.safetensors", "config.json"  # names in a repository of the hub
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl", ".pickle")
LAST_LAYERS = ("classifier.", "head.fc.", "fc.", "head.weight", "head.bias")
COUNTERS = "num_batches_tracked"  # of PyTorch's batch norms; nothing needs them
KINDS = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
LAST_CONVOLUTION = ("conv_head/", "bn2/")  # of an EfficientNet
OURS = ("output/", "embedding/", "scaling/", "pool/", "frame_attention/")  # layers that no file has
CENTRED = Statistics(np.full(3, 0.5, np.float32), np.full(3, 0.5, np.float32))
IMAGENET = Statistics(np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32))
NAMED = 3  # tensors that a message names, at most


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights, and what its description says.

    Attributes
    ----------
    architecture : timm's name of it; '' if it is not known
    statistics : mean and deviation of the images, red, green, blue, that it was trained with; None if not known
    """

    path: Path
    architecture: str = ""
    statistics: Statistics | None = None


def find_weights(weights: str) -> WeightsFile:
    """Return the file that `model.weights` names, downloaded if necessary.

    Raises
    ------
    UserError
        If there is none, it is a pickle, or it cannot be downloaded.
    """
    if weights.startswith("hf:"):
        return _from_hub(weights)
    path = Path(weights)
    if path.suffix in PICKLES:
        target = path.with_suffix(".safetensors").name
        raise UserError(
            f"{path}: is a pickle, which could run any code when it is read; convert it where you trust it: python -c "
            f'"import torch, safetensors.torch as s; s.save_file(torch.load({path.name!r}, weights_only=True), '
            f'{target!r})"'
        )
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; set model.weights to a .safetensors file, or to hf:timm/NAME")
    return _described(path, path.with_name(DESCRIPTION))


def _from_hub(weights: str) -> WeightsFile:
    found = HUB.fullmatch(weights)
    if not found:
        raise UserError(f"model.weights = {weights}: should be hf:OWNER/NAME, such as hf:timm/efficientnet_b0.ra_in1k")
    if not find_spec("huggingface_hub"):
        raise UserError(
            f"model.weights = {weights}: needs huggingface_hub, which is not installed (pip install '.[hub]')"
        )
    from huggingface_hub import hf_hub_download

    repository = found[1]
    try:
        path, description = (Path(hf_hub_download(repository, name)) for name in (FILE, DESCRIPTION))
    except Exception as error:  # noqa: BLE001 — of HTTP, of its cache, of the system: no common parent
        name = repository.partition("/")[2]
        first_line = str(error).strip().partition("\n")[0]
        raise UserError(
            f"model.weights = {weights}: cannot be downloaded ({type(error).__name__}: {first_line}); where there is a "
            f"connection, download {FILE} and {DESCRIPTION} of {repository} from the Hugging Face Hub, put them into "
            f"a folder {name}, and set model.weights = {name}/{FILE}"
        ) from None
    return _described(path, description)


def _described(path: Path, description: Path) -> WeightsFile:
    """Add what the hub's description beside a file says, if there is one.

    Raises
    ------
    UserError
        If it is damaged.
    """
    if not description.is_file():
        return WeightsFile(path)
    try:
        facts = json.loads(description.read_text(encoding="utf-8"))
        images = facts.get("pretrained_cfg", facts)
        statistics = None
        if "mean" in images and "std" in images:
            mean, deviation = (np.array(images[name], np.float32) for name in ("mean", "std"))
            if (
                mean.shape != (3,)
                or deviation.shape != (3,)
                or not (deviation > 0).all()
                or not np.isfinite(mean).all()
            ):
                raise ValueError("mean and std should be three numbers each, std above 0")
            statistics = Statistics(mean, deviation)
        return WeightsFile(path, str(facts.get("architecture", "")), statistics)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{description}: cannot be read ({error}); repair or remove it") from None


def start_from_weights(network: Network, settings: Model) -> tuple[Network, str]:
    """Return `network` with public weights in all layers but the last, and one line that says what was done.

    With `model.normalize = weights`, the mean and deviation that the weights were trained with come along.

    Raises
    ------
    UserError
        If the file cannot be found, is damaged, or is of another model.
    """
    assert settings.weights is not None  # noqa: S101
    file = find_weights(settings.weights)
    _check_padding(file, settings)
    tensors = read_tensors(file.path)
    leaves = named_leaves(network)
    has_new = _has_new_convolution(leaves, tensors, settings)
    new = (*OURS, *LAST_CONVOLUTION) if has_new else OURS
    names = {name: timm_name(name) for name in leaves if not name.partition("/")[2].startswith(new)}
    dropped = sorted(tensors.keys() - set(names.values()))
    missing = sorted(set(names.values()) - tensors.keys())
    _check_names(file.path, settings, missing=missing, extra=dropped, has_new_convolution=has_new)
    loaded = {
        name: _fitted(tensors[names[name]], leaf.shape, file.path, names[name], settings) if name in names else leaf
        for name, leaf in leaves.items()
    }
    network = unflatten_named(network, loaded)
    statistics = file.statistics or (CENTRED if _centred(settings) else IMAGENET)
    if settings.normalize == "weights":
        network = network._replace(rest=with_statistics(network.rest, _of_channels(statistics, settings)))
    last = [name for name in dropped if not name.endswith(COUNTERS)]
    without = f", without {_first_names(last)}" if last else ""
    fresh = "the last convolution and the output layer are" if has_new else "the output layer is"
    return network, f"starting from {file.path}: {len(names)} tensors{without}; {fresh} new"


def _has_new_convolution(leaves: Mapping[str, Any], tensors: Mapping[str, np.ndarray], settings: Model) -> bool:
    """Tell whether `model.stages` or `model.features` made a last convolution that the file's does not fit."""
    if not settings.differs_from_design:
        return False
    if settings.stages and any(name.startswith(f"blocks.{settings.stages}.") for name in tensors):
        return True  # it has later stages
    theirs = tensors.get("conv_head.weight")
    return theirs is not None and theirs.shape[:2] != leaves["params/conv_head/kernel"].shape[:1:-1]


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read a safetensors file; all tensors as float32, but for counters.

    Raises
    ------
    UserError
        If it is damaged, or has NaN or infinite weights.
    """
    try:
        with safe_open(path, framework="flax") as file:
            tensors = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 — not a dict
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: is not a usable safetensors file ({error}); download it again") from None
    tensors = {name: array if name.endswith(COUNTERS) else array.astype(np.float32) for name, array in tensors.items()}
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise UserError(f"{path}: {name} has NaN or infinite values; download it again")
    return tensors


def timm_name(name: str) -> str:
    """Return timm's name of a variable, such as blocks.0.0.bn1.running_mean for rest/blocks/0/0/bn1/mean."""
    *parts, kind = name.split("/")[1:]
    return ".".join([*parts, KINDS.get(kind, kind)])


def _fitted(tensor: np.ndarray, shape: tuple[int, ...], path: Path, name: str, settings: Model) -> jnp.ndarray:
    """Return a tensor in our order of axes; the first convolution's channels are summed or divided if need be.

    A spectrogram copied to three channels gives the same as one channel and the sum of the kernel over its three.
    """
    array = {4: lambda kernel: kernel.transpose(2, 3, 1, 0), 2: lambda kernel: kernel.T}.get(tensor.ndim, lambda a: a)(
        tensor
    )
    if array.ndim == 4 and array.shape[:2] == shape[:2] and array.shape[3] == shape[3]:
        if (array.shape[2], shape[2]) == (3, 1):
            array = array.sum(axis=2, keepdims=True)
        elif (array.shape[2], shape[2]) == (1, 3):
            array = np.repeat(array / 3, 3, axis=2)
    if array.shape != shape:
        raise UserError(
            f"{path}: are not the weights of {settings.name}: {name} has the shape {tensor.shape}, should be {shape} "
            "in our order; set model.name to the model of the file"
        )
    return jnp.asarray(array)


def _check_names(
    path: Path, settings: Model, *, missing: list[str], extra: list[str], has_new_convolution: bool
) -> None:
    left_out = (*LAST_LAYERS, *(_layers_left_out(settings) if has_new_convolution else ()))
    unknown = [name for name in extra if not name.startswith(left_out) and not name.endswith(COUNTERS)]
    reasons = [f"has no {_first_names(missing)}"] if missing else []
    reasons += [f"has {_first_names(unknown)}, which it has not"] if unknown else []
    if reasons:
        raise UserError(
            f"{path}: are not the weights of {settings.name}: {' and '.join(reasons)}; set model.name to the model of "
            "the file"
        )


def _layers_left_out(settings: Model) -> list[str]:
    """Return the starts of the names of tensors that `model.stages` and `model.features` leave out."""
    later = range(settings.stages, STAGES["EfficientNet"]) if settings.stages else ()
    return [*(f"blocks.{stage}." for stage in later), *(timm_name(f"params/{layer}") for layer in LAST_CONVOLUTION)]


def _check_padding(file: WeightsFile, settings: Model) -> None:
    """Refuse weights whose description tells another padding than the settings: nothing else would notice."""
    if not file.architecture:
        return
    of_file = file.architecture.startswith("tf_")
    if of_file != pads_like_tensorflow(settings):
        raise UserError(
            f"{file.path}: is of {file.architecture}, whose convolutions pad otherwise; set model.padding = "
            f"{'same' if of_file else 'symmetric'}"
        )


def _centred(settings: Model) -> bool:
    """Tell whether weights without a description expect images from −1 to 1: those that TensorFlow trained last."""
    return pads_like_tensorflow(settings) and ("Lite" in settings.name or "V2" in settings.name)


def _of_channels(statistics: Statistics, settings: Model) -> Statistics:
    """Return the statistics of three channels, or their means for one."""
    if settings.channels == len(statistics.mean):
        return statistics
    return Statistics(*(array.mean(keepdims=True) for array in statistics))


def _first_names(names: list[str] | Mapping[str, object]) -> str:
    names = list(names)
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
