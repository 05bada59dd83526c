"""The tables of a shard: its clips, its recordings, sums over their pixels, and the peaks at which clips were cut."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from utils.console import Failure
from utils.recordings.labels import labels_of_clips
from utils.spectra.clip_parts import Part
from utils.spectra.shards import Shard
from utils.spectra.store import (
    CLIP_COLUMNS,
    PEAK_COLUMNS,
    PIXEL_SUM_COLUMNS,
    RECORDING_COLUMNS,
    UNRATED_WEIGHT,
)


def clip_table(shard: Shard, parts: Sequence[Part | None]) -> pl.DataFrame:
    """Return the clips of a shard, in order of recordings and of time; recordings without a part have none."""
    tables = [
        _clips_of_recording(row, part, length=shard.jobs[0].clips.length)
        for row, part in zip(shard.rows.iter_rows(named=True), parts, strict=True)
        if part
    ]
    schema = {name: dtype for name, dtype in CLIP_COLUMNS.items() if name not in ("shard", "row")}
    table = pl.DataFrame(
        {name: [value for columns in tables for value in columns[name]] for name in schema}, schema=schema
    )
    return table.with_columns(
        pl.col("strength", "peak").fill_nan(None), shard=pl.lit(shard.name), row=pl.int_range(pl.len(), dtype=pl.Int32)
    )


def _clips_of_recording(row: Mapping[str, Any], part: Part, *, length: float) -> dict[str, list[Any]]:
    species_of_clips = labels_of_clips(row["events"], part.start.tolist(), length=length)
    labels = [
        _labels_of_clip(row, event, species)
        for event, species in zip(part.event.tolist(), species_of_clips, strict=True)
    ]
    return {
        "recording": [row["recording"]] * len(labels),
        "class": [primary for primary, _ in labels],
        "background": [background for _, background in labels],
        "index": part.index.tolist(),
        "start": part.start.tolist(),
        "length": [length] * len(labels),
        "score": part.score.tolist(),
        "accepted": part.accepted.tolist(),
        "weight": [UNRATED_WEIGHT if row["quality"] is None else row["quality"]] * len(labels),
        "strength": part.strength.tolist(),
        "peak": part.peak.tolist(),
    }


def _labels_of_clip(row: Mapping[str, Any], event: int, species: Sequence[str]) -> tuple[str, list[str]]:
    """Return the primary label and the background labels of a clip.

    Parameters
    ----------
    row : its recording, whose labels count unless the clip has events
    event : index of the event that it was cut for, whose species is the primary label; -1: none
    species : species of all events in the clip
    """
    if event >= 0:
        primary = row["events"][event]["species"]
        return primary, [other for other in species if other != primary]
    if row["class"]:
        return row["class"], row["background"]
    primary, *background = species or [""]
    return primary, background


def peak_table(shard: Shard, parts: Sequence[Part | None]) -> pl.DataFrame:
    """Return all peaks of a shard's recordings."""
    rows = []
    for name, part in zip(shard.rows["recording"], parts, strict=True):
        if part:
            accepted = set(part.index[part.accepted].tolist())
            rows += [
                (name, round(seconds, 6), round(strength, 2), int(index) in accepted)
                for seconds, strength, index in part.peaks.tolist()
            ]
    return pl.DataFrame(rows, schema=PEAK_COLUMNS, orient="row")


def pixel_sum_table(shard: Shard, parts: Sequence[Part | None]) -> pl.DataFrame:
    """Return the sums over the accepted clips of a shard's recordings; those whose parts have none are left out."""
    rows = [
        (name, part.sums.pixels, part.sums.sums.tolist(), part.sums.squares.tolist())
        for name, part in zip(shard.rows["recording"], parts, strict=True)
        if part and part.sums
    ]
    return pl.DataFrame(rows, schema=PIXEL_SUM_COLUMNS, orient="row")


def recording_table(shard: Shard, parts: Sequence[Part | None], failures: Mapping[str, Failure]) -> pl.DataFrame:
    """Return the recordings of a shard; those without a part with the reason from `failures`."""
    rows = []
    for row, part in zip(shard.rows.iter_rows(named=True), parts, strict=True):
        name = [row["recording"], row["class"]]
        if part:
            accepted = int(part.accepted.sum())
            counts = [part.seconds, accepted, len(part.accepted) - accepted, part.rejected, part.histogram.tolist()]
            rows.append([*name, *counts, None, part.warning, part.without_event])
        else:
            rows.append([*name, None, 0, 0, 0, None, failures[row["recording"]].reason, None, None])
    return pl.DataFrame(rows, schema=RECORDING_COLUMNS, orient="row")
