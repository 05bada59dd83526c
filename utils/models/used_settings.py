"""Which settings of the section `model` only some models use; all models use the others."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from config import MODELS_WITHOUT_WEIGHTS, Model
from utils.console import warning

BACKBONES = ("EfficientNet", "ConvNeXt", "ResNeSt", "MobileNet")
# by setting: starts of the names of the models that use it
USED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("filters", "kernel_sizes", "groups", "nonlinearity", "batch_norm", "max_pooling", "dropout_kind"),
            MODELS_WITHOUT_WEIGHTS,
        ),
        "padding": ("EfficientNet", "MobileNet"),
        "stages": ("EfficientNet",),
        "features": ("EfficientNet",),
        "drop_path": BACKBONES,
        "dense_units": ("Pi", "External"),
        "head": ("External",),
        "normalize": (*MODELS_WITHOUT_WEIGHTS, *BACKBONES),
        "resnet_k": ("ResNet",),
        "resnet_n": ("ResNet",),
        "dilations": ("Dilated",),
        "stacks": ("Dilated",),
    }
)


def reason_of_no_effect(setting: str, models: Sequence[str]) -> str:
    """Return that none of these models uses a setting, and which ones do; '' if one of them does.

    Parameters
    ----------
    setting : name of a field of `Model`
    models : values of `model.name`
    """
    users = USED_BY.get(setting)
    if users is None or any(model.startswith(users) for model in models):
        return ""
    return f"has no effect on {' and '.join(models)}; it is for {', '.join(users)}"


def warn_of_unused(settings: Model) -> None:
    """Warn of settings that differ from their defaults, although the model does not use them."""
    defaults = Model()
    for name in USED_BY:
        reason = reason_of_no_effect(name, [settings.name])
        if reason and getattr(settings, name) != getattr(defaults, name):
            warning(f"model.{name} {reason}")
