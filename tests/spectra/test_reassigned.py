"""Reassigned spectrograms have librosa's places, and all the energy, more narrowly than mel spectrograms."""

from dataclasses import replace

import librosa
import numpy as np
import pytest

from config import Spectrogram
from utils.spectra import fourier
from utils.spectra.bands import unit_area_heights
from utils.spectra.reassigned import Cells, positions_of, reassigned_amplitudes, reassigned_cells, windows_of
from utils.spectra.spectrogram import amplitudes, decibels

RATE, N_FFT, HOP = 8000, 256, 31
SETTINGS = Spectrogram(
    kind="reassigned",
    rate=RATE,
    fmin=300.0,
    fmax=3800.0,
    height=32,
    width=64,
    n_fft=N_FFT,
    hop=HOP,
    pre_emphasis=0,
)
TIME = np.arange(RATE) / RATE
SOUNDS = {
    "noise": np.random.default_rng(0).normal(0, 0.1, RATE),
    "tone": np.sin(2 * np.pi * 1234 * TIME),
    "chirp": np.sin(2 * np.pi * (500 * TIME + 1250 * TIME**2)),
}


def frames_of(samples: np.ndarray, *, n_fft: int = N_FFT, hop: int = HOP) -> np.ndarray:
    padded = np.pad(samples.astype(np.float32), n_fft // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]


def librosa_cells(samples: np.ndarray) -> Cells:
    frequencies, times, magnitudes = librosa.reassigned_spectrogram(
        samples, sr=RATE, n_fft=N_FFT, hop_length=HOP, ref_power=0, clip=False, pad_mode="constant"
    )
    delays = times * RATE - 0.5 - HOP * np.arange(times.shape[1])  # librosa's times are half a sample late
    return Cells(magnitudes.T**2, delays.T, frequencies.T)


def summed(cells: Cells, settings: Spectrogram) -> np.ndarray:
    """Sum power into (bands, frames), each cell by its distance from the middle of band and frame."""
    low, high = librosa.hz_to_mel(settings.fmin), librosa.hz_to_mel(settings.fmax)
    positions = (librosa.hz_to_mel(cells.frequencies) - low) / (high - low) * (settings.height + 1) - 1
    times = cells.delays / HOP + np.arange(len(cells.power))[:, None]
    grid = np.zeros((settings.height, len(times)))
    for band in range(settings.height):
        part = cells.power * np.maximum(0, 1 - np.abs(positions - band))
        for frame in range(len(times)):
            grid[band, frame] = (part * np.maximum(0, 1 - np.abs(times - frame))).sum()
    return grid


@pytest.mark.filterwarnings("ignore:'where' used without 'out'")
@pytest.mark.parametrize("sound", SOUNDS)
def test_cells_and_their_sums_are_librosas(sound: str) -> None:
    samples = SOUNDS[sound][1000:3500]
    expected, found = librosa_cells(samples), reassigned_cells(frames_of(samples), rate=RATE)
    loud = expected.power > 1e-7 * expected.power.max()
    assert loud.mean() > 0.15
    np.testing.assert_allclose(found.power, expected.power, atol=1e-6 * expected.power.max())
    # librosa's derivative of the window is a difference of its samples
    assert np.abs(found.frequencies - expected.frequencies)[loud].max() < 0.01 * RATE / N_FFT
    assert np.abs(found.delays - expected.delays)[loud].max() < 1
    grid = summed(expected, SETTINGS) * unit_area_heights(SETTINGS)[:, None] * N_FFT / RATE
    levels, wanted = decibels(amplitudes(samples.astype(np.float32), SETTINGS)), decibels(np.sqrt(grid))
    visible = wanted > wanted.max() - 80
    assert np.abs(levels - wanted)[visible].max() < 0.1


def test_places_by_hand() -> None:
    late, tone = np.zeros(N_FFT), np.sin(2 * np.pi * 1010 * np.arange(N_FFT) / RATE)
    late[N_FFT // 2 + 20] = 1  # the frame is a click 20 samples after its middle
    cells = reassigned_cells(np.stack([late, tone]).astype(np.float32), rate=RATE)
    np.testing.assert_allclose(cells.delays[0], 20, atol=1e-3)
    np.testing.assert_allclose(cells.frequencies[1, 30:36], 1010, atol=0.5)  # bins 30 to 35, of 31.25 Hz
    np.testing.assert_allclose(cells.power.sum(axis=1)[1], N_FFT * (windows_of(N_FFT)[0] ** 2).sum() / 4, rtol=1e-3)


def test_positions_are_those_of_mel_bands() -> None:
    settings = Spectrogram(height=40, fmin=200.0, fmax=16_000.0)
    middles = librosa.mel_frequencies(n_mels=42, fmin=200, fmax=16_000)
    np.testing.assert_allclose(positions_of(middles.astype(np.float32), settings), np.arange(42) - 1, atol=1e-4)


def test_the_grid_has_the_energy_of_the_cells() -> None:
    noise = SOUNDS["noise"]
    cells = reassigned_cells(frames_of(noise), rate=RATE)
    levels = amplitudes(noise.astype(np.float32), SETTINGS) ** 2 / (unit_area_heights(SETTINGS)[:, None] * N_FFT / RATE)
    positions = positions_of(cells.frequencies, SETTINGS)
    times = cells.delays / HOP + np.arange(len(cells.power))[:, None]
    margin = np.minimum(positions, SETTINGS.height - 1 - positions)
    early = np.minimum(times, len(times) - 1 - times)
    inside = cells.power * np.clip(1 + margin, 0, 1) * np.clip(1 + early, 0, 1)  # fading beyond the outer bands
    assert levels.sum() == pytest.approx(inside.sum(), rel=1e-4)
    assert inside.sum() == pytest.approx(cells.power[(margin > 0) & (early > 0)].sum(), rel=0.05)
    assert inside.sum() < 0.95 * cells.power.sum()  # some is below fmin and above fmax


@pytest.mark.parametrize("frequency", [400.0, 777.0, 1234.0, 3210.0])
def test_a_tone_is_in_two_bands_and_a_click_in_two_frames(frequency: float) -> None:
    tone = amplitudes(np.sin(2 * np.pi * frequency * TIME).astype(np.float32), SETTINGS)[:, 20:-20] ** 2
    spectrum = np.sort(tone.mean(axis=1))
    assert spectrum[:-2].sum() < 1e-4 * spectrum.sum()
    middle = positions_of(np.array([frequency], np.float32), SETTINGS)[0]
    assert abs(tone.mean(axis=1).argmax() - middle) < 0.7
    click = np.zeros(RATE, np.float32)
    click[int(frequency)] = 1
    shape = amplitudes(click, SETTINGS).mean(axis=0) ** 2
    shape /= shape.sum()
    first, late = divmod(int(frequency), HOP)
    np.testing.assert_allclose(shape[first : first + 2], [1 - late / HOP, late / HOP], atol=0.02)


@pytest.mark.parametrize("n_fft", [0, 128, 512])
def test_a_chirp_is_narrower_than_in_kind_mel(n_fft: int) -> None:
    settings, chirp = replace(SETTINGS, height=64, n_fft=n_fft), SOUNDS["chirp"].astype(np.float32)
    line = positions_of((500 + 2500 * HOP * np.arange(1 + RATE // HOP) / RATE).astype(np.float32), settings)
    shares = {}
    for kind in ("mel", "reassigned"):
        power = amplitudes(chirp, replace(settings, kind=kind)) ** 2
        near = np.abs(np.arange(64)[:, None] - line) < 1
        shares[kind] = (power * near)[:, 20:-20].sum() / power[:, 20:-20].sum()
    assert shares["reassigned"] > 0.99
    assert shares["mel"] < 0.9


def test_noise_is_as_loud_as_in_kind_mel() -> None:
    settings = replace(SETTINGS, height=20, hop=64)
    noise = np.random.default_rng(2).normal(0, 0.1, 20 * RATE).astype(np.float32)
    kinds = [amplitudes(noise, replace(settings, kind=kind)) for kind in ("mel", "reassigned")]
    mel, reassigned = (10 * np.log10((kind[:, 5:-5] ** 2).mean(axis=1)) for kind in kinds)
    assert np.abs(reassigned - reassigned.mean()).max() < 1  # white: the same in all bands
    assert np.abs(reassigned - mel).max() < 2


def test_beyond_the_band_is_nothing() -> None:
    for frequency in (200.0, 3950.0):
        outside = np.sin(2 * np.pi * frequency * TIME).astype(np.float32)
        inside = np.sin(2 * np.pi * 1000 * TIME).astype(np.float32)
        loudest = amplitudes(inside, SETTINGS).max()
        assert amplitudes(outside, SETTINGS)[:, 10:-10].max() < 2e-3 * loudest  # but where the sound begins and ends


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = frames_of(SOUNDS["noise"])
    whole = reassigned_amplitudes(frames, SETTINGS, hop=HOP)
    assert whole.dtype == np.float32
    assert whole.shape == (32, len(frames))
    monkeypatch.setattr(fourier, "SAMPLES_AT_ONCE", 7 * 2 * N_FFT)
    np.testing.assert_allclose(reassigned_amplitudes(frames, SETTINGS, hop=HOP), whole, rtol=1e-3, atol=1e-6)
