"""How the spectrogram store is filled: which recordings are still to be done, by many processes, in any order, with the same result."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from config import Config, deciding, to_toml
from utils import console
from utils.fanout import fan_out
from utils.files import remove_folder, strangers, whole_folder, write_text
from utils.recordings.labels import labels_along
from utils.recordings.recording import NOISE
from utils.spectra.choosing import Heard
from utils.spectra.extraction import Job, Work, extract
from utils.spectra.parts import Part, is_whole, read_part
from utils.spectra.store import (
    CLIPS,
    LATER,
    PEAKS,
    PICTURE_SETTINGS,
    RECORDINGS,
    UNRATED,
    check_settings,
    write_pictures,
)
from utils.tables import NONE_LATER, read_table, write_csv, write_table

STORE_FILES = (
    *(
        "settings.toml",
        "clips.parquet",
        "recordings.parquet",
        "rejected.csv",
        "peaks.csv",
        "classes.csv",
        "overview.html",
    ),
    *("shards", "parts", "pictures", "noise", "answers_*.npy"),
)
AGAIN = "run spec.py --fresh"
LONG = "(long)"  # stands for the class in the names of shards of long recordings
# begin reasons of the version before, which refused what can be read in part
TRIED_AGAIN = ("is cut off", "is damaged or cut off")
PER_SHARD = 64  # recordings; a shard is packed, and its parts go, when its last recording is done


@dataclass(frozen=True)
class Shard:
    """Some recordings of one class, whose pictures stand in one array.

    Attributes
    ----------
    name : its folder
    rows : their rows of the split table
    key : tells whether a finished shard is made of the same recordings in the same way
    jobs : what is to be done for them
    """

    name: str
    rows: pl.DataFrame
    key: str
    jobs: list[Job]


def open_folder(config: Config, *, fresh: bool) -> Path:
    """Return the store's folder; one that was filled with other settings is refused, or emptied where `fresh`.

    Raises
    ------
    UserError
        That names the settings which differ.
    """
    folder = config.dataset.root / "spec"
    others = strangers(folder, STORE_FILES)
    if others:
        raise console.UserError(
            f"{folder}: holds {others[0]}, which is of no store; move it away, for this folder is spec.py's"
        )
    if fresh:
        remove_folder(folder)
    check_settings(config.dataset.root, config)
    if not (folder / "settings.toml").is_file():
        write_text(folder / "settings.toml", to_toml(config))
    return folder


def plan(split: pl.DataFrame, config: Config, folder: Path) -> list[Shard]:
    """Say which recordings belong together in which shard; this follows from the split's table alone."""
    shards = []
    for (label,), rows in split.sort("class", "recording").group_by("class", maintain_order=True):
        # long recordings share no class
        share = config.clips.max_per_class // len(rows) + 1 if label else config.clips.max_per_class
        cap = share if config.clips.max_per_class else 0
        for number, start in enumerate(range(0, len(rows), PER_SHARD)):
            shards.append(
                _shard(
                    f"{label or LONG}-{number:03d}",
                    rows[start : start + PER_SHARD],
                    cap=cap,
                    config=config,
                    folder=folder,
                )
            )
    return shards


def _shard(name: str, rows: pl.DataFrame, *, cap: int, config: Config, folder: Path) -> Shard:
    jobs = []
    made_with = deciding(config, of=PICTURE_SETTINGS)
    key = hashlib.sha256()
    for row in rows.iter_rows(named=True):
        file = config.dataset.root / row["file"]
        size, time = _stamp(file)
        events = _events(row, config)
        rule = [row["events"]] if events else ["all"] if row["class"] == NOISE else []
        rule += ["unsure"] if row["unsure"] else []
        content = json.dumps([row["recording"], size, time, cap, made_with, *rule]).encode()
        part = folder / "parts" / f"{hashlib.sha256(content).hexdigest()[:32]}.zip"
        key.update(content + json.dumps([row["background"], row["quality"]]).encode())
        jobs.append(
            Job(
                row["recording"],
                file,
                cap,
                config.clips,
                config.spectrogram,
                part,
                events,
                row["class"] != NOISE,
                row["unsure"],
            )
        )
    return Shard(name, rows, key.hexdigest(), jobs)


def _stamp(file: Path) -> tuple[int, int]:
    """Return size and time of a file, by which a change is noticed; of one that is gone or may not be looked at, −1."""
    try:
        return file.stat().st_size, file.stat().st_mtime_ns
    except OSError:
        return -1, -1


def _events(row: Mapping[str, Any], config: Config) -> tuple[Heard, ...] | None:
    """Return the events that say what is heard in a recording's clips; none where its class does, and no clips are to be cut around events."""
    if row["class"] and not (row["events"] and config.clips.choose == "annotations"):
        return None
    return tuple((event["start"], event["end"], event["species"]) for event in row["events"])


def fill(
    shards: Sequence[Shard],
    config: Config,
    folder: Path,
    *,
    work: Callable[[Job], Any] = extract,
    then: Callable[[Job], Work] | None = None,
) -> None:
    """Do what is missing: pictures of every recording of every shard that is not finished, packed into shards as they get complete.

    Parameters
    ----------
    work : what a worker does with a recording; it returns what was done
    then : what is done here with what a worker left, where that is not all
    """
    missing, again = [], 0
    for shard in shards:
        finished = _is_finished(shard, folder)
        refused = finished and _can_be_read_now(shard, folder)
        again += refused
        missing += [shard] if refused or not finished else []
    if again:
        shards_hold = "1 shard holds" if again == 1 else f"{again} shards hold"
        console.say(
            f"{shards_hold} recordings that an earlier version refused as cut off; what can be read of them is read now"
        )
    if missing:
        (folder / "clips.parquet").unlink(missing_ok=True)  # it would name rows of shards that are about to change
    jobs = {job.name: shard for shard in missing for job in shard.jobs}
    open_jobs = {shard.name: {job.name for job in shard.jobs if not is_whole(job.part)} for shard in missing}
    failures: dict[str, console.Failure] = {}
    todo = [job for shard in missing for job in shard.jobs if job.name in open_jobs[shard.name]]
    done_before = sum(len(shard.jobs) for shard in shards) - len(todo)
    passed = console.stopwatch()
    with console.progress("spectrograms", total=done_before + len(todo), unit="recordings") as advance:
        advance(done_before)
        for shard in missing:
            if not open_jobs[shard.name]:
                _pack(shard, failures, folder)
        seconds, clips = 0.0, 0
        with closing(fan_out(work, todo, workers=config.workers, name=lambda job: job.name)) as outcomes:
            for job, outcome in outcomes:
                if isinstance(outcome, console.Failure):
                    failures[job.name] = outcome
                else:
                    done = then(job) if then else outcome
                    seconds += done.seconds
                    clips += done.clips
                shard = jobs[job.name]
                open_jobs[shard.name].discard(job.name)
                if not open_jobs[shard.name]:
                    _pack(shard, failures, folder)
                advance(1, note=f"{clips / passed():,.0f} clips/s, {seconds / passed():,.0f} × real time")


def _is_finished(shard: Shard, folder: Path) -> bool:
    key = folder / "shards" / shard.name / "key.txt"
    return key.is_file() and key.read_text() == shard.key


def _can_be_read_now(shard: Shard, folder: Path) -> bool:
    """Tell whether a finished shard lacks a recording that an earlier version refused for it is cut off."""
    recordings = read_table(
        folder / "shards" / shard.name / "recordings.parquet", RECORDINGS, missing=AGAIN, damaged=AGAIN, later=LATER
    )
    return any(reason.startswith(TRIED_AGAIN) for reason in recordings["reason"].drop_nulls())


def _pack(shard: Shard, failures: dict[str, console.Failure], folder: Path) -> None:
    """Put the parts of a shard's recordings into one array, with its tables, and remove them.

    Where a recording failed by no fault of its own, the shard is made without it, but does not count as finished, and
    the parts stay for the next call.
    """
    parts = [read_part(job.part) if job.name not in failures else None for job in shard.jobs]
    final = not any(failures[job.name].passing for job in shard.jobs if job.name in failures)
    target = folder / "shards" / shard.name
    remove_folder(target)
    with whole_folder(target) as new:
        picture = shard.jobs[0].spectrogram
        made = [(job.part, part) for job, part in zip(shard.jobs, parts, strict=True) if part]
        shape = (sum(len(part.number) for _, part in made), picture.height, picture.width)
        write_pictures(new / "pictures.npy", [path for path, _ in made], shape=shape)
        write_table(new / "clips.parquet", _clip_rows(shard, parts))
        write_table(new / "recordings.parquet", _recording_rows(shard, parts, failures))
        if _has_peaks(shard):
            write_table(new / "peaks.parquet", _peak_rows(shard, parts))
        write_text(new / "key.txt", shard.key if final else "to be done again")
    if final:
        for job in shard.jobs:
            job.part.unlink(missing_ok=True)


def _clip_rows(shard: Shard, parts: Sequence[Part | None]) -> pl.DataFrame:
    tables = [
        _rows_of(row, part, length=shard.jobs[0].clips.length)
        for row, part in zip(shard.rows.iter_rows(named=True), parts, strict=True)
        if part
    ]
    schema = {name: kind for name, kind in CLIPS.items() if name not in ("shard", "row")}
    table = pl.DataFrame(
        {name: [value for columns in tables for value in columns[name]] for name in schema}, schema=schema
    )
    return table.with_columns(
        pl.col("strength").fill_nan(None), shard=pl.lit(shard.name), row=pl.int_range(pl.len(), dtype=pl.Int32)
    )


def _rows_of(row: Mapping[str, Any], part: Part, *, length: float) -> dict[str, list[Any]]:
    heard = labels_along(row["events"], part.start.tolist(), length=length)
    labels = [_labels(row, event, sung) for event, sung in zip(part.event.tolist(), heard, strict=True)]
    return {
        "recording": [row["recording"]] * len(labels),
        "class": [label for label, _ in labels],
        "background": [others for _, others in labels],
        "number": part.number.tolist(),
        "start": part.start.tolist(),
        "length": [length] * len(labels),
        "score": part.score.tolist(),
        "accepted": part.accepted.tolist(),
        "weight": [UNRATED if row["quality"] is None else row["quality"]] * len(labels),
        "strength": part.strength.tolist(),
    }


def _labels(row: Mapping[str, Any], event: int, heard: Sequence[str]) -> tuple[str, list[str]]:
    """Return the class of a clip, and what is heard besides: those of its recording, or of the events in it; a clip cut for an event is of its class."""
    if event >= 0:
        label = row["events"][event]["species"]
        return label, [other for other in heard if other != label]
    if row["class"]:
        return row["class"], row["background"]
    label, *others = heard or [""]
    return label, others


def _has_peaks(shard: Shard) -> bool:
    return shard.jobs[0].clips.choose == "peaks"


def _peak_rows(shard: Shard, parts: Sequence[Part | None]) -> pl.DataFrame:
    rows = []
    for name, part in zip(shard.rows["recording"], parts, strict=True):
        if part:
            kept = set(part.number[part.accepted].tolist())
            rows += [
                (name, round(seconds, 3), round(strength, 2), int(number) in kept)
                for seconds, strength, number in part.peaks.tolist()
            ]
    return pl.DataFrame(rows, schema=PEAKS, orient="row")


def _recording_rows(shard: Shard, parts: Sequence[Part | None], failures: dict[str, console.Failure]) -> pl.DataFrame:
    rows = []
    for row, part in zip(shard.rows.iter_rows(named=True), parts, strict=True):
        name = [row["recording"], row["class"]]
        if part:
            accepted = int(part.accepted.sum())
            rows.append(
                [
                    *name,
                    part.seconds,
                    accepted,
                    len(part.accepted) - accepted,
                    part.rejected,
                    part.histogram.tolist(),
                    None,
                    part.warning,
                ]
            )
        else:
            rows.append([*name, None, 0, 0, 0, None, failures[row["recording"]].reason, None])
    return pl.DataFrame(rows, schema=RECORDINGS, orient="row")


def finish(shards: Sequence[Shard], split: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Join the shards' tables into those of the store, and remove what no longer belongs to it.

    Returns
    -------
    One row a recording, with its file.
    """
    recordings = _joined(shards, folder, "recordings", RECORDINGS, LATER)
    write_table(folder / "recordings.parquet", recordings)
    recordings = recordings.join(split.select("recording", "file"), on="recording", maintain_order="left")
    write_csv(
        folder / "rejected.csv", recordings.filter(pl.col("reason").is_not_null()).select("recording", "file", "reason")
    )
    if any(_has_peaks(shard) for shard in shards):
        write_csv(folder / "peaks.csv", _joined(shards, folder, "peaks", PEAKS))
    # last: a store with this table is complete
    write_table(folder / "clips.parquet", _joined(shards, folder, "clips", CLIPS))
    names = {shard.name for shard in shards}
    for left in sorted((folder / "shards").iterdir()):
        if left.name not in names:
            remove_folder(left)
    if all(_is_finished(shard, folder) for shard in shards):
        remove_folder(folder / "parts")
    return recordings


def _joined(
    shards: Sequence[Shard], folder: Path, name: str, schema: Mapping[str, Any], later: Mapping[str, Any] = NONE_LATER
) -> pl.DataFrame:
    files = [folder / "shards" / shard.name / f"{name}.parquet" for shard in shards]
    return pl.concat([read_table(file, schema, missing=AGAIN, damaged=AGAIN, later=later) for file in files])
