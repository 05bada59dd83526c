"""A synthetic store with its split, as sort_data.py and spec.py make them, for benchmarks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import polars as pl
from jaxtyping import Int64, UInt8

from config import Config
from utils.files import write_text
from utils.recordings.splits import SPLIT_SCHEMA
from utils.settings import to_toml
from utils.spectra.store import CLIP_COLUMNS, RECORDING_COLUMNS
from utils.tables import write_table

CLIPS_OF_RECORDING = 20
RECORDINGS_OF_SHARD = 64
EVERY_REJECTED = 50  # one clip of this many is rejected and kept as noise
POOL = 1 << 26  # pixels


def made_up_store(config: Config, *, clips: int, classes: int) -> None:
    """Write a finished store and its split below `config.dataset.root`; all recordings are in train.

    The spectrograms are random parts of a long row of noise. Its standard deviation is such that PNG files take as many
    bytes (20 KB) and as much time to decode (0.23 ms) as those of real recordings; random bytes would take half as
    much.
    """
    rng = np.random.default_rng(0)
    index = np.arange(clips)
    label = index * classes // clips
    within = index - np.searchsorted(label, label)  # index in its class
    recording, shard = within // CLIPS_OF_RECORDING, within // (CLIPS_OF_RECORDING * RECORDINGS_OF_SHARD)
    table = _clips(
        label, recording, within % CLIPS_OF_RECORDING, shard, within % (CLIPS_OF_RECORDING * RECORDINGS_OF_SHARD)
    )
    spec = config.dataset.root / "spec"
    write_text(spec / "settings.toml", to_toml(config))
    pool = (rng.standard_normal(POOL, np.float32) * 6 + 90).astype(np.uint8)
    for (name,), rows in table.group_by("shard", maintain_order=True):
        (spec / "shards" / str(name)).mkdir(parents=True)
        np.save(
            spec / "shards" / str(name) / "spectrograms.npy",
            _spectrograms(len(rows), config.spectrogram.shape, pool, rng),
        )
    write_table(spec / "clips.parquet", table)
    _write_recordings(table, config)


def _spectrograms(
    count: int, shape: tuple[int, int], pool: UInt8[np.ndarray, " pixels"], rng: np.random.Generator
) -> UInt8[np.ndarray, "clips height width"]:
    size = shape[0] * shape[1]
    spectrograms = np.empty((count, size), np.uint8)
    for spectrogram, start in zip(spectrograms, rng.integers(0, len(pool) - size, count), strict=True):
        spectrogram[:] = pool[start : start + size]
    return spectrograms.reshape(count, *shape)


def _clips(
    label: Int64[np.ndarray, " clips"],
    recording: Int64[np.ndarray, " clips"],
    index: Int64[np.ndarray, " clips"],
    shard: Int64[np.ndarray, " clips"],
    row: Int64[np.ndarray, " clips"],
) -> pl.DataFrame:
    species = pl.format("Species {}", pl.col("label").cast(pl.String).str.zfill(5))
    return (
        pl.DataFrame({"label": label, "of": recording, "index": index, "part": shard, "row": row})
        .with_columns(species.alias("class"))
        .with_columns(
            pl.format("{}/R{}", "class", "of").alias("recording"),
            pl.format("{}-{}", "class", pl.col("part").cast(pl.String).str.zfill(3)).alias("shard"),
            pl.lit([], CLIP_COLUMNS["background"]).alias("background"),
            (0.75 * pl.col("index")).alias("start"),
            pl.lit(1.0).alias("length"),
            pl.lit(0.05).alias("score"),
            (pl.int_range(pl.len()) % EVERY_REJECTED != EVERY_REJECTED - 1).alias("accepted"),
            pl.lit(1.0).alias("weight"),
            pl.lit(None).alias("strength"),
        )
        .select(pl.col(name).cast(kind) for name, kind in CLIP_COLUMNS.items())
    )


def _write_recordings(clips: pl.DataFrame, config: Config) -> None:
    """Write the tables of recordings: the store's, and the split."""
    found = clips.group_by("recording", maintain_order=True).agg(
        pl.col("class").first(),
        kept=pl.col("accepted").sum(),
        noise=(~pl.col("accepted")).sum(),
        seconds=pl.col("start").max() + 1,
    )
    known = found.with_columns(rejected=pl.col("noise"), scores=pl.lit(None), reason=pl.lit(None), warning=pl.lit(None))
    write_table(
        config.dataset.root / "spec" / "recordings.parquet",
        known.select(pl.col(name).cast(kind) for name, kind in RECORDING_COLUMNS.items()),
    )
    split = found.with_columns(
        file=pl.format("train/{}.wav", "recording"),
        background=pl.lit([], SPLIT_SCHEMA["background"]),
        unsure=pl.lit(False),
        quality=pl.lit(None),
        events=pl.lit([], SPLIT_SCHEMA["events"]),
        split=pl.lit("train"),
        fold=pl.lit(None),
        group=pl.col("recording"),
        reason=pl.lit("made up"),
    )
    write_table(
        config.dataset.root / "split.parquet",
        split.select(pl.col(name).cast(kind) for name, kind in SPLIT_SCHEMA.items()),
    )
