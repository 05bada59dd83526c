"""What is done: a database beside the tables, from which a call that was killed resumes.

Each transaction is on disk, whole or not at all. One that says that a recording is done also holds the rows of its
table and what is to be delivered; the rows are written to the table afterwards, and again at the next start if that was
not finished (`unwritten`).

What is known of the files that are in the watched folder stays in memory, some 300 bytes each: each look compares every
file with it. So the time of a look grows with the files that are there, and that of a recording does not.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from utils.console import UserError, printable
from utils.watching.arrivals import FileStamp, KnownRecording

STATE = "watch.sqlite"
VERSION = 1  # of the tables below
LOCKED = 60.0  # seconds for which another program may hold the database
SCHEMA = (
    # folder: below the watched one; state: started, done or failed; time: UTC; day: of its table
    "CREATE TABLE recordings (folder TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER "
    "NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL, time TEXT NOT NULL, day TEXT NOT NULL, detections INTEGER "
    "NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (folder, name)) WITHOUT ROWID",
    "CREATE TABLE unwritten (file TEXT NOT NULL, position INTEGER NOT NULL, header TEXT NOT NULL, lines TEXT NOT NULL)",
    "CREATE TABLE deliveries (id INTEGER PRIMARY KEY AUTOINCREMENT, tries INTEGER NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


class Unwritten(NamedTuple):
    """Rows that belong into a table at a position, bytes, which was its end; at 0, the header stands before them."""

    file: str
    position: int
    header: str
    lines: str


class Before(NamedTuple):
    """How often a recording was started without an end, as it is now, and whether it had failed as it was."""

    tries: int
    failed: bool


class Delivery(NamedTuple):
    """What is to be posted."""

    key: int
    tries: int
    body: str


class WatchState:
    """The database of a folder of results; several threads may use it.

    Raises
    ------
    UserError
        From every method, if it cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self._lock = folder / STATE, threading.Lock()
        self._known = dict[str, dict[str, KnownRecording]]()
        with self._told():
            self._database = sqlite3.connect(self.path, timeout=LOCKED, isolation_level=None, check_same_thread=False)
            self._create()

    def _create(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise UserError(f"{printable(self.path)}: is of another version of the toolkit; choose another --out")
        self._database.execute("PRAGMA synchronous = FULL")
        if not version:
            with self._transaction() as execute:
                for table in SCHEMA:
                    execute(table)
                execute(f"PRAGMA user_version = {VERSION}")

    def known(self, folder: str) -> Mapping[str, KnownRecording]:
        """Return the recordings of a folder that are done or failed, by name."""
        if folder not in self._known:
            found = self._rows(
                "SELECT name, state, size, mtime_ns FROM recordings WHERE folder = ? AND state != 'started'", folder
            )
            self._known[folder] = {
                name: KnownRecording(state == "done", FileStamp(*stamp)) for name, state, *stamp in found
            }
        return self._known[folder]

    def _remember(self, path: str, one: KnownRecording | None) -> None:
        """Take in what has become known of a recording; None: nothing."""
        folder, _, name = path.rpartition("/")
        known = self._known.get(folder, {})
        known.pop(name, None)
        if one:
            known[name] = one

    def count(self, state: str) -> int:
        """Return how many recordings are in a state."""
        return int(self._rows("SELECT count(*) FROM recordings WHERE state = ?", state)[0][0])

    def times(self, day: str) -> Mapping[str, str]:
        """Return when the recordings of a day's table were predicted, UTC, by their paths."""
        found = self._rows("SELECT folder, name, time FROM recordings WHERE day = ?", day)
        return {f"{folder}/{name}" if folder else name: time for folder, name, time in found}

    def start(self, path: str, stamp: FileStamp, *, time: str) -> Before:
        """Note that a recording is about to be predicted; return what was known of it."""
        folder, _, name = path.rpartition("/")
        found = self._rows(
            "SELECT state, tries, size, mtime_ns FROM recordings WHERE folder = ? AND name = ?", folder, name
        )
        state, tries, *known = found[0] if found else ("", 0)
        tries = tries if state == "started" and tuple(known) == tuple(stamp) else 0
        with self._told(), self._transaction() as execute:
            execute("DELETE FROM unwritten")
            self._put(execute, path, stamp, "started", tries=tries + 1, time=time)
        self._remember(path, None)
        return Before(tries, state == "failed")

    def postpone(self, path: str) -> None:
        """Forget that the prediction of a recording was started."""
        folder, _, name = path.rpartition("/")
        with self._told(), self._transaction() as execute:
            execute("DELETE FROM recordings WHERE folder = ? AND name = ? AND state = 'started'", (folder, name))

    def fail(self, path: str, stamp: FileStamp, reason: str, *, time: str) -> None:
        """Note that a recording cannot be used, and why."""
        with self._told(), self._transaction() as execute:
            self._put(execute, path, stamp, "failed", time=time, reason=reason)
        self._remember(path, KnownRecording(False, stamp))

    def finish(
        self,
        path: str,
        stamp: FileStamp,
        rows: Unwritten,
        *,
        time: str,
        day: str,
        detections: int,
        warning: str,
        body: str,
    ) -> None:
        """Note that a recording is done, with its rows, and what is to be delivered ('': nothing)."""
        with self._told(), self._transaction() as execute:
            self._put(execute, path, stamp, "done", time=time, day=day, detections=detections, reason=warning)
            execute("INSERT INTO unwritten VALUES (?, ?, ?, ?)", rows)
            if body:
                execute("INSERT INTO deliveries (tries, body) VALUES (0, ?)", (body,))
        self._remember(path, KnownRecording(True, stamp))

    def unwritten(self) -> list[Unwritten]:
        """Return the rows that may not be in their table yet."""
        return [Unwritten(*row) for row in self._rows("SELECT file, position, header, lines FROM unwritten")]

    def next_delivery(self) -> Delivery | None:
        """Return what is to be posted next: what was tried least often, then what is oldest."""
        found = self._rows("SELECT id, tries, body FROM deliveries ORDER BY tries, id LIMIT 1")
        return Delivery(*found[0]) if found else None

    def count_deliveries(self) -> int:
        """Return how many deliveries are left."""
        return int(self._rows("SELECT count(*) FROM deliveries")[0][0])

    def end_delivery(self, one: Delivery, *, delivered: bool) -> None:
        """Forget what was delivered, or note that it was tried."""
        with self._told(), self._transaction() as execute:
            if delivered:
                execute("DELETE FROM deliveries WHERE id = ?", (one.key,))
            else:
                execute("UPDATE deliveries SET tries = tries + 1 WHERE id = ?", (one.key,))

    def fact(self, name: str) -> str:
        """Return what was noted under a name; '' if nothing was."""
        found = self._rows("SELECT value FROM facts WHERE name = ?", name)
        return str(found[0][0]) if found else ""

    def note(self, name: str, value: str) -> None:
        """Note a value under a name."""
        with self._told(), self._transaction() as execute:
            execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    @staticmethod
    def _put(
        execute: Any,
        path: str,
        stamp: FileStamp,
        state: str,
        *,
        time: str,
        tries: int = 0,
        day: str = "",
        detections: int = 0,
        reason: str = "",
    ) -> None:
        folder, _, name = path.rpartition("/")
        execute(
            "INSERT OR REPLACE INTO recordings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (folder, name, *stamp, state, tries, time, day, detections, reason),
        )

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._told(), self._lock:
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database.execute
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn an error of the database into one line."""
        try:
            yield
        except sqlite3.Error as error:
            reason = str(error) if self.path.is_file() else "is gone, with the folder of the results"
            advice = "finished work is kept, and the same command resumes there"
            raise UserError(f"{printable(self.path)}: {reason}; {advice}") from None
