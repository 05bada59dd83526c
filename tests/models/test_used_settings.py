"""The table of which models use which settings is true: what is not used changes nothing of a model."""

from dataclasses import fields, replace
from typing import Any

import jax
import pytest
from flax import nnx

from config import MODELS_WITHOUT_WEIGHTS, Model
from tests.models.small_backbones import TINY, make_small, split
from utils.models.networks import NETWORKS, abstract_network
from utils.models.used_settings import BACKBONES, USED_BY, reason_of_no_effect, warn_of_unused

OTHER: dict[str, Any] = {  # values that are not the defaults
    "filters": (2, 6),
    "kernel_sizes": (5, 3),
    "groups": (1, 2),
    "nonlinearity": "elu",
    "batch_norm": False,
    "max_pooling": True,
    "dropout_kind": "channel",
    "padding": "same",
    "drop_path": 0.3,
    "dense_units": 7,
    "resnet_k": 3,
    "resnet_n": 1,
    "dilations": (1, 4),
    "stacks": 2,
    "head": "attention",
    "normalize": "bands",
    "stages": 1,
    "features": 24,
}


SMALL = {"filters": (2, 4), "kernel_sizes": (3, 3), "groups": (1, 1), "dilations": (1, 2)}


def structure(settings: Model) -> Any:
    """Return all that a model consists of, but for the values of its variables."""
    if settings.name in TINY:
        graph, network = split(nnx.eval_shape(lambda: make_small(settings, TINY)))
    else:
        graph, network = abstract_network(settings, classes=3, shape=(32, 32))
    return graph, [(variable.shape, variable.dtype) for variable in jax.tree.leaves(network)]


@pytest.mark.parametrize("name", [*MODELS_WITHOUT_WEIGHTS, "External", *sorted(set(TINY) - {"EfficientNetV2S"})])
def test_only_what_is_used_changes_a_model(name: str) -> None:
    settings = Model(name=name, head="hidden", **SMALL)  # type: ignore[arg-type]
    plain, unused = structure(settings), {key for key in OTHER if reason_of_no_effect(key, [name])}
    assert structure(replace(settings, **{key: OTHER[key] for key in unused})) == plain
    for key in OTHER.keys() - unused:
        assert structure(replace(settings, **{key: OTHER[key]})) != plain, key


def test_every_setting_of_the_table_is_tried() -> None:
    assert set(OTHER) == set(USED_BY) <= {field.name for field in fields(Model)}
    backbones = [name for name in NETWORKS if name.startswith(BACKBONES)]
    assert set(NETWORKS) - set(backbones) == {*MODELS_WITHOUT_WEIGHTS, "External"}


def test_unused_settings_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_unused(Model(name="Baseline", drop_path=0.2, resnet_k=2, max_pooling=True))
    told = " ".join(capsys.readouterr().err.split())
    assert told.endswith(
        "model.drop_path has no effect on Baseline; it is for EfficientNet, ConvNeXt, ResNeSt, MobileNet"
    )
    assert told.count("has no effect") == 1
    assert reason_of_no_effect("drop_path", ["Baseline", "ResNeSt50"]) == ""
    assert reason_of_no_effect("resnet_k", ["ResNeSt50", "Pi"]) == "has no effect on ResNeSt50 and Pi; it is for ResNet"
