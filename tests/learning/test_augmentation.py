"""Which transforms an image gets, mixup, and the contact sheet of all augmentations."""

import dataclasses
import itertools
from functools import partial
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import soundfile

from config import Augmentation, Chances, Clips, Config, Spectrogram, Waveform
from tests.conftest import RATE, chirp
from utils.augmentation_checks import OFF
from utils.command_line import from_command_line
from utils.console import UserError
from utils.learning.augmentation import contact_sheet
from utils.learning.augmentation.__main__ import AugmentationFlags, command, write_contact_sheet
from utils.learning.augmentation.contact_sheet import RULES, SOUND_NAMES, draw_rows, sound_rows
from utils.learning.augmentation.contact_sheet_clips import from_recording
from utils.learning.augmentation.images import (
    active_transforms,
    at_power_of,
    augment,
    choose_transforms,
    is_augmented,
    mix_with_unlabelled,
    mixup,
)

IMAGES = jax.random.uniform(jax.random.key(0), (64, 20, 30))
NOISE = jax.random.randint(jax.random.key(2), (5, 20, 30), 0, 256).astype(jnp.uint8)
SMALL = Spectrogram(rate=RATE, fmin=500, fmax=3800, height=16, width=32)


def test_the_choice_follows_count_and_probability() -> None:
    chosen = np.asarray(choose_transforms(jax.random.key(3), 20_000, 5, count=2, probability=0.5))
    assert chosen.sum(axis=1).max() == 2
    np.testing.assert_allclose(chosen.mean(axis=0), 0.2, atol=0.02)  # 2 of 5, each at a half
    np.testing.assert_allclose(np.bincount(chosen.sum(axis=1)) / 20_000, [0.25, 0.5, 0.25], atol=0.02)
    assert choose_transforms(jax.random.key(3), 100, 2, count=2, probability=1.0).all()
    assert not choose_transforms(jax.random.key(3), 100, 2, count=2, probability=0.0).any()


def test_nothing_on_changes_nothing() -> None:
    for settings in (
        OFF,
        Augmentation(count=0),
        Augmentation(probability=0.0),
        Augmentation(roll_v=0.0),
        dataclasses.replace(OFF, mixup=1.0, blur=1),
    ):
        noise = NOISE[:0] if settings == Augmentation(roll_v=0.0) else NOISE
        assert jnp.array_equal(augment(IMAGES, jax.random.key(4), settings, noise), IMAGES)


def test_the_key_decides() -> None:
    augmented = jax.jit(lambda key: augment(IMAGES, key, Augmentation(roll_h=0.1, noise=0.1), NOISE))
    one, same, other = (augmented(jax.random.key(seed)) for seed in (5, 5, 6))
    assert jnp.array_equal(one, same)
    assert not jnp.array_equal(one, other)
    untouched = (one == IMAGES).all(axis=(1, 2)).mean()
    assert 0.1 < untouched < 0.5


def test_every_setting_is_a_transform_that_can_be_on_alone() -> None:
    amounts = {
        "flip": "time",
        "crop": (0.1, 0.0, 0.0, 0.0),
        "contrast": (1.0, 2.0),
        "mean": True,
        "add": True,
        "blur": 3,
    }
    names = {field.name for field in dataclasses.fields(Augmentation)} - RULES
    for name in names:
        on = active_transforms(dataclasses.replace(OFF, **{name: amounts.get(name, 0.5)}), NOISE)
        assert list(on) == [name]
    assert len(names) == 19
    assert list(active_transforms(Augmentation(), NOISE)) == ["roll_v", "add"]


def test_each_image_gets_what_it_chose_and_no_more() -> None:
    settings = dataclasses.replace(OFF, brightness=0.9, flip="time", count=1, probability=1.0)
    augmented = augment(jnp.full((64, 20, 30), 0.25).at[:, :, 0].set(0), jax.random.key(7), settings, NOISE)
    flipped = np.asarray(augmented[:, 0, 0] > 0)
    assert 10 < flipped.sum() < 54
    # what was flipped is not brighter
    np.testing.assert_array_equal(augmented[flipped].max(axis=(1, 2)), np.float32(0.25))
    assert (augmented[~flipped].max(axis=(1, 2)) != 0.25).all()


def test_without_chances_everything_is_drawn_as_ever() -> None:
    settings, key = dataclasses.replace(OFF, flip="time", mean=True, dropout=0.1, probability=0.7), jax.random.key(11)
    active = active_transforms(settings, NOISE)
    key_choice, key_amounts = jax.random.split(key)
    chosen = choose_transforms(key_choice, 64, len(active), count=2, probability=0.7)
    images = IMAGES
    for index, transform in enumerate(active.values()):
        keys = jax.random.split(jax.random.fold_in(key_amounts, index), 64)
        images = jnp.where(chosen[:, index, None, None], transform(images, keys), images)
    assert jnp.array_equal(augment(IMAGES, key, settings, NOISE), images)


def test_chances_hold_whatever_the_count() -> None:
    images = jnp.tile(jnp.array([[0.25, 0.5], [0.25, 0.75]]), (4000, 1, 1))
    settings = dataclasses.replace(OFF, flip="time", mean=True, brightness=0.5, count=1, probability=0.5)

    def shares(settings: Augmentation) -> tuple[float, float, float]:
        """Return how many images are flipped, lack their mean, and are brighter or darker."""
        after = np.asarray(augment(images, jax.random.key(12), settings, NOISE[:, :2, :2]))
        no_mean = after.min(axis=(1, 2)) == 0
        other = ~no_mean & (np.abs(after.sum(axis=(1, 2)) - 1.75) > 1e-6)
        return (after[:, 0, 0] > after[:, 0, 1]).mean(), no_mean.mean(), other.mean()

    np.testing.assert_allclose(shares(settings), 1 / 6, atol=0.025)  # one of three, at a half
    chances = dataclasses.replace(settings, chances=Chances(mean=0.8))
    flipped, no_mean, other = shares(chances)
    assert abs(no_mean - 0.8) < 0.025
    assert abs(flipped - 0.25) < 0.025  # one of two, at a half
    assert abs(other - 0.2 * 0.25) < 0.02
    assert abs(shares(dataclasses.replace(chances, count=0))[1] - 0.8) < 0.025
    assert shares(dataclasses.replace(chances, count=0))[::2] == (0.0, 0.0)
    always = dataclasses.replace(settings, count=0, chances=Chances(flip=1.0, mean=1.0, brightness=0.0))
    assert shares(always)[1] == 1.0


def test_what_can_change_images() -> None:
    settings = dataclasses.replace(OFF, flip="time", add=True)
    for one, changes in [
        (settings, True),
        (dataclasses.replace(settings, count=0), False),
        (dataclasses.replace(settings, probability=0.0), False),
        (dataclasses.replace(settings, count=0, chances=Chances(flip=0.1)), True),
        (dataclasses.replace(settings, chances=Chances(flip=0.0, add=0.0)), False),
        (dataclasses.replace(settings, chances=Chances(mean=1.0), count=0), False),
        (OFF, False),
    ]:
        assert is_augmented(one, NOISE) == changes
        assert jnp.array_equal(augment(IMAGES, jax.random.key(13), one, NOISE), IMAGES) != changes
    assert not is_augmented(dataclasses.replace(OFF, add=True), NOISE[:0])


@pytest.mark.parametrize(
    ("words", "key"),
    [("--augmentation.crop 0.5 0 0 0", "crop"), ("--augmentation.crop 0.1", "crop"),
     ("--augmentation.roll 1.1", "roll"), ("--augmentation.flip up", "flip"),
     ("--augmentation.contrast 0 3", "contrast"),
     ("--augmentation.rotate -1", "rotate"), ("--augmentation.stripes 0", "stripes"),
     ("--augmentation.mixup -1", "mixup"), ("--augmentation.blur 1.5", "blur"),
     ("--augmentation.chances.flip 1.5", "chances.flip")],
)  # fmt: skip
def test_impossible_amounts_are_refused(words: str, key: str) -> None:
    with pytest.raises(Exception, match=f"augmentation.{key}") as refused:
        from_command_line(words.split(), doc="", script="train.py")
    assert type(refused.value).__name__ == "SettingsError"


def mixed(
    amount: float, *, share: float = 1.0, weights: jax.Array | None = None, batch: int = 512
) -> tuple[np.ndarray, ...]:
    """Mix images of one grey each, which shows the index of their class; return pixels, targets, weights."""
    images = jnp.broadcast_to(jnp.arange(batch)[:, None, None] / batch, (batch, 2, 3))
    weights = jnp.ones(batch) if weights is None else weights
    return tuple(
        np.asarray(part)
        for part in mixup(images, jnp.eye(batch), weights, jax.random.key(8), amount=amount, share=share)
    )


def test_mixup_mixes_targets_as_images() -> None:
    images, targets, weights = mixed(1.0)
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(weights, 1)
    assert (np.count_nonzero(targets, axis=1) == 2).all()
    greys = np.arange(512) / 512
    np.testing.assert_allclose(images[:, 0, 0], targets @ greys, atol=1e-5)
    assert (np.ptp(images, axis=(1, 2)) == 0).all()
    sounds, same, _ = mixup(jnp.arange(512)[:, None] / 512, jnp.eye(512), jnp.ones(512), jax.random.key(8), amount=1.0)
    np.testing.assert_array_equal(np.asarray(sounds)[:, 0], images[:, 0, 0])
    np.testing.assert_array_equal(same, targets)
    parts = np.diag(targets)
    np.testing.assert_allclose(np.quantile(parts, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.06)  # Beta(1, 1) is uniform


def test_mixup_amounts_and_share() -> None:
    assert 0.45 < np.diag(mixed(200.0)[1]).mean() < 0.55
    assert np.diag(mixed(200.0)[1]).std() < 0.05
    small = np.diag(mixed(0.01)[1])
    assert np.isfinite(small).all()
    assert ((small < 0.01) | (small > 0.99)).mean() > 0.9
    images, targets, _ = mixed(1.0, share=0.25)
    alone = np.diag(targets) == 1
    assert 0.68 < alone.mean() < 0.82
    np.testing.assert_array_equal(images[alone, 0, 0], (np.arange(512, dtype=np.float32) / 512)[alone])
    assert (np.diag(mixed(1.0, share=0.0)[1]) == 1).all()


def test_a_clip_without_weight_lends_no_target() -> None:
    weights = jnp.arange(512) % 2.0
    _, targets, after = mixed(1.0, weights=weights)
    assert (np.count_nonzero(targets, axis=1) == 1).all()
    assert (targets.argmax(axis=1) % 2 == 1).all()
    assert 200 < after.sum() < 312
    nobody = mixed(1.0, weights=jnp.zeros(512))
    assert not np.concatenate([nobody[1].ravel(), nobody[2]]).any()


def test_losses_are_those_of_both_clips_in_their_parts() -> None:
    keys = jax.random.split(jax.random.key(9), 3)
    targets, weights, logits = (
        jax.nn.softmax(jax.random.normal(keys[0], (16, 16))),
        jax.random.uniform(keys[1], (16,)),
        jax.random.normal(keys[2], (16, 16)),
    )
    mix = jax.jit(partial(mixup, amount=0.5))
    parts = mix(IMAGES[:16], jnp.eye(16), jnp.ones(16), jax.random.key(10))[1]
    _, blended, whole = mix(IMAGES[:16], targets, weights, jax.random.key(10))
    for loss in (optax.softmax_cross_entropy, lambda *both: optax.sigmoid_binary_cross_entropy(*both).sum(axis=-1)):
        each = loss(logits[:, None], targets[None])  # of all logits to all targets
        np.testing.assert_allclose(whole * loss(logits, blended), (parts * weights * each).sum(axis=1), rtol=1e-4)


def test_the_sheet_has_a_row_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording, sheet, drawn = tmp_path / "chirps.wav", tmp_path / "augmentation.png", []
    soundfile.write(
        recording, np.concatenate([chirp(1500.0, seconds=2.0, seed=0), np.zeros(2 * RATE, np.float32)]), RATE
    )
    monkeypatch.setattr(contact_sheet, "draw_rows", lambda path, table: (drawn.extend(table), draw_rows(path, table)))
    some = ["shift", "pitch", "background"]  # each is compiled
    assert {*some} < {*SOUND_NAMES}
    monkeypatch.setattr(contact_sheet, "SOUND_NAMES", some)
    config = Config(spectrogram=SMALL, augmentation=Augmentation(roll_v=0.25, count=0))
    write_contact_sheet(sheet, config, AugmentationFlags(recording=recording, draws=2))
    assert "3 clips, each augmented 2 times" in capsys.readouterr().out
    names = [row.title.split("\n")[0] for row in drawn]
    assert names == [
        *(f"waveform.{name}" for name in [*some, "mixup"]),
        *(field.name for field in dataclasses.fields(Augmentation) if field.name not in RULES),
        "mixup",
        "as set: roll_v, add",
    ]
    assert drawn[names.index("roll_v")].title == "roll_v\n0.25"  # the amount that is set, as it is on
    for row in drawn[:-1]:
        silent = row.title.startswith("waveform.background")  # as all rejected clips are
        assert len(row.draws) == (1 if silent or row.title.startswith(("flip", "mean", "blur")) else 2)
        assert all(np.array_equal(image, row.clip) for image, _ in row.draws) == silent
    # a count of 0 changes nothing
    assert all(np.array_equal(image, drawn[-1].clip) for image, _ in drawn[-1].draws)
    assert min(cv2.imread(str(sheet)).shape[:2]) > 300


def test_a_recording_is_divided_into_clips_and_noise(tmp_path: Path) -> None:
    recording = tmp_path / "chirps.wav"
    soundfile.write(
        recording, np.concatenate([chirp(1500.0, seconds=2.0, seed=0), np.zeros(2 * RATE, np.float32)]), RATE
    )
    material = from_recording(recording, Config(spectrogram=SMALL))
    assert (len(material.clips), len(material.noise)) == (3, 2)
    assert not material.noise.any()  # silence
    assert material.clips.max(axis=(1, 2)).min() == 255
    soundfile.write(recording, np.zeros(2 * RATE, np.float32), RATE)
    with pytest.raises(UserError, match=r"chirps.wav: none of its 2 clips"):
        from_recording(recording, Config(spectrogram=SMALL))


def test_sounds_of_a_recording_have_margins(tmp_path: Path) -> None:
    recording = tmp_path / "chirps.wav"
    sound = np.concatenate([chirp(1500.0, seconds=2.0, seed=0), np.zeros(2 * RATE, np.float32)])
    soundfile.write(recording, sound, RATE, subtype="FLOAT")
    config = Config(spectrogram=SMALL, clips=Clips(overlap=0.0), waveform=Waveform(shift=0.5, speed=0.4))
    sounds = from_recording(recording, config).sounds
    margin = int(0.7 * RATE)
    assert sounds.margin == margin
    assert sounds.rows.shape == (2, RATE + 2 * margin)
    assert sounds.background.shape == (2, RATE + 2 * margin)
    found = sorted((sounds.rows * (sounds.peaks / 32_767)[:, None]).tolist())
    padded = np.pad(sound, margin)
    expected = sorted(padded[start : start + RATE + 2 * margin].tolist() for start in (0, RATE))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_rows_of_sound_show_what_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "SOUND_NAMES", ["gain", "white"])
    recording = tmp_path / "chirps.wav"
    soundfile.write(recording, chirp(1500.0, seconds=2.0, seed=0), RATE)
    config = Config(spectrogram=SMALL, waveform=Waveform(white=(-10.0, -10.0), probability=1.0))
    gain, white, mixed, last = sound_rows(from_recording(recording, config).sounds, config, draws=2, seed=0)
    assert gain.title == "waveform.gain\n12.0"  # it is off: an example amount
    assert [caption for _, caption in gain.draws] == ["no change"]  # each spectrogram is stretched
    assert white.title == "waveform.white\n-10 -10"
    assert mixed.draws[0][1].endswith("% of this clip")
    assert last.title == "waveform as set: white\ncount 2, probability 1"
    for row in (white, last):
        images = [row.clip, *(image for image, _ in row.draws)]
        assert not any(np.array_equal(one, other) for one, other in itertools.combinations(images, 2))


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, status, said in [
        (["--draws", "2"], 1, "such as augmentation.png"),
        (["experiments/demo.toml"], 1, "such as augmentation.png"),
        (["augmentation.png", "--dataset.root", str(tmp_path)], 1, "run spec.py"),
        (["augmentation.png", "--draws", "0"], 1, "--draws 0: should be 1 to 20"),
        (["augmentation.png", "--seed", "-1"], 1, "--seed -1: should be 0 to"),
        (["augmentation.png", "--draws", "few"], 2, "draws"),
    ]:
        assert command(words) == status
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_labelled_clips_are_mixed_half_and_half_with_unlabelled_ones() -> None:
    images = jnp.arange(4.0)[:, None, None] * jnp.ones((4, 2, 3))
    targets = jnp.array([[1.0, 0.0], [0.2, 0.8], [0.0, 1.0], [0.6, 0.4]])
    labelled = jnp.array([True, False, True, False])
    key = jax.random.key(0)

    def mixed(multi_label: bool, share: float = 1.0) -> tuple[jax.Array, jax.Array]:
        return mix_with_unlabelled(images, targets, labelled, key, share=share, multi_label=multi_label)

    found, one_label = mixed(multi_label=False)
    np.testing.assert_allclose(found[:, 0, 0], [0.5, 1.0, 2.5, 3.0])
    np.testing.assert_allclose(one_label, [[0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]], atol=1e-6)
    np.testing.assert_allclose(mixed(multi_label=True)[1], [[1.0, 0.8], [0.2, 0.8], [0.6, 1.0], [0.6, 0.4]])
    unmixed = mixed(multi_label=True, share=0.0)
    assert np.array_equal(unmixed[0], images)
    assert np.array_equal(unmixed[1], targets)
    alone = mix_with_unlabelled(images, targets, jnp.ones(4, bool), key, share=1.0, multi_label=True)
    assert np.array_equal(alone[0], images)
    assert np.array_equal(alone[1], targets)


def test_sounds_are_mixed_at_equal_power() -> None:
    tone = jnp.sin(jnp.arange(1000.0))
    sounds, labelled = jnp.stack([tone, 0.01 * tone[::-1], tone, 0 * tone]), jnp.array([True, False, True, False])
    others = at_power_of(sounds[:2], sounds[jnp.array([1, 3])])
    np.testing.assert_allclose(others[0], tone[::-1], rtol=1e-4, atol=1e-5)
    assert not others[1].any()
    found, _ = mix_with_unlabelled(sounds, jnp.ones((4, 2)), labelled, jax.random.key(0), share=1.0, multi_label=False)
    np.testing.assert_allclose(found[0], (tone + tone[::-1]) / 2, rtol=1e-3, atol=1e-4)
