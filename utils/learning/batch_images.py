"""A batch, and the images of its clips: spectrograms as they are stored, or computed from augmented sound."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float16, Float32, Int16, PRNGKeyArray, UInt8

from config import Augmentation, Config, Distillation, Waveform
from utils.learning.augmentation.images import ClipWeights, augment, mix_with_unlabelled, mixup
from utils.learning.augmentation.sounds import augment_sounds
from utils.learning.noise import Noise
from utils.learning.targets import Labels, Targets
from utils.models.input_scaling import Images, from_pixels
from utils.spectra.clips import margin_samples
from utils.spectra.on_device import compute_spectrograms
from utils.spectra.stored_sound import FULL_SCALE


class Batch(NamedTuple):
    """Clips and their labels, and soft targets if they were computed before.

    Attributes
    ----------
    clips : spectrograms, samples with margins, or embeddings
    peaks : the largest sample of each clip, for samples
    """

    clips: (
        UInt8[Any, "*steps batch height width"]
        | Int16[Any, "*steps batch samples"]
        | Float16[Any, "*steps batch windows values"]
    )
    labels: Labels
    soft_targets: Float32[Any, "*steps batch soft_columns"] | None = None
    peaks: Float32[Any, "*steps batch"] | None = None


def augmented_images(
    batch: Batch, targets: Targets, weights: ClipWeights, noise: Noise, key: PRNGKeyArray, config: Config
) -> tuple[Images, Targets, ClipWeights]:
    """Return the images of a batch as the model sees them in training, with their targets and weights.

    Parameters
    ----------
    targets : of each class, as cross-entropies take them
    weights : weight of each clip in the loss
    key : of the step
    """
    key_augment, _, key_mix = jax.random.split(key, 3)  # the network drops units by the second
    images, targets, weights = images_of(batch, targets, weights, noise, jax.random.fold_in(key, 3), config)
    settings = config.augmentation
    if batch.clips.dtype != jnp.float16:  # embeddings are no images
        images = augment(images, key_augment, settings, noise.spectrograms)
    if batch.peaks is None:  # sounds were mixed before
        images, targets = with_soundscapes(images, targets, batch, key, config)
    if settings.mixup:
        amount, share = settings.mixup, settings.mixup_share
        images, targets, weights = mixup(images, targets, weights, key_mix, amount=amount, share=share)
    return images, targets, weights


def images_of(
    batch: Batch, targets: Targets, weights: ClipWeights, noise: Noise, key: PRNGKeyArray, config: Config
) -> tuple[Images, Targets, ClipWeights]:
    """Return the images of a batch, from 0 to 1, before augmentation of images, with their targets and weights.

    Sound is augmented by `config.waveform`, which may mix clips, and their targets with them; its spectrograms are
    rounded as in a store, so that without augmentation the model sees what a store of spectrograms holds.
    """
    if batch.peaks is None:
        return from_pixels(batch.clips), targets, weights
    settings, rate = config.waveform, config.spectrogram.rate
    key_augment, key_mix = jax.random.split(key)
    augmented = augment_sounds(
        to_float(batch.clips, batch.peaks),
        key_augment,
        settings,
        margin=margin_samples(config.clips, rate=rate),
        rate=rate,
        background=noise.sounds,
    )
    samples, targets = with_soundscapes(augmented.samples, targets, batch, key_mix, config)
    if settings.mixup:
        samples, targets, weights = mixup(
            samples, targets, weights, key_mix, amount=settings.mixup, share=settings.mixup_share
        )
    spectrograms = compute_spectrograms(samples, config.spectrogram, augmented.pitch)
    return jnp.rint(spectrograms * 255) / 255, targets, weights


def with_soundscapes(
    clips: Float[Array, "batch *shape"], targets: Targets, batch: Batch, key: PRNGKeyArray, config: Config
) -> tuple[Float[Array, "batch *shape"], Targets]:
    """Return images or sounds of which labelled ones are mixed with unlabelled ones (`pseudo_labels.mix_share`)."""
    share = config.distillation.mix_share
    if not share:
        return clips, targets
    return mix_with_unlabelled(
        clips,
        targets,
        batch.labels.primary >= 0,
        jax.random.fold_in(key, 4),
        share=share,
        multi_label=config.training.multi_label,
    )


def plain_images(batch: Batch, noise: Noise, config: Config) -> Images:
    """Return the images of a batch without augmentation, as a store of spectrograms holds them."""
    without = replace(
        config, augmentation=Augmentation(count=0), waveform=Waveform(count=0), distillation=Distillation()
    )
    none = jnp.zeros(len(batch.labels.primary))
    return images_of(batch, none[:, None], none, noise, jax.random.key(0), without)[0]


def to_float(rows: Int16[Array, "batch samples"], peaks: Float32[Array, " batch"]) -> Float[Array, "batch samples"]:
    """JAX version of `stored_sound.from_16_bit`."""
    return rows.astype(jnp.float32) * (peaks / FULL_SCALE)[:, None]
