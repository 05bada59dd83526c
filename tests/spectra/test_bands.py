"""Window, frequency bins and filter bank of spectrograms."""

import librosa
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config import Spectrogram
from utils.spectra.bands import bands_of, hop_of, linear_window, size_before_resizing, unit_area_heights


def test_mel_bands_are_librosas() -> None:
    bands = bands_of(Spectrogram(rate=22_050, height=40, n_fft=1024, fmin=300, fmax=9000))
    expected = librosa.filters.mel(sr=22_050, n_fft=1024, n_mels=40, fmin=300, fmax=9000)
    found = np.zeros_like(expected)
    found[:, bands.first_bin : bands.last_bin] = bands.weights.toarray()
    np.testing.assert_array_equal(found, expected)
    assert bands.last_bin - bands.first_bin < 410  # without bins that are in no band
    np.testing.assert_allclose(bands.window, librosa.filters.get_window("hann", 1024), atol=1e-7)


def test_filters_of_unit_area_are_librosas() -> None:
    settings = Spectrogram(height=20, n_fft=16_384)
    peaks = librosa.filters.mel(sr=44_100, n_fft=16_384, n_mels=20, fmin=500, fmax=15_000).max(axis=1)
    np.testing.assert_allclose(
        unit_area_heights(settings), peaks, rtol=0.02
    )  # bins are seldom in the middle of a filter


@given(st.integers(100, 384_000), st.integers(8, 1024), st.floats(0, 1), st.floats(0, 1))
def test_a_linear_window_gives_the_height(rate: int, height: int, low: float, high: float) -> None:
    fmin, fmax = low * rate / 2, high * rate / 2
    assume(fmax - fmin >= rate / 65_536 * height)
    n_fft = linear_window(rate=rate, fmin=fmin, fmax=fmax, height=height)
    bins = np.arange(n_fft // 2 + 1) * (rate / n_fft)
    near = 1e-6 * rate / n_fft  # rounding of a bin that lies on the band's edge
    assert (
        ((bins >= fmin + near) & (bins <= fmax - near)).sum()
        <= height
        <= ((bins >= fmin - near) & (bins <= fmax + near)).sum()
    )
    assert n_fft % 2 == 0


def test_linear_window_by_hand() -> None:
    assert linear_window(rate=8000, fmin=0.0, fmax=4000.0, height=129) == 256
    assert linear_window(rate=44_100, fmin=500.0, fmax=15_000.0, height=128) == 390  # bins 5 to 132, of 113 Hz


@pytest.mark.parametrize(
    ("settings", "samples", "size"),
    [
        (Spectrogram(), 44_100, (128, 256)),
        (Spectrogram(kind="linear"), 44_100, (128, 256)),
        (Spectrogram(width=100, height=64), 12_345, (64, 100)),
        (Spectrogram(hop=512, n_fft=2048), 44_100, (128, 87)),
        (Spectrogram(kind="reassigned", n_fft=512), 44_100, (128, 256)),
        (Spectrogram(kind="linear", n_fft=1024, fmin=0.0, fmax=22_050.0), 44_100, (513, 256)),
    ],
)
def test_sizes_before_resizing(settings: Spectrogram, samples: int, size: tuple[int, int]) -> None:
    assert size_before_resizing(settings, samples=samples) == size
    assert hop_of(settings, samples=samples) == (settings.hop or samples // (settings.width - 1))
