"""The rows of the contact sheet: each a clip, and what an augmentation makes of it; of sound where it is at hand."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int16, PRNGKeyArray, UInt8

from config import Augmentation, Config, Spectrogram, Waveform
from utils import console
from utils.augmentation_checks import OFF, SOUND_RULES
from utils.learning.augmentation.images import EXAMPLE_AMOUNTS, active_transforms, augment, mixup
from utils.learning.augmentation.sounds import EXAMPLE_SOUND_AMOUNTS, SoundBank, augment_sounds
from utils.models.input_scaling import Images, from_pixels
from utils.plotting import new_figure, write_figure
from utils.spectra.on_device import compute_spectrograms, reason_against_device
from utils.spectra.stored_sound import from_16_bit

RULES = {"count", "probability", "chances", "stripes", "mixup", "mixup_share"}  # settings that are no transforms
SOUND_NAMES = [field.name for field in dataclasses.fields(Waveform) if field.name not in {*SOUND_RULES, "mixup"}]
PANEL = (2.0, 1.0)  # width and height of a clip, inches


class ClipSounds(NamedTuple):
    """The sound of clips.

    Attributes
    ----------
    rows : each scaled by its own peak, with `margin` samples before and after it
    peaks : their largest samples
    background : sounds for `waveform.background`; none: it is not shown
    """

    rows: Int16[np.ndarray, "clips padded"]
    peaks: Float32[np.ndarray, " clips"]
    background: Int16[np.ndarray, "bank samples"]
    margin: int


class Material(NamedTuple):
    """What the contact sheet is drawn from: clips, those with the highest signal scores first, and noise.

    `sounds` are those of the same clips; None: only augmentations of spectrograms are shown.
    """

    clips: UInt8[np.ndarray, "clips height width"]
    noise: UInt8[np.ndarray, "noise height width"]
    sounds: ClipSounds | None = None


class TransformRow(NamedTuple):
    """A row of the contact sheet: a title, the clip, and the augmented clips, each with a caption."""

    title: str
    clip: Float[np.ndarray, "height width"]
    draws: list[tuple[Float[np.ndarray, "height width"], str]]


def all_rows(material: Material, config: Config, *, draws: int, seed: int) -> Iterator[TransformRow]:
    """Augment the clips: the rows of sound, where it is at hand, and those of spectrograms."""
    if material.sounds is not None:
        samples = material.sounds.rows.shape[1] - 2 * material.sounds.margin
        if reason := reason_against_device(config.spectrogram, samples=samples):
            console.warning(f"augmentations of sound are not on the contact sheet: {reason}")
        else:
            yield from sound_rows(material.sounds, config, draws=draws, seed=seed)
    yield from image_rows(material, config.augmentation, draws=draws, seed=seed)


def image_rows(material: Material, settings: Augmentation, *, draws: int, seed: int) -> Iterator[TransformRow]:
    """Augment spectrograms: a row for each transform, one for mixup, and one for all settings together."""
    noise, key = jnp.asarray(material.noise), jax.random.key(seed)
    names = [field.name for field in dataclasses.fields(Augmentation) if field.name not in RULES]
    for index, name in enumerate(names):
        amount = _amount_to_show(settings, name)
        stripes = settings.stripes if getattr(settings, name) == amount else EXAMPLE_AMOUNTS.stripes
        only = dataclasses.replace(OFF, stripes=stripes, **{name: amount})
        for transform in active_transforms(only, noise).values():
            copies = _copies(material, index, draws)
            keys = jax.random.split(jax.random.fold_in(key, index), draws)
            images = np.asarray(jax.jit(transform)(copies, keys))
            shown = images[:1] if (images == images[0]).all() else images  # transforms without randomness: one image
            caption = f"{_amount_text(amount)}, {stripes} stripes" if name.endswith("_mask") else _amount_text(amount)
            yield TransformRow(f"{name}\n{caption}", np.asarray(copies[0]), [(image, "") for image in shown])
    amount = _amount_to_show(settings, "mixup")
    pairs = _pair_indices(len(material.clips), draws)
    mixed, parts = mix_pairs(jnp.asarray(material.clips[pairs]) / 255, amount=amount, seed=seed)
    yield _mixup_row(f"mixup\n{_amount_text(amount)}", material.clips[0] / np.float32(255), mixed, parts)
    copies = _copies(material, 0, draws)
    augmented = augment(copies, jax.random.fold_in(key, len(names)), settings, noise)
    active = ", ".join(active_transforms(settings, noise)) or "none"
    title = f"as set: {active}\ncount {settings.count}, probability {settings.probability:g}"
    yield TransformRow(title, np.asarray(copies[0]), [(image, "") for image in np.asarray(augmented)])


def sound_rows(sounds: ClipSounds, config: Config, *, draws: int, seed: int) -> Iterator[TransformRow]:
    """Augment sounds, and compute their spectrograms: a row for each transform, one for mixup, one for all settings."""
    settings, spectrogram = config.waveform, config.spectrogram
    clips = jnp.asarray(from_16_bit(sounds.rows, sounds.peaks))
    bank, key = jnp.asarray(sounds.background), jax.random.key(seed)
    images_of = partial(_images_of_sounds, spectrogram=spectrogram, margin=sounds.margin, background=bank)
    shown = with_sound_examples(settings)
    for index, name in enumerate(SOUND_NAMES):
        if name == "background" and not len(bank):
            continue
        amount = getattr(shown, name)
        copies = jnp.stack([clips[index % len(clips)]] * draws)
        before = np.asarray(images_of(copies[:1], key, settings=Waveform(count=0)))[0]
        only = Waveform(count=1, probability=1.0, **{name: amount})
        images = np.asarray(images_of(copies, jax.random.fold_in(key, index), settings=only))
        if np.allclose(images, before, atol=1 / 255):
            shown_images = [(images[0], "no change")]
        else:
            shown_images = [(image, "") for image in images]
        yield TransformRow(f"waveform.{name}\n{_amount_text(amount)}", before, shown_images)
    pairs = jnp.asarray(_pair_indices(len(clips), draws))
    mixed, parts = mix_pairs(clips[pairs], amount=shown.mixup, seed=seed)
    mixed_images = images_of(mixed, key, settings=Waveform(count=0))
    before = np.asarray(images_of(clips[:1], key, settings=Waveform(count=0)))[0]
    yield _mixup_row(f"waveform.mixup\n{_amount_text(shown.mixup)}", before, mixed_images, parts)
    if names := [name for name in SOUND_NAMES if getattr(settings, name)]:
        images = np.asarray(images_of(jnp.stack([clips[0]] * draws), key, settings=settings))
        title = f"waveform as set: {', '.join(names)}\ncount {settings.count}, probability {settings.probability:g}"
        yield TransformRow(title, before, [(image, "") for image in images])


@partial(jax.jit, static_argnames=("settings", "spectrogram", "margin"))
def _images_of_sounds(
    sounds: Float[Array, "batch padded"],
    key: PRNGKeyArray,
    *,
    settings: Waveform,
    spectrogram: Spectrogram,
    margin: int,
    background: SoundBank,
) -> Images:
    """Return the spectrograms of augmented sounds."""
    augmented = augment_sounds(sounds, key, settings, margin=margin, rate=spectrogram.rate, background=background)
    return compute_spectrograms(augmented.samples, spectrogram, augmented.pitch)


def mix_pairs(
    pairs: Float[Array, "pairs 2 *shape"], *, amount: float, seed: int
) -> tuple[Float[Array, "pairs *shape"], Float[np.ndarray, " pairs"]]:
    """Mix the first of each pair with the second; return also the parts of the first."""
    clips = pairs.reshape(-1, *pairs.shape[2:])
    targets = jnp.tile(jnp.eye(2), (len(pairs), 1))
    mixed, parts, _ = mixup(clips, targets, jnp.ones(len(clips)), jax.random.key(seed), amount=amount)
    return mixed[::2], np.asarray(parts)[::2, 0]


def with_sound_examples(settings: Waveform) -> Waveform:
    """Return settings in which transforms that are off have an example amount."""
    names = [name for name in (*SOUND_NAMES, "mixup") if not getattr(settings, name)]
    return dataclasses.replace(settings, **{name: getattr(EXAMPLE_SOUND_AMOUNTS, name) for name in names})


def _copies(material: Material, index: int, draws: int) -> Images:
    """Return a clip as often as it is to be augmented."""
    clip = jnp.asarray(material.clips[index % len(material.clips)])
    return from_pixels(jnp.stack([clip] * draws))


def _pair_indices(clips: int, draws: int) -> np.ndarray:
    """Return the indices of the first clip and of each of the others in turn."""
    return np.array([(0, (1 + draw % max(1, clips - 1)) % clips) for draw in range(draws)])


def _mixup_row(
    title: str, clip: Float[np.ndarray, "height width"], images: Images, parts: Float[np.ndarray, " draws"]
) -> TransformRow:
    """Return the row of a clip that is mixed with others; the caption is the part of the clip itself."""
    captions = [f"{part:.0%} of this clip" for part in parts.tolist()]
    return TransformRow(title, clip, list(zip(np.asarray(images), captions, strict=True)))


def _amount_to_show(settings: Augmentation, name: str) -> Any:
    """Return the amount that is set, or the example amount if the augmentation is off."""
    amount = getattr(settings, name)
    return getattr(EXAMPLE_AMOUNTS, name) if amount == getattr(OFF, name) else amount


def _amount_text(amount: Any) -> str:
    if isinstance(amount, tuple):
        return " ".join(f"{part:g}" for part in amount)
    return "on" if amount is True else str(amount)


def draw_rows(path: Path, table: Sequence[TransformRow]) -> None:
    """Draw rows of clips, black to white for 0 to 1, before each is rescaled for the network."""
    columns = 1 + max(len(row.draws) for row in table)
    figure = new_figure(1.6 + PANEL[0] * columns, 0.4 + (PANEL[1] + 0.2) * len(table))
    grid = figure.subplots(len(table), columns, squeeze=False)
    for axes, row in zip(grid, table, strict=True):
        axes[0].set_ylabel(row.title, rotation=0, ha="right", va="center", fontsize=9)
        for panel, (image, caption) in zip(axes, [(row.clip, ""), *row.draws], strict=False):
            panel.imshow(image, cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            panel.set_xlabel(caption, fontsize=8, labelpad=1)
        for panel in axes:
            panel.set(xticks=[], yticks=[])
        for panel in axes[1 + len(row.draws) :]:
            panel.set_axis_off()
    grid[0][0].set_title("clip", fontsize=10)
    grid[0][min(1, columns - 1)].set_title("augmented", fontsize=10, loc="left")
    write_figure(path, figure, dpi=90)
