"""Darwin Core Archives: an independent reader finds each detection, and the checker what GBIF would refuse."""

import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.scoring.layouts import layout_of, scores_of, unreadable
from utils.recordings.recorders.metadata import RecorderMetadata
from utils.recordings.recording import NOISE
from utils.scoring.submissions.formats.darwin_core_rows import TERMS
from utils.scoring.submissions.formats.layout import SubmissionLayout, tab_cell
from utils.scoring.submissions.formats.registry import check_submission, write_rows

DWC = "http://rs.tdwg.org/dwc/terms/"
ZONE = timezone(timedelta(hours=2))
MILL = RecorderMetadata(datetime(2021, 10, 2, 23, 59, 55, tzinfo=ZONE), "Mill\t1", latitude=50.83, longitude=-12.92)
FILES = ("Mill/=1 [x].wav", 'c,d;"é".flac')
names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="_\0"), min_size=1, max_size=12).filter(
    lambda text: bool(tab_cell(text)) and text != NOISE
)
labels = st.lists(names, min_size=3, max_size=3, unique_by=tab_cell)
chances = arrays(float, (2, 3, 3), elements=st.floats(0, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("archives")


def layout_for(folder: Path, classes: tuple[str, ...] = ("Altus clarus", "Bassus gravis", NOISE)) -> SubmissionLayout:
    layout = layout_of(folder, FILES, classes=classes, format="darwin-core", min_score=0.5)
    return replace(layout, recorders={FILES[0]: MILL}, model="mine/epoch_012")


def written(folder: Path, layout: SubmissionLayout, scores: np.ndarray) -> Path:
    path = folder / "out_dwca.zip"
    results = [scores_of(file, rows.tolist(), seconds=11.5) for file, rows in zip(FILES, scores, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_rows(path, results, layout)
    assert check_submission(path, layout) == []
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the occurrences as `meta.xml` says that they are to be read."""
    with zipfile.ZipFile(path) as archive:
        core = fromstring(archive.read("meta.xml")).find("{http://rs.tdwg.org/dwc/text/}core")
        fields = {int(one.get("index")): one.get("term") for one in core if one.tag.endswith("field")}
        text = archive.read(core.findtext("*/{http://rs.tdwg.org/dwc/text/}location")).decode(core.get("encoding"))
    lines = text.split("\n")[int(core.get("ignoreHeaderLines")) : -1]
    return [{fields[index].removeprefix(DWC): value for index, value in enumerate(line.split("\t"))} for line in lines]


HARD = ["=1+1", "O'Neill's \"x\";\ny", "Ünter\tLinden"]
SCORES = np.array([[[0.9, 0.1, 0.6], [0.0, 0.5, 0.2], [0.3, 0.2, 1.0]], np.zeros((3, 3))])


@settings(max_examples=20, deadline=None)
@given(classes=labels, scores=chances)
@example(classes=HARD, scores=SCORES)
def test_each_detection_is_an_occurrence(folder: Path, classes: list[str], scores: np.ndarray) -> None:
    layout = layout_for(folder, tuple(classes))
    rows = rows_of(written(folder, layout, scores))
    found = [(row["associatedMedia"], row["scientificName"], row["occurrenceRemarks"].split()[0]) for row in rows]
    assert found == [
        (file, tab_cell(classes[index]), f"{5 * row:.6f}")
        for file, table in zip(FILES, scores, strict=True)
        for row, index in np.argwhere(table >= 0.5).tolist()
    ]
    assert len({row["occurrenceID"] for row in rows}) == len(rows)


@settings(max_examples=10, deadline=None)
@given(classes=labels, scores=chances)
@example(classes=HARD, scores=SCORES)
def test_another_reader_finds_the_same(folder: Path, classes: list[str], scores: np.ndarray) -> None:
    read = pytest.importorskip("dwca.read")
    path = written(folder, layout_for(folder, tuple(classes)), scores)
    with read.DwCAReader(str(path)) as archive:
        assert archive.core_contains_term(f"{DWC}basisOfRecord")
        assert archive.descriptor.core.type == f"{DWC}Occurrence"
        assert archive.metadata.find("dataset/title").text.endswith("by mine/epoch_012")
        rows = [{term.removeprefix(DWC): value for term, value in row.data.items()} for row in archive]
    assert rows == rows_of(path)


def test_what_recorders_tell_is_there_and_the_rest_is_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, layout = tmp_path / "out_dwca.zip", layout_for(tmp_path)
    results = [scores_of(file, [[0.1, 0, 0.9], [0.9123456, 0, 0]], seconds=10) for file in FILES]
    assert write_rows(path, results, layout) == 2  # noise is none
    first, second = rows_of(path)
    identity = first.pop("occurrenceID")
    assert identity.startswith("urn:uuid:")
    assert identity != second.pop("occurrenceID")
    assert first == {
        "basisOfRecord": "MachineObservation",
        "occurrenceStatus": "present",
        "scientificName": "Altus clarus",
        "vernacularName": "",
        "eventDate": "2021-10-03T00:00:00+02:00/2021-10-03T00:00:05+02:00",
        "locality": "Mill 1",
        "decimalLatitude": "50.830000",
        "decimalLongitude": "-12.920000",
        "geodeticDatum": "EPSG:4326",
        "samplingProtocol": "sound recorder; species detected by a model in intervals of 5 s",
        "identifiedBy": "mine/epoch_012",
        "identificationRemarks": "score 0.912346",
        "occurrenceRemarks": "5.000000 to 10.000000 s of the recording",
        "associatedMedia": FILES[0],
    }
    empty = {name for name, value in second.items() if not value}
    assert empty == {
        "vernacularName",
        "eventDate",
        "locality",
        "decimalLatitude",
        "decimalLongitude",
        "geodeticDatum",
    }
    told = " ".join(capsys.readouterr().err.split())
    assert "of 2 occurrences, 1 no eventDate, 1 no decimalLatitude, 1 no locality" in told
    with zipfile.ZipFile(path) as archive:
        dataset = fromstring(archive.read("eml.xml")).find("dataset")
    assert dataset.findtext("coverage/geographicCoverage/boundingCoordinates/westBoundingCoordinate") == "-12.920000"
    assert dataset.findtext("coverage/temporalCoverage/rangeOfDates/endDate/calendarDate") == "2021-10-03"
    assert [child.tag for child in dataset] == ["title", "creator", "language", "abstract", "coverage", "contact"]


def test_the_same_detections_are_the_same_bytes(tmp_path: Path) -> None:
    layout = layout_for(tmp_path)
    first = written(tmp_path, layout, SCORES).read_bytes()
    assert written(tmp_path, layout, SCORES).read_bytes() == first
    with zipfile.ZipFile(tmp_path / "out_dwca.zip") as archive:
        assert archive.namelist() == ["occurrence.txt", "meta.xml", "eml.xml"]
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_day_without_a_time_is_an_event_date_and_no_detections_are_no_occurrences(tmp_path: Path) -> None:
    layout = replace(layout_for(tmp_path), recorders={FILES[0]: RecorderMetadata(date="2021-10-02")})
    path = tmp_path / "out_dwca.zip"
    write_rows(path, [scores_of(FILES[0], [[0.9, 0, 0]], seconds=5.0), unreadable(FILES[1])], layout)
    assert [row["eventDate"] for row in rows_of(path)] == ["2021-10-02"]
    assert write_rows(path, [unreadable(file) for file in FILES], layout) == 0
    assert rows_of(path) == []
    assert check_submission(path, layout) == []


def test_events_are_not_told_as_intervals(tmp_path: Path) -> None:
    path = written(tmp_path, replace(layout_for(tmp_path), events=True), SCORES)
    assert {"interval" in row["samplingProtocol"] for row in rows_of(path)} == {False}
    with zipfile.ZipFile(path) as archive:
        abstract = fromstring(archive.read("eml.xml")).findtext("dataset/abstract/para")
    assert "one for each event, in which the score of a species reaches" in abstract


def test_other_recordings_of_the_same_name_have_other_ids(tmp_path: Path) -> None:
    layout = replace(layout_for(tmp_path), recorders={})
    (tmp_path / "Mill").mkdir()
    found = []
    for samples in (b"one", b"two", b"one"):
        (tmp_path / FILES[0]).write_bytes(b"RIFF" + samples)
        found.append([row["occurrenceID"] for row in rows_of(written(tmp_path, layout, SCORES))])
    assert found[0] == found[2]
    assert not set(found[0]) & set(found[1])


def test_an_impossible_place_is_not_written(tmp_path: Path) -> None:
    layout = replace(layout_for(tmp_path), recorders={FILES[0]: replace(MILL, latitude=95.0)})
    with pytest.raises(ValueError, match=r"decimalLatitude is '95\.000000', it should be degrees from -90 to 90"):
        write_rows(tmp_path / "out", [scores_of(FILES[0], [[0.9, 0, 0]], seconds=5.0)], layout)
    assert list(tmp_path.iterdir()) == []


def damaged(path: Path, name: str, change: Callable[[str], str]) -> None:
    """Write an archive again, with one of its files changed; without it if nothing is left of that."""
    with zipfile.ZipFile(path) as archive:
        contents = {one: archive.read(one).decode() for one in archive.namelist()}
    contents[name] = change(contents[name])
    with zipfile.ZipFile(path, "w") as archive:
        for one, text in contents.items():
            if text:
                archive.writestr(one, text)


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("occurrence.txt", "Machine", "Human", "occurrence.txt line 2: basisOfRecord is 'HumanObservation'"),
        ("occurrence.txt", "50.83", "95.83", "occurrence.txt line 2: decimalLatitude is '95.830000'"),
        ("occurrence.txt", "-12.920000", "", "occurrence.txt line 2: one of decimalLatitude and decimalLongitude"),
        ("occurrence.txt", "2021-10-02T", "2021-13-02T", "occurrence.txt line 2: eventDate is '2021-13-02T23:59:55"),
        ("occurrence.txt", "/2021-10-03T", "/2021-10-01T", "occurrence.txt line 2: eventDate is '2021-10-02T23:59"),
        ("occurrence.txt", "Altus clarus", "Altus", "occurrence.txt line 2: no class is named 'Altus'"),
        ("occurrence.txt", "score 0.9", "score 1.9", "occurrence.txt line 2: the score '1.900000' is not from 0 to 1"),
        ("occurrence.txt", "[x].wav", "[y].wav", "occurrence.txt line 2: no recording has the path 'Mill/=1 [y].wav'"),
        ("occurrence.txt", "present", "pre\tsent", "occurrence.txt line 2: has 16 values, not 15"),
        ("occurrence.txt", "occurrenceID\t", "id\t", "occurrence.txt line 1: the header should be the terms"),
        ("meta.xml", "terms/eventDate", "terms/evenDate", "meta.xml does not tell the columns"),
        ("meta.xml", "</archive>", "", "meta.xml is not XML"),
        ("eml.xml", "eml-2.2.0", "eml-2.0.0", "eml.xml is not EML 2.2.0"),
        ("eml.xml", "not stated", "", "eml.xml has no creator"),
    ],
)
def test_each_fault_is_named(name: str, old: str, new: str, problem: str, tmp_path: Path) -> None:
    layout = layout_for(tmp_path)
    path = written(tmp_path, layout, np.array([[[0.9, 0, 0], [0, 0.9, 0], [0, 0, 0]], np.zeros((3, 3))]))

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    damaged(path, name, change)
    (found,) = check_submission(path, layout)
    assert found.startswith(problem)


def test_files_that_are_missing_double_or_no_zip(tmp_path: Path) -> None:
    layout = layout_for(tmp_path)
    path = written(tmp_path, layout, SCORES)
    damaged(path, "occurrence.txt", lambda text: text + text.splitlines(keepends=True)[1])
    (found,) = check_submission(path, layout)
    assert found.endswith("is listed twice")
    damaged(path, "meta.xml", lambda text: "")
    assert check_submission(path, layout) == ["has no meta.xml"]
    path.write_text("\t".join(TERMS))
    (found,) = check_submission(path, layout)
    assert found.startswith("is not a zip that can be read")
