"""The steps of watch.py: what is checked first, the page and the webhook meanwhile, and the summary."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console
from utils.console import UserError, printable
from utils.local_page.opening import in_browser
from utils.watching.arrivals import Arrivals
from utils.watching.call import WatchFlags
from utils.watching.live import Live
from utils.watching.prediction import Predictor, load_predictor
from utils.watching.server import WatchServer
from utils.watching.state import WatchState
from utils.watching.tables import append_rows
from utils.watching.times import today
from utils.watching.watcher import Watcher, WatchTally
from utils.watching.webhook import Webhook, check_webhook, undelivered_text, webhook_address

TABLE_FOLDER = "detections"  # folder of the tables, in that of the results
FOLDER = "folder"  # name of the fact
MOST_SECONDS = 1_000_000  # of a flag


@dataclass(frozen=True)
class Watch:
    """What is watched, and what it is done with.

    Attributes
    ----------
    folder : the watched one
    out : of the results
    """

    folder: Path
    out: Path
    predictor: Predictor
    state: WatchState
    arrivals: Arrivals
    live: Live

    @property
    def tables(self) -> Path:
        """Folder of the tables."""
        return self.out / TABLE_FOLDER


@contextmanager
def open_watch(places: list[str], config: Config, flags: WatchFlags) -> Iterator[Watch]:
    """Check all, load the models, and yield the watch; nobody else writes to its results meanwhile.

    Raises
    ------
    UserError
        If something is missing or does not fit.
    """
    folder = watched_folder(places)
    _check_watch_flags(flags)
    out = results_of(folder, flags)
    predictor = load_predictor(folder, config, flags)
    with open_results(folder, out, flags) as state:
        for rows in state.unwritten():  # of a call that was killed
            append_rows(out / TABLE_FOLDER, rows)
        arrivals = Arrivals(folder, state.known, without=out, settle=flags.settle)
        live = Live(done=state.count("done"), failed=state.count("failed"))
        live.read_day(out / TABLE_FOLDER, today(), state.times(today()))
        yield Watch(folder, out, predictor, state, arrivals, live)


def watched_folder(places: list[str]) -> Path:
    """Return the folder that is watched.

    Raises
    ------
    UserError
        If it is not one folder.
    """
    if len(places) != 1:
        raise UserError(f"name one folder, not {len(places)}; flags come after it")
    folder = Path(places[0]).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"{places[0]}: no such folder")
    return folder


def results_of(folder: Path, flags: WatchFlags) -> Path:
    """Return the folder of the results.

    Raises
    ------
    UserError
        If none is named, and there is none beside the watched folder; or if it is the watched one.
    """
    if not flags.out and not folder.name:
        raise UserError("--out: name a folder for the results; there is none beside this one")
    out = flags.out.expanduser().resolve() if flags.out else folder.with_name(f"{folder.name}_detections")
    if out == folder:
        raise UserError("--out: is the watched folder itself; choose another")
    return out


def _check_watch_flags(flags: WatchFlags) -> None:
    for name, value, least in (
        ("every", flags.every, 0.1),
        ("settle", flags.settle, 0),
        ("patience", flags.patience, 0),
    ):
        if not least <= value <= MOST_SECONDS:
            raise UserError(f"--{name} {value:g}: should be seconds, at least {least:g}, at most {MOST_SECONDS:,}")
    if not 0 <= flags.port < 2**16:
        raise UserError(f"--port {flags.port}: should be 0 to 65535")
    if flags.once and (flags.port or not flags.browser):
        raise UserError("--once: ends without a page; leave out --port and --no-browser")
    check_webhook(webhook_address(flags))


@contextmanager
def open_results(folder: Path, out: Path, flags: WatchFlags) -> Iterator[WatchState]:
    """Yield the database of the results, which is that of this folder.

    Raises
    ------
    UserError
        If it is that of another folder, or another call writes there.
    """
    (out / TABLE_FOLDER).mkdir(parents=True, exist_ok=True)
    with console.alone(out, "watch"):
        state = WatchState(out)
        try:
            before = state.fact(FOLDER)
            if before not in ("", str(folder)) and not flags.moved:
                raise UserError(
                    f"--out {printable(out)}: has the results of {before}; choose another, or add --moved if that "
                    "folder was moved here"
                )
            if before != str(folder):
                state.note(FOLDER, str(folder))
            yield state
        finally:
            state.close()


def run_watch(watch: Watch, flags: WatchFlags) -> WatchTally:
    """Watch, with page and webhook, until somebody asks to stop; with `once`, until all is predicted that is there."""
    address = webhook_address(flags)
    deliveries = Webhook(address, watch.state).delivering() if address else nullcontext()
    with console.stop_when_ready() as stopping, _page(watch, flags), deliveries as webhook:
        watcher = Watcher(
            watch.arrivals,
            watch.predictor,
            watch.state,
            watch.tables,
            watch.live,
            flags,
            webhook=webhook,
            stopping=stopping,
        )
        return watcher.run()


@contextmanager
def _page(watch: Watch, flags: WatchFlags) -> Iterator[None]:
    """Serve the page, unless the call ends by itself.

    Raises
    ------
    UserError
        If the port is taken.
    """
    console.info(f"watching {printable(watch.folder)}; results are written to {printable(watch.out)}")
    if flags.once:
        yield
        return
    try:
        server = WatchServer(watch.live, watch.folder, watch.predictor.settings, port=flags.port)
    except OSError as error:
        raise UserError(f"--port {flags.port}: cannot be used ({error.strerror}); 0 takes any that is free") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True)
    thread.start()
    console.info(f"page: {server.url} (open this address in a browser of this machine); Ctrl-C here ends it")
    try:
        with in_browser(server.url, wanted=flags.browser):
            yield
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Watched:
    """How a call ended."""

    tally: WatchTally

    @property
    def complete(self) -> bool:
        """Whether all recordings could be used, and none only in part."""
        return not self.tally.failed and not self.tally.partial


def report_watch(watch: Watch, tally: WatchTally, flags: WatchFlags, *, seconds: float) -> Watched:
    """Print what this call did, and what to do next."""
    waiting = len(watch.arrivals)
    console.show_table(
        "Watched",
        {
            **watch.predictor.facts,
            "recordings": f"{tally.done:,} predicted in this call, {watch.live.done:,} in all",
            **({"failed": f"{tally.failed:,} in this call, {watch.live.failed:,} in all"} if watch.live.failed else {}),
            **({"waiting": f"{waiting:,} are not complete, or not predicted yet"} if waiting else {}),
            **({"changed": f"{watch.arrivals.changed:,} after they were predicted"} if watch.arrivals.changed else {}),
            "detections": f"{tally.detections:,} of {len(tally.species):,} species",
            "tables": printable(watch.tables),
            **undelivered_text(webhook_address(flags) != "", watch.state),
            "time": f"{console.clock(seconds)}, {console.clock(tally.seconds)} of sound",
        },
    )
    console.info("next: the same command resumes; python review.py TABLE --recordings FOLDER verifies detections")
    console.report_failures(tally.failures, what="recordings", done="could not be used", count=tally.failed)
    if tally.odd:
        console.warning(f"{tally.odd:,} recordings were read with a warning, named above")
    return Watched(tally)
