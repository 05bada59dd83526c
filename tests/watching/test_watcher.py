"""Each recording once, whatever happens: kills between any two writes, changed tables, failures, full disks."""

import itertools
import os
import shutil
import sqlite3
import time
from contextlib import suppress
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from tests.watching.small_watch import CLASSES, HEADER, ONCE, MadeUp, rows_of, watcher_of, write_recording
from utils.console import Failure, UserError
from utils.watching import tables as tables_module
from utils.watching.prediction import PredictedRecording
from utils.watching.state import WatchState
from utils.watching.tables import append_rows, rows_for
from utils.watching.times import today
from utils.watching.watcher import MOST_TRIES, WatchTally


class Killed(BaseException):
    """Stands for a kill: nothing that runs afterwards can write."""


class Killer:
    """Counts writes, and 'kills' before one of them, or in the middle of a row."""

    def __init__(self, at: int) -> None:
        self.left, self.dead = at, False
        self.opened: list[sqlite3.Connection] = []

    def end(self) -> None:
        """Close the files, as the system does after a kill: unfinished transactions are undone by the next call."""
        for connection in self.opened:
            connection.close()

    def next_write(self) -> None:
        if self.dead or self.left == 0:
            self.dead = True
            raise Killed
        self.left -= 1

    def write(self, stream: FileIO, content: bytes) -> None:
        for half in (content[: len(content) // 2], content[len(content) // 2 :]):
            self.next_write()
            stream.write(half)
        self.next_write()

    def connection(self) -> type[sqlite3.Connection]:
        killer = self

        class Connection(sqlite3.Connection):
            def __init__(self, *given: Any, **named: Any) -> None:
                super().__init__(*given, **named)
                killer.opened.append(self)

            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if not sql.startswith("SELECT"):
                    killer.next_write()
                return super().execute(sql, *values)

        return Connection


def watch(folder: Path, out: Path, predictor: MadeUp | None = None, **flags: object) -> WatchTally:
    made, state, _ = watcher_of(folder, out, predictor or MadeUp(), replace(ONCE, **flags))  # type: ignore[arg-type]
    try:
        return made.run()
    finally:
        state.close()


def wanted(*names: str) -> list[str]:
    return sorted(f"{name},0,1,{species},0.5" for name in names for species in CLASSES[:2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.wav", "card/b.wav")):
        write_recording(tmp_path / "station" / name, seed=seed)
    return tmp_path / "station"


def test_a_kill_between_any_two_writes_loses_nothing_and_doubles_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, kills = sqlite3.connect, 0
    for at in itertools.count():
        killer, out = Killer(at), tmp_path / f"out{at}"
        factory = killer.connection()
        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(
                sqlite3, "connect", lambda *given, _made=factory, **named: connect(*given, factory=_made, **named)
            )
            patch.setattr(tables_module, "_write_all", killer.write)
            watch(folder, out)
        killer.end()
        predictor = MadeUp()
        watch(folder, out, predictor)
        assert sorted(rows_of(out)) == wanted("a.wav", "card/b.wav"), at
        assert (out / "detections" / f"{today()}.csv").read_text().startswith(HEADER)
        kills += killer.dead
        if not killer.dead:
            assert predictor.predicted == []
            break
    assert kills > 25


def test_a_recording_that_ends_the_program_again_and_again_is_left_out(folder: Path, tmp_path: Path) -> None:
    class Deadly(MadeUp):
        def predict(self, path: str) -> PredictedRecording | Failure:
            if path == "a.wav":
                raise Killed
            return super().predict(path)

    for _ in range(MOST_TRIES):
        with pytest.raises(Killed):
            watch(folder, tmp_path / "out", Deadly())
    tally = watch(folder, tmp_path / "out", Deadly())
    assert [failure.reason for failure in tally.failures] == ["the program ended 3 times while it was read"]
    assert sorted(rows_of(tmp_path / "out")) == wanted("card/b.wav")
    assert watch(folder, tmp_path / "out", Deadly()).failed == 0  # it is named once


def test_what_cannot_be_read_is_named_once_and_tried_again_when_it_changes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, predictor = write_recording(folder / "bad.wav"), MadeUp()
    assert watch(folder, tmp_path / "out", predictor).failed == 1
    assert watch(folder, tmp_path / "out", predictor).failed == 0
    assert predictor.predicted.count("bad.wav") == 1
    os.utime(bad, (1.8e9, 1.8e9))
    made, state, _ = watcher_of(folder, tmp_path / "out", predictor)
    made.run()
    assert (state.count("failed"), made._live.failed) == (1, 1)
    state.close()
    assert predictor.predicted.count("bad.wav") == 2
    assert capsys.readouterr().err.count("bad.wav: is bad") == 2


@pytest.mark.parametrize("name", ["bad.wav", "cut.wav"])
def test_a_fresh_file_that_is_cut_off_or_unreadable_may_still_become_whole(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out, predictor = tmp_path / "station", tmp_path / "out", MadeUp()
    file = write_recording(folder / name)
    os.utime(file)
    made, state, _ = watcher_of(folder, out, predictor, replace(ONCE, patience=600.0))
    made.run()
    assert (state.count("failed"), state.count("done"), state.count("started"), rows_of(out)) == (0, 0, 0, [])
    assert made._live.waiting == 1
    ahead = time.time() + 3600  # by a recorder's clock that is ahead
    os.utime(file, (ahead, ahead))
    made.run()
    assert (state.count("failed"), state.count("done"), made._live.waiting) == (0, 0, 1)
    state.close()
    os.utime(file, (1.7e9, 1.7e9))  # as if that was long ago
    tally = watch(folder, out, predictor, patience=600.0)
    assert (tally.done, tally.partial, tally.failed) == ((1, 1, 0) if name == "cut.wav" else (0, 0, 1))


def test_a_file_that_changes_while_it_is_predicted_is_predicted_again(tmp_path: Path) -> None:
    folder, out = tmp_path / "station", tmp_path / "out"
    file = write_recording(folder / "a.wav")

    class Growing(MadeUp):
        def predict(self, path: str) -> PredictedRecording | Failure:
            found = super().predict(path)
            if len(self.predicted) == 1:
                write_recording(file, seconds=3.0, seed=5)
            return found

    predictor = Growing()
    assert watch(folder, out, predictor).done == 0
    assert watch(folder, out, predictor).done == 1
    assert rows_of(out) == wanted("a.wav")


def test_a_file_that_vanishes_while_it_is_read_is_no_failure(tmp_path: Path) -> None:
    file = write_recording(tmp_path / "station" / "a.wav")

    class Vanishing(MadeUp):
        def predict(self, path: str) -> PredictedRecording | Failure:
            file.unlink()
            return Failure(path, "no such file")

    tally = watch(tmp_path / "station", tmp_path / "out", Vanishing())
    assert (tally.done, tally.failed) == (0, 0)


def test_what_fails_for_a_passing_reason_is_tried_three_times(tmp_path: Path) -> None:
    write_recording(tmp_path / "station" / "a.wav")

    class Flaky(MadeUp):
        def predict(self, path: str) -> PredictedRecording | Failure:
            found = super().predict(path)
            return found if len(self.predicted) > 2 else Failure(path, "no memory", transient=True)

    predictor = Flaky()
    for done in (0, 0, 1):
        assert watch(tmp_path / "station", tmp_path / "out", predictor).done == done


def test_the_next_day_has_a_table_of_its_own(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    watch(folder, out)
    write_recording(folder / "new.wav")
    monkeypatch.setattr("utils.watching.watcher.today", lambda: "2100-01-01")
    watch(folder, out)
    assert (out / "detections" / "2100-01-01.csv").read_text() == HEADER + "\n".join(wanted("new.wav")) + "\n"


def test_a_stop_ends_after_the_recording_that_is_predicted(folder: Path, tmp_path: Path) -> None:
    predictor = MadeUp()
    made, state, _ = watcher_of(folder, tmp_path / "out", predictor)
    made._stopping = lambda: bool(predictor.predicted)
    assert made.run().done == 1
    state.close()
    assert rows_of(tmp_path / "out") == wanted("a.wav")


def test_watching_takes_what_arrives_meanwhile(folder: Path, tmp_path: Path) -> None:
    class Arriving(MadeUp):
        def predict(self, path: str) -> PredictedRecording | Failure:
            if not self.predicted:
                write_recording(folder / "late.wav")
            return super().predict(path)

    predictor = Arriving()
    made, state, _ = watcher_of(folder, tmp_path / "out", predictor, replace(ONCE, once=False))
    made._stopping = lambda: len(predictor.predicted) == 3
    assert made.run().done == 3
    state.close()
    assert sorted(rows_of(tmp_path / "out")) == wanted("a.wav", "card/b.wav", "late.wav")


def test_the_folder_of_a_new_table_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = list[Path]()
    monkeypatch.setattr(tables_module, "sync", synced.append)
    for _ in range(2):
        append_rows(tmp_path, rows_for(tmp_path, "2026-05-01", HEADER, "a.wav,0,1,x,0.5\n"))
    assert synced == [tmp_path]  # once: the second rows belong to the same file


def test_a_table_with_other_columns_stays_as_it_is(tmp_path: Path) -> None:
    append_rows(tmp_path, rows_for(tmp_path, "2026-01-01", HEADER, "a\n"))
    append_rows(tmp_path, rows_for(tmp_path, "2026-01-01", "other,columns\n", "b\n"))
    append_rows(tmp_path, rows_for(tmp_path, "2026-01-01", HEADER, "c\n"))
    assert (tmp_path / "2026-01-01.csv").read_text() == f"{HEADER}a\nc\n"
    assert (tmp_path / "2026-01-01_2.csv").read_text() == "other,columns\nb\n"


def test_rows_are_written_once_also_to_a_table_that_somebody_edited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "day.csv"
    append_rows(tmp_path, rows_for(tmp_path, "day", HEADER, "a\n"))
    table.write_text(table.read_text() + "note")  # without a line end
    rows = rows_for(tmp_path, "day", HEADER, "b,1\n")
    for _ in range(2):
        append_rows(tmp_path, rows)
        assert table.read_text() == f"{HEADER}a\nnote\nb,1\n"
    with table.open("ab") as stream:  # a kill in the middle of a row
        stream.write(b"c,")
    append_rows(tmp_path, rows._replace(position=table.stat().st_size - 2, lines="c,2\n"))
    assert table.read_text() == f"{HEADER}a\nnote\nb,1\nc,2\n"
    table.write_text(f"{HEADER}shortened\n")
    for _ in range(2):
        append_rows(tmp_path, rows)
        assert table.read_text() == f"{HEADER}shortened\n\nb,1\n"
    assert capsys.readouterr().err.count("was changed by another program") == 1
    table.unlink()
    append_rows(tmp_path, rows)
    assert table.read_text() == f"{HEADER}\nb,1\n"


def test_results_that_are_gone_end_the_call_in_one_line_and_it_resumes(folder: Path, tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"

    class Removing(MadeUp):
        def predict(self, path: str) -> PredictedRecording | Failure:
            found = super().predict(path)
            if path == "card/b.wav" and out.exists():
                shutil.move(out, away)
            return found

    with pytest.raises(UserError, match=r"out/detections: is gone; finished work is kept"):
        watch(folder, out, Removing())
    assert not out.exists()
    shutil.move(away, out)
    watch(folder, out)
    assert sorted(rows_of(out)) == wanted("a.wav", "card/b.wav")


def test_a_database_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "watch.sqlite").write_text("no database, but a longer text than its header has" * 10)
    with pytest.raises(UserError, match=r"watch\.sqlite: file is not a database; finished work is kept"):
        WatchState(tmp_path)


def test_a_full_disk_ends_the_call_and_it_resumes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def write_half(stream: FileIO, content: bytes) -> None:
        stream.write(content[:-3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tables_module, "_write_all", write_half)
        with pytest.raises(OSError, match="No space left"):
            watch(folder, out)
    watch(folder, out)
    assert sorted(rows_of(out)) == wanted("a.wav", "card/b.wav")
