"""Which transforms of sound a clip gets, and what becomes of clips without margin, of few samples, or without sound."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from config import Waveform
from utils.learning.augmentation.sounds import AugmentedSounds, augment_sounds

RATE, SAMPLES, MARGIN = 8000, 801, 320
PADDED = 0.1 * jax.random.normal(jax.random.key(2), (32, SAMPLES + 2 * MARGIN))
MIDDLE = PADDED[:, MARGIN:-MARGIN]
BANK = jax.random.randint(jax.random.key(3), (5, SAMPLES), -30_000, 30_000).astype(jnp.int16)
EVERY = Waveform(
    count=9, probability=0.5, shift=0.2, speed=0.2, pitch=4.0, gain=12.0, distance=200.0, white=(5.0, 20.0),
    pink=(5.0, 20.0), brown=(5.0, 20.0), background=(5.0, 20.0),
)  # fmt: skip

run = jax.jit(augment_sounds, static_argnames=("settings", "margin", "rate"))


def augmented(
    settings: Waveform, sounds: jax.Array = PADDED, *, bank: jax.Array | None = BANK, seed: int = 4
) -> AugmentedSounds:
    margin = MARGIN if sounds.shape == PADDED.shape else 0
    return run(sounds, jax.random.key(seed), settings, margin=margin, rate=RATE, background=bank)


def test_pitch_is_drawn_in_semitones() -> None:
    pitch = np.asarray(augmented(Waveform(count=1, probability=0.5, pitch=4.0), jnp.ones((4000, 2))).pitch)
    chosen, drawn = pitch != 1, 12 * np.log2(pitch)
    assert abs(chosen.mean() - 0.5) < 0.03
    np.testing.assert_allclose(np.quantile(drawn[chosen], [0, 0.25, 0.5, 0.75, 1]), [-4, -2, 0, 2, 4], atol=0.2)
    assert np.abs(drawn).max() <= 4.0001


def test_each_clip_gets_what_it_chose_and_no_more() -> None:
    """Of shift, pitch, speed and gain, each changes something else in clips of 1, 2, 3, …; two are drawn."""
    sounds = jnp.ones((4000, 1)) * jnp.arange(1.0, 102)
    settings = Waveform(count=2, probability=0.5, gain=20.0, pitch=6.0, shift=1.0, speed=0.4)
    after = augmented(settings, sounds)
    pitch, samples = np.asarray(after.pitch), np.asarray(after.samples)
    slope = np.median(np.diff(samples, axis=1), axis=1)  # of gain × speed; 0 where most of the clip is beyond
    untouched = (samples == np.asarray(sounds)).all(axis=1) & (pitch == 1)
    assert abs((pitch != 1).mean() - 0.25) < 0.03  # 2 of 4, each at a half
    assert abs(untouched.mean() - 0.25) < 0.03  # neither of the two
    assert abs((slope == 1).mean() - 0.5) < 0.15
    none = jax.eval_shape(
        lambda: augment_sounds(
            sounds, jax.random.key(0), replace(settings, pitch=0.0), margin=0, rate=RATE, background=None
        )
    )
    assert none.pitch is None


def test_shifted_clips_are_exact() -> None:
    after = np.asarray(augmented(Waveform(count=1, probability=1.0, shift=0.2)).samples)
    moves = []
    for sound, clip in zip(np.asarray(PADDED), after, strict=True):
        (found,) = [start for start in range(2 * MARGIN) if np.array_equal(clip, sound[start : start + SAMPLES])]
        moves.append(found - MARGIN)
    assert -160 <= min(moves) < -110
    assert 110 < max(moves) <= 160


def test_beyond_the_sound_is_silence() -> None:
    after = np.asarray(augmented(Waveform(count=1, probability=1.0, shift=1.0), jnp.ones((32, 101))).samples)
    assert set(np.unique(after)) == {0.0, 1.0}
    assert (after == 0).sum(axis=1).max() > 80
    assert (np.abs(np.diff(after, axis=1)).sum(axis=1) <= 1).all()  # at one end only: nothing wraps around


def test_nothing_on_is_the_middle() -> None:
    off = (Waveform(), replace(EVERY, count=0), replace(EVERY, probability=0.0), Waveform(background=(0.0, 9.0)))
    for settings, bank in zip(off, (BANK, BANK, BANK, BANK[:0]), strict=True):
        after = augmented(settings, bank=bank)
        assert jnp.array_equal(after.samples, MIDDLE)
        assert after.pitch is None
    assert jnp.array_equal(augmented(Waveform(background=(0.0, 9.0)), bank=None).samples, MIDDLE)


def test_the_key_decides_and_other_clips_do_not_matter() -> None:
    one, same, other = augmented(EVERY), augmented(EVERY), augmented(EVERY, seed=5)
    assert jnp.array_equal(one.samples, same.samples)
    assert jnp.array_equal(one.pitch, same.pitch)
    assert not jnp.array_equal(one.samples, other.samples)
    others = augmented(EVERY, PADDED.at[1:].set(7.0))
    assert jnp.array_equal(one.samples[0], others.samples[0])
    assert (np.asarray(one.samples) != np.asarray(MIDDLE)).any(axis=1).mean() > 0.9
    silent = augmented(EVERY, 0 * PADDED)
    assert not silent.samples.any()  # silence stays silence
    assert jnp.array_equal(silent.pitch, one.pitch)


def test_one_sample_stays_finite() -> None:
    for sounds in (PADDED[:4, :1], jnp.zeros((4, 1))):
        after = augmented(replace(EVERY, probability=1.0), sounds, bank=BANK[:, :1])
        assert after.samples.shape == (4, 1)
        assert after.samples.dtype == jnp.float32
        assert jnp.isfinite(after.samples).all()
        assert after.samples.any() == sounds.any()


def test_gradients_are_finite() -> None:
    settings = Waveform(count=3, probability=1.0, speed=0.2, distance=200.0, brown=(5.0, 20.0))

    def energy(sounds: jax.Array) -> jax.Array:
        after = augment_sounds(sounds, jax.random.key(6), settings, margin=100, rate=RATE, background=BANK)
        return (after.samples**2).sum()

    gradient_of = jax.jit(jax.grad(energy))
    for sounds in (PADDED[:2, :701], 0 * PADDED[:2, :701]):
        gradient = gradient_of(sounds)
        assert jnp.isfinite(gradient).all()
        assert gradient.any() == sounds.any()
