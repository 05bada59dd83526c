"""watch.py as a user calls it: its rows are those of predict.py, the page, the lock, signals and exit statuses."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import predict
import watch
from config import Config
from tests.conftest import REPOSITORY
from tests.review.test_review import ask
from tests.scoring.browser import REPORTER, visit_address
from tests.watching.small_watch import CLASSES, small_run, write_recording
from utils.console import INCOMPLETE, Failure, UserError
from utils.files import try_lock
from utils.watching import server as server_module
from utils.watching.call import WatchFlags
from utils.watching.live import Live
from utils.watching.prediction import NamedDetection, PredictedRecording, load_predictor
from utils.watching.server import WatchHandler, WatchServer
from utils.watching.watching import results_of, watched_folder

HTML_NAME = "<img src=x onerror=alert(1)>.wav"
FILES = ("site A/SM_20260430_051500.wav", "site A/SM_20260430_061500.wav", "SM_20260501_051500.wav")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return small_run(tmp_path_factory.mktemp("root"))


@pytest.fixture
def station(tmp_path: Path) -> Path:
    for seed, name in enumerate(FILES):
        write_recording(tmp_path / "station" / name, seconds=1.5 + 0.4 * seed, seed=seed)
    return tmp_path / "station"


def call(station: Path, config: Config, *words: str) -> int:
    given = ["--snapshot", str(config.run_folder), "--threshold", "0.2", "--once", "--settle", "0", *words]
    return watch.command([str(station), *given])


def tables(out: Path) -> list[Path]:
    return sorted((out / "detections").iterdir())


def test_rows_are_byte_for_byte_those_of_predict(
    config: Config, station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(station, config) == 0
    (table,) = tables(tmp_path / "station_detections")
    words = ["--snapshot", str(config.run_folder), "--threshold", "0.2", "--workers", "1"]
    assert predict.command([str(station), *words, "--out", str(tmp_path / "all.csv")]) == 0
    assert sorted(table.read_bytes().splitlines()) == sorted((tmp_path / "all.csv").read_bytes().splitlines())
    assert len(table.read_bytes().splitlines()) > 10
    one = station / FILES[2]
    assert predict.command([str(one), *words, "--out", str(tmp_path / "one.csv")]) == 0
    of_one = [line for line in table.read_bytes().splitlines(keepends=True) if line.startswith(one.name.encode())]
    assert (tmp_path / "one.csv").read_bytes().splitlines(keepends=True)[1:] == of_one
    assert "3 predicted in this call, 3 in all" in capsys.readouterr().out
    before = table.read_bytes()
    assert call(station, config) == 0
    assert table.read_bytes() == before
    assert "0 predicted in this call, 3 in all" in capsys.readouterr().out
    assert not any(path.name.startswith(".") for path in station.rglob("*"))


def test_a_recording_without_metadata_has_empty_cells(config: Config, tmp_path: Path) -> None:
    write_recording(tmp_path / "station" / "=a.wav")
    assert call(tmp_path / "station", config, "--out", str(tmp_path / "out")) == 0
    with tables(tmp_path / "out")[0].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["recording"], row["site"], row["local"]) for row in rows} == {("'=a.wav", "", "")}


def test_broken_recordings_end_in_status_3_and_cost_only_themselves(
    config: Config, station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (station / "broken.wav").write_bytes(b"RIFF")
    (station / "phone.m4a").write_bytes(b"sound")
    assert call(station, config, "--patience", "0") == INCOMPLETE
    printed = "".join(capsys.readouterr())
    assert "phone.m4a: .m4a cannot be read; convert it" in printed
    assert "2 in this call, 2 in all" in printed
    assert call(station, config, "--patience", "0") == 0  # they are named once


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--every", "0"], "--every 0: should be seconds, at least 0.1"),
        (["--settle", "-1"], "--settle -1: should be seconds, at least 0"),
        (["--port", "70000"], "--port 70000: should be 0 to 65535"),
        (
            ["--webhook", "ftp://example.org/secret"],
            "--webhook, or BIRDCLEF_WEBHOOK: should be an address that starts with http",
        ),
        (["--webhook", "http://me:secret@example.org"], "without user:password@"),
        (["--webhook", "https://example.org/sécret"], "should be ASCII"),
        (["--every", "2000000"], "at least 0.1, at most 1,000,000"),
        (["--no-browser"], "--once: ends without a page"),
        (["--port", "8765"], "--once: ends without a page"),
        (["--threshold", "2"], "--threshold 2: should be from 0 to 1"),
        (["--out", "station"], "is the watched folder itself"),
    ],
)
def test_wrong_calls_are_refused_in_one_line(
    config: Config,
    station: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(station.parent)
    assert call(station, config, *words) in (1, 2)
    printed = capsys.readouterr().err
    assert message in printed
    assert "secret" not in printed


def test_a_threshold_by_share_of_all_recordings_is_refused(config: Config, station: Path) -> None:
    by_share = replace(config, submission=replace(config.submission, dynamic="share"))
    with pytest.raises(UserError, match=r"submission\.dynamic = share: needs all recordings at once"):
        load_predictor(station, by_share, WatchFlags(snapshot=(config.run_folder,)))


def test_which_folder_and_where_results_go(tmp_path: Path) -> None:
    for places, message in (([], "name one folder, not 0"), (["a", "b"], "not 2"), (["nowhere"], "no such folder")):
        with pytest.raises(UserError, match=message):
            watched_folder(places)
    assert results_of(Path("/data/card"), WatchFlags()) == Path("/data/card_detections")
    with pytest.raises(UserError, match="--out: name a folder"):
        results_of(Path("/"), WatchFlags())


def test_a_missing_snapshot_is_one_line(config: Config, station: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch.command([str(station), "--snapshot", str(config.snapshots / "gone"), "--once"]) == 1
    assert "gone: neither a snapshot nor the folder of a run with one" in capsys.readouterr().err


def test_results_are_of_one_folder_and_one_call(
    config: Config, station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call(station, config, "--out", str(out)) == 0
    with try_lock(out, "watch"):
        assert call(station, config, "--out", str(out)) == 1
    assert "another watch is running here" in capsys.readouterr().err
    moved = station.rename(tmp_path / "moved")
    assert call(moved, config, "--out", str(out)) == 1
    assert "add --moved" in capsys.readouterr().err
    assert call(moved, config, "--out", str(out), "--moved") == 0
    assert "0 predicted in this call" in capsys.readouterr().out


def test_thresholds_that_vanish_meanwhile_change_nothing(config: Config, station: Path, tmp_path: Path) -> None:
    predictor = load_predictor(station, config, WatchFlags(snapshot=(config.run_folder,), threshold=0.2))
    first = predictor.predict(FILES[0])
    away = config.run_folder.rename(tmp_path / "away")
    try:
        assert predictor.predict(FILES[0]) == first
    finally:
        away.rename(config.run_folder)


@pytest.mark.parametrize(
    ("error", "name"), [(errno.EIO, None), (errno.EIO, "same"), (errno.ENOSPC, None), (errno.EIO, "x")]
)
def test_a_bad_sector_costs_a_recording_and_a_full_disk_ends_the_call(
    config: Config, station: Path, monkeypatch: pytest.MonkeyPatch, error: int, name: str | None
) -> None:
    predictor = load_predictor(station, config, WatchFlags(snapshot=(config.run_folder,), threshold=0.2))
    raised = OSError(error, os.strerror(error), str(station / FILES[0]) if name == "same" else name)
    monkeypatch.setattr(predictor, "_task", lambda *_: (_ for _ in ()).throw(raised))
    if error == errno.EIO and name != "x":
        assert predictor.predict(FILES[0]) == Failure(FILES[0], "cannot be read (Input/output error)", transient=True)
    else:
        with pytest.raises(OSError, match=os.strerror(error)):
            predictor.predict(FILES[0])


def test_a_request_to_terminate_ends_with_a_summary(config: Config, station: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(REPOSITORY / "watch.py"), str(station), "--snapshot", str(config.run_folder)]
    words += ["--threshold", "0.2", "--settle", "0", "--every", "0.2", "--no-browser"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    printed = ""
    while FILES[2] not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "3 predicted in this call, 3 in all" in rest
    assert "http://127.0.0.1:" in printed


@contextmanager
def served(live: Live, folder: Path, config: Config) -> Iterator[WatchServer]:
    server = WatchServer(live, folder, config)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def live(tmp_path: Path) -> Live:
    write_recording(tmp_path / HTML_NAME, seconds=4.0)
    found = Live(done=5, failed=0)
    detections = (NamedDetection(CLASSES[1], 1.0, 2.0, 0.5), NamedDetection(CLASSES[1], 2.0, 3.0, 0.75))
    recording = PredictedRecording("", (*detections, NamedDetection(CLASSES[0], 0.0, 1.0, 0.6)), 4.0)
    found.add(HTML_NAME, recording, day="2026-05-01", time="2026-05-01T10:00:00Z")
    found.add_failure("<b>bad</b>.wav", "is <i>bad</i>")
    return found


def test_the_page_gets_state_image_and_sound_and_others_nothing(live: Live, tmp_path: Path) -> None:
    with served(live, tmp_path, Config()) as server:
        home = f"/{server.token}/"
        state: dict[str, Any] = json.loads(ask(server, f"{home}state")[1])  # type: ignore[arg-type]
        assert (state["done"], state["failed"], state["day"]) == (6, 1, "2026-05-01")
        assert [(one["name"], one["count"]) for one in state["species"]] == [(CLASSES[1], 2), (CLASSES[0], 1)]
        shown = state["detections"]
        assert [(one["species"], one["score"]) for one in shown] == [(CLASSES[0], 0.6), (CLASSES[1], 0.75)]
        assert (shown[1]["from"], shown[1]["to"]) == (1.0, 4.0)
        for kind, start in (("image", b"\xff\xd8"), ("sound", b"\xff")):
            status, content = ask(server, f"{home}{kind}/{shown[0]['key']}")  # type: ignore[arg-type]
            assert (status, content[: len(start)]) == (200, start)
        for path, headers in (
            ("/", {}),
            ("/state", {}),
            (f"/{server.token[:-1]}x/state", {}),
            (f"{home}state", {"Host": "evil.example"}),
            (f"{home}state", {"Host": f"localhost:{server.server_address[1]}"}),
        ):
            assert ask(server, path, **headers)[0] == 403  # type: ignore[arg-type]
        for path in ("image/99", "image/-1", "sound/x", "image/../../etc/passwd", "image/", "nothing"):
            assert ask(server, f"{home}{path}")[0] == 404  # type: ignore[arg-type]
        assert ask(server, f"{home}state", body={})[0] == 403  # type: ignore[arg-type]
        assert ask(server, f"{home}state", body={}, Origin="http://evil.example")[0] == 403  # type: ignore[arg-type]
        assert ask(server, f"{home}state", body={}, Origin=server.origin)[0] == 404  # type: ignore[arg-type]
        (tmp_path / HTML_NAME).unlink()
        assert ask(server, f"{home}image/{shown[0]['key']}")[0] == 422  # type: ignore[arg-type]


def test_a_table_that_leads_outside_shows_nothing_of_it(tmp_path: Path) -> None:
    write_recording(tmp_path / "secret.wav")
    live = Live(done=0, failed=0)
    (tmp_path / "2026-05-01.csv").write_text(
        "recording,start,end,species,score\n../secret.wav,0,1,Parus major,0.5\nlost.wav,0,x,Parus major,0.5\n"
    )
    live.read_day(tmp_path, "2026-05-01", {"../secret.wav": "2026-05-01T10:00:00Z"})
    (tmp_path / "station").mkdir()
    with served(live, tmp_path / "station", Config()) as server:
        (shown,) = server.state()["detections"]
        assert (shown["from"], shown["to"]) == (0.0, 1.0)  # nothing of the file is read
        assert ask(server, f"/{server.token}/sound/{shown['key']}")[0] == 404  # type: ignore[arg-type]


def test_another_day_forgets_the_species_and_keeps_the_last_detections(live: Live) -> None:
    live.start_day("2026-05-02")
    state = live.state()
    assert (state["day"], state["species"], len(state["detections"])) == ("2026-05-02", [], 2)


def driven(script: str) -> type[WatchHandler]:
    """Return a handler whose page runs a script besides its own, from a file: the page allows no other."""
    code = REPORTER.format(script=script).removeprefix("<script>").removesuffix("</script></body>")

    class Driven(WatchHandler):
        def _send_part(self, name: str) -> None:
            if name == "page.html":
                page = Path(server_module.__file__).with_name("page").joinpath(name).read_text()
                page = page.replace("</body>", '<script src="drive.js"></script></body>')
                self._send(page.encode(), "text/html; charset=utf-8")
            else:
                super()._send_part(name)

        def get(self, path: str) -> None:
            if path == "drive.js":
                self._send(code.encode(), "text/javascript")
            else:
                super().get(path)

    return Driven


@pytest.mark.browser
def test_the_page_shows_detections_and_new_ones_by_itself(live: Live, tmp_path: Path) -> None:
    script = """
      const until = async test => { for (let i = 0; i < 700 && !test(); i++) await sleep(10); };
      const cards = () => document.querySelectorAll("article").length;
      await until(() => cards() === 2);
      const first = document.querySelector("article[data-key='1']");
      await until(() => first.querySelector("img").naturalWidth > 0);
      const drawn = first.querySelector("img").naturalWidth > 0;
      await fetch("arrive.js");
      await until(() => cards() === 3);
      const text = name => document.getElementById(name).textContent;
      return { drawn, cards: cards(), same: document.contains(first),
               fits: document.documentElement.scrollWidth <= innerWidth,
               rows: [...document.querySelectorAll("#rows tr")].map(row => row.firstChild.textContent),
               images: document.images.length, bold: document.querySelectorAll("main b, main i").length,
               text: document.querySelector("article[data-key='1'] p").textContent,
               failed: text("failures"), counts: text("counts") };
    """

    class Arriving(driven(script)):  # type: ignore[misc]
        def get(self, path: str) -> None:
            if path == "arrive.js":
                new = PredictedRecording(
                    "", (NamedDetection(CLASSES[2], 0.0, 1.0, 0.9),), 1.0, started=datetime(2026, 5, 1, 5)
                )
                live.add("new.wav", new, day="2026-05-01", time="2026-05-01T11:00:00Z")
                self._send(b"", "text/javascript")
            else:
                super().get(path)

    with served(live, tmp_path, Config()) as server:
        server.RequestHandlerClass = Arriving
        found, console = visit_address(server.url, tmp_path, "--window-size=390,800")
    assert found == {
        "drawn": True,
        "cards": 3,
        "same": True,
        "fits": True,
        "rows": [CLASSES[1], CLASSES[0], CLASSES[2]],
        "images": 3,
        "bold": 0,
        "text": f"{HTML_NAME}, 0:02.0 to 0:03.0",
        "failed": "<b>bad</b>.wav: is <i>bad</i>",
        "counts": "7 done · 0 waiting · 1 failed",
    }
    assert all("new.wav" not in line and "Refused" not in line for line in console)
