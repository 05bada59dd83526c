"""Files that look like annotations and are not read are reported with the reason; texts and checksums are not."""

import os
from pathlib import Path

import pytest

from config import Columns
from utils.recordings.annotations import is_annotations, read_annotations, why_none
from utils.recordings.table_problems import explain

USUAL = Columns()
NOT = "not read as annotations: "
SUMMARY = "".join(
    f"{row}\n"
    for row in (
        "DATE,TIME,LAT,,LON,,POWER(V),TEMP(C),#FILES,MIC0 TYPE",
        "2023-Jun-10,02:51:00, 52.50000,N, 13.40000,E,6.1,14.25,1,U2",
        "2023-Jun-10,02:52:00, 52.50000,N, 13.40000,E,6.2,14.50,1,U2",
    )
)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "t.csv",
            "file,start,end,who\nx.wav,1,2,a\n",
            "no column for species; the columns are file, start, end, who (set dataset.columns.species)",
        ),
        (
            "t.txt",
            "file,start,end,who\nx.wav,1,2,a\n",
            "no column for species; the columns are file, start, end, who (set dataset.columns.species)",
        ),
        (
            "t.csv",
            "snd,sp\ntape.wav,a\n",
            "column 'snd' holds the names of audio files: set dataset.columns.file = snd; "
            "no columns for start times and species; the columns are snd, sp "
            "(set dataset.columns.start and dataset.columns.species)",
        ),
        (
            "t.csv",
            "Datei;Anfang;Ende;Art\ntape.wav;1,0;2,0;Amsel\n",
            "column 'Datei' holds the names of audio files: set dataset.columns.file = Datei; "
            "no columns for start times and species; the columns are Datei, Anfang, Ende, Art "
            "(set dataset.columns.start and dataset.columns.species)",
        ),
        (
            "t.csv",
            "Datei;Anfang;Ende;Art\nx.wav;1,0;2,0;Amsel\nx.wav;3,0;4,0;Amsel\n",
            "no columns for start times, species and audio files; the columns are Datei, Anfang, Ende, Art "
            "(set dataset.columns.start and dataset.columns.species and dataset.columns.file)",
        ),
        (
            "t.csv",
            "Datei,start,end,species\ntape.wav,1,2,a\n",
            "column 'Datei' holds the names of audio files: set dataset.columns.file = Datei",
        ),
        (
            "t.csv",
            "start,end,species\n1,2,a\n",
            "is not named after an audio file in the archive, and no column holds file names; "
            "the columns are start, end, species (set dataset.columns.file)",
        ),
        (
            "t.csv",
            "file,t0,t1,who\nx.wav,1,2,a\n",
            "no columns for start times and species; the columns are file, t0, t1, who "
            "(set dataset.columns.start and dataset.columns.species)",
        ),
        (
            "t.csv",
            "file,label\nx.wav,a\n",
            "no column for start times; the columns are file, label (set dataset.columns.start)",
        ),
        (
            "t.csv",
            b"\xff\xfe" + "file,label\nx.wav,a\n".encode("utf-16-le"),
            "no column for start times; the columns are file, label (set dataset.columns.start)",
        ),
        (
            "t.csv",
            "sep=;\nfile;label\nx.wav;a\n",
            "no column for start times; the columns are file, label (set dataset.columns.start)",
        ),
        (
            "BirdDB.txt",
            "Date;Time;Sci_Name;Com_Name;Confidence;File_Name\n2024-01-01;06:30:00;Turdus merula;Blackbird;0.9;x.wav\n",
            "no column for start times; the columns are Date, Time, Sci_Name, Com_Name, Confidence, File_Name "
            "(set dataset.columns.start)",
        ),
        (
            "t.csv",
            "label,onset_sample,offset_sample\na,1,2\n",
            "no columns for start times and audio files; the columns are label, onset_sample, offset_sample "
            "(set dataset.columns.start and dataset.columns.file)",
        ),
        (
            "t.csv",
            "x.wav,1.5,2.5,3\ny.wav,2,3,4\n",
            "has no headings; add them as its first line, such as file,start,end,species",
        ),
        (
            "t.txt",
            "1.5;2.5;7\n2;3;7\n",
            "has no headings; add them as its first line, such as file,start,end,species",
        ),
        (
            "t.txt",
            "1.5\t2.5\t7\n2\t3\t7\n",
            "has no headings; add them as its first line, such as file,start,end,species",
        ),
        (
            "t.csv",
            "file,start,species\nx.wav,1,a\ny.wav,2,a\n",
            "names audio files that are not in the archive, such as 'x.wav'",
        ),
        (
            "t.csv",
            "file,start,species\ntape.wav,1,a\n",
            "holds annotations (CSV); set dataset.kind = annotations to use it",
        ),
        ("t.csv", "file,start,species\n", "has the headings of annotations, but no rows"),
        (
            "x.txt",
            "1\t2\ta\n",
            "holds annotations (Audacity labels), but is not named after an audio file in the archive",
        ),
        ("tape.txt", "1\t2\ta\n", "holds annotations (Audacity labels); set dataset.kind = annotations to use it"),
        ("tape.txt", "", "is empty; with dataset.kind = annotations, that means no species"),
        ("t.csv", bytes(range(128, 256)) + b"\x00", "is not text in UTF-8, UTF-16 or Windows-1252"),
        ("t.csv", '"file,start\nx,1\n', "cannot be read as a table (broken quoting in its headings)"),
        ("t.csv", "start," + ",".join(f"column{number}" for number in range(99)) + "\n1,a,b\n", None),
        (
            "t.csv",
            "Our annotations,,,\nof 2023,,,\nfile,start,end,species\ntape.wav,1,2,a\n",
            "its headings are not in its first line; remove the lines above them",
        ),
        (
            "t.csv",
            "tape.wav,2023-06-10,1.5,2.5,a\n",
            "has no headings; add them as its first line, such as file,start,end,species",
        ),
        ("t.xlsx", b"PK\x03\x04", "is a spreadsheet; save it as CSV"),
        ("T.XLS", b"", "is a spreadsheet; save it as CSV"),
        ("t.ods", b"PK", "is a spreadsheet; save it as CSV"),
        ("x.TextGrid", 'File type = "ooTextFile"\n', None),
        ("x.txt", 'File type = "ooTextFile"\nObject class = "TextGrid"\n', None),
        ("x.wav.data", '[{"Operator": "A", "Reviewer": "", "Duration": 9}, [1, 2, 0, 0, [{"species": "Kiwi"}]]]', None),
        ("x.json", '[{"annotations": [{"result": [{"from_name": "label", "value": {"start": 1}}]}]}]', None),
        ("x.json", '{"data": {"sound_event_annotations": []}}', None),
        ("x.json", '[{"onset": 1.5, "label": "a"}]', None),
        ("x.svl", "<sv>", None),
        ("x.eaf", "<ANNOTATION_DOCUMENT>", None),
        ("x.xml", "<?xml?><ANNOTATION_DOCUMENT>", None),
        ("x.aup3", b"", None),
        ("x.srt", "1\n00:00:01,000 --> 00:00:02,000\na\n", None),
        ("x.lab", "0 1 a\n", None),
        ("x.json", '{"events": [{"begin_time": "1.5", "end_time": 2}]}', None),
        ("x.not.mat", b"", None),
    ],
)
def test_what_looks_like_annotations(tmp_path: Path, name: str, content: str | bytes, reason: str | None) -> None:
    sound = write(tmp_path, "tape.wav", b"sound")
    told = explain(write(tmp_path, name, content), USUAL, [sound])
    assert told.startswith(NOT)
    assert reason is None or told == NOT + reason
    assert "\n" not in told
    assert len(told) < 350


def test_compressed_tables(tmp_path: Path) -> None:
    assert explain(write(tmp_path, "t.CSV.gz", b"PK"), USUAL) == "is a compressed table; decompress it"
    for name in ("docs.zip", "a.tar", "a.7z", "scripts.tar.gz"):
        assert explain(write(tmp_path, name, b"PK"), USUAL) == ""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.txt", "file,start,end\nare the columns,of,calls.csv\n"),
        ("README", "file,start,end\n"),
        ("readme.md", "| file | start |\n"),
        ("LICENSE.txt", "Permission, is hereby, granted\n"),
        ("licence_of_data.txt", "Hear, hear\n"),
        ("notes.txt", 'file, start and species are in calls.csv\n"Quoted, and never closed'),
        ("notes.txt", "Cloudy, with wind, from the west\nRainy, with wind, from the east\n"),
        ("notes.txt", "seen\t3\n"),
        ("notes.txt", ""),
        ("species_list.txt", "Turdus merula_Eurasian Blackbird\nParus major_Great Tit\n"),
        ("species_list.csv", "species\nTurdus merula\n"),
        ("classes.csv", "0,amerob\n1,norcar\n"),
        ("classes.txt", "1\tamerob\n2\tnorcar\n"),
        ("commas.csv", ",,,\n,,\n"),
        ("md5sums.txt", "d41d8cd98f00b204e9800998ecf8427e  tape.wav\n"),
        ("all.txt", "d41d8cd98f00b204e9800998ecf8427e\ttape.wav\nd41d8cd98f00b204e9800998ecf8427f\tb.wav\n"),
        ("sums.csv", "tape.wav,d41d8cd98f00b204e9800998ecf8427e\nb.wav,d41d8cd98f00b204e9800998ecf8427e\n"),
        ("BirdNET_analysis_params.csv", "File splitting duration,Segment length,Sample rate\n600,3.0,48000\n"),
        ("Thumbs.db", b""),
        ("XC1.json", '{"id": "1", "gen": "Turdus", "length": "0:30"}'),
        ("a.json", '{"sci-name": "x", "events": [{"start": 1, "end": 2}]}'),
        ("index.json", '{"start": 1, "name": "x"}'),
        ("package.json", '{"scripts": {"start": "node .", "end": "x"}, "label": "a"}'),
        ("a.json", b"\xff\x00"),
        ("t.csv", ""),
        ("t.csv", ",".join(f"column{number}" for number in range(99)) + "\n"),
        ("S4A01234_A_Summary.txt", SUMMARY),
        ("summary of card 3.txt", SUMMARY),
        ("sites.csv", "site,latitude,longitude,habitat\nA,42.1,83.2,wood\nB,43.1,84.2,wood\n"),
        ("plots.csv", "plot,lat,lng,trees\nA,42.1,83.2,oak\nB,43.1,84.2,oak\n"),
        ("weather.tsv", "date\ttmin\ttmax\n2023-01-01\t4\t5\n2023-01-02\t5\t6\n"),
        ("weather.csv", "date,low,high,sky\n2023-01-01,4,5,clear\n2023-01-02,5,6,clear\n"),
        ("inventory.csv", "filename,size,duration\ntape.wav,12345,60.0\nother.wav,23456,61.0\n"),
        ("inventory.csv", "Datei,Bytes,Dauer\ntape.wav,12345,60.0\nother.wav,23456,61.0\n"),
        (
            "hashes.csv",
            "path,md5,size\ntape.wav,d41d8cd98f00b204e9800998ecf8427e,5\n"
            "other.wav,d41d8cd98f00b204e9800998ecf8427e,6\n",
        ),
        ("citation.csv", "XC number,Recordist\nXC1,Ann\n"),
        ("attribution.csv", "file,author,licence\ntape.wav,Ann,CC\n"),
        (
            "species_list.csv",
            "code,scientific_name,common_name,family,order\nTM,Turdus merula,Blackbird,Turdidae,Passeriformes\n",
        ),
        (
            "meta.csv",
            "INDIR,FOLDER,IN FILE,DATE,TIME,DURATION,SAMPLE RATE\nD:\\x,Data,tape.wav,2023-06-10,02:51:00,20,16000\n",
        ),
        ("recordings.csv", "file,site,time\ntape.wav,A,06:10\n"),
        (
            "inventory.csv",
            "filename,start_time,duration\ntape.wav,2023-06-10 06:00:00,60\nother.wav,10.06.2023 07:00,60\n",
        ),
        ("log.txt", "2023-06-10 02:51:00\tstart\n2023-06-10 02:52:00\tstop\n"),
        ("log.csv", "2023-06-10,02:51:00,start\n2023-06-10,02:52:00,stop\n"),
        ("coordinates.csv", "52.5,13.4\n52.6,13.5\n"),
        ("birds.db", b"SQLite"),
        ("t.parquet", b"PAR1"),
        ("a.xml", "<Audio><FileName>x</FileName></Audio>"),
        ("x.data", b"\x00\x01"),
        ("map.png", b"\x89PNG"),
        ("script.py", "file,start = 1,2\n"),
        ("binary.txt", bytes(range(256))),
    ],
)
def test_what_does_not_look_like_annotations(tmp_path: Path, name: str, content: str | bytes) -> None:
    write(tmp_path, "tape.wav", b"sound")
    write(tmp_path, "other.wav", b"sound")
    assert explain(write(tmp_path, name, content), USUAL) == ""


def test_folders_links_and_pipes(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.csv")
    assert explain(tmp_path / "folder.csv", USUAL) == ""
    assert explain(tmp_path / "link.csv", USUAL) == f"{NOT}is a broken link"
    assert explain(tmp_path / "pipe.csv", USUAL) == f"{NOT}is not a file, but a pipe, a socket or a device"
    assert explain(tmp_path / "gone.csv", USUAL) == ""


def test_without_an_archive_the_audio_files_beside_the_table_are_used(tmp_path: Path) -> None:
    write(tmp_path, "S0/tape.wav", b"sound")
    table = write(tmp_path, "t.csv", "file,start,species\nx.wav,1,a\n")
    assert explain(table, USUAL) == f"{NOT}names audio files that are not in its folder, such as 'x.wav'"
    write(tmp_path, "t.csv", "file,start,species\nx.wav,1,a\ntape.wav,2,a\n")
    assert explain(table, USUAL) == f"{NOT}holds annotations (CSV); set dataset.kind = annotations to use it"


def test_settings_that_name_columns_are_used(tmp_path: Path) -> None:
    table = write(tmp_path, "t.csv", "snd,t0,who\nx.wav,1,a\n")
    assert (
        explain(table, Columns(start="t0", file="snd"))
        == f"{NOT}no column for species; the columns are snd, t0, who (set dataset.columns.species)"
    )


def test_why_no_table_of_an_archive_is_read(tmp_path: Path) -> None:
    for name, content in {
        "S0/tape.wav": b"",
        "README.txt": "hear, hear\n",
        "S0/t.xlsx": b"PK",
        "calls.csv": "file,start,species\ngone.wav,1,a\n",
    }.items():
        write(tmp_path, name, content)
    assert not is_annotations(tmp_path)
    assert [(failure.name, failure.reason) for failure in why_none(tmp_path, USUAL)] == [
        ("calls.csv", f"{NOT}names audio files that are not in the archive, such as 'gone.wav'"),
        ("S0/t.xlsx", f"{NOT}is a spreadsheet; save it as CSV"),
    ]


def test_every_table_is_used_or_reported(tmp_path: Path) -> None:
    tables = {
        "calls.csv": "file,start,species\ntape.wav,1,a\n",
        "species.csv": "code,scientific_name\na,Pica pica\n",
        "who.csv": "file,start,who\ntape.wav,1,a\n",
        "stations.csv": "site,latitude\nS0,47.5\n",
        "later.csv": "file,start,species\n",
        "loose.txt": "1\t2\ta\n",
        "words.csv": "1.5,a\n2.5,b\n",
        "tape.TextGrid": "",
    }
    for name, content in {**tables, "tape.wav": ""}.items():
        write(tmp_path, name, content)
    contents = read_annotations(tmp_path, USUAL)
    named = {failure.name for failure in contents.failures}
    assert named == {"who.csv", "later.csv", "loose.txt"}
    unseen = [name for name in tables if tmp_path / name not in contents.seen]
    assert unseen == ["stations.csv", "words.csv", "tape.TextGrid"]
    assert [bool(explain(tmp_path / name, USUAL)) for name in unseen] == [False, True, True]
