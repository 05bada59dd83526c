"""Both engines return the same logits; which one runs follows from the setting, the machine and what is installed."""

import os
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from config import Config, Model
from utils.console import UserError
from utils.models.networks import Network, build_network
from utils.scoring.inference.predictors import (
    chosen_predictor,
    engine_text,
    onnx_predictor,
    predictor,
    scores_of,
    threads_of_models,
)
from utils.workers.worker_processes import THREADS_OF_MODELS

SHAPE = (16, 32)
PIXELS = np.random.default_rng(2).integers(0, 256, (11, *SHAPE), dtype=np.uint8)


def net_of(seed: int) -> tuple[nnx.GraphDef, Network]:
    return build_network(Model(name="Baseline", filters=(4, 8)), classes=5, shape=SHAPE, seed=seed)


def chosen(engine: str) -> str:
    graph, network = net_of(0)
    predict = chosen_predictor(
        graph, network, shape=SHAPE, settings=replace(Config().testing, engine=engine, batch_size=4)
    )
    assert scores_of(predict(network, PIXELS).logits, multi_label=False).sum(axis=1) == pytest.approx(1)
    return predict.__qualname__.split(".")[0]


def test_scores_are_equal_in_any_batches_and_for_several_networks() -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")
    pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
    graph, network = net_of(0)
    _, other = net_of(1)
    slow, quick = predictor(graph, batch_size=4), onnx_predictor(graph, network, shape=SHAPE, batch_size=4)
    for one in (network, other, network):
        for multi_label in (False, True):
            np.testing.assert_allclose(
                scores_of(quick(one, PIXELS).logits, multi_label=multi_label),
                scores_of(slow(one, PIXELS).logits, multi_label=multi_label),
                atol=1e-4,
            )
    assert np.abs(quick(network, PIXELS).logits - quick(other, PIXELS).logits).max() > 1e-2


def test_both_engines_return_embeddings_and_frames_if_they_are_asked_for() -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")
    pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
    graph, network = build_network(
        Model(name="Baseline", filters=(4, 8), pool="attention"), classes=5, shape=SHAPE, seed=1
    )
    slow = predictor(graph, batch_size=4, further=("frames", "embeddings"))(network, PIXELS)
    quick = onnx_predictor(graph, network, shape=SHAPE, batch_size=3, further=("frames",))(network, PIXELS)
    assert slow.frames is not None
    assert slow.embeddings is not None
    assert (slow.frames.shape, slow.embeddings.shape) == ((11, 8, 5), (11, 16))
    np.testing.assert_allclose(quick.frames, slow.frames, atol=1e-4)
    np.testing.assert_allclose(quick.logits, slow.logits, atol=1e-4)
    assert quick.embeddings is None
    scores = scores_of(slow.frames, multi_label=False)
    np.testing.assert_allclose(scores.sum(axis=2), 1, rtol=1e-5)  # over classes, frame by frame


def test_the_engine_is_the_one_that_is_asked_for() -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")
    pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
    assert chosen("jax") == "predictor"
    assert chosen("onnx") == "onnx_predictor"
    assert chosen("auto") == ("onnx_predictor" if jax.default_backend() == "cpu" else "predictor")


def test_int8_predicts_nearly_the_same_and_needs_clips() -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed: no onnxruntime")
    pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
    graph, network = net_of(0)
    settings = replace(Config().testing, engine="onnx-int8", batch_size=4)
    with pytest.raises(UserError, match=r"testing\.engine = onnx-int8: needs clips of a store"):
        chosen_predictor(graph, network, shape=SHAPE, settings=settings)
    predict = chosen_predictor(graph, network, shape=SHAPE, settings=settings, calibration=lambda: PIXELS)
    wanted = predictor(graph, batch_size=4)(network, PIXELS).logits
    found = predict(network, PIXELS).logits
    assert 0 < np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
    assert engine_text(settings) == "ONNX Runtime, int8"


def test_the_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.scoring.inference.predictors.can_export", lambda: True)
    named = {engine: engine_text(replace(Config().testing, engine=engine)) for engine in ("jax", "onnx", "auto")}
    assert (named["jax"], named["onnx"]) == ("JAX", "ONNX Runtime, float32")
    assert named["auto"] == (named["onnx"] if jax.default_backend() == "cpu" else "JAX")


def test_without_the_extra_jax_predicts_unless_onnx_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.models.onnx.export.find_spec", lambda name: None)
    assert chosen("auto") == "predictor"
    with pytest.raises(UserError, match=r"testing\.engine = onnx"):
        chosen("onnx")


def test_accelerators_run_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert chosen("auto") == "predictor"


def test_a_network_that_onnx_cannot_express_is_run_by_jax_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("the operation sort")

    monkeypatch.setattr("utils.scoring.inference.predictors.can_export", lambda: True)
    monkeypatch.setattr("utils.scoring.inference.predictors.to_onnx_model", fail)
    assert chosen("auto") == "predictor"
    warned = " ".join(capsys.readouterr().err.split())
    assert "ONNX Runtime cannot run this network (ValueError: the operation sort)" in warned


@pytest.mark.parametrize("given", ["auto", "", "0", "-2", "1.5"])
def test_only_a_positive_integer_says_how_many_threads_run_a_model(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_OF_MODELS, given)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert threads_of_models() == 3
    monkeypatch.setenv(THREADS_OF_MODELS, "7")
    assert threads_of_models() == 7
