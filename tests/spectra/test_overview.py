"""The summary and the page show what was kept; no name can break out of the page, and it stays small."""

import base64
import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from jaxtyping import Int64, UInt8

import sort_data
import spec
from config import Clips, Config
from tests.conftest import small_config
from utils.spectra import overview, overview_page
from utils.spectra.overview import LONG_RECORDINGS, clips_per_class, threshold_preview
from utils.spectra.overview_page import (
    MAX_IMAGE_BYTES,
    MAX_IMAGE_SIZE,
    images_per_class,
    overview_html,
    small_jpeg,
    spread,
)
from utils.spectra.score_counts import EDGES, count_scores
from utils.spectra.store import Store

EVIL = "<script>alert('x')</script>"


class Fake(Store):
    """A store of clips whose spectrograms are noise, which compresses worst."""

    keeps_embeddings = False

    def __init__(self, clips: pl.DataFrame, recordings: pl.DataFrame) -> None:
        self.folder, self.clips, self.recordings = Path("spec"), clips, recordings

    def spectrograms(self, clips: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width"]:
        return np.random.default_rng(0).integers(0, 256, (len(clips), 128, 256), dtype=np.uint8)


def fake(rows: list[tuple[str, str, str, float, bool]], *, unread: tuple[str, ...] = ()) -> Store:
    """Return a store of clips: recording, class of the recording, class of the clip, score, accepted."""
    names = ("recording", "primary", "class", "score", "accepted")
    kinds = {
        "recording": pl.String(),
        "primary": pl.String(),
        "class": pl.String(),
        "score": pl.Float32(),
        "accepted": pl.Boolean(),
    }
    clips = pl.DataFrame(rows, schema={name: kinds[name] for name in names}, orient="row").with_columns(
        index=pl.int_range(pl.len()), start=pl.lit(1.5)
    )
    recordings = clips.group_by("recording", "primary", maintain_order=True).agg(
        "score", kept=pl.col("accepted").sum(), noise=(~pl.col("accepted")).sum()
    )
    known = [
        (
            row["recording"],
            row["primary"],
            60.0,
            row["kept"],
            row["noise"],
            row["noise"],
            count_scores(row["score"]).tolist(),
            None,
            None,
        )
        for row in recordings.iter_rows(named=True)
    ]
    schema = {
        "recording": pl.String(),
        "class": pl.String(),
        "seconds": pl.Float64(),
        "kept": pl.Int32(),
        "noise": pl.Int32(),
        "rejected": pl.Int32(),
    }
    table = pl.DataFrame(
        [*known, *((f"{label}-broken", label, None, 0, 0, 0, None, "is empty", None) for label in unread)],
        schema={**schema, "scores": pl.List(pl.Int64()), "reason": pl.String(), "without_event": pl.Int32()},
        orient="row",
    )
    return Fake(clips.drop("primary"), table)


def test_classes_are_counted(tmp_path: Path) -> None:
    store = fake(
        [
            ("A/1", "A", "A", 0.01, True),
            ("A/1", "A", "A", 0.0, False),
            ("A/2", "A", "A", 0.02, True),
            ("tape", "", "A", 0.02, True),
            ("tape", "", "B", 0.3, True),
            ("tape", "", "", 0.3, False),
            ("hiss", "Noise", "Noise", 0.0, True),
        ],
        unread=("A", "C"),
    )
    classes = clips_per_class(store)
    assert classes.drop("scores", "minutes").rows() == [
        (LONG_RECORDINGS, 1, 0, 1, 1, 0),
        ("C", 1, 0, 0, 0, 1),
        ("B", 1, 1, 0, 0, 0),
        ("Noise", 1, 1, 0, 0, 0),
        ("A", 4, 3, 1, 1, 1),
    ]
    minutes = dict(classes.select("class", "minutes").iter_rows())
    assert (minutes["A"], minutes[LONG_RECORDINGS], minutes["B"]) == (2.0, 1.0, None)
    assert {row["class"]: sum(row["scores"]) for row in classes.iter_rows(named=True)} == {
        LONG_RECORDINGS: 3,
        "A": 3,
        "B": 0,
        "C": 0,
        "Noise": 1,
    }
    assert overview.all_scores(store).sum() == 6  # the rule does not decide on recordings without birds
    overview.write_classes(classes, tmp_path)
    assert pl.read_csv(tmp_path / "classes.csv").columns == [
        "class",
        "recordings",
        "kept",
        "rejected",
        "noise",
        "minutes",
        "unreadable",
    ]


def test_clips_between_events_are_told_apart() -> None:
    store = fake([("tape", "", "A", 0.02, True), ("tape", "", "", 0.3, False), ("tape", "", "", 0.0, False)])
    assert overview.rejected_text(store.recordings) == "2 as empty (2 of these saved as noise)"  # of an earlier version
    known = store.recordings.with_columns(without_event=pl.lit(1, pl.Int32))
    assert overview.rejected_text(known) == "1 as empty, 1 without an annotated event (2 of these saved as noise)"
    page = overview_html(Fake(store.clips, known), clips_per_class(store), Config())
    assert "1 as empty, 1 without an annotated event" in page


def test_preview() -> None:
    counts = count_scores([0.0] * 20 + [0.0006] * 30 + [0.0011] * 30 + [0.5] * 20)
    assert threshold_preview(counts, 0.001) == "0.0005 would keep 80%, 0.001 keeps 50% (now), 0.002 would keep 20%"
    assert (
        threshold_preview(counts, 0.00055)
        == "0.00025 would keep 80%, 0.00055 keeps about 68% (now), 0.001 would keep 50%"
    )
    assert threshold_preview(np.zeros(len(EDGES), np.int64), 0.001) == "0.001"


def test_many_classes_are_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    classes = clips_per_class(fake([(f"{index}", f"C{index:03d}", f"C{index:03d}", 0.1, True) for index in range(61)]))
    overview.show_clips_per_class(classes, Path("spec"))
    shown = capsys.readouterr().out
    assert "The 20 of 61 classes with the fewest clips (all in spec/classes.csv)" in shown
    assert ("C019" in shown, "C020" in shown) == (True, False)
    overview.show_clips_per_class(classes.head(60), Path("spec"))
    assert "C059" in capsys.readouterr().out


def test_spectrograms_are_spread_over_the_scores() -> None:
    clips = pl.DataFrame({"score": np.linspace(0, 1, 101), "recording": "a", "index": range(101)}).sample(
        fraction=1, shuffle=True, seed=1
    )
    assert spread(clips, 5)["index"].to_list() == [0, 25, 50, 75, 100]
    assert spread(clips, 2, falling=True)["index"].to_list() == [100, 0]
    assert spread(clips, 1, falling=True)["index"].to_list() == [100]
    assert len(spread(clips.head(3), 5)) == 3
    assert images_per_class(1) == images_per_class(60) == (12, 6)
    assert images_per_class(1500) == (1, 1)


def test_no_name_breaks_out_of_the_page() -> None:
    recording = 'x" onerror="alert(1)" data-x="'
    text = overview_html(
        store := fake([(recording, EVIL, EVIL, 0.01, True), (recording, EVIL, EVIL, 0.0, False)]),
        clips_per_class(store),
        Config(),
    )
    assert EVIL not in text
    assert text.count("<script") == 1
    assert 'onerror="' not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|url\(|(src|href)=\"(?!data:image/jpeg|#)", text)  # nothing from the network


def test_spectrograms_stand_by_score_and_kept_apart_from_rejected() -> None:
    rows = [("a", "A", "A", score, score >= 0.001) for score in (0.3, 0.0004, 0.002, 0.0008, 0.01)]
    text = overview_html(store := fake([*rows, ("tape", "", "", 0.4, False)]), clips_per_class(store), Config())
    section = text.split("<h3>A</h3>")[1].split("</section>")[0]
    kept, rejected = (re.findall(r"<b>([\d.]+)</b>", part) for part in section.split('<div class="images rejected">'))
    assert (kept, rejected) == (["0.0020", "0.0100", "0.3000"], ["0.0008", "0.0004"])
    assert text.count("no event here") == 1
    empty = overview_html(nothing := fake([]), clips_per_class(nothing), Config())
    assert "There are no clips that the signal rule applies to" in empty


@pytest.mark.parametrize("classes", [70, 220])
def test_the_page_stays_small(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview_page, "MAX_IMAGES", 350)
    monkeypatch.setattr(overview_page, "MAX_CLASSES_WITH_IMAGES", 200)
    monkeypatch.setattr(overview_page, "MAX_TOTAL_BYTES", 480_000)
    rows = [
        (f"{label}/{clip}", f"{label}", f"{label}", 0.01 * (clip % 2), clip % 2 == 1)
        for label in range(classes)
        for clip in range(12)
    ]
    text = overview_html(store := fake(rows), clips_per_class(store), Config())
    images = re.findall(r"base64,([^\"]+)", text)
    assert len(images) == (5 * 70 if classes == 70 else 2 * 200)
    assert sum(map(len, images)) <= 1.34 * 480_000
    assert len(text) < 1.34 * 480_000 + 1500 * classes
    assert ("The 20 classes with the most clips are listed without images" in text) == (classes == 220)
    assert f"Up to {4 if classes == 70 else 1} kept and 1 rejected clips per class" in text


@pytest.mark.parametrize("shape", [(128, 256), (8, 8), (1024, 64), (16, 4096)])
def test_an_image_fits(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for most in (MAX_IMAGE_BYTES, 1000):
        content = small_jpeg(noise, most=most)
        height, width = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE).shape
        assert len(content) <= most
        assert width <= MAX_IMAGE_SIZE[0]
        assert height <= MAX_IMAGE_SIZE[1]


def test_extraction_writes_both_and_tells_the_same_as_the_store(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(tmp_path / "root", archive)
    config = dataclasses.replace(config, clips=Clips(max_per_class=6, signal_threshold=0.063, noise_share=1.0))
    sort_data.main(config)
    spec.main(config)
    shown = capsys.readouterr().out
    classes = pl.read_csv(tmp_path / "root" / "spec" / "classes.csv")
    recordings = pl.read_parquet(tmp_path / "root" / "spec" / "recordings.parquet")
    clips = pl.read_parquet(tmp_path / "root" / "spec" / "clips.parquet")
    assert classes["kept"].sum() == clips["accepted"].sum() > 0
    for row in recordings.iter_rows(named=True):
        counts = np.array(row["scores"])
        assert counts.sum() == row["rejected"] + int(counts[EDGES.index(0.063) :].sum())
        assert row["kept"] <= counts[EDGES.index(0.063) :].sum()  # before the limit
    assert re.search(r"Altus clarus +4 +\d +7 ", shown)
    assert "0.063 keeps 76% (now)" in shown
    text = (tmp_path / "root" / "spec" / "overview.html").read_text()
    image = cv2.imdecode(
        np.frombuffer(base64.b64decode(re.findall(r"base64,([^\"]+)", text)[0]), np.uint8), cv2.IMREAD_GRAYSCALE
    )
    assert image.shape == (16, 32)
