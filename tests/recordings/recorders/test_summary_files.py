"""Summaries on the cards of Wildlife Acoustics' recorders, whole, odd and damaged."""

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorder_files import SUMMARY, write
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.recorders.summary_files import parse_summary, read_summary, recorder_of_summary

EVENING = datetime(2021, 10, 2, 19, 1)


def test_a_summary_tells_place_voltage_and_temperature() -> None:
    summary = parse_summary(SUMMARY.encode())
    assert summary.problems == ()
    assert summary.at(EVENING) == RecorderMetadata(temperature=11.5, battery=4.1, latitude=-33.0, longitude=-70.5)
    assert summary.at(datetime(2021, 10, 3, 4, 45)).latitude == -33.25
    assert summary.at(datetime(2021, 12, 1)) == RecorderMetadata(latitude=-33.25, longitude=-70.5)  # nothing is near


def test_without_a_time_the_place_is_known_if_it_is_one() -> None:
    assert parse_summary(SUMMARY.encode()).at(None) == RecorderMetadata()
    one_place = SUMMARY.replace("33.25000", "33.00000")
    assert parse_summary(one_place.encode()).at(None) == RecorderMetadata(latitude=-33.0, longitude=-70.5)


def test_the_columns_of_an_sm4_without_names_of_hemispheres() -> None:
    text = "DATE,TIME,LAT,,LON,,POWER(V),TEMP(C),#FILES,MIC0 TYPE\n2021-Oct-02,19:00:00,52.5,N,13.4,E,5.9,8.25,1,U1\n"
    (line,) = parse_summary(text.encode()).lines
    assert line.metadata == RecorderMetadata(temperature=8.25, battery=5.9, latitude=52.5, longitude=13.4)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_odd_encodings_and_line_ends(encoding: str, end: str) -> None:
    text = SUMMARY.replace("TEMP(C)", "TEMP(°C)").replace("\n", end)
    assert parse_summary(text.encode(encoding)).at(EVENING).temperature == 11.5


def test_bad_lines_are_counted_and_cost_only_themselves() -> None:
    text = SUMMARY.replace("2021-Oct-02,18:30:00", "2021-Oct-32,18:30:00") + "\x00\x00\nno line\n"
    summary = parse_summary(text.encode())
    assert summary.problems == ("2 of 4 lines cannot be used, such as line 2",)
    assert summary.at(EVENING).battery == 4.1


def test_a_recorder_without_a_position_writes_zeros() -> None:
    text = SUMMARY.replace("33.00000", "0.00000").replace("33.25000", "0.00000").replace("70.50000", "0.00000")
    assert parse_summary(text.encode()).at(EVENING) == RecorderMetadata(temperature=11.5, battery=4.1)


@pytest.mark.parametrize(
    ("name", "recorder"),
    [
        ("ELM_Summary.txt", "ELM"),
        ("SM4-1_A_Summary.txt", "SM4-1"),
        ("S5A00032_Summary_1.txt", "S5A00032"),
        ("elm_summary.TXT", "elm"),
        ("Summary.txt", ""),
        ("ELM_Summary.csv", ""),
        ("my summary.txt", ""),
    ],
)
def test_names_of_summaries(name: str, recorder: str) -> None:
    assert recorder_of_summary(name) == recorder


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ELM_Summary.txt"
    with path.open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(ValueError, match="too large"):
        read_summary(path)
    assert len(read_summary(write(path, SUMMARY)).lines) == 3


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 100))
def test_damaged_summaries_never_fail(damage: bytes, at: int, removed: int) -> None:
    content = SUMMARY.encode()
    summary = parse_summary(content[:at] + damage + content[at + removed :])
    assert len(summary.problems) <= 1
    for line in summary.lines:
        assert (line.metadata.latitude is None) == (line.metadata.longitude is None)
    summary.at(EVENING)
