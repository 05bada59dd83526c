"""Preprocessing of samples before the spectrogram."""

import numpy as np
import pytest
import scipy.signal

from config import Spectrogram
from tests.conftest import chirp
from utils.spectra.waveform import noise_gate, preprocess

RATE = 8000


def level(samples: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2))))


def tone(frequency: float, *, samples: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(samples) / RATE).astype(np.float32)


def settings(**steps: object) -> Spectrogram:
    return Spectrogram(rate=RATE, fmin=200, fmax=4000, **steps)


def test_nothing_is_done_unasked() -> None:
    samples = chirp(1000, seconds=1, seed=0)
    assert preprocess(samples, settings()) is samples


@pytest.mark.parametrize("frequency", [50, 300, 1200])
def test_high_pass_is_a_butterworth_filter_of_no_delay(frequency: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 2 * RATE + 1).astype(np.float32)
    sections = scipy.signal.butter(2, frequency, btype="highpass", fs=RATE, output="sos")
    away = RATE // 2  # from the ends, which SciPy continues in another way
    expected = scipy.signal.sosfiltfilt(sections, samples)[away:-away]
    np.testing.assert_allclose(preprocess(samples, settings(high_pass=frequency))[away:-away], expected, atol=2e-6)


def test_high_pass_takes_out_hum_and_offset_to_the_ends() -> None:
    found = preprocess(0.3 + tone(50), settings(high_pass=400))
    assert np.abs(found[100:-100]).max() < 0.002
    assert np.abs(found).max() < 0.05
    assert level(preprocess(tone(2000), settings(high_pass=400))) == pytest.approx(level(tone(2000)), abs=0.1)


def test_noise_reduction_leaves_calls() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, 2 * RATE).astype(np.float32)
    call = 0.3 * tone(1500, samples=2 * RATE) * (np.arange(2 * RATE) // 2000 == 3)
    found = preprocess((call + noise).astype(np.float32), settings(noise_reduction=1.0))
    assert level(noise[10_000:]) - level(found[10_000:]) > 28
    # a tone is narrower than the gate is smoothed; noisereduce takes as much
    assert 0 < level(call[6200:7800]) - level(found[6200:7800]) < 12
    half = preprocess((call + noise).astype(np.float32), settings(noise_reduction=0.5))
    np.testing.assert_allclose(half, (found + call + noise) / 2, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 50, 777, 8001])
def test_an_open_gate_changes_nothing(samples: int) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    np.testing.assert_allclose(preprocess(sound, settings(noise_reduction=1e-9)), sound, atol=1e-6)


def test_the_gate_is_smoothed_over_250_hz_and_50_ms() -> None:
    gate = noise_gate(Spectrogram(), samples=44_100)
    assert (len(gate.window), gate.hop) == (1024, 256)
    assert [len(weights) for weights in gate.blur] == [2 * 5 + 1, 2 * 8 + 1]
    assert [float(weights.sum()) for weights in gate.blur] == pytest.approx([1, 1])


def test_loudness() -> None:
    samples = 0.01 * chirp(1000, seconds=1, seed=0)
    assert np.abs(preprocess(samples, settings(normalize="peak"))).max() == pytest.approx(1)
    assert level(preprocess(samples, settings(normalize="rms"))) == pytest.approx(-20, abs=0.01)
    for normalize in ("peak", "rms"):
        assert not preprocess(np.zeros(100, np.float32), settings(normalize=normalize)).any()


def test_steps_follow_each_other() -> None:
    samples = 0.3 * tone(50) + 0.01 * chirp(1000, seconds=1, seed=0)
    found = preprocess(samples, settings(high_pass=300, normalize="peak"))
    np.testing.assert_array_equal(
        found, preprocess(preprocess(samples, settings(high_pass=300)), settings(normalize="peak"))
    )
