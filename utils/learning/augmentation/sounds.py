"""Augmentation of sound in training: which transforms are active, and which of them a clip gets.

A new augmentation is a setting in config.py (class Waveform), a function in `sound_transforms`, and an entry in
`active_sound_transforms` (and in `EXAMPLE_SOUND_AMOUNTS`, for the contact sheet). Mixup is that of images:
`utils.learning.augmentation.mixup`; both sounds of a mixture are then drawn with the pitch of the first.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from config import Waveform
from utils.learning.augmentation import choose_transforms
from utils.learning.augmentation import sound_transforms as transforms
from utils.learning.augmentation.sound_transforms import Sounds
from utils.learning.augmentation.transforms import Transform

EXAMPLE_SOUND_AMOUNTS = Waveform(  # what the contact sheet shows of transforms that are off
    shift=0.3, speed=0.2, pitch=4.0, distance=300.0, gain=12.0, white=(0.0, 20.0), pink=(0.0, 20.0), brown=(0.0, 20.0),
    background=(0.0, 20.0), mixup=1.0,
)  # fmt: skip
UNCHANGED = {"shift": 0, "speed": 0, "pitch": 1}  # what is drawn of clips that are read as they are
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


def active_sound_transforms(
    settings: Waveform, *, samples: int, rate: int, background: SoundBank | None
) -> dict[str, Transform]:
    """Return the active transforms by their settings' names, in order of application; `background` needs a sound.

    The first three draw how a clip is read, from keys alone. The others follow the way of the sound: through the air,
    into the recorder, to the noise there.
    """
    every: dict[str, tuple[object, Transform]] = {
        "shift": (settings.shift, partial(transforms.drawn_shifts, amount=settings.shift, samples=samples)),
        "speed": (settings.speed, partial(transforms.drawn_speeds, amount=settings.speed)),
        "pitch": (settings.pitch, partial(transforms.drawn_pitches, amount=settings.pitch)),
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
    used = settings.count and settings.probability
    return {name: transform for name, (on, transform) in every.items() if on and used}


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
    active = active_sound_transforms(settings, samples=samples, rate=rate, background=background)
    if not active:
        return AugmentedSounds(sounds[:, margin : margin + samples])
    key_choice, key_amounts = jax.random.split(key)
    chosen = choose_transforms(key_choice, batch, len(active), count=settings.count, probability=settings.probability)
    of_clip = dict(zip(active, chosen.T, strict=True))
    keys = {name: jax.random.split(jax.random.fold_in(key_amounts, index), batch) for index, name in enumerate(active)}
    drawn = {
        name: jnp.where(of_clip[name], active[name](keys[name]), unchanged)
        for name, unchanged in UNCHANGED.items()
        if name in active
    }
    starts = margin + drawn.get("shift", jnp.zeros(batch, jnp.int32))
    clips = transforms.read_clips(sounds, starts, drawn.get("speed"), samples=samples)
    for name, transform in active.items():
        if name not in drawn:
            clips = jnp.where(of_clip[name][:, None], transform(clips, keys[name]), clips)
    return AugmentedSounds(clips, drawn.get("pitch"))
