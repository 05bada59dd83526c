"""Writing a pack (`spec.py --pack`): the clips of one training in random order, in files of one size.

Which clip comes where follows from the settings and the clips alone. So each shard of the store is read once, in any
order and by any number of threads, and its clips are written to where they belong in the files, which lie in a folder
of this machine meanwhile; a finished file is then copied to the pack. A journal there says which shards and files are
done: a killed run resumes with the others.
"""

import hashlib
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Int64
from pydantic import TypeAdapter, ValidationError

from config import Config, SettingsError, Waveform
from utils import console
from utils.files import json_text, remove_folder, write_json
from utils.learning.examples import Examples, choose_examples
from utils.learning.pack_plan import PackPlan, PlannedFile, plan_pack
from utils.recordings.splits import read_split
from utils.settings import load_text, to_toml
from utils.settings_keys import short_key
from utils.spectra.pack import (
    CONTENTS,
    FILE_NAME,
    PACK_VERSION,
    PACKED_COLUMNS,
    Pack,
    PackContents,
    PackFile,
)
from utils.spectra.pixel_sums import PixelSums
from utils.spectra.shard_arrays import array_header
from utils.spectra.store import PIXEL_SUM_COLUMNS, Store
from utils.storage import BLOCK, Storage, open_storage
from utils.storage_lock import alone_at_address
from utils.tables import parquet_bytes

READ_BYTES = 32_000_000  # of the clips that a thread has in memory
SHARDS_PER_SAVE = 64  # shards between two entries in the journal
PLAN_KEY = "key.txt"
PACK_TABLES = ("settings.toml", "split.parquet", "pixel_sums.parquet")


class ClipTargets(NamedTuple):
    """Clips of a shard: their rows in the store, the file of each, and its row there."""

    rows: Int64[np.ndarray, " clips"]
    files: Int64[np.ndarray, " clips"]
    places: Int64[np.ndarray, " clips"]


@dataclass
class PackJournal:
    """What is done of a pack: shards that were read, and files that were copied, with their checksums."""

    key: str
    shards: list[str]
    files: dict[str, int]


JOURNAL_FORM = TypeAdapter(PackJournal)


def write_pack(store: Store, config: Config, address: str, *, fresh: bool) -> PackContents:
    """Write the pack of the training that the settings describe.

    Raises
    ------
    UserError
        If the folder holds another pack, or other files; or as `choose_examples`.
    """
    config = replace(config, waveform=Waveform(), training=replace(config.training, packed=None, data_share=1.0))
    split, target = read_split(config.dataset), open_storage(address)
    examples = choose_examples(store, split, config)
    plan = plan_pack(examples, store, config)
    with _alone(target):
        _prepare(target, plan, fresh=fresh)
        if target.exists(CONTENTS):
            _fix_settings(target, config)
            contents = Pack(config.dataset.root, at=target.folder or address).contents
            console.info(f"{console.printable(target.address)}: is complete")
            return contents
        _write_tables(target, split, examples, store, config)
        scratch = config.dataset.root / f".pack-{short_key(target.address)}"
        journal = _read_journal(scratch, plan, target)
        _fill_files(scratch, journal, plan, examples, store, workers=config.workers)
        _publish(scratch, journal, plan, store, target)
        files = tuple(PackFile(file.name, len(file.rows), journal.files[file.name]) for file in plan.files)
        contents = PackContents(PACK_VERSION, plan.key, _hash_of_split(split), plan.clips, files)
        target.write(CONTENTS, json_text(asdict(contents)).encode())
        remove_folder(scratch)
    console.info(
        f"{console.printable(target.address)}: {plan.clips:,} clips to learn from and "
        f"{len(examples.validation_rows):,} for validation in {len(files)} files; train.py reads them with "
        "training.packed"
    )
    return contents


def _hash_of_split(split: pl.DataFrame) -> str:
    return hashlib.sha256(split.select("recording", "class", "split").write_csv().encode()).hexdigest()[:16]


def _alone(target: Storage) -> AbstractContextManager[None]:
    return console.alone(target.folder, "pack") if target.folder else alone_at_address(target, "pack")


def _prepare(target: Storage, plan: PackPlan, *, fresh: bool) -> None:
    """Empty the folder of a pack if `fresh`, and mark it as that of this one."""
    names = [name for name in target.names() if name != "pack.lock"]
    for name in names:
        if name not in (CONTENTS, PLAN_KEY, *PACK_TABLES) and not FILE_NAME.fullmatch(name.rpartition(".")[0]):
            raise console.UserError(
                f"{target.address}: holds {name}, which is not part of a pack; choose another folder"
            )
    if fresh and names:
        target.remove(*sorted(names, key=lambda name: name != CONTENTS))
        names = []
    if names and (PLAN_KEY not in names or target.read(PLAN_KEY).decode() != plan.key):
        raise console.UserError(
            f"{target.address}: holds a pack of other clips or settings; choose another folder, or replace it with "
            "--fresh"
        )
    target.write(PLAN_KEY, plan.key.encode())


def _write_tables(target: Storage, split: pl.DataFrame, examples: Examples, store: Store, config: Config) -> None:
    target.write("settings.toml", to_toml(config).encode())
    target.write("split.parquet", parquet_bytes(split))
    names = store.clips["recording"].gather(examples.rows).unique().sort().to_list()
    sums: dict[str, PixelSums] = {} if store.keeps_sound or store.keeps_embeddings else store.pixel_sums(names)
    rows = [(name, sums[name].pixels, sums[name].sums.tolist(), sums[name].squares.tolist()) for name in sorted(sums)]
    target.write("pixel_sums.parquet", parquet_bytes(pl.DataFrame(rows, PIXEL_SUM_COLUMNS, orient="row")))


def _fix_settings(target: Storage, config: Config) -> None:
    """Write the settings of a complete pack anew if they cannot be read; its key tells that they are these."""
    try:
        load_text(target.read("settings.toml").decode(), source="")
    except (OSError, UnicodeDecodeError, SettingsError):
        target.write("settings.toml", to_toml(config).encode())


def _read_journal(scratch: Path, plan: PackPlan, target: Storage) -> PackJournal:
    """Return the journal of this pack; a new one, with empty files, if what it says is gone or of another pack."""
    sizes = {entry.name: entry.size for entry in target.entries()}
    try:
        journal = JOURNAL_FORM.validate_json((scratch / "journal.json").read_bytes())
    except (OSError, ValidationError):
        journal = None
    if (
        journal
        and journal.key == plan.key
        and all(_is_kept(file, scratch, journal, sizes, plan) for file in plan.files)
    ):
        return journal
    remove_folder(scratch)
    _check_free_space(scratch, plan)
    scratch.mkdir(parents=True)
    for file in plan.files:
        with (scratch / f"{file.name}.npy").open("xb") as stream:
            stream.write(array_header(len(file.rows), plan.row))
            stream.truncate(plan.bytes_of(file))
    journal = PackJournal(plan.key, [], {})
    write_json(scratch / "journal.json", asdict(journal))
    return journal


def _check_free_space(scratch: Path, plan: PackPlan) -> None:
    free, needed = shutil.disk_usage(scratch.parent).free, sum(plan.bytes_of(file) for file in plan.files)
    if needed > free:
        raise console.UserError(
            f"{console.printable(scratch.parent)}: the pack needs {needed / 1e9:.1f} GB here until it is written, but "
            f"{free / 1e9:.1f} GB are free; make room, or move dataset.root to a larger disk"
        )


def _is_kept(file: PlannedFile, scratch: Path, journal: PackJournal, sizes: dict[str, int], plan: PackPlan) -> bool:
    if file.name in journal.files:
        return f"{file.name}.parquet" in sizes and sizes.get(f"{file.name}.npy") == plan.bytes_of(file)
    return (scratch / f"{file.name}.npy").is_file()


def _fill_files(
    scratch: Path, journal: PackJournal, plan: PackPlan, examples: Examples, store: Store, *, workers: int
) -> None:
    """Read the shards that are not yet done, and write their clips to where they belong."""
    clips = _targets_by_shard(plan, store)
    missing = sorted(set(clips) - set(journal.shards))
    with (
        console.progress("packing", total=sum(len(some.rows) for some in clips.values()), unit="clips") as advance,
        ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="packing") as threads,
    ):
        advance(sum(len(clips[shard].rows) for shard in journal.shards))
        for start in range(0, len(missing), SHARDS_PER_SAVE):
            some = missing[start : start + SHARDS_PER_SAVE]
            for count in threads.map(lambda shard: _scatter(clips[shard], scratch, plan, examples), some):
                advance(count)
            for file in plan.files:
                with (scratch / f"{file.name}.npy").open("rb") as stream:
                    os.fsync(stream.fileno())
            journal.shards.extend(some)
            write_json(scratch / "journal.json", asdict(journal))


def _targets_by_shard(plan: PackPlan, store: Store) -> dict[str, ClipTargets]:
    """Return the clips of each shard of the store, in the order on disk."""
    sizes = [len(file.rows) for file in plan.files]
    rows = np.concatenate([file.rows for file in plan.files])
    order = np.argsort(rows)
    files, places = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([np.arange(size) for size in sizes])
    clips = ClipTargets(rows[order], files[order], places[order])
    shards = store.clips["shard"].gather(clips.rows)
    starts = np.flatnonzero(np.diff(shards.rle_id().to_numpy().astype(np.int64))) + 1
    parts = zip(*(np.split(column, starts) for column in clips), strict=True)
    return {shards[int(start)]: ClipTargets(*part) for start, part in zip([0, *starts], parts, strict=True)}


def _scatter(clips: ClipTargets, scratch: Path, plan: PackPlan, examples: Examples) -> int:
    """Write the clips of a shard into the files; return their number."""
    at_once = max(READ_BYTES // plan.row.bytes, 1)
    for start in range(0, len(clips.rows), at_once):
        some = ClipTargets(*(column[start : start + at_once] for column in clips))
        content = examples.clips(some.rows)
        for index in np.unique(some.files).tolist():
            file = plan.files[index]
            offset = len(array_header(len(file.rows), plan.row))
            with (scratch / f"{file.name}.npy").open("r+b") as stream:
                for clip in np.flatnonzero(some.files == index).tolist():
                    stream.seek(offset + int(some.places[clip]) * plan.row.bytes)
                    stream.write(content[clip].data)
    return len(clips.rows)


def _publish(scratch: Path, journal: PackJournal, plan: PackPlan, store: Store, target: Storage) -> None:
    """Copy the finished files to the pack, each with its table."""
    for file in plan.files:
        if file.name in journal.files:
            continue
        path = scratch / f"{file.name}.npy"
        target.write(f"{file.name}.parquet", parquet_bytes(store.clips[file.rows].select(*PACKED_COLUMNS)))
        target.write(path.name, path)
        journal.files[file.name] = _checksum(path)
        write_json(scratch / "journal.json", asdict(journal))
        path.unlink()


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            value = zlib.crc32(block, value)
    return value
