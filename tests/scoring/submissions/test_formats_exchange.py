"""Tables of BirdNET-Analyzer and for Kaleidoscope, and Parquet: readers find in them what was detected."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from config import Columns
from tests.scoring.layouts import CLASSES, layout_of, scores_of, unreadable
from utils.cleaning.stale import unfinished_in
from utils.console import UserError
from utils.files import write_text
from utils.formula_cells import defused
from utils.recordings.event_tables import read_layout, read_rows
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.sound_finder import SoundFinder
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats import parquet
from utils.scoring.submissions.formats.layout import SubmissionLayout
from utils.scoring.submissions.formats.registry import FORMATS, check_layout, check_submission, write_rows
from utils.scoring.submissions.formats.species_names import species_names

SOUNDS = ("site 1, früh/=1+1.wav", 'Zürich\'s "2" [x].flac')
HARD = ("O'Neill's \"x\", y", "=1+1", "Ünter\nLinden [2]")
FORMS = ("csv", "birdnet", "kaleidoscope")
# cells with ; or | may be several species for our reader, question marks none
letters = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/|;?\0_"), min_size=1, max_size=12)
names = letters.map(lambda text: " ".join(text.split())).filter(bool)
labels = st.lists(names, min_size=3, max_size=3, unique_by=str.casefold)
chances = arrays(float, (2, 3, 3), elements=st.floats(0, 1))
SCORES = np.array([[[0.9, 0.1, 0.6], [0.0, 0.5, 0.2], [0.3, 0.2, 1.0]], np.zeros((3, 3))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("exchange")


def written(folder: Path, form: str, classes: list[str], scores: np.ndarray) -> tuple[Path, SubmissionLayout]:
    layout = layout_of(folder, SOUNDS, classes=tuple(classes), format=form, min_score=0.5)
    path = folder / f"out{FORMATS[form].suffix}"
    results = [scores_of(file, rows.tolist(), seconds=11.5) for file, rows in zip(SOUNDS, scores, strict=True)]
    count = write_rows(path, results, layout)
    assert count == len(wanted(layout, results))
    assert check_submission(path, layout) == []
    return path, layout


def wanted(layout: SubmissionLayout, results: list[IntervalScores]) -> list[tuple[str, float, float, str]]:
    """Return all detections: recording, start, end, class."""
    return [
        (one.file, float(one.starts[row]), float(one.ends[row]), layout.classes[index])
        for one in results
        for row, index in np.argwhere(one.detections(layout.rule)).tolist()
    ]


def detections(scores: np.ndarray, layout: SubmissionLayout) -> list[tuple[str, float, float, str]]:
    return wanted(
        layout,
        [scores_of(file, rows.tolist(), seconds=11.5) for file, rows in zip(SOUNDS, scores, strict=True)],
    )


@settings(max_examples=20, deadline=None)
@given(classes=labels, scores=chances)
@example(classes=list(HARD), scores=SCORES)
def test_our_own_reader_of_annotations_reads_back_what_is_written(
    folder: Path, classes: list[str], scores: np.ndarray
) -> None:
    finder = SoundFinder([folder / file for file in SOUNDS])
    for form in FORMS:
        path, layout = written(folder, form, classes, scores)
        found = read_layout(path, Columns())
        assert found is not None
        assert found.holds_events
        rows = read_rows(path, found)
        assert not [row.problem for row in rows if row.problem]
        read = [(finder.find(row.file, path), row.start, row.end, " ".join(row.label.split())) for row in rows]
        assert read == [
            (folder / file, start, end, " ".join(label.split()))
            for file, start, end, label in detections(scores, layout)
        ]


@settings(max_examples=20, deadline=None)
@given(classes=labels, scores=chances)
@example(classes=list(HARD), scores=SCORES)
def test_other_readers_find_the_columns_of_birdnet_analyzer(
    folder: Path, classes: list[str], scores: np.ndarray
) -> None:
    path, layout = written(folder, "birdnet", classes, scores)
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    assert list(table.columns) == ["Start (s)", "End (s)", "Scientific name", "Common name", "Confidence", "File"]
    assert [tuple(row) for row in table[["File", "Start (s)", "End (s)", "Scientific name"]].to_numpy().tolist()] == [
        (f"{folder.as_posix()}/{file}", f"{start:.6f}", f"{end:.6f}", defused(label))
        for file, start, end, label in detections(scores, layout)
    ]
    path, layout = written(folder, "kaleidoscope", classes, scores)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [
        ("/".join(filter(None, (row["INDIR"], row["FOLDER"], row["IN FILE"]))), row["scientific_name"]) for row in rows
    ] == [(f"{folder.as_posix()}/{file}", label) for file, _, _, label in detections(scores, layout)]


@settings(max_examples=20, deadline=None)
@given(classes=labels, scores=chances)
@example(classes=list(HARD), scores=SCORES)
def test_parquet_has_types(folder: Path, classes: list[str], scores: np.ndarray) -> None:
    path, layout = written(folder, "parquet", classes, scores)
    table = pl.read_parquet(path.read_bytes())
    numbers = dict.fromkeys(("start", "end", "score"), pl.Float64())
    assert dict(table.schema) == {"recording": pl.String(), "species": pl.String(), **numbers}
    assert table.drop("score").rows() == detections(scores, layout)


def test_kaleidoscope_has_places_and_weeks(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ("a/b/x.wav", "y.wav"), format="kaleidoscope", min_score=0.5, overlap=1.5)
    told = RecorderMetadata(datetime(2021, 10, 2, 19), latitude=-1.0, longitude=13.4, date="2021-10-02")
    layout = replace(layout, recorders={"a/b/x.wav": told})
    results = [scores_of(file, [[0.9, 0, 0]], seconds=2.5) for file in layout.files]
    assert write_rows(tmp_path / "out.csv", results, layout) == 2
    root = tmp_path.as_posix()
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == [
        f"{root},a/b,x.wav,0.000000,2.500000,Altus clarus,Altus clarus,0.900000,-1.000000,13.400000,37,1.5,",
        f"{root},,y.wav,0.000000,2.500000,Altus clarus,Altus clarus,0.900000,,,,1.5,",
    ]
    assert check_submission(tmp_path / "out.csv", layout) == []


def test_names_come_from_the_data_set(tmp_path: Path) -> None:
    write_text(tmp_path / "metadata" / "classes.csv", "class,scientific_name,code,common_name\ncodea,Altus clarus,a,\n")
    write_text(tmp_path / "metadata" / "1.json", json.dumps({"sci-name": "Bassus gravis", "species": "Deep Bass"}))
    write_text(tmp_path / "taxa.csv", "scientific_name,common_name\nAltus clarus,Clear Alto\n")
    classes = ("codea", "Bassus gravis", "Turdus merula_Eurasian Blackbird", "Solus unicus")
    layout = replace(layout_of(tmp_path, (), classes=classes, format="birdnet"), taxonomy=tmp_path / "taxa.csv")
    assert [tuple(name) for name in species_names(layout)] == [
        ("Altus clarus", "Clear Alto"),
        ("Bassus gravis", "Deep Bass"),
        ("Turdus merula", "Eurasian Blackbird"),
        ("Solus unicus", ""),
    ]
    assert species_names(layout)[3].shown == "Solus unicus"
    known = check_layout(layout)
    (tmp_path / "metadata" / "1.json").unlink()
    (tmp_path / "taxa.csv").unlink()
    assert species_names(known)[1].common == "Deep Bass"  # the files are read once
    with pytest.raises(UserError, match=r"taxa\.csv"):  # before inference
        check_layout(layout)


@pytest.mark.parametrize("form", ["birdnet", "kaleidoscope", "parquet"])
def test_without_detections_there_are_columns_only(form: str, tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ("a.wav", "b.wav"), format=form, min_score=0.5)
    path = tmp_path / f"out{FORMATS[form].suffix}"
    assert write_rows(path, [scores_of("a.wav", [[0, 0, 0]], seconds=5.0), unreadable("b.wav")], layout) == 0
    assert check_submission(path, layout) == []
    assert path.stat().st_size > 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]


def test_parquet_is_the_same_however_many_rows_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = timezone(timedelta(hours=2))
    told = {"a[1].wav": RecorderMetadata(datetime(2021, 10, 2, 23, 59, 58, tzinfo=zone), site="Mill")}
    layout = replace(layout_of(tmp_path, ("a[1].wav", "b.wav"), format="parquet", min_score=0.5), recorders=told)
    results = [
        replace(scores_of(file, [[0.9, 0, 0.7]] * 9, seconds=44.5), novelty=np.full(9, 0.25)) for file in layout.files
    ]
    layout = replace(layout, novelty=True)
    tables = []
    for rows in (100_000, 5):
        monkeypatch.setattr(parquet, "PARQUET_ROWS", rows)
        for name in ("one", "two"):
            assert write_rows(tmp_path / f"{name} [{rows}]", results, layout) == 36
        assert (tmp_path / f"one [{rows}]").read_bytes() == (tmp_path / f"two [{rows}]").read_bytes()
        assert check_submission(tmp_path / f"one [{rows}]", layout) == []
        tables.append(pl.read_parquet((tmp_path / f"one [{rows}]").read_bytes()))
    assert tables[0].equals(tables[1])
    assert tables[0].schema["utc"] == pl.Datetime("us", "UTC")
    first = tables[0].row(2, named=True)
    assert (first["site"], first["local"], first["novelty"]) == ("Mill", datetime(2021, 10, 3, 0, 0, 3), 0.25)
    assert first["utc"] == datetime(2021, 10, 2, 22, 0, 3, tzinfo=UTC)
    assert tables[0].row(20)[-3:] == (None, None, None)
    assert sorted(file.name.split()[0] for file in tmp_path.iterdir()) == ["one", "one", "two", "two"]


def test_rows_of_a_killed_call_are_found_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_of(tmp_path / "root", ("a.wav",), format="parquet", min_score=0.5)
    results = [scores_of("a.wav", [[0.9, 0, 0]], seconds=5.0)]
    out = tmp_path / "run_soundscape.parquet"
    with monkeypatch.context() as killed:
        killed.setattr(parquet, "remove_path", lambda path: None)
        killed.setattr(parquet, "_join", lambda parts, path: None)  # killed before
        write_rows(out, results, layout)
    (left,) = unfinished_in(tmp_path, ("*_soundscape*",), what="a submission")
    assert left.path.name == ".run_soundscape.parquet.part"
    assert write_rows(out, results, layout) == 1
    assert [file.name for file in tmp_path.iterdir()] == [out.name]


def test_a_check_of_parquet_finds_wrong_columns_and_rows(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ("a.wav",), format="parquet", min_score=0.5)
    path = tmp_path / "out.parquet"
    write_rows(path, [scores_of("a.wav", [[0.9, 0, 0]], seconds=5.0)], layout)
    table = pl.read_parquet(path.read_bytes())
    table.drop("score").write_parquet(path)
    (problem,) = check_submission(path, layout)
    assert problem.startswith("the columns should be recording (String), start (Float64)")
    table.with_columns(score=1.5, species=pl.lit("Nullus"), recording=pl.lit("b.wav")).write_parquet(path)
    assert check_submission(path, layout) == [
        "line 1: no class is named 'Nullus'",
        "line 1: the score '1.5' is not from 0 to 1",
        "line 1: no recording has the path 'b.wav'",
    ]
    table.with_columns(start=pl.lit(None, pl.Float64)).write_parquet(path)
    assert check_submission(path, layout) == ["line 1: start should not be empty"]
    path.write_text("recording,start\n")
    (problem,) = check_submission(path, layout)
    assert problem.startswith("cannot be read as Parquet")


def test_defusing_can_be_turned_off_and_is_the_formats_business() -> None:
    assert {name for name, form in FORMATS.items() if form.spreadsheet} == {"csv", "birdnet"}


@pytest.mark.parametrize(
    ("form", "defuse", "name"),
    [("csv", True, "'=1.wav"), ("csv", False, "=1.wav"), ("kaleidoscope", True, "=1.wav"), ("raven", True, "=1.wav")],
)
def test_names_of_files_do_not_run_in_spreadsheets(form: str, defuse: bool, name: str, tmp_path: Path) -> None:
    layout = layout_of(tmp_path, ("=1.wav",), format=form, min_score=0.5, defuse=defuse)
    path = tmp_path / "out"
    write_rows(path, [scores_of("=1.wav", [[0.9, 0, 0]], seconds=5.0)], layout)
    assert check_submission(path, layout) == []
    text = next(path.iterdir()).read_text() if path.is_dir() else path.read_text()
    cells = {cell for line in text.splitlines() for cell in line.replace("\t", ",").split(",")}
    assert {cell for cell in cells if cell.endswith("=1.wav")} == {name}
    assert CLASSES[0] in cells
