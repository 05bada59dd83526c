"""What recorders write into WAV headers: GUANO and AudioMoth's comment, whole and damaged."""

import io
import struct
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.recorder_files import GUANO, SERIAL, audiomoth_list, audiomoth_wave, chunk, comment, guano_wave, wave, write
from utils.recordings.recorders.audiomoth import parse_audiomoth
from utils.recordings.recorders.guano import parse_guano, parse_timestamp
from utils.recordings.recorders.metadata import NOTHING, RecorderMetadata
from utils.recordings.recorders.survey import read_header
from utils.recordings.recorders.wave_texts import read_wave_texts

SUMMER = timezone(timedelta(hours=2))
STARTED = datetime(2021, 10, 2, 19, tzinfo=UTC)
MOTH = RecorderMetadata(STARTED, "", "AudioMoth", SERIAL, "medium", 11.5, 4.1)
METER = RecorderMetadata(
    datetime(2021, 10, 2, 19, tzinfo=SUMMER),
    "ELM",
    "Wildlife Acoustics Song Meter Mini 2",
    "SMM04321",
    "18 dB",
    11.5,
    None,
    52.5163,
    13.3777,
    34.0,
)


def test_the_header_of_an_audiomoth(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "20211002_190000.WAV", audiomoth_wave())) == (MOTH, ())


def test_the_guano_chunk_of_a_song_meter(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "ELM_20211002_190000.wav", guano_wave())) == (METER, ())


def test_guano_before_the_sound_and_in_rf64(tmp_path: Path) -> None:
    assert read_header(write(tmp_path / "a.wav", wave(before=chunk(b"guan", GUANO.encode())))).metadata == METER
    content = guano_wave()
    at = content.index(b"data")
    (size,) = struct.unpack("<I", content[at + 4 : at + 8])
    long = chunk(b"ds64", struct.pack("<QQQI", len(content), size, size // 2, 0))
    rf64 = b"RF64\xff\xff\xff\xffWAVE" + long + content[12 : at + 4] + b"\xff\xff\xff\xff" + content[at + 8 :]
    assert read_header(write(tmp_path / "b.wav", rf64)).metadata == METER


@pytest.mark.parametrize(
    ("text", "started", "gain", "battery", "temperature"),
    [  # the wording of firmware 1.0, 1.0.1, 1.2.0, 1.2.1, 1.4.0 and 1.6.0
        (f"Recorded at 19:00:00 02/10/2021 by AudioMoth {SERIAL} at gain setting 2 while battery state was > 5.0V",
         STARTED, "medium", 5.0, None),
        (f"Recorded at 19:00:00 02/10/2021 (UTC) by AudioMoth {SERIAL} at gain setting 0 while battery state was 4.0V",
         STARTED, "low", 4.0, None),
        (f"Recorded at 19:00:00 02/10/2021 (UTC-3) by AudioMoth {SERIAL} at gain setting 4 while battery state was "
         "4.0V.", STARTED + timedelta(hours=3), "high", 4.0, None),
        (f"Recorded at 19:00:00 02/10/2021 (UTC+5:30) by AudioMoth {SERIAL} at gain setting 3 while battery state was "
         "less than 3.6V. Recording cancelled before completion due to low battery voltage.",
         STARTED - timedelta(hours=5, minutes=30), "medium-high", 3.6, None),
        (f"Recorded at 19:00:00 02/10/2021 (UTC-3:30) by AudioMoth {SERIAL} at low-medium gain setting while battery "
         "state was greater than 4.9V and temperature was -0.5C.",
         STARTED + timedelta(hours=3, minutes=30), "low-medium", 4.9, -0.5),
        (comment(), STARTED, "medium", 4.1, 11.5),
        (comment("19:00:00.250"[:12] + " 02/10/2021"), STARTED, "medium", 4.1, 11.5),
    ],
)  # fmt: skip
def test_every_wording_of_an_audiomoth(
    text: str, started: datetime, gain: str, battery: float, temperature: float | None
) -> None:
    found, problems = parse_audiomoth({"ICMT": text})
    assert (found.started, found.serial, found.gain) == (started, SERIAL, gain)
    assert (found.battery, found.temperature, problems) == (battery, temperature, ())


def test_a_deployment_does_not_hide_the_serial_number() -> None:
    text = comment(by="during deployment AAAAAAAAAAAAAAAA")
    assert parse_audiomoth({"ICMT": text, "IART": f"AudioMoth {SERIAL}"}).metadata == MOTH
    assert parse_audiomoth({"ICMT": text}) == NOTHING  # nothing says that it is an AudioMoth's


@pytest.mark.parametrize("when", ["19:00:00 32/10/2021", "19:00:00 02/13/2021", "29:00:00 02/10/2021"])
def test_an_impossible_date_costs_only_the_time(when: str) -> None:
    found, problems = parse_audiomoth({"ICMT": comment(when)})
    assert found == RecorderMetadata(None, "", "AudioMoth", SERIAL, "medium", 11.5, 4.1)
    (problem,) = problems
    assert when in problem


def test_a_clock_that_was_never_set() -> None:
    assert parse_audiomoth({"ICMT": comment("00:00:05 01/01/1970")}).metadata.started is None
    assert parse_timestamp("1970-01-01T00:00:05") is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2021-10-02T19:00:00Z", STARTED),
        ("2021-10-02 21:00:00+02:00", STARTED),
        ("2021-10-02T19:00:00.123-0100", STARTED + timedelta(hours=1)),
        ("2021-10-02T19:00:00+02", STARTED - timedelta(hours=2)),
        ("2021-10-02T19:00:00", STARTED.replace(tzinfo=None)),
        ("2021-02-30T19:00:00", None),
        ("2021-10-02T19:00:00+99:00", None),
        ("02/10/2021 19:00", None),
        ("２０21-10-02T19:00:00Z", None),
    ],
)
def test_times_of_guano(text: str, moment: datetime | None) -> None:
    assert parse_timestamp(text) == moment


def test_bad_fields_of_guano_are_told_and_cost_only_themselves() -> None:
    bad = GUANO.replace("52.516300 13.377700", "north 13").replace("Int: 11.5", "Int: hot").replace("Model:", "Model")
    found, problems = parse_guano(bad.encode())
    assert (found.started, found.serial, found.latitude, found.temperature) == (METER.started, "SMM04321", None, None)
    assert [problem.split(":")[0] for problem in problems] == [
        "1 lines of its GUANO metadata have no key, such as 'Model Song Meter Mini 2'",
        "its GUANO field Loc Position cannot be used",
        "its GUANO field Temperature Int cannot be used",
    ]


def test_guano_in_latin_1_and_without_a_position() -> None:
    text = GUANO.replace("ELM", "Süd").replace("52.516300 13.377700", "0.0 0.0")
    found, problems = parse_guano(text.encode("latin-1"))
    assert (found.site, found.latitude, found.longitude, problems) == ("Süd", None, None, ())


def test_what_is_no_wave_file_tells_nothing(tmp_path: Path) -> None:
    for content in (b"", b"RIFF", b"fLaC" * 9, wave(), audiomoth_wave()[:30]):
        assert read_header(write(tmp_path / "a.wav", content)) == NOTHING
    assert read_header(tmp_path / "missing.wav") == NOTHING
    assert read_header(tmp_path) == NOTHING


def test_a_header_that_is_cut_off_is_told(tmp_path: Path) -> None:
    found, problems = read_header(write(tmp_path / "a.wav", guano_wave()[:-120]))
    assert found.started == METER.started
    assert problems[-1] == "its header is cut off"


def test_the_sound_is_not_read(tmp_path: Path) -> None:
    counts = list[int]()

    class CountingReader(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            counts.append(len(content))
            return content

    path = write(tmp_path / "a.wav", guano_wave(seconds=60))
    with CountingReader(io.FileIO(path)) as stream:
        assert read_wave_texts(stream).guano == GUANO.encode()
    assert 0 < sum(counts) < 2 * len(GUANO)


@given(st.binary(max_size=600), st.integers(0, 900), st.integers(0, 400))
@example(b"", 40, 0)
def test_damaged_headers_never_fail_nor_hang(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int, removed: int
) -> None:
    whole = wave(before=audiomoth_list(comment()), after=chunk(b"guan", GUANO.encode()), seconds=0.02)
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    found, problems = read_header(write(path, whole[:at] + damage + whole[at + removed :]))
    assert found.latitude is None or -90 <= found.latitude <= 90
    assert all("\n" not in problem for problem in problems)


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 100))
def test_damaged_guano_never_fails(damage: bytes, at: int, removed: int) -> None:
    content = GUANO.encode()
    found = parse_guano(content[:at] + damage + content[at + removed :]).metadata
    assert (found.latitude is None) == (found.longitude is None)


@given(st.text(max_size=100), st.integers(0, 150), st.integers(0, 60))
def test_damaged_comments_never_fail(damage: str, at: int, removed: int) -> None:
    text = comment()
    found = parse_audiomoth({"ICMT": text[:at] + damage + text[at + removed :]}).metadata
    assert found.temperature is None or -80 <= found.temperature <= 100


def test_the_reference_reader_of_guano_agrees(tmp_path: Path) -> None:
    guano = pytest.importorskip("guano")
    path = write(tmp_path / "a.wav", guano_wave())
    reference = guano.GuanoFile(str(path))
    assert reference["Timestamp"] == METER.started
    assert reference["Loc Position"] == (METER.latitude, METER.longitude)
    reference["Timestamp"] = datetime(2024, 2, 29, 23, 59, 59)
    reference["Note"] = "two\nlines"
    reference.write(make_backup=False)
    found, problems = read_header(path)
    assert (found.started, found.serial, problems) == (datetime(2024, 2, 29, 23, 59, 59), "SMM04321", ())


def test_the_reference_reader_of_audiomoths_agrees(tmp_path: Path) -> None:
    metamoth = pytest.importorskip("metamoth")
    path = write(tmp_path / "a.wav", audiomoth_wave())
    reference = metamoth.parse_metadata(path)
    assert reference.datetime.replace(tzinfo=reference.timezone) == MOTH.started
    assert (reference.audiomoth_id, reference.temperature_c, reference.battery_state_v) == (SERIAL, 11.5, 4.1)
