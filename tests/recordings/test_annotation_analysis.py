"""The analysis of annotations: counts, ranges of frequencies, lengths, overlaps, anomalies; its table and its plot."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from matplotlib.image import imread

import sort_data
from config import Clips, Config, Dataset
from tests.conftest import RATE, chirp, write_tables
from utils.recordings.annotation_analysis import (
    EVENT_COLUMNS,
    AnnotationAnalysis,
    annotations_by_class,
    anomalies_of,
    other_species,
)
from utils.recordings.annotation_plot import plot_annotations
from utils.recordings.recording import Event, event_overlaps
from utils.recordings.sorted_folders import TOOLKIT_FILES

Row = tuple[str, str, float, float, float | None, float | None]


def table(*rows: Row, seconds: float | None = 60.0, rate: float | None = 16_000.0) -> pl.DataFrame:
    """Return rows of (recording, class, start, end, low, high) as events; each recording is a group."""
    full = [(name, name, label, start, end, low, high, seconds, rate, 0) for name, label, start, end, low, high in rows]
    return pl.DataFrame(full, schema=EVENT_COLUMNS, orient="row")


def test_counts_ranges_and_lengths_of_each_species() -> None:
    events = table(
        ("r1", "A", 1.0, 1.0, 1000.0, 3000.0),
        ("r1", "A", 2.0, 2.5, 2000.0, 4000.0),
        ("r2", "A", 2.0, 3.5, None, None),
        ("r2", "B", 4.0, 4.0, None, 5000.0),
    ).with_columns(others=pl.Series([0, 2, 1, 0]))
    first, second = annotations_by_class(events, {"A"}).rows(named=True)
    assert first == {
        "class": "A",
        "annotations": 3,
        "recordings": 2,
        "groups": 2,
        "low_p1": 1010.0,  # 1% of the way from 1000 to 2000
        "centre_p1": 2010.0,
        "centre_p99": 2990.0,
        "high_p99": 3990.0,
        "points": 1,
        "spans": 2,
        "median_seconds": 1.0,
        "overlapping": 2,
        "used": True,
    }
    assert (second["class"], second["low_p1"], second["centre_p1"], second["high_p99"]) == ("B", None, None, 5000.0)
    assert (second["median_seconds"], second["used"]) == (None, False)


def test_a_range_holds_98_percent_and_boxes_upside_down_count_the_right_way() -> None:
    rows: list[Row] = [("r", "A", float(one), float(one), 100.0 * one, 100.0 * one) for one in range(101)]
    events = table(*rows, ("r", "B", 1.0, 1.0, 900.0, 300.0))
    classes = annotations_by_class(events, ())
    assert classes.row(0, named=True)["centre_p1"] == 100.0
    assert classes.row(0, named=True)["centre_p99"] == 9900.0
    assert classes.select("low_p1", "high_p99").row(1) == (300.0, 900.0)
    analysis = AnnotationAnalysis(table(*rows), classes, [], 1.0)
    assert analysis.centres == (100.0, 9900.0)
    assert analysis.per_recording == [101]


def test_quantiles_over_species() -> None:
    rows = [
        ("r", f"{species:03}", float(one), float(one), None, None) for species in range(1, 12) for one in range(species)
    ]
    analysis = AnnotationAnalysis(table(*rows), annotations_by_class(table(*rows), ()), [], 1.0)
    assert analysis.quantiles == pytest.approx((2.0, 6.0, 10.9))
    assert analysis.centres is None


def test_other_species_around_an_event() -> None:
    events = [
        Event(1.0, 1.0, "A"),  # a point: 0.0 to 2.0
        Event(1.5, 1.6, "B"),
        Event(1.9, 1.9, "C"),
        Event(2.0, 2.0, "D"),  # starts as the window of A ends; its window starts with A
        Event(9.0, 9.0, "A"),
        Event(9.1, 9.2, "A"),  # the same species does not count
        Event(20.0, 30.0, "B"),  # longer than the window
        Event(29.0, 31.0, "C"),
    ]
    assert other_species(events, window=2.0).tolist() == [2, 3, 3, 3, 0, 0, 1, 1]
    assert other_species([], window=2.0).tolist() == []


def test_other_species_are_those_that_overlap() -> None:
    generator = np.random.default_rng(7)
    starts = generator.integers(0, 40, 60) / 4
    lengths = generator.choice([0.0, 0.25, 1.0, 4.0], 60)
    labels = generator.choice(list("ABCDE"), 60)
    events = [
        Event(start, start + length, label)
        for start, length, label in zip(starts.tolist(), lengths.tolist(), labels.tolist(), strict=True)
    ]

    def count(event: Event) -> int:
        middle = (event.start + event.end) / 2
        first, last = min(event.start, middle - 0.75), max(event.end, middle + 0.75)
        near = {one.species for one in events if event_overlaps((one.start, one.end), first, last)}
        return len(near - {event.species})

    assert other_species(events, window=1.5).tolist() == [count(event) for event in events]


SPAN, POINT = (1.0, 2.0, None, None), (1.0, 1.0, None, None)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (
            [("r", "A", *SPAN)] + [("s", "A", *POINT)] * 20,
            "1 of 21 annotations has a length, the others are points",
        ),
        (
            [("r", "A", *POINT)] + [("s", "A", *SPAN)] * 20,
            "1 of 21 annotations is a point, the others have a length",
        ),
        (
            [("r", "A", 1.0, 2.0, 1.0, 2.0), ("s", "A", *SPAN)],
            "1 of 2 annotations have no frequencies, the others have",
        ),
        (
            [("r", "A", 1.0, 2.0, 3.0, 2.0), ("s", "A", 1.0, 2.0, 1.0, 2.0)],
            "1 of 2 annotations have a highest frequency below the lowest, such as in r at 1.0 s",
        ),
        (
            [("r", "A", 1.0, 2.0, 3.0, 8001.0), ("s", "A", 1.0, 2.0, 1.0, 8000.0)],
            "1 of 2 annotations reach above half the sample rate of their recording, such as in r at 1.0 s",
        ),
        (
            [("r", "A", 59.0, 60.2, None, None), ("s", "A", 59.0, 60.05, None, None)],
            "1 of 2 annotations end after the end of their recording, such as in r at 59.0 s",
        ),
        (
            [("r", "A", *SPAN), ("s", "A", *SPAN), ("s", "B", *SPAN)],
            "1 of 2 species are in one recording only: B",
        ),
    ],
)
def test_each_anomaly_is_one_line(rows: Sequence[Row], line: str) -> None:
    events = table(*rows)
    assert anomalies_of(events, annotations_by_class(events, ())) == [line]
    assert all("\n" not in one for one in anomalies_of(events, annotations_by_class(events, ()), outside=3))
    assert "3 annotations are not used: after the end of the recording" in anomalies_of(
        events, annotations_by_class(events, ()), outside=3
    )


def test_lengths_and_rates_that_nobody_knows_are_no_anomaly() -> None:
    events = table(("r", "A", 1e6, 2e6, 1.0, 1e9), ("s", "A", 1.0, 2.0, 1.0, 2.0), seconds=None, rate=None)
    assert anomalies_of(events, annotations_by_class(events, ())) == []


@pytest.mark.parametrize(("species", "frequencies"), [(0, True), (1, False), (3, True), (60, True), (300, False)])
def test_the_plot_is_the_same_each_time(species: int, frequencies: bool, tmp_path: Path) -> None:
    low, high = (100.0, 2000.0) if frequencies else (None, None)
    rows = [
        ("r", f"Aa x_{{$ {one}" + 30 * " long" * (one == 2), float(one), one + one % 2, low, high)
        for one in range(species)
    ]
    events = table(*rows, seconds=400.0)
    analysis = AnnotationAnalysis(events, annotations_by_class(events, {"Aa x_{$ 1"}), [], 1.0)
    for name in ("one.png", "two.png"):
        plot_annotations(tmp_path / name, analysis)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    height, width, _ = imread(tmp_path / "one.png").shape
    assert width == 1210
    assert height < 2000


@pytest.fixture
def annotated(tmp_path: Path) -> Config:
    """Return settings for an archive of two recordings, with anomalies."""
    archive = write_tables(
        tmp_path / "archive",
        {
            "annotations.csv": "file,start,end,low,high,species\n"
            "a.wav,0.5,0.9,1000,2000,Altus clarus\n"
            "a.wav,0.6,0.8,500,1500,Bassus gravis\n"
            "b.wav,1.5,1.9,1000,5000,Altus clarus\n"
            "b.wav,2.5,3.5,1000,2000,Altus clarus\n"
            "b.wav,700,701,1000,2000,Altus clarus\n"
        },
    )
    for seed, name in enumerate("ab"):
        soundfile.write(archive / f"{name}.wav", chirp(2000.0, seconds=3.0, seed=seed), RATE)
    return Config(
        workers=1, clips=Clips(length=1.0), dataset=Dataset(root=tmp_path / "sorted", archive=archive, min_recordings=2)
    )


def test_sorting_writes_the_analysis(annotated: Config, capsys: pytest.CaptureFixture[str]) -> None:
    root = annotated.dataset.root
    sort_data.main(annotated, sort_data.Flags(dry_run=True))
    printed = " ".join(capsys.readouterr().out.split())
    assert not root.exists()
    assert "4 annotations of 2 species in 2 recordings" in printed
    assert "1 of 4 annotations reach above half the sample rate of their recording, such as in b at 1.5 s" in printed
    assert "1 of 4 annotations end after the end of their recording, such as in b at 2.5 s" in printed
    assert "1 annotation is not used: after the end of the recording" in printed
    assert "1 of 2 species are in one recording only: Bassus gravis" in printed
    sort_data.main(annotated)
    found = pl.read_csv(root / "events.csv")
    assert found.select("class", "annotations", "recordings", "groups", "overlapping", "used").rows() == [
        ("Altus clarus", 3, 2, 2, 1, True),
        ("Bassus gravis", 1, 1, 1, 1, False),  # fewer than dataset.min_recordings
    ]
    before = [(root / name).read_bytes() for name in ("events.csv", "annotations.png")]
    sort_data.main(annotated)
    assert [(root / name).read_bytes() for name in ("events.csv", "annotations.png")] == before


def test_without_annotations_there_is_no_analysis(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sort_data.main(Config(workers=1, dataset=Dataset(root=tmp_path / "sorted", archive=archive)))
    assert not {"events.csv", "annotations.png"} & {file.name for file in (tmp_path / "sorted").iterdir()}
    assert "Annotations" not in capsys.readouterr().out


def test_the_analysis_is_no_table_of_annotations(annotated: Config) -> None:
    """Sorting again what was sorted must not take it for the archive's."""
    assert {"events.csv", "annotations.png"} < set(TOOLKIT_FILES)
