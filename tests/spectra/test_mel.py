"""Mel filters and windows equal those of librosa and SciPy, bit by bit, and are there without their imports."""

import subprocess
import sys
import warnings

import librosa
import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from config import Spectrogram
from utils.spectra.frequency_axis import frequency_at, height_of
from utils.spectra.mel import hertz_to_mel, mel_filters, mel_frequencies, mel_to_hertz
from utils.spectra.windows import hamming, hann


@given(
    rate=st.sampled_from([8000, 22_050, 44_100, 384_000]),
    n_fft=st.integers(2, 1500),
    bands=st.integers(1, 150),
    low=st.floats(0, 0.9),
    share=st.floats(0.05, 1),
)
def test_the_filters_are_librosas(rate: int, n_fft: int, bands: int, low: float, share: float) -> None:
    fmin = low * rate / 2
    fmax = fmin + share * (rate / 2 - fmin)
    with warnings.catch_warnings(action="ignore"):
        expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands, fmin=fmin, fmax=fmax)
    np.testing.assert_array_equal(mel_filters(rate=rate, n_fft=n_fft, bands=bands, fmin=fmin, fmax=fmax), expected)


@given(st.floats(0, 200_000))
def test_the_mel_scale_is_librosas(frequency: float) -> None:
    assert hertz_to_mel(frequency) == librosa.hz_to_mel(frequency)


def test_frequencies_divide_the_mel_scale_evenly() -> None:
    frequencies = mel_frequencies(5, fmin=0.0, fmax=1000.0)  # linear up to 1,000 Hz
    np.testing.assert_allclose(frequencies, [0, 250, 500, 750, 1000])


@pytest.mark.parametrize("length", [2, 16, 255, 1024])
def test_windows_are_scipys(length: int) -> None:
    np.testing.assert_array_equal(hann(length), scipy.signal.get_window("hann", length).astype(np.float32))
    np.testing.assert_array_equal(hamming(length), scipy.signal.get_window("hamming", length).astype(np.float32))


def test_spectrograms_wait_for_no_slow_import() -> None:
    """Every worker process would wait for it."""
    code = (
        "import sys, numpy as np; from config import Spectrogram;"
        "from utils.spectra.spectrogram import make_spectrogram;"
        "make_spectrogram(np.zeros(30000, np.float32), Spectrogram(rate=22050, fmax=11000));"
        "print({'librosa', 'scipy.signal', 'numba', 'jax', 'matplotlib'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("mel", [-1.0, 0.0, 3.0, 15.0, 15.001, 40.0])
def test_mels_become_the_frequencies_they_came_from(mel: float) -> None:
    assert hertz_to_mel(mel_to_hertz(mel)) == pytest.approx(mel)


@pytest.mark.parametrize("kind", ["mel", "linear", "pcen"])
def test_heights_and_frequencies_are_inverse(kind: str) -> None:
    settings = Spectrogram(kind=kind, rate=16_000, fmin=500.0, fmax=7000.0, height=64)
    for height in (0.0, 0.3, 1.0):
        assert height_of(frequency_at(height, settings), settings) == pytest.approx(height)
    assert frequency_at(-50.0, settings) == 0.0
