"""Clips of `training.noise_folder`, which are learned with no species."""

from dataclasses import replace

import numpy as np

from config import Config
from utils.console import UserError, info
from utils.learning.added_clips import with_added_clips
from utils.learning.examples import Examples
from utils.learning.hosts import host_count
from utils.learning.sampling import drawn_per_epoch
from utils.recordings.recording import NOISE
from utils.spectra.noise_store import open_noise_store
from utils.spectra.store import Store


def with_noise_folder(examples: Examples, config: Config) -> Examples:
    """Add the clips of `training.noise_folder` to those that are learned from: of the class Noise if there is one.

    If there is none, they have no class, so that the targets of all classes are `training.absent_target`. Validation is
    as without them.

    Raises
    ------
    UserError
        If none of its recordings can be used, some are in `testing.noise_folder`, too, `training.noise_ratio` draws no
        clip, or several hosts train together.
    """
    folder, store = config.training.noise_folder, examples.store
    if folder is None:
        return examples
    assert isinstance(store, Store)  # noqa: S101 — other settings are refused
    if host_count() > 1:
        raise UserError("training.noise_folder: is learned by one host alone; remove it, or --coordinator")
    noise = open_noise_store(store, folder, config)
    count = len(noise.clips)
    primary = examples.classes.index(NOISE) if NOISE in examples.classes else -1
    info(
        f"training.noise_folder: {count:,} clips of {noise.clips['recording'].n_unique():,} recordings without birds, "
        f"learned as {'the class Noise' if NOISE in examples.classes else 'no species'}"
    )
    settings, rows = config.training, len(store.clips) + np.arange(count)
    joined = with_added_clips(examples, [noise], rows, primary=primary, drawn_ratio=settings.noise_ratio)
    joined = replace(joined, noise_clips=count)
    if not drawn_per_epoch(joined.sampled_classes, settings, drawn_ratio=joined.drawn_ratio):
        raise UserError(
            f"training.noise_ratio = {settings.noise_ratio:g}: no clip of training.noise_folder would be learned in an "
            "epoch; increase it"
        )
    return joined
