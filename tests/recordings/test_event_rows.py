"""Rows with several species, views or files, or of absent species: nothing is lost silently or invented."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from config import Columns
from utils.recordings.annotations import is_annotations, read_annotations
from utils.recordings.recording import Contents

HEAD = "file,start,end,species"
RAVEN = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tEnd File\tFile Offset (s)\tSpecies\n"
Sung = list[tuple[float, float, str]]


def read(archive: Path, tables: Mapping[str, str], *sounds: str) -> Contents:
    for name, text in {**tables, **dict.fromkeys(sounds, "sound")}.items():
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        (archive / name).write_text(text)
    return read_annotations(archive, Columns())


def times(contents: Contents) -> dict[str, Sung]:
    return {
        recording.name: [(event.start, event.end, event.species) for event in recording.events]
        for recording in contents.recordings
    }


def reasons(contents: Contents) -> dict[str, str]:
    return {failure.name: failure.reason for failure in contents.failures}


def unsure(contents: Contents) -> set[str]:
    return {recording.name for recording in contents.recordings if recording.unsure}


def test_a_selection_that_continues_in_the_next_file(tmp_path: Path) -> None:
    rows = (
        "1\tSpectrogram 1\t6\t18\tf1.wav\tf2.wav\t6\tA a\n2\tSpectrogram 1\t12\t13\tf2.wav\tF2.wav\t2\tB b\n"
        "3\tSpectrogram 1\t5\t6\tf3.wav\tf3.wav\t1\tC c\n"
    )
    contents = read(tmp_path, {"all.txt": RAVEN + rows}, "f1.wav", "f2.wav", "f3.wav")
    assert times(contents) == {"f1": [(6, 18, "A a")], "f2": [(2, 3, "B b")], "f3": [(1, 2, "C c")]}
    assert unsure(contents) == {"f1", "f2"}
    assert reasons(contents) == {"all.txt line 2": "continues in f2.wav, where its end is not known"}


def test_a_selection_that_continues_in_a_file_that_is_missing_or_not_annotated(tmp_path: Path) -> None:
    rows = "1\tSpectrogram 1\t6\t18\tf1.wav\tf2.wav\t6\tA a\n2\tSpectrogram 1\t6\t18\tf1.wav\tgone.wav\t6\tB b\n"
    contents = read(tmp_path, {"all.txt": RAVEN + rows}, "f1.wav", "f2.wav")
    assert reasons(contents) == {
        "all.txt line 2": "continues in f2.wav, where its end is not known",
        "all.txt line 3": "continues in the next file, but names 'gone.wav', which was not found",
        "f2.wav": "has no usable annotation",
    }


@pytest.mark.parametrize(
    ("column", "no", "yes", "told"),
    [
        ("present", "0", "1", "skipped 2 rows (species absent)"),
        ("is present", "False", "true", "skipped 2 rows (species absent)"),
        ("detected", "no", "Yes", "skipped 2 rows (species absent)"),
        ("absent", "1", "0", "skipped 2 rows (species absent)"),
        ("verified", "n", "y", "skipped 2 rows (not verified)"),
    ],
)
def test_rows_that_their_own_columns_exclude(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, no: str, yes: str, told: str
) -> None:
    contents = read(
        tmp_path,
        {"c.csv": f"{HEAD},{column}\na.wav,1,2,A a,{no}\na.wav,3,4,A a,{yes}\na.wav,5,6,x/y,{no}\na.wav,7,8,B b,\n"},
        "a.wav",
    )
    assert times(contents) == {"a": [(3, 4, "A a"), (7, 8, "B b")]}
    assert (contents.failures, unsure(contents)) == ([], {"a"} if column == "verified" else set())
    assert capsys.readouterr().out == f"c.csv: {told}\n"


def test_both_columns_are_reported_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read(
        tmp_path,
        {"c.csv": f"{HEAD},present,verified\na.wav,1,2,A a,0,0\na.wav,3,4,A a,1,0\na.wav,5,6,A a,1,1\n"},
        "a.wav",
    )
    assert capsys.readouterr().out == "c.csv: skipped 1 row (species absent) and 1 row (not verified)\n"


def test_a_recording_with_only_absent_species_is_not_noise(tmp_path: Path) -> None:
    contents = read(tmp_path, {"c.csv": f"{HEAD},present\na.wav,1,2,A a,0\nb.wav,1,2,A a,1\n"}, "a.wav", "b.wav")
    assert (times(contents), reasons(contents)) == (
        {"b": [(1, 2, "A a")]},
        {"a.wav": "has no usable annotation"},
    )


def test_columns_with_other_values_than_yes_and_no_exclude_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = read(
        tmp_path, {"c.csv": f"{HEAD},present,verified\na.wav,1,2,A a,0,no\na.wav,3,4,B b,3,by Ann\n"}, "a.wav"
    )
    assert times(contents) == {"a": [(1, 2, "A a"), (3, 4, "B b")]}
    assert capsys.readouterr().out == ""


VIEWS = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("1\tWaveform 1\t5\t6\tA a\n1\tSpectrogram 1\t5\t6\tA a\n", [(5, 6, "A a")]),
        ("1\tWaveform 1\t5\t6\tA a\n1\tSpectrogram 1\t5\t6\t\n", [(5, 6, "A a")]),
        ("1\tWaveform 1\t5\t6\t\n1\tSpectrogram 1\t5\t6\tA a\n", [(5, 6, "A a")]),
        ("1\tWaveform 1\t5\t6\tA a\n1\tSpectrogram 1\t20\t21\tB b\n", [(5, 6, "A a"), (20, 21, "B b")]),
        ("1\tWaveform 1\t5\t6\tA a\n1\tSpectrogram 1\t5\t6\tB b\n", [(5, 6, "A a"), (5, 6, "B b")]),
    ],
)
def test_views_of_a_selection_are_merged_only_if_they_agree(tmp_path: Path, rows: str, found: Sung) -> None:
    contents = read(tmp_path, {"a.txt": VIEWS + rows}, "a.wav")
    assert (times(contents), contents.failures) == ({"a": found}, [])


@pytest.mark.parametrize(
    "headings", ["species,species", "species,species 2", "species_1,species_2", "Species,Species.1", "label,label2"]
)
def test_further_columns_of_species(tmp_path: Path, headings: str) -> None:
    contents = read(
        tmp_path, {"c.csv": f"file,start,end,{headings}\na.wav,1,2,A a,B b\na.wav,3,4,,C c\na.wav,5,6,B b,\n"}, "a.wav"
    )
    assert (times(contents), contents.failures) == (
        {"a": [(1, 2, "A a"), (1, 2, "B b"), (3, 4, "C c"), (5, 6, "B b")]},
        [],
    )


def test_classes_with_numbers_are_not_species_columns(tmp_path: Path) -> None:
    contents = read(tmp_path, {"c.csv": "file,start,end,label 1,label 2\na.wav,1,2,1,0\na.wav,3,4,1,1\n"}, "a.wav")
    assert times(contents) == {"a": [(1, 2, "label 1"), (3, 4, "label 1"), (3, 4, "label 2")]}


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("A a; B b", ["A a", "B b"]),
        ("Parus major|Turdus merula", ["Parus major", "Turdus merula"]),
        ("amerob;comrav", ["amerob", "comrav"]),
        ("Turdus merula, Parus major", ["Parus major", "Turdus merula"]),
        ("Wren, Winter", ["Wren, Winter"]),
        ("Turdus merula, Eurasian Blackbird", ["Turdus merula, Eurasian Blackbird"]),
        ("A a;", ["A a"]),
        ("song; (b)", ["song; (b)"]),
    ],
)
def test_several_species_in_a_cell(tmp_path: Path, cell: str, found: list[str]) -> None:
    contents = read(tmp_path, {"c.csv": f'{HEAD}\na.wav,1,2,"{cell}"\n'}, "a.wav")
    assert ([species for _, _, species in times(contents)["a"]], contents.failures) == (found, [])


def test_the_separator_of_the_table_does_not_split_cells(tmp_path: Path) -> None:
    contents = read(tmp_path, {"c.csv": 'file;start;end;species\na.wav;1;2;"A a; B b"\n'}, "a.wav")
    assert times(contents) == {"a": [(1, 2, "A a; B b")]}


def test_an_unknown_species_beside_a_known_one(tmp_path: Path) -> None:
    contents = read(tmp_path, {"c.csv": f"{HEAD}\na.wav,1,2,A a; ?\n"}, "a.wav")
    assert (times(contents), unsure(contents)) == ({"a": [(1, 2, "A a")]}, {"a"})
    assert reasons(contents) == {"c.csv": "1 annotation has no species"}


def test_commas_in_quotation_marks(tmp_path: Path) -> None:
    rows = 'a.wav,"1,5","2,5",A a\na.wav,3,4,B b\na.wav,"7,125","0:08,500",A a\n'
    contents = read(tmp_path, {"c.csv": f"{HEAD}\n{rows}"}, "a.wav")
    assert (times(contents), contents.failures) == ({"a": [(1.5, 2.5, "A a"), (3, 4, "B b"), (7.125, 8.5, "A a")]}, [])


def test_a_comma_that_may_stand_for_thousands(tmp_path: Path) -> None:
    contents = read(tmp_path, {"c.csv": f'{HEAD}\na.wav,"1,500","2,500",A a\na.wav,3,4,B b\n'}, "a.wav")
    assert times(contents) == {"a": [(3, 4, "B b")]}
    assert reasons(contents) == {"c.csv line 2": "its start '1,500' is not a number"}


def test_kaleidoscopes_noid_is_not_a_species(tmp_path: Path) -> None:
    table = "IN FILE,OFFSET,DURATION,MANUAL ID\na.wav,1,2,NoID\na.wav,5,1,A a\nb.wav,1,1,Noise\nc.wav,1,1,NoID\n"
    contents = read(tmp_path, {"id.csv": table}, "a.wav", "b.wav", "c.wav")
    assert (times(contents), unsure(contents)) == ({"a": [(5, 6, "A a")], "b": []}, {"a"})
    assert reasons(contents) == {
        "id.csv": "2 annotations have no species",
        "c.wav": "has no usable annotation",
    }


@pytest.mark.parametrize("column", ["site", "locality", "place", "quality"])
def test_a_time_of_day_is_not_a_start(tmp_path: Path, column: str) -> None:
    for name in ("A a/1.wav", "B b/2.wav"):
        read(
            tmp_path,
            {"recordings.csv": f"file,species,{column},time\nA a/1.wav,A a,x,06:10\nB b/2.wav,B b,y,06:20\n"},
            name,
        )
    assert not is_annotations(tmp_path)
