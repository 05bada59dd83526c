"""What a teacher's bird model makes of the clips of a store: computed from the recordings, and kept with the store.

    <root>/spec/teacher_<key>/   a store of embeddings; its clips are as long as the teacher's

The sample rate, the length of clips and the spectrograms of the student do not matter. A teacher's clip is centred on
that of the student; where the student's is longer, several are spread over it.
"""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import polars as pl
from jaxtyping import Float16, Float64, Int64

from config import Clips, Config, Dataset
from utils import console
from utils.models.snapshots import Snapshot
from utils.recordings.splits import read_split
from utils.settings_keys import short_key
from utils.spectra.further_store import fill_further_store
from utils.spectra.store import Store

CLASS = "recordings"  # of all recordings in such a store: nothing depends on their labels


@dataclass(frozen=True)
class TeacherEmbeddings:
    """Embeddings of the clips of a store.

    Attributes
    ----------
    store : a store of embeddings
    rows : of each clip of the student's store, the rows of its embeddings there
    """

    store: Store
    rows: Int64[np.ndarray, "clips parts"]

    def of(self, clips: Int64[np.ndarray, " n"]) -> Float16[np.ndarray, "_ windows values"]:
        """Read the embeddings of some rows of the student's store, those of a clip one after the other."""
        found: Float16[np.ndarray, "_ windows values"] = self.store.spectrograms(self.rows[clips].ravel())
        return found


def teacher_embeddings(store: Store, dataset: Dataset, teacher: Snapshot, config: Config) -> TeacherEmbeddings:
    """Return a teacher's embeddings of all clips of a store; they are computed now where they are missing.

    Parameters
    ----------
    dataset : whose store it is
    config : of the student

    Raises
    ------
    UserError
        If a recording can no longer be read.
    """
    length = teacher.config.clips.length
    centres = part_centres(store.clips, length=length)
    made_with = teacher.config.external
    longest = store.clips["length"].to_numpy().max().item()
    key = short_key([made_with.sha256, made_with.embedding, made_with.hop, length, longest])
    settings = replace(
        teacher.config,
        workers=config.workers,
        cluster=config.cluster,
        dataset=replace(dataset, store=store.folder / f"teacher_{key}"),
        clips=Clips(
            choose="table",
            table=store.folder / "clips.parquet",
            length=length,
            overlap=0.0,
            min_length=min(config.clips.min_length, length),
            signal_threshold=0.0,
            max_per_class=0,
            noise_share=0.0,
            keep="embeddings",
        ),
    )
    names = store.clips["recording"].unique().to_list()
    split = read_split(dataset).filter(pl.col("recording").is_in(names))
    made = _fill(split, centres, store.clips, settings)
    return TeacherEmbeddings(made, _nearest_rows(made, store.clips, centres, length=length))


def part_centres(clips: pl.DataFrame, *, length: float) -> Float64[np.ndarray, "clips parts"]:
    """Return the times, in seconds, on which the teacher's clips are centred that cover each of the student's.

    Parameters
    ----------
    clips : table of the student's store
    length : of the teacher's clips, seconds
    """
    lengths = clips["length"].to_numpy()
    parts = max(ceil(round(float(lengths.max()) / length, 6)), 1)
    centres = clips["start"].to_numpy() + lengths / 2
    spread = np.linspace(-0.5, 0.5, parts) if parts > 1 else np.zeros(1)
    return np.maximum(centres[:, None] + spread * np.maximum(lengths - length, 0)[:, None], 0.0)


def _fill(
    split: pl.DataFrame, centres: Float64[np.ndarray, "clips parts"], clips: pl.DataFrame, config: Config
) -> Store:
    """Compute what is missing of a store of embeddings, and open it."""
    by_recording = (
        pl.DataFrame({"recording": clips["recording"].repeat_by(centres.shape[1]).explode(), "time": centres.ravel()})
        .group_by("recording")
        .agg(pl.col("time").unique().sort())
    )
    times = {name: tuple(found) for name, found in by_recording.iter_rows()}
    plain = split.with_columns(
        pl.lit(CLASS).alias("class"),
        pl.col("events").list.head(0),
        pl.lit(value=False).alias("unsure"),
    )
    folder, recordings = fill_further_store(plain, config, what=f"embeddings of {config.external.title}", times=times)
    lost = recordings.filter(pl.col("reason").is_not_null())
    if len(lost):
        name, reason = lost.select("recording", "reason").row(0)
        raise console.UserError(
            f"{len(lost)} of the recordings can no longer be read for the teacher {config.external.title} "
            f"({name}: {reason}); run sort_data.py and spec.py again, which leave them out"
        )
    return Store(config.dataset.root, at=folder)


def _nearest_rows(
    made: Store, clips: pl.DataFrame, centres: Float64[np.ndarray, "clips parts"], *, length: float
) -> Int64[np.ndarray, "clips parts"]:
    """Return the row whose clip starts nearest to where it should: at the end of a recording it was moved back."""
    wanted = pl.DataFrame(
        {
            "recording": clips["recording"].repeat_by(centres.shape[1]).explode(),
            "start": np.maximum(centres.ravel() - length / 2, 0.0),
        }
    ).with_row_index("order")
    there = made.clips.select("recording", "start").with_row_index("row")
    joined = wanted.sort("start").join_asof(
        there.sort("start"), on="start", by="recording", strategy="nearest", check_sortedness=False
    )
    rows = joined.sort("order")["row"]
    if rows.null_count():
        name = joined.filter(pl.col("row").is_null())["recording"][0]
        raise console.UserError(f"{name}: is in the store but no longer in split.parquet; run spec.py again")
    return rows.cast(pl.Int64).to_numpy().reshape(centres.shape)
