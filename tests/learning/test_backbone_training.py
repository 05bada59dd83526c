"""Backbones train as the other networks do: the same after a pause, on any number of devices, and with teachers."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import distill
import sort_data
import spec
import train
from config import STAGES, Config, Distillation, Model, SettingsError, Training
from tests.conftest import small_config, write_folders
from tests.learning.test_steps import CONFIG, after_epochs
from tests.models.small_backbones import TINY
from tests.training_runs import on_eight_devices, pause_training
from utils.console import UserError
from utils.models.architectures import convnext, convolutions, efficientnet, mobilenet, resnest
from utils.models.array_trees import named_leaves
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot
from utils.models.training_log import read_training_log
from utils.settings_checks import check

pytestmark = pytest.mark.usefixtures("undrawn")

FINE_TUNED = Training(
    batch_size=8, epochs=3, learning_rate=0.01, freeze_epochs=1, backbone_rate=0.5, average=0.9, optimizer="adamw"
)


def make_tiny(patch: pytest.MonkeyPatch) -> None:
    """Let the names of two backbones stand for tiny ones, whose convolutions XLA compiles fast."""
    patch.setitem(efficientnet.DESIGNS, "EfficientNetB0", TINY["EfficientNetB0"])
    patch.setitem(convnext.DESIGNS, "ConvNeXtAtto", TINY["ConvNeXtAtto"])
    patch.setattr(convolutions, "_chosen", lambda *_: convolutions._library)


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("backbones")
    write_folders(folder / "archive", recordings=6)
    config = small_config(folder / "root", folder / "archive")
    config = dataclasses.replace(config, log=dataclasses.replace(config.log, tensorboard=False))
    sort_data.main(config)
    spec.main(config)
    return config


@pytest.fixture(scope="module")
def whole(config: Config) -> Config:
    """Train a backbone: first its last layer, then all of it."""
    whole = dataclasses.replace(config, run="whole", model=backbone("EfficientNetB0"), training=FINE_TUNED)
    train.main(whole)
    return whole


def backbone(name: str, **options: object) -> Model:
    return Model(name=name, drop_path=0.3, dropout=0.2, **options)  # type: ignore[arg-type]


def variables(run: Path) -> dict[str, np.ndarray]:
    latest = find_snapshot(run, "latest")
    assert latest
    return {name: np.asarray(leaf) for name, leaf in named_leaves(load_network(latest)[1]).items()}


def test_a_paused_run_ends_as_an_undisturbed_one(whole: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once within the epoch of the last layer alone, once within one of all layers."""
    paused = dataclasses.replace(whole, run="paused")
    for steps in (2, 6):
        pause_training(paused, monkeypatch, after=steps)
        assert (paused.run_folder / "paused" / "snapshot.json").is_file()
    train.main(paused)
    expected, found = variables(whole.run_folder), variables(paused.run_folder)
    assert all(np.array_equal(found[name], array) for name, array in expected.items())


def test_frozen_stages_stay_as_they_were(whole: Config) -> None:
    """Their weights, which weight decay would shrink, and their statistics; all else changes."""
    frozen = dataclasses.replace(
        whole,
        run="frozen",
        model=backbone("EfficientNetB0", frozen_stages=1),
        training=dataclasses.replace(
            FINE_TUNED, epochs=1, freeze_epochs=0, average=0.0, weight_decay=0.1, pretrained=whole.run_folder
        ),
    )
    train.main(frozen)
    best = find_snapshot(whole.run_folder, "best")
    assert best
    before = {name: np.asarray(leaf) for name, leaf in named_leaves(load_network(best)[1]).items()}
    after = variables(frozen.run_folder)
    same = {name for name, array in before.items() if np.array_equal(array, after[name])}
    assert same == {name for name in before if name.split("/")[1] in ("conv_stem", "bn1", "scaling")} | {
        name for name in before if name.split("/")[1:3] == ["blocks", "0"]
    }


def test_settings_know_how_many_stages_there_are() -> None:
    of_families = (
        {name: len(design.stages) for name, design in (efficientnet.DESIGNS | mobilenet.DESIGNS).items()},
        {name: len(design.blocks) for name, design in (convnext.DESIGNS | resnest.DESIGNS).items()},
    )
    for name, stages in (of_families[0] | of_families[1]).items():
        if name in TINY:  # stands for a tiny one here
            continue
        assert next(count for start, count in STAGES.items() if name.startswith(start)) == stages, name


def test_there_are_no_more_stages_than_the_model_has() -> None:
    for model, reason in (
        (backbone("EfficientNetV2S", stages=7), "at most 6"),
        (backbone("EfficientNetB0", stages=2, frozen_stages=3, weights="x.safetensors"), "at most 2"),
        (backbone("ConvNeXtTiny", frozen_stages=5, weights="x.safetensors"), "at most 4"),
        (Model(name="ResNet", frozen_stages=1), "ResNet has no stages"),
    ):
        with pytest.raises(SettingsError, match=reason):
            check(Config(model=model))


def test_a_new_convolution_is_not_left_at_random_weights() -> None:
    weights = backbone("EfficientNetB0", stages=1, weights="x.safetensors")
    with pytest.raises(SettingsError, match="last convolution"):
        check(Config(model=weights, training=FINE_TUNED))
    check(Config(model=dataclasses.replace(weights, weights=None), training=FINE_TUNED))


def test_layers_with_random_weights_are_not_frozen(config: Config) -> None:
    with pytest.raises(UserError, match="random weights"):
        train.main(dataclasses.replace(config, run="random", model=backbone("EfficientNetB0", frozen_stages=1)))


def test_eight_devices_are_one(tmp_path: Path) -> None:
    """Batch norm takes the statistics of the whole batch, and each clip its own drop path, wherever it is computed."""
    eight = on_eight_devices(
        tmp_path,
        "import pytest",
        "from tests.learning.test_backbone_training import make_tiny, sums_of",
        "make_tiny(pytest.MonkeyPatch())",
        result="sums_of('EfficientNetB0')",
    )
    np.testing.assert_allclose(eight, sums_of("EfficientNetB0"), rtol=1e-4)


def sums_of(name: str) -> list[tuple[float, ...]]:
    """Return the sums of metrics of an epoch of all layers."""
    training = dataclasses.replace(FINE_TUNED, freeze_epochs=0)
    config = dataclasses.replace(CONFIG, model=backbone(name), training=training)
    return after_epochs(config, resident=False, loops=False)[1]


def test_backbones_are_teachers_and_students(whole: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """An EfficientNet teaches a ConvNeXt, which comes nearer to its predictions."""
    monkeypatch.setattr(distill, "compare_networks", lambda *_: (None, ()))
    student = dataclasses.replace(
        whole,
        run="student",
        model=backbone("ConvNeXtAtto"),
        training=dataclasses.replace(FINE_TUNED, epochs=12, freeze_epochs=0, backbone_rate=1.0),
        distillation=Distillation(
            teachers=(whole.run_folder,), compare_without_teachers=False, loss="kullback_leibler"
        ),
    )
    distill.main(student)
    rows = read_training_log(student.run_folder / "log.csv", until=12)
    assert rows[-1].loss < 0.5 * rows[0].loss
