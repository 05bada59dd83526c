"""Clips that a store has already: when a class gets recordings and its shards are made again, only those are computed.

Each shard says in `sources.jsonl`, a line for each recording with clips or without, what its clips depend on and what
its part said. As a class grows, `clips.max_per_class` leaves fewer clips to each recording: those with the lowest ranks
stay, which are drawn by seed and name and can be drawn again.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils import console
from utils.files import atomic_file, write_text
from utils.spectra.clip_parts import Clip, Part, RecordingSummary, is_complete_part, read_part_metadata, write_clip_part
from utils.spectra.extraction import Job
from utils.spectra.shards import Shard
from utils.spectra.store import SHARD_KEY, array_name

SOURCES = "sources.jsonl"  # of a shard; shards of earlier versions have none, and are computed again


def write_sources(path: Path, shard: Shard, parts: Sequence[Part | None]) -> None:
    """Write what the clips of each recording of a shard depend on, and what its part says.

    Parameters
    ----------
    parts : None for recordings that could not be used, which are left out
    """
    lines = [
        {
            "recording": job.name,
            "content": job.content,
            "max_clips": job.max_clips,
            "part": read_part_metadata(job.part),
        }
        for job, part in zip(shard.jobs, parts, strict=True)
        if part
    ]
    write_text(path, "".join(f"{json.dumps(line)}\n" for line in lines))


def take_over(shards: Sequence[Shard], folder: Path) -> set[str]:
    """Write the parts of recordings of unfinished shards whose clips some shard of the store has already.

    Returns
    -------
    The names of the recordings that have no part, and must be computed.
    """
    wanted = {job.name: job for shard in shards for job in shard.jobs if not is_complete_part(job.part)}
    earlier = sorted((folder / "shards").glob(f"[!.]*/{SOURCES}")) if wanted else []
    taken = sum(_take_from(sources, wanted) for sources in earlier)
    if taken:
        console.info(f"{taken:,} recordings of shards that change were computed before, and are taken over")
    return {*wanted}


def _take_from(sources: Path, wanted: dict[str, Job]) -> int:
    """Write the parts of the wanted recordings that a shard has, which are wanted no more; return how many.

    A damaged shard has none.
    """
    taken = 0
    try:
        if not (sources.parent / SHARD_KEY).is_file():
            return 0
        for job, kept, source, rows in _found_in(sources, wanted):
            part = source["part"]
            summary = RecordingSummary(
                **{name: part[name] for name in RecordingSummary._fields if name != "histogram"},
                histogram=np.array(part["histogram"], np.int64),
            )
            with atomic_file(job.part, lasting=False) as stream:
                write_clip_part(stream, [Clip(*part["clips"][index]) for index in kept], rows[kept], summary)
            del wanted[job.name]
            taken += 1
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
            raise
    return taken


def _found_in(sources: Path, wanted: dict[str, Job]) -> Iterator[tuple[Job, list[int], dict[str, Any], np.ndarray]]:
    """Yield the wanted recordings of a shard whose clips can serve: which clips, what is known, and all its rows."""
    lines = [json.loads(line) for line in sources.read_text(encoding="utf-8").splitlines()]
    counts = [len(line["part"]["clips"]) for line in lines]
    array: np.ndarray | None = None
    start = 0
    for line, count in zip(lines, counts, strict=True):
        job = wanted.get(line["recording"])
        kept = _clips_to_keep(line, job) if job and job.content == line["content"] else None
        if job and kept is not None:
            if array is None:
                array = np.load(sources.parent / array_name(job.clips), mmap_mode="r")
                if len(array) != sum(counts):
                    raise ValueError("the array has other clips than the shard's sources")
            yield job, kept, line, array[start : start + count]
        start += count


def _clips_to_keep(source: dict[str, Any], job: Job) -> list[int] | None:
    """Return the indices of the clips that stay of a recording; None if some that would stay are not there."""
    clips, before, now = [Clip(*fields) for fields in source["part"]["clips"]], source["max_clips"], job.max_clips
    kinds = [[index for index, clip in enumerate(clips) if bool(clip.accepted) == kind] for kind in (True, False)]
    all_there = before == 0 or max(map(len, kinds)) < before
    if before != now and not all_there and (now == 0 or now > before):
        return None
    if now == 0 or max(map(len, kinds)) <= now:
        return list(range(len(clips)))
    generator = np.random.default_rng((job.clips.seed, zlib.crc32(job.name.encode())))
    # as RecordingScan draws: two numbers for each window, of which the second is the rank
    ranks = generator.random((max(clip.clip_index for clip in clips) + 1, 2))[:, 1]
    lowest = [sorted(kind, key=lambda index: ranks[clips[index].clip_index])[:now] for kind in kinds]
    return sorted(index for kind in lowest for index in kind)
