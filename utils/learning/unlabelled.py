"""Clips that are learned by the teachers' answers alone: sound of which nobody said who sings, as soundscapes.

Source: Xie et al., Self-training with Noisy Student, arXiv:1911.04252.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int64

from config import Config, differences, load
from utils import console
from utils.learning.examples import Examples
from utils.learning.targets import Labels
from utils.recordings.splits import read_split
from utils.spectra.joined_store import JoinedStore
from utils.spectra.store import Store


def with_unlabelled(examples: Examples, config: Config) -> Examples:
    """Add the clips of the data sets `distillation.unlabelled` to those that are learned from; their labels, where they have some, are not looked at.

    Recordings that the student's own data set holds out, or that watch, are left out, and clips that are learned from
    with their labels. So the data set itself can be named, too: it adds what `training.signal_interval` leaves out.

    Raises
    ------
    UserError
        If a store is missing, was made with other settings, or has nothing to add.
    """
    roots = config.distillation.unlabelled
    if not roots:
        return examples
    stores = [_open(root, config) for root in roots]
    begin, added = len(examples.store.clips), []
    for root, store in zip(roots, stores, strict=True):
        rows = _rows(store, root, examples, config)
        console.say(f"{console.shown(root)}: {len(rows):,} clips without labels")
        added.append(begin + rows)
        begin += len(store.clips)
    rows = np.concatenate(added)
    others = np.full((len(rows), examples.labels.others.shape[1]), -1, np.int32)
    new = Labels(np.full(len(rows), -1, np.int32), others, np.ones(len(rows), np.float32))
    labels = Labels(*(np.concatenate(pair) for pair in zip(examples.labels, new, strict=True)))
    whole = JoinedStore([*examples.stores, *stores])
    return replace(examples, store=whole, rows=np.concatenate([examples.rows, rows]), labels=labels)


def _open(root: Path, config: Config) -> Store:
    settings = root / "spec" / "settings.toml"
    changed = differences(load(settings), config, of=("spectrogram.", "clips.length")) if settings.is_file() else []
    if changed:
        raise console.UserError(
            f"{settings.parent}: was made with other settings ({'; '.join(changed)}), so that its clips cannot be learned beside these"
        )
    return Store(root)


def _rows(store: Store, root: Path, examples: Examples, config: Config) -> Int64[np.ndarray, " clips"]:
    """Return which of a store's clips are learned from: accepted ones of its training side."""
    itself = root.resolve() == config.dataset.root.resolve()
    train = read_split(config.dataset if itself else replace(config.dataset, root=root, folds=0, fold=0)).filter(
        side="train"
    )["recording"]
    split = config.dataset.root / "split.parquet"
    ours = read_split(config.dataset) if split.is_file() else None
    held_out = ours.filter(pl.col("side") != "train")["recording"].to_list() if ours is not None else []
    watching = examples.store.clips["recording"][examples.val_rows].unique().to_list()
    chosen = store.clips.with_row_index("clip").filter(
        pl.col("accepted")
        & pl.col("recording").is_in(train.to_list())
        & ~pl.col("recording").is_in(held_out + watching)
    )
    if itself:
        learned = examples.store.clips[examples.rows].select("recording", "number")
        chosen = chosen.join(learned, on=["recording", "number"], how="anti", maintain_order="left")
    rows = chosen["clip"].cast(pl.Int64).to_numpy()
    if len(rows) == 0:
        raise console.UserError(
            f"{root}: has no clip to add; its recordings must stand in train/ of its split, and spec.py must have accepted clips of them"
        )
    return rows
