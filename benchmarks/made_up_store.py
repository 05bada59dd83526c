"""A synthetic store with its split, as sort_data.py and spec.py make them, for benchmarks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import polars as pl
from jaxtyping import Int64, Shaped

from config import Config
from utils.files import write_text
from utils.recordings.splits import SPLIT_SCHEMA
from utils.settings import to_toml
from utils.spectra.store import CLIP_COLUMNS, RECORDING_COLUMNS, array_name
from utils.spectra.stored_sound import FULL_SCALE, RowFormat, row_format
from utils.tables import write_table

CLIPS_OF_RECORDING = 20
RECORDINGS_OF_SHARD = 64
EVERY_REJECTED = 50  # one clip of this many is rejected and kept as noise
POOL = 1 << 26  # pixels or samples
PEAK = 0.5  # of all clips of sound


def made_up_store(config: Config, *, clips: int, classes: int) -> None:
    """Write a finished store and its split below `config.dataset.root`; all recordings are in train.

    The spectrograms are random parts of a long row of noise. Its standard deviation is such that PNG files take as many
    bytes (20 KB) and as much time to decode (0.23 ms) as those of real recordings; random bytes would take half as
    much. A store of sound (`clips.keep`) has random parts of a long sound instead: a sine that comes and goes, in
    noise.
    """
    rng = np.random.default_rng(0)
    index = np.arange(clips)
    label = index * classes // clips
    within = index - np.searchsorted(label, label)  # index in its class
    recording, shard = within // CLIPS_OF_RECORDING, within // (CLIPS_OF_RECORDING * RECORDINGS_OF_SHARD)
    table = _clips(
        label,
        recording,
        within % CLIPS_OF_RECORDING,
        shard,
        within % (CLIPS_OF_RECORDING * RECORDINGS_OF_SHARD),
        config,
    )
    spec = config.dataset.root / "spec"
    write_text(spec / "settings.toml", to_toml(config))
    row = row_format(config.clips, config.spectrogram, config.external)
    pool = _grey_noise(rng) if config.clips.keep == "spectrograms" else _calls_in_noise(rng)
    for (name,), rows in table.group_by("shard", maintain_order=True):
        (spec / "shards" / str(name)).mkdir(parents=True)
        np.save(spec / "shards" / str(name) / array_name(config.clips), _parts(len(rows), row, pool, rng))
    write_table(spec / "clips.parquet", table)
    _write_recordings(table, config)


def _grey_noise(rng: np.random.Generator) -> Shaped[np.ndarray, " pixels"]:
    return (rng.standard_normal(POOL, np.float32) * 6 + 90).astype(np.uint8)


def _calls_in_noise(rng: np.random.Generator) -> Shaped[np.ndarray, " samples"]:
    index = np.arange(POOL, dtype=np.float32)
    calls = np.sin(0.3 * index + 800 * np.sin(index / 4000)) * np.maximum(np.sin(index / 2500), 0)
    sound = 0.8 * calls + np.clip(0.03 * rng.standard_normal(POOL, np.float32), -0.2, 0.2)
    return (sound * FULL_SCALE).astype("<i2")


def _parts(
    count: int, row: RowFormat, pool: Shaped[np.ndarray, " values"], rng: np.random.Generator
) -> Shaped[np.ndarray, "count ..."]:
    """Return random parts of a pool."""
    size = row.bytes // row.dtype.itemsize
    parts = np.empty((count, size), row.dtype)
    for part, start in zip(parts, rng.integers(0, len(pool) - size, count), strict=True):
        part[:] = pool[start : start + size]
    return parts.reshape(count, *row.shape)


def _clips(
    label: Int64[np.ndarray, " clips"],
    recording: Int64[np.ndarray, " clips"],
    index: Int64[np.ndarray, " clips"],
    shard: Int64[np.ndarray, " clips"],
    row: Int64[np.ndarray, " clips"],
    config: Config,
) -> pl.DataFrame:
    species = pl.format("Species {}", pl.col("label").cast(pl.String).str.zfill(5))
    return (
        pl.DataFrame({"label": label, "of": recording, "index": index, "part": shard, "row": row})
        .with_columns(species.alias("class"))
        .with_columns(
            pl.format("{}/R{}", "class", "of").alias("recording"),
            pl.format("{}-{}", "class", pl.col("part").cast(pl.String).str.zfill(3)).alias("shard"),
            pl.lit([], CLIP_COLUMNS["background"]).alias("background"),
            ((config.clips.length - config.clips.overlap) * pl.col("index")).alias("start"),
            pl.lit(config.clips.length).alias("length"),
            pl.lit(0.05).alias("score"),
            (pl.int_range(pl.len()) % EVERY_REJECTED != EVERY_REJECTED - 1).alias("accepted"),
            pl.lit(1.0).alias("weight"),
            pl.lit(None).alias("strength"),
            pl.lit(PEAK if config.clips.keep == "sound" else None).alias("peak"),
        )
        .select(pl.col(name).cast(kind) for name, kind in CLIP_COLUMNS.items())
    )


def _write_recordings(clips: pl.DataFrame, config: Config) -> None:
    """Write the tables of recordings: the store's, and the split."""
    found = clips.group_by("recording", maintain_order=True).agg(
        pl.col("class").first(),
        kept=pl.col("accepted").sum(),
        noise=(~pl.col("accepted")).sum(),
        seconds=pl.col("start").max() + config.clips.length,
    )
    unknown = dict.fromkeys(("scores", "reason", "warning", "without_event"), pl.lit(None))
    known = found.with_columns(rejected=pl.col("noise"), **unknown)
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
