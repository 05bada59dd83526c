"""Noise that augmentation mixes clips with: rejected clips of the store, or the sound of a folder."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float16, Int16, Int64, UInt8

from config import Config
from utils.console import UserError
from utils.learning.background_sounds import read_background
from utils.spectra.clips import clip_samples
from utils.spectra.image_folder import ImageFolder
from utils.spectra.joined_store import JoinedStore
from utils.spectra.store import Store

NO_SOUNDS = np.zeros((0, 0), np.int16)
NOISE_BANK_SIZE = 512  # clips of noise that are kept on the device, at most


class Noise(NamedTuple):
    """Clips without birds.

    Attributes
    ----------
    spectrograms : for `augmentation.add`, which embeddings do without
    sounds : samples for `waveform.background`, each clip scaled by its own peak, with margins or without; none if that
        is off
    """

    spectrograms: UInt8[Any, "noise height width"] | Float16[Any, "noise windows values"]
    sounds: Int16[Any, "sounds samples"] = NO_SOUNDS


def read_noise(
    store: Store | ImageFolder | JoinedStore,
    rejected: Int64[np.ndarray, " rows"],
    config: Config,
    *,
    held_out: Collection[Path] = (),
) -> Noise:
    """Return some rejected clips, drawn at random, and the sounds that `waveform.background` asks for.

    Parameters
    ----------
    rejected : rows of `store.clips` that were rejected as empty
    held_out : sound files of recordings that are not learned from; no background sound either

    Raises
    ------
    UserError
        If there is no background sound, or the store is damaged.
    """
    chosen = choose_noise(rejected, seed=config.training.seed)
    some = chosen if len(chosen) else np.zeros(1, np.int64)  # of none, the shape
    spectrograms = store.spectrograms(some)[: len(chosen)]
    if isinstance(store, ImageFolder) or not config.waveform.background:
        return Noise(spectrograms)
    return Noise(spectrograms, _background(store, chosen, config, held_out))


def choose_noise(rejected: Int64[np.ndarray, " rows"], *, seed: int) -> Int64[np.ndarray, " chosen"]:
    """Draw the rejected clips that are kept on the device."""
    return np.sort(np.random.default_rng((seed, 1)).permutation(rejected)[:NOISE_BANK_SIZE])


def _background(
    store: Store | JoinedStore, chosen: Int64[np.ndarray, " rows"], config: Config, held_out: Collection[Path]
) -> Int16[np.ndarray, "noise samples"]:
    folder, settings = config.waveform.background_folder, config.spectrogram
    if folder is not None:
        samples, _, _ = clip_samples(config.clips, rate=settings.rate)
        return read_background(
            folder,
            rate=settings.rate,
            samples=samples,
            seed=config.training.seed,
            channel=settings.channel,
            excluded=held_out,
        )
    if len(chosen) == 0:
        raise UserError(
            "waveform.background: the store has no rejected clips of the recordings to learn from; set "
            "waveform.background_folder to a folder of background sound, or increase clips.noise_share and run spec.py "
            "--fresh"
        )
    return store.sounds(chosen)
