"""Sites and times of intervals in a CSV of detections, and places of recordings, from what recorders wrote."""

import dataclasses
from pathlib import Path

from config import Dataset
from tests.conftest import small_config
from tests.recorder_files import GUANO, SUMMARY, audiomoth_wave, guano_wave, wave, write
from tests.scoring.layouts import layout_of, scores_of
from utils.recordings.recorders.clocks import time_zone
from utils.recordings.recorders.survey import survey_files
from utils.scoring.inference.places import read_places
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.formats.registry import check_submission, write_rows

FILES = ("Elm/20211002_190000.WAV", "card/ELM_20211002_190000.wav", "card/OAK_20211002_190010.wav", "tape.wav")
NIGHT = GUANO.replace("2021-10-02T19:00:00+02:00", "2021-10-31T02:59:55+02:00")  # the clocks go back at 3:00


def card(folder: Path) -> None:
    for file, content in zip(FILES, (audiomoth_wave(), guano_wave(), wave(), wave()), strict=True):
        write(folder / file, content)
    write(folder / "card" / "OAK_Summary.txt", SUMMARY)


def layout_for(folder: Path, files: tuple[str, ...], zone: str = "") -> SubmissionLayout:
    told = survey_files(files, folder, Dataset(time_zone=zone)).metadata
    layout = layout_of(folder, files, format="csv", min_score=0.5, interval=7.5)
    return dataclasses.replace(layout, recorders=dict(zip(files, told, strict=True)), zone=time_zone(zone))


def lines_of(folder: Path, layout: SubmissionLayout, seconds: float = 12.5) -> list[str]:
    path = folder / "out.csv"
    results = [scores_of(file, [[0.9, 0, 0]] * 2, seconds=seconds, interval=7.5) for file in layout.files]
    write_rows(path, results, layout)
    assert check_submission(path, layout) == []
    return path.read_text(encoding="utf-8").splitlines()


def test_intervals_have_sites_and_times(tmp_path: Path) -> None:
    card(tmp_path)
    lines = lines_of(tmp_path, layout_for(tmp_path, FILES))
    assert lines[0] == "recording,start,end,species,score,site,local,utc"
    assert [line.split(",", 5)[5] for line in lines[1:]] == [
        "Elm,2021-10-02T19:00:00Z,2021-10-02T19:00:00Z",
        "Elm,2021-10-02T19:00:07Z,2021-10-02T19:00:07Z",
        "ELM,2021-10-02T19:00:00+02:00,2021-10-02T17:00:00Z",
        "ELM,2021-10-02T19:00:07+02:00,2021-10-02T17:00:07Z",
        "OAK,2021-10-02T19:00:10,",
        "OAK,2021-10-02T19:00:17,",
        ",,",
        ",,",
    ]


def test_local_times_are_those_of_the_settings_also_when_summer_ends(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", guano_wave(NIGHT))
    lines = lines_of(tmp_path, layout_for(tmp_path, ("a.wav",), "Europe/Berlin"))
    assert [line.split(",")[6:] for line in lines[1:]] == [
        ["2021-10-31T02:59:55+02:00", "2021-10-31T00:59:55Z"],
        ["2021-10-31T02:00:02+01:00", "2021-10-31T01:00:02Z"],
    ]


def test_without_sites_and_times_there_are_no_columns(tmp_path: Path) -> None:
    write(tmp_path / "tape.wav", wave())
    assert lines_of(tmp_path, layout_for(tmp_path, ("tape.wav",)))[0] == "recording,start,end,species,score"


def test_a_check_finds_times_of_another_recording(tmp_path: Path) -> None:
    card(tmp_path)
    layout = layout_for(tmp_path, FILES)
    lines_of(tmp_path, layout)
    path = tmp_path / "out.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("07+02:00", "08+02:00"), encoding="utf-8")
    (problem,) = check_submission(path, layout)
    assert "site or times are not those of 'card/ELM_20211002_190000.wav'" in problem


def test_places_and_dates_come_from_recorders(tmp_path: Path) -> None:
    card(tmp_path)
    write(tmp_path / "tape.wav", guano_wave())
    config = small_config(tmp_path)
    told = survey_files(FILES, tmp_path, config.dataset).metadata
    places = read_places(FILES, FILES, config, told)
    found = [places.of(file, None) for file in FILES]
    assert [(one.latitude, one.longitude) for one in found] == [
        (None, None),
        (52.5163, 13.3777),
        (-33.0, -70.5),
        (52.5163, 13.3777),
    ]
    assert {one.week for one in found} == {37}
    assert found[3].elevation == 34.0
