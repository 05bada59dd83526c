"""Make the files of tests/models/golden/ from timm; needs timm 1.0 and torch, which the toolkit itself does not.

    pip install timm && python tests/models/make_golden.py

small/NAME.npz: a small copy of a family with random weights: its tensors (float16, under timm's names), and, for both
`SIZES`, `logits` and `features` (the input of the last layer) of `images(size)`.
small/NAME-same.npz: those of the same tensors with the padding and the epsilon of TensorFlow.
tensors/NAME.txt: name and shape of every tensor of a member of `Model.name`. The first line has the multiply-adds of
convolutions and dense layers for an image of 224 × 224 pixels.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).with_name("golden")
CLASSES = 5
SIZES = ((33, 47), (64, 40))
# members of Model.name: as timm calls them
MEMBERS = {
    "EfficientNetLite0": "tf_efficientnet_lite0",
    "EfficientNetLite1": "tf_efficientnet_lite1",
    "EfficientNetLite2": "tf_efficientnet_lite2",
    "EfficientNetB0": "efficientnet_b0",
    "EfficientNetB1": "efficientnet_b1",
    "EfficientNetB2": "efficientnet_b2",
    "EfficientNetB3": "efficientnet_b3",
    "EfficientNetV2S": "tf_efficientnetv2_s",
    "ConvNeXtAtto": "convnext_atto",
    "ConvNeXtPico": "convnext_pico",
    "ConvNeXtNano": "convnext_nano",
    "ConvNeXtTiny": "convnext_tiny",
    "ResNeSt50": "resnest50d",
    "MobileNetV4Small": "mobilenetv4_conv_small",
}


def images(size: tuple[int, int]) -> np.ndarray:
    """Return two images (2, height, width, 3)."""
    return np.random.default_rng(size).normal(size=(2, *size, 3)).astype(np.float32)


def small_efficientnet(**options: Any) -> Any:
    from timm.models.efficientnet import _gen_efficientnet

    return _gen_efficientnet("efficientnet_b0", 0.125, 0.3, num_classes=CLASSES, **options)


def small_lite() -> Any:
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from timm.models.efficientnet import EfficientNet
    from torch import nn

    blocks = ["ds_r1_k3_s1_e1_c16", "ir_r2_k3_s2_e6_c24", "ir_r2_k5_s2_e6_c40", "ir_r3_k3_s2_e6_c80"]
    blocks += ["ir_r3_k5_s1_e6_c112", "ir_r4_k5_s2_e6_c192", "ir_r1_k3_s1_e6_c320"]
    return EfficientNet(
        decode_arch_def([[block] for block in blocks], 0.3, fix_first_last=True),
        num_classes=CLASSES,
        num_features=160,
        stem_size=8,
        fix_stem=True,
        round_chs_fn=partial(round_channels, multiplier=0.125),
        act_layer=nn.ReLU6,
        pad_type="same",
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3),
    )


def small_v2() -> Any:
    from timm.models.efficientnet import _gen_efficientnetv2_s

    return _gen_efficientnetv2_s("tf_efficientnetv2_s", 0.125, 0.1, num_classes=CLASSES, pad_type="same", bn_eps=1e-3)


def small_convnext(*, conv_mlp: bool) -> Any:
    from timm.models.convnext import ConvNeXt

    return ConvNeXt(num_classes=CLASSES, depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), conv_mlp=conv_mlp)


def small_resnest() -> Any:
    from timm.models.resnest import ResNestBottleneck
    from timm.models.resnet import ResNet

    return ResNet(
        ResNestBottleneck,
        (1, 1, 2, 1),
        num_classes=CLASSES,
        stem_type="deep",
        stem_width=4,
        avg_down=True,
        channels=(8, 8, 16, 24),
        block_args={"radix": 2, "avd": True, "avd_first": False},
    )


def small_mobilenet() -> Any:
    from timm.models._efficientnet_builder import decode_arch_def
    from timm.models.mobilenetv3 import MobileNetV3

    stages = [
        ["cn_r1_k3_s2_e1_c8", "cn_r1_k1_s1_e1_c16"],
        ["uir_r1_a5_k5_s2_e3_c24", "uir_r2_a0_k3_s1_e2_c24", "uir_r1_a3_k0_s1_e4_c24"],
        ["uir_r1_a3_k0_s2_e2_c32"],
        ["cn_r1_k1_s1_c64"],
    ]
    return MobileNetV3(
        decode_arch_def(stages),
        num_classes=CLASSES,
        num_features=48,
        stem_size=8,
        head_bias=False,
        head_norm=True,
    )


SMALL: dict[str, Callable[[], Any]] = {
    "EfficientNetB0": small_efficientnet,
    "EfficientNetB0-same": partial(small_efficientnet, pad_type="same", bn_eps=1e-3),
    "EfficientNetLite0": small_lite,
    "EfficientNetV2S": small_v2,
    "ConvNeXtAtto": partial(small_convnext, conv_mlp=True),
    "ConvNeXtTiny": partial(small_convnext, conv_mlp=False),
    "ResNeSt50": small_resnest,
    "MobileNetV4Small": small_mobilenet,
}


def randomize(model: Any, *, seed: int) -> dict[str, np.ndarray]:
    """Give a model random weights and statistics, none of them the usual 0 or 1; return them."""
    import torch

    random = np.random.default_rng(seed)
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        shape = tuple(tensor.shape)
        if len(shape) > 1:
            array = random.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(("weight", "running_var", "gamma")):
            array = random.uniform(0.5, 1.5, shape)
        else:
            array = random.normal(size=shape) * 0.2
        tensors[name] = array.astype(np.float16)
    model.load_state_dict({name: torch.tensor(array).float() for name, array in tensors.items()}, strict=False)
    return tensors


def calibrate(model: Any, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Give batch norms the statistics of these images and return all tensors.

    Deep models with other statistics amplify rounding: float32 and float64 of PyTorch itself can differ by a percent.
    """
    import torch

    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.inference_mode():
        model.train()(torch.tensor(pixels).permute(0, 3, 1, 2))
    tensors = model.state_dict().items()
    return {name: value.numpy() for name, value in tensors if not name.endswith("num_batches_tracked")}


def outputs(model: Any, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and features of images (batch, height, width, 3)."""
    import torch

    with torch.inference_mode():
        maps = model.eval().forward_features(torch.tensor(pixels).permute(0, 3, 1, 2))
        return model.forward_head(maps).numpy(), model.forward_head(maps, pre_logits=True).numpy()


def multiply_adds(model: Any, size: tuple[int, int]) -> int:
    """Count the multiply-adds of convolutions and dense layers for one image."""
    import torch

    total = 0

    def count(layer: Any, _: Any, output: Any) -> None:
        nonlocal total
        if isinstance(layer, torch.nn.Conv2d):
            total += output[0].numel() * layer.weight[0].numel()
        elif isinstance(layer, torch.nn.Linear):
            total += output[0].numel() * layer.in_features

    for layer in model.modules():
        layer.register_forward_hook(count)
    with torch.inference_mode():
        model.eval()(torch.tensor(images(size)[:1]).permute(0, 3, 1, 2))
    return total


def main() -> None:
    """Write all files."""
    import timm

    (FOLDER / "small").mkdir(parents=True, exist_ok=True)
    (FOLDER / "tensors").mkdir(exist_ok=True)
    for name, make in SMALL.items():
        model = make()
        tensors = randomize(model, seed=2026)
        arrays: dict[str, Any] = {} if name.endswith("-same") else tensors
        for size in SIZES:
            height, width = size
            arrays[f"logits {height} {width}"], arrays[f"features {height} {width}"] = outputs(model, images(size))
        np.savez_compressed(FOLDER / "small" / f"{name}.npz", **arrays)
    for name, member in MEMBERS.items():
        model = timm.create_model(member)
        lines = [
            f"{tensor} {'x'.join(map(str, value.shape))}"
            for tensor, value in model.state_dict().items()
            if not tensor.endswith("num_batches_tracked")
        ]
        head = f"# {member}, {multiply_adds(model, (224, 224))} multiply-adds at 224x224"
        (FOLDER / "tensors" / f"{name}.txt").write_text("\n".join([head, *lines]) + "\n")


if __name__ == "__main__":
    main()
