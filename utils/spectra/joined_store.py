"""Several stores as one: the clips of the second follow those of the first."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Int64, UInt8

from utils.spectra.image_folder import PictureFolder
from utils.spectra.store import Store


class JoinedStore:
    """Stores, all of one picture size, that are read as one.

    Attributes
    ----------
    stores : what is joined
    folder : that of the first
    clips, recordings : as those of a store
    """

    def __init__(self, stores: Sequence[Store | PictureFolder]) -> None:
        self.stores = tuple(stores)
        self.folder = stores[0].folder
        self.clips = pl.concat([store.clips for store in stores])
        self.recordings = pl.concat([store.recordings for store in stores])
        self._begins = np.cumsum([0, *(len(store.clips) for store in stores)])

    def pictures(self, clips: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width"]:
        """Gather the pictures of the given rows of `clips`; there must be at least one. Raises as a store's."""
        owners = np.searchsorted(self._begins, clips, side="right") - 1
        found = {
            int(owner): self.stores[owner].pictures(clips[owners == owner] - self._begins[owner])
            for owner in np.unique(owners)
        }
        pictures = np.empty((len(clips), *next(iter(found.values())).shape[1:]), np.uint8)
        for owner, own in found.items():
            pictures[owners == owner] = own
        return pictures
