"""review.py: the page by keys and clicks, what others may not do, a reviewer who knows the truth, and the labels."""

import csv
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import review as review_script
import sort_data
from config import Config, Dataset, Spectrogram
from tests.conftest import RATE, REPOSITORY
from tests.scoring.browser import REPORTER, visit_address
from utils.console import UserError
from utils.files import write_text
from utils.models.prototypes import unit_length
from utils.recordings.splits import read_split
from utils.review import server as server_module
from utils.review import session as session_module
from utils.review.call import ReviewFlags
from utils.review.csv_tables import csv_text
from utils.review.detections import read_detections
from utils.review.embeddings import SoundEmbeddings, span_index, spans_of
from utils.review.reviewing import Reviewed, open_review, report_review
from utils.review.server import ReviewHandler, ReviewServer
from utils.review.session import Review
from utils.scoring.reports.clip_media import ShownSpan, samples_of, shown_span

SPECIES = ("Parus major", "Turdus <b>merula</b>")
PAGE = Path(server_module.__file__).with_name("page")
HEADER = "recording,start,end,species,score\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve detections of two species in two recordings; one recording is missing."""
    for name, seconds in (("a & b.wav", 30), ("card/c.wav", 30)):
        (tmp_path / "sounds" / name).parent.mkdir(parents=True, exist_ok=True)
        sound = np.random.default_rng(seconds).normal(0, 0.1, seconds * RATE).astype(np.float32)
        soundfile.write(tmp_path / "sounds" / name, sound, RATE)
    rows = [
        f"{name},{5 * index},{5 * index + 5},{SPECIES[index % 2]},{0.1 + 0.07 * index + 0.02 * (name[0] == 'c'):.3f}\n"
        for name in ("a & b.wav", "card/c.wav")
        for index in range(6)
    ]
    write_text(tmp_path / "found.csv", "".join([HEADER, *rows, "lost.wav,0,5,Parus major,0.9\n"]))
    return tmp_path / "found.csv"


@contextmanager
def opened(table: Path, **flags: object) -> Iterator[Review]:
    given = ReviewFlags(recordings=table.parent / "sounds", reviewer="anna", **flags)  # type: ignore[arg-type]
    with open_review([str(table)], Config(), given) as review:
        yield review


@contextmanager
def served(review: Review) -> Iterator[ReviewServer]:
    server = ReviewServer(review, Config())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(server: ReviewServer, path: str, *, body: object = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    content = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, content, given)
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def lines(table: Path) -> list[dict[str, object]]:
    path = table.with_name("found_review") / "anna.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_verdicts_are_saved_before_the_next_detection_is_shown(table: Path) -> None:
    with opened(table) as review, served(review) as server:
        home, mine = f"/{server.token}/", {"Origin": server.origin}
        first = json.loads(ask(server, f"{home}state")[1])
        assert (first["all"], first["seen"]) == (12, 0)
        index = first["detection"]["index"]
        status, content = ask(server, f"{home}verdict", body={"index": index, "verdict": "yes"}, **mine)
        second = json.loads(content)
        assert (status, second["seen"]) == (200, 1)
        assert second["detection"]["index"] != index
        assert [(line["verdict"], line["species"]) for line in lines(table)] == [("yes", first["detection"]["species"])]
        undone = json.loads(ask(server, f"{home}undo", body={}, **mine)[1])
        assert (undone["seen"], undone["detection"]["index"]) == (0, index)
        status, image = ask(server, f"{home}image/{index}")
        assert (status, image[:2]) == (200, b"\xff\xd8")
        status, sound = ask(server, f"{home}sound/{index}")
        assert (status, len(sound) > 1000) == (200, True)


def test_pages_of_others_get_nothing_and_change_nothing(table: Path) -> None:
    with opened(table) as review, served(review) as server:
        home, mine = f"/{server.token}/", {"Origin": server.origin}
        given = {"index": 0, "verdict": "yes"}
        for path, body, headers in (
            ("/", None, {}),
            ("/state", None, {}),
            (f"/{server.token[:-1]}x/state", None, {}),
            (f"{home}state", None, {"Host": "evil.example"}),  # a name that was bound to this machine
            (f"{home}verdict", given, {}),  # no origin
            (f"{home}verdict", given, {"Origin": "http://evil.example"}),
            (f"{home}verdict", given, {"Origin": "null"}),
        ):
            assert ask(server, path, body=body, **headers)[0] == 403
        for path, body, status in (
            ("../../etc/passwd", None, 404),
            ("image/../../x", None, 404),
            ("image/99", None, 404),
            ("sound/-1", None, 404),
            ("verdict", {"index": 99, "verdict": "yes"}, 400),
            ("verdict", {"index": True, "verdict": "yes"}, 400),
            ("verdict", {"index": 0, "verdict": "perhaps"}, 400),
            ("verdict", [], 400),
            ("verdict", {"index": 0, "verdict": "other", "other": " "}, 400),
            ("nothing", {}, 404),
        ):
            assert ask(server, f"{home}{path}", body=body, **(mine if body is not None else {}))[0] == status, path
        assert not review.seen.any()
        assert lines(table) == []


def driven(script: str) -> type[ReviewHandler]:
    """Return a handler whose page runs a script besides its own, from a file: the page allows no other."""
    code = REPORTER.format(script=script).removeprefix("<script>").removesuffix("</script></body>")

    class Driven(ReviewHandler):
        def _send_part(self, name: str) -> None:
            if name == "page.html":
                page = (PAGE / name).read_text().replace("</body>", '<script src="image/drive.js"></script></body>')
                self._send(page.encode(), "text/html; charset=utf-8")
            else:
                super()._send_part(name)

        def _send_image(self, index: str) -> None:
            if index == "drive.js":
                self._send(code.encode(), "text/javascript")
            else:
                super()._send_image(index)

    return Driven


def test_keys_and_clicks_on_a_phones_width(table: Path, tmp_path: Path) -> None:
    script = """
      const until = async test => { for (let i = 0; i < 400 && !test(); i++) await sleep(10); };
      const seen = () => document.getElementById("progress").textContent.split(" ")[0];
      const press = key => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      await until(() => seen() === "0");
      const fits = document.documentElement.scrollWidth <= innerWidth;
      press("y"); await until(() => seen() === "1");
      press("n"); await until(() => seen() === "2");
      press("u"); await until(() => seen() === "3");
      press("z"); await until(() => seen() === "2");
      document.querySelector("[data-verdict=other]").click();
      document.getElementById("name").value = "<img src=x onerror=document.title='broken'>";
      document.querySelector("#other button").click(); await until(() => seen() === "3");
      return { seen: seen(), fits, title: document.title, images: document.images.length,
               rows: document.querySelectorAll("#table tr").length };
    """
    with opened(table) as review, served(review) as server:
        server.RequestHandlerClass = driven(script)
        found, console = visit_address(server.url, tmp_path, "--window-size=390,800")
        assert (found, console) == (
            {"seen": "3", "fits": True, "title": "Review of detections", "images": 1, "rows": 2},
            [],
        )
    assert [line["verdict"] for line in lines(table)] == ["yes", "no", "unsure", "undo", "other"]


def with_embeddings(table: Path, review: Review, *, rows: np.ndarray | None = None) -> Review:
    """Return a review that knows embeddings: of each species, those of one direction, the later the more askew."""
    detections = review.detections
    spans = spans_of(detections)
    index = span_index(detections, spans)
    if rows is None:
        rows = np.zeros((len(spans), 8))
        rows[index] = np.eye(2, 8)[detections.species_index]
        rows[:, 2] = np.arange(len(spans)) / 20
    found = unit_length(rows).astype(np.float16)
    path = table.parent / "embeddings" / "rows.npy"
    review.embeddings = SoundEmbeddings(found, index, path)
    return review


@pytest.mark.browser
def test_more_like_this_by_keys_and_clicks_on_a_phones_width(table: Path, tmp_path: Path) -> None:
    script = """
      const until = async test => { for (let i = 0; i < 400 && !test(); i++) await sleep(10); };
      const press = key => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      const idle = async () => { await until(() => !busy); };
      const buttons = () => [...document.querySelectorAll("#items button")];
      const framed = () => buttons().findIndex(one => one.getAttribute("aria-current") === "true");
      await until(() => shown); await idle();
      const first = shown.index;
      press("m"); await until(() => row); await idle();
      const found = { items: row.items.map(item => item.index) };
      found.fits = document.documentElement.scrollWidth <= innerWidth;
      found.opened = shown.index;
      press("y"); await until(() => framed() === 1); await idle();
      press("ArrowRight"); await until(() => framed() === 2); await idle();
      press("n"); await until(() => framed() === 3); await idle();
      press("z"); await until(() => framed() === 2); await idle();
      buttons()[4].click(); await until(() => shown.index === row.items[4].index); await idle();
      press("u"); await until(() => framed() === 5 || !row); await idle();
      found.marks = [...row.marks.values()];
      press("Escape"); await until(() => !row); await idle();
      found.back = shown.index === next.index;
      document.getElementById("mapbox").open = true; await until(() => points);
      await until(() => document.getElementById("canvas").width > 0);
      found.points = points.x.length;
      const at = points.detection.findIndex(index => index !== shown.index);
      const [x, y] = place(at), box = document.getElementById("canvas").getBoundingClientRect();
      const where = { clientX: box.left + x, clientY: box.top + y, bubbles: true };
      document.getElementById("canvas").dispatchEvent(new MouseEvent("mousemove", where));
      found.named = document.getElementById("under").textContent.startsWith(points.names[points.species[at]]);
      document.getElementById("canvas").dispatchEvent(new MouseEvent("click", where));
      await until(() => shown.index === points.detection[at]); await idle();
      found.clicked = shown.index === points.detection[at];
      press("c"); await until(() => row); await idle();
      found.cluster = row.shown;
      found.wide = document.documentElement.scrollWidth <= innerWidth;
      return { first, ...found };
    """
    with opened(table) as review, served(with_embeddings(table, review)) as server:
        expected = [index for index, _ in review.similar(review.next() or 0, count=24)]
        server.RequestHandlerClass = driven(script)
        found, console = visit_address(server.url, tmp_path, "--window-size=390,800")
        assert console == []
        assert found.pop("items") == expected
        assert (found.pop("first"), found.pop("opened")) != (expected[0], None)
        assert found == {
            "fits": True,
            "marks": ["yes", "unsure"],
            "back": True,
            "points": 12,
            "named": True,
            "clicked": True,
            "cluster": "cluster",
            "wide": True,
        }
    saved = [(line["verdict"], line.get("order")) for line in lines(table)]
    assert saved == [("yes", "similar"), ("no", "similar"), ("undo", None), ("unsure", "similar")]


def test_what_a_search_finds_is_a_label_and_says_nothing_about_precision(table: Path) -> None:
    with opened(table) as review, served(with_embeddings(table, review)) as server:
        home, mine = f"/{server.token}/", {"Origin": server.origin}
        first = json.loads(ask(server, f"{home}state")[1])
        assert (first["searchable"], first["why_not"]) == (True, "")
        row = json.loads(ask(server, f"{home}similar/{first['detection']['index']}")[1])
        assert row["shown"] == "similar"
        assert row["items"][0]["species"] == first["detection"]["species"]
        assert [item["similarity"] for item in row["items"]] == sorted(
            (item["similarity"] for item in row["items"]), reverse=True
        )
        index = row["items"][0]["index"]
        assert json.loads(ask(server, f"{home}detection/{index}")[1])["index"] == index
        assert ask(server, f"{home}small/{index}")[1][:2] == b"\xff\xd8"
        given = {"index": index, "verdict": "yes", "shown": "similar"}
        assert ask(server, f"{home}verdict", body=given, **mine)[0] == 200
        for wrong in ("precision", "second", 1, []):
            body = {"index": row["items"][1]["index"], "verdict": "yes", "shown": wrong}
            assert ask(server, f"{home}verdict", body=body, **mine)[0] == 400
        for path in ("similar/99", "similar/-1", "similar/x", "detection/99", "cluster/%C2%B2"):
            assert ask(server, f"{home}{path}")[0] == 404
        for part in ("row.js", "map.js"):
            assert ask(server, f"{home}{part}")[0] == 200
        again = json.loads(ask(server, f"{home}similar/{first['detection']['index']}")[1])
        assert index not in [item["index"] for item in again["items"]]
        cluster = json.loads(ask(server, f"{home}cluster/{first['detection']['index']}")[1])
        assert cluster["left"] == len(cluster["items"])
        done = report_review(review, ReviewFlags(recordings=table.parent / "sounds", reviewer="anna"))
    assert (done.labels, done.species["verified"].sum()) == (1, 0)


def test_what_a_search_found_counts_when_the_random_order_has_passed_it(table: Path) -> None:
    """Else the random order would be of what nobody looked for: only of those unlike the ones that were searched."""
    with opened(table) as review:
        random = []  # the random order of one bin after the other
        while (index := review.next()) is not None:
            review.add_verdict(index, "yes")
            random.append(index)
        assert review.estimates().verified.sum() == 12
        bins = review.detections.species_index * 5 + review.bins.bin_index
        pair = next(
            [one for one in random if bins[one] == bins[other]] for other in random if (bins == bins[other]).sum() > 1
        )
        while review.undo() is not None:
            pass
        review.add_verdict(pair[0], "yes", shown="similar")
        assert review.estimates().verified.sum() == 0
        review.add_verdict(pair[1], "no")
        assert (review.estimates().verified.sum(), review.estimates().correct.sum()) == (2, 1)


def test_without_a_snapshot_one_line_says_why_there_is_no_search(table: Path) -> None:
    with opened(table) as review, served(review) as server:
        home = f"/{server.token}/"
        state = json.loads(ask(server, f"{home}state")[1])
        assert (state["searchable"], state["why_not"][:14]) == (False, "--snapshot RUN")
        assert ask(server, f"{home}similar/0") == (404, b"there are no embeddings")
        assert ask(server, f"{home}map")[0] == 404
    with (
        pytest.raises(UserError, match="neither a snapshot nor the folder of a run"),
        opened(table, snapshot=Path("x")),
    ):
        pass


def test_a_second_reviewer_reads_again_without_the_first_verdicts(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ReviewFlags(recordings=table.parent / "sounds", reviewer="ben", second=0.5)
    with pytest.raises(UserError, match="nobody but ben has verified"), open_review([str(table)], Config(), flags):
        pass
    with opened(table) as review:
        for index in range(8):
            review.add_verdict(index, "yes" if index % 2 else "no")
    with open_review([str(table)], Config(), flags) as review, served(review) as server:
        home, mine = f"/{server.token}/", {"Origin": server.origin}
        state = json.loads(ask(server, f"{home}state")[1])
        assert state["again"] == [0, 4]
        shown = []
        while state["detection"]:
            assert "yes" not in json.dumps(state["detection"])
            shown.append(state["detection"]["index"])
            given = {"index": shown[-1], "verdict": "yes"}
            state = json.loads(ask(server, f"{home}verdict", body=given, **mine)[1])
        assert (len(set(shown)), state["again"]) == (4, [4, 4])
        assert set(shown) <= set(range(8))
    with open_review([str(table)], Config(), flags) as review:
        assert review.next() is None  # it resumes where it was
        report_review(review, flags)
    printed = "".join(capsys.readouterr())
    assert "Cohen's kappa" in printed
    home_folder = table.with_name("found_review")
    with (home_folder / "agreement.csv").open() as stream:
        (row,) = csv.DictReader(stream)
    even = sum(index % 2 == 0 for index in shown)
    assert (row["detections"], row["only_2_correct"], row["kappa"]) == ("4", str(even), "0.0")
    with (home_folder / "disagreements.csv").open() as stream:
        assert [(one["verdict_1"], one["verdict_2"]) for one in csv.DictReader(stream)] == [("no", "yes")] * even


def test_the_page_computes_estimates_once_a_request(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    with opened(table) as review, served(review) as server:
        real = session_module.estimates_of
        monkeypatch.setattr(session_module, "estimates_of", lambda *a, **b: counted.append(1) or real(*a, **b))
        home, mine = f"/{server.token}/", {"Origin": server.origin}
        state = json.loads(ask(server, f"{home}state")[1])
        given = {"index": state["detection"]["index"], "verdict": "yes"}
        ask(server, f"{home}verdict", body=given, **mine)
        assert len(counted) == 2
        ask(server, f"{home}state")
        assert len(counted) == 2  # nothing has changed


def test_a_killed_page_loses_no_verdict(table: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from config import Config
from utils.review.call import ReviewFlags
from utils.review.reviewing import open_review
flags = ReviewFlags(recordings=Path({str(table.parent / "sounds")!r}), reviewer="anna")
with open_review([{str(table)!r}], Config(), flags) as review:
    for index in range(3):
        review.add_verdict(index, "yes", shown="similar" if index else None)
    os.kill(os.getpid(), 9)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "WITHOUT_CHECKS": "1"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode == -9
    with opened(table) as review:
        assert int(review.seen.sum()) == 3
        assert [line.get("order") for line in lines(table)] == [None, "similar", "similar"]


def truthful(review: Review, truth: set[tuple[str, float]], *, until: float = 0.0) -> int:
    """VerdictKind from the truth until every species is known; return the number of presses."""
    presses = 0
    while (index := review.next()) is not None and not (review.estimates().half_widths <= until).all():
        recording, start, _, _ = review.detections.key(index)
        review.add_verdict(index, "yes" if (recording, start) in truth else "no")
        presses += 1
    return presses


def test_a_review_ends_in_tables_and_labels_that_sort_data_reads(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(table) as review:
        truthful(review, {("a & b.wav", 0.0), ("card/c.wav", 10.0)})
    words = [str(table), "--recordings", str(table.parent / "sounds"), "--reviewer", "anna", "--summary"]
    assert review_script.command(words) == 3  # a recording of the table is missing
    printed = "".join(capsys.readouterr())
    assert "lost.wav" in printed
    assert "33% (33% to 33%)" in printed
    home = table.with_name("found_review")
    with (home / "precision.csv").open() as stream:
        rows = {row["species"]: row for row in csv.DictReader(stream)}
    assert float(rows["Parus major"]["precision"]) == pytest.approx(1 / 3, abs=1e-4)
    assert float(rows[SPECIES[1]]["precision_high"]) == 0
    config = Config(
        dataset=Dataset(root=tmp_path / "root", archive=home / "labels", kind="annotations", sort_mode="symlink")
    )
    sort_data.main(config)
    split = read_split(config.dataset)
    events = {
        (name, event["start"], event["species"])
        for name, some in split.select("file", "events").iter_rows()
        for event in some
    }
    assert {event[1:] for event in events} == {(0.0, "Parus major"), (10.0, "Parus major")}


def test_what_another_reviewer_found_meanwhile_is_not_lost(table: Path) -> None:
    flags = ReviewFlags(recordings=table.parent / "sounds", reviewer="anna")
    with open_review([str(table)], Config(), flags) as review:
        review.add_verdict(0, "yes")
        with open_review([str(table)], Config(), replace(flags, reviewer="ben")) as other:
            other.add_verdict(1, "no")
        assert report_review(review, flags).species["verified"].sum() == 2


def test_a_folder_of_the_user_is_not_replaced_by_labels(table: Path) -> None:
    write_text(table.with_name("found_review") / "labels" / "notes.txt", "mine")
    with pytest.raises(UserError, match=r"notes\.txt: is not as this command wrote it"), opened(table):
        pass
    assert (table.with_name("found_review") / "labels" / "notes.txt").read_text() == "mine"


def test_uncertain_detections_become_labels_and_say_nothing_about_precision(table: Path) -> None:
    with opened(table, order="uncertain") as review:
        index = review.next()
        assert index is not None
        review.add_verdict(index, "other", review.detections.key(index)[-1])  # the name that is shown
        done = report_review(review, ReviewFlags(recordings=table.parent / "sounds", reviewer="anna"))
    assert done.labels == 1
    assert done.species["verified"].sum() == 0
    assert [(line["verdict"], line["order"]) for line in lines(table)] == [("yes", "uncertain")]


def test_what_was_verified_stays_a_label_when_the_table_has_fewer_detections(table: Path) -> None:
    with opened(table) as review:
        for index in range(12):
            review.add_verdict(index, "yes")
        assert report_review(review, ReviewFlags()).labels == 12
    rows = table.read_text().splitlines(keepends=True)
    write_text(table, "".join([rows[0], rows[2], rows[8]]))  # one detection in each recording
    with opened(table) as review:
        assert report_review(review, ReviewFlags()).labels == 12
    edited = table.with_name("found_review") / "labels" / "annotations.csv"
    edited.write_text(f"{edited.read_text()}a & b.wav,1,2,Sitta europaea,yes,yes\n")
    with pytest.raises(UserError, match="is not as this command wrote it"), opened(table):
        pass


def test_a_second_page_cannot_change_a_verdict_and_undo_takes_back_one(table: Path) -> None:
    with opened(table) as review:
        review.add_verdict(3, "yes")
        with pytest.raises(ValueError, match="has a verdict already"):
            review.add_verdict(3, "no")
        review.add_verdict(4, "no")
        assert (review.undo(), review.undo(), review.undo()) == (4, 3, None)
        assert not review.seen.any()


def test_a_full_disk_saves_nothing_by_halves(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(table) as review, served(review) as server:
        home, mine = f"/{server.token}/", {"Origin": server.origin}
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            assert ask(server, f"{home}verdict", body={"index": 0, "verdict": "yes"}, **mine)[0] == 507
        assert (lines(table), review.seen.any()) == ([], False)
        assert ask(server, f"{home}verdict", body={"index": 0, "verdict": "no"}, **mine)[0] == 200
        assert [line["verdict"] for line in lines(table)] == ["no"]


def test_other_methods_are_refused(table: Path) -> None:
    with opened(table) as review, served(review) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
        connection.request("PUT", f"/{server.token}/verdict", "{}")
        response = connection.getresponse()
        assert (response.status, response.headers["X-Content-Type-Options"]) == (501, "nosniff")
        connection.close()


def test_rows_that_were_defused_are_found(table: Path) -> None:
    (table.parent / "sounds" / "-1.wav").write_bytes((table.parent / "sounds" / "a & b.wav").read_bytes())
    write_text(table, f"{HEADER}'-1.wav,0,5,'=species,0.5\n")
    detections = read_detections(table, table.parent / "sounds")
    assert detections.key(0) == ("-1.wav", 0.0, 5.0, "=species")


def test_the_marks_are_where_the_detection_is(table: Path) -> None:
    file = table.parent / "sounds" / "a & b.wav"
    assert shown_span(file, 10.0, 15.0) == (9.0, 16.0)
    assert shown_span(file, 0.0, 5.0) == (0.0, 6.0)
    assert shown_span(file, 27.0, 32.0) == (26.0, 30.0)  # it is half a minute long
    assert len(samples_of(file, shown_span(file, 27.0, 32.0), rate=RATE, config=Config())) == 4 * RATE


@pytest.mark.parametrize("channel", [1, 2, "mean", "loudest"])
def test_the_channel_is_that_which_the_model_heard(tmp_path: Path, channel: int | str) -> None:
    wave = np.sin(np.arange(RATE))
    stereo = np.stack([0.1 * wave, 0.3 * wave], axis=1)
    soundfile.write(tmp_path / "s.wav", stereo, RATE, subtype="FLOAT")
    config = Config(spectrogram=Spectrogram(channel=channel))  # type: ignore[arg-type]
    found = samples_of(tmp_path / "s.wav", ShownSpan(0.0, 1.0), rate=RATE, config=config)
    assert found.max() == pytest.approx({1: 0.1, 2: 0.3, "mean": 0.2, "loudest": 0.3}[channel], abs=1e-3)


def test_what_was_not_verified_makes_annotations_incomplete(table: Path, tmp_path: Path) -> None:
    with opened(table) as review:
        index = next(one for one in range(12) if review.detections.key(one)[0].startswith("a"))
        review.add_verdict(index, "other", "Sitta europaea")
        flags = ReviewFlags(recordings=table.parent / "sounds", reviewer="ben", summary=True)
        done = review_script.main([str(table)], Config(), flags)
    assert isinstance(done, Reviewed)
    home = table.with_name("found_review") / "labels"
    dataset = Dataset(root=tmp_path / "root", archive=home, kind="annotations", sort_mode="symlink", val_share=0.0)
    sort_data.main(Config(dataset=dataset))
    split = read_split(dataset)
    assert split["unsure"].to_list() == [True]  # no noise is taken from it
    assert [event["species"] for event in split["events"][0]] == ["Sitta europaea"]


def test_a_hundred_thousand_detections_stay_quick(tmp_path: Path) -> None:
    write_text(tmp_path / "a.wav", "never read")
    random = np.random.default_rng(1)
    labels, scores = random.integers(0, 200, 100_000).tolist(), random.uniform(0, 1, 100_000).tolist()
    rows = [
        f"a.wav,{index},{index + 5},s{label},{score:.6f}\n"
        for index, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]
    write_text(tmp_path / "found.csv", "".join([HEADER, *rows]))
    with open_review([str(tmp_path / "found.csv")], Config(), ReviewFlags()) as review:
        assert len(review.detections) == 100_000
        shown = [review.next()]
        for _ in range(5):
            assert shown[-1] is not None
            review.add_verdict(shown[-1], "yes")
            shown.append(review.next())
        assert len(set(shown)) == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; python predict.py"),
        ("a,b\n1,2\n", "should be a CSV with the columns"),
        (HEADER, "has no detections of recordings"),
        (f"{HEADER}a & b.wav,0,5,x,2\n", "1 rows lack a value, or have times or scores that cannot be"),
        (f"{HEADER}a & b.wav,x,5,x,0.5\n", "found.csv: "),
        (f"{HEADER}a & b.wav,0,inf,x,0.5\n", "1 rows lack a value"),
        (f"{HEADER}annotations.csv,0,5,x,0.5\n", "has no detections of recordings"),
        (f"{HEADER}../sounds/a & b.wav,0,5,x,0.5\n", "has no detections of recordings"),
    ],
)
def test_tables_that_cannot_be_reviewed_are_refused(table: Path, content: str | None, message: str) -> None:
    table.unlink()
    if content is not None:
        write_text(table, content)
    with pytest.raises(UserError, match=r"found\.csv") as raised:
        read_detections(table, table.parent / "sounds")
    assert message in str(raised.value)


def test_two_calls_of_one_reviewer_do_not_run_at_a_time(table: Path) -> None:
    with opened(table), pytest.raises(UserError), opened(table):
        pass


def test_no_table_of_a_review_has_a_formula() -> None:
    table = pl.DataFrame({"recording": ["=1+1.wav", None, "a.wav"], "score": [-0.5, 0.1, 0.2]})
    assert csv_text(table) == "recording,score\n'=1+1.wav,-0.5\n,0.1\na.wav,0.2\n"
