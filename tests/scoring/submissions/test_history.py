"""Detection histories: what was detected on which day at which site, what was not, and how long was recorded."""

import csv
import dataclasses
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scoring.layouts import CLASSES, layout_of, scores_of, unreadable
from utils.recordings.recorders.clocks import time_zone
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.recording import NOISE
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.history import DetectionHistory, WrittenHistory, day_spans

HOUR = 3600.0


def layout_with(
    folder: Path, told: dict[str, RecorderMetadata], zone: str = "", classes: tuple[str, ...] = CLASSES, **more: bool
) -> SubmissionLayout:
    layout = layout_of(folder, tuple(told), classes=classes, format="csv", min_score=0.5, history="day", **more)
    return dataclasses.replace(layout, recorders=told, zone=time_zone(zone))


def written(layout: SubmissionLayout, *results: IntervalScores) -> WrittenHistory | None:
    history = DetectionHistory(layout)
    assert list(history.through(results)) == list(results)
    return history.write(layout.root / "out_history")


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_a_day_counts_as_detected_not_detected_or_not_recorded(tmp_path: Path) -> None:
    told = {
        "1.wav": RecorderMetadata(datetime(2021, 6, 1, 5), "Mill"),
        "2.wav": RecorderMetadata(datetime(2021, 6, 1, 20), "Mill"),
        "3.wav": RecorderMetadata(datetime(2021, 6, 3, 5), "Mill"),
        "4.wav": RecorderMetadata(datetime(2021, 6, 3, 5), "Elm, old"),
        "5.wav": RecorderMetadata(datetime(2021, 6, 4, 5), "Elm, old"),
    }
    none, first, last = [0.0, 0.0, 0.0], [0.9, 0.0, 0.0], [0.0, 0.0, 0.9]
    tables = {"1.wav": [none, none], "2.wav": [none, first], "3.wav": [none, none], "4.wav": [last, last]}
    results = [scores_of(file, table, seconds=HOUR, interval=HOUR / 2) for file, table in tables.items()]
    found = written(layout_with(tmp_path, told), *results, unreadable("5.wav"))
    assert found is not None
    assert rows_of(found.path) == [
        ["species", "site", "2021-06-01", "2021-06-03"],
        [CLASSES[0], "Elm, old", "", "0"],
        [CLASSES[0], "Mill", "1", "0"],
        [CLASSES[2], "Elm, old", "", "1"],
        [CLASSES[2], "Mill", "0", "0"],
    ]
    assert rows_of(found.effort) == [
        ["site", "2021-06-01", "2021-06-03"],
        ["Elm, old", "", "1.000000"],
        ["Mill", "2.000000", "1.000000"],
    ]
    assert (found.species, found.sites, found.days) == (2, 2, 2)


def test_a_recording_over_midnight_counts_for_both_days(tmp_path: Path) -> None:
    told = {"a.wav": RecorderMetadata(datetime(2021, 6, 1, 21, 30, tzinfo=UTC), "Mill")}  # 23:30 of summer time
    table = [[0.9, 0, 0], [0, 0.9, 0], [0, 0, 0]]
    one = scores_of("a.wav", table, seconds=HOUR, interval=1200.0)  # 23:30, 23:50, 0:10
    found = written(layout_with(tmp_path, told, "Europe/Berlin"), one)
    assert found is not None
    assert rows_of(found.path)[1:] == [[CLASSES[0], "Mill", "1", "0"], [CLASSES[1], "Mill", "1", "1"]]
    assert rows_of(found.effort) == [["site", "2021-06-01", "2021-06-02"], ["Mill", "0.500000", "0.500000"]]


def test_recordings_without_site_or_time_are_named_and_do_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {f"{index}.wav": RecorderMetadata(site="Mill") for index in range(5)}
    told |= {"x.wav": RecorderMetadata(datetime(2021, 6, 1)), "y.wav": RecorderMetadata()}
    results = [scores_of(file, [[0.9, 0, 0]], seconds=5.0) for file in told]
    (tmp_path / "out_history.csv").write_text("of an earlier call")
    (tmp_path / "out_history_effort.csv").write_text("of an earlier call")
    assert written(layout_with(tmp_path, told), *results) is None
    assert list(tmp_path.iterdir()) == []
    told_of = " ".join(capsys.readouterr().err.split())
    assert "1 without site (x.wav); 5 without time (0.wav, 1.wav, 2.wav, …); 1 without site and time (y.wav)" in told_of


def test_noise_is_no_species_and_nothing_detected_is_effort_only(tmp_path: Path) -> None:
    told = {"a.wav": RecorderMetadata(datetime(2021, 6, 1), "Mill")}
    layout = layout_with(tmp_path, told, classes=("A", "B", NOISE))
    found = written(layout, scores_of("a.wav", [[0, 0, 0.9]], seconds=5.0))
    assert found is not None
    assert rows_of(found.path) == [["species", "site", "2021-06-01"]]
    assert rows_of(found.effort)[1:] == [["Mill", f"{5 / HOUR:.6f}"]]


def test_sites_and_species_do_not_run_in_spreadsheets(tmp_path: Path) -> None:
    told = {"a.wav": RecorderMetadata(datetime(2021, 6, 1), "=Mill")}
    for defuse, mark in ((True, "'"), (False, "")):
        layout = layout_with(tmp_path, told, classes=("@A", "-1", "B"), defuse=defuse)
        found = written(layout, scores_of("a.wav", [[0.9, 0.9, 0]], seconds=5.0))
        assert found is not None
        assert [row[:2] for row in rows_of(found.path)[1:]] == [[f"{mark}@A", f"{mark}=Mill"], ["-1", f"{mark}=Mill"]]
        assert rows_of(found.effort)[1][0] == f"{mark}=Mill"


def test_a_history_is_not_written_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = layout_of(tmp_path, ("a.wav",), format="csv")
    assert written(layout, scores_of("a.wav", [[0.9, 0, 0]], seconds=5.0)) is None
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


ZONES = ("Europe/Berlin", "America/Havana", "Asia/Beirut", "Pacific/Apia", "Pacific/Chatham", "+02:00", "")


@settings(deadline=None)
@given(
    st.datetimes(datetime(2005, 1, 1), datetime(2025, 1, 1)),
    st.floats(0.01, 5 * 86_400),
    st.sampled_from(ZONES),
    st.sampled_from([None, UTC, timezone(timedelta(hours=-9))]),
)
def test_the_days_of_a_recording_are_all_of_it_in_order(
    started: datetime, seconds: float, name: str, clock: timezone | None
) -> None:
    zone = time_zone(name)
    started = started.replace(tzinfo=clock or zone)
    spans = list(day_spans(started, seconds, zone))
    assert spans[0].start == 0.0
    assert spans[-1].end == seconds
    assert all(before.end == after.start for before, after in pairwise(spans))
    for span in spans:
        middle = started.astimezone(UTC) if started.tzinfo else started
        middle += timedelta(seconds=(span.start + span.end) / 2)
        local = middle.astimezone(zone or started.tzinfo) if started.tzinfo else middle
        assert local.date() == span.day or span.end - span.start < 1e-5


def test_a_day_of_summer_time_has_23_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    spans = list(day_spans(datetime(2021, 3, 28, tzinfo=berlin), 30 * HOUR, berlin))
    assert [(span.day, span.end) for span in spans] == [
        (date(2021, 3, 28), 23 * HOUR),
        (date(2021, 3, 29), 30 * HOUR),
    ]
