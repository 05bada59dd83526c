"""Embeddings that the data set's store already keeps: of these clips, a test does not run the bird model again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from jaxtyping import Int64

from config import Config
from utils.console import UserError, warning
from utils.recordings.splits import read_split
from utils.scoring.inference.ensembles import Ensemble, MemberGroup, input_settings
from utils.settings_keys import changed_settings
from utils.spectra.shard_arrays import at_once
from utils.spectra.shards import Shard, plan_shards
from utils.spectra.store import SHARD_KEY, Store
from utils.spectra.store_settings import STORE_SETTINGS, settings_of_store
from utils.spectra.stored_sound import ModelInput
from utils.storage import Storage, open_storage


@dataclass(frozen=True, eq=False)
class StoredEmbeddings:
    """The embeddings of a recording's first clips, which are read from the store when they are needed.

    Attributes
    ----------
    store : that keeps them
    rows : of its clips, in order of time
    warnings : what is odd about the recording's file
    to_be_decoded : whether only decoding the recording, as far as these clips reach, tells its warnings
    """

    store: Store
    rows: Int64[np.ndarray, " clips"]
    warnings: tuple[str, ...] = ()
    to_be_decoded: bool = False

    @property
    def count(self) -> int:
        """Number of clips."""
        return len(self.rows)

    def blocks(self, size: int) -> Iterator[ModelInput]:
        """Yield the embeddings in blocks of at most `size`.

        Raises
        ------
        UserError
            If a shard was damaged since the store was opened.
        """
        yield from (self.store.spectrograms(self.rows[first : first + size]) for first in range(0, self.count, size))


def stored_embeddings(
    ensemble: Ensemble, recordings: pl.DataFrame, config: Config
) -> dict[tuple[int, int], StoredEmbeddings]:
    """Return what the store keeps for an ensemble, by the index of the recording and that of the group of members.

    It has to keep all clips of the grid, by the same bird model and the same settings, and no file may have changed
    since, by size and time, among the recordings of the same shard. Workers of a cluster read no store.

    Parameters
    ----------
    recordings : with the columns `recording` and `file`
    """
    bird_models = [index for index, group in enumerate(ensemble.groups) if group.external.sha256]
    if not bird_models or config.cluster.address:
        return {}
    try:
        made_with = settings_of_store(config)
        fitting = [index for index in bird_models if made_with and _keeps_clips_of(made_with, ensemble.groups[index])]
        if made_with is None or not fitting or not open_storage(config.dataset.store_at).exists("clips.parquet"):
            return {}
        kept = _kept_recordings(recordings, made_with, config)
    except UserError as error:
        warning(f"{error}; until then the bird model runs on the recordings themselves")
        return {}
    return {(row, index): found for row, found in kept.items() for index in fitting}


def _keeps_clips_of(made_with: Config, group: MemberGroup) -> bool:
    """Tell whether a store with these settings keeps embeddings of a grid of clips as the members take them."""
    clips, spectrogram, external = input_settings(made_with)
    stored = replace(Config(), clips=clips, spectrogram=spectrogram, external=external)
    taken = replace(Config(), clips=group.clips, spectrogram=group.spectrogram, external=group.external)
    kept = made_with.clips.keep == "embeddings" and made_with.clips.choose == "grid"
    return kept and not changed_settings(stored, taken, of=STORE_SETTINGS)


def _kept_recordings(recordings: pl.DataFrame, made_with: Config, config: Config) -> dict[int, StoredEmbeddings]:
    """Return the recordings of which the store keeps all clips, by index."""
    store = Store(config.dataset.root, at=config.dataset.store)
    unchanged = _unchanged_recordings(recordings, store, replace(made_with, dataset=config.dataset))
    total = pl.col("scores").list.sum() + pl.col("without_event")
    whole = store.recordings.filter(pl.col("kept") + pl.col("noise") == total)
    usable = {name: text for name, text in whole.select("recording", "warning").iter_rows() if name in unchanged}
    clips = store.clips.select("recording", "index").with_row_index("row").filter(pl.col("recording").is_in([*usable]))
    rows = clips.sort("recording", "index").group_by("recording").agg("index", "row")
    rows_of = {name: (indices, found) for name, indices, found in rows.iter_rows()}
    cap, kept = config.testing.max_clips, {}
    for position, name in enumerate(recordings["recording"]):
        indices, found = rows_of.get(name, ([], []))
        if found and indices == list(range(len(found))):
            # where the last clip that counts ends, decoding ends, too
            decode = usable[name] is not None or 0 < cap <= len(found)
            kept[position] = StoredEmbeddings(store, np.array(found[: cap or None], np.int64), to_be_decoded=decode)
    return kept


def _unchanged_recordings(recordings: pl.DataFrame, store: Store, config: Config) -> set[str]:
    """Return those of the recordings that are in shards which spec.py would not make again.

    Parameters
    ----------
    config : with the settings that the store was made with
    """
    split = read_split(config.dataset)
    wanted = split.join(recordings.select("recording", "file"), on=["recording", "file"], how="semi")
    of_classes = split.filter(pl.col("class").is_in(wanted["class"].unique().to_list()))
    names = set(wanted["recording"])
    shards = [shard for shard in plan_shards(of_classes, config, store.folder) if names & set(shard.rows["recording"])]
    same = at_once(store.storage, lambda shard: _is_unchanged(shard, store.storage), shards)
    return {
        name
        for shard, unchanged in zip(shards, same, strict=True)
        if unchanged
        for name in names & set(shard.rows["recording"])
    }


def _is_unchanged(shard: Shard, storage: Storage) -> bool:
    try:
        return storage.read(f"shards/{shard.name}/{SHARD_KEY}") == shard.key.encode()
    except FileNotFoundError:
        return False
