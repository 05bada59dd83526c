"""Augmentation of sound in training: which transforms are active, and which of them a clip gets.

A new augmentation is a setting in config.py (class Waveform), a function in `sound_transforms`, and an entry in
`active_sound_transforms` (and in `EXAMPLE_SOUND_AMOUNTS`, for the contact sheet). Mixup is that of images:
`images.mixup`; the spectrogram of a mixture has the pitch of its first sound.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from config import Waveform
from utils.learning.augmentation import sound_transforms as transforms
from utils.learning.augmentation.images import choose_transforms
from utils.learning.augmentation.sound_transforms import Sounds
from utils.learning.augmentation.transforms import Keys, Transform

EXAMPLE_SOUND_AMOUNTS = Waveform(  # what the contact sheet shows of transforms that are off
    shift=0.3, speed=0.2, pitch=4.0, distance=300.0, gain=12.0, white=(0.0, 20.0), pink=(0.0, 20.0), brown=(0.0, 20.0),
    background=(0.0, 20.0), mixup=1.0,
)  # fmt: skip
UNCHANGED = {"shift": 0, "speed": 0, "pitch": 1}  # clips that are read as they are
Reading = Callable[[Keys], Shaped[Array, " batch"]]
SoundBank = Shaped[Array, "bank padded_or_samples"]  # background sounds, with margins or without


class AugmentedSounds(NamedTuple):
    """Sounds without their margins.

    Attributes
    ----------
    samples : the sounds
    pitch : factor by which the frequencies of each are to be raised in its spectrogram; None: of none
    """

    samples: Sounds
    pitch: Float[Array, " batch"] | None = None


def is_used(settings: Waveform) -> bool:
    """Tell whether any clip is augmented at all, whatever the single settings say."""
    return bool(settings.count and settings.probability)


def active_readings(settings: Waveform, *, samples: int) -> dict[str, Reading]:
    """Return how clips are read, by the settings' names: functions that draw a number for each clip from its key."""
    every: dict[str, tuple[object, Reading]] = {
        "shift": (settings.shift, partial(transforms.draw_shifts, amount=settings.shift, samples=samples)),
        "speed": (settings.speed, partial(transforms.draw_speeds, amount=settings.speed)),
        "pitch": (settings.pitch, partial(transforms.draw_pitches, amount=settings.pitch)),
    }
    return {name: reading for name, (on, reading) in every.items() if on and is_used(settings)}


def active_sound_transforms(settings: Waveform, *, rate: int, background: SoundBank | None) -> dict[str, Transform]:
    """Return the transforms of sound by their settings' names, in order of application; `background` needs a sound.

    They follow the way of the sound: through the air, into the recorder, to the noise there.
    """
    every: dict[str, tuple[object, Transform]] = {
        "distance": (
            settings.distance,
            partial(transforms.attenuate_by_distance, amount=settings.distance, rate=rate),
        ),
        "gain": (settings.gain, partial(transforms.gain, amount=settings.gain)),
        **{
            colour: (ratios, partial(transforms.add_colour, colour=colour, ratios=ratios, rate=rate))
            for colour, ratios in (("white", settings.white), ("pink", settings.pink), ("brown", settings.brown))
        },
        "background": (
            settings.background and background is not None and len(background),
            partial(transforms.add_background, ratios=settings.background, background=background),
        ),
    }
    return {name: transform for name, (on, transform) in every.items() if on and is_used(settings)}


def is_sound_augmented(settings: Waveform, background: SoundBank | None) -> bool:
    """Tell whether `augment_sounds` can change a clip."""
    return bool(
        active_readings(settings, samples=1) or active_sound_transforms(settings, rate=1, background=background)
    )


def augment_sounds(
    sounds: Float[Array, "batch padded"],
    key: PRNGKeyArray,
    settings: Waveform,
    *,
    margin: int,
    rate: int,
    background: SoundBank | None,
) -> AugmentedSounds:
    """Augment a batch of sounds: each gets up to `count` different transforms, each with `probability`.

    Parameters
    ----------
    sounds : clips with `margin` samples before and after each, at `rate`
    background : rows at least as long as the clips; None, or no rows: `waveform.background` is off
    """
    batch, samples = len(sounds), sounds.shape[1] - 2 * margin
    readings = active_readings(settings, samples=samples)
    changes = active_sound_transforms(settings, rate=rate, background=background)
    names = [*readings, *changes]
    if not names:
        return AugmentedSounds(sounds[:, margin : margin + samples])
    key_choice, key_amounts = jax.random.split(key)
    chosen = choose_transforms(key_choice, batch, len(names), count=settings.count, probability=settings.probability)
    of_clip = dict(zip(names, chosen.T, strict=True))
    keys = {name: jax.random.split(jax.random.fold_in(key_amounts, index), batch) for index, name in enumerate(names)}
    read = {name: jnp.where(of_clip[name], reading(keys[name]), UNCHANGED[name]) for name, reading in readings.items()}
    starts = margin + read.get("shift", jnp.zeros(batch, jnp.int32))
    clips = transforms.read_clips(sounds, starts, read.get("speed"), samples=samples)
    for name, change in changes.items():
        clips = jnp.where(of_clip[name][:, None], change(clips, keys[name]), clips)
    return AugmentedSounds(clips, read.get("pitch"))
