"""The embeddings of clips: of each of their windows, at the scale that the model needs, and finite."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from config import External
from tests.bird_models import SAMPLES, embeddings_of, tflite_embeddings_of, write_onnx, write_tflite
from tests.conftest import RATE
from utils.console import UserError
from utils.external import embeddings
from utils.external.embeddings import embed_clip, scaled_to_peak


@pytest.fixture(autouse=True)
def _no_model_stays() -> Iterator[None]:
    yield
    embeddings._embedder.cache_clear()


def external(path: Path, **changes: object) -> External:
    given = {"rate": RATE, "window": 1.0, "embedding": "embedding", "file": path, "sha256": "x", **changes}
    return External(**given)  # type: ignore[arg-type]


def sound(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).normal(0.02, 0.1, samples).astype(np.float32)


def test_the_windows_of_a_clip(tmp_path: Path) -> None:
    settings, samples = external(write_onnx(tmp_path / "bird.onnx"), hop=0.5), sound(2 * RATE)
    found = embed_clip(samples, settings)
    assert (found.dtype, found.shape) == (np.float16, (3, 16))
    windows = np.stack([samples[start : start + RATE] for start in (0, RATE // 2, RATE)])
    np.testing.assert_allclose(found, embeddings_of(windows), rtol=2e-3)


def test_a_clip_that_lost_a_sample_is_filled_up(tmp_path: Path) -> None:
    settings, samples = external(write_onnx(tmp_path / "bird.onnx")), sound(RATE - 1)
    np.testing.assert_array_equal(
        embed_clip(samples, settings), embed_clip(np.append(samples, np.float32(0)), settings)
    )


def test_tflite(tmp_path: Path) -> None:
    settings, samples = external(write_tflite(tmp_path / "bird.tflite"), window=SAMPLES / RATE), sound(3 * SAMPLES)
    found = embed_clip(samples, settings)
    np.testing.assert_allclose(found, tflite_embeddings_of(samples.reshape(3, -1)), rtol=2e-3, atol=1e-3)


def test_windows_are_scaled_to_a_peak(tmp_path: Path) -> None:
    samples, path = sound(RATE), write_onnx(tmp_path / "bird.onnx")
    centred = samples - samples.mean()
    scaled = 0.25 * centred / np.abs(centred).max()
    np.testing.assert_allclose(scaled_to_peak(samples[None], 0.25)[0], scaled, rtol=1e-4, atol=1e-6)
    found = embed_clip(samples, external(path, peak=0.25))
    np.testing.assert_allclose(found, embeddings_of(scaled[None]), rtol=2e-3)
    assert np.abs(found - embed_clip(samples, external(path))).max() > 0.1
    np.testing.assert_allclose(embed_clip(3 * samples, external(path, peak=0.25)), found, rtol=2e-3)
    assert not scaled_to_peak(np.full((1, 5), 0.5, np.float32), 0.25).any()  # silence, off its zero line


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    path = write_onnx(tmp_path / "bird.onnx")
    samples = sound(RATE)
    samples[5] = value
    with pytest.raises(UserError, match=f"^{path}: gives NaN or infinity for a clip; use another external.embedding$"):
        embed_clip(samples, external(path))


def test_large_values_stay_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class File:
        def runner(self, tensor: str) -> object:
            assert tensor == "embedding"
            return lambda windows: np.full((len(windows), 2), [1e9, -1e9], np.float32)

    monkeypatch.setattr(embeddings, "open_model_file", lambda _: File())
    found = embed_clip(sound(RATE), external(tmp_path / "bird.onnx"))
    assert found.tolist() == [[65504.0, -65504.0]]
