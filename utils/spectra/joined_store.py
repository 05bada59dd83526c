"""Several stores read as one: the clips of the second follow those of the first."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int16, Int64, Shaped

from utils.spectra.image_folder import ImageFolder
from utils.spectra.store import Store
from utils.spectra.stored_sound import ModelInput


class JoinedStore:
    """Several stores with spectrograms of one size, read as one.

    Attributes
    ----------
    stores : the stores
    folder : folder of the first
    keeps_sound : whether all keep the sound of clips
    clips, recordings : tables as those of a store
    """

    def __init__(self, stores: Sequence[Store | ImageFolder]) -> None:
        self.stores = tuple(stores)
        self.folder = stores[0].folder
        self.keeps_sound = all(store.keeps_sound for store in stores)
        self.clips = pl.concat([store.clips for store in stores])
        self.recordings = pl.concat([store.recordings for store in stores])
        self._offsets = np.cumsum([0, *(len(store.clips) for store in stores)])

    def spectrograms(self, clips: Int64[np.ndarray, " n"]) -> ModelInput:
        """Read the spectrograms of the given rows of `clips`, at least one; raises the errors of the stores."""
        return self._read(clips, lambda store, rows: store.spectrograms(rows))

    def sounds(self, clips: Int64[np.ndarray, " n"]) -> Int16[np.ndarray, "n samples"]:
        """Read the samples, with margins, of the given rows of `clips`; raises errors as `spectrograms`."""
        return self._read(clips, lambda store, rows: store.sounds(rows))

    def _read(
        self,
        clips: Int64[np.ndarray, " n"],
        read: Callable[[Any, Int64[np.ndarray, " some"]], Shaped[np.ndarray, "some ..."]],
    ) -> Shaped[np.ndarray, "n ..."]:
        owners = self._owner_indices(clips)
        parts = {owner: read(self.stores[owner], rows) for owner, rows in self._rows_by_owner(clips)}
        first = next(iter(parts.values()))
        found = np.empty((len(clips), *first.shape[1:]), first.dtype)
        for owner, part in parts.items():
            found[owners == owner] = part
        return found

    def owners_of(self, clips: Int64[np.ndarray, " n"]) -> list[tuple[Store | ImageFolder, Int64[np.ndarray, " some"]]]:
        """Return the stores that hold the given rows of `clips`, each with its rows."""
        return [(self.stores[owner], rows) for owner, rows in self._rows_by_owner(clips)]

    def _rows_by_owner(self, clips: Int64[np.ndarray, " n"]) -> list[tuple[int, Int64[np.ndarray, " some"]]]:
        owners = self._owner_indices(clips)
        return [(owner, clips[owners == owner] - self._offsets[owner]) for owner in np.unique(owners).tolist()]

    def _owner_indices(self, clips: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        return np.searchsorted(self._offsets, clips, side="right") - 1
