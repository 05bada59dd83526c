"""The report's page: names are escaped, it stays small, and in a browser it sorts, filters and plays."""

import io
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import soundfile

from config import Clips, Config, Spectrogram
from tests.conftest import chirp
from tests.scoring.browser import visit
from utils.scoring.metrics.per_class import PER_CLASS_SCHEMA
from utils.scoring.reports.excerpts import (
    SOUND_RATE,
    frequency_ticks,
    make_excerpt,
    mp3,
    strongest_window,
)
from utils.scoring.reports.page import report_page
from utils.scoring.reports.report_parts import Chart, Confusion, Excerpt, Gallery, Line, MetricRow, Report, Strip
from utils.spectra.decoded_part import samples_between

CLASS_COLUMNS = {name: kind for name, kind in PER_CLASS_SCHEMA.items() if name not in ("clips", "confused")}
EVIL = "<script>alert('x')</script>"
RATE = 16_000
SETTINGS = Config(
    clips=Clips(length=1.0, overlap=0.25), spectrogram=Spectrogram(rate=RATE, fmin=500, fmax=7000, height=32, width=64)
)


def excerpt(recording: str, *, seconds: float = 4.0, folder: Path) -> Excerpt:
    file = folder / "sound.wav"
    soundfile.write(file, chirp(3000.0, seconds=seconds, seed=1, rate=RATE), RATE)
    clips = int((seconds - 0.25) / 0.75)
    scores = np.random.default_rng(0).uniform(0, 1, (clips, 3))
    pooled, truth = np.array([0.2, 0.9, 0.1]), np.array([True, False, False])
    return make_excerpt(
        file,
        scores,
        pooled,
        truth,
        name=recording,
        classes=("Altus", EVIL, "C"),
        lrap=0.5,
        credit=EVIL,
        settings=SETTINGS,
    )


def report(*excerpts: Excerpt) -> Report:
    rows = [
        ("Bassus", 10, 0.5, 0.6, 0.7, 0.25, ""),
        ("Altus", 9, 0.9, None, 0.8, 0.1, EVIL),
        (EVIL, 100, None, 0.5, None, None, "Altus"),
    ]
    epochs = (1.0, 2.0, 3.0)
    return Report(
        title=EVIL,
        facts={"model": EVIL},
        metrics=(MetricRow("MLRAP", 0.75, 0.65, 0.85, EVIL), MetricRow("undefined", None)),
        charts=(
            Chart("Loss", "epoch", (Line(EVIL, epochs, (1.0, None, 0.5)),), ends=None),
            Chart("Thresholds", "threshold", (Line('F"1', epochs, (0.25, float("nan"), 0.5)),), mark=3.0, slide=True),
        ),
        classes=pl.DataFrame(rows, schema=CLASS_COLUMNS, orient="row"),
        confusion=Confusion(("Altus", EVIL), np.array([[2, 1, 0], [0, 0, 1]])),
        galleries=(Gallery("Best", "", excerpts, shown_above=(excerpts[0].recording,) if excerpts else ()),),
        failures=((EVIL, "is empty"),),
        settings='name = "' + EVIL + '"',
        warnings=(EVIL,),
        score_plot=b"PNG",
    )


def test_no_name_breaks_out_of_the_page(tmp_path: Path) -> None:
    text = report_page(report(excerpt('x" onerror="alert(1)" x="', folder=tmp_path)))
    assert EVIL not in text
    assert text.count("<script") == 1
    assert 'onerror="' not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    # nothing from the network
    assert not re.search(r"https?:|url\(|(src|href)=\"(?!data:(image/(jpeg|png)|audio/mpeg)|#)", text)
    assert text.count("data:image/png;base64,UE5H") == 1


@pytest.mark.parametrize(
    "empty", [Report("t", {}, (), (), pl.DataFrame(schema=CLASS_COLUMNS), Confusion((), np.zeros((0, 1), np.int64)))]
)
def test_a_report_of_nothing_is_a_page(empty: Report) -> None:
    assert "<h1>t</h1>" in report_page(empty)
    assert "image/png" not in report_page(empty)


def test_a_gap_breaks_a_line() -> None:
    text = report_page(report())
    assert re.findall(r'<polyline class="l0" points="([^"]*)"', text) == [
        "0.0,9.0 0.0,9.0",
        "340.0,99.5 340.0,99.5",
        "0.0,142.5 0.0,142.5",
        "340.0,95.0 340.0,95.0",
    ]


def test_twelve_excerpts_are_a_few_megabytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 40 * RATE).astype(np.float32)  # cannot be compressed
    shown = []
    for name in ("one", "two"):
        soundfile.write(tmp_path / "noise.wav", noise, RATE)
        scores = np.full((52, 3), 0.5)
        shown.append(
            make_excerpt(
                tmp_path / "noise.wav",
                scores,
                scores[0],
                np.array([True, False, False]),
                name=name,
                classes=("A", "B", "C"),
                lrap=1.0,
                credit="",
                settings=SETTINGS,
            )
        )
    assert shown[0].seconds <= 15
    assert len(report_page(report(*shown))) < 2 * 300_000 + 40_000


def test_the_window_is_where_scores_are_highest() -> None:
    assert strongest_window(np.array([0, 0.1, 0.9, 0.8, 0, 0]), step=0.75, length=1.0, longest=2.0) == (2, 4)
    assert strongest_window(np.array([0.5, 0.5, 0.5]), step=0.75, length=1.0, longest=2.0) == (0, 2)
    assert strongest_window(np.array([0.5]), step=0.75, length=1.0, longest=0.5) == (0, 1)
    assert strongest_window(np.zeros(3), step=1.0, length=1.0, longest=60.0) == (0, 3)


def test_an_excerpt_is_cut_where_its_clips_lie(tmp_path: Path) -> None:
    sound = np.zeros(30 * RATE, np.float32)
    sound[20 * RATE : 21 * RATE] = 0.1 * np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / "beep.wav", sound, RATE)
    scores = np.zeros((39, 2))  # clips of 1 s, every 0.75 s
    scores[26:28, 1] = 0.9
    made = make_excerpt(
        tmp_path / "beep.wav",
        scores,
        np.array([0.1, 0.4]),
        np.array([True, False]),
        name="beep",
        classes=("A", "B"),
        lrap=0.5,
        credit="",
        settings=SETTINGS,
    )
    assert made.seconds == pytest.approx(14.5)  # 19 clips
    assert made.start <= 19.5 <= 21.25 <= made.start + made.seconds
    assert [(strip.label, strip.correct) for strip in made.strips] == [("B", False), ("A", True)]
    loud = [
        (start + made.start, end + made.start)
        for (start, end), score in zip(made.times, made.strips[0].scores, strict=True)
        if score
    ]
    assert (loud[0][0], loud[-1][1]) == pytest.approx((19.5, 21.0))
    decoded, rate = soundfile.read(io.BytesIO(made.sound))
    assert (rate, decoded.ndim, len(decoded) / rate) == (SOUND_RATE, 1, pytest.approx(made.seconds, abs=0.1))
    assert np.abs(decoded).max() == pytest.approx(0.9, abs=0.1)
    envelope = np.abs(decoded) > 0.3
    assert np.flatnonzero(envelope)[0] / rate + made.start == pytest.approx(20.0, abs=0.1)
    spectrogram = cv2.imdecode(np.frombuffer(made.spectrogram, np.uint8), cv2.IMREAD_GRAYSCALE).astype(float)
    row, column = np.unravel_index(spectrogram.argmax(), spectrogram.shape)
    assert 20.0 - 0.2 <= made.start + column / spectrogram.shape[1] * made.seconds <= 21.2
    assert 1 - row / spectrogram.shape[0] == pytest.approx(dict(made.ticks)["2 kHz"], abs=0.08)


def test_short_sound_and_the_end_of_a_recording() -> None:
    blocks = [np.arange(4.0), np.arange(4.0, 6.0)]
    assert samples_between(blocks, start=3.0, end=5.0, rate=1).tolist() == [3, 4]
    assert samples_between(blocks, start=4.0, end=9.0, rate=1).tolist() == [4, 5]
    endless = (np.ones(2) for _ in iter(int, 1))
    assert len(samples_between(endless, start=1.0, end=4.0, rate=1)) == 3
    assert mp3(np.zeros(SOUND_RATE, np.float32)).startswith(b"\xff")
    assert [text for text, _ in frequency_ticks(Spectrogram(fmin=900, fmax=9000))] == [
        "1 kHz",
        "2 kHz",
        "4 kHz",
        "8 kHz",
    ]
    assert dict(frequency_ticks(Spectrogram(kind="linear", fmin=0.0, fmax=8000.0)))["2 kHz"] == pytest.approx(
        0.25, abs=0.01
    )


@pytest.mark.browser
def test_the_page_sorts_and_filters(tmp_path: Path) -> None:
    script = """
    const table = one("per-class"), heads = all("thead button", table), rows = () => [...table.tBodies[0].rows];
    const names = () => rows().map(row => row.cells[0].textContent);
    const shown = () => rows().filter(row => row.offsetHeight).length;
    const result = { start: names() };
    heads[1].click(); result.recordings = names();
    heads[2].click(); result.ap = names();
    heads[1].click(); heads[1].click(); result.reversed = names();
    heads[0].click(); result.back = names();
    const field = document.querySelector("input[data-filters]");
    result.field = field.offsetHeight > 0;
    const enter = (input, value) => { input.value = value; input.dispatchEvent(new Event("input")); };
    const type = text => { enter(field, text); return [shown(), one("per-class-none").hidden]; };
    result.filtered = [type("ALTUS"), type("nobody"), type("")];
    const range = document.querySelector(".slide input");
    const read = () => document.querySelector("output[data-line]").textContent;
    result.slide = [read()];
    for (const value of [1, 0]) { enter(range, value); result.slide.push(read()); }
    return result;
    """
    result, console = visit(report_page(report()), tmp_path, script)
    assert console == []
    assert result.pop("start") == result.pop("back") == [EVIL, "Altus", "Bassus"]
    assert result == {
        "recordings": [EVIL, "Bassus", "Altus"],
        "reversed": ["Altus", "Bassus", EVIL],
        "ap": ["Altus", "Bassus", EVIL],  # classes without a value stay last
        "field": True,
        "filtered": [[2, True], [0, False], [3, True]],  # what is confused with Altus matches, too
        "slide": ["0.50", "–", "0.25"],
    }


@pytest.mark.browser
def test_the_page_plays(tmp_path: Path) -> None:
    script = """
    const [first, second] = all(".excerpt"), [sound, other] = all("audio"), button = first.querySelector("button");
    const state = () => [sound.paused, first.className, button.textContent];
    for (let tries = 0; tries < 50 && !(sound.readyState && other.readyState); tries++) await sleep(50);
    const result = { seconds: sound.duration, start: state() };
    const spectrogram = first.querySelector(".spectrogram"), box = spectrogram.getBoundingClientRect();
    spectrogram.dispatchEvent(new MouseEvent("click", { clientX: box.left + box.width / 2, bubbles: true }));
    await sleep(300);
    result.playing = state();
    const cursor = first.querySelector(".cursor").getBoundingClientRect();
    result.cursor = [(cursor.left - box.left) / box.width, sound.currentTime / sound.duration];
    result.score = first.querySelector(".prediction b").textContent;
    second.querySelector("button").click();
    await sleep(100);
    result.other = [state(), other.paused];
    return result;
    """
    made = excerpt("one", folder=tmp_path)
    first = replace(made, strips=(Strip("A", False, 0.9, np.linspace(0, 1, len(made.times))), *made.strips[1:]))
    for size in ("1200,900", "390,900"):
        result, console = visit(
            report_page(report(first, replace(made, recording="two"))), tmp_path, script, f"--window-size={size}"
        )
        assert console == []
        assert result["seconds"] == pytest.approx(4.0, abs=0.1)
        assert result["start"] == [True, "excerpt", "▶ play"]
        assert result["playing"] == [False, "excerpt playing", "❚❚ pause"]
        position, played = result["cursor"]
        assert 0.45 < played < 0.7
        assert position == pytest.approx(played, abs=0.03)
        assert result["score"] == "0.50"
        assert result["other"] == [[True, "excerpt paused", "▶ play"], False]


@pytest.mark.browser
def test_nothing_is_wider_than_a_phone(tmp_path: Path) -> None:
    measure = """
    document.body.style.width = "390px";
    const edge = document.body.getBoundingClientRect().right + 1;
    const parts = all("body *").filter(part => !part.closest(".wide, pre, svg"));
    return parts.filter(part => part.getBoundingClientRect().right > edge).map(part => part.outerHTML.slice(0, 80));
    """
    long = replace(excerpt("a" * 150, folder=tmp_path), correct=("Longissima nominis " * 8,))
    outside, console = visit(report_page(report(long)), tmp_path, measure, "--window-size=500,900")
    assert console == []
    assert outside == []
