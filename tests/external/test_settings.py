"""What a bird model's file determines is filled in; what does not go with it is refused in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from config import Augmentation, Clips, Config, External, Model, SettingsError
from tests.bird_models import BANDS, Layer, class_layer, onnx_file, write_onnx
from tests.conftest import RATE
from utils.console import UserError
from utils.external.settings import class_layer_of, located, matches_output, with_external_model
from utils.settings import load, to_dict, to_toml, validated
from utils.settings_keys import changed_settings


def settings(path: Path, **changes: Any) -> Config:
    tree = to_dict(Config(model=Model(name="External", weights=str(path)), external=External(rate=RATE)))
    for key, value in changes.items():
        section, _, name = key.partition("__")
        tree[section][name] = value
    return validated(tree)


@pytest.fixture
def bird(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "bird.onnx")


def test_settings_are_filled_in(bird: Path) -> None:
    config = with_external_model(settings(bird))
    assert config.clips == Clips(length=1.0, keep="embeddings")
    assert (config.spectrogram.rate, config.spectrogram.fmax) == (RATE, RATE / 2)
    assert config.external.file == bird
    assert (config.input_shape, config.input_dtype) == ((1, 16), "float16")
    assert config.training == Config().training


def test_the_same_settings_come_from_what_a_run_keeps(bird: Path, tmp_path: Path) -> None:
    for changes in ({}, {"model__head": "none"}, {"clips__length": 2.0, "external__hop": 0.5}):
        config = with_external_model(settings(bird, **changes))
        (tmp_path / "settings.toml").write_text(to_toml(config))
        assert with_external_model(load(tmp_path / "settings.toml")) == config


def test_other_models_are_left_alone() -> None:
    config = Config()
    assert with_external_model(config) is config


def test_a_clip_is_a_number_of_windows(bird: Path) -> None:
    config = with_external_model(settings(bird, clips__length=3.0))
    assert (config.clips.length, config.input_shape) == (3.0, (3, 16))
    config = with_external_model(settings(bird, clips__length=3.0, external__hop=0.5))
    assert config.input_shape == (5, 16)
    with pytest.raises(UserError, match=r"^clips.length = 2.5: bird takes windows of 1 s; [^\n]*$"):
        with_external_model(settings(bird, clips__length=2.5))
    with pytest.raises(UserError, match=r"^clips.length = 0.5: bird takes windows of 1 s"):
        with_external_model(settings(bird, clips__length=0.5))


def test_nothing_learns_without_a_head(bird: Path) -> None:
    training = with_external_model(settings(bird, model__head="none", training__epochs=7)).training
    assert (training.epochs, training.warm_up, training.average) == (1, 0, 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spectrogram__rate": 32_000}, r"^spectrogram.rate = 32000: bird takes 8000 Hz; leave it out"),
        ({"external__window": 2.0}, r"^external.window = 2: "),
        ({"external__embedding": "other"}, r"^external.embedding = other: "),
        ({"clips__keep": "sound"}, r"^clips.keep = sound: "),
        ({"spectrogram__engine": "device"}, r"^spectrogram.engine = device: "),
        ({"clips__overlap": 1.0, "clips__length": 1.0}, r"bird.onnx: clips.overlap = 1.0"),
        ({"spectrogram__fmin": 5000.0}, r"bird.onnx: spectrogram.f"),
    ],
)
def test_other_settings_have_to_go_with_the_model(bird: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as raised:
        with_external_model(settings(bird, **changes))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model__weights": None}, "model.weights"),
        ({"model__name": "Baseline"}, "model.weights"),
        ({"model__name": "Baseline", "model__weights": None, "clips__keep": "embeddings"}, "clips.keep"),
        ({"training__images": "images"}, "training.images"),
        ({"spectrogram__images": True}, "spectrogram.images"),
        ({"distillation__teachers": ["run"]}, "distillation.teachers"),
        ({"training__pretrained": "run"}, "training.pretrained"),
        ({"waveform__shift": 0.1}, "waveform.shift"),
        ({"clips__margin": 1.0}, "clips.margin"),
    ],
)
def test_settings_that_do_not_go_together(bird: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError, match=f"^{reason}( = [^\n]*)?: [^\n]+$"):
        settings(bird, **changes)


def test_augmentations_of_images_are_named(bird: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = settings(bird)
    with_external_model(replace(config, augmentation=Augmentation(mixup=0.4, contrast=(0.5, 2.0), count=1)))
    told = " ".join(capsys.readouterr().err.split())
    assert "augmentation.count, contrast: no effect on embeddings" in told
    with_external_model(replace(config, augmentation=Augmentation(mixup=0.4)))
    assert capsys.readouterr().err == ""


def write_other_classes(path: Path, *, power: float) -> Path:
    """Write a model whose output is a dense layer of its embedding, to some power."""
    layer = Layer(np.random.default_rng(0).normal(0, 1, (100, 3)).astype(np.float32), np.ones(3, np.float32))
    return onnx_file(
        path,
        [
            helper.make_node("Gemm", ["sound", "weights", "bias"], ["dense"]),
            helper.make_node("Abs", ["dense"], ["positive"]),
            helper.make_node("Pow", ["positive", "power"], ["classes"]),
        ],
        inputs={"sound": ["batch", 100]},
        outputs={"classes": ["batch", 3]},
        constants={"weights": layer.weights, "bias": layer.bias, "power": np.array(power, np.float32)},
    )


def test_classes_have_to_follow_from_the_embedding(tmp_path: Path) -> None:
    path = write_other_classes(tmp_path / "other.onnx", power=3.0)
    with pytest.raises(UserError, match=r"its classes do not follow from the tensor sound; set external.embedding"):
        with_external_model(settings(path))


def test_embeddings_that_are_never_finite_are_refused(tmp_path: Path) -> None:
    layer = class_layer()
    path = write_onnx(tmp_path / "bird.onnx", layer=Layer(np.full_like(layer.weights, np.nan), layer.bias))
    config = settings(path, external__embedding="logits", external__output="embedding")
    with pytest.raises(UserError, match=r"bird.onnx: its tensor logits has NaN or infinity; set external.embedding"):
        with_external_model(config)


@pytest.mark.parametrize("last", ["logits", "sigmoid", "softmax"])
def test_outputs_may_be_logits_or_scores(last: str) -> None:
    logits = np.array([[2.0, -1.0, 0.5]])
    exponentials = np.exp(logits)
    outputs = {
        "logits": logits,
        "sigmoid": exponentials / (1 + exponentials),
        "softmax": exponentials / exponentials.sum(),
    }
    assert matches_output(logits, outputs[last])
    assert not matches_output(logits, outputs[last] * 1.1 + 0.02)
    assert not matches_output(logits, outputs[last][:, :2])


def test_a_moved_file_is_found_and_another_one_refused(bird: Path, tmp_path: Path) -> None:
    external = with_external_model(settings(bird)).external
    assert located(external, []) == external
    assert located(External(), []) == External()
    moved = tmp_path / "elsewhere.onnx"
    bird.rename(moved)
    with pytest.raises(UserError, match=r"bird.onnx: is not there, but the model needs bird \(SHA-256 \w{16}…\); set"):
        located(external, [])
    assert located(external, [moved]) == replace(external, file=moved)
    write_onnx(bird, named=False)
    with pytest.raises(UserError, match=r"bird.onnx: is another file, but the model needs bird \("):
        located(external, [])
    assert located(external, [moved]).file == moved
    assert (
        changed_settings(Config(external=external), Config(external=located(external, [moved])), of=("external.",))
        == []
    )


def test_the_layer_of_the_classes(bird: Path) -> None:
    config = with_external_model(settings(bird))
    np.testing.assert_array_equal(class_layer_of(config.external).weights, class_layer().weights)
    with pytest.raises(UserError, match="has no dense layer from its embedding to its classes"):
        class_layer_of(replace(config.external, width=len(BANDS) + 1))
    with pytest.raises(UserError, match="name no bird model"):
        class_layer_of(External())


def test_a_layer_that_starts_at_another_tensor_is_refused(tmp_path: Path) -> None:
    """Two tensors of one width: the kept one is not what the classes are made of."""
    path = write_onnx(tmp_path / "bird.onnx", named=True)
    external = with_external_model(settings(path)).external
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Neg", [external.embedding], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["batch", external.width]))
    onnx.save(model, path)
    other = replace(settings(path), external=External(rate=RATE, embedding="other"))
    with pytest.raises(UserError, match=r"set model\.head = linear"):
        class_layer_of(with_external_model(other).external)
    assert class_layer_of(with_external_model(settings(path)).external)
