"""Downloads from xeno-canto, against a server on this machine that speaks like it."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from config import Dataset
from tests.conftest import REPOSITORY
from tests.recordings.download.stub import KEY, SOUND, Stub, running_stub, send, sound, status
from utils.recordings.archive import read_archive
from utils.recordings.download import client
from utils.recordings.download.__main__ import main

ND = "//creativecommons.org/licenses/by-nc-nd/4.0/"
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with running_stub() as running:
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "birds"


@pytest.fixture
def call(stub: Stub, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("XENO_CANTO_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> tuple[int, str]:
        done = main([str(out), "--server", stub.base, "--pause", "0", *words])
        printed = capsys.readouterr()
        assert KEY not in printed.out + printed.err
        return done, " ".join((printed.out + printed.err).split())

    return call


def files(out: Path) -> dict[str, bytes]:
    """Return what is in a folder, without the lock."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".download.lock"
    }


def sounds(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "sounds").glob("*") if path.suffix != ".json")


def test_sounds_come_with_records_that_our_reader_takes(stub: Stub, call: Call, out: Path) -> None:
    records = [stub.record(index, lic=ND if index == 2 else "//x.org/own") for index in (1, 2, 3)]
    done, text = call("--query", "gen:turdus sp:merula q:A")
    assert done == 0
    assert sounds(out) == ["XC1.flac", "XC2.flac", "XC3.flac"]
    assert all(path.read_bytes() == SOUND for path in out.glob("sounds/*.flac"))
    assert [json.loads((out / f"sounds/XC{index}.json").read_bytes()) for index in (1, 2, 3)] == records
    archive = read_archive(Dataset(archive=out))
    assert archive.failures == []
    assert [(recording.name, recording.species, recording.quality) for recording in archive.recordings] == [
        (f"XC{index}", "Turdus merula", "A") for index in (1, 2, 3)
    ]
    with (out / "licences.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert rows[1] == {
        "id": "2",
        "species": "Turdus merula",
        "recordist": "Ann Recordist",
        "licence": "CC BY-NC-ND 4.0",
        "licence_url": f"https:{ND}",
        "url": "https://xeno-canto.org/2",
        "downloaded": today,
    }
    assert "licences: 2 //x.org/own, 1 CC BY-NC-ND 4.0" in text
    assert "1 recordings have a licence without derivatives (ND)" in text
    assert "next: python sort_data.py --dataset.archive" in text
    assert (out / "download.log").read_text() == ""


def test_requests_name_the_toolkit_and_only_the_api_gets_the_key(stub: Stub, call: Call, out: Path) -> None:
    stub.record(1)
    assert call("--query", "gen:turdus")[0] == 0
    page, download = stub.asked
    assert page[1] == {"query": ["gen:turdus"], "page": ["1"], "per_page": ["500"], "key": [KEY]}
    assert KEY not in str(download)
    for _, _, headers in stub.asked:
        assert headers["User-Agent"].startswith("birdclef-jax/0.")
    assert KEY.encode() not in b"".join(files(out).values())


def test_a_second_call_asks_nothing_and_changes_nothing(stub: Stub, call: Call, out: Path) -> None:
    for index in range(1, 7):
        stub.record(index)
    call("--query", "gen:turdus")
    before, asked = files(out), len(stub.asked)
    assert call("--query", "gen:turdus")[0] == 0
    assert (files(out), len(stub.asked)) == (before, asked)
    stub.record(7)
    assert "7 recordings" in call("--query", "gen:turdus", "--refresh")[1]
    assert stub.downloads().count("7") == 1
    assert len(stub.downloads()) == 7


def test_pages_of_another_site_are_not_read(stub: Stub, call: Call, out: Path) -> None:
    stub.record(1)
    call("--query", "gen:turdus", "--dry-run")
    with running_stub() as other:
        other.record(2)
        call("--query", "gen:turdus", "--dry-run", "--server", other.base)
        assert len(other.asked) == 1


def test_calls_for_other_species_add_to_the_folder(stub: Stub, call: Call, out: Path) -> None:
    stub.record(1)
    stub.record(2, "Parus major")
    call("--species", "Turdus merula")
    os.utime(out / "sounds/XC1.flac", (0, 0))  # as a copy, or an old file, may have it
    call("--species", "Parus major")
    rows = (out / "licences.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["Turdus merula", "Parus major"]
    assert "1970" not in rows[0]


def test_no_cell_of_the_licences_is_a_formula(stub: Stub, call: Call, out: Path) -> None:
    stub.record(1, rec="=HYPERLINK(A1)", lic="@SUM(A1)")
    assert call("--query", "gen:turdus")[0] == 0
    with (out / "licences.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    assert (row["recordist"], row["licence"], row["licence_url"]) == ("'=HYPERLINK(A1)", "'@SUM(A1)", "'@SUM(A1)")


def test_sounds_that_cannot_be_read_are_not_asked_for(stub: Stub, call: Call, out: Path) -> None:
    stub.record(1, **{"file-name": "upload.M4A"})
    stub.record(2)
    assert call("--query", "gen:turdus", "--limit", "1")[0] == 3
    assert stub.downloads() == ["2"]
    assert (out / "download.log").read_text() == "XC1: its sound is .m4a, which cannot be read\n"


def test_the_best_of_each_species_in_turn(stub: Stub, call: Call, out: Path) -> None:
    for index, quality in enumerate("CBAAE", 1):
        stub.record(index, q=quality)
    stub.record(6, q="no score")
    for index in range(11, 14):
        stub.record(index, "Parus major", q="B")
    done, text = call("--query", "cnt:spain", "--limit", "3")
    assert done == 0
    assert stub.downloads() == ["11", "3", "12", "4", "13", "2"]
    assert call("--query", "cnt:spain", "--limit", "0", "--min-quality", "C", "--dry-run")[1].count("4 1") == 0
    _, text = call("--query", "cnt:spain", "--limit", "0", "--min-quality", "C", "--dry-run")
    assert "Turdus merula 4 4 2 A, 1 B, 1 C" in text
    assert "not wanted: below quality C or not rated 2" in text


def test_species_are_searched_by_quality_until_there_are_enough(stub: Stub, call: Call) -> None:
    for index in range(1, 10):
        stub.record(index, q="AB"[index > 5])
    stub.record(20, "Turdus merulae")  # xeno-canto finds beginnings of names
    assert call("--species", "Turdus merula", "--limit", "6")[0] == 0
    queries = [(query["query"][0], query["page"][0]) for path, query, _ in stub.asked if path.startswith("/api")]
    start = "gen:turdus sp:merula q:"
    assert queries == [(f"{start}A", "1"), (f"{start}A", "2"), (f"{start}B", "1")]
    assert sorted(stub.downloads()) == ["1", "2", "3", "4", "5", "6"]


def test_recordings_that_are_too_long_are_not_wanted(stub: Stub, call: Call) -> None:
    for index, length in enumerate(("0:30", "1:01", "1:00:00", "", None), 1):
        stub.record(index, length=length)
    done, text = call("--query", "gen:turdus", "--max-length", "60")
    assert (done, stub.downloads()) == (0, ["1"])
    assert "longer than 60 s or of unknown length 4" in text


def test_a_dry_run_downloads_no_sound(stub: Stub, call: Call, out: Path) -> None:
    stub.record(1)
    done, text = call("--query", "gen:turdus", "--dry-run")
    assert (done, stub.downloads(), "Would be written" in text) == (0, [], True)
    assert [name.split("/")[0] for name in files(out)] == [".pages"]
    assert "1 CC BY-NC-SA 4.0" in text


def test_restricted_recordings_are_named_and_counted(stub: Stub, call: Call, out: Path) -> None:
    stub.record(1)
    stub.record(2, file="")
    stub.record(3, file=None)
    done, text = call("--query", "gen:turdus")
    assert (done, sounds(out)) == (3, ["XC1.flac"])
    assert "2 recordings are restricted" in text
    assert "XC2: restricted: xeno-canto gives no sound of it" in (out / "download.log").read_text()


def test_recordings_on_two_pages_are_downloaded_once(stub: Stub, call: Call) -> None:
    for index in (1, 2, 3, 4, 3, 1, 5):
        stub.record(index)
    done, text = call("--query", "gen:turdus")
    assert (done, sorted(stub.downloads())) == (0, ["1", "2", "3", "4", "5"])
    assert "5 recordings, 5 chosen" in text


def truncated(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, SOUND[:-100], Content_Length=str(len(SOUND)), Content_Type="audio/flac")
    handler.close_connection = True


@pytest.mark.parametrize(
    "fault",
    [
        status(429, Retry_After="0"),
        status(500),
        status(503, b"<html>busy</html>"),
        truncated,
        status(200, b"", Content_Type="audio/flac"),
        lambda handler: handler.connection.close(),
    ],
    ids=["429", "500", "503", "truncated", "empty", "closed"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_transient_faults_are_tried_again(stub: Stub, call: Call, out: Path, fault: Any) -> None:
    stub.record(1)
    stub.faults["/1/download"] = [fault, fault]
    stub.faults["/api/3/recordings"] = [fault]
    assert call("--query", "gen:turdus")[0] == 0
    assert stub.downloads() == ["1"] * 3
    assert (out / "sounds/XC1.flac").read_bytes() == SOUND


def test_faults_that_stay_leave_the_recording_out(stub: Stub, call: Call, out: Path) -> None:
    page = status(200, b"<!DOCTYPE html><title>Are you a robot?</title>", Content_Type="text/html; charset=utf-8")
    unnamed = status(200, b"  \n<html></html>", Content_Type="audio/mpeg")
    for index, faults in enumerate(([page], [unnamed], [status(404)], [status(500)] * 5, [truncated] * 5), 1):
        stub.record(index)
        stub.faults[f"/{index}/download"] = faults
    stub.sounds["6"] = b"no sound at all, whatever the server calls it" * 50
    stub.record(6)
    stub.record(7)
    done, text = call("--query", "gen:turdus")
    assert (done, sounds(out)) == (3, ["XC7.flac"])
    assert [path.name for path in out.glob("sounds/*.json")] == ["XC7.json"]
    for reason in (
        "XC1: the server sends a page (text/html; charset=utf-8) instead of a sound",
        "XC2: the server sends a page instead of a sound",
        "XC3: the server responds with 404",
        "XC4: the server responds with 500",
        f"XC5: only {len(SOUND) - 100:,} of {len(SOUND)} bytes arrive",
        "XC6: cannot be decoded",
    ):
        assert reason in text
    assert not list(out.rglob("*.part"))
    assert call("--query", "gen:turdus")[0] == 3  # the first five are there now
    assert sounds(out) == [f"XC{index}.flac" for index in (1, 2, 3, 4, 5, 7)]


def test_redirects_stay_on_the_site(stub: Stub, call: Call, out: Path) -> None:
    with running_stub() as other:
        to_other = status(302, Location=f"{other.base}/1/download")
        for index, fault in enumerate(
            (
                to_other,
                status(301, Location="/files/2.flac"),
                status(302, Location="file:///etc/passwd"),
                status(302, Location="https://evil.example/x"),
                status(302, Location="//["),
                status(302),
            ),
            1,
        ):
            stub.record(index)
            stub.faults[f"/{index}/download"] = [fault] * (6 if index == 6 else 1)
        done, text = call("--query", "gen:turdus")
        assert (done, sounds(out), other.asked) == (3, ["XC2.flac"], [])
        assert "XC4: is redirected: it is at evil.example, not at 127.0.0.1" in text
        stub.faults["/api/3/recordings"] = [status(302, Location=f"{other.base}/api")]
        done, text = call("--query", "gen:parus")
        assert (done, other.asked) == (1, [])


HOSTILE: list[dict[str, object]] = [
    {"id": "../../evil"},
    {"id": "1/../../evil"},
    {"id": ""},
    {"id": None},
    {"id": {"a": 1}},
    {"id": "9" * 400},
    {"id": "\u0663"},
    {"id": "11", "file-name": "evil.exe"},
    {"id": "12", "file-name": "x.flac/../../../evil"},
    {"id": "13", "file-name": ["x.mp3"]},
    {"id": "14", "file": "https://evil.example/14/download"},
    {"id": "15", "file": "file:///etc/passwd"},
    {"id": "16", "file": {"url": "x"}},
    {"id": "17", "gen": "Mystery", "sp": "mystery"},
    {"id": "18", "gen": "../..", "sp": "evil"},
    {"id": "19", "also": "Parus major"},
    {"id": "20", "mic": float("nan")},
    {"id": "21", "file-name": "x.m4a"},
    {"id": "22", "q": ["A"]},
]


def test_hostile_records_stay_out_and_leave_others_alone(stub: Stub, call: Call, out: Path, tmp_path: Path) -> None:
    for changes in HOSTILE:
        stub.record(0, **changes)
    stub.records += [None, "text", 7, ["list"]]
    stub.record(100, file_name="../../x", mic="\ud800", rmk=f"{KEY}")
    stub.record(101, **{"file-name": "..\\..\\x/../../evil.FLAC", "rec": "\x1b[2J=cmd", "loc": "a\nb"})
    stub.record(102, **{"file-name": None, "file": "102/download"})
    done, text = call("--query", "cnt:spain", "--limit", "0")
    assert done == 3
    assert sounds(out) == ["XC100.flac", "XC101.flac", "XC102.mp3"]
    assert {path.name for path in tmp_path.iterdir()} == {"birds"}
    assert "\x1b" not in text
    log = (out / "download.log").read_text().splitlines()
    assert len(log) == len(HOSTILE) + 4
    assert KEY.encode() not in b"".join(files(out).values())
    assert read_archive(Dataset(archive=out)).failures == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>Are you a robot?</html>", "the page of results is not JSON"),
        (b"[" * 100_000, "the page of results is not JSON"),
        (b'{"recordings": {}}', "has no list of recordings"),
        (b'{"recordings": [], "numPages": "../x"}', "has a numPages of '../x'"),
        (b'{"recordings": [], "numPages": 99999999}', "99,999,999 pages of results"),
        (b"[" + b" " * (33 << 20), "more than 32 MB"),
    ],
)
def test_pages_that_are_none(stub: Stub, call: Call, out: Path, body: bytes, says: str) -> None:
    stub.faults["/api/3/recordings"] = [status(200, body)] * 5
    done, text = call("--query", "gen:turdus")
    assert (done, says in text) == (1, True)


def test_damaged_pages_are_asked_for_again(stub: Stub, call: Call, out: Path) -> None:
    stub.record(1)
    call("--query", "gen:turdus", "--dry-run")
    (page,) = (out / ".pages").iterdir()
    page.write_bytes(page.read_bytes()[:50])
    assert call("--query", "gen:turdus")[0] == 0
    assert json.loads(page.read_bytes())["recordings"] == stub.records


@pytest.mark.parametrize(
    ("words", "changes", "says"),
    [
        (("--query", "merula"), {}, "queries are tags, such as 'gen:turdus sp:merula q:A'"),
        (("--query", "gen:nosuch"), {}, "'gen:nosuch': no recording is found; check names and tags"),
        (("--species", "Nosuch bird"), {}, "no rated recording of Nosuch bird is found"),
        (("--species", "blackbird"), {}, "--species 'blackbird': is not the scientific name of a species"),
        ((), {}, "what to download? --query"),
        (("--query", "gen:turdus"), {"XENO_CANTO_KEY": ""}, "XENO_CANTO_KEY is not set: put your key of the API there"),
        (("--query", "gen:turdus"), {"XENO_CANTO_KEY": "a b"}, "holds other characters than letters"),
        (
            ("--query", "gen:turdus"),
            {"XENO_CANTO_KEY": "wrong"},
            "does not take the key (the server responds with 401: Missing or invalid 'key' parameter.); set",
        ),
        (("--query", "gen:turdus", "--server", "http://127.0.0.1:9"), {}, "127.0.0.1 cannot be reached (Connection"),
        (("--query", "gen:turdus", "--server", "http://xeno-canto.org"), {}, "should start with https://"),
    ],
)
def test_what_to_do_is_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], changes: dict[str, str], says: str
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    done, text = call(*words)
    assert done == 1
    assert text.startswith("warning: ")
    assert text.count("warning:") == 1
    assert says in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--limit", "-1"), "--limit -1: should be 1 to"),
        (("--max-length", "nan"), "--max-length nan: should be"),
        (("--pause", "0.5", "--server", "https://xeno-canto.org"), "--pause 0.5: should be 1 to 3600 seconds"),
    ],
)
def test_values_that_cannot_be(call: Call, capsys: pytest.CaptureFixture[str], words: Any, says: str) -> None:
    with pytest.raises(SystemExit) as ended:
        call("--query", "gen:turdus", *words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_refused_query_gives_the_servers_reason(stub: Stub, call: Call) -> None:
    stub.faults["/api/3/recordings"] = [
        status(400, b'{"error": {"code": "invalid", "message": "no such tag: foo, key %s"}}' % KEY.encode())
    ]
    done, text = call("--query", "foo:bar")
    assert done == 1
    assert "'foo:bar': the server responds with 400: no such tag: foo, key (key); queries are tags" in text
    assert len(stub.asked) == 1


def test_the_server_is_left_alone_if_nothing_works(stub: Stub, call: Call, out: Path) -> None:
    for index in range(1, 31):
        stub.record(index)
    for index in range(3, 31):
        stub.faults[f"/{index}/download"] = [status(403)]
    done, text = call("--query", "gen:turdus")
    assert done == 1
    assert "10 downloads in a row failed, the last one because the server responds with 403" in text
    assert len(stub.downloads()) == 12
    assert len((out / "licences.csv").read_text().splitlines()) == 3
    assert call("--query", "gen:turdus")[0] == 1
    assert len(stub.downloads()) == 12 + 20  # of ten, the fault was over
    stub.faults.clear()
    stub.faults["/13/download"] = [status(429, Retry_After="7200")]
    done, text = call("--query", "gen:turdus")
    assert done == 1
    assert "127.0.0.1 asks to wait 2 h 00 min" in text
    assert call("--query", "gen:turdus")[0] == 0
    assert len(sounds(out)) == 30


def test_pauses_and_waits(stub: Stub, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(client.time, "sleep", slept.append)
    stub.record(1)
    stub.faults["/1/download"] = [status(503), status(429, Retry_After="30"), status(500), status(302, Location="/x")]
    assert call("--query", "gen:turdus", "--pause", "5")[0] == 0
    waits = [round(seconds) for seconds in slept]
    # before each of the six requests after the first; between them, after failures
    assert waits == [0, 5, 2, 5, 30, 5, 8, 5, 5]


def test_killed_and_started_again_it_downloads_what_is_missing(stub: Stub, call: Call, out: Path) -> None:
    for index in range(1, 7):
        stub.record(index)
        stub.sounds[str(index)] = sound(seed=index)
    words = ["--query", "gen:turdus", "--limit", "5"]
    stub.faults["/4/download"] = [half_of_it]
    command = [sys.executable, "-m", "utils.recordings.download", str(out), "--server", stub.base, "--pause", "0"]
    process = subprocess.Popen([*command, *words], cwd=REPOSITORY, env={**os.environ, "WITHOUT_CHECKS": "1"})
    until = time.monotonic() + 60
    while not (list(out.glob(".incoming/.*.part"))) or "4" not in stub.downloads():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert sounds(out) == ["XC1.flac", "XC2.flac", "XC3.flac"]
    stub.asked.clear()
    assert call(*words)[0] == 0
    assert stub.downloads() == ["4", "5"]
    after = files(out)
    assert not [name for name in after if ".incoming" in name]
    undisturbed = out.with_name("undisturbed")
    assert main([str(undisturbed), "--server", stub.base, "--pause", "0", *words]) == 0
    assert files(undisturbed) == after


def half_of_it(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    handler.wfile.write(SOUND[:100] * 800)
    handler.wfile.flush()
    time.sleep(30)
