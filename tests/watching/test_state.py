"""What is known of recordings: read once for each folder, and kept as the database has it."""

from pathlib import Path

import pytest

from utils.watching.arrivals import FileStamp
from utils.watching.state import Unwritten, WatchState

TIME = "2026-05-01T10:00:00Z"
ROWS = Unwritten("2026-05-01.csv", 0, "recording\n", "a\n")


def finish(state: WatchState, path: str, stamp: FileStamp) -> None:
    state.start(path, stamp, time=TIME)
    state.finish(path, stamp, ROWS, time=TIME, day="2026-05-01", detections=0, warning="", body="")


def test_what_is_known_is_that_of_the_database_after_each_step(tmp_path: Path) -> None:
    state, first, second = WatchState(tmp_path), FileStamp(5, 10), FileStamp(6, 11)
    steps = (
        lambda: finish(state, "a.wav", first),
        lambda: finish(state, "x/b.wav", first),
        lambda: state.start("c.wav", first, time=TIME),
        lambda: state.fail("c.wav", first, "is bad", time=TIME),
        lambda: state.start("c.wav", second, time=TIME),
        lambda: state.postpone("c.wav"),
        lambda: finish(state, "c.wav", second),
    )
    for step in steps:
        step()
        other = WatchState(tmp_path)
        for folder in ("", "x", "none"):
            assert state.known(folder) == other.known(folder)
        other.close()
    assert state.known("")["c.wav"].stamp == second
    state.close()


def test_a_look_reads_the_rows_of_a_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = WatchState(tmp_path)
    finish(state, "a.wav", FileStamp(5, 10))
    assert set(state.known("")) == {"a.wav"}
    monkeypatch.setattr(state, "_rows", lambda *_: pytest.fail("read again"))
    assert set(state.known("")) == {"a.wav"}
    state.close()
