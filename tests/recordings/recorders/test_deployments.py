"""The table of deployments gives places and sites; its bad rows are one line each."""

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Dataset
from tests.recorder_files import SERIAL, audiomoth_wave, guano_wave, wave, write
from utils.console import UserError
from utils.recordings.recorders.deployments import Deployments, read_deployments
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.recorders.survey import survey_files

ROWS = f"""site,serial,latitude,longitude,from,to
Mill,{SERIAL.lower()},50.5,12.5,2021-10-01,2021-10-02
Hill,{SERIAL},51.5,13.5,2021-10-03,
elm,,1.5,2.5,,
"""


def deployments_of(folder: Path, text: str) -> Deployments:
    found = read_deployments(write(folder / "deployments.csv", text))
    assert found
    return found


def test_recorders_and_sites_get_places(tmp_path: Path) -> None:
    files = ("card/20211002_190000.WAV", "ELM_20211002_190000.wav", "Elm/20211002_190000.wav", "Oak/x.wav")
    for file, content in zip(files, (audiomoth_wave(), guano_wave(), wave(), wave()), strict=True):
        write(tmp_path / file, content)
    path = write(tmp_path / "deployments.csv", ROWS)
    found = survey_files(files, tmp_path, Dataset(deployments=path))
    assert [(one.site, one.latitude, one.longitude) for one in found.metadata] == [
        ("Mill", 50.5, 12.5),
        ("ELM", 52.5163, 13.3777),  # its header tells the place
        ("Elm", 1.5, 2.5),
        ("", None, None),
    ]
    (failure,) = found.failures
    assert failure.name == "deployments.csv"
    assert failure.reason == "1 of 3 rows hold for no recording, such as 'Hill' (deployments.csv line 3)"


@pytest.mark.parametrize(
    ("told", "site"),
    [
        (RecorderMetadata(datetime(2021, 10, 2, 23, 59, 59), serial=SERIAL), "Mill"),
        (RecorderMetadata(datetime(2021, 10, 3), serial=SERIAL, site="card 7"), "Hill"),
        (RecorderMetadata(datetime(2021, 9, 30, 23), serial=SERIAL), ""),
        (RecorderMetadata(date="2021-10-01", serial=SERIAL), "Mill"),
        (RecorderMetadata(serial=SERIAL), ""),  # nobody knows when
        (RecorderMetadata(datetime(2021, 10, 2), site="MILL"), "Mill"),  # its header is gone
        (RecorderMetadata(site="Elm"), "Elm"),
    ],
)
def test_a_row_holds_in_its_time(tmp_path: Path, told: RecorderMetadata, site: str) -> None:
    found = deployments_of(tmp_path, ROWS).complete(told)
    assert found.site == site
    assert (found.latitude is not None) == bool(site)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",,1,2,,", "names neither a site nor a recorder's serial number"),
        ("a,,,,,", "its coordinates are missing; they should be degrees, as 52.5 and 13.4"),
        ("a,,91,2,,", "its coordinates '91, 2' cannot be used; they should be degrees, as 52.5 and 13.4"),
        ("a,,1,2,02.10.2021,", "its from '02.10.2021' cannot be used; it should be as 2021-10-02 or 2021-10-02 19:00"),
        (
            "a,,1,2,,2021-10-02T19:00Z",
            "its to '2021-10-02T19:00Z' has a time zone; it should be by the recorder's clock",
        ),
        ("a,,1,2,2021-10-02,2021-10-01", "ends (2021-10-01) before it starts (2021-10-02)"),
        ("Elm,,3,4,2021-10-01,", "tells of 'Elm' at a time of which deployments.csv line 4 tells already"),
        ("a,,1,2,,,7", "has 7 values, the table 6 columns"),
    ],
)
def test_a_bad_row_is_one_line(tmp_path: Path, row: str, reason: str) -> None:
    found = deployments_of(tmp_path, ROWS + row + "\n")
    assert found.complete(RecorderMetadata(site="elm")).latitude == 1.5
    first = found.failures[0]
    assert (first.name, first.reason) == ("deployments.csv line 5", reason)


def test_a_table_without_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no column site or serial and no column longitude; there are a, lat"):
        deployments_of(tmp_path, "a,lat\n1,2\n")
    with pytest.raises(UserError, match="cannot be read"):
        read_deployments(tmp_path / "none.csv")
    assert read_deployments(None) is None


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40), st.integers(0, 60))
def test_damaged_tables_never_fail(tmp_path_factory: pytest.TempPathFactory, damage: str, at: int) -> None:
    start = ROWS.index("\n") + 1 + at
    found = deployments_of(tmp_path_factory.getbasetemp(), ROWS[:start] + damage + ROWS[start:])
    found.complete(RecorderMetadata(datetime(2021, 10, 2), serial=SERIAL))
    assert all(failure.reason for failure in found.failures)


def test_a_recorder_that_was_moved_has_both_places(tmp_path: Path) -> None:
    """Also if the rows share a time, or the day of the move; a `to` without hyphens includes its day, too."""
    head = "site,serial,latitude,longitude,from,to\n"
    same_day = ("2021-10-15", "2021-10-15")
    for end, start in (("2021-10-15 18:30", "2021-10-15 18:30"), same_day, ("20211015", "20211016")):
        found = deployments_of(tmp_path, f"{head}Mill,{SERIAL},1,2,,{end}\nHill,{SERIAL},3,4,{start},\n")
        on_day_of_move, later = (
            found.complete(RecorderMetadata(datetime(2021, 10, day, 9), serial=SERIAL)).latitude for day in (15, 20)
        )
        assert on_day_of_move == (3 if (end, start) == same_day else 1)
        assert later == 3
        assert not any("tells of" in failure.reason for failure in found.failures)


def test_a_site_of_several_recorders_places_only_those_with_serial_numbers(tmp_path: Path) -> None:
    found = deployments_of(tmp_path, "site,serial,latitude,longitude\nMill,A,50,12\nMill,B,51,12\n")
    assert found.complete(RecorderMetadata(datetime(2021, 10, 2), site="Mill")).latitude is None
    assert found.complete(RecorderMetadata(datetime(2021, 10, 2), site="Mill", serial="b")).latitude == 51
