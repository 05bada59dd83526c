"""Training on sound: without augmentation the model sees what a store of spectrograms holds; stops change nothing."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

import sort_data
import spec
import test
import train
from config import Augmentation, Config, Waveform
from tests.conftest import RATE, small_config, write_folders
from utils import console
from utils.learning import epochs
from utils.learning.augmentation.__main__ import AugmentationFlags, write_contact_sheet
from utils.learning.augmentation.contact_sheet_clips import from_store
from utils.learning.batch_images import Batch, images_of
from utils.learning.cached_predictions import is_deterministic
from utils.learning.examples import Examples, read_examples
from utils.learning.input_statistics import training_statistics
from utils.learning.noise_clips import with_noise_folder
from utils.learning.targets import Labels
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot
from utils.models.training_log import read_training_log
from utils.recordings.splits import read_split
from utils.settings_checks import check
from utils.spectra import training_sums
from utils.spectra.store import Store

STILL = Augmentation(count=0)
EVERY_SOUND = Waveform(
    count=9,
    shift=0.2,
    speed=0.1,
    pitch=2.0,
    gain=6.0,
    white=(5.0, 30.0),
    pink=(5.0, 30.0),
    brown=(5.0, 30.0),
    background=(0.0, 20.0),
    distance=100.0,
    mixup=0.5,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Config]:
    """Return the settings of a store of spectrograms, and of one of sound, both made, without augmentation."""
    folder = tmp_path_factory.mktemp("training on sound")
    write_folders(folder / "archive", recordings=6)
    base = small_config(folder / "root", folder / "archive")
    clips = dataclasses.replace(base.clips, noise_share=1.0, signal_threshold=0.06)
    config = dataclasses.replace(base, clips=clips, augmentation=STILL)
    sort_data.main(config)
    shutil.copytree(config.dataset.root, folder / "sound")
    sound = dataclasses.replace(
        config,
        run="sound",
        dataset=dataclasses.replace(config.dataset, root=folder / "sound"),
        clips=dataclasses.replace(clips, keep="sound", margin=0.3),
    )
    spec.main(config)
    spec.main(sound)
    return config, sound


def with_settings(config: Config, **settings: dict[str, object]) -> Config:
    changed = {
        name: dataclasses.replace(getattr(config, name), **values) if isinstance(values, dict) else values
        for name, values in settings.items()
    }
    return dataclasses.replace(config, **changed)


def weights(run: Path) -> list[np.ndarray]:
    latest = find_snapshot(run, "latest")
    assert latest
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_network(latest)[1])]


def batch_of(examples: Examples, rows: np.ndarray) -> Batch:
    """Return a batch of the first clips to learn from, on the device."""
    labels = Labels(*(leaf[: len(rows)] for leaf in examples.labels))
    return jax.tree.map(jnp.asarray, Batch(examples.clips(rows), labels, None, examples.peaks(rows)))


def test_the_model_sees_what_a_store_of_spectrograms_holds(made: tuple[Config, Config]) -> None:
    examples = read_examples(made[1])
    shown = read_examples(made[0]).store.spectrograms(examples.rows).astype(np.float32)
    batch = batch_of(examples, examples.rows)
    targets, clip_weights = jnp.ones((len(shown), 3)), jnp.ones(len(shown))
    images, *others = images_of(
        batch, targets, clip_weights, jax.device_put(examples.noise), jax.random.key(1), made[1]
    )
    levels = np.asarray(images) * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)
    assert np.abs(levels - shown).max() < 1.01
    assert (np.abs(levels - shown) > 0.5).mean() < 0.05
    assert others == [targets, clip_weights]


def test_losses_are_those_of_stored_spectrograms(made: tuple[Config, Config]) -> None:
    losses = []
    for config in made:
        train.main(with_settings(config, run="same losses", training={"epochs": 2}))
        folder = config.snapshots / "same losses"
        losses.append([(row.loss, row.validation_loss) for row in read_training_log(folder / "log.csv", until=9)])
        shutil.rmtree(folder)
    np.testing.assert_allclose(*losses, rtol=0.01)


@pytest.mark.usefixtures("optimised")
def test_a_run_paused_in_an_epoch_ends_as_an_undisturbed_one(
    made: tuple[Config, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every augmentation of sound, kept on the device or read from disk."""
    config = with_settings(made[1], waveform=EVERY_SOUND, training={"epochs": 2, "clips_on": "host"}, run="whole")
    train.main(config)
    train.main(with_settings(config, run="device", training={"clips_on": "device"}))
    paused = dataclasses.replace(config, run="paused")
    with monkeypatch.context() as patch:
        original, steps = epochs._chunk_arguments, []

        def stopping(*arguments: object) -> object:
            steps.append(1)
            if len(steps) == 3:
                raise KeyboardInterrupt
            return original(*arguments)  # type: ignore[arg-type]

        patch.setattr(epochs, "_chunk_arguments", stopping)
        with pytest.raises(KeyboardInterrupt):
            train.main(paused)
    train.main(paused)
    for other in ("device", "paused"):
        for one, two in zip(weights(config.run_folder), weights(config.snapshots / other), strict=True):
            np.testing.assert_array_equal(one, two)
    assert test.main(config).headline.mlrap


def test_augmented_sound_changes_images_and_targets(made: tuple[Config, Config]) -> None:
    config = with_settings(made[1], waveform=EVERY_SOUND)
    examples = read_examples(config)
    assert examples.noise.sounds.shape == (len(examples.noise.spectrograms), RATE + 2 * int(0.3 * RATE))
    batch = batch_of(examples, examples.rows[:8])
    targets = jax.nn.one_hot(batch.labels.primary, 3)
    images, mixed, clip_weights = images_of(
        batch, targets, jnp.ones(8), jax.device_put(examples.noise), jax.random.key(1), config
    )
    again, *_ = images_of(batch, targets, jnp.ones(8), jax.device_put(examples.noise), jax.random.key(1), config)
    np.testing.assert_array_equal(images, again)
    still, *_ = images_of(batch, targets, jnp.ones(8), jax.device_put(examples.noise), jax.random.key(1), made[1])
    assert (np.abs(np.asarray(images - still)).max(axis=(1, 2)) > 0.1).all()
    assert np.isfinite(images).all()
    np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(clip_weights, 1, rtol=1e-5)
    assert is_deterministic(made[1], examples.noise)
    assert not is_deterministic(config, examples.noise)


def test_contact_sheets_show_sound_and_batches(made: tuple[Config, Config], tmp_path: Path) -> None:
    config = with_settings(made[1], waveform={"background": (0.0, 9.0)}, augmentation={"mixup": 0.5})
    material = from_store(config)
    assert material.sounds is not None
    assert material.sounds.rows.shape == (len(material.clips), RATE + 2 * material.sounds.margin)
    assert len(material.sounds.background) > 0
    for one in made[0], config:
        write_contact_sheet(tmp_path / "batch.png", one, AugmentationFlags(batch=True))
        height, width = cv2.imread(str(tmp_path / "batch.png")).shape[:2]
        assert min(height, width) > 200
    with pytest.raises(console.UserError, match="leave out --recording"):
        write_contact_sheet(tmp_path / "x.png", config, AugmentationFlags(batch=True, recording=Path("x.wav")))


def test_background_without_any_is_explained(made: tuple[Config, Config], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    config = with_settings(made[1], waveform={"background": (0.0, 9.0), "background_folder": tmp_path / "empty"})
    with pytest.raises(console.UserError, match=r"waveform\.background"):
        read_examples(config)
    held_out = read_split(config.dataset).filter(split="val")["file"][0]
    shutil.copy(config.dataset.root / held_out, tmp_path / "empty")
    with pytest.raises(console.UserError, match="all its sound files are held-out or validation recordings"):
        read_examples(config)
    soundfile.write(tmp_path / "empty" / "wind.wav", np.random.default_rng(1).normal(0, 0.1, 3 * RATE), RATE)
    examples = read_examples(config)
    assert examples.noise.sounds.shape == (3, RATE)
    soundfile.write(tmp_path / "empty" / "more wind.wav", np.random.default_rng(2).normal(0, 0.1, RATE), RATE)
    assert read_examples(config).fingerprint != examples.fingerprint  # so that no run resumes with other sounds


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"waveform": {"gain": 3.0}, "clips": {"keep": "spectrograms", "margin": 0.0}}, "waveform.gain = 3.0: needs"),
        ({"waveform": {"speed": 0.2}, "clips": {"margin": 0.05}}, "clips.margin = 0.05: should be at least 0.1 s"),
        ({"waveform": {"shift": 0.5}}, "clips.margin = 0.3: should be at least 0.5 s for waveform.shift"),
        ({"waveform": {"pink": (9.0, 3.0)}}, "waveform.pink = .*: should be the lower signal-to-noise ratio"),
        ({"clips": {"keep": "spectrograms"}}, "clips.margin = 0.3: should be 0 unless"),
        ({"spectrogram": {"resize": "fill"}}, "spectrogram.resize = .fill.: should be squeeze or crop"),
        ({"waveform": {"gain": 3.0}, "training": {"images": Path("x")}}, "waveform.gain = 3.0: needs the sound"),
        ({"augmentation": {"chances": dataclasses.replace(Augmentation().chances, zoom=0.5)}}, "augmentation.zoom"),
    ],
)
def test_settings_that_do_not_go_together(
    made: tuple[Config, Config], settings: dict[str, dict[str, object]], message: str
) -> None:
    with pytest.raises(Exception, match=message) as refused:
        check(with_settings(made[1], **settings))
    assert type(refused.value).__name__ == "SettingsError"


def test_what_cannot_matter_is_said(made: tuple[Config, Config], capfd: pytest.CaptureFixture[str]) -> None:
    train.main(with_settings(made[1], run="gain", waveform={"gain": 6.0}, training={"epochs": 1}))
    assert "waveform.gain changes nothing" in capfd.readouterr().err


def test_noise_of_a_folder_is_stored_as_sound_once_for_all_spectrograms(made: tuple[Config, Config]) -> None:
    folder = made[1].dataset.root / "rain"
    folder.mkdir()
    samples = (0.1 * np.random.default_rng(1).normal(size=5 * RATE)).astype(np.float32)
    soundfile.write(folder / "rain.wav", samples, RATE)
    training = {"loss": "binary", "noise_folder": folder, "hard_negatives": 1.0, "noise_ratio": 0.1, "epochs": 1}
    found = []
    for kind in ("mel", "pcen"):
        config = with_settings(made[1], run=f"rain_{kind}", training=training, spectrogram={"kind": kind})
        train.main(config)
        examples = with_noise_folder(read_examples(config), config)
        found.append(examples.stores[1].folder)
        assert examples.noise_clips == 5
        assert len((config.run_folder / "hard_negatives.csv").read_text().splitlines()) > 1
    assert found[0] == found[1]
    margin = round(0.3 * RATE)
    second = examples.clips(examples.rows[-4:-3])[0] / 32767 * examples.peaks(examples.rows[-4:-3])
    np.testing.assert_allclose(second, samples[RATE - margin : 2 * RATE + margin], atol=2e-4)


def test_mean_and_deviation_are_computed_once_per_kind_of_spectrogram(
    made: tuple[Config, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, stored = (read_examples(config) for config in reversed(made))
    expected = training_statistics(stored.store, stored.rows, bands=True)
    found = training_statistics(examples.store, examples.rows, bands=True)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-3)
    np.testing.assert_allclose(found.deviation, expected.deviation, atol=1e-3)
    other = dataclasses.replace(made[1].spectrogram, kind="pcen")
    training_statistics(Store(made[1].dataset.root, other), examples.rows, bands=False)
    monkeypatch.setattr(training_sums, "pixel_sums", lambda _: pytest.fail("was computed again"))
    training_statistics(examples.store, examples.rows, bands=False)
    training_statistics(Store(made[1].dataset.root, other), examples.rows, bands=True)
