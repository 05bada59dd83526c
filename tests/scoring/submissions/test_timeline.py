"""The page of timelines: names are escaped, its sound is limited, and in a browser it plays from where one clicks."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from config import Clips, Config, Spectrogram
from tests.conftest import chirp
from tests.scoring.browser import visit
from tests.scoring.layouts import CLASSES, layout_of, scores_of, unreadable
from utils.recordings.recording import Event
from utils.scoring.evaluation.soundscape_truth import Truth
from utils.scoring.evaluation.soundscapes import SoundscapeEvaluator
from utils.scoring.submissions.timeline import boxes_of, lanes_of, minutes, write_timeline

EVIL = "<script>alert('x')</script>"
RATE = 16_000
SETTINGS = Config(
    clips=Clips(length=1.0, overlap=0.25), spectrogram=Spectrogram(rate=RATE, fmin=500, fmax=7000, height=32, width=64)
)
EVENTS = (Event(6.0, 9.0, "Ignotus", 1000.0, 3000.0), Event(1.0, 4.0, "Bassus gravis"))
ROWS = [[0.1, 0.9, 0.0], [0.7, 0.2, 0.0], [0.0, 0.3, 0.4]]


def page(
    folder: Path,
    *,
    files: tuple[str, ...] = ("a.wav",),
    classes: tuple[str, ...] = CLASSES,
    annotated: bool = True,
    **more: float,
) -> tuple[str, int]:
    """Write a page of recordings of 12 s; return it, and how many have a timeline."""
    for file in files:
        soundfile.write(folder / file, chirp(3000.0, seconds=12.0, seed=1, rate=RATE), RATE)
    layout = layout_of(folder, files, classes=classes, min_score=0.5)
    layout = replace(layout, settings=replace(layout.settings, **more))
    truth = Truth({files[0]: EVENTS}) if annotated else None
    results = [scores_of(file, ROWS, seconds=12.0) for file in files]
    scores = SoundscapeEvaluator(truth, layout.classes, layout.rule) if truth else None
    plot = folder / "scores.png"
    plot.write_bytes(b"PNG")
    passed = list(scores.through(results) if scores else results)
    evaluation = scores.finish() if scores else None
    shown = write_timeline(
        folder / "timeline.html",
        [*passed, unreadable("x.wav")],
        layout,
        settings=SETTINGS,
        title=EVIL,
        truth=truth,
        metrics=evaluation.metrics if evaluation else None,
        plots={"scores": plot},
    )
    return (folder / "timeline.html").read_text(encoding="utf-8"), shown


def test_no_name_breaks_out_of_the_page(tmp_path: Path) -> None:
    text, shown = page(
        tmp_path, files=('a" onerror="alert(1)" x=".wav',), classes=(EVIL.replace("/", ""), 'F"1', "C'1")
    )
    assert shown == 1
    assert "<script>alert" not in text
    assert text.count("<script") == 1
    assert 'onerror="' not in text
    # nothing from the network
    assert not re.search(r"https?:|url\(|(src|href)=\"(?!data:(image/(jpeg|png)|audio/mpeg)|#)", text)
    assert text.count("data:image/png;base64,UE5H") == 1
    assert "could not be used: is empty (0 bytes)" in text


def test_the_page_stays_within_its_minutes_and_shows_annotated_recordings_first(tmp_path: Path) -> None:
    files = tuple(f"{letter}.wav" for letter in "abcdef")
    text, shown = page(tmp_path, files=files, page_minutes=0.5)  # 30 s: two of the six, and a third only where it fits
    assert shown == 2
    assert len(text) < 0.5 * 0.8e6 + 50_000
    assert page(tmp_path, files=files, page_minutes=0.0)[1] == 0
    assert page(tmp_path, files=files, annotated=False)[1] == 6
    layout = layout_of(tmp_path, files, page_minutes=0.25)
    last = Truth({"f.wav": EVENTS})
    write_timeline(
        tmp_path / "t.html",
        [scores_of(file, ROWS, seconds=12.0) for file in files],
        layout,
        settings=SETTINGS,
        title="t",
        truth=last,
    )
    assert re.findall(r"<h3>(.*?)</h3>", (tmp_path / "t.html").read_text()) == ["f.wav"]


def test_lanes_are_annotated_species_then_detected_ones(tmp_path: Path) -> None:
    one, layout = scores_of("a.wav", ROWS, seconds=12.0), layout_of(tmp_path, ("a.wav",), min_score=0.5)
    lanes, left_out = lanes_of(one, layout, EVENTS, seconds=12.0)
    assert [(lane.label, lane.known, lane.hits.tolist(), lane.annotated) for lane in lanes] == [
        ("Bassus gravis", True, [True, False, False], ((1.0, 4.0),)),
        ("Ignotus", False, [False] * 3, ((6.0, 9.0),)),
        ("Altus clarus", True, [False, True, False], ()),
    ]
    assert left_out == 0
    assert lanes[0].fields == [(0, 0.9), (1, 0.2), (2, 0.3)]
    many = tuple(f"s{index:02d}" for index in range(20))
    lanes, left_out = lanes_of(
        scores_of("a.wav", [[0.9] * 20], seconds=5.0), layout_of(tmp_path, ("a.wav",), classes=many), (), seconds=5.0
    )
    assert (len(lanes), left_out) == (12, 8)


def test_boxes_stand_where_their_frequencies_are() -> None:
    linear = Spectrogram(kind="linear", rate=RATE, fmin=1000.0, fmax=5000.0)
    (box,) = boxes_of(
        [Event(1.0, 9.0, "A", 2000.0, 9000.0), Event(1.0, 2.0, "B", 6000.0, 7000.0), Event(1.0, 2.0, "C")],
        linear,
        seconds=5.0,
    )
    assert (box.label, box.start, box.end, box.high) == ("A", 1.0, 5.0, 1.0)
    assert box.low == pytest.approx(0.25, abs=0.5 / linear.height)  # the middle of a row


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00"), (65.4, "1:05"), (7420.0, "2:03:40")])
def test_times_for_people(seconds: float, text: str) -> None:
    assert minutes(seconds) == text


def test_a_recording_that_was_removed_since_is_only_listed(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ("gone.wav",))
    assert (
        write_timeline(
            tmp_path / "t.html", [scores_of("gone.wav", ROWS, seconds=12.0)], layout, settings=SETTINGS, title="t"
        )
        == 0
    )
    assert "<h1>t</h1>" in (tmp_path / "t.html").read_text()


@pytest.mark.browser
def test_in_a_browser_a_click_plays_from_there_and_keys_move(tmp_path: Path) -> None:
    text, _ = page(tmp_path, files=("a.wav", "b.wav"))
    result, errors = visit(
        text,
        tmp_path,
        """
        const track = document.querySelector(".track"), audio = track.querySelector("audio");
        const lanes = track.querySelector(".lanes");
        const key = (name, more = {}) => lanes.dispatchEvent(new KeyboardEvent("keydown", { key: name, ...more }));
        const output = () => track.querySelector("output").textContent;
        while (audio.readyState < 1) await sleep(20);
        const count = selector => document.querySelectorAll(selector).length;
        const found = { buttons: count(".bar button"), rows: count("#recordings tbody tr") };
        key("ArrowRight", { shiftKey: true }); key("ArrowRight"); key("ArrowRight");
        found.moved = audio.currentTime; found.output = output();
        key("n"); found.next = audio.currentTime;
        key("p"); found.previous = audio.currentTime; key("Home");
        key("n"); found.second = audio.currentTime;
        const box = track.querySelector(".spectrogram").getBoundingClientRect();
        const point = { clientX: box.left + box.width * 0.3, clientY: box.top + 5, bubbles: true };
        lanes.dispatchEvent(new MouseEvent("click", point));
        found.clicked = audio.currentTime; found.here = output();
        found.cursor = getComputedStyle(track.querySelector(".cursor")).visibility;
        found.label = lanes.getAttribute("aria-valuetext");
        found.scores = [...track.querySelectorAll(".name b")].map(element => element.textContent);
        return found;
        """,
    )
    assert errors == []
    assert (result["buttons"], result["rows"]) == (2, 3)
    assert result["moved"] == pytest.approx(7.0)
    assert result["output"] == "0:07 · highest score: Altus clarus 0.70 · annotated: Ignotus"
    assert (result["next"], result["previous"], result["second"]) == (
        pytest.approx(7.0),
        pytest.approx(5.0),
        pytest.approx(5.0),
    )
    assert result["clicked"] == pytest.approx(3.6, abs=0.1)
    assert result["here"] == result["label"] == "0:03 · highest score: Bassus gravis 0.90 · annotated: Bassus gravis"
    assert result["scores"] == ["0.90", "not known", "0.10"]
    assert result["cursor"] == "visible"
