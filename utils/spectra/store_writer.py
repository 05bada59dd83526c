"""Filling the store: extract what is missing, in parallel, and join it; the result depends on no order."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from config import Config
from utils import console
from utils.files import atomic_folder, empty_folder, remove_folder, unrelated_names, write_text
from utils.settings import load, to_toml
from utils.spectra.clip_parts import read_clip_part
from utils.spectra.disk_forecast import DiskForecast
from utils.spectra.earlier_shards import SOURCES, take_over, write_sources
from utils.spectra.extraction import Job, JobResult, extract
from utils.spectra.shard_tables import clip_table, peak_table, pixel_sum_table, recording_table
from utils.spectra.shards import RECORDINGS_PER_SHARD, Shard
from utils.spectra.store import (
    ADDED_CLIP_COLUMNS,
    ADDED_COLUMNS,
    CLIP_COLUMNS,
    PEAK_COLUMNS,
    PIXEL_SUMS,
    RECORDING_COLUMNS,
    RENAMED_COLUMNS,
    array_name,
    write_clips,
)
from utils.spectra.store_settings import check_settings, with_judging_spectrogram
from utils.spectra.stored_sound import row_format
from utils.tables import NONE_LATER, read_table, write_csv, write_table
from utils.workers.fanout import AHEAD_OF_SMALL_RESULTS, fan_out

STORE_FILES = (
    *("settings.toml", "clips.parquet", "recordings.parquet", "rejected.csv", "peaks.csv", "classes.csv"),
    *("overview.html", "shards", "parts", "images", "pictures", "noise"),
    *("predictions_*.npy", "answers_*.npy", "teacher_*", "noise_*"),
)
RUN_FRESH = "run spec.py --fresh"
# how the reasons start with which an earlier version rejected recordings that are now read as far as possible
RETRIED_REASONS = ("is cut off", "is damaged or cut off")


def open_store_folder(config: Config, *, fresh: bool) -> Path:
    """Return the folder of the store, emptied if `fresh`.

    Raises
    ------
    UserError
        If it holds other files, or a store made with other settings; the text names them.
    """
    folder = Path(config.dataset.store_at)
    refuse_unrelated(unrelated_names(folder, STORE_FILES), str(folder))
    if fresh:
        empty_folder(folder, first="clips.parquet")
    check_settings(config)
    if not (folder / "settings.toml").is_file():
        write_text(folder / "settings.toml", to_toml(config))
    return folder


def refuse_unrelated(names: Sequence[str], address: str) -> None:
    """Refuse a folder that holds other files than a store.

    Raises
    ------
    UserError
        That names the first of them.
    """
    if names:
        raise console.UserError(
            f"{address}: holds {names[0]}, which is not part of a store; move it elsewhere, because "
            "spec.py manages this folder"
        )


def with_settings_of_store(config: Config, folder: Path) -> Config:
    """Return `config`; for a store of sound, with the spectrograms by whose signal scores it accepts clips."""
    return with_judging_spectrogram(load(folder / "settings.toml"), config)


def fill_store(
    shards: Sequence[Shard],
    config: Config,
    folder: Path,
    *,
    work: Callable[[Job], Any] = extract,
    then: Callable[[Job], JobResult] | None = None,
) -> None:
    """Extract the recordings of all shards that are not finished, and pack each shard when its recordings are done.

    Parameters
    ----------
    work : what a worker does with a recording; returns a JobResult unless `then` does
    then : what the main process does after the worker; None: nothing
    """
    missing = unfinished_shards(shards, folder)
    to_compute = take_over(missing, folder)
    if missing:
        (folder / "clips.parquet").unlink(missing_ok=True)  # its rows would point into shards that are about to change
    shard_of = {job.name: shard for shard in missing for job in shard.jobs}
    open_jobs = {shard.name: {job.name for job in shard.jobs if job.name in to_compute} for shard in missing}
    failures: dict[str, console.Failure] = {}
    todo = [job for shard in missing for job in shard.jobs if job.name in open_jobs[shard.name]]
    done_before = sum(len(shard.jobs) for shard in shards) - len(todo)
    forecast = DiskForecast(folder, todo, largest_shard=RECORDINGS_PER_SHARD)
    passed = console.stopwatch()
    with console.progress("spectrograms", total=done_before + len(todo), unit="recordings") as advance:
        advance(done_before)
        for shard in missing:
            if not open_jobs[shard.name]:
                pack_shard(shard, failures, folder)
        seconds, clips = 0.0, 0
        with closing(
            fan_out(
                work,
                todo,
                workers=config.workers,
                name=lambda job: job.name,
                cluster=config.cluster,
                ahead=AHEAD_OF_SMALL_RESULTS,
            )
        ) as outcomes:
            for job, outcome in outcomes:
                if isinstance(outcome, console.Failure):
                    failures[job.name] = outcome
                    forecast.record(job, None)
                else:
                    result = then(job) if then else outcome
                    seconds += result.seconds
                    clips += result.clips
                    forecast.record(job, result)
                shard = shard_of[job.name]
                open_jobs[shard.name].discard(job.name)
                if not open_jobs[shard.name]:
                    pack_shard(shard, failures, folder)
                advance(1, note=f"{clips / passed():,.0f} clips/s, {seconds / passed():,.0f} × real time")


def unfinished_shards(shards: Sequence[Shard], folder: Path) -> list[Shard]:
    """Return the shards that must be made, or made again because an earlier version rejected truncated recordings."""
    missing, again = [], 0
    for shard in shards:
        finished = is_finished_shard(shard, folder)
        retried = finished and _has_retried_recordings(shard, folder)
        again += retried
        missing += [shard] if retried or not finished else []
    if again:
        shards_hold = "1 shard holds" if again == 1 else f"{again} shards hold"
        console.info(
            f"{shards_hold} recordings that an earlier version rejected as truncated; they are read now as far as "
            "possible"
        )
    return missing


def is_finished_shard(shard: Shard, folder: Path) -> bool:
    """Tell whether a shard is in the folder of a store, made of these recordings with these settings."""
    key = folder / "shards" / shard.name / "key.txt"
    return key.is_file() and key.read_text() == shard.key


def _has_retried_recordings(shard: Shard, folder: Path) -> bool:
    recordings = _read_tables([shard], folder, "recordings", RECORDING_COLUMNS, ADDED_COLUMNS)
    return any(reason.startswith(RETRIED_REASONS) for reason in recordings["reason"].drop_nulls())


def pack_shard(shard: Shard, failures: Mapping[str, console.Failure], folder: Path) -> None:
    """Join the parts of a shard's recordings into one array with its tables, and remove them.

    If a recording failed for a reason outside of it (its worker was killed), the shard is written without it but does
    not count as finished, and the parts stay for the next run.
    """
    parts = [read_clip_part(job.part) if job.name not in failures else None for job in shard.jobs]
    final = not any(failures[job.name].transient for job in shard.jobs if job.name in failures)
    target = folder / "shards" / shard.name
    remove_folder(target)
    with atomic_folder(target) as new:
        job = shard.jobs[0]
        made = [(job.part, part) for job, part in zip(shard.jobs, parts, strict=True) if part]
        clips, row = sum(len(part.index) for _, part in made), row_format(job.clips, job.spectrogram, job.external)
        write_clips(new / array_name(job.clips), [path for path, _ in made], clips=clips, row=row)
        write_table(new / "clips.parquet", clip_table(shard, parts))
        write_table(new / "recordings.parquet", recording_table(shard, parts, failures))
        if job.clips.keep == "spectrograms":
            write_table(new / PIXEL_SUMS, pixel_sum_table(shard, parts))
        if shard.has_peaks:
            write_table(new / "peaks.parquet", peak_table(shard, parts))
        write_sources(new / SOURCES, shard, parts)
        write_text(new / "key.txt", shard.key if final else "to be done again")
    if final:
        for job in shard.jobs:
            job.part.unlink(missing_ok=True)


def finish_store(shards: Sequence[Shard], split: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Join the tables of the shards into those of the store, and remove shards that are no longer part of it.

    Returns
    -------
    The recordings, one row each, with their files.
    """
    recordings = _read_tables(shards, folder, "recordings", RECORDING_COLUMNS, ADDED_COLUMNS)
    write_table(folder / "recordings.parquet", recordings)
    recordings = recordings.join(split.select("recording", "file"), on="recording", maintain_order="left")
    write_csv(
        folder / "rejected.csv", recordings.filter(pl.col("reason").is_not_null()).select("recording", "file", "reason")
    )
    if any(shard.has_peaks for shard in shards):
        write_csv(folder / "peaks.csv", _read_tables(shards, folder, "peaks", PEAK_COLUMNS))
    # written last: a store with this table is complete
    write_table(folder / "clips.parquet", _read_tables(shards, folder, "clips", CLIP_COLUMNS, ADDED_CLIP_COLUMNS))
    names = {shard.name for shard in shards}
    for other in sorted((folder / "shards").iterdir()):
        if other.name not in names:
            remove_folder(other)
    if all(is_finished_shard(shard, folder) for shard in shards):
        remove_folder(folder / "parts")
    return recordings


def _read_tables(
    shards: Sequence[Shard], folder: Path, name: str, schema: Mapping[str, Any], added: Mapping[str, Any] = NONE_LATER
) -> pl.DataFrame:
    files = [folder / "shards" / shard.name / f"{name}.parquet" for shard in shards]
    return pl.concat(
        [
            read_table(file, schema, missing=RUN_FRESH, damaged=RUN_FRESH, later=added, renamed=RENAMED_COLUMNS)
            for file in files
        ]
    )
