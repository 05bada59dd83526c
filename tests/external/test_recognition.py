"""Public bird models are recognised by their shapes; what an unknown model has to tell is said in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from config import External
from tests.bird_models import SAMPLES, onnx_file, write_onnx, write_shapes, write_tflite
from tests.conftest import RATE, SHARED
from utils.console import UserError
from utils.external.model_files import hash_of, open_model_file
from utils.external.recognition import recognise
from utils.external.settings import tried

BIRDNET = SHARED / "weights" / "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"
PERCH = {"embedding": [1536], "spatial_embedding": [5, 3, 1536], "spectrogram": [500, 128], "label": [14_795]}


def recognised(path: Path, **given: object) -> External:
    file = open_model_file(path)
    return tried(file, recognise(file, External(**given)))  # type: ignore[arg-type]


def test_birdnet_plus(tmp_path: Path) -> None:
    path = write_shapes(
        tmp_path / "plus.onnx", samples="samples", outputs={"embeddings": [1280], "predictions": [11_560]}
    )
    assert recognised(path) == External(
        title="BirdNET+ 3.0 preview",
        licence="CC BY-SA 4.0",
        rate=32_000,
        window=3.0,
        embedding="embeddings",
        width=1280,
        output="predictions",
        file=path,
        sha256=hash_of(path),
    )
    assert recognised(path, window=5.0).window == 5.0


def test_birdnet_plus_without_names(tmp_path: Path) -> None:
    path = write_shapes(tmp_path / "plus.onnx", samples="samples", outputs={"one": [11_560], "two": [1280]})
    found = recognised(path)
    assert (found.embedding, found.width, found.output) == ("two", 1280, "one")


def test_perch(tmp_path: Path) -> None:
    path = write_shapes(tmp_path / "perch.onnx", samples=160_000, outputs=PERCH)
    assert recognised(path) == External(
        title="Perch 2",
        licence="Apache 2.0",
        rate=32_000,
        window=5.0,
        peak=0.25,
        embedding="embedding",
        width=1536,
        output="label",
        file=path,
        sha256=hash_of(path),
    )


def test_an_embedding_of_several_axes_is_as_wide_as_its_values(tmp_path: Path) -> None:
    path = write_shapes(tmp_path / "perch.onnx", samples=160_000, outputs=PERCH)
    assert recognised(path, embedding="spatial_embedding").width == 5 * 3 * 1536


def test_birdnet_stm32(tmp_path: Path) -> None:
    path = write_shapes(tmp_path / "small_INT8.onnx", samples=60_000, outputs={"scores": [100], "pooled": [256]})
    (tmp_path / "small_model_config.json").write_text(json.dumps({"sample_rate": 24_000}))
    found = recognised(path)
    assert (found.title, found.licence) == ("BirdNET-STM32", "Apache 2.0")
    assert (found.rate, found.window, found.peak) == (24_000, 2.5, 1.0)
    assert (found.embedding, found.width, found.output) == ("scores", 100, "pooled")  # which is which cannot be told
    found = recognised(path, output="scores", rate=24_000)
    assert (found.embedding, found.output, found.peak) == ("pooled", "scores", 1.0)
    (tmp_path / "small_model_config.json").write_text("{}")
    with pytest.raises(UserError, match=r"small_model_config.json: has no sample_rate; set external.rate[^\n]*$"):
        recognised(path)


def test_birdnet() -> None:
    if not BIRDNET.is_file():
        pytest.skip("no BirdNET 2.4 in ../shared/weights")
    found = recognised(BIRDNET)
    assert (found.title, found.licence) == ("BirdNET 2.4", "CC BY-NC-SA 4.0")
    assert (found.rate, found.window, found.width, found.peak) == (48_000, 3.0, 1024, 0.0)
    layer = open_model_file(BIRDNET).class_layer()
    assert layer is not None
    assert layer.embedding.name == found.embedding
    assert layer.weights.shape == (1024, 6522)


def test_any_other_model_has_to_tell_its_rate(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "mine.onnx", named=False)
    described = r"it takes sound \(any × 8000\) and gives logits \(any × 3\)"
    with pytest.raises(UserError, match=rf"^{path}: is no model that is known here \({described}\); set external.rate"):
        recognised(path)
    found = recognised(path, rate=RATE)
    assert (found.title, found.licence, found.window, found.embedding, found.width, found.output) == (
        *("mine", "", 1.0, "inner", 16, "logits"),
    )
    found = recognised(write_tflite(tmp_path / "mine.tflite"), rate=RATE, title="Mine", licence="ours")
    assert (found.title, found.licence, found.window) == ("Mine", "ours", SAMPLES / RATE)
    assert (found.embedding, found.width, found.output) == ("embedding", 8, "classes")


def test_what_is_filled_in_stays_when_it_is_read_again(tmp_path: Path) -> None:
    for path in (
        write_onnx(tmp_path / "mine.onnx", named=False),
        write_tflite(tmp_path / "mine.tflite"),
    ):
        found = recognised(path, rate=RATE)
        file = open_model_file(path)
        assert tried(file, recognise(file, found)) == found


def test_the_window_is_the_files(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "mine.onnx")
    with pytest.raises(UserError, match=r"^external.window = 3: [^\n]* takes 8000 samples, which are 1 s at 8000 Hz;"):
        recognised(path, rate=RATE, window=3.0)
    path = write_onnx(tmp_path / "any.onnx", samples="samples")
    with pytest.raises(UserError, match=r"^[^\n]*takes windows of any length; set external.window, in seconds$"):
        recognised(path, rate=RATE)
    assert recognised(path, rate=RATE, window=2.0).width == 16
    with pytest.raises(UserError, match=r"^[^\n]*cannot run on a window of 1.01 s at 8000 Hz \([^\n]*$"):
        recognised(path, rate=RATE, window=1.01)  # no whole number of frames


def test_the_embedding_has_to_be_a_tensor_of_the_model(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "mine.onnx")
    listed = r"embedding \(any × 16\), logits \(any × 3\)"
    with pytest.raises(UserError, match=rf"^external.embedding = other: {path} has {listed}[^\n]*$"):
        recognised(path, rate=RATE, embedding="other")
    path = write_shapes(tmp_path / "none.onnx", samples=RATE, outputs={"classes": [7]})
    with pytest.raises(UserError, match=r"which tensor is the embedding cannot be told \([^\n]*; set external.embed"):
        recognised(path, rate=RATE)


def test_models_that_take_no_sound_are_refused(tmp_path: Path) -> None:
    path = write_shapes(tmp_path / "int8.onnx", samples=RATE, outputs={"classes": [7]}, dtype=TensorProto.INT8)
    with pytest.raises(
        UserError, match=r"takes sound \(any × 8000\) of [^\n]*int8[^\n]*, but a bird model should take"
    ):
        recognised(path, rate=RATE)
    two = onnx_file(
        tmp_path / "two.onnx",
        [helper.make_node("Add", ["sound", "week"], ["classes"])],
        inputs={"sound": ["batch", 100], "week": ["batch", 100]},
        outputs={"classes": ["batch", 100]},
        constants={},
    )
    with pytest.raises(UserError, match=r"takes sound \(any × 100\) of float32, week \(any × 100\) of float32, but a"):
        recognised(two, rate=RATE)
    nothing = onnx_file(
        tmp_path / "nothing.onnx",
        [helper.make_node("Identity", ["constant"], ["classes"])],
        inputs={},
        outputs={"classes": [3]},
        constants={"constant": np.zeros(3, np.float32)},
    )
    with pytest.raises(UserError, match=r"^[^\n]*: takes nothing, but a bird model should take windows of sound"):
        recognised(nothing, rate=RATE)


def test_fewer_classes_than_values_of_the_embedding(tmp_path: Path) -> None:
    """The input of the last dense layer is the embedding, although it is the widest output."""
    constants = {"w": np.zeros((SAMPLES, 16), np.float32), "v": np.zeros((16, 3), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["sound", "w"], ["features"]),
        helper.make_node("MatMul", ["features", "v"], ["logits"]),
    ]
    path = onnx_file(
        tmp_path / "bird.onnx",
        nodes,
        inputs={"sound": ["batch", SAMPLES]},
        outputs={"features": ["batch", 16], "logits": ["batch", 3]},
        constants=constants,
    )
    found = recognised(path, rate=SAMPLES)
    assert (found.embedding, found.output) == ("features", "logits")
