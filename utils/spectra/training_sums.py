"""Sums over the pixels of clips that a model learns from: those that spec.py saved, and the others in one pass."""

from collections.abc import Collection, Iterator

import numpy as np
import polars as pl
from jaxtyping import Int64

from utils import console
from utils.spectra.image_folder import ImageFolder
from utils.spectra.joined_store import JoinedStore
from utils.spectra.pack import Pack
from utils.spectra.pixel_sums import PixelSums, pixel_sums, total_of
from utils.spectra.store import PIXEL_SUM_COLUMNS, Store
from utils.tables import write_table

CLIPS_AT_ONCE = 64  # in memory


def sums_over_recordings(store: Store | ImageFolder | JoinedStore, rows: Int64[np.ndarray, " clips"]) -> PixelSums:
    """Return the sums over all accepted clips of the recordings that some clips belong to.

    Also over those that training leaves out (`training.signal_interval`, limits per class), each once, and not over
    rejected clips, even if training learns them as noise: so they follow from the recordings alone.

    Parameters
    ----------
    rows : rows of `store.clips`, at least one of an accepted clip

    Raises
    ------
    UserError
        If the store is damaged.
    """
    owners = store.owners_of(rows) if isinstance(store, JoinedStore) else [(store, rows)]
    recordings: dict[str, set[str]] = {}
    stores = {str(owner.folder): owner for owner, _ in owners}  # a data set can be joined with itself
    for owner, some in owners:
        learned = owner.clips[some].filter(pl.col("accepted"))["recording"].unique()
        recordings.setdefault(str(owner.folder), set()).update(learned)
    parts = [part for folder, names in recordings.items() for part in _sums_of_store(stores[folder], names)]
    return total_of(parts, height=store.spectrograms(rows[:1]).shape[1])


def _sums_of_store(store: Store | ImageFolder, recordings: Collection[str]) -> Iterator[PixelSums]:
    """Yield sums over the accepted clips of some recordings of one store."""
    if isinstance(store, Store) and not isinstance(store, Pack) and store.keeps_sound:
        _save_missing_sums(store, recordings)
    saved = {} if isinstance(store, ImageFolder) else store.pixel_sums(recordings)
    yield from saved.values()
    others = pl.col("accepted") & pl.col("recording").is_in([name for name in recordings if name not in saved])
    rows = store.clips.with_row_index("clip").filter(others)["clip"].cast(pl.Int64).to_numpy()
    if len(rows) == 0:
        return
    with console.progress("mean and deviation", total=len(rows), unit="clips") as advance:
        for start in range(0, len(rows), CLIPS_AT_ONCE):
            some = rows[start : start + CLIPS_AT_ONCE]
            yield pixel_sums(store.spectrograms(some))
            advance(len(some))


def _save_missing_sums(store: Store, recordings: Collection[str]) -> None:
    """Save the sums of the shards of some recordings for which nobody computed these spectrograms yet."""
    accepted = store.clips.with_row_index("clip").filter("accepted")
    shards = accepted.filter(pl.col("recording").is_in(list(recordings)))["shard"].unique().sort()
    missing = accepted.filter(
        pl.col("shard").is_in([shard for shard in shards if not store.pixel_sums_of_shard(shard).is_file()])
    )
    if missing.is_empty():
        return
    with console.progress("mean and deviation", total=len(missing), unit="clips") as advance:
        for (shard,), clips in missing.group_by("shard", maintain_order=True):
            rows = []
            for (name,), some in clips.group_by("recording", maintain_order=True):
                sums = pixel_sums(store.spectrograms(some["clip"].cast(pl.Int64).to_numpy()))
                rows.append((name, sums.pixels, sums.sums.tolist(), sums.squares.tolist()))
                advance(len(some))
            write_table(store.pixel_sums_of_shard(str(shard)), pl.DataFrame(rows, PIXEL_SUM_COLUMNS, orient="row"))
