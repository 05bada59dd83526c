"""Readers from elsewhere find the same events in a submission, and the checker no problem, whatever names are in it."""

import csv
from collections.abc import Iterator
from pathlib import Path

import crowsetta
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from config import Columns
from tests.scoring.layouts import layout_of, scores_of, write_labelset
from utils.formula_cells import defused
from utils.recordings.event_tables import TableLayout, read_layout, read_rows
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.submissions.formats.layout import SubmissionLayout, tab_cell
from utils.scoring.submissions.formats.registry import FORMATS, check_submission, write_rows
from utils.scoring.submissions.formats.tables import table_names

HARD = ("O'Neill's \"x\";y", '"quoted"', "Ünter, den\tLinden", "=1+1", "#no comment")
# a label with | is read as two species
names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/|\0"), min_size=1, max_size=12)
labels = st.lists(
    names.map(str.strip).filter(lambda name: name and tab_cell(name)),
    min_size=3,
    max_size=3,
    unique_by=lambda name: "_".join(tab_cell(name).split()),
)
stems = st.lists(
    names.filter(lambda name: not name.startswith(".")),
    min_size=2,
    max_size=2,
    unique_by=lambda name: "".join(filter(str.isalnum, name.casefold())),
)
chances = arrays(float, (2, 3, 3), elements=st.floats(0, 1))


class Case:
    """Two recordings of 11.5 s with detections."""

    def __init__(
        self, folder: Path, classes: tuple[str, ...], files: tuple[str, ...], scores: np.ndarray, kind: str
    ) -> None:
        self.folder = folder
        self.classes = classes
        self.results = [scores_of(file, rows.tolist(), seconds=11.5) for file, rows in zip(files, scores, strict=True)]
        self.format = kind

    def written(self, **more: object) -> tuple[Path, SubmissionLayout]:
        layout = layout_of(
            self.folder,
            [one.file for one in self.results],
            classes=self.classes,
            format=self.format,
            min_score=0.5,
            **more,
        )
        path = self.folder / f"out_{self.format}"
        write_rows(path, self.results, layout)
        assert check_submission(path, layout) == []
        return path, layout


def events(one: IntervalScores, layout: SubmissionLayout) -> list[tuple[float, float, str]]:
    """Return all detections."""
    return [
        (float(one.starts[row]), float(one.ends[row]), layout.classes[index])
        for row, index in np.argwhere(one.detections(layout.rule)).tolist()
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("hard")


def hard(test):  # type: ignore[no-untyped-def]
    """Run a test on hard names and on those that hypothesis finds."""
    scores = np.array([[[0.9, 0.1, 0.6], [0.0, 0.5, 0.2], [0.3, 0.2, 1.0]], np.zeros((3, 3))])
    for index in range(3):
        test = example(classes=list(HARD[index : index + 3]), pair=["site 1; früh", 'Zürich\'s "2"'], scores=scores)(
            test
        )
    return settings(max_examples=30)(given(classes=labels, pair=stems, scores=chances)(test))


@hard
def test_csv(folder: Path, classes: list[str], pair: list[str], scores: np.ndarray) -> None:
    case = Case(folder, tuple(classes), (f"{pair[0]}.wav", f"sub/{pair[1]}.flac"), scores, "csv")
    path, layout = case.written()
    found = [(one.file, *event) for one in case.results for event in events(one, layout)]
    wanted = [(defused(file), start, end, defused(label)) for file, start, end, label in found]
    assert (
        list(
            pl.read_csv(path, schema_overrides={"recording": pl.String, "species": pl.String}).drop("score").iter_rows()
        )
        == wanted
    )
    table = pd.read_csv(path, keep_default_na=False, dtype={"recording": str, "species": str})
    assert list(table.drop(columns="score").itertuples(index=False, name=None)) == wanted
    case.written(defuse=False)
    table = pd.read_csv(path, keep_default_na=False, dtype={"recording": str, "species": str})
    assert list(table.drop(columns="score").itertuples(index=False, name=None)) == found


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # inside crowsetta
@hard
def test_raven(folder: Path, classes: list[str], pair: list[str], scores: np.ndarray) -> None:
    case = Case(folder, tuple(classes), (f"{pair[0]}.wav", f"sub/{pair[1]}.flac"), scores, "raven")
    path, layout = case.written()
    for one, name in zip(
        case.results, table_names(layout.files, ending=".Table.1.selections.txt").values(), strict=True
    ):
        wanted = [(start, end, tab_cell(label)) for start, end, label in events(one, layout)]
        table = path / name
        assert [(row.start, row.end, row.label or "?") for row in read_rows(table, head_of(table))] == [
            (start, end, label) if label.strip("? ") else (0.0, 0.0, "?") for start, end, label in wanted
        ]
        if wanted and not {label for *_, label in wanted} & MISSING:
            found = crowsetta.formats.bbox.Raven.from_file(table, annot_col="Species").df
            assert (
                list(found[["begin_time_s", "end_time_s", "annotation"]].itertuples(index=False, name=None)) == wanted
            )


@hard
def test_audacity(folder: Path, classes: list[str], pair: list[str], scores: np.ndarray) -> None:
    case = Case(folder, tuple(classes), (f"{pair[0]}.wav", f"sub/{pair[1]}.flac"), scores, "audacity")
    path, layout = case.written()
    for one, name in zip(case.results, table_names(layout.files, ending="_labels.txt").values(), strict=True):
        wanted = [(start, end, tab_cell(label)) for start, end, label in events(one, layout)]
        if (
            wanted
            and not {label for *_, label in wanted} & MISSING
            and any(not number_like(label) for *_, label in wanted)
        ):
            found = crowsetta.formats.seq.AudSeq.from_file(path / name)
            assert list(zip(found.start_times, found.end_times, map(str, found.labels), strict=True)) == wanted
        if wanted:
            head = read_layout(path / name, Columns())
            assert head is not None
            assert head.format == "Audacity labels"
            assert len(read_rows(path / name, head)) == len(wanted)


@hard
def test_kaggle(folder: Path, classes: list[str], pair: list[str], scores: np.ndarray) -> None:
    for kind in ("kaggle2021", "kaggle2022"):
        case = Case(folder, tuple(classes), (f"{pair[0]}.wav", f"sub/{pair[1]}.flac"), scores, kind)
        path, layout = case.written()
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = list(csv.reader(stream))
        assert [row[0] for row in rows] == [
            f"{one.file.rsplit('/')[-1].rsplit('.', 1)[0]}_{end}" for one in case.results for end in (5, 10, 12)
        ]
        if kind == "kaggle2022":
            assert header == ["row_id", *classes]
            assert np.allclose([[float(value) for value in row[1:]] for row in rows], scores.reshape(6, 3), atol=5.1e-7)
        else:
            plain = ["_".join(label.split()) for label in classes]
            assert [row[1].split(" ") for row in rows] == [
                [label for label, hit in zip(plain, hits, strict=True) if hit] or ["nocall"]
                for one in case.results
                for hits in one.detections(layout.rule)
            ]


@hard
def test_birdclef2018(folder: Path, classes: list[str], pair: list[str], scores: np.ndarray) -> None:
    ids = write_labelset(
        folder, ["aaaaaa", "bbbbbb", "cccccc"], [" ".join(f"class {index}".split()) for index in range(3)]
    )
    case = Case(
        folder, ("class 0", "class 1", "class 2"), (f"{pair[0]}.wav", f"sub/{pair[1]}.flac"), scores, "birdclef2018"
    )
    path, _ = case.written(class_ids=ids)
    rows = [line.split(";") for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert len(rows) == 18
    assert all(len(row) == 4 for row in rows)
    assert len({tuple(row[:3]) for row in rows}) == 18


MISSING = set(pd._libs.parsers.STR_NA_VALUES)  # names such as 'NA', which pandas takes for none


def number_like(text: str) -> bool:
    """Tell whether pandas would make a number or a truth value of a text, and damage a column of nothing else."""
    return text.strip().lower() in {"true", "false"} or pd.to_numeric(pd.Series([text]), errors="coerce").notna().all()


def head_of(table: Path) -> TableLayout:
    head = read_layout(table, Columns())
    assert head is not None
    assert head.format == "Raven selection tables"
    return head


def test_every_format_has_a_reader_here() -> None:  # what is written is read back by code that is not the toolkit's
    here = {"csv", "raven", "audacity", "kaggle2021", "kaggle2022", "birdclef2018"}
    exchanged = {"birdnet", "kaleidoscope", "parquet", "darwin-core"}  # test_formats_exchange.py, test_darwin_core.py
    assert here | exchanged == set(FORMATS)
