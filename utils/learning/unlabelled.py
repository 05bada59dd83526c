"""Unlabelled clips, such as soundscapes, which are learned from the teachers' predictions alone.

Source: Xie et al., Self-training with Noisy Student, arXiv:1911.04252.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int64

from config import Config, Dataset
from utils import console
from utils.learning.added_clips import with_added_clips
from utils.learning.examples import Examples
from utils.recordings.splits import has_split, read_split
from utils.settings_keys import changed_settings
from utils.spectra.store import Store
from utils.spectra.store_settings import settings_of_store

SOUND_SETTINGS = ("clips.length", "spectrogram.rate", "spectrogram.channel")  # of the sound of a clip
STORED_SOUND = (*SOUND_SETTINGS, "clips.keep", "clips.margin")


def with_unlabelled(examples: Examples, config: Config) -> Examples:
    """Add the clips of the data sets `distillation.unlabelled` to those that are learned from, without their labels.

    Held-out and validation recordings of the student's data set are left out, and clips that are already learned from
    with labels. So the data set itself can be named too: it adds what `training.signal_interval` leaves out.

    Raises
    ------
    UserError
        If a store does not exist, was made with other settings, or has nothing to add.
    """
    roots = config.distillation.unlabelled
    if not roots:
        return examples
    stores = [_open_store(root, config) for root in roots]
    start, added = len(examples.store.clips), []
    for root, store in zip(roots, stores, strict=True):
        rows = _unlabelled_rows(store, root, examples, config)
        console.info(f"{console.printable(root)}: {len(rows):,} unlabelled clips")
        added.append(start + rows)
        start += len(store.clips)
    ratio = config.distillation.unlabelled_ratio
    return with_added_clips(examples, stores, np.concatenate(added), primary=-1, drawn_ratio=ratio)


def check_unlabelled(config: Config) -> None:
    """Refuse data sets that rounds cannot learn from without labels, before hours of training.

    Raises
    ------
    UserError
        If a store does not exist or was made with other settings, or it is the data set with the labels.
    """
    for root in config.distillation.unlabelled:
        if root.resolve() == config.dataset.root.resolve():
            raise console.UserError(
                f"distillation.unlabelled: {root} is the data set with the labels, whose recordings the first models "
                "learn from, so that they get no pseudo labels; name other data sets"
            )
        _open_store(root, config)


def dataset_at(root: Path, config: Config) -> Dataset:
    """Return the settings of a data set of `distillation.unlabelled`: the student's, or one without folds."""
    if root.resolve() == config.dataset.root.resolve():
        return config.dataset
    return replace(config.dataset, root=root, store=None, folds=0, fold=0)


def _open_store(root: Path, config: Config) -> Store:
    dataset = dataset_at(root, config)
    made_with = settings_of_store(replace(config, dataset=dataset))
    changed = _unsuitable(made_with, config) if made_with else []
    if changed:
        raise console.UserError(
            f"{dataset.store_at}: was made with other settings ({'; '.join(changed)}), so its clips cannot be used for "
            "this training"
        )
    return Store(root, config.spectrogram, at=dataset.store)


def _unsuitable(made_with: Config, config: Config) -> list[str]:
    """Say which settings of a store keep its clips from this training; sound serves all kinds of spectrogram."""
    if config.trains_on_sound:
        return changed_settings(made_with, config, of=STORED_SOUND)
    of = SOUND_SETTINGS if made_with.clips.keep == "sound" else ("spectrogram.", "clips.length")
    return changed_settings(made_with, config, of=of)


def _unlabelled_rows(store: Store, root: Path, examples: Examples, config: Config) -> Int64[np.ndarray, " clips"]:
    """Return which clips of a store are learned from: the accepted ones of its train/."""
    same_data_set = root.resolve() == config.dataset.root.resolve()
    train = read_split(dataset_at(root, config), sounds=same_data_set).filter(split="train")["recording"]
    excluded = _held_out(config) + examples.store.clips["recording"][examples.validation_rows].unique().to_list()
    chosen = store.clips.with_row_index("clip").filter(
        pl.col("accepted") & pl.col("recording").is_in(train.to_list()) & ~pl.col("recording").is_in(excluded)
    )
    if same_data_set:
        learned = examples.store.clips[examples.rows].select("recording", "index")
        chosen = chosen.join(learned, on=["recording", "index"], how="anti", maintain_order="left")
    rows = chosen["clip"].cast(pl.Int64).to_numpy()
    if len(rows) == 0:
        raise console.UserError(
            f"{root}: no clips to add; its split must have recordings in train/, and spec.py must have kept clips "
            "of them"
        )
    return rows


def _held_out(config: Config) -> list[str]:
    """Return the held-out recordings of the student's data set."""
    if not has_split(config.dataset):
        return []
    return read_split(config.dataset).filter(pl.col("split") != "train")["recording"].to_list()
