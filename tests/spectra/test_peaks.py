"""The signal-to-noise curve is BirdVox's, and its peaks are where the birds are."""

from itertools import islice, pairwise

import librosa
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from config import Clips, Spectrogram
from tests.conftest import RATE, chirp
from utils.spectra.clip_selection import select_windows
from utils.spectra.peaks import _even_blocks, hop_samples, mel_weights, peak_windows, snr_curve, strongest_peaks

SMALL = Spectrogram(rate=RATE, fmin=200, fmax=4000, height=16, width=32)


def noise(seconds: float, *, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.003, int(seconds * rate)).astype(np.float32)


def birdvox_curve(samples: np.ndarray, spectrogram: Spectrogram) -> np.ndarray:
    """Return what BirdVox's detect_activity computes, with librosa."""
    hop = hop_samples(spectrogram.rate)
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=spectrogram.rate,
        n_fft=4 * hop,
        hop_length=hop,
        n_mels=64,
        fmin=spectrogram.fmin,
        fmax=spectrogram.fmax,
    )
    pcen = librosa.pcen(
        power, sr=spectrogram.rate, hop_length=hop, gain=0.8, bias=10, power=0.25, time_constant=0.06, eps=1e-6
    )
    snr = pcen.max(axis=0) - pcen.min(axis=0)
    return scipy.signal.medfilt(librosa.power_to_db(snr / np.median(snr)), kernel_size=15)


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_the_curve_is_birdvoxs(rate: int) -> None:
    spectrogram = Spectrogram(rate=rate, fmin=200, fmax=4000)
    samples = np.concatenate(
        [noise(3, rate=rate), chirp(3000, seconds=2, seed=1, rate=rate), noise(3.3, seed=2, rate=rate)]
    )
    found, expected = snr_curve([samples], spectrogram), birdvox_curve(samples, spectrogram)
    assert found.shape == expected.shape
    # at the ends, medians are taken of silence there
    np.testing.assert_allclose(found[7:-7], expected[7:-7], atol=2e-3)
    assert hop_samples(22_050) == 512


@settings(max_examples=30)
@given(
    st.integers(0, 20_000),
    st.lists(st.integers(0, 20_000), max_size=5),
    st.sampled_from(["silence", "noise", "constant", "clipped"]),
)
def test_blocks_do_not_change_the_curve(samples: int, borders: list[int], kind: str) -> None:
    sound = {"silence": np.zeros(samples), "constant": np.ones(samples)}.get(kind, noise(3)[:samples])
    sound = (np.sign(sound) if kind == "clipped" else sound).astype(np.float32)
    whole = snr_curve([sound], SMALL)
    assert len(whole) == 1 + len(sound) // hop_samples(RATE)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(
        snr_curve(np.split(sound, sorted(border for border in borders if border <= samples)), SMALL), whole
    )


@given(st.lists(st.integers(0, 30), max_size=6), st.integers(1, 20))
def test_all_sums_are_made_of_as_many_frames(lengths: list[int], size: int) -> None:
    sound = np.arange(sum(lengths), dtype=np.float32)
    found = list(_even_blocks(np.split(sound, np.cumsum(lengths)), size))
    np.testing.assert_array_equal(np.concatenate(found), sound)
    assert [len(block) for block in found] == [size] * (len(sound) // size) + [len(sound) % size]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(0, 10))
def test_the_strongest_peaks(heights: list[int], apart: int) -> None:
    curve = np.array(heights, np.float32)
    found = list(strongest_peaks(curve, apart=apart))
    assert found
    assert curve[found[0]] == curve.max()
    assert [(-curve[peak], peak) for peak in found] == sorted((-curve[peak], peak) for peak in found)
    assert all(later - earlier >= max(apart, 1) for earlier, later in pairwise(sorted(found)))
    for peak in found:
        left, right = curve[max(0, peak - 1)], curve[min(len(curve) - 1, peak + 1)]
        assert curve[peak] >= max(left, right)
    for index in range(1, len(curve) - 1):  # no other peak is left
        if curve[index - 1] < curve[index] > curve[index + 1]:
            assert any(abs(index - peak) < max(apart, 1) and curve[peak] >= curve[index] for peak in found)


def test_peaks_by_hand() -> None:
    curve = np.array([0, 3, 0, 5, 0, 4, 0, 0, 2, 2, 2, 0, 1], np.float32)
    assert list(strongest_peaks(curve, apart=1)) == [3, 5, 1, 9, 12]
    assert list(strongest_peaks(curve, apart=3)) == [3, 9, 12]
    assert list(strongest_peaks(np.zeros(9, np.float32), apart=2)) == [4]  # nothing stands out: the middle


def test_windows_lie_inside_and_one_place_has_one() -> None:
    hop = hop_samples(RATE)
    curve = np.zeros(100, np.float32)
    curve[[2, 50, 97]] = 5, 3, 7
    sizes = {"length": 20 * hop, "distance": 20 * hop}
    windows = peak_windows(curve, samples=99 * hop, **sizes, count=0, rate=RATE)
    assert [(window.start // hop, window.strength) for window in windows] == [(0, 5.0), (40, 3.0), (79, 7.0)]
    assert windows[0].peak == 2 * hop / RATE
    (only,) = peak_windows(curve, samples=80 * hop, length=90 * hop, distance=90 * hop, count=0, rate=RATE)
    assert (only.start, only.strength) == (0, 7.0)


def test_close_peaks_have_overlapping_windows_and_one_window_is_one_clip() -> None:
    hop = hop_samples(RATE)
    curve = np.zeros(100, np.float32)
    curve[[2, 5, 50, 53, 97]] = 5, 6, 3, 4, 7
    sizes = {"samples": 99 * hop, "length": 20 * hop, "rate": RATE}

    def found(*, distance: int, count: int) -> list[tuple[int, float]]:
        windows = peak_windows(curve, distance=distance * hop, count=count, **sizes)
        return [(window.start // hop, window.strength) for window in windows]

    assert found(distance=20, count=0) == [(0, 6.0), (43, 4.0), (79, 7.0)]
    assert found(distance=3, count=0) == [(0, 6.0), (40, 3.0), (43, 4.0), (79, 7.0)]
    assert found(distance=0, count=0) == found(distance=3, count=0)
    assert found(distance=4, count=0) == [(0, 6.0), (43, 4.0), (79, 7.0)]
    # the second peak at the start of the recording is no clip, and does not count as one
    assert found(distance=3, count=3) == [(0, 6.0), (43, 4.0), (79, 7.0)]


@given(st.integers(0, 2**32), st.integers(1, 120), st.integers(1, 90), st.integers(0, 6))
def test_peaks_a_clip_apart_are_as_in_earlier_versions(seed: int, frames: int, length: int, count: int) -> None:
    """Keys of stores promise it: with distance = length, merging windows before or after counting is the same."""
    hop = hop_samples(RATE)
    curve = np.random.default_rng(seed).integers(0, 9, frames).astype(np.float32)
    samples, size = frames * hop - seed % hop, length * hop - seed % 7
    peaks = sorted(islice(strongest_peaks(curve, apart=-(-size // hop)), count or None))
    earlier: dict[int, tuple[float, float]] = {}
    for peak in peaks:
        start, strength = max(0, min(peak * hop - size // 2, samples - size)), float(curve[peak])
        earlier[start] = max(
            earlier.get(start, (strength, peak * hop / RATE)), (strength, peak * hop / RATE), key=lambda one: one[0]
        )
    now = peak_windows(curve, samples=samples, length=size, distance=size, count=count, rate=RATE)
    assert [(window.start, (window.strength, window.peak)) for window in now] == list(earlier.items())


@pytest.mark.parametrize(("distance", "least", "most"), [(None, 1, 4), (0.3, 20, 20)])
def test_twenty_seconds_have_twenty_peaks_if_wanted(distance: float | None, least: int, most: int) -> None:
    sound = chirp(2500, seconds=20, seed=4)
    clips = Clips(choose="peaks", count=20, length=5.0, peak_distance=distance)
    found = list(select_windows(lambda: iter(np.split(sound, [77_777])), clips, SMALL, events=None))
    assert least <= len(found) <= most
    starts = [window.start for window, _ in found]
    assert starts == sorted(set(starts))
    peaks = [window.peak for window, _ in found]
    assert min(np.diff(peaks), default=9) >= (5.0 if distance is None else distance)
    for window, samples in found:
        np.testing.assert_array_equal(samples, sound[window.start : window.start + 5 * RATE])


def test_calls_are_found() -> None:
    sound = noise(60)
    for start in (7.0, 23.5, 51.0):
        sound[int(start * RATE) : int((start + 1) * RATE)] += chirp(2500, seconds=1.0, seed=3)
    clips = Clips(choose="peaks", count=3, length=2.0)
    found = list(select_windows(lambda: iter([sound]), clips, SMALL, events=None))
    assert [
        abs(window.start / RATE + 1 - (start + 0.5)) < 0.75
        for (window, _), start in zip(found, (7.0, 23.5, 51.0), strict=True)
    ] == [True] * 3
    for window, samples in found:
        np.testing.assert_array_equal(samples, sound[window.start : window.start + 2 * RATE])
        assert window.strength > 3
    in_blocks = list(select_windows(lambda: iter(np.split(sound, [1, 77_777, 300_000])), clips, SMALL, events=None))
    assert [window for window, _ in in_blocks] == [window for window, _ in found]


def test_bands_between_two_bins_are_left_away() -> None:
    weights = mel_weights(Spectrogram(rate=8000, fmin=500, fmax=600))
    assert 2 <= weights.shape[1] < 64
    assert weights.any(axis=0).all()
    sound = np.sin(2 * np.pi * 550 * np.arange(16_000) / RATE).astype(np.float32)
    assert np.isfinite(snr_curve([sound], Spectrogram(rate=8000, fmin=500, fmax=600))).all()


@pytest.mark.parametrize(("distance", "most"), [(1e308, 1), (1e20, 1), (0.0, 20)])
def test_any_distance_can_be_asked_for(distance: float, most: int) -> None:
    """A distance of 0 takes every peak, once each; one that no recording has takes the strongest alone."""
    sound = np.concatenate([chirp(1000.0, seconds=1.0, seed=seed) for seed in range(6)]).astype(np.float32)
    clips = Clips(choose="peaks", count=20, length=1.0, peak_distance=distance)
    settings_used = Spectrogram(rate=RATE, fmin=500.0, fmax=3800.0)
    found = [window for window, _ in select_windows(lambda: iter([sound]), clips, settings_used, events=None)]
    strengths = [window.strength for window in found]
    assert 1 <= len({window.start for window in found}) == len(found) <= most
    assert (len(found) > 6) == (distance == 0.0)
    assert all(strength is not None for strength in strengths)
