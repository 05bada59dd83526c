"""Detections by local time, and by time from sunrise and sunset."""

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from tests.scoring.layouts import CLASSES, layout_of, scores_of, unreadable
from utils.recordings.recorders.clocks import time_zone
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.day_times import DayTimes
from utils.scoring.submissions.formats.layout import SubmissionLayout

BERLIN = {"latitude": 52.52, "longitude": 13.405}  # sunrise on 21 June 2021 at 2:43 UTC, sunset at 19:33


def layout_with(folder: Path, told: dict[str, RecorderMetadata], zone: str = "") -> SubmissionLayout:
    layout = layout_of(folder, tuple(told), format="csv", min_score=0.5)
    return dataclasses.replace(layout, recorders=told, zone=time_zone(zone))


def counted(layout: SubmissionLayout, *results: IntervalScores) -> DayTimes:
    times = DayTimes(layout)
    assert list(times.through(results)) == list(results)
    return times


def rows_of(times: DayTimes, label: str, origin: str) -> list[tuple[int, int, int]]:
    rows = times.table().filter((pl.col("species") == label) & (pl.col("from") == origin))
    return rows.select("minutes", "intervals", "detected").rows()


def test_intervals_are_counted_by_clock_and_by_sun(tmp_path: Path) -> None:
    started = datetime(2021, 6, 21, 2, 13, 30, tzinfo=UTC)  # half an hour before sunrise
    layout = layout_with(tmp_path, {"a.wav": RecorderMetadata(started, **BERLIN)}, "Europe/Berlin")
    # at 4:13:30, 4:33:30 and 4:53:30 of summer time
    one = scores_of("a.wav", [[0.9, 0, 0], [0, 0, 0], [0.9, 0.9, 0]], seconds=3600.0, interval=1200.0)
    times = counted(layout, one)
    assert rows_of(times, CLASSES[0], "midnight") == [(240, 1, 1), (270, 2, 1)]
    assert rows_of(times, CLASSES[0], "sunrise") == [(-30, 2, 1), (0, 1, 1)]
    assert rows_of(times, CLASSES[1], "sunrise") == [(-30, 2, 0), (0, 1, 1)]
    assert rows_of(times, CLASSES[0], "sunset") == [(390, 1, 1), (420, 2, 1)]  # of the evening before
    assert rows_of(times, CLASSES[2], "midnight") == []  # never detected


def test_a_long_recording_goes_on_after_midnight(tmp_path: Path) -> None:
    layout = layout_with(tmp_path, {"a.wav": RecorderMetadata(datetime(2021, 6, 21, 23))})
    one = scores_of("a.wav", [[0.9, 0, 0]] * 50, seconds=50 * 3600.0, interval=3600.0)
    rows = rows_of(counted(layout, one), CLASSES[0], "midnight")
    assert [minutes for minutes, _, _ in rows] == list(range(0, 1440, 60))
    assert {minutes: count for minutes, count, _ in rows if count > 2} == {0: 3, 23 * 60: 3}


def test_at_the_edge_of_polar_day_no_interval_is_half_a_day_from_the_sun(tmp_path: Path) -> None:
    told = RecorderMetadata(datetime(2021, 5, 18, 12, tzinfo=UTC), latitude=69.65, longitude=18.96)
    times = counted(layout_with(tmp_path, {"a.wav": told}), scores_of("a.wav", [[0.9, 0, 0]], seconds=5))
    assert "sunrise" not in set(times.table()["from"])


def test_where_the_sun_does_not_set_only_the_clock_counts(tmp_path: Path) -> None:
    place = {"latitude": 70.0, "longitude": 20.0}
    told = RecorderMetadata(datetime(2021, 6, 21, 2, tzinfo=UTC), **place)
    times = counted(layout_with(tmp_path, {"a.wav": told}), scores_of("a.wav", [[0.9, 0, 0]], seconds=5))
    assert set(times.table()["from"]) == {"midnight"}


def test_the_table_and_plot_are_written_whole_and_removed_where_times_are_unknown(tmp_path: Path) -> None:
    told = {"a.wav": RecorderMetadata(datetime(2021, 6, 21, 3, tzinfo=UTC), **BERLIN), "b.wav": RecorderMetadata()}
    layout = layout_with(tmp_path, told)
    known = scores_of("a.wav", [[0.9, 0.9, 0]] * 3, seconds=15)
    stem = tmp_path / "run_soundscape_times"
    assert counted(layout, known, unreadable("b.wav")).write(stem) == tmp_path / "run_soundscape_times.png"
    assert (tmp_path / "run_soundscape_times.png").read_bytes().startswith(b"\x89PNG")
    table = pl.read_csv(tmp_path / "run_soundscape_times.csv")
    assert table.columns == ["species", "from", "minutes", "intervals", "detected"]
    assert table["detected"].sum() == 2 * 3 * 3
    assert counted(layout, scores_of("b.wav", np.full((2, 3), 0.9).tolist(), seconds=10)).write(stem) is None
    assert not list(tmp_path.glob("run_soundscape_times.*"))
