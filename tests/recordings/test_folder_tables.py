"""Metadata from `metadata.csv` and `recordings.csv` are used; problems of a table are reported once for each kind."""

from pathlib import Path

import pytest

from utils.recordings.folders import read_folders
from utils.recordings.recording import Contents, Recording

FILES = ("Turdus merula/1.wav", "Turdus merula/2.wav", "Parus major/3.wav")


def read(archive: Path, table: str, name: str = "metadata.csv", files: tuple[str, ...] = FILES) -> Contents:
    for file in files:
        (archive / file).parent.mkdir(parents=True, exist_ok=True)
        (archive / file).write_bytes(b"x")
    (archive / name).write_text(table)
    return read_folders(archive)


def one(contents: Contents, name: str = "Turdus merula/1") -> Recording:
    return next(recording for recording in contents.recordings if recording.name == name)


def reasons(contents: Contents) -> list[tuple[str, str]]:
    return [(failure.name, failure.reason) for failure in contents.failures]


@pytest.mark.parametrize("name", ["Metadata.csv", "metadata.CSV", "Recordings.csv"])
def test_a_table_is_read_whatever_the_case_of_its_name(tmp_path: Path, name: str) -> None:
    contents = read(tmp_path, "file,author\nTurdus merula/1.wav,Ann\n", name)
    assert (one(contents).author, contents.failures, tmp_path / name in contents.seen) == ("Ann", [], True)


def test_rows_of_one_file_are_joined(tmp_path: Path) -> None:
    rows = (
        "Turdus merula/1.wav,Ann,,Apus apus\nTurdus merula/1.wav,,2020-01-01,Pica pica\n./Turdus merula/1.wav,Ann,,\n"
    )
    contents = read(tmp_path, f"file,author,date,background\n{rows}")
    found = one(contents)
    assert (found.author, found.date, found.background, contents.failures) == (
        "Ann",
        "2020-01-01",
        ("Apus apus", "Pica pica"),
        [],
    )


def test_rows_of_one_file_that_contradict_each_other(tmp_path: Path) -> None:
    contents = read(
        tmp_path, "file,author,date\nTurdus merula/1.wav,Ann,a\nTurdus merula/1.wav,Bob,b\nParus major/3.wav,Cy,c\n"
    )
    assert (one(contents).author, one(contents).date) == ("Ann", "a")
    assert reasons(contents) == [
        (
            "metadata.csv",
            (
                "1 row for a file that an earlier row describes differently; the first row is used, such as for the "
                "author of 'Turdus merula/1.wav'"
            ),
        )
    ]


def test_coordinates_with_commas(tmp_path: Path) -> None:
    contents = read(tmp_path, "file;latitude;longitude\nTurdus merula/1.wav;52,5;-13,4\n")
    assert (one(contents).latitude, one(contents).longitude, contents.failures) == (52.5, -13.4, [])


def test_coordinates_that_cannot_be_used_are_named_once(tmp_path: Path) -> None:
    contents = read(
        tmp_path, "file,lat,lon\nTurdus merula/1.wav,52° 30' N,13\nTurdus merula/2.wav,999,1\nParus major/3.wav,5,\n"
    )
    assert one(contents).latitude is None
    reason = (
        "3 rows with coordinates that cannot be used (they should be degrees, as 52.5 and 13.4), such as \"52° 30' N,"
        " 13\" of 'Turdus merula/1.wav'"
    )
    assert reasons(contents) == [("metadata.csv", reason)]


def test_missing_coordinates(tmp_path: Path) -> None:
    contents = read(tmp_path, "file,lat,lon\nTurdus merula/1.wav,,\nTurdus merula/2.wav,NA,NA\n")
    assert (one(contents).latitude, contents.failures) == (None, [])


def test_a_background_of_several(tmp_path: Path) -> None:
    for text in (
        "Apus apus | Pica pica",
        "Apus apus; Pica pica",
        '"Apus apus, Pica pica"',
        "\"['Apus apus', 'Pica pica']\"",
    ):
        assert one(read(tmp_path, f"file,background\nTurdus merula/1.wav,{text}\n")).background == (
            "Apus apus",
            "Pica pica",
        )


def test_another_species_than_the_folder_is_named_once(tmp_path: Path) -> None:
    rows = (
        "Turdus merula/1.wav,Parus major\nTurdus merula/2.wav,Turdus merula merula\nParus major/3.wav,Pica pica\n"
        "gone.wav,Pica pica\n"
    )
    contents = read(tmp_path, f"file,species\n{rows}")
    assert one(contents).species == "Turdus merula"
    assert reasons(contents)[1:] == [
        (
            "metadata.csv",
            (
                "2 rows with another species than the folder; the folder's species is used, such as 'Parus major' of "
                "'Turdus merula/1.wav'"
            ),
        )
    ]


@pytest.mark.parametrize(
    "said", ["Turdus merula", "turdus merula", "Turdus_merula", "Blackbird", "merula", "eurbla", "", "a/b"]
)
def test_other_names_of_the_folders_species_are_no_conflict(tmp_path: Path, said: str) -> None:
    files = ("train/Turdus merula/1.wav", "val/Turdus merula/2.wav")
    assert read(tmp_path, f"file,species\ntrain/Turdus merula/1.wav,{said}\n", files=files).failures == []


def test_rows_without_their_last_values(tmp_path: Path) -> None:
    contents = read(
        tmp_path,
        (
            "file,author,date\nTurdus merula/1.wav,Ann\nTurdus merula/2.wav,Bob,2020-01-01,\nParus major/3.wav,Cy,"
            "2020-01-01,x\n"
        ),
    )
    assert [one(contents, f"Turdus merula/{number}").author for number in (1, 2)] == ["Ann", "Bob"]
    assert reasons(contents) == [("metadata.csv line 4", "has 4 values, the table 3 columns")]


def test_a_guessed_encoding_is_reported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metadata.csv").write_bytes("file,author\nTurdus merula/1.wav,José\n".encode("cp1252"))
    (tmp_path / "Turdus merula").mkdir()
    (tmp_path / "Turdus merula" / "1.wav").write_bytes(b"x")
    read_folders(tmp_path)
    assert capsys.readouterr().err.count("is not UTF-8") == 1
