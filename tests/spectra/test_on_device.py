"""Spectrograms and scores from the device are those from the CPU; both run on the CPU here."""

from dataclasses import replace
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import soundfile

import sort_data
import spec
from config import Config, Spectrogram
from tests.conftest import RATE, chirp, small_config
from utils.console import UserError
from utils.spectra.clips import cut_grid
from utils.spectra.decode import decode
from utils.spectra.engines import engine_of
from utils.spectra.on_device import (
    amplitudes_on_device,
    compute_spectrograms,
    cubic_weights,
    make_spectrograms,
    raise_pitch,
    reason_against_device,
    signal_scores,
    squeeze_on_device,
)
from utils.spectra.on_device_waveform import blur_on_device
from utils.spectra.signal_score import signal_score
from utils.spectra.spectrogram import scored_spectrogram, to_pixels
from utils.spectra.store import Store

# a click, an offset, a swell: of silence these steps show the rounding of Fourier transforms, of which every library
# has its own
NEAR_SILENT = [5, 6, 8]
THRESHOLD, NEAR = 0.001, 1e-4  # of the signal rule; scores so near to it may go either way


def both(clips: np.ndarray, settings: Spectrogram) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return spectrograms and scores of the device, and of the CPU."""
    spectrograms, scores = make_spectrograms(jnp.asarray(clips), settings)
    on_cpu = [scored_spectrogram(clip, settings) for clip in clips]
    return (
        np.asarray(spectrograms),
        np.asarray(scores),
        np.stack([to_pixels(spectrogram) for spectrogram, _ in on_cpu]),
        np.array([score for _, score in on_cpu]),
    )


def check(clips: np.ndarray, settings: Spectrogram) -> None:
    spectrograms, scores, expected, expected_scores = both(clips, settings)
    assert spectrograms.dtype == np.uint8
    assert spectrograms.shape == (len(clips), settings.height, settings.width)
    far = np.abs(spectrograms.astype(int) - expected) > 1
    assert far.mean() <= 0.001
    assert np.abs(scores - expected_scores).max() < 0.003
    decided = np.abs(expected_scores - THRESHOLD) > NEAR
    np.testing.assert_array_equal((scores >= THRESHOLD)[decided], (expected_scores >= THRESHOLD)[decided])


def made_up(samples: int) -> np.ndarray:
    """Make calls, noise, silence, a click, an offset, a square wave and full scale."""
    rng = np.random.default_rng(0)
    clips = [chirp(pitch, seconds=samples / RATE + 0.01, seed=0)[:samples] for pitch in (700, 1800, 3100)]
    clips += [
        rng.normal(0, 0.1, samples),
        np.zeros(samples),
        np.eye(1, samples, samples // 2)[0],
        np.full(samples, 0.5),
    ]
    clips += [np.sign(np.sin(np.arange(samples) / 5)), rng.uniform(-1, 1, samples) * np.linspace(0, 1, samples) ** 4]
    return np.stack(clips).astype(np.float32)


@pytest.mark.parametrize(
    "steps",
    [
        {},
        {"kind": "linear"},
        {"kind": "pcen"},
        {"kind": "reassigned"},
        {"n_fft": 128, "hop": 100},
        {"kind": "linear", "n_fft": 512, "hop": 150, "resize": "crop"},
        {"hop": 60, "resize": "crop"},
        {"high_pass": 600.0, "normalize": "rms", "pre_emphasis": 0.0},
        {"noise_reduction": 0.8, "normalize": "peak"},
        {"kind": "pcen", "high_pass": 600.0, "normalize": "rms"},
        {"scale": "fixed"},
        {"kind": "linear", "scale": "fixed", "normalize": "rms"},
        {"scale": "fixed", "range_db": (-70.0, -30.0), "hop": 60, "n_fft": 128},
        {"kind": "reassigned", "scale": "fixed", "hop": 60, "n_fft": 128, "resize": "crop"},
        {"kind": "reassigned", "high_pass": 600.0, "noise_reduction": 0.8, "normalize": "rms", "pre_emphasis": 0.0},
    ],
    ids=lambda steps: " ".join(map(str, steps.values())) or "default",
)
def test_engines_agree_on_made_up_clips(steps: dict[str, object]) -> None:
    clips = made_up(RATE)
    if steps.get("kind") == "pcen" or steps.get("high_pass"):
        clips = np.delete(clips, NEAR_SILENT, axis=0)
    check(clips, Spectrogram(**{"rate": RATE, "fmin": 300.0, "fmax": 3800.0, "height": 32, "width": 64} | steps))


@pytest.mark.parametrize("kind", ["mel", "reassigned"])
@pytest.mark.parametrize("samples", [15, 16, 777, 8001])
def test_engines_agree_on_any_length(samples: int, kind: str) -> None:
    settings = Spectrogram(rate=RATE, fmin=300.0, fmax=3800.0, height=8, width=16, high_pass=100.0)
    check(made_up(samples), replace(settings, kind=kind))


def test_engines_agree_on_real_recordings(birds: Path) -> None:
    recordings = [
        birds / "Acadian Flycatcher.wav",
        *sorted((birds / "train").rglob("*.ogg"))[::100],
        *sorted((birds / "noise").rglob("*.*"))[::90],
    ]
    clips = [
        batch[::7]
        for path in recordings
        for _, batch in cut_grid(decode(path, rate=44_100), length=44_100, step=33_075, min_length=44_100)
    ]
    check(np.concatenate(clips)[:48], Spectrogram())
    check(np.concatenate(clips)[:48], Spectrogram(scale="fixed"))
    check(np.concatenate(clips)[:24], Spectrogram(kind="reassigned"))


@pytest.mark.parametrize("share", [0.2, 0.4, 0.7])
def test_scores_are_those_of_opencv_to_the_border(share: float) -> None:
    rng = np.random.default_rng(0)
    spectrograms = (rng.random((40, 17, 24)) * (rng.random((40, 17, 24)) < share)).astype(np.float32)
    found = np.asarray(signal_scores(jnp.asarray(spectrograms)))
    np.testing.assert_allclose(found, [signal_score(spectrogram) for spectrogram in spectrograms], atol=1e-7)
    assert found.max() > 0.02


@pytest.mark.parametrize(("height", "width"), [(20, 31), (41, 17), (7, 90), (10, 10)])
def test_squeeze_is_opencvs(height: int, width: int) -> None:
    spectrogram = np.random.default_rng(0).random((20, 30), dtype=np.float32)
    expected = np.clip(cv2.resize(spectrogram, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    np.testing.assert_allclose(
        np.asarray(squeeze_on_device(jnp.asarray(spectrogram[None]), height=height, width=width))[0],
        expected,
        atol=1e-5,
    )
    np.testing.assert_allclose(cubic_weights(20, height).sum(axis=1), 1, atol=1e-6)


def test_blur_is_opencvs() -> None:
    pixels = np.random.default_rng(0).random((30, 20), dtype=np.float32)
    across, down = np.array([0.1, 0.5, 0.4], np.float32), np.array([0.2, 0.1, 0.3, 0.3, 0.1], np.float32)
    expected = cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(
        np.asarray(blur_on_device(jnp.asarray(pixels[None]), across, down))[0], expected, atol=1e-6
    )


@pytest.mark.parametrize("mode", ["crop_random", "fill"])
def test_what_needs_random_numbers_is_refused(mode: str) -> None:
    settings = Spectrogram(rate=RATE, fmax=3800.0, height=8, width=16, hop=200, resize=mode)
    assert mode in reason_against_device(settings, samples=RATE)
    with pytest.raises(ValueError, match=mode):
        make_spectrograms(jnp.zeros((1, RATE)), settings)
    assert reason_against_device(Spectrogram(resize=mode), samples=44_100) == ""  # nothing has to be resized


DRAWN = Spectrogram(rate=RATE, fmin=300.0, fmax=3800.0, height=32, width=64)
KINDS = ["mel", "linear", "pcen", "reassigned"]


@pytest.mark.parametrize("steps", [{"kind": kind} for kind in KINDS] + [{"scale": "fixed"}, {"hop": 60, "n_fft": 128}])
def test_drawn_spectrograms_are_those_that_stores_round(steps: dict[str, object]) -> None:
    settings, clips = replace(DRAWN, **steps), jnp.asarray(made_up(RATE))
    drawn = jax.jit(lambda clips: compute_spectrograms(clips, settings))(clips)
    assert drawn.dtype == jnp.float32
    stored = np.asarray(make_spectrograms(clips, settings)[0])
    pixels = np.asarray(drawn) * 255
    assert np.abs(pixels - stored).max() < 0.51
    assert np.abs(pixels - stored).max() > 0.3  # not rounded


def test_drawing_does_not_compute_signal_scores() -> None:
    clips = jnp.zeros((2, RATE))
    both, drawn = (
        jax.jit(compute, static_argnums=1).lower(clips, DRAWN).as_text()
        for compute in (make_spectrograms, compute_spectrograms)
    )
    assert "stablehlo.sort" in both
    assert "stablehlo.sort" not in drawn


@pytest.mark.parametrize("kind", KINDS)
def test_a_pitch_of_one_changes_no_bit(kind: str) -> None:
    settings, clips = replace(DRAWN, kind=kind), jnp.asarray(made_up(RATE))
    plain = jax.jit(lambda clips: compute_spectrograms(clips, settings))(clips)
    raised = jax.jit(lambda clips, pitch: compute_spectrograms(clips, settings, pitch))(clips, jnp.ones(len(clips)))
    np.testing.assert_array_equal(np.asarray(raised), np.asarray(plain))


STEPS = np.array([4, -3, 7])  # semitones
FACTORS = (2 ** (STEPS / 12)).astype(np.float32)
WITHOUT_EDGES = np.s_[:, :, 4:-4]


def calls(factors: np.ndarray) -> np.ndarray:
    """Make calls that swing by 60 Hz around 1400 Hz, raised by factors."""
    time = np.arange(RATE) / RATE
    return np.sin(2 * np.pi * factors[:, None] * (1400 * time + 5 * np.sin(4 * np.pi * time))).astype(np.float32)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("kind", ["mel", "linear", "reassigned"])
def test_pitch_moves_sound_by_its_factor(kind: str) -> None:
    settings = replace(DRAWN, kind=kind, pre_emphasis=0)
    raise_by = jax.jit(lambda clips, pitch: amplitudes_on_device(clips, settings, pitch))
    low, high = np.repeat(calls(np.ones(1)), 4, axis=0), calls(np.append(FACTORS, 1))
    raised = np.asarray(raise_by(low, np.append(FACTORS, np.float32(5))))[WITHOUT_EDGES]
    expected = np.asarray(raise_by(high, np.ones(4, np.float32)))[WITHOUT_EDGES]
    for factor, found, wanted in zip(FACTORS, raised, expected, strict=False):
        assert likeness(found, wanted) > 0.9
        middle, true_middle = (image.sum(axis=1) @ np.arange(32) / image.sum() for image in (found, wanted))
        assert abs(middle - true_middle) < 0.5
        assert abs(np.log(found.max() / wanted.max())) < abs(np.log(factor)) + 0.1  # its peak widens by the factor
    assert raised[3].max() < 0.02 * expected[3].max()  # 7 kHz is beyond the band


def test_pitch_reads_between_bins() -> None:
    magnitudes = np.random.default_rng(0).random((3, 2, 33), dtype=np.float32)
    pitch = np.array([0.7, 1.0, 1.3], np.float32)
    found = np.asarray(raise_pitch(jnp.asarray(magnitudes), jnp.asarray(pitch), first=4, last=33))
    assert found.shape == (3, 2, 29)
    for clip, factor in enumerate(pitch):
        read = np.arange(4, 33) / factor
        for frame in range(2):
            expected = np.interp(read, np.arange(34), np.append(magnitudes[clip, frame], 0), right=0)
            np.testing.assert_allclose(found[clip, frame], expected, atol=1e-5)
    assert not found[0, :, 20:].any()  # above bin 33 · 0.7 there is nothing


def test_pitch_is_that_of_librosa() -> None:
    settings = replace(DRAWN, scale="fixed", range_db=(-40.0, 0.0), pre_emphasis=0)
    call = calls(np.ones(1))[0]
    shifted = [librosa.effects.pitch_shift(call, sr=RATE, n_steps=steps, n_fft=256) for steps in STEPS]
    draw = jax.jit(lambda clips, pitch: compute_spectrograms(clips, settings, pitch))
    raised = np.asarray(draw(np.stack([call] * 4), np.append(FACTORS, np.float32(1))))[WITHOUT_EDGES]
    expected = np.asarray(draw(np.stack([*shifted, call]), np.ones(4, np.float32)))[WITHOUT_EDGES]
    for found, wanted in zip(raised[:3], expected, strict=False):
        assert likeness(found, wanted) > 0.9
        assert likeness(raised[3], wanted) < 0.2


def test_one_clip_more_changes_no_other() -> None:
    settings = Spectrogram(rate=RATE, fmin=300.0, fmax=3800.0, height=32, width=64)
    clips = made_up(RATE)
    alone, together = (make_spectrograms(jnp.asarray(batch), settings) for batch in (clips[:3], clips))
    assert isinstance(together[0], jax.Array)
    assert np.abs(np.asarray(alone[0], int) - np.asarray(together[0][:3], int)).max() <= 1


@pytest.mark.parametrize("choose", ["grid", "annotations"])
def test_a_store_from_the_device_is_that_of_the_workers(tmp_path: Path, choose: str) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    rows = ["file,start,end,species"]
    for tape in range(3):
        soundfile.write(archive / f"tape{tape}.wav", chirp(2000.0 + 300 * tape, seconds=9.3, seed=tape), RATE)
        rows += [f"tape{tape}.wav,{1 + tape},{3 + tape},Altus clarus", f"tape{tape}.wav,4,4.5,Bassus gravis"]
    (archive / "annotations.csv").write_text("\n".join(rows))
    tables = {}
    for engine in ("cpu", "device"):
        base = small_config(tmp_path / engine, archive)
        config = replace(
            base,
            clips=replace(base.clips, choose=choose, noise_share=0.5),
            spectrogram=replace(base.spectrogram, engine=engine),
        )
        sort_data.main(config)
        spec.main(config)
        store = Store(config.dataset.root)
        tables[engine] = store.clips.drop("score"), store.recordings, store.spectrograms(np.arange(len(store.clips)))
        assert not (config.dataset.root / "spec" / "parts").exists()
    (ours, recordings, spectrograms), (theirs, others, on_cpu) = tables["cpu"], tables["device"]
    assert ours.height > 10
    assert theirs.equals(ours)
    assert others.equals(recordings)
    assert np.abs(on_cpu.astype(int) - spectrograms).max() <= 1


def test_engines_are_chosen_by_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(**settings: object) -> bool:
        return engine_of(Config(spectrogram=Spectrogram(**settings)))[1] is not None  # type: ignore[arg-type]

    assert [chosen(engine="cpu"), chosen(engine="auto"), chosen(engine="device")] == [False, False, True]
    monkeypatch.setattr("utils.spectra.engines.find_spec", lambda _: True)
    assert not chosen(engine="auto")  # JAX sees only a CPU
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert chosen(engine="auto")
    assert not chosen(engine="auto", hop=100, resize="fill")
    with pytest.raises(UserError, match=r"resize = fill needs random numbers.*set spectrogram.engine to cpu"):
        chosen(engine="device", hop=100, resize="fill")
