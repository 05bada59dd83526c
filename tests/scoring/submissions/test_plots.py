"""Plots of detections: what they count, the exact accumulation curve, and what is drawn from which recordings."""

import dataclasses
import itertools
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.scoring.layouts import CLASSES, layout_of, scores_of, unreadable
from utils.console import UserError
from utils.recordings.recorders.clocks import time_zone
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.plots.accumulation import expected_curve, observed_curve
from utils.scoring.submissions.plots.activity import hours_by_day, main_span, sun_lines
from utils.scoring.submissions.plots.counts import ColumnBuffer, PlotCounts, PlotTables
from utils.scoring.submissions.plots.folder import PLOT_NAMES, plots_folder, remove_plots
from utils.scoring.submissions.plots.sites import _degrees_text, _unwrapped, site_table
from utils.scoring.submissions.plots.writing import WrittenPlots, score_panels, write_plots_through

BERLIN = {"latitude": 52.52, "longitude": 13.405}  # sunrise on 21 June 2021 at 2:43 UTC, sunset at 19:33
DAY = datetime(2021, 6, 21).toordinal()


def layout_with(folder: Path, told: dict[str, RecorderMetadata], zone: str = "") -> SubmissionLayout:
    layout = layout_of(folder, tuple(told), format="csv", min_score=0.5)
    return dataclasses.replace(layout, recorders=told, zone=time_zone(zone))


def counted(layout: SubmissionLayout, *results: IntervalScores) -> PlotTables:
    counts = PlotCounts(layout)
    assert list(counts.through(results)) == list(results)
    return counts.tables()


def tables_of(*found: set[int], clocks: list[float] | None = None) -> PlotTables:
    """Return tables in which each recording has some classes."""
    pairs = [(index, label) for index, labels in enumerate(found) for label in sorted(labels)]
    times = clocks or [np.nan] * len(found)
    recordings = pl.DataFrame({"clock": times, "seconds": [60.0] * len(found)}, schema_overrides={"clock": pl.Float64})
    species = pl.DataFrame(pairs, schema={"recording": pl.Int64, "class": pl.Int64}, orient="row")
    nothing = pl.DataFrame()
    return PlotTables(recordings, species, nothing, nothing, PlotCounts(layout_of(Path(), ())).tables().scores, (), ())


def test_hours_are_those_of_local_clocks(tmp_path: Path) -> None:
    started = datetime(2021, 6, 21, 20, 40, tzinfo=UTC)
    layout = layout_with(tmp_path, {"a.wav": RecorderMetadata(started)}, "+02:00")
    # at 22:40, 23:10, 23:40, and 0:10 of the next day
    scores = [[0.9, 0, 0], [0.9, 0.9, 0], [0.9, 0, 0], [0, 0.9, 0]]
    tables = counted(layout, scores_of("a.wav", scores, seconds=7000.0, interval=1800.0))
    late, last, early = (24 * DAY + hour for hour in (22, 23, 24))
    assert sorted(tables.detections.select("hour", "class", "detections").rows()) == [
        (late, 0, 1),
        (last, 0, 2),
        (last, 1, 1),
        (early, 1, 1),
    ]
    assert sorted(tables.effort.rows()) == [(late, 1800.0), (last, 3600.0), (early, 1600.0)]


def test_detections_are_the_same_by_hour_by_recording_and_in_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    told = {
        f"{name}.wav": RecorderMetadata(datetime(2021, 6, 21, hour))
        for name, hour in zip("abc", (3, 3, 23), strict=True)
    }
    layout = layout_with(tmp_path, told)
    results = [scores_of(file, rng.random((700, 3)).tolist(), seconds=7000.0, interval=10.0) for file in told]
    tables = counted(layout, *results, unreadable("d.wav"))
    hits = sum(one.detections(layout.rule).sum(axis=0) for one in results)
    by_class = tables.detections.group_by("class").agg(pl.col("detections").sum()).sort("class")
    assert by_class["detections"].to_list() == hits.tolist()
    assert len(tables.recordings) == 3
    table = hours_by_day(*(tables.effort[name].to_numpy() for name in ("hour", "seconds")), first_day=DAY, days=2)
    assert table.shape == (24, 2)
    assert table.sum() == pytest.approx(21_000)
    assert table[3, 0] == pytest.approx(7200)  # two recordings of the hour from 3 to 4
    assert table[:3, 1].sum() == pytest.approx(7000 - 3600)  # after midnight
    np.testing.assert_array_equal(
        tables.scores.counts.sum(axis=1), [sum(len(one.scores) for one in results)] * len(CLASSES)
    )


def test_the_accumulation_curve_is_that_of_all_orders() -> None:
    found = [{0, 1}, {1}, set(), {1, 2}, {3}]
    tables = tables_of(*found)
    curve = expected_curve(tables.species, recordings=len(found))
    assert curve.recordings.tolist() == [0, 1, 2, 3, 4, 5]
    sizes = np.array(
        [
            [len(set().union(*order[:count])) for count in range(len(found) + 1)]
            for order in itertools.permutations(found)
        ]
    )
    np.testing.assert_allclose(curve.mean, sizes.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(curve.deviation, sizes.std(axis=0), atol=1e-6)


def test_the_accumulation_curve_of_many_recordings_is_finite_and_rises() -> None:
    rng = np.random.default_rng(2)
    pairs = np.unique(
        np.stack([rng.integers(0, 200_000, 5000), rng.integers(0, 300, 5000) ** 2 // 300], axis=1), axis=0
    )
    species = pl.DataFrame(pairs, schema=["recording", "class"], orient="row")
    curve = expected_curve(species, recordings=200_000)
    assert (np.diff(curve.mean) > 0).all()
    assert curve.mean[-1] == pytest.approx(species["class"].n_unique())
    assert curve.deviation[[0, -1]].max() < 0.01  # rounding of logarithms
    assert np.isfinite(curve.deviation).all()


def test_new_species_come_in_the_order_of_time() -> None:
    tables = tables_of({0}, {1, 2}, {0, 3}, clocks=[np.nan, 200.0, 100.0])
    after, found = observed_curve(tables)
    assert (after.tolist(), found.tolist()) == ([1, 2], [2, 4])  # 0 and 3; 1 and 2; the last one brings nothing


def test_sites_are_dots_with_their_species(tmp_path: Path) -> None:
    told = {
        "a.wav": RecorderMetadata(site="Mill", latitude=50.0, longitude=12.0),
        "b.wav": RecorderMetadata(site="Mill", latitude=50.0002, longitude=12.0002),  # GPS
        "c.wav": RecorderMetadata(latitude=51.0, longitude=12.0),
        "d.wav": RecorderMetadata(latitude=51.0001, longitude=12.0),
        "e.wav": RecorderMetadata(site="Elm"),
    }
    rows = [[[0.9, 0, 0]], [[0.9, 0.9, 0]], [[0, 0, 0]], [[0, 0, 0.9]], [[0.9, 0.9, 0.9]]]
    results = [scores_of(file, row, seconds=5.0) for file, row in zip(told, rows, strict=True)]
    sites = site_table(counted(layout_with(tmp_path, told), *results))
    assert sites.select("site", "recordings", "species").rows() == [("Mill", 2, 2), ("", 2, 1)]
    assert sites["latitude"].to_list() == pytest.approx([50.0001, 51.00005])
    assert not len(site_table(counted(layout_with(tmp_path, {}), results[0])))


def test_sun_lines_are_by_local_clocks(tmp_path: Path) -> None:
    layout = layout_with(tmp_path, {"a.wav": RecorderMetadata(datetime(2021, 6, 21, 2, tzinfo=UTC), **BERLIN)})
    tables = counted(layout, scores_of("a.wav", [[0.9, 0, 0]], seconds=5.0))
    lines = sun_lines(tables, time_zone("Europe/Berlin"), first_day=DAY, days=1)
    assert lines.sunrise[0] == pytest.approx(4 + 43 / 60, abs=0.06)
    assert lines.sunset[0] == pytest.approx(21 + 33 / 60, abs=0.06)
    assert "dataset.time_zone" in sun_lines(tables, None, first_day=DAY, days=1).text
    polar = dataclasses.replace(tables, recordings=tables.recordings.with_columns(latitude=pl.lit(78.0)))
    assert np.isnan(sun_lines(polar, UTC, first_day=DAY, days=3).sunset).all()


def written(layout: SubmissionLayout, folder: Path, *results: IntervalScores) -> WrittenPlots:
    plots = WrittenPlots(folder)
    assert len(list(write_plots_through(plots, results, layout))) == len(results)
    return plots


def test_plots_are_drawn_from_what_is_known(tmp_path: Path) -> None:
    folder = tmp_path / "run_plots"
    told = {
        f"{day}.wav": RecorderMetadata(datetime(2021, 6, day, 23, 59, 58, tzinfo=UTC), site="Mühle $x$ 鸟", **BERLIN)
        for day in (20, 21)
    }
    layout = layout_with(tmp_path, told, "Europe/Berlin")
    results = [scores_of(file, [[0.9, 0.2, 0]] * 3, seconds=15) for file in told]
    plots = written(layout, folder, *results, unreadable("x.wav"))
    assert [*plots.files] == [*PLOT_NAMES]
    assert not plots.missing
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.files.values())
    (folder / "mine.txt").write_text("stays")
    bare = written(layout_with(tmp_path, {}), folder, scores_of("a.wav", [[0.1, 0, 0]], seconds=5))
    assert {file.name for file in folder.iterdir()} == {"scores.png", "mine.txt"}
    assert [line.split(":")[0] for line in bare.missing] == [
        "no plot of activity",
        "no plot of accumulation",
        "no plot of sites",
    ]
    assert "dataset.deployments" in bare.missing[2]
    (folder / "mine.txt").unlink()
    assert written(layout, folder, unreadable("x.wav")).missing == ["no plots: no recording could be used"]
    assert not folder.exists()


def test_one_day_one_site_and_no_detection_are_drawn(tmp_path: Path) -> None:
    told = {"a.wav": RecorderMetadata(datetime(2021, 6, 21, 3), latitude=-89.999, longitude=0.0)}
    assert [*written(layout_with(tmp_path, told), tmp_path / "p", scores_of("a.wav", [[0.9, 0, 0]], seconds=5)).files]
    plots = written(layout_with(tmp_path, told), tmp_path / "p", scores_of("a.wav", [[0.1, 0, 0]], seconds=5))
    assert [*plots.files] == ["scores", "sites"]


def test_score_panels_show_the_thresholds(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ("a.wav",), format="csv", thresholds=[0.5, np.inf, 0.2], dynamic="recording")
    tables = counted(layout, scores_of("a.wav", [[0.6, 0.99, 0.1], [0.6, -1.0, 0.1]], seconds=10))
    panels = {panel.name: panel for panel in score_panels(tables, layout.rule)}
    assert list(panels) == ["Altus clarus", "Bassus gravis", "Solus unicus"]  # detected; highest scores; others
    assert panels["Altus clarus"].thresholds == [0.5, 0.25]
    assert panels["Bassus gravis"].thresholds[0] == np.inf
    assert [int(panel.layers[0].sum()) for panel in panels.values()] == [2, 1, 2]  # −1 is no score


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "x_plots").write_text("mine")
    with pytest.raises(UserError, match="is a file, and the plots belong there"):
        plots_folder(tmp_path / "x")
    remove_plots(tmp_path / "nothing")


def test_columns_grow_by_rows_of_any_count() -> None:
    buffer = ColumnBuffer(a="q", b="d")
    buffer.add(a=np.array([1, 2]), b=0.5)
    buffer.add(a=np.array([], np.int64), b=0.5)
    buffer.add(a=3, b=np.nan)
    assert buffer.table()["a"].to_list() == [1, 2, 3]
    assert buffer.table()["b"].to_list()[:2] == [0.5, 0.5]


def test_one_wrong_clock_does_not_hide_the_others() -> None:
    hours = [24 * 700_000 + 5, 24 * 700_000 + 29, 24 * 700_300, 24 * 730_000, 24 * 900_000]
    effort = pl.DataFrame({"hour": hours, "seconds": [60.0, 60.0, 60.0, 100.0, 60.0]})
    assert main_span(effort) == (700_000, 700_300)
    assert main_span(effort.tail(1)) == (900_000, 900_000)


def test_sites_on_both_sides_of_the_date_line_are_near() -> None:
    assert np.ptp(_unwrapped(np.array([179.9, -179.9, 179.5]))) == pytest.approx(0.6)
    np.testing.assert_allclose(_unwrapped(np.array([10.0, 20.0])), [10, 20])
    assert (_degrees_text(180.1, 0), _degrees_text(-179.5, 0), _degrees_text(36.0, 0)) == ("-179.9", "-179.5", "36")
