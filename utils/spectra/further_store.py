"""Stores beside that of the data set, below its folder: of noise, or of what a teacher makes of its clips."""

from pathlib import Path

import polars as pl

from config import Config
from utils import console
from utils.spectra.clip_table import NO_TIMES, Times
from utils.spectra.shards import plan_shards
from utils.spectra.store_writer import fill_store, finish_store, is_finished_shard, open_store_folder


def fill_further_store(
    split: pl.DataFrame, config: Config, *, what: str, times: Times = NO_TIMES
) -> tuple[Path, pl.DataFrame]:
    """Compute what is missing of a store; return where it is, and its table of recordings.

    Parameters
    ----------
    split : its recordings, all in train/
    config : with its folder as `dataset.store`
    what : is computed, for messages
    times : of `plan_shards`

    Raises
    ------
    UserError
        If not all recordings could be tried, or another process fills it.
    """
    with console.alone(config.dataset.root, f"extraction of {what}"):
        at = open_store_folder(config, fresh=False)
        shards = plan_shards(split, config, at, times=times)
        fill_store(shards, config, at)
        recordings = finish_store(shards, split, at)
    if not all(is_finished_shard(shard, at) for shard in shards):
        rejected = recordings.filter(pl.col("reason").is_not_null()).select("recording", "reason")
        failures = [console.Failure(name, reason) for name, reason in rejected.iter_rows()]
        console.report_failures(failures, what="recordings", done="not finished")
        raise console.UserError(
            f"{what}: not all recordings could be tried; run the same command again, which computes what is missing"
        )
    return at, recordings
