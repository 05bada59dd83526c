"""One recording after the other: looked for, predicted, written down."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from utils import console
from utils.console import Failure, UserError
from utils.watching.arrivals import Arrivals, FileStamp
from utils.watching.call import WatchFlags
from utils.watching.live import Live
from utils.watching.prediction import PredictedRecording, Predictor
from utils.watching.state import WatchState
from utils.watching.tables import append_rows, rows_for
from utils.watching.times import today, utc_now
from utils.watching.webhook import Webhook, delivery_body

MOST_TRIES = 3  # of a recording during which the program ended, or that could not be read for a passing reason
NAP = 0.1  # seconds after which a request to stop is seen
LISTED = 100  # failures that the summary lists
SPECIES_NAMED = 3

Stopping = Callable[[], bool]


@dataclass
class WatchTally:
    """What one call did.

    Attributes
    ----------
    done, detections : numbers of recordings and detections; `failed`, of recordings that could not be used
    odd : of recordings that were used with a warning
    seconds : of sound
    species : that were detected
    failures : the last ones
    """

    done: int = 0
    detections: int = 0
    failed: int = 0
    odd: int = 0
    partial: int = 0
    seconds: float = 0.0
    species: set[str] = field(default_factory=set)
    failures: deque[Failure] = field(default_factory=lambda: deque(maxlen=LISTED))


class Watcher:
    """Predicts the recordings that arrive in a folder, each once.

    Parameters
    ----------
    tables : folder of the tables
    webhook : gets what is to be delivered; None: nothing is
    stopping : tells whether somebody asked to stop
    """

    def __init__(
        self,
        arrivals: Arrivals,
        predictor: Predictor,
        state: WatchState,
        tables: Path,
        live: Live,
        flags: WatchFlags,
        *,
        webhook: Webhook | None = None,
        stopping: Stopping = lambda: False,
    ) -> None:
        self._arrivals, self._predictor, self._state, self._tables = arrivals, predictor, state, tables
        self._live, self._flags, self._webhook, self._stopping = live, flags, webhook, stopping
        self.tally = WatchTally()

    def run(self) -> WatchTally:
        """Watch until somebody asks to stop; with `once`, until what is there now is predicted.

        Raises
        ------
        UserError
            If a network is damaged, or the results cannot be written.
        """
        while not self._stopping():
            next_look = time.monotonic() + self._flags.every
            self._look()
            if self._flags.once:
                self._wait_until(time.monotonic() + self._flags.settle)
                self._look()
            self._predict_ready(until=None if self._flags.once else next_look)
            if self._flags.once:
                break
            self._wait_until(next_look)
        return self.tally

    def _look(self) -> None:
        self._arrivals.look(time.monotonic())
        self._live.start_day(today())
        self._tell_live()

    def _tell_live(self) -> None:
        self._live.waiting = len(self._arrivals)
        folder = "" if self._arrivals.is_there else "the folder is not there; it is looked for again"
        webhook = f"webhook: {self._webhook.problem}" if self._webhook and self._webhook.problem else ""
        self._live.problem = "; ".join(filter(None, (folder, webhook)))
        self._live.undelivered = self._state.count_deliveries() if self._webhook else 0

    def _wait_until(self, end: float) -> None:
        while not self._stopping() and (left := end - time.monotonic()) > 0:
            time.sleep(min(NAP, left))
        if self._webhook:
            self._webhook.tell()

    def _predict_ready(self, *, until: float | None) -> None:
        """Predict what is ready, or as much of it as there is time before the next look; at least one."""
        for path, stamp in list(self._arrivals.ready(time.monotonic())):
            if self._stopping():
                return
            self._predict(path, stamp)
            self._tell_live()
            if until is not None and time.monotonic() >= until:
                return

    def _predict(self, path: str, stamp: FileStamp) -> None:
        if self._arrivals.stamp_now(path) != stamp:  # the next look finds it as it is then, or finds it gone
            return
        tries, had_failed = self._state.start(path, stamp, time=utc_now())
        self._live.failed -= had_failed
        if tries >= MOST_TRIES:
            found: PredictedRecording | Failure = Failure(path, f"the program ended {tries} times while it was read")
        else:
            elapsed = console.stopwatch()
            found = self._predictor.predict(path)
            if self._is_too_early(path, stamp, found, tries):
                return
            if isinstance(found, PredictedRecording):
                self._finish(path, stamp, found, took=elapsed())
                return
        self._fail(path, stamp, found)

    def _is_too_early(self, path: str, stamp: FileStamp, found: PredictedRecording | Failure, tries: int) -> bool:
        """Leave a recording for later that has changed meanwhile, or that may become readable, or whole."""
        failed, now = isinstance(found, Failure), time.monotonic()
        current = self._arrivals.stamp_now(path)
        if current != stamp and (failed or current is not None):
            self._state.postpone(path)
            return True
        if failed or (isinstance(found, PredictedRecording) and found.is_partial):
            # of a clock that is ahead, the age is not known; the time since this program saw the file is
            age = max(0.0, time.time() - stamp.mtime_ns / 1e9, self._arrivals.unchanged_for(path, now))
            if age < self._flags.patience:
                self._state.postpone(path)
                self._arrivals.postpone(path, now + self._flags.patience - age)
                return True
        if isinstance(found, Failure) and found.transient and tries + 1 < MOST_TRIES:
            self._arrivals.postpone(path, now + self._flags.every)
            return True
        return False

    def _finish(self, path: str, stamp: FileStamp, found: PredictedRecording, *, took: float) -> None:
        self._check_results()
        day, now = today(), utc_now()
        rows = rows_for(self._tables, day, self._predictor.header, found.lines)
        body = delivery_body(path, found, time=now) if self._webhook else ""
        self._state.finish(
            path,
            stamp,
            rows,
            time=now,
            day=day,
            detections=len(found.detections),
            warning="; ".join(found.warnings),
            body=body,
        )
        append_rows(self._tables, rows)
        self._arrivals.drop(path)
        self._live.add(path, found, day=day, time=now)
        self._count(found)
        console.info(_line_of(path, found, took))
        for warning in found.warnings:
            console.warning(f"{path}: {warning}")
        if self._webhook:
            self._webhook.tell()

    def _check_results(self) -> None:
        if not self._tables.is_dir():
            raise UserError(
                f"{console.printable(self._tables)}: is gone; finished work is kept where it was moved, and the same "
                "command resumes there when it is back"
            )

    def _count(self, found: PredictedRecording) -> None:
        self.tally.done += 1
        self.tally.detections += len(found.detections)
        self.tally.odd += bool(found.warnings)
        self.tally.partial += found.is_partial
        self.tally.seconds += found.seconds
        self.tally.species.update(one.species for one in found.detections)

    def _fail(self, path: str, stamp: FileStamp, failure: PredictedRecording | Failure) -> None:
        reason = failure.reason if isinstance(failure, Failure) else ""
        self._state.fail(path, stamp, reason, time=utc_now())
        self._arrivals.drop(path)
        self._live.add_failure(path, reason)
        self.tally.failed += 1
        self.tally.failures.append(Failure(path, reason))
        console.warning(f"{path}: {reason}; it is tried again only if it changes")


def _line_of(path: str, found: PredictedRecording, took: float) -> str:
    best = dict[str, float]()
    for one in found.detections:
        best[one.species] = max(best.get(one.species, 0.0), one.score)
    order = sorted(best, key=lambda name: -best[name])
    shown = ", ".join(f"{name} {best[name]:.2f}" for name in order[:SPECIES_NAMED])
    more = f" and {len(order) - SPECIES_NAMED} more species" if len(order) > SPECIES_NAMED else ""
    count = f"{len(found.detections):,} detections" if found.detections else "no detection"
    return f"{path}: {count}{f' ({shown}{more})' if shown else ''}, {console.clock(took)}"
