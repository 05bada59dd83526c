"""Dynamic thresholds in submissions, in every format that writes detections, on the page and in the summary."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config import Clips, Config, Spectrogram
from tests.scoring.layouts import layout_of, scores_of, unreadable
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.dynamic_threshold import highest_of, reached_text, shared_rule
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.formats.registry import FORMATS, write_rows
from utils.scoring.submissions.postprocessing import Postprocessing
from utils.scoring.submissions.score_parts import read_score_part, write_score_part
from utils.scoring.submissions.tally import Tally
from utils.scoring.submissions.timeline import lanes_of, write_timeline
from utils.spectra.decode import Length

FILES = ("a.wav", "b.wav")
# the first class reaches 0.8 in a.wav only, the second nowhere, and the third is never detected
ROWS = {"a.wav": [[0.3, 0.7, 0.9], [0.9, 0.5, 0.1], [0.4, 0.1, 0.1]], "b.wav": [[0.7, 0.3, 0.9], [0.5, 0.2, 0.9]]}
THRESHOLDS = (0.8, 0.75, np.inf)
RECORDING = {"dynamic": "recording", "dynamic_factor": 0.5}
AS_IT_IS = Postprocessing(None, None, np.ones(3, bool))


def results() -> list[IntervalScores]:
    """Return the scores as parts have them, float32; the last interval of each recording is shorter."""
    found = [scores_of(file, rows, seconds=5.0 * len(rows) - 2) for file, rows in ROWS.items()]
    return [replace(one, uncalibrated=one.uncalibrated.astype(np.float32)) for one in found]


def layout_with(folder: Path, **settings: Any) -> SubmissionLayout:
    return layout_of(folder, FILES, thresholds=THRESHOLDS, **settings)


@pytest.mark.parametrize("dynamic", ["off", "recording"])
@pytest.mark.parametrize("name", ["csv", "raven", "audacity", "kaggle2021", "kaggle2022"])
def test_formats_write_detections_of_the_rule(tmp_path: Path, name: str, dynamic: str) -> None:
    settings: dict[str, Any] = {"format": name, "dynamic": dynamic, "dynamic_factor": 0.4}
    if name == "kaggle2022":  # the form of 2022 itself has detections, the others have scores
        ends = {"a": (5, 10, 13), "b": (5, 8)}
        rows = [f"{media}_{code}_{end},False\n" for media in ends for code in "xyz" for end in ends[media]]
        settings["sample"] = tmp_path / "sample.csv"
        settings["sample"].write_text("row_id,target\n" + "".join(rows))
    layout = layout_of(tmp_path, FILES, classes=("x", "y", "z"), thresholds=THRESHOLDS, **settings)
    path = tmp_path / f"out{FORMATS[name].suffix}"
    write_rows(path, results(), layout)
    expected = [("a.wav", 5)] if dynamic == "off" else [("a.wav", 5), ("a.wav", 10)]
    assert sorted(written(path, name)) == expected


def written(path: Path, name: str) -> list[tuple[str, int]]:
    """Return file and start of each detection; all are of the first class."""
    if name in ("raven", "audacity"):
        found = []
        for table in sorted(path.iterdir()):
            for line in table.read_text().splitlines()[1 if name == "raven" else 0 :]:
                cells = line.split("\t")
                assert "x" in cells
                found.append((f"{table.name[0]}.wav", int(float(cells[3 if name == "raven" else 0]))))
        return found
    rows = list(csv.DictReader(path.read_text().splitlines()))
    if name == "csv":
        return [(row["recording"], int(float(row["start"]))) for row in rows if row["species"] == "x"]
    if name == "kaggle2021":
        hits = [row["row_id"] for row in rows if row["birds"] != "nocall"]
        assert {row["birds"] for row in rows} == {"x", "nocall"}
    else:
        hits = [row["row_id"] for row in rows if row["target"] == "True"]
        assert {row.split("_")[1] for row in hits} == {"x"}
    return [(f"{row[0]}.wav", (int(row.rsplit("_", 1)[1]) - 1) // 5 * 5) for row in hits]


def test_the_page_and_the_summary_use_the_rule(tmp_path: Path) -> None:
    layout = layout_with(tmp_path, **RECORDING)
    first = results()[0]
    lanes, _ = lanes_of(first, layout, (), seconds=13.0)
    assert [lane.hits.tolist() for lane in lanes if lane.label == layout.classes[0]] == [[False, True, True]]
    tally = Tally()
    assert len(list(tally.through([*results(), unreadable("x.wav")], layout))) == 3
    assert tally.detected == {0}
    settings = Config(clips=Clips(length=1.0), spectrogram=Spectrogram(rate=16_000, fmax=7000))
    write_timeline(tmp_path / "page.html", results(), layout, settings=settings, title="run")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Species are detected by thresholds per class, and 0.5 times that in recordings" in page


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, []), (0.2, [("a.wav", 5)]), (0.4, [("a.wav", 0), ("a.wav", 5), ("b.wav", 0)]), (1.0, None)],
)
def test_a_share_of_the_intervals_of_all_recordings(
    tmp_path: Path, share: float, expected: list[tuple[str, int]] | None
) -> None:
    """The highest scores are 0.7, 0.9, 0.4 in a.wav and 0.7, 0.5 in b.wav: 40% are three intervals, because of 0.7."""
    layout = layout_with(tmp_path, format="csv", dynamic="share", dynamic_share=share)
    with pytest.raises(ValueError, match="all recordings"):
        _ = layout.rule
    layout = replace(layout, shared=shared_rule(highest_of(parts_in(tmp_path), AS_IT_IS, layout), layout))
    write_rows(tmp_path / "out.csv", results(), layout)
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    hits = sorted({(row["recording"], int(float(row["start"]))) for row in rows})
    assert hits == (
        [(file, 5 * row) for file in FILES for row in range(len(ROWS[file]))] if expected is None else expected
    )
    assert layout.classes[2] not in {row["species"] for row in rows}


def parts_in(folder: Path) -> dict[int, Path]:
    """Write a part for each recording; a broken one between them has none."""
    parts = {2 * index: folder / f"{file}.part" for index, file in enumerate(FILES)}
    for part, rows in zip(parts.values(), ROWS.values(), strict=True):
        table = np.array(rows, np.float32)
        write_score_part(part, Length(16_000 * 5 * len(rows), 16_000), [table], shape=table.shape)
    return parts


def test_whitelist_and_prior_come_before_the_share(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, FILES, dynamic="share", dynamic_share=1.0)  # without thresholds
    parts = parts_in(tmp_path)
    made = Postprocessing(lambda index: np.full(3, {0: 1.0, 2: 0.25}[index]), None, np.array([False, True, False]))
    rule = shared_rule(highest_of(parts, made, layout), layout)
    assert rule.thresholds == pytest.approx(0.05)  # a quarter of 0.2, in the last interval of b.wav
    for index, part in parts.items():
        _, uncalibrated = made.scores(read_score_part(part), index=index, scratch_in=tmp_path)
        assert rule.detections(uncalibrated).tolist() == [[False, True, False]] * len(uncalibrated)
    assert shared_rule(highest_of({}, made, layout), layout).thresholds == np.inf


@pytest.mark.parametrize(
    ("highest", "share", "text"),
    [
        # the second and third highest are equal
        ((0.7, 0.9, 0.4, 0.7, 0.5), 0.4, "a threshold of 0.7; 3 of 5 intervals (60%) have a detection, 40% are wanted"),
        ((0.7, 0.9, 0.4, 0.6), 0.5, "a threshold of 0.7; 2 of 4 intervals (50%) have a detection, 50% are wanted"),
        ((0.7, -np.inf, -1.0), 1.0, "a threshold of 0.7; 1 of 3 intervals (33.3%) have a detection, 100% are wanted"),
        ((0.7, 0.9), 0.0, "no threshold; 0 of 2 intervals (0%) have a detection, 0% are wanted"),
        ((), 0.5, "no threshold; 0 of 0 intervals have a detection, 50% are wanted"),
    ],
)
@pytest.mark.parametrize("thresholds", [None, THRESHOLDS])
def test_the_share_that_was_reached_is_told(
    tmp_path: Path,
    highest: tuple[float, ...],
    share: float,
    text: str,
    thresholds: tuple[float, ...] | None,
) -> None:
    layout = layout_of(tmp_path, FILES, thresholds=thresholds, dynamic="share", dynamic_share=share)
    scores = np.array(highest, np.float32)
    assert reached_text(scores, shared_rule(scores, layout), wanted=share) == text


def test_one_interval_per_recording(tmp_path: Path) -> None:
    """Of a monophone recording, a lower threshold changes nothing: its only interval reaches the higher one or not."""
    one = scores_of("a.wav", [[0.9, 0.5, 0.9]], seconds=3.0)
    layouts = [layout_with(tmp_path, **settings) for settings in ({}, RECORDING)]
    detected = [one.detections(replace(layout, monophone=True).rule).tolist() for layout in layouts]
    assert detected[0] == detected[1] == [[True, False, False]]
