"""Shards of the store: which recordings are in which shard, and the jobs of their extraction."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from config import Config
from utils.recordings.recording import NOISE
from utils.settings_keys import settings_for_key
from utils.sound.remote import sizes_and_times, sound_at, sounds_at
from utils.spectra.clip_selection import EventSpan
from utils.spectra.clip_table import NO_TIMES, Times
from utils.spectra.extraction import Job
from utils.spectra.store_settings import STORE_SETTINGS

LONG_SHARD = "(long)"  # name of the shards of recordings without a primary label, in place of the class
RECORDINGS_PER_SHARD = 64  # a shard is packed, and its parts are removed, after its last recording


@dataclass(frozen=True)
class Shard:
    """Some recordings of one class, whose spectrograms are in one array.

    Attributes
    ----------
    name : name of its folder
    rows : its recordings: rows of the split table
    key : hash of recordings and settings; a finished shard with another key is out of date
    jobs : one for each recording
    """

    name: str
    rows: pl.DataFrame
    key: str
    jobs: list[Job]

    @property
    def has_peaks(self) -> bool:
        """Whether its clips are cut at peaks, so that it has a table of peaks."""
        return self.jobs[0].clips.choose == "peaks"


def plan_shards(split: pl.DataFrame, config: Config, folder: Path, *, times: Times = NO_TIMES) -> list[Shard]:
    """Assign the recordings of the split to shards; the result depends on the split table alone.

    Parameters
    ----------
    times : clips.choose = table: the times of each recording on which its clips are centred, seconds
    """
    shards, marks = [], _marks(split, config)
    for (label,), rows in split.sort("class", "recording").group_by("class", maintain_order=True):
        # recordings without a primary label do not share the clips of a class
        share = config.clips.max_per_class // len(rows) + 1 if label else config.clips.max_per_class
        max_clips = share if config.clips.max_per_class else 0
        for index, start in enumerate(range(0, len(rows), RECORDINGS_PER_SHARD)):
            name, some = f"{label or LONG_SHARD}-{index:03d}", rows[start : start + RECORDINGS_PER_SHARD]
            shards.append(_shard(name, some, marks, max_clips=max_clips, config=config, folder=folder, times=times))
    return shards


def _marks(split: pl.DataFrame, config: Config) -> dict[str, tuple[int, int]]:
    """Return size and time of each file of a split, by its entry there."""
    files = split["file"].to_list()
    return dict(zip(files, sizes_and_times(sounds_at(config.dataset.root, files)), strict=True))


def _shard(
    name: str,
    rows: pl.DataFrame,
    marks: Mapping[str, tuple[int, int]],
    *,
    max_clips: int,
    config: Config,
    folder: Path,
    times: Times,
) -> Shard:
    jobs = []
    made_with = settings_for_key(config, of=STORE_SETTINGS)
    key = hashlib.sha256()
    for row in rows.iter_rows(named=True):
        file = sound_at(config.dataset.root, row["file"])
        size, time = marks[row["file"]]
        events = _event_spans(row, config)
        rule = [row["events"]] if events else ["all"] if row["class"] == NOISE else []
        rule += ["unsure"] if row["unsure"] else []
        centres = times.get(row["recording"], ())
        rule += [{"times": centres}] if config.clips.choose == "table" else []
        content = json.dumps([row["recording"], size, time, max_clips, made_with, *rule]).encode()
        part = folder / "parts" / f"{hashlib.sha256(content).hexdigest()[:32]}.zip"
        key.update(content + json.dumps([row["background"], row["quality"]]).encode())
        jobs.append(
            Job(
                row["recording"],
                file,
                max_clips,
                config.clips,
                config.spectrogram,
                part,
                events,
                row["class"] != NOISE,
                row["unsure"],
                centres,
                config.external,
                _hash([row["recording"], size, time, made_with, *rule]),
            )
        )
    return Shard(name, rows, key.hexdigest(), jobs)


def _hash(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _event_spans(row: Mapping[str, Any], config: Config) -> tuple[EventSpan, ...] | None:
    """Return the events that decide on the labels of a recording's clips.

    None if its primary label decides and no clips are cut around events.
    """
    if row["class"] and not (row["events"] and config.clips.choose == "annotations"):
        return None
    return tuple((event["start"], event["end"], event["species"]) for event in row["events"])
