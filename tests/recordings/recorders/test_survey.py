"""Header, name and summary of a recorder's files together."""

import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from config import Config, Dataset, SettingsError
from tests.recorder_files import SUMMARY, audiomoth_wave, comment, guano_wave, wave, write
from utils.recordings.recorders.clocks import agreed_start, in_zone, time_zone, with_zone
from utils.recordings.recorders.file_names import RecorderName, read_recorder_names, start_of
from utils.recordings.recorders.metadata import RecorderMetadata, believable_day, in_utc, iso_text
from utils.recordings.recorders.survey import NamedSound, Survey, survey_files, survey_recorders
from utils.settings_checks import check

CLOCK = datetime(2021, 10, 2, 19)
SUMMER = timezone(timedelta(hours=2))


def survey(folder: Path, *, zone: str = "") -> Survey:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() == ".wav")
    paths = [file.relative_to(folder).as_posix() for file in files]
    sounds = [NamedSound(*one) for one in zip(files, paths, read_recorder_names(paths), strict=True)]
    return survey_recorders(sounds, folder, Dataset(time_zone=zone))


def test_cards_of_an_audiomoth_and_a_song_meter(tmp_path: Path) -> None:
    write(tmp_path / "Elm" / "20211002_190000.WAV", audiomoth_wave())
    write(tmp_path / "card 2" / "OAK_Summary.txt", SUMMARY)
    write(tmp_path / "card 2" / "Data" / "OAK_20211002_190020.wav", wave())
    write(tmp_path / "card 2" / "Data" / "FIR_20211002_190000.wav", wave())
    found = survey(tmp_path)
    moth, other, meter = found.metadata
    assert (moth.site, moth.started, moth.recorder) == ("Elm", CLOCK.replace(tzinfo=UTC), "AudioMoth")
    assert other == RecorderMetadata(CLOCK, "FIR", date="2021-10-02")  # the summary is another recorder's
    assert meter == RecorderMetadata(
        CLOCK + timedelta(seconds=20),
        "OAK",
        temperature=11.5,
        battery=4.1,
        latitude=-33.0,
        longitude=-70.5,
        date="2021-10-02",
    )
    assert found.failures == []
    assert found.summaries == {tmp_path / "card 2" / "OAK_Summary.txt"}


def test_days_that_no_calendar_has_are_left_out(tmp_path: Path) -> None:
    files = ["20210231.wav", "Elm/20210231_190000.wav", "20210228.wav"]
    assert [one.date for one in survey_files(files, tmp_path, Dataset()).metadata] == ["", "", "2021-02-28"]
    assert [believable_day(text) for text in ("2021-13-01", "1970-01-01", "2021", "20210228", "")] == [""] * 5


def test_a_header_that_contradicts_the_name_is_told_in_one_line(tmp_path: Path) -> None:
    write(tmp_path / "Elm" / "20211003_070000.WAV", audiomoth_wave())
    found = survey(tmp_path)
    (failure,) = found.failures
    assert failure.name == "Elm/20211003_070000.WAV"
    assert failure.reason == ("its header says 2021-10-02 19:00:00+00:00, its name 2021-10-03 07:00, which is used")
    assert found.metadata[0].started == datetime(2021, 10, 3, 7)
    assert found.metadata[0].temperature == 11.5


def test_one_damaged_file_costs_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "Elm" / "20211002_190000.WAV", audiomoth_wave(comment("19:00:00 42/10/2021")))
    write(tmp_path / "Elm" / "20211002_200000.WAV", guano_wave(b"\xff\xfe\0\0")[:-2])
    write(tmp_path / "Elm" / "ELM_20211002_190000.wav", guano_wave())
    write(tmp_path / "Elm" / "ELM_Summary.txt", b"\xff\xfe\0")
    found = survey(tmp_path)
    assert [one.started for one in found.metadata] == [CLOCK, CLOCK.replace(hour=20), CLOCK.replace(tzinfo=SUMMER)]
    assert next(one.reason.split(" cannot")[0] for one in found.failures) == "the time in its AudioMoth comment"
    assert all("\n" not in one.reason for one in found.failures)


def test_a_time_zone_from_the_settings(tmp_path: Path) -> None:
    write(tmp_path / "OAK_20211002_190000.wav", wave())
    write(tmp_path / "Elm" / "20211002_190000.WAV", audiomoth_wave())
    moth, meter = survey(tmp_path, zone="Europe/Berlin").metadata
    assert iso_text(meter.started) == "2021-10-02T19:00:00+02:00"
    assert iso_text(meter.utc) == "2021-10-02T17:00:00Z"
    assert iso_text(moth.started) == "2021-10-02T19:00:00Z"
    assert iso_text(in_zone(moth.started, time_zone("Europe/Berlin"))) == "2021-10-02T21:00:00+02:00"


@pytest.mark.parametrize(
    ("in_header", "in_name", "day", "started"),
    [
        (CLOCK.replace(tzinfo=SUMMER), CLOCK, "2021-10-02", CLOCK.replace(tzinfo=SUMMER)),
        (CLOCK, CLOCK.replace(minute=1), "2021-10-02", CLOCK),
        (CLOCK, CLOCK.replace(tzinfo=SUMMER), "2021-10-02", CLOCK.replace(tzinfo=SUMMER)),
        (CLOCK.replace(tzinfo=SUMMER), CLOCK.replace(hour=17, tzinfo=UTC), "2021-10-02", CLOCK.replace(tzinfo=SUMMER)),
        (CLOCK, None, "", CLOCK),
        (CLOCK, None, "2021-10-02", CLOCK),
        (None, CLOCK, "2021-10-02", CLOCK),
        (None, None, "2021-10-02", None),
    ],
)
def test_times_that_agree(
    in_header: datetime | None, in_name: datetime | None, day: str, started: datetime | None
) -> None:
    assert agreed_start(in_header, in_name, day) == (started, "")


@pytest.mark.parametrize(
    ("in_name", "day"),
    [
        (CLOCK.replace(hour=7), "2021-10-02"),
        (CLOCK.replace(tzinfo=UTC), "2021-10-02"),
        (None, "2021-10-01"),
        (CLOCK.replace(year=2020), "2020-10-02"),
    ],
)
def test_times_that_differ(in_name: datetime | None, day: str) -> None:
    started, doubt = agreed_start(CLOCK.replace(tzinfo=SUMMER), in_name, day)
    assert started == in_name
    assert "2021-10-02 19:00:00+02:00" in doubt


@pytest.mark.parametrize(
    ("name", "stem", "text"),
    [
        (RecorderName(date="2021-10-02", time="19:00"), "ELM_20211002_190037", "2021-10-02T19:00:37"),
        (RecorderName(date="2021-10-02", time="19:00+10:00"), "20211002T190037+1000_REC", "2021-10-02T19:00:37+10:00"),
        (RecorderName(date="2021-10-02", time="18:00"), "ELM_20211002_190037", "2021-10-02T18:00:00"),
        (RecorderName(date="2021-10-02", time="18:00:05"), "x", "2021-10-02T18:00:05"),
        (RecorderName(date="2021-10-02"), "x", ""),
        (RecorderName(date="2021-10", time="18:00"), "x", ""),
        (RecorderName(date="2021-10-02", time="evening"), "x", ""),
    ],
)
def test_the_start_in_a_name(name: RecorderName, stem: str, text: str) -> None:
    assert iso_text(start_of(name, stem)) == text


def test_time_zones_and_the_ends_of_the_calendar() -> None:
    assert time_zone("") is None
    assert with_zone(CLOCK, time_zone("-03:30")) == datetime(2021, 10, 2, 22, 30, tzinfo=UTC)
    assert in_utc(datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))) is None
    for text in ("Berlin", "+25:00", "../UTC", "\0", "a" * 5000):
        with pytest.raises(SettingsError, match=r"dataset.time_zone.*is no time zone"):
            check(Config(dataset=Dataset(time_zone=text)))


def test_the_headers_of_ten_thousand_files_take_seconds(tmp_path: Path) -> None:
    content = guano_wave()
    start = content.index(b"data")
    sound = 600 << 20  # bytes of each file, of which the disk stores nothing
    path = tmp_path / "ELM_20211002_190000.wav"
    with path.open("wb") as stream:
        stream.write(content[:start] + b"data" + sound.to_bytes(4, "little"))
        stream.seek(sound, 1)
        stream.write(content[content.index(b"guan") :])
    sounds = [NamedSound(path, path.name, RecorderName("ELM", "2021-10-02", "19:00"))] * 1000
    before = time.process_time()
    found = survey_recorders(sounds, tmp_path, Dataset())
    assert time.process_time() - before < 2.0  # seconds, for a tenth of ten thousand files; measured: 0.1
    assert {one.serial for one in found.metadata} == {"SMM04321"}


def test_a_summary_is_only_that_of_its_recorder(tmp_path: Path) -> None:
    write(tmp_path / "SM1_Summary.txt", SUMMARY)
    for name in ("SM1_20211002_190020.wav", "SM10_20211002_190020.wav"):
        write(tmp_path / name, wave())
    found = {one.site: one.latitude for one in survey(tmp_path).metadata}
    assert found == {"SM1": -33.0, "SM10": None}


def test_names_in_local_time_do_not_contradict_headers_in_utc(tmp_path: Path) -> None:
    write(tmp_path / "Elm" / "20211003_050000.WAV", audiomoth_wave())  # 19:00 UTC of the day before
    found = survey(tmp_path, zone="+10:00")
    assert found.failures == []
    assert found.metadata[0].utc == CLOCK.replace(tzinfo=UTC)


def test_a_clock_that_was_never_set_tells_no_time(tmp_path: Path) -> None:
    write(tmp_path / "MILL" / "19700101_000300.WAV", audiomoth_wave())
    write(tmp_path / "MILL" / "19700101_000400.WAV", wave())
    found = survey(tmp_path)
    assert found.failures == []
    assert [(one.started, one.date) for one in found.metadata] == [
        (CLOCK.replace(tzinfo=UTC), "2021-10-02"),
        (None, ""),
    ]


def test_headers_hold_no_formulas_and_keep_their_elevation(tmp_path: Path) -> None:
    chunk = "GUANO|Version: 1.0\nLoc Site Name: =HYPERLINK(1)\nSerial: @7\nLoc Elevation: 300\n"
    write(tmp_path / "a.wav", guano_wave(chunk))
    (told,) = survey(tmp_path).metadata
    assert (told.serial, told.elevation) == ("7", 300.0)
    assert not told.site.startswith("=")
