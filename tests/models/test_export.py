"""An ONNX file predicts the same as JAX, for every model, and its metadata has what a field device needs."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from config import Config, Model, Training
from utils.console import UserError
from utils.models.input_scaling import from_pixels
from utils.models.networks import apply, build_network
from utils.models.onnx.export import export, metadata_of
from utils.models.onnx.interface import check_can_export
from utils.models.saved_networks import save_snapshot
from utils.models.snapshots import Snapshot

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")

from utils.models.onnx.conversion import to_onnx  # noqa: E402
from utils.models.onnx.export import to_onnx_model  # noqa: E402
from utils.models.onnx.graph import UnsupportedByOnnx  # noqa: E402

SMALL = Model(filters=(4, 8), kernel_sizes=(3, 5), groups=(1, 1), resnet_n=2, dense_units=7)
predict = jax.jit(lambda graph, network, pixels: apply(graph, network, from_pixels(pixels))[0], static_argnums=0)


def scores_of(logits: np.ndarray) -> np.ndarray:
    return np.concatenate([scipy.special.softmax(logits, axis=1), scipy.special.expit(logits)], axis=1)


def spectrograms(count: int, shape: tuple[int, int]) -> np.ndarray:
    pixels = np.random.default_rng(5).integers(0, 256, (count, *shape), dtype=np.uint8)
    pixels[0] = 7  # of one grey: nothing to stretch
    return pixels


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"name": "Baseline"}, (16, 32)),
        ({"name": "Baseline", "max_pooling": True, "nonlinearity": "lrelu"}, (17, 23)),
        ({"name": "ResNet"}, (17, 23)),
        ({"name": "ResNet", "groups": (1, 4), "nonlinearity": "elu", "dropout": 0.5}, (16, 32)),
        ({"name": "ResNet", "channels": 3, "max_pooling": True, "nonlinearity": "vlrelu"}, (16, 32)),
        ({"name": "ResNet", "batch_norm": False, "nonlinearity": "identity"}, (16, 32)),
        ({"name": "Dilated", "dilations": (1, 3), "stacks": 2}, (17, 23)),
        ({"name": "Baseline", "embedding": 6, "distance": "cosine"}, (17, 23)),
        ({"name": "Pi"}, (17, 23)),
        ({"name": "Pi", "batch_norm": False, "channels": 3, "max_pooling": True}, (17, 23)),
    ],
)
def test_the_logits_are_those_of_jax(options: dict[str, object], shape: tuple[int, int]) -> None:
    graph, network = build_network(replace(SMALL, **options), classes=5, shape=shape, seed=3)
    keys = iter(jax.random.split(jax.random.key(1), 1000))
    # norms that are not those of initial weights
    network = jax.tree.map(
        lambda leaf: leaf + 0.3 * jax.random.uniform(next(keys), leaf.shape) if leaf.ndim == 1 else leaf, network
    )
    model = to_onnx_model(graph, network, shape=shape)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for count in (1, 6):
        pixels = spectrograms(count, shape)
        (found,) = session.run(["logits"], {"spectrograms": pixels})
        assert found.dtype == np.float32
        wanted = np.asarray(predict(graph, network, jnp.asarray(pixels)))
        np.testing.assert_allclose(scores_of(found), scores_of(wanted), atol=1e-4)
        np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1, np.abs(wanted).max()))


def test_norms_are_one_operation_each_and_nothing_is_left_idle() -> None:
    graph, network = build_network(replace(SMALL, name="ResNet"), classes=5, shape=(16, 32), seed=3)
    written = to_onnx_model(graph, network, shape=(16, 32)).graph
    used = {name for node in written.node for name in node.input} | {"logits"}
    assert {name for node in written.node for name in node.output} <= used
    assert {weight.name for weight in written.initializer} <= used
    operations = [node.op_type for node in written.node]
    assert operations.count("Conv") == 1 + 2 * (3 + 2)  # the first; of each stack two blocks of two and a shortcut
    assert operations.count("Transpose") <= 1  # of the input, none between convolutions


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.sort(x.astype(jnp.float32).sum(axis=1)),
        lambda x: jax.lax.conv(x.astype(jnp.float32)[:, None], jnp.ones((2, 1, 3, 3)), (1, 1), "SAME").sum(axis=(2, 3)),
    ],
)
def test_what_cannot_be_written_is_refused(function: object) -> None:
    with pytest.raises(UnsupportedByOnnx, match=r"operation sort|unsupported kind of convolution"):
        to_onnx(lambda x: [function(x)], shape=(4, 6), source="x", targets=["y"])


def test_a_damaged_net_is_refused() -> None:
    graph, network = build_network(replace(SMALL, name="Baseline"), classes=5, shape=(16, 32), seed=3)
    damaged = network._replace(params=jax.tree.map(lambda leaf: leaf.at[..., :1].set(np.nan), network.params))
    with pytest.raises(UnsupportedByOnnx, match="NaN or infinite weights"):
        to_onnx_model(graph, damaged, shape=(16, 32))


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    config = Config(run="field", model=replace(SMALL, name="Baseline"), training=Training(loss="binary"))
    snapshot = Snapshot(tmp_path / "epoch_003", config, ("Ärmel", "Noise"), 3, 0.5, "data")
    _, network = build_network(config.model, classes=2, shape=config.spectrogram.shape, seed=0)
    save_snapshot(snapshot, network, {"none": jnp.zeros(1)}, recordings=["a"])
    return snapshot


def test_a_file_says_what_a_field_device_must_know(snapshot: Snapshot, tmp_path: Path) -> None:
    export(snapshot, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    facts = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    assert facts["classes"] == ["Ärmel", "Noise"]
    assert facts["scores"] == "sigmoid"
    assert (facts["spectrogram"]["fmin"], facts["clips"]["overlap"]) == (500, 0.25)
    assert facts["snapshot"] == "field/epoch_003"
    assert list(session.get_inputs()[0].shape[1:]) == [128, 256]
    assert metadata_of(replace(snapshot, config=Config()))["scores"] == '"softmax"'


def test_an_export_that_fails_leaves_nothing(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UnsupportedByOnnx("the operation sort")

    monkeypatch.setattr("utils.models.onnx.export.to_onnx_model", fail)
    with pytest.raises(UserError, match="operation sort"):
        export(snapshot, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.models.onnx.interface.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--export: .*pip install '.\[export\]'"):
        check_can_export("--export")


def test_the_example_in_the_documents_runs(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = (Path(__file__).parents[2] / "docs" / "file-formats.md").read_text()
    example = next(
        part.split("```")[0] for part in documents.split("```python\n") if "onnxruntime" in part.split("```")[0]
    )
    monkeypatch.chdir(tmp_path)
    export(snapshot, tmp_path / "model.onnx")
    cv2.imwrite("clip.png", spectrograms(2, snapshot.config.spectrogram.shape)[1])
    exec(example, {})
    assert {line.split()[1] for line in capsys.readouterr().out.splitlines()} == {"Ärmel", "Noise"}
