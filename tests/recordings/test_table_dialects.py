"""Tables of many programs, in any encoding, are read; nothing is lost silently."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config import Columns
from tests.conftest import write_tables
from utils.encodings import decoded, undecoded
from utils.recordings.annotations import is_annotations, read_annotations
from utils.recordings.recording import Contents, Event
from utils.recordings.table_problems import explain
from utils.tables import read_foreign, without_preamble

USUAL = Columns()
PLAIN = "file,start,end,species\ntape.wav,3.5,5,Drosera ü\n"
WANTED = {"tape": [(3.5, 5.0, "Drosera ü")]}
CLUSTER = "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmin,Fmean,Fmax,DATE,TIME,HOUR,"
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"


def read(archive: Path, tables: Mapping[str, str | bytes], *sounds: str, columns: Columns = USUAL) -> Contents:
    """Read an archive; every table and every audio file must be used or reported."""
    write_tables(archive, tables, *sounds)
    contents = read_annotations(archive, columns)
    told = {failure.name for failure in contents.failures}
    assert contents.seen >= {archive / name for name in told if (archive / name).is_file()}
    assert contents.seen >= {archive / sound for sound in sounds}
    assert {recording.file.relative_to(archive).as_posix() for recording in contents.recordings} | told >= set(sounds)
    assert contents.tables.keys() >= {recording.file for recording in contents.recordings}
    return contents


def times(contents: Contents) -> dict[str, list[tuple[float, float, str]]]:
    return {
        recording.name: [(event.start, event.end, event.species) for event in recording.events]
        for recording in contents.recordings
    }


def reasons(contents: Contents) -> list[tuple[str, str]]:
    return [(failure.name, failure.reason) for failure in contents.failures]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_every_encoding_and_every_end_of_line(
    tmp_path: Path, encoding: str, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = PLAIN.replace("\n", end).encode(encoding)
    contents = read(tmp_path, {"calls.csv": content}, "tape.wav")
    assert (times(contents), contents.failures, is_annotations(tmp_path)) == (WANTED, [], True)
    told = capsys.readouterr().err.split("\n")[:-1]
    assert [" ".join(line.split()[-6:]) for line in told] == (
        ["is not UTF-8; read as Windows-1252"] if encoding == "cp1252" else []
    )


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_big_endian_has_its_mark_too(mark: bytes) -> None:
    encoding = "utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"
    assert decoded(mark + "añ\n𝄞".encode(encoding)).lines == ["añ\n", "𝄞"]


def test_encodings_by_hand() -> None:
    assert decoded(b"M\xe4h \x80\nM\xc3\xa4h\n\x81\n").lines == ["Mäh €\n", "Mäh\n", "\udc81\n"]
    assert decoded("Blåmes ".encode() + b"\xf6").lines == ["Blåmes ö"]  # put together from two sources
    assert decoded(b"\x00\xff\x01").lines == ["\x00\udcff\x01"]  # no text at all
    assert decoded(b"M\xe4h", guess=False).lines == ["M\udce4h"]
    assert (decoded(b"plain").guessed, decoded(b"M\xe4h").guessed, decoded(b"\x81").guessed) == (False, True, False)
    assert [undecoded(text) for text in ("plain ü", "\udc81", "\ud834")] == [False, True, True]
    assert undecoded(decoded(b"\xff\xfea\x00b").lines[0])  # half a letter is missing
    assert decoded(b"").lines == []


def test_all_tables_from_other_programs_are_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for encoding in ("utf-16", "cp1252"):
        file = tmp_path / f"{encoding}.csv"
        file.write_bytes("code,name\nx,Drosera ü\n".encode(encoding))
        assert list(read_foreign(file).rows.values()) == [{"code": "x", "name": "Drosera ü"}]
    assert capsys.readouterr().err.count("cp1252.csv: is not UTF-8; read as Windows-1252") == 1


def test_a_row_that_cannot_be_decoded_does_not_affect_others(tmp_path: Path) -> None:
    contents = read(tmp_path, {"calls.csv": PLAIN.encode() + b"tape.wav,1,2,\x81\x8d\n"}, "tape.wav")
    assert (times(contents), reasons(contents)) == (WANTED, [("calls.csv line 3", "is not UTF-8")])
    assert contents.recordings[0].unsure


@pytest.mark.parametrize(
    "before",
    [
        "sep=,\n",
        '"sep=,"\r\n',
        "SEP=,\n",
        "# made by hand\n#\n\n",
        "#file, start, end, species are below\n",
        "sep=,\n# a comment, too\n",
    ],
)
def test_lines_above_the_headings(tmp_path: Path, before: str) -> None:
    contents = read(tmp_path, {"calls.csv": before + PLAIN + "tape.wav,x,2,a\n"}, "tape.wav")
    assert times(contents) == WANTED
    line = before.count("\n") + 3  # as editors count
    assert reasons(contents) == [(f"calls.csv line {line}", "its start 'x' is not a number")]


def test_excel_declares_its_separator(tmp_path: Path) -> None:
    odd = "sep=;\nfile;start,s;end;the,species,here\ntape.wav;3,5;5;Drosera ü\n"  # more commas than semicolons
    assert (
        times(
            read(tmp_path, {"calls.csv": odd}, "tape.wav", columns=Columns(start="start,s", species="the,species,here"))
        )
        == WANTED
    )
    tabs = "sep=\t\n" + PLAIN.replace(",", "\t")
    assert times(read(tmp_path / "2", {"calls.csv": tabs}, "tape.wav")) == WANTED
    assert without_preamble(["sep=\t\n", "a\n"]) == (["\n", "a\n"], "\t")
    (tmp_path / "species.csv").write_text("sep=;\ncode;name\nx;y, z\n")
    assert read_foreign(tmp_path / "species.csv").rows == {"species.csv line 3": {"code": "x", "name": "y, z"}}


@pytest.mark.parametrize(
    "table",
    [
        "#file,start,end,species\ntape.wav,3.5,5,Drosera ü\n",
        "file|start|end|species\ntape.wav|3.5|5|Drosera ü\n",
        "label,onset_s,offset_s,notated_path,annot_path,sequence,annotation\n"
        "Drosera ü,3.5,5,x/tape.wav,x/tape.csv,0,0\n",
        "onset_s,offset_s,label,audio_path\n3.5,5,Drosera ü,tape.wav\n",
        CLUSTER
        + "TOP1MATCH,TOP1DIST,MANUAL ID\n/d,,tape.wav,0,3.5,1.5,1,2,3,2023-06-10,02:51:00,02,wrong,0.5,Drosera ü\n",
        CLUSTER + "TOP1MATCH*,TOP1DIST\n/d,,tape.wav,0,3.5,1.5,1,2,3,2023-06-10,02:51:00,02,Drosera ü,0.5\n",
        "FOLDER,IN FILE,OFFSET,DURATION,AUTO ID*\n,tape.wav,3.5,1.5,Drosera ü\n",
        "filepath,start,end,scientific_name,common_name,confidence,lat,lon,week,overlap,sensitivity,"
        "min_conf,species_list,model\n"
        "C:\\x\\tape.wav,3.5,5,Drosera ü,Sundew,0.9,-1,-1,-1,0,1,0.1,,V2.4\n",
        "input,start_time,end_time,species_name,confidence\ntape.wav,00:00:03.5,00:00:05.00,Drosera ü,0.9\n",
        "audio_file,annotation_file,annotation,start_time,end_time,low_f,high_f\n"
        "tape.wav,tape.txt,Drosera ü,3.5,5,1000,2000\n",
        '"","sound.files","selec","start","end","species","bottom.freq"\n"1","tape.wav",1,3.5,5,"Drosera ü",2\n',
        "file,start_ms,end_ms,species\ntape.wav,3500,5000,Drosera ü\n",
        "file,Begin Time - msec,Begin Time - hh:mm:ss.ms,End Time - ss.msec,species\n"
        "tape.wav,3500,0:00:03.5,5.0,Drosera ü\n",
        "TIME,VALUE,DURATION,LABEL,file\n3.5,1000,1.5,Drosera ü,tape.wav\n",
    ],
)
def test_columns_of_programs(tmp_path: Path, table: str) -> None:
    contents = read(tmp_path, {"calls.csv": table}, "tape.wav")
    assert (times(contents), contents.failures, is_annotations(tmp_path)) == (WANTED, [], True)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (
            "tape.BirdNET.results.csv",
            "Start (s),End (s),Scientific name,Common name,Confidence\n3.5,5,Drosera ü,Sundew,0.9\n",
        ),
        ("tape.csv", "onset_s,offset_s,label\n3.5,5,Drosera ü\n"),
        ("tape.wav.csv", "onset_s,offset_s,label\n3.5,5,Drosera ü\n"),
        ("tape.csv", "tmin,tier,text,tmax\n3.5,birds,Drosera ü,5\n"),
        ("tape.csv", "3.5,1.5,Drosera ü\n"),
        ("tape.csv", "3.5,1000,1.5,Drosera ü\n"),
        ("tape.csv", "3.5,1000,1.5,0.8,Drosera ü\n"),
        ("tape.txt", "3.5\t1000\t1.5\tDrosera ü\n"),
        ("tape_labels.txt", "3.5\t5\tDrosera ü\t0.8912\n"),
        ("tape_labels.txt", "3,5\t5,0\tDrosera ü\t0,89\t\n"),
        ("tape_labels.txt", "3.5\t5\tDrosera ü,\t89%\n"),
        ("tape.tab", PLAIN.replace(",", "\t")),
    ],
)
def test_tables_that_are_named_after_their_audio_file(tmp_path: Path, name: str, table: str) -> None:
    contents = read(tmp_path, {name: table}, "tape.wav")
    assert (times(contents), contents.failures, is_annotations(tmp_path)) == (WANTED, [], True)
    assert contents.tables == {tmp_path / "tape.wav": (name,)}


def test_birdnets_labels_for_audacity_name_the_species_twice(tmp_path: Path) -> None:
    table = "0\t3.0\tTurdus merula, Eurasian Blackbird\t0.8912\n3\t6\tTurdus merula, song\n6\t9\t7\n9\t12\tcomma\ttab\n"
    found = [(0.0, 3.0, "Turdus merula"), (3.0, 6.0, "Turdus merula, song"), (6.0, 9.0, "7"), (9.0, 12.0, "comma tab")]
    assert times(read(tmp_path, {"tape.BirdNET.results.txt": table}, "tape.wav")) == {"tape": found}


def test_birdnets_names_and_its_rows_without_birds(tmp_path: Path) -> None:
    head = RAVEN + "Common Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)\n"
    nobody = head + "1\tSpectrogram 1\t1\t0\t3\t0\t15000\tnocall\tnocall\t1.0\t/x/quiet.wav\t0\n"
    some = head + "1\tSpectrogram 1\t1\t63\t66\t0\t15000\tEurasian Blackbird\teurbla\t0.12\t/x/tape.wav\t3\n"
    both = (
        "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
        "0,3,Turdus merula_Eurasian Blackbird,x,0.1,/x/third.wav\n"
    )
    contents = read(
        tmp_path,
        {"q.txt": nobody, "t.txt": some, "BirdNET_CombinedTable.csv": both},
        "quiet.wav",
        "tape.wav",
        "third.wav",
    )
    assert times(contents) == {"quiet": [], "tape": [(3.0, 6.0, "eurbla")], "third": [(0.0, 3.0, "Turdus merula")]}
    assert contents.recordings[0].species == "Noise"


def test_a_layer_of_times_and_words_alone(tmp_path: Path) -> None:
    contents = read(tmp_path, {"tape.csv": '3.5,Drosera ü\n4,"Wren, winter"\n5,Wren, Winter\n6,\n'}, "tape.wav")
    assert times(contents) == {"tape": [(3.5, 3.5, "Drosera ü"), (4.0, 4.0, "Wren, winter")]}
    assert reasons(contents) == [
        ("tape.csv line 3", "has 3 values, but the table has 2 columns"),
        ("tape.csv", "1 annotation has no species"),
    ]
    assert contents.description == "long recordings with annotations (Sonic Visualiser layers)"


def test_ends_and_durations_are_distinguished_without_headings(tmp_path: Path) -> None:
    ends = "1.0,2.5,a\n4.0,5.0,b\n9.5,9.75,a\n"
    assert times(read(tmp_path, {"tape.csv": ends}, "tape.wav"))["tape"] == [
        (1.0, 2.5, "a"),
        (4.0, 5.0, "b"),
        (9.5, 9.75, "a"),
    ]
    lengths = "1.0,2.5,a\n4.0,5.0,b\n9.5,0.75,a\n"
    assert times(read(tmp_path / "2", {"tape.csv": lengths}, "tape.wav"))["tape"] == [
        (1.0, 3.5, "a"),
        (4.0, 9.0, "b"),
        (9.5, 10.25, "a"),
    ]


def test_lists_with_numbers_are_not_layers(tmp_path: Path) -> None:
    tables = {"classes.csv": "0,amerob\n1,norcar\n", "tape_labels.txt": "1\t2\ta\n"}
    contents = read(tmp_path, tables, "tape.wav")
    assert (times(contents), contents.failures) == ({"tape": [(1.0, 2.0, "a")]}, [])
    assert tmp_path / "classes.csv" not in contents.seen
    assert explain(tmp_path / "classes.csv", USUAL) == ""


def test_one_column_per_class(tmp_path: Path) -> None:
    rows = (
        "a.wav,0,5,1,0,False,1",
        "a.wav,5,10,1,1,,0",
        "b.wav,0,5,0,0,0,1",
        "b.wav,5,10,0.0,false,0,0",
        "c.wav,0,5,nan,0,0,1",
        "a.wav,10,15,0.7,0,0,1",
    )
    table = "file,start_time,end_time,Turdus merula,Parus major,noise,reviewed\n" + "\n".join(rows * 3) + "\n"
    contents = read(
        tmp_path, {"clips.csv": table.replace("a.wav,10,15,0.7", "a.wav,10,15,0", 2)}, "a.wav", "b.wav", "c.wav"
    )
    assert times(contents) == {
        "a": [(0.0, 5.0, "Turdus merula"), (5.0, 10.0, "Parus major"), (5.0, 10.0, "Turdus merula")],
        "b": [],
    }
    assert [(recording.species, recording.unsure) for recording in contents.recordings] == [
        ("", True),
        ("Noise", False),
    ]
    assert reasons(contents) == [
        ("clips.csv line 19", "class value '0.7' is neither 0 nor 1"),
        ("clips.csv", "3 annotations have no species"),
        ("c.wav", "has no usable annotation"),
    ]


@pytest.mark.parametrize(
    "table",
    [
        "file,start,end,amerob,norcar\ntape.wav,0,5,0.93,0.01\ntape.wav,5,10,0.02,0.4\n",  # scores
        "file,start,end,reviewed,channel\ntape.wav,0,5,1,0\n",
        "file,start,end,who\ntape.wav,0,5,1\n".replace(",who", ",verified"),
        "file,week,Turdus merula\ntape.wav,1,1\n",  # no times
        "file,start,end,Turdus merula\ntape.wav,0,5,\n",
    ],
)
def test_columns_of_numbers_that_are_not_classes(tmp_path: Path, table: str) -> None:
    write_tables(tmp_path, {"clips.csv": table}, "tape.wav")
    assert not is_annotations(tmp_path)
    assert explain(tmp_path / "clips.csv", USUAL).startswith("not read as annotations: no column")


def test_a_class_whose_first_1_comes_late_is_recognised(tmp_path: Path) -> None:
    # more than is looked at first
    early = "".join(f"{'far/' * 40}tape.wav,{second},{second + 1},1,\n" for second in range(400))
    table = f"file,start,end,a,b\n{early}tape.wav,5000,5001,0,1\n"
    assert len(table) > 70_000
    found = times(read(tmp_path, {"clips.csv": table}, "tape.wav"))["tape"]
    assert (len(found), found[-1]) == (401, (5000.0, 5001.0, "b"))


def test_a_folder_of_two_recorders(tmp_path: Path) -> None:
    kaleidoscope = (
        "INDIR,FOLDER,IN FILE,OFFSET,DURATION,MANUAL ID\n"
        "D:\\s,AM00,1.wav,1,1,a\nD:\\s,AM01,1.wav,1,1,b\nD:\\s\\AM01,,1.wav,5,1,b\n"
    )
    contents = read(tmp_path, {"cluster.csv": kaleidoscope}, "AM00/1.wav", "AM01/1.wav")
    assert [
        (recording.name, recording.file.parent.name, [event.species for event in recording.events])
        for recording in contents.recordings
    ] == [
        ("1", "AM00", ["a"]),
        ("1", "AM01", ["b", "b"]),
    ]
    assert contents.failures == []


def test_a_file_in_another_folder_is_not_mistaken_for_the_existing_one(tmp_path: Path) -> None:
    rows = "AM00/1.wav,1,a\nAM01/1.wav,2,b\n1.wav,3,c\nD:\\s\\AM00\\1.wav,4,d\n./1.wav,5,e\n"
    contents = read(tmp_path, {"calls.csv": "file,start,species\n" + rows}, "AM00/1.wav")
    assert [event.species for event in contents.recordings[0].events] == ["a", "c", "d", "e"]
    assert reasons(contents) == [("calls.csv", "names 'AM01/1.wav', which was not found (1 row)")]
    neither = read(tmp_path / "2", {"calls.csv": "file,start,species\nX/1.wav,1,a\nY/1.wav,2,b\n"}, "1.wav")
    assert [reason for _, reason in reasons(neither)] == [
        *(
            f"names '{folder}/1.wav': the table names several such files, but only one was found (1 row)"
            for folder in "XY"
        ),
        "is in no annotation table",
    ]


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("x-birdnet-16:09:08.wav", "x-birdnet-16:09:08.wav"),
        ("/home/pi/x-birdnet-16:09:08.wav", "x-birdnet-16:09:08.wav"),
        ("x-birdnet-16:09:08.mp3", "x-birdnet-16:09:08.wav"),
        ("x-birdnet-16:09:08.wav", "x-birdnet-16_09_08.wav"),
        ("x-birdnet-16_09_08.wav", "x-birdnet-16:09:08.wav"),
        ("x-birdnet-16:09:08.wav", "x-birdnet-16%3A09%3A08.wav"),
        ("x-birdnet-16:09:08.wav", "x-birdnet-16\uf03a09\uf03a08.wav"),
        ("file:///x/My%20Sound.wav", "My Sound.wav"),
        ("a\\b.wav", "a\\b.wav"),
        ("D:\\x\\b.wav", "b.wav"),
        ("a-b.wav", None),
        ("c:d.wav", 2),
    ],
)
def test_names_that_not_every_system_allows(tmp_path: Path, text: str, file: str | int | None) -> None:
    sounds = [file] if isinstance(file, str) else ["a_b.wav", "c-d.wav", "c_d.wav"]
    contents = read(tmp_path, {"calls.csv": f"file,start,species\n{text},1,a\n"}, *sounds)
    assert [recording.file.name for recording in contents.recordings] == ([file] if isinstance(file, str) else [])
    if not isinstance(file, str):
        reason = f"but the number of such files is {file}" if file else "which was not found"
        assert reasons(contents)[0] == ("calls.csv", f"names {text!r}, {reason} (1 row)")


@pytest.mark.parametrize(
    ("table", "text", "noise"),
    [
        ("tape.Table.1.selections.txt", RAVEN + "Species\n", True),
        ("tape.Table.1.selections.txt", RAVEN + "\n", True),  # Raven has no column of labels before somebody adds one
        ("tape.Table.1.selections.txt", RAVEN + "Begin File\tSpecies\n", True),
        ("labels/tape.Table.1.selections.txt", RAVEN + "Species\n", True),
        ("tape.BirdNET.results.csv", "Start (s),End (s),Scientific name,Common name,Confidence\n", True),
        ("tape.csv", "file,start,end,species\n", True),
        ("tape.csv", "sep=;\r\nstart;end;species\r\n;;\r\n", True),
        ("tape.csv", "file,start,end,species\n".encode("utf-16"), True),
        ("tape_labels.txt", "", True),
        ("tape.labels.txt", "\n \n", True),
        ("tape.txt", b"\xef\xbb\xbf", True),
        ("tape.txt", b"\xff\xfe", True),
        ("tape.csv", "", True),
        ("TAPE.TXT", "", True),
        ("tape.Table.1.selections.txt", "", True),
        ("tape.BirdNET.selection.table.txt", "", True),
        ("labels/tape.txt", "", False),
        ("tape-notes.txt", "", False),
        ("tape.old.txt", "", False),
        ("calls.csv", "file,start,end,species\n", False),
        ("Selections.txt", RAVEN + "Species\n", False),
        ("tape.txt", "heard nobody\n", False),
    ],
)
def test_an_empty_table_means_no_species(tmp_path: Path, table: str, text: str | bytes, noise: bool) -> None:
    contents = read(tmp_path, {"other.txt": "1\t2\ta\n", table: text}, "tape.wav", "other.wav")
    assert [(recording.name, recording.species) for recording in contents.recordings] == [
        ("other", ""),
        *([("tape", "Noise")] if noise else []),
    ]
    if noise:
        assert contents.failures == []
        assert contents.tables[tmp_path / "tape.wav"] == (table,)
    else:
        assert ("tape.wav", "is in no annotation table") in reasons(contents)
    assert noise is (tmp_path / table in contents.seen) or table in dict(reasons(contents))


def test_an_empty_table_beside_others(tmp_path: Path) -> None:
    empty = {f"{name}.Table.2.selections.txt": RAVEN + "Species\n" for name in ("sung", "bad", "blank")}
    tables = {**empty, "sung.txt": "1\t2\ta\n", "bad.txt": "2\t1\ta\n", "blank.txt": ""}
    contents = read(tmp_path, tables, "sung.wav", "bad.wav", "blank.wav")
    assert [(recording.name, recording.species, len(recording.events)) for recording in contents.recordings] == [
        ("blank", "Noise", 0),
        ("sung", "", 1),
    ]
    assert reasons(contents) == [
        ("bad.txt line 1", "ends before it starts"),
        ("bad.wav", "has no usable annotation"),
    ]
    assert contents.tables[tmp_path / "sung.wav"] == ("sung.Table.2.selections.txt", "sung.txt")


def test_unusable_rows_make_the_recording_unsure(tmp_path: Path) -> None:
    tables = {
        "a.txt": "1\t2\tx\n3\t4\t?\n",
        "b.txt": "1\t2\tx\n4\t3\tx\n",
        "c.txt": "1\t2\tx\n",
        "d.txt": "1\t2\tx\n",
        "d.csv": '"start,species\n1,open\n',
        "e.txt": "1\t2\tx\n",
        "e.selections.txt": RAVEN + "Measured\n1\tSpectrogram 1\t1\t5\t6\t0\t9\t7\n",
    }
    contents = read(tmp_path, tables, *(f"{name}.wav" for name in "abcde"))
    assert {recording.name: recording.unsure for recording in contents.recordings} == {
        "a": True,
        "b": True,
        "c": False,
        "d": True,
        "e": True,
    }


def test_folders_of_species_with_empty_notes_stay_class_folders(tmp_path: Path) -> None:
    write_tables(
        tmp_path, {"Parus major/0.txt": "", "Parus major/0_labels.txt": ""}, "Parus major/0.wav", "Turdus merula/1.wav"
    )
    assert not is_annotations(tmp_path)


def test_a_table_is_found_after_many_texts(tmp_path: Path) -> None:
    write_tables(
        tmp_path, {**{f"a{number}.txt": "It sings, and how\n" for number in range(150)}, "z.csv": PLAIN}, "tape.wav"
    )
    assert is_annotations(tmp_path)


begins = [
    "",
    "file,start,end,species\n",
    "Begin Time (s)\tSpecies\n",
    "1\t2\ta\n",
    "1,2,a\n",
    "sep=;\n",
    "#\n",
    "file,start,end,a,b\n",
    "\ufeff",
    "{",
    "[{",
]
pieces = st.lists(
    st.sampled_from(
        ["tape.wav", "1", "0", "nan", ",", "\t", ";", "\n", "\r", '"', "#", "sep=", "\\", "\0", "?", "ü", "\ufeff"]
    ),
    max_size=20,
).map("".join)


@settings(max_examples=150)
@example("file,start,end,a\n", b"tape.wav,1,2,\xff", "tape.csv", "utf-8")
@given(
    st.sampled_from(begins),
    st.binary(max_size=60) | pieces.map(str.encode),
    st.sampled_from(["tape.txt", "tape.csv", "x.tsv", "tape.json", "x.xml", "tape.wav.data", "tape.tab"]),
    st.sampled_from(["utf-8", "utf-16", "utf-16-le"]),
)
def test_any_bytes_are_read_or_explained_without_an_exception(
    begin: str, content: bytes, name: str, encoding: str
) -> None:
    with TemporaryDirectory() as folder:
        archive = write_tables(Path(folder), {name: begin.encode(encoding) + content}, "tape.wav")
        is_annotations(archive)
        contents = read_annotations(archive, USUAL)
        assert all(isinstance(event, Event) for recording in contents.recordings for event in recording.events)
        assert "\n" not in explain(archive / name, USUAL)
        rows = decoded((archive / name).read_bytes()).lines
        assert len(without_preamble(rows)[0]) == len(rows)
