"""Fourier transforms of frames, by whichever library makes them."""

import numpy as np
import pytest

from utils.spectra import fourier

SIZES = [16, 18, 254, 390, 1024, 1146, 65_536]


@pytest.mark.parametrize("by_opencv", [True, False])
@pytest.mark.parametrize("n_fft", SIZES)
def test_transforms_are_numpys(n_fft: int, by_opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fourier, "_FAST_IN_OPENCV", by_opencv)
    rng = np.random.default_rng(n_fft)
    frames, window = rng.normal(size=(5, n_fft)).astype(np.float32), rng.random(n_fft).astype(np.float32)
    expected = np.fft.rfft(frames * window.astype(np.float64), axis=1)
    found = fourier.rfft(frames, window)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("n_fft", SIZES)
def test_bits_do_not_depend_on_the_place_in_memory(n_fft: int) -> None:
    sound, window = np.random.default_rng(0).normal(size=n_fft + 90).astype(np.float32), np.ones(n_fft, np.float32)
    expected = fourier.rfft(np.lib.stride_tricks.sliding_window_view(sound, n_fft)[::9], window)
    for shift in range(1, 17):
        moved = np.concatenate([np.zeros(shift, np.float32), sound])[shift:]
        np.testing.assert_array_equal(
            fourier.rfft(np.lib.stride_tricks.sliding_window_view(moved, n_fft)[::9], window), expected
        )
