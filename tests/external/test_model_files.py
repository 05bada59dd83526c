"""Models in ONNX and TFLite files give what NumPy computes, at their outputs and within; damaged files are refused."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.bird_models import (
    SAMPLES,
    class_layer,
    embeddings_of,
    tflite_embeddings_of,
    tflite_layers,
    write_onnx,
    write_tflite,
)
from tests.conftest import RATE
from utils.console import UserError
from utils.external.model_files import ModelFile, Tensor, hash_of, open_model_file


def windows(count: int, samples: int) -> np.ndarray:
    return np.random.default_rng(count).normal(0, 0.1, (count, samples)).astype(np.float32)


def test_tflite_outputs_and_inner_tensors_are_numpys(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "bird.tflite")
    assert path.stat().st_size < 20_000
    file, sound, (_, classes) = open_model_file(path), windows(3, SAMPLES), tflite_layers()
    assert isinstance(file, ModelFile)
    assert file.inputs == (Tensor("sound", (1, SAMPLES), "float32"),)
    assert file.outputs == (Tensor("classes", (1, 5), "float32"),)
    layer = file.class_layer()
    assert layer is not None
    assert layer.embedding == Tensor("embedding", (1, 8), "float32")
    np.testing.assert_array_equal(layer.weights, classes.weights)
    np.testing.assert_array_equal(layer.bias, classes.bias)
    embeddings = file.runner("embedding")(sound)
    np.testing.assert_allclose(embeddings, tflite_embeddings_of(sound), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        file.runner("classes")(sound), embeddings @ classes.weights + classes.bias, rtol=1e-4, atol=1e-5
    )


def test_a_tflite_model_takes_its_length(tmp_path: Path) -> None:
    run = open_model_file(write_tflite(tmp_path / "bird.tflite")).runner("classes")
    assert run(windows(2, SAMPLES)).shape == (2, 5)


@pytest.mark.parametrize("batch", ["batch", 1, 4])
@pytest.mark.parametrize("channel", [False, True])
@pytest.mark.parametrize(
    ("named", "dense"), [(True, "MatMul"), (False, "MatMul"), (False, "Gemm"), (False, "transposed")]
)
def test_onnx_outputs_and_inner_tensors_are_numpys(
    tmp_path: Path, batch: int | str, channel: bool, named: bool, dense: str
) -> None:
    file = open_model_file(write_onnx(tmp_path / "bird.onnx", batch=batch, channel=channel, named=named, dense=dense))
    assert isinstance(file, ModelFile)
    sound, layer = windows(5, RATE), file.class_layer()  # more than a batch of 4, and no multiple of it
    assert layer is not None
    assert layer.embedding.name == ("embedding" if named else "inner")
    np.testing.assert_array_equal(layer.weights, class_layer().weights)
    np.testing.assert_array_equal(layer.bias, class_layer().bias)
    embeddings = file.runner(layer.embedding.name)(sound)
    np.testing.assert_allclose(embeddings, embeddings_of(sound), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        file.runner("logits")(sound), embeddings @ layer.weights + layer.bias, rtol=1e-4, atol=1e-4
    )


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-4],
    "rubbish": lambda _: np.random.default_rng(0).bytes(5000),
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", list(DAMAGES))
@pytest.mark.parametrize("write", [write_onnx, write_tflite])
def test_damaged_files_are_refused(tmp_path: Path, write: Callable[[Path], Path], damage: str) -> None:
    path = write(tmp_path / ("bird.onnx" if write is write_onnx else "bird.tflite"))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(UserError, match=f"^{path}: is damaged, or not a model \\([^\n]+\\)$"):
        open_model_file(path)


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "bird.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="bird.data", size_threshold=1000)
    with pytest.raises(UserError, match=r"bird.onnx: keeps its weights in other files; make one file of it: [^\n]*$"):
        open_model_file(path)
    onnx.save(onnx.load(path), tmp_path / "whole.onnx")
    layer = open_model_file(tmp_path / "whole.onnx").class_layer()
    assert layer is not None
    np.testing.assert_array_equal(layer.weights, class_layer().weights)


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    for name, reason in (("bird.pb", "should be a file .onnx or .tflite"), ("bird.onnx", "there is no such file")):
        with pytest.raises(UserError, match=f"^{tmp_path / name}: {reason}[^\n]*$"):
            open_model_file(tmp_path / name)


@pytest.mark.parametrize(
    ("ending", "package", "extra"), [("tflite", "ai_edge_litert", "litert"), ("onnx", "onnxruntime", "export")]
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, package: str, extra: str
) -> None:
    (tmp_path / f"bird.{ending}").write_bytes(b"model")
    monkeypatch.delitem(sys.modules, f"utils.external.{ending}_files", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"needs the extra `{extra}`: pip install -e '\.\[{extra}\]'$"):
        open_model_file(tmp_path / f"bird.{ending}")


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello world")
    assert hash_of(tmp_path / "file") == "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"


def test_litert_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_model_file(write_tflite(tmp_path / "bird.tflite")).runner("embedding")(windows(1, SAMPLES))
    captured: Any = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_weights_in_other_files_are_found_within_nodes(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "bird.onnx")
    model = onnx.load(path)
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "constant")
    (tmp_path / "w.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["unused"], value=tensor))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="keeps its weights in other files"):
        open_model_file(path)


def test_endings_may_be_in_capitals(tmp_path: Path) -> None:
    assert open_model_file(write_onnx(tmp_path / "BIRD.ONNX")).inputs
