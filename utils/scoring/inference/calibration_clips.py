"""Clips by which a network is turned into int8: of the recordings that it was trained with, never of held-out ones."""

import numpy as np
import polars as pl

from utils.console import UserError
from utils.models.snapshots import Snapshot, recordings_used
from utils.spectra.store import Store
from utils.spectra.store_settings import check_settings
from utils.spectra.stored_sound import ModelInput

CLIPS = 256  # enough for the ranges of values to change little
SEED = 20  # of the choice of clips


def calibration_clips(snapshot: Snapshot) -> ModelInput:
    """Draw what a network takes of clips at random, from the store that it was trained on, the same in every call.

    Raises
    ------
    UserError
        If there is no such store, or it has none of the recordings.
    """
    root = snapshot.config.dataset.root
    why = f"{snapshot.folder}: int8 needs clips that the model was trained on, from {snapshot.config.dataset.store_at}"
    try:
        check_settings(snapshot.config)
        store = Store(root, snapshot.config.spectrogram, at=snapshot.config.dataset.store)
    except UserError as error:
        raise UserError(f"{why}, but {error}") from None
    used = pl.col("accepted") & pl.col("recording").is_in(list(recordings_used(snapshot)))
    rows = store.clips.with_row_index("clip").filter(used)["clip"].to_numpy().astype(np.int64)
    if not len(rows):
        raise UserError(f"{why}, which has none; use testing.engine = onnx, or run spec.py")
    drawn = np.random.default_rng(SEED).choice(rows, min(CLIPS, len(rows)), replace=False)
    return store.spectrograms(np.sort(drawn))
