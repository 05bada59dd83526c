"""Both engines make the same of clips; which one runs follows from the setting, the machine and what is installed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from config import Config, Model, Spectrogram
from utils.console import UserError
from utils.files import digest_file
from utils.models.networks import build_network
from utils.models.onnx.interface import FurtherOutput, can_export
from utils.models.saved_networks import save_snapshot
from utils.models.snapshots import Snapshot
from utils.scoring.inference.engines import engine_text
from utils.scoring.inference.onnx_sessions import ClipOutputs, scores_of, threads_of_models
from utils.scoring.inference.snapshot_predictors import snapshot_predictor
from utils.workers.worker_processes import THREADS_OF_MODELS

SHAPE = (16, 32)
PIXELS = np.random.default_rng(2).integers(0, 256, (11, *SHAPE), dtype=np.uint8)
with_onnx = pytest.mark.skipif(not can_export(), reason="the extra `export` is not installed")


@pytest.fixture
def made(tmp_path: Path) -> Snapshot:
    return snapshot_of(tmp_path / "epoch_001", seed=1)


def snapshot_of(folder: Path, *, seed: int) -> Snapshot:
    config = Config(
        model=Model(name="Baseline", filters=(4, 8), pool="attention"),
        spectrogram=Spectrogram(height=SHAPE[0], width=SHAPE[1]),
    )
    snapshot = Snapshot(folder, config, tuple("abcde"), 1, None, "")
    network = build_network(config.model, classes=5, shape=SHAPE, seed=seed)[1]
    save_snapshot(snapshot, network, None, recordings=())
    return snapshot


def outputs(
    snapshot: Snapshot, engine: str, *, batch_size: int = 4, further: Sequence[FurtherOutput] = ()
) -> ClipOutputs:
    settings = replace(Config().testing, engine=engine, batch_size=batch_size)
    return snapshot_predictor(snapshot, settings, further=further)(PIXELS)


@with_onnx
def test_both_engines_make_the_same_in_any_batches(made: Snapshot) -> None:
    slow = outputs(made, "jax", further=("frames", "embeddings"))
    quick = outputs(made, "onnx", batch_size=3, further=("frames", "embeddings"))
    assert slow.frames is not None
    assert slow.embeddings is not None
    assert (slow.logits.shape, slow.frames.shape, slow.embeddings.shape) == ((11, 5), (11, 8, 5), (11, 16))
    for one, other in zip(slow, quick, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert outputs(made, "onnx").frames is None


@with_onnx
def test_the_graph_is_made_once_and_again_when_it_does_not_fit(
    made: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, digests = made.folder / "network.onnx", digest_file(made.folder / "network.onnx")
    wanted = outputs(made, "jax").logits
    other = snapshot_of(tmp_path / "other" / "epoch_001", seed=2)
    outputs(other, "onnx")

    def stamps() -> list[int]:
        np.testing.assert_allclose(outputs(made, "onnx").logits, wanted, atol=1e-4)
        return [graph.stat().st_ino, digests.stat().st_ino]

    before = stamps()
    assert stamps() == before  # used as it is
    for change in (
        lambda: graph.write_bytes(graph.read_bytes()[:-1] + b"\0"),  # damaged
        digests.unlink,  # a process was killed between the two
        lambda: [  # of another network
            path.write_bytes((other.folder / path.name).read_bytes()) for path in (graph, digests)
        ],
        lambda: monkeypatch.setattr("utils.models.onnx.cached.code_digest", lambda: "other code"),
        lambda: monkeypatch.setattr("utils.models.onnx.cached.source_digest", lambda _: "other settings"),
    ):
        change()
        after = stamps()
        assert after != before
        assert stamps() == after
        before = after


@with_onnx
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_costs_only_the_cache(made: Snapshot) -> None:
    made.folder.chmod(0o500)
    try:
        np.testing.assert_allclose(outputs(made, "onnx").logits, outputs(made, "jax").logits, atol=1e-4)
    finally:
        made.folder.chmod(0o700)


@with_onnx
def test_a_full_disk_costs_only_the_cache(made: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("utils.models.onnx.cached.atomic_file", full)
    np.testing.assert_allclose(outputs(made, "onnx").logits, outputs(made, "jax").logits, atol=1e-4)
    assert not (made.folder / "network.onnx").exists()


@with_onnx
def test_with_a_cached_graph_nothing_waits_for_jax(made: Snapshot) -> None:
    outputs(made, "onnx")
    code = (
        "import sys, numpy as np; from pathlib import Path; from config import Testing;"
        "from utils.models.snapshots import read_snapshot;"
        "from utils.scoring.inference.ensembles import Member, assemble;"
        "scorer = assemble([Member(read_snapshot(Path(sys.argv[1])))]).groups[0].scorer(Testing());"
        f"scorer(np.zeros((2, *{SHAPE}), np.uint8));"
        "print({'jax', 'flax', 'orbax', 'onnx', 'matplotlib', 'sklearn', 'scipy.signal'} & {*sys.modules})"
    )
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-c", code, str(made.folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "set()\n"


@with_onnx
def test_int8_predicts_nearly_the_same_and_needs_clips(made: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="int8 needs clips that the model was trained on"):
        outputs(made, "onnx-int8")
    monkeypatch.setattr("utils.scoring.inference.calibration_clips.calibration_clips", lambda _: PIXELS)
    wanted, found = outputs(made, "jax").logits, outputs(made, "onnx-int8").logits
    assert 0 < np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()


def test_jax_runs_what_onnx_cannot_express(
    made: Snapshot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("no such operation")

    pytest.importorskip("onnx", reason="the extra `export` is not installed: no onnx")
    monkeypatch.setattr("utils.models.onnx.export.to_onnx_model", refuse)
    np.testing.assert_array_equal(outputs(made, "onnx").logits, outputs(made, "jax").logits)
    assert "ONNX Runtime cannot run this network (NotImplementedError: no such operation)" in capsys.readouterr().err


def test_the_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.scoring.inference.engines.can_export", lambda: True)
    named = {
        engine: engine_text(replace(Config().testing, engine=engine)) for engine in ("jax", "onnx", "onnx-int8", "auto")
    }
    assert (named["jax"], named["onnx"]) == ("JAX", "ONNX Runtime, float32")
    assert named["onnx-int8"] == "ONNX Runtime, int8"
    assert named["auto"] == (named["onnx"] if jax.default_backend() == "cpu" else "JAX")


def test_without_the_extra_jax_predicts_unless_onnx_was_asked_for(
    made: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.models.onnx.interface.find_spec", lambda _: None)
    assert scores_of(outputs(made, "auto").logits, multi_label=False).sum(axis=1) == pytest.approx(1)
    assert not (made.folder / "network.onnx").exists()
    with pytest.raises(UserError, match=r"testing\.engine = onnx"):
        outputs(made, "onnx")


@with_onnx
def test_accelerators_run_jax(made: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    outputs(made, "auto")
    assert not (made.folder / "network.onnx").exists()


@pytest.mark.parametrize("given", ["auto", "", "0", "-2", "1.5"])
def test_only_a_positive_integer_says_how_many_threads_run_a_model(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_OF_MODELS, given)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert threads_of_models() == 3
    monkeypatch.setenv(THREADS_OF_MODELS, "7")
    assert threads_of_models() == 7


@with_onnx
def test_a_snapshot_that_is_saved_again_meanwhile_leaves_no_graph(
    made: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter(["before", "before", "after"])
    monkeypatch.setattr("utils.models.onnx.cached.source_digest", lambda _: next(digests))
    (made.folder / "network.onnx").write_bytes(b"old")
    digest_file(made.folder / "network.onnx").write_text("old")
    outputs(made, "onnx")
    assert (made.folder / "network.onnx").read_bytes() == b"old"
