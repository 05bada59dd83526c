"""Names of recorders' files tell site, date, time and place; a pattern from the settings tells others."""

import dataclasses
import time
from pathlib import Path

import pytest

from config import Config, SettingsError
from utils.recordings.folders import read_folders
from utils.recordings.recorders.file_names import RecorderName, pattern_fault, read_recorder_names, with_recorder_name
from utils.recordings.recording import Recording
from utils.settings_checks import check

DAY, NIGHT = ("2023-06-15", "02:51"), ("2023-06-15", "22:51")


@pytest.mark.parametrize(
    ("path", "site", "when"),
    [
        ("WALDEN_20230615_025100.wav", "WALDEN", DAY),  # Song Meter
        ("Data/ELM-1_20230615_025100.wav", "ELM-1", DAY),
        ("S4A01234_20230615_025100_000.wav", "S4A01234", DAY),
        ("ARIZONA-1_0_20230615$025100.wac", "ARIZONA-1", DAY),  # SM3 with GPS
        ("ARIZONA-1_0+1_20230615_025100.wav", "ARIZONA-1", DAY),
        ("PLOT_1_20230615_025100.wav", "PLOT_1", DAY),  # a number of the site, not a channel
        ("S4A_20230615_025100.flac", "S4A", DAY),  # Swift
        ("24E144085F2569B8_20230615_025100.WAV", "24E144085F2569B8", DAY),  # AudioMoth with its number
        ("Elm/20230615_025100.WAV", "Elm", DAY),  # AudioMoth
        ("Elm/Data/20230615/20230615_025100T.WAV", "Elm", DAY),  # a folder for each day; triggered
        ("2023/2023-06-15/DCIM/20230615_025100.WAV", "", DAY),
        ("Elm/REC_20230615_025100.wav", "Elm", DAY),
        ("Elm/5B07FAC0.WAV", "Elm", ("2018-05-25", "12:00Z")),  # AudioMoth until 2018
        ("Elm/10160435.wav", "", ("", "")),  # a BATLOGGER's number
        ("Elm/5B07FAC.WAV", "", ("", "")),
        ("Elm/DB07FAC0.WAV", "", ("", "")),
        ("P01_1_20230615T025100-0400_ARU.wav", "P01_1", ("2023-06-15", "02:51-04:00")),  # BAR-LT
        ("20230615T025100+1000_REC.flac", "", ("2023-06-15", "02:51+10:00")),
        ("PILLIGA_20230615T025100Z.wav", "PILLIGA", ("2023-06-15", "02:51Z")),  # renamed by EMU
        ("ELM_20230615_025100_UTC.wav", "ELM", ("2023-06-15", "02:51Z")),
        ("ELM_20230615_225100UTC.wav", "ELM", (NIGHT[0], "22:51Z")),
        ("ELM_20230615_025100-0100.wav", "ELM", DAY),  # a counter, not a time zone
        ("ELM_20230615T025100+9900.wav", "ELM", DAY),
        ("ELM_20230615025100.wav", "ELM", DAY),
        ("Elm/2023-06-15 02-51-00.wav", "Elm", DAY),  # Anabat
        ("0.950_12_ELM_20230615_025100_12.0s_15.0s.wav", "ELM", DAY),  # a segment of BirdNET-Analyzer
        ("BC2026_Train_0039_S22_20211231_201500.ogg", "S22", ("2021-12-31", "20:15")),
        ("7019_COR_20190904.ogg", "COR", ("2019-09-04", "")),
        ("ELM_20230615.wav", "", ("2023-06-15", "")),  # no recorder's name
        ("20190904T1830_COR.wav", "", ("2019-09-04", "18:30")),
        ("20200101_x_20230615_025100.wav", "20200101_x", ("2020-01-01", "")),  # the first date, as ever
        ("Turdus_merula_20230615_025100.wav", "", DAY),
        ("Turdus merula/20230615_025100.wav", "", DAY),
        ("Elm/turdus merula/20230615_025100.wav", "Elm", DAY),
        ("Elm/XC20211399.mp3", "", ("", "")),
        ("ELM_20231315_025100.wav", "", ("", "")),
        ("ELM_20230615_256100.wav", "", ("2023-06-15", "")),
        ("Elm/\udcff_1.wav", "", ("", "")),
    ],
)
def test_the_usual_names_of_recorders(path: str, site: str, when: tuple[str, str]) -> None:
    (found,) = read_recorder_names([path], no_sites=["Turdus merula"])
    assert (found.site, (found.date, found.time)) == (site, when)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("20210617T180000+1000_Rec2_-18.2656+144.5564.flac", (-18.2656, 144.5564)),
        ("00033565_20250216T150000+0100_REC [-03.94513+011.34217].wav", (-3.94513, 11.34217)),
        ("20210617T180000+1000_REC [+00.00000+000.00000].wav", (None, None)),
        ("20210617T180000+1000_REC [+95.00000+000.10000].wav", (None, None)),
        ("ELM_20230615_025100_-12.5.wav", (None, None)),
    ],
)
def test_places_in_names(name: str, place: tuple[float | None, float | None]) -> None:
    (found,) = read_recorder_names([name])
    assert (found.latitude, found.longitude) == place


def test_a_pattern_is_searched_in_names_and_paths(capsys: pytest.CaptureFixture[str]) -> None:
    pattern = r"(?P<site>[A-Z]\d+)[-/](?P<date>\d{4}-\d\d-\d\d|\d{8})(?:at(?P<time>\d{6}))?"
    paths = [
        "x/A1-20230615at225100.wav",
        "B2/2023-06-15_x.wav",
        "A3-20239915.wav",
        "c/ELM_20230615_025100.wav",
        "d.wav",
    ]
    found = read_recorder_names(paths, pattern)
    expected = [("A1", *NIGHT), ("B2", "2023-06-15", ""), ("A3", "", ""), ("", *DAY), ("", "", "")]
    assert [(one.site, one.date, one.time) for one in found] == expected
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == 2
    assert "dataset.site_pattern: matches 3 of 5 names of sounds, not 'c/ELM_20230615_025100.wav'" in warned[0]
    assert "finds dates that are not YYYYMMDD (1), such as '20239915'" in warned[1]


def test_a_pattern_without_date_leaves_that_of_the_usual_names() -> None:
    (found,) = read_recorder_names(["north_ELM_20230615_025100.wav"], r"^(?P<site>[a-z]+)_")
    assert (found.site, found.date, found.time) == ("north", *DAY)


def test_a_pattern_that_matches_nothing_costs_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert {one.site for one in read_recorder_names(["ELM_20230615_025100.wav"] * 9, "(?P<site>zzz)")} == {""}
    (line,) = capsys.readouterr().err.splitlines()
    assert "matches none of 9 names of sounds" in line
    assert read_recorder_names([], "(?P<site>zzz)") == []


def test_a_pattern_takes_linear_time() -> None:
    started = time.perf_counter()
    read_recorder_names(["a" * 255 + "!"], "(?P<site>(a+)+)$")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<site>a", r"is not a regular expression \(unclosed group\)"),
        ("(a)", r"should have a group \(\?P<site>…\)"),
        ("a", r"should have a group"),
        ("(?P<site>a)(?=b)", r"look-around.* is not supported"),
        (r"(?P<site>\w{1000}{1000})", r"exceeds size limit"),
        ("\udcff", "is not Unicode"),
    ],
)
def test_patterns_that_cannot_be_used(pattern: str, message: str) -> None:
    config = Config()
    bad = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, site_pattern=pattern))
    with pytest.raises(SettingsError, match=message) as raised:
        check(bad)
    assert raised.value.key == "dataset.site_pattern"
    assert "\n" not in str(raised.value)


def test_patterns_that_can_be_used() -> None:
    assert pattern_fault(r"(?P<site>[^/]+)/") == pattern_fault(r"(?<site>\d+)") == ""


def test_what_is_known_of_a_recording_wins_over_its_name() -> None:
    name = RecorderName("ELM", *DAY, latitude=1.0, longitude=2.0)
    empty = Recording("n", Path("n.wav"), "")
    filled = with_recorder_name(empty, name)
    assert (filled.locality, filled.date, filled.time, filled.latitude, filled.longitude) == ("ELM", *DAY, 1.0, 2.0)
    known = dataclasses.replace(empty, locality="Oak", date="2023-06-15", latitude=5.0, longitude=6.0)
    assert with_recorder_name(known, name) == dataclasses.replace(known, time="02:51")
    other_day = dataclasses.replace(known, date="2020-01-01")
    assert with_recorder_name(other_day, name) == other_day  # the name's time is not of that day


def test_a_species_folder_is_no_site(tmp_path: Path) -> None:
    for path in ("Turdus merula/20230615_025100.wav", "Turdus merula/Elm/20230616_025100.wav", "Apus_apus/OAK_1.wav"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    sites = [one.locality for one in read_folders(tmp_path).recordings]
    assert sites == ["", "", "Elm"]
    sites = [one.locality for one in read_folders(tmp_path, site_pattern="^(?P<site>[A-Z]{3})_").recordings]
    assert sites == ["OAK", "", ""]
