"""What the page shows of tables that somebody edited, and times over a change of summer time."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.watching.small_watch import HEADER
from utils.watching.live import Live
from utils.watching.prediction import NamedDetection, PredictedRecording

DAY = "2026-05-01"


def shown(folder: Path) -> list[str]:
    live = Live(done=0, failed=0)
    live.read_day(folder, DAY, {})
    json.dumps(live.state(), allow_nan=False)
    return [f"{one['recording']} {one['start']:g}" for one in live.state()["detections"]]


@pytest.mark.parametrize(
    "damage",
    [
        "x" * 200_000,
        '"' + "x\n" * 100_000,
        "a.wav,nan,1,Parus major,0.5",
        "a.wav,0,1e999,Parus major,0.5",
        "a.wav,0,1,",
    ],
)
def test_rows_that_cannot_be_read_are_left_out(tmp_path: Path, damage: str) -> None:
    (tmp_path / f"{DAY}.csv").write_text(f"{HEADER}a.wav,0,1,Parus major,0.5\n{damage}\n")
    assert shown(tmp_path) == ["a.wav 0"]


def test_rows_after_a_field_that_is_too_long_are_read(tmp_path: Path) -> None:
    (tmp_path / f"{DAY}.csv").write_text(f"{HEADER}{'x' * 200_000}\na.wav,0,1,Parus major,0.5\n")
    assert shown(tmp_path) == ["a.wav 0"]


def test_copies_of_a_table_do_not_count(tmp_path: Path) -> None:
    for index, name in enumerate((f"{DAY}.csv", f"{DAY}_2.csv", f"{DAY}_verified.csv", f"{DAY}_2_old.csv")):
        (tmp_path / name).write_text(f"{HEADER}{index}.wav,0,1,Parus major,0.5\n")
    assert sorted(shown(tmp_path)) == ["0.wav 0", "1.wav 0"]


@pytest.mark.parametrize(
    ("zone", "when"),
    [
        (ZoneInfo("Europe/Berlin"), "2026-10-25T02:30:00+01:00"),  # summer time ended meanwhile
        (ZoneInfo("UTC"), "2026-10-25T01:30:00Z"),
        (None, "2026-10-25T03:30:00+02:00"),
    ],
)
def test_times_are_those_of_the_table(zone: ZoneInfo | None, when: str) -> None:
    live, started = Live(done=0, failed=0), datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=2)))
    found = PredictedRecording("", (NamedDetection("Parus major", 3600.0, 3601.0, 0.5),), 4000.0, (), "", started, zone)
    live.add("a.wav", found, day=DAY, time="2026-10-25T09:00:00Z")
    assert [one["when"] for one in live.state()["detections"]] == [when]
