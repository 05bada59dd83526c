"""The spectrogram is that of the 2018 baseline."""

from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config import Clips, Spectrogram
from tests.conftest import chirp
from utils.spectra.clips import clip_samples, cut_grid
from utils.spectra.decode import decode
from utils.spectra.signal_score import medians, signal_score
from utils.spectra.spectrogram import make_spectrogram, mel_levels, scored_spectrogram, to_pixels


def test_golden_spectrograms_and_scores(golden: Path, birds: Path) -> None:
    expected = np.load(golden / "mel.npz")
    spectrogram = Spectrogram()
    length, step, min_length = clip_samples(Clips(), rate=spectrogram.rate)
    blocks = decode(birds / "Acadian Flycatcher.wav", rate=spectrogram.rate, block=3.3)
    clips = {
        first + index: clip
        for first, batch in cut_grid(blocks, length=length, step=step, min_length=min_length)
        for index, clip in enumerate(batch)
    }
    for index, mel, score in zip(expected["clip"], expected["mel"], expected["signal_score"], strict=True):
        found = make_spectrogram(clips[int(index)], spectrogram)
        assert np.abs(found - mel).max() < 0.02
        assert np.abs(found - mel).mean() < 0.0015
        assert abs(signal_score(found) - score) < 1e-4


def librosa_spectrogram(samples: np.ndarray, spectrogram: Spectrogram) -> np.ndarray:
    hop = spectrogram.hop or len(samples) // (spectrogram.width - 1)
    if spectrogram.kind == "linear":
        n_fft = spectrogram.n_fft or 390
        frequencies = librosa.fft_frequencies(sr=spectrogram.rate, n_fft=n_fft)
        bins = np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop, window="hamming"))[
            (frequencies >= spectrogram.fmin) & (frequencies <= spectrogram.fmax)
        ]
        levels = librosa.amplitude_to_db(bins, ref=np.max)
    else:
        emphasized = np.append(samples[0], samples[1:] - np.float32(spectrogram.pre_emphasis) * samples[:-1])
        shape = {"n_fft": spectrogram.n_fft or 8 * spectrogram.height, "hop_length": hop, "n_mels": spectrogram.height}
        mel = librosa.feature.melspectrogram(
            y=emphasized, sr=spectrogram.rate, **shape, fmin=spectrogram.fmin, fmax=spectrogram.fmax, power=1
        )
        levels = (
            librosa.pcen(mel * 2**31, sr=spectrogram.rate, hop_length=hop)
            if spectrogram.kind == "pcen"
            else librosa.amplitude_to_db(mel, ref=np.max)
        )
    levels = levels[::-1, : spectrogram.width]
    return (levels - levels.min()) / (levels.max() - levels.min())


def sweep(rate: int) -> np.ndarray:
    time = np.arange(rate) / rate
    noise = 0.01 * np.random.default_rng(1).normal(size=rate)
    return (np.sin(2 * np.pi * (1000 + 2000 * time) * time) * (time > 0.4) + noise).astype(np.float32)


@pytest.mark.parametrize(
    "spectrogram",
    [
        Spectrogram(),
        Spectrogram(height=32, width=100, fmin=100, fmax=8000, pre_emphasis=0),
        Spectrogram(rate=22_050, fmin=0, fmax=11_025, height=64),
        Spectrogram(height=40, width=138, n_fft=2048, hop=320),
        Spectrogram(kind="linear"),
        Spectrogram(kind="linear", rate=32_000, fmin=0.0, fmax=16_000.0, height=257, n_fft=512, width=101, hop=320),
        Spectrogram(kind="pcen"),
        Spectrogram(
            kind="pcen", rate=22_050, height=40, width=44, fmin=0, fmax=11_025, n_fft=2048, hop=512, pre_emphasis=0
        ),
    ],
    ids=[
        "default",
        "small",
        "whole band",
        "n_fft and hop",
        "linear",
        "linear, whole band",
        "pcen",
        "pcen of librosa's own defaults",
    ],
)
def test_the_formula_is_librosas(spectrogram: Spectrogram) -> None:
    samples = sweep(spectrogram.rate)
    expected = librosa_spectrogram(samples, spectrogram)
    assert expected.shape == (spectrogram.height, spectrogram.width)
    np.testing.assert_allclose(make_spectrogram(samples, spectrogram), expected, atol=2e-3)
    assert (to_pixels(make_spectrogram(samples, spectrogram)) != to_pixels(expected)).mean() < 0.001


def test_a_tone_is_a_line_at_its_height() -> None:
    spectrogram = Spectrogram(pre_emphasis=0)
    samples = np.sin(2 * np.pi * 4000 * np.arange(44_100) / 44_100).astype(np.float32)
    row = int(make_spectrogram(samples, spectrogram)[:, 50:200].mean(axis=1).argmax())
    bands = librosa.mel_frequencies(n_mels=130, fmin=500, fmax=15_000)[1:-1]
    assert abs(bands[::-1][row] - 4000) < 150
    # low frequencies are at the bottom: 4 kHz is below the middle of a linear scale, in the middle of mel
    assert row > 32


@pytest.mark.parametrize("frequency", [600, 7750, 14_900])
def test_a_linear_spectrogram_has_the_true_band(frequency: int) -> None:
    """The 2018 baseline's had half of it."""
    samples = np.sin(2 * np.pi * frequency * np.arange(44_100) / 44_100).astype(np.float32)
    row = int(make_spectrogram(samples, Spectrogram(kind="linear"))[:, 50:200].mean(axis=1).argmax())
    assert abs(15_000 - row * 14_500 / 127 - frequency) < 14_500 / 127


def test_pcen_evens_out_what_stays() -> None:
    time = np.arange(44_100) / 44_100
    hum, call = np.sin(2 * np.pi * 1500 * time), 0.1 * np.sin(2 * np.pi * 6000 * time) * (time > 0.5) * (time < 0.6)
    samples = (hum + call).astype(np.float32)
    mel, evened = make_spectrogram(samples, Spectrogram()), make_spectrogram(samples, Spectrogram(kind="pcen"))
    during_call, steady = np.s_[:, 130:150], np.s_[:, 170:250]
    assert mel[steady].max() > 0.9 * mel[during_call].max()
    assert evened[steady].max() < 0.7 * evened[during_call].max()


def test_the_mean_spectrum_is_of_mel_bands_whatever_the_spectrogram() -> None:
    samples = sweep(44_100)
    levels = mel_levels(samples, Spectrogram())
    assert levels.shape == (128,)
    np.testing.assert_array_equal(mel_levels(samples, Spectrogram(kind="linear", n_fft=390)), levels)
    np.testing.assert_array_equal(mel_levels(samples, Spectrogram(kind="pcen")), levels)
    np.testing.assert_array_equal(mel_levels(samples, Spectrogram(kind="reassigned")), levels)
    band = int(np.abs(librosa.mel_frequencies(n_mels=130, fmin=500, fmax=15_000)[1:-1] - 4500).argmin())
    assert levels[band] - levels[:20].mean() > 20  # the sweep goes through it, and not below 1.8 kHz


def test_chance_is_an_argument() -> None:
    settings = Spectrogram(hop=60, resize="crop_random")
    one, same, other = (make_spectrogram(sweep(44_100), settings, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


SMALL = Spectrogram(rate=8000, fmin=200.0, fmax=4000.0, height=16, width=32)
ANY = st.builds(
    Spectrogram,
    rate=st.just(8000),
    fmin=st.just(200.0),
    fmax=st.just(4000.0),
    height=st.just(16),
    width=st.just(32),
    kind=st.sampled_from(["mel", "linear", "pcen", "reassigned"]),
    n_fft=st.sampled_from([0, 64, 300]),
    hop=st.sampled_from([0, 7, 31]),
    resize=st.sampled_from(["squeeze", "crop", "crop_random", "fill"]),
    high_pass=st.sampled_from([0.0, 1.0, 150.0, 3000.0]),
    noise_reduction=st.sampled_from([0.0, 0.5, 1.0]),
    normalize=st.sampled_from(["none", "peak", "rms"]),
)


@settings(max_examples=60, deadline=None)
@given(
    ANY,
    st.integers(31, 9000),
    st.integers(0, 100),
    st.sampled_from([0.0, 1e-7, 0.1, 1.0, 1e4]),
    st.sampled_from([0.0, 0.5]),
)
@example(SMALL, 31, 0, 0.0, 0.0)
def test_any_clip_gives_a_spectrogram(
    spectrogram_settings: Spectrogram, samples: int, seed: int, loudness: float, offset: float
) -> None:
    sound = (offset + loudness * np.random.default_rng(seed).uniform(-1, 1, samples)).astype(np.float32)
    spectrogram = make_spectrogram(sound, spectrogram_settings)
    assert spectrogram.shape == (16, 32)
    assert spectrogram.dtype == np.float32
    assert np.isfinite(spectrogram).all()
    assert spectrogram.min() >= 0
    assert spectrogram.max() <= 1
    assert 0 <= signal_score(spectrogram) <= 1


@pytest.mark.parametrize("kind", ["mel", "linear", "pcen", "reassigned"])
def test_silence_is_black_and_scores_nothing(kind: str) -> None:
    spectrogram = make_spectrogram(
        np.zeros(8000, np.float32), replace(SMALL, kind=kind, high_pass=300.0, noise_reduction=1.0, normalize="rms")
    )
    assert not spectrogram.any()
    assert signal_score(spectrogram) == 0


@pytest.mark.parametrize("kind", ["mel", "linear", "pcen", "reassigned"])
def test_a_click_is_a_column(kind: str) -> None:
    samples = np.zeros(62 * 31, np.float32)
    samples[62 * 16] = 1
    spectrogram = make_spectrogram(samples, replace(SMALL, kind=kind))
    assert spectrogram.max() == 1
    assert spectrogram.mean(axis=0).argmax() == 16
    assert not spectrogram[:, [*range(14), *range(19, 32)]].any()


def test_signal_score_by_hand() -> None:
    spectrogram = np.full((20, 30), 0.5, np.float32)
    assert signal_score(spectrogram) == 0  # nothing stands out
    spectrogram[5:9, 10:15] = 1.0
    assert signal_score(spectrogram) == pytest.approx((4 * 5 - 4) / 600)  # a patch, whose corners the median rounds off
    spectrogram[:] = 0.5
    spectrogram[5, :] = 1.0
    assert signal_score(spectrogram) == 0  # a steady tone
    spectrogram[:] = 0.5
    spectrogram[10, 20] = 1.0
    assert signal_score(spectrogram) == 0  # a single pixel


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (128, 256), (5, 2)])
def test_medians_are_numpys(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(3).random(shape, dtype=np.float32)
    np.testing.assert_array_equal(medians(rows), np.median(rows, axis=1))


def test_pixels_are_rounded() -> None:
    assert to_pixels(np.array([0, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.0], np.float32)).tolist() == [
        0,
        0,
        1,
        255,
        255,
    ]


def sine(frequency: float, *, level: float = 0.0, rate: int = 8000) -> np.ndarray:
    """Make a sine with its level in decibels relative to full scale."""
    return (10 ** (level / 20) * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)).astype(np.float32)


FIXED = Spectrogram(
    rate=8000,
    fmin=300.0,
    fmax=3800.0,
    height=16,
    width=64,
    n_fft=256,
    pre_emphasis=0,
    scale="fixed",
    range_db=(-60.0, 0.0),
)


@pytest.mark.parametrize(("kind", "height"), [("mel", 16), ("mel", 40), ("linear", 112)])
def test_full_scale_is_a_sine_in_the_band_that_shows_it_best(kind: str, height: int) -> None:
    settings = replace(FIXED, kind=kind, height=height)
    sines = [sine(index * 8000 / 256, level=-6) for index in range(10, 121)]  # in the middle of a bin each
    loudest = [make_spectrogram(samples, settings)[:, 10:50].max() for samples in sines]
    assert max(loudest) == pytest.approx(1 - 6 / 60, abs=0.002)  # in no band more than its own level
    if kind == "linear":
        assert min(loudest) == pytest.approx(1 - 6 / 60, abs=0.002)  # and with equal bins in all


def test_full_scale_of_reassigned_spectrograms_is_a_sine_in_the_middle_of_a_narrow_band() -> None:
    settings = replace(FIXED, kind="reassigned", height=24)
    middles = librosa.mel_frequencies(n_mels=26, fmin=300, fmax=3800)[1:-1]
    loudest = [make_spectrogram(sine(middle, level=-6), settings)[:, 10:50].max() for middle in middles]
    assert max(loudest) == pytest.approx(1 - 6 / 60, abs=0.003)
    wide = (middles[-1] - middles[-2]) / (middles[1] - middles[0])  # 3 dB for each doubling of a band's width
    assert loudest[-1] == pytest.approx(1 - (6 + 10 * np.log10(wide)) / 60, abs=0.01)


@pytest.mark.parametrize("kind", ["mel", "linear", "reassigned"])
@pytest.mark.parametrize("resize", [{}, {"hop": 50}, {"hop": 50, "resize": "crop"}])
def test_with_a_fixed_range_a_quieter_clip_is_darker(kind: str, resize: dict[str, object]) -> None:
    settings = replace(FIXED, kind=kind, n_fft=0 if kind == "linear" else 256, range_db=(-90.0, 0.0), **resize)
    samples = sweep(8000)
    loud, quiet = make_spectrogram(samples, settings), make_spectrogram(samples / 10, settings)
    between = (quiet > 0.02) & (loud < 0.98)
    assert between.mean() > 0.1
    if not resize:
        np.testing.assert_allclose((loud - quiet)[between], 20 / 90, atol=1e-4)
    assert quiet.mean() < loud.mean() - 0.02
    stretched = [make_spectrogram(clip, replace(settings, scale="clip")) for clip in (samples, samples / 10)]
    assert abs(stretched[0].mean() - stretched[1].mean()) < 0.05
    assert not make_spectrogram(np.zeros(8000, np.float32), settings).any()


@pytest.mark.parametrize("resize", [{}, {"hop": 50}, {"hop": 50, "resize": "crop_random"}])
def test_the_signal_score_is_the_same_for_both_scales(resize: dict[str, object]) -> None:
    samples, settings = chirp(2000, seconds=1, seed=1), replace(FIXED, range_db=(-110.0, -20.0), **resize)
    fixed, score = scored_spectrogram(samples, settings, seed=3)
    stretched, same = scored_spectrogram(samples, replace(settings, scale="clip"), seed=3)
    assert score == same == signal_score(stretched) > 0
    np.testing.assert_array_equal(fixed, make_spectrogram(samples, settings, seed=3))
    np.testing.assert_array_equal(stretched, make_spectrogram(samples, replace(settings, scale="clip"), seed=3))
    assert signal_score(fixed) != score
