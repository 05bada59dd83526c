"""Filling a store elsewhere: a worker makes a whole shard in a scratch folder and uploads it, its key last.

So no half-done work crosses the network, and the main process only reads tables. It keeps them in
`<root>/remote_spec`, where the store's own tables, pages and caches are made, too.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from config import Cluster, Config, Location, is_address
from utils import console
from utils.files import remove_folder, write_text
from utils.scratch import scratch_folder
from utils.settings import to_toml
from utils.spectra.extraction import Job, JobResult, extract
from utils.spectra.shard_arrays import REQUESTS_AT_ONCE
from utils.spectra.shards import Shard
from utils.spectra.store import PIXEL_SUMS, REMOTE_FOLDER, SHARD_KEY
from utils.spectra.store_settings import check_settings
from utils.spectra.store_writer import (
    STORE_FILES,
    fill_store,
    is_finished_shard,
    pack_shard,
    refuse_unrelated,
    unfinished_shards,
)
from utils.storage import Storage, open_storage
from utils.storage_lock import alone_at_address
from utils.workers.fanout import TIME_LIMIT, fan_out
from utils.workers.worker_processes import failure_of_error, is_fatal

TABLES = ("clips.parquet", "recordings.parquet", "peaks.parquet", PIXEL_SUMS)  # of a shard
STORE_TABLES = ("rejected.csv", "peaks.csv", "recordings.parquet", "clips.parquet")  # clips last: then it is complete
LOCKS = ("*.lock",)
SHARD_TIME_LIMIT = 8 * TIME_LIMIT  # seconds; of up to 64 recordings
SHARDS_AHEAD = 2  # in flight per worker
TRIES = 2  # of a recording in a worker


@contextmanager
def remote_writer(config: Config) -> Iterator["RemoteWriter | None"]:
    """Yield what writes the store, if it is elsewhere; None: it is on this machine. Nobody else writes it meanwhile.

    Raises
    ------
    UserError
        If somebody does, or the folder cannot be reached.
    """
    if not is_address(config.dataset.store_at):
        # `spec` in the root has the root's lock; another folder may be the store of several roots
        with console.alone(Path(config.dataset.store), "spec") if config.dataset.store else nullcontext():
            yield None
        return
    storage = open_storage(config.dataset.store_at)
    with alone_at_address(storage, "spec"):
        yield RemoteWriter(storage, config.dataset.root / REMOTE_FOLDER)


class RemoteWriter:
    """Writes a store elsewhere.

    Parameters
    ----------
    storage : the folder of the store
    folder : the folder of this machine for its tables
    """

    def __init__(self, storage: Storage, folder: Path) -> None:
        self._storage, self._folder = storage, folder

    def open_tables(self, config: Config, *, fresh: bool) -> Path:
        """Return the folder for its tables; if `fresh`, the store is emptied first.

        Raises
        ------
        UserError
            If it holds other files, or a store made with other settings; the text names them.
        """
        names = self._storage.names()
        tops = dict.fromkeys(name.partition("/")[0] for name in names)
        known = (*STORE_FILES, *LOCKS)
        others = [name for name in tops if not any(fnmatch(name, pattern) for pattern in known)]
        refuse_unrelated(others, self._storage.address)
        if fresh:
            remove_folder(self._folder)
            self._storage.remove("clips.parquet")
            self._storage.remove(*(name for name in names if not fnmatch(name, LOCKS[0])))
        check_settings(config)
        if not self._storage.exists("settings.toml"):
            self._storage.write("settings.toml", to_toml(config).encode())
        write_text(self._folder / "settings.toml", self._storage.read("settings.toml").decode())
        return self._folder

    def fill_shards(
        self,
        shards: Sequence[Shard],
        config: Config,
        *,
        work: Callable[[Job], Any],
        then: Callable[[Job], JobResult] | None,
    ) -> None:
        """Make and upload all shards that are not finished; parameters as those of `fill_store`.

        Raises
        ------
        UserError
            If the folder of the store cannot be written.
        """
        self._fetch_tables(shards)
        missing = unfinished_shards(shards, self._folder)
        if missing:  # its rows would point into shards that are about to change
            self._storage.remove("clips.parquet")
        # the main process has the accelerator
        unmade = missing if then else self._fill_in_workers(missing, config, of=sum(len(one.jobs) for one in shards))
        for shard in unmade:
            self._fill_here(shard, config, work=work, then=then)
        self._fetch_tables(shards)

    def _fill_in_workers(self, shards: Sequence[Shard], config: Config, *, of: int) -> list[Shard]:
        """Let workers make shards, of so many recordings in all; return those that stopped their worker."""
        jobs = [ShardJob(shard, self._storage.address) for shard in shards]
        unmade, seconds, clips, passed = [], 0.0, 0, console.stopwatch()
        coming = fan_out(
            make_shard,
            jobs,
            workers=config.workers,
            name=lambda job: job.shard.name,
            cluster=config.cluster,
            time_limit=SHARD_TIME_LIMIT,
            ahead=SHARDS_AHEAD,
        )
        with console.progress("spectrograms", total=of, unit="recordings") as advance, closing(coming) as outcomes:
            advance(of - sum(len(shard.jobs) for shard in shards))
            for job, outcome in outcomes:
                if isinstance(outcome, console.Failure):
                    unmade.append(job.shard)
                    continue
                if outcome.refused:
                    raise console.UserError(
                        f"{outcome.refused}; finished shards are kept, and the same command resumes there"
                    )
                seconds, clips = seconds + outcome.seconds, clips + outcome.clips
                note = f"{clips / passed():,.0f} clips/s, {seconds / passed():,.0f} × real time"
                advance(len(job.shard.jobs), note=note)
        return unmade

    def publish(self, shards: Sequence[Shard]) -> None:
        """Upload the tables of the store, and remove shards that are no longer part of it."""
        for name in STORE_TABLES:
            if (self._folder / name).is_file():
                self._storage.write(name, self._folder / name)
        wanted = {shard.name for shard in shards}
        self._storage.remove(*(name for name in self._storage.names("shards") if name.split("/")[1] not in wanted))

    def _fill_here(self, shard: Shard, config: Config, *, work: Callable[[Job], Any], then: Any) -> None:
        """Make a shard as a store on this machine is made: on an accelerator, or if a recording stops its worker."""
        config = replace(config, cluster=Cluster())  # its parts are on this machine alone
        with scratch_folder() as scratch:
            here = _moved(shard, scratch)
            fill_store([here], config, scratch, work=work, then=then)
            upload_shard(here, scratch, self._storage)

    def _fetch_tables(self, shards: Sequence[Shard]) -> None:
        """Copy the tables of all shards that are not here, or not as they are elsewhere."""
        names = set(self._storage.names("shards"))
        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="tables") as threads:
            list(threads.map(lambda shard: self._fetch_shard(shard, names), shards))

    def _fetch_shard(self, shard: Shard, names: set[str]) -> None:
        start, here = f"shards/{shard.name}/", self._folder / "shards" / shard.name
        written = self._storage.read(f"{start}{SHARD_KEY}") if f"{start}{SHARD_KEY}" in names else b""
        key = written.decode(errors="replace")  # a damaged one is none
        if is_finished_shard(shard, self._folder) and key == shard.key:
            return
        remove_folder(here)
        if not key:
            return
        for name in TABLES:
            if f"{start}{name}" in names:
                self._storage.copy_to(f"{start}{name}", here / name)
        write_text(here / SHARD_KEY, key)


@dataclass(frozen=True)
class ShardJob:
    """A shard that a worker makes, and the folder of the store."""

    shard: Shard
    store: Location

    @property
    def files(self) -> list[Location]:
        """Its recordings."""
        return [job.file for job in self.shard.jobs]


@dataclass(frozen=True)
class ShardResult:
    """What was done for a shard: seconds of sound, clips; or why it could not be uploaded."""

    seconds: float = 0.0
    clips: int = 0
    refused: str = ""


def make_shard(job: ShardJob) -> ShardResult:
    """Extract the recordings of a shard in a scratch folder, pack it, and upload it."""
    with scratch_folder() as folder:
        shard = _moved(job.shard, folder)
        outcomes = {one.name: _outcome_of(one) for one in shard.jobs}
        failures = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, console.Failure)}
        pack_shard(shard, failures, folder)
        try:
            upload_shard(shard, folder, open_storage(job.store))
        except console.UserError as error:
            return ShardResult(refused=str(error))
    done = [outcome for outcome in outcomes.values() if isinstance(outcome, JobResult)]
    return ShardResult(sum(one.seconds for one in done), sum(one.clips for one in done))


def _outcome_of(job: Job) -> JobResult | console.Failure:
    """Extract a recording; one that fails for a reason outside of it is tried once more."""
    for left in reversed(range(TRIES)):
        try:
            return extract(job)
        except Exception as error:
            if is_fatal(error):
                raise
            failure = failure_of_error(error, job.name)
            if not (failure.transient and left):
                break
    return failure


def upload_shard(shard: Shard, folder: Path, storage: Storage) -> None:
    """Copy a finished shard from the folder of a store to one elsewhere, where its key appears last."""
    start = f"shards/{shard.name}/"
    storage.remove(f"{start}{SHARD_KEY}")
    paths = sorted((folder / "shards" / shard.name).iterdir(), key=lambda path: path.name == SHARD_KEY)
    for path in paths:
        storage.write(f"{start}{path.name}", path)


def _moved(shard: Shard, folder: Path) -> Shard:
    """Return a shard whose parts are in another folder."""
    return replace(shard, jobs=[replace(job, part=folder / "parts" / job.part.name) for job in shard.jobs])
