"""Annotated long recordings are read, whichever program wrote the tables; a bad row does not affect the others."""

import csv
import errno
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config import Columns
from tests.conftest import write_tables
from utils.console import UserError
from utils.files import DEVICES
from utils.recordings.annotations import is_annotations, read_annotations
from utils.recordings.recording import Contents, Event, Recording, Taxon

USUAL = Columns()
RAVEN = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")
RAVEN_FILES = ("Begin Path", "File Offset (s)", "Begin File")
ZENODO = "Filename,Start Time (s),End Time (s),Low Freq (Hz),High Freq (Hz),Species eBird Code\n"
BIRDNET = "Start (s),End (s),Scientific name,Common name,Confidence,File\n"
KALEIDOSCOPE = (
    "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence,lat,lon,week,overlap,sensitivity\n"
)


def read(archive: Path, tables: Mapping[str, str | bytes], *sounds: str, columns: Columns = USUAL) -> Contents:
    return read_annotations(write_tables(archive, tables, *sounds), columns)


def raven(*rows: Sequence[object], more: Sequence[str] = ("Species",)) -> str:
    """Write a selection table as Raven Pro does."""
    return "".join("\t".join(map(str, cells)) + "\n" for cells in ((*RAVEN, *more), *rows))


def reasons(contents: Contents) -> dict[str, str]:
    found = {failure.name: failure.reason for failure in contents.failures}
    assert len(found) == len(contents.failures)
    assert all("\n" not in name + reason and len(reason) < 250 for name, reason in found.items())
    return found


def events(contents: Contents) -> dict[str, tuple[Event, ...]]:
    return {recording.name: recording.events for recording in contents.recordings}


def test_raven_writes_a_selection_once_per_view(tmp_path: Path) -> None:
    table = raven(
        (1, "Waveform 1", 1, "6.709509878", "15.096397225", "", "", "", "Turdus merula"),
        (1, "Spectrogram 1", 1, "6.709509878", "15.096397225", "1739.012", "3798.813", "-75.87", "Turdus merula"),
        (2, "Waveform 1", 1, "1.5", "2.25", "1587.060", "4136.485", "", "Parus  major "),
        (2, "Spectrogram 1", 1, "1.5", "2.25", "1587.060", "4136.485", "-75.64", "Parus  major "),
        (3, "Waveform 1", 1, "0.5", "1", "1587.060", "4136.485", "", "?"),
        (3, "Spectrogram 1", 1, "0.5", "1", "1587.060", "4136.485", "-75.64", "?"),
        more=("Avg Power Density (dB FS/Hz)", "Annotation"),
    )
    name = "S4A_20210712_063000"
    contents = read(tmp_path, {f"{name}.Table.1.selections.txt": table.replace("\n", "\r\n")}, f"{name}.wav")
    assert contents.description == "long recordings with annotations (Raven selection tables)"
    assert contents.taxa == []
    assert reasons(contents) == {f"{name}.Table.1.selections.txt": "1 annotation has no species"}
    assert contents.recordings == [
        Recording(
            name=name,
            file=tmp_path / f"{name}.wav",
            species="",
            events=(
                Event(1.5, 2.25, "Parus major", 1587.06, 4136.485),
                Event(6.709509878, 15.096397225, "Turdus merula", 1739.012, 3798.813),
            ),
            date="2021-07-12",
            time="06:30",
            locality="S4A",
            unsure=True,
        )
    ]


@pytest.mark.parametrize(
    "label",
    ["Species", "species", "Annotation", "Species Code", "Common Name", "label", "Label", "Scientific Name", "Code"],
)
def test_raven_tables_with_other_headings_of_the_label(tmp_path: Path, label: str) -> None:
    contents = read(
        tmp_path,
        {"tape.selections.txt": raven((1, "Spectrogram 1", 1, 1, 2, 500, 900, "amerob"), more=(label,))},
        "tape.wav",
    )
    assert (events(contents), contents.failures) == ({"tape": (Event(1.0, 2.0, "amerob", 500.0, 900.0),)}, [])


def test_raven_tables_of_several_files_count_the_time_through_all_of_them(tmp_path: Path) -> None:
    table = raven(
        (
            1,
            "Spectrogram 1",
            1,
            1.25,
            2.5,
            500,
            900,
            "L:\\Field Work\\2011\\a_20111107_000000.wav",
            "1.25",
            "a_20111107_000000.wav",
            "amerob",
        ),
        (2, "Spectrogram 1", 1, 3610.5, 3611.25, 500, 900, "L:\\Field Work\\2011\\b.wav", "10.5", "b.wav", "amerob"),
        (3, "Spectrogram 1", 1, 3620, 3621, 500, 900, "L:\\Field Work\\2011\\b.wav", "", "b.wav", "amerob"),
        more=(*RAVEN_FILES, "Species"),
    )
    contents = read(tmp_path, {"all.selections.txt": table}, "deep/a_20111107_000000.wav", "b.wav")
    assert list(events(contents)) == ["a_20111107_000000", "b"]
    assert contents.failures == []
    assert events(contents) == {
        "a_20111107_000000": (Event(1.25, 2.5, "amerob", 500.0, 900.0),),
        "b": (Event(10.5, 11.25, "amerob", 500.0, 900.0), Event(3620.0, 3621.0, "amerob", 500.0, 900.0)),
    }


def test_raven_tables_may_name_the_sound_by_its_path_alone(tmp_path: Path) -> None:
    table = raven(
        (1, "Spectrogram 1", 1, 61, 63, 0, 15000, "C:\\x\\tape.wav", 1.0, "Turdus merula"),
        more=("Begin Path", "File Offset (s)", "Common Name"),
    )
    assert events(read(tmp_path, {"BirdNET_SelectionTable.txt": table}, "tape.wav")) == {
        "tape": (Event(1.0, 3.0, "Turdus merula", 0.0, 15000.0),)
    }


def test_one_row_per_selection_is_used_in_each_file(tmp_path: Path) -> None:
    views = {"a.wav": ("Waveform 1", "Waveform 2"), "b.wav": ("Waveform 2", "Waveform 3")}
    rows = [(1, view, 1, 0, 1, 500, 900, file, "amerob") for file in views for view in views[file]]
    loose = [("", view, 1, 7, 8 + start, 500, 900, "b.wav", "amerob") for start, view in enumerate(views["b.wav"])]
    contents = read(tmp_path, {"all.txt": raven(*rows, *loose, more=("Begin File", "Species"))}, "a.wav", "b.wav")
    assert {name: [(event.start, event.end) for event in found] for name, found in events(contents).items()} == {
        "a": [(0, 1)],
        "b": [(0, 1), (7, 8), (7, 9)],
    }


def test_raven_quotes_nothing_but_r_does(tmp_path: Path) -> None:
    plain = raven(
        (1, "Spectrogram 1", 1, 1, 2, 500, 900, '"Robin" song'), (2, "Spectrogram 1", 1, 3, 4, 500, 900, '"Wren')
    )
    quoted = (
        '"Selection"\t"View"\t"Begin Time (s)"\t"End Time (s)"\t"Species"\n'
        '"1"\t"Spectrogram 1"\t1\t2\t"the ""Robin"""\n'
    )
    contents = read(tmp_path, {"a.txt": plain, "b.txt": quoted}, "a.wav", "b.wav")
    assert contents.failures == []
    assert [[event.species for event in found] for found in events(contents).values()] == [
        ['"Robin" song', '"Wren'],
        ['the "Robin"'],
    ]


def test_raven_tables_without_labels_are_reported(tmp_path: Path) -> None:
    contents = read(
        tmp_path, {"tape.txt": raven((1, "Spectrogram 1", 1, 1, 2, 500, 900, "x"), more=("Measured",))}, "tape.wav"
    )
    there = "Selection, View, Channel, Begin Time (s), End Time (s), Low Freq (Hz), High Freq (Hz), Measured"
    assert reasons(contents) == {
        "tape.txt": f"no column for species; the columns are {there} (set dataset.columns.species)",
        "tape.wav": "is in no annotation table",
    }


def test_audacity_writes_frequencies_in_a_second_line(tmp_path: Path) -> None:
    table = (
        "\ufeff1.000000\t1.000000\tpoint at 6928 Hz\n\\\t6928.456055\t6928.456055\n"
        "2.000000\t2.500000\tno lowest\n\\\t-1.000000\t6334.588867\n"
        "3.000000\t3.500000\tno highest\n\\\t8908.015625\t-1.000000\n"
        "4,000000\t4,500000\tcomma\ttab\n"
        "5.000000\t6.000000\t\n\\\t1484.669312\t2969.338523\n"
        "7.000000\t8.000000\n"
    )
    contents = read(tmp_path, {"tape1_labels.txt": table}, "tape1.flac")
    assert contents.description == "long recordings with annotations (Audacity labels)"
    assert reasons(contents) == {"tape1_labels.txt": "2 annotations have no species"}
    assert contents.recordings == [
        Recording(
            name="tape1",
            file=tmp_path / "tape1.flac",
            species="",
            events=(
                Event(1.0, 1.0, "point at 6928 Hz", 6928.456055, 6928.456055),
                Event(2.0, 2.5, "no lowest", None, 6334.588867),
                Event(3.0, 3.5, "no highest", 8908.015625, None),
                Event(4.0, 4.5, "comma tab"),
            ),
            unsure=True,
        )
    ]


def test_one_csv_for_all_recordings_and_the_names_of_species_beside_it(tmp_path: Path) -> None:
    rows = [
        "K_20211201_060000.flac,12.5,12.5,,,combul2",
        "K_20211201_060000.flac,3.25,3.25,0.0,0.0,????",
        "K_20211201_060000.flac,3.5,4,1200,4800.5,tamdov1",
    ]
    species = (
        "Species eBird Code,Scientific Name,Common Name\ncombul2,Pycnonotus barbatus,Common Bulbul\n"
        "tamdov1,Turtur tympanistria,Tambourine Dove\n????,,\n"
    )
    tables = {"annotations.csv": "\ufeff" + ZENODO + "\n".join(rows), "species.csv": species}
    contents = read(tmp_path, tables, "audio/K_20211201_060000.flac", "audio/K_20211202_060000.flac")
    assert contents.description == "long recordings with annotations (CSV)"
    assert contents.taxa == [
        Taxon("Pycnonotus barbatus", "combul2", "Common Bulbul"),
        Taxon("Turtur tympanistria", "tamdov1", "Tambourine Dove"),
    ]
    assert reasons(contents) == {
        "annotations.csv": "1 annotation has no species",
        "audio/K_20211202_060000.flac": "is in no annotation table",
    }
    assert contents.recordings == [
        Recording(
            name="K_20211201_060000",
            file=tmp_path / "audio" / "K_20211201_060000.flac",
            species="",
            events=(Event(3.5, 4.0, "tamdov1", 1200.0, 4800.5), Event(12.5, 12.5, "combul2")),
            date="2021-12-01",
            time="06:00",
            locality="K",
            unsure=True,
        )
    ]


@pytest.mark.parametrize(
    ("table", "event"),
    [
        (
            'file,start,end,label,low_khz,high_khz,kind\ntape.wav,3.5,5,amerob,0.5,8.25,"human, all species"\n',
            Event(3.5, 5.0, "amerob", 500.0, 8250.0),
        ),
        ("file,start,end,label,low_khz,high_khz,kind\ntape.wav,3.5,5,amerob,,,human\n", Event(3.5, 5.0, "amerob")),
        (
            "file,start,end,scientific_name,from_recording,snr_db\ntape.wav,3.5,5,Pica pica,x/XC1.ogg,10.7\n",
            Event(3.5, 5.0, "Pica pica"),
        ),
        ("file,start,end,species\ntape.wav,3.5,5,Pica pica\n", Event(3.5, 5.0, "Pica pica")),
        (BIRDNET + "3.5,5,Pica pica,Eurasian Magpie,0.9237,C:\\night\\tape.wav\n", Event(3.5, 5.0, "Pica pica")),
        (
            KALEIDOSCOPE + "/night,one,tape.wav,3.5,1.5,Pica pica,Eurasian Magpie,0.9,-1,-1,-1,0,1\n",
            Event(3.5, 5.0, "Pica pica"),
        ),
        (
            "file;start;end;species;low freq [Hz]\ntape.wav;3,5;5;Pica pica;1200,5\n",
            Event(3.5, 5.0, "Pica pica", 1200.5),
        ),
        ("file\tstart\tend\tspecies\ntape.wav\t3.5\t5\tPica pica\n", Event(3.5, 5.0, "Pica pica")),
        ('"file", START ,"Duration (s)",Species\ntape.wav,3.5,1.5,Pica pica\n', Event(3.5, 5.0, "Pica pica")),
        ("file,onset,offset,species\ntape.wav,3.5,5,Pica pica\n", Event(3.5, 5.0, "Pica pica")),
        ("file,start,end,duration,species\ntape.wav,3.5,5,600,Pica pica\n", Event(3.5, 5.0, "Pica pica")),
        ("recording,time,ebird_code\ntape.wav,3.5,eurmag1\n", Event(3.5, 3.5, "eurmag1")),
        ("audio_file,begin_time,end_time,class\ntape.wav,3.5,,eurmag1\n", Event(3.5, 3.5, "eurmag1")),
        ("file,start,end,species\ntape.wav,00:59:58,1:00:02.125,Pica pica\n", Event(3598.0, 3602.125, "Pica pica")),
        ("file,start,end,species\ntape.wav,0:05,75:30,Pica pica\n", Event(5.0, 4530.0, "Pica pica")),
        ("file,start,end,species,low,high\ntape.wav,1e1,.5e2,Pica pica,NaN,-1\n", Event(10.0, 50.0, "Pica pica")),
        ("file,start,end,species,notes\ntape.wav,3.5,5,Pica pica\n", Event(3.5, 5.0, "Pica pica")),
        ("file,start,species,end\n\n,,,\ntape.wav,3.5,Pica pica,5,,\n", Event(3.5, 5.0, "Pica pica")),
    ],
)
def test_usual_headings_are_recognised(tmp_path: Path, table: str, event: Event) -> None:
    for text in (table, "\ufeff" + table.replace("\n", "\r\n")):
        contents = read(tmp_path, {"annotations.csv": text}, "tape.wav")
        assert (events(contents), contents.failures) == ({"tape": (event,)}, [])
        assert is_annotations(tmp_path)


def test_settings_name_columns_with_unusual_headings(tmp_path: Path) -> None:
    table = "snd,t0,len,who,species,lowest kHz\ntape.wav,3.5,1.5,Pica pica,bird,0.5\n"
    columns = Columns(file="snd", start="t0", duration="LEN", species="Who", low="lowest kHz")
    write_tables(tmp_path, {"calls.csv": table, "species.csv": "code,scientific_name\neurmag1,Pica pica\n"}, "tape.wav")
    assert (is_annotations(tmp_path), is_annotations(tmp_path, columns)) == (False, True)
    contents = read_annotations(tmp_path, columns)
    assert (events(contents), contents.taxa, contents.failures) == (
        {"tape": (Event(3.5, 5.0, "Pica pica", 500.0),)},
        [Taxon("Pica pica", "eurmag1")],
        [],
    )


@pytest.mark.parametrize(
    "columns", [Columns(species="sp"), Columns(file="file", start="sp"), Columns(end="sp"), Columns(high="sp")]
)
def test_a_column_in_the_settings_must_exist(tmp_path: Path, columns: Columns) -> None:
    kind = next(kind for kind, name in vars(columns).items() if name == "sp")
    write_tables(
        tmp_path,
        {
            "a/calls.csv": "file,start,label\ntape.wav,3.5,Pica pica\n",
            "a/species.csv": "code,scientific_name\nx,Pica pica\n",
        },
        "tape.wav",
    )
    with pytest.raises(
        UserError,
        match=rf"/a/calls\.csv: has no column sp \(dataset\.columns\.{kind}\); the columns are file, start, label$",
    ):
        read_annotations(tmp_path, columns)


def test_without_annotation_tables_the_most_likely_table_is_reported(tmp_path: Path) -> None:
    write_tables(
        tmp_path,
        {"a.csv": "code,name\nx,y\n", "b.csv": "snd,t0,who\ntape.wav,1,x\n", "c.csv": "who,what\nx,y\n"},
        "tape.wav",
    )
    with pytest.raises(
        UserError, match=r"/b\.csv: has no column t_0x \(dataset\.columns\.start\); the columns are snd, t0, who$"
    ):
        read_annotations(tmp_path, Columns(file="snd", start="t_0x", species="who"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tape1.wav", "a/tape1.wav"),
        ("TAPE1.WAV", "a/tape1.wav"),
        ("tape1", "a/tape1.wav"),
        ("tape1.flac", "a/tape1.wav"),
        ("D:\\Birds\\Field 1\\tape1.wav", "a/tape1.wav"),
        ("../../../tape1.wav", "a/tape1.wav"),
        ("/etc/tape1.wav", "a/tape1.wav"),
        ("tape1.2", "a/tape1.2.wav"),
        ("tape1.2.wav", "a/tape1.2.wav"),
        ("Drossel ü.wav", "a/Drossel u\u0308.wav"),
        ("two  spaces.wav", "a/two  spaces.wav"),
        ("both.wav", "a/both.wav"),
        ("both.flac", "a/both.flac"),
        ("both", "a/both.flac"),
        ("old", "a/old.ogg"),
        ("b/twin.wav", "b/twin.wav"),
        ("x\\y\\C\\twin.wav", "c/twin.wav"),
        ("near.wav", "tables/near.wav"),
        ("CASE.wav", "c/CASE.wav"),
        ("Case.wav", 2),
        ("tape1.3", None),
        ("tape", None),
        ("tape11.wav", None),
        ("a/", None),
        ("../../../../etc/passwd", None),
        ("twin.wav", 2),
        ("y/twin.wav", 2),
    ],
)
def test_how_tables_name_audio_files(tmp_path: Path, text: str, found: str | int | None) -> None:
    sounds = [
        "tape1.wav",
        "tape1.2.wav",
        "Drossel u\u0308.wav",
        "two  spaces.wav",
        "both.wav",
        "both.flac",
        "old.m4a",
        "old.ogg",
        "near.wav",
    ]
    places = [
        *(f"a/{name}" for name in sounds),
        "b/twin.wav",
        "c/twin.wav",
        "b/case.wav",
        "c/CASE.wav",
        "tables/near.wav",
    ]
    contents = read(
        tmp_path, {"tables/calls.csv": f"file,start,species\n{text},1,Pica pica\n{text},2,Pica pica\n"}, *places
    )
    assert [recording.file for recording in contents.recordings] == (
        [tmp_path / found] if isinstance(found, str) else []
    )
    reason = f"but the number of such files is {found}" if isinstance(found, int) else "which was not found"
    assert reasons(contents).get("tables/calls.csv") == (
        None if isinstance(found, str) else f"names {text!r}, {reason} (2 rows)"
    )


@pytest.mark.parametrize(
    ("table", "sound"),
    [
        ("tape1.txt", "tape1.wav"),
        ("tape1.Table.1.selections.txt", "tape1.wav"),
        ("tape1_labels.txt", "tape1.wav"),
        ("TAPE1 (2).TXT", "tape1.wav"),
        ("tape1.b.selections.txt", "tape1.b.wav"),
        ("tape1-b.selections.txt", "tape1.wav"),
        ("tape11.txt", "tape11.wav"),
        ("a/tape1.b.txt", "a/tape1.wav"),
        ("a/tape11.txt", "tape11.wav"),
        ("one/labels/twin.txt", "one/sounds/twin.wav"),
        ("two/labels/twin.txt", "two/sounds/twin.wav"),
        ("tape12.txt", None),
        ("tap.txt", None),
        ("Label Track.txt", None),
        ("twin.txt", 2),
    ],
)
def test_tables_belong_to_the_audio_files_after_which_they_are_named(
    tmp_path: Path, table: str, sound: str | int | None
) -> None:
    sounds = ["tape1.wav", "tape1.b.wav", "tape11.wav", "a/tape1.wav", "one/sounds/twin.wav", "two/sounds/twin.wav"]
    contents = read(tmp_path, {table: "1\t2\tPica pica\n"}, *sounds)
    assert [recording.file for recording in contents.recordings] == (
        [tmp_path / sound] if isinstance(sound, str) else []
    )
    reason = f"is named after {sound} audio files" if sound else "neither names an audio file nor is named after one"
    assert reasons(contents).get(table) == (None if isinstance(sound, str) else reason)
    assert is_annotations(tmp_path) is (sound is not None)


def test_two_audio_files_with_one_name(tmp_path: Path) -> None:
    labels = "1\t2\tPica pica\n"
    contents = read(tmp_path, {"a/tape.txt": labels, "b/tape.txt": labels}, "a/tape.wav", "b/tape.wav", "c/tape.wav")
    assert [(recording.name, recording.file) for recording in contents.recordings] == [
        ("tape", tmp_path / split / "tape.wav") for split in "ab"
    ]
    assert reasons(contents) == {"c/tape.wav": "is in no annotation table"}


def test_several_tables_of_one_audio_file_are_merged(tmp_path: Path) -> None:
    tables = {
        "tape.Table.1.selections.txt": raven(
            (1, "Spectrogram 1", 1, 5, 6, 500, 900, "b"), (2, "Spectrogram 1", 1, 5, 6, 500, 900, "b")
        ),
        "tape_labels.txt": "5\t6\ta\n5\t6\tb\n1\t9\tc\n",
        "calls.csv": "file,start,end,species\ntape.wav,5,5.5,c\n",
    }
    contents = read(tmp_path, tables, "tape.wav")
    assert contents.description == "long recordings with annotations (Raven selection tables, Audacity labels, CSV)"
    assert contents.failures == []
    assert [(event.start, event.end, event.species) for event in contents.recordings[0].events] == [
        (1, 9, "c"),
        (5, 5.5, "c"),
        (5, 6, "a"),
        (5, 6, "b"),
    ]


def test_each_bad_row_is_refused_alone(tmp_path: Path) -> None:
    bad = {
        "tape.wav,-1,5,a": "starts 1 s before the recording",
        "tape.wav,5,4.5,a": "ends before it starts",
        "tape.wav,nan,5,a": "its start 'nan' is not a number",
        "tape.wav,1,NaN,a": "its end 'NaN' is not a number",
        "tape.wav,1,inf,a": "its end 'inf' is not a number",
        "tape.wav,1,1e999,a": "its end '1e999' is not a number",
        "tape.wav,,5,a": "its start '' is not a number",
        "tape.wav,one,5,a": "its start 'one' is not a number",
        "tape.wav,1_0,50,a": "its start '1_0' is not a number",
        "tape.wav,٣,5,a": "its start '٣' is not a number",
        "tape.wav,1:60,90,a": "its start '1:60' is not a number",
        "tape.wav,0:75:00,9000,a": "its start '0:75:00' is not a number",
        'tape.wav,"1,500",5,a': "its start '1,500' is not a number",  # or 1500
        "tape.wav,1,5,a/b": "cannot use the species name: 'a/b' holds '/', "
        "which file names cannot hold on every system",
        "tape.wav,1,5,..": "cannot use the species name: '..' begins with a dot",
        "tape.wav,1,5,\x1b[2Ja": "cannot use the species name: '\\x1b[2Ja' holds '\\x1b', "
        "which file names cannot hold on every system",
        "tape.wav,1,5,Wren, Winter,,x": "has 7 values, but the table has 6 columns",
        "tape.wav,1,5,a,x": "its frequency 'x' is not a number",
        "tape.wav,1,5,a,900,500": "its highest frequency is below its lowest",
        'tape.wav,1,5,"a': "broken quoting",
        'tape.wav,1,5,"a"b': "broken quoting",
        "tape.wav,1,5,Blåmes\udc81": "is not UTF-8",
        ",1,5,a": "names no audio file",
        f"tape.wav,{'x' * 1000},5,a": f"its start '{'x' * 189}…",
    }
    good = [f"tape.wav,{100 + number},200,good" for number in range(len(bad))]
    lines = [line for pair in zip(bad, good, strict=True) for line in pair]
    table = "file,start,end,species,low,high\n" + "\n".join(lines)
    contents = read(tmp_path, {"calls.csv": table.encode("utf-8", "surrogateescape")}, "tape.wav")
    assert [event.start for event in events(contents)["tape"]] == [100.0 + number for number in range(len(bad))]
    assert reasons(contents) == {
        f"calls.csv line {2 + 2 * number}": reason for number, reason in enumerate(bad.values())
    }


def test_bad_rows_of_raven_and_audacity(tmp_path: Path) -> None:
    selections = raven(
        (1, "Spectrogram 1", 1, 2, 1, 500, 900, "a"),
        (2, "Spectrogram 1", 1, 1, 2, 500, 900),
        (3, "Spectrogram 1", 1, 1, 2, 500, 900, "", "b"),
    )
    labels = "1\t2\ta\n\nx\t2\ta\n\\\t500\t900\n3\tonly\n3\t2\ta\n"
    contents = read(tmp_path, {"a.selections.txt": selections, "b.txt": labels}, "a.wav", "b.wav")
    assert events(contents) == {"b": (Event(1.0, 2.0, "a"),)}
    assert reasons(contents) == {
        "a.selections.txt line 2": "ends before it starts",
        "a.selections.txt": "1 annotation has no species",
        "a.selections.txt line 4": "has 9 values, but the table has 8 columns",
        "a.wav": "has no usable annotation",
        "b.txt line 3": "its start 'x' is not a number",
        "b.txt": "1 annotation has no species",
        "b.txt line 6": "ends before it starts",
    }


def test_offsets_into_a_file_are_looked_at_too(tmp_path: Path) -> None:
    rows = [(1, "Spectrogram 1", 1, 61, 63, 0, 9, "tape.wav", offset, "a") for offset in ("-2.5", "x", 7)]
    contents = read(
        tmp_path,
        {
            "all.txt": raven(
                *[(number, *row[1:]) for number, row in enumerate(rows)],
                more=("Begin File", "File Offset (s)", "Species"),
            )
        },
        "tape.wav",
    )
    assert events(contents) == {"tape": (Event(7.0, 9.0, "a", 0.0, 9.0),)}
    assert reasons(contents) == {
        "all.txt line 2": "starts 2.5 s before the recording",
        "all.txt line 3": "its offset 'x' is not a number",
    }


def test_lines_are_counted_as_editors_do(tmp_path: Path) -> None:
    table = '\n\nfile,start,species,notes\n\ntape.wav,1,Pica pica,"over\r\ntwo \u2028lines"\ntape.wav,x,Pica pica,\n'
    contents = read(tmp_path, {"calls.csv": table}, "tape.wav")
    assert (len(events(contents)["tape"]), list(reasons(contents))) == (1, ["calls.csv line 7"])


def test_an_open_quote_does_not_swallow_the_table(tmp_path: Path) -> None:
    rows = "".join(f'tape.wav,{second},Pica pica,"3" board"\n' for second in range(500))
    table = f'file,start,species,notes\ntape.wav,9999,Pica pica,"open\n{rows.replace(chr(34), "")}'
    contents = read(tmp_path, {"calls.csv": table}, "tape.wav")
    assert (len(events(contents)["tape"]), reasons(contents)) == (500, {"calls.csv line 2": "broken quoting"})


def test_labels_that_name_nothing_are_counted(tmp_path: Path) -> None:
    table = (
        "file,start,species\n"
        + "".join(f"tape.wav,{start},{label}\n" for start, label in enumerate(["", "????", " ? ", "a", "a?", "x"]))
        + "tape.wav,x,??\n"
    )
    contents = read(tmp_path, {"calls.csv": table}, "tape.wav")
    assert [event.species for event in events(contents)["tape"]] == ["a", "a?", "x"]
    assert reasons(contents) == {"calls.csv": "4 annotations have no species"}


@pytest.mark.parametrize(
    ("labels", "species"),
    [
        (["nocall"], "Noise"),
        (["Noise", "No  Bird"], "Noise"),
        (["nocall", "a"], ""),
        (["nocall", "????"], None),
        (["nocall", "a/b"], None),
        (["nocall", "late"], None),
        (["????"], None),
        ([], "Noise"),
    ],
)
def test_only_recordings_with_nothing_but_nocall_are_noise(
    tmp_path: Path, labels: list[str], species: str | None
) -> None:
    rows = "".join(f"{'x' if label == 'late' else 1}\t2\t{label}\n" for label in labels)
    header = "Begin Time (s)\tEnd Time (s)\tSpecies\n"  # so that a table without rows has a form, too
    contents = read(tmp_path, {"tape.txt": header + rows}, "tape.wav")
    assert [recording.species for recording in contents.recordings] == ([] if species is None else [species])
    assert [event.species for found in events(contents).values() for event in found] == (["a"] if "a" in labels else [])
    assert reasons(contents).get("tape.wav") == ("has no usable annotation" if species is None else None)


def test_audio_files_that_cannot_be_used(tmp_path: Path) -> None:
    table = "file,start,species\ntape.m4a,1,a\nodd:name.wav,1,a\n" + "gone.wav,1,a\n" * 17 + "lost.wav,x,a\n"
    contents = read(
        tmp_path, {"calls.csv": table}, "tape.m4a", "odd:name.wav", "deep/alone.wav", ".cache/tape.wav", ".tape.wav"
    )
    assert [recording.name for recording in contents.recordings] == ["odd%3Aname"]
    assert [(failure.name, failure.reason) for failure in contents.failures] == [
        ("calls.csv", "names 'gone.wav', which was not found (17 rows)"),
        ("calls.csv", "names 'lost.wav', which was not found (1 row)"),
        ("deep/alone.wav", "is in no annotation table"),
        ("tape.m4a", ".m4a cannot be read; convert it to FLAC, WAV, Ogg or MP3"),
    ]


def test_other_files_are_not_reported(tmp_path: Path) -> None:
    tables: dict[str, str | bytes] = {
        "README.txt": 'file, start and species are in calls.csv\n"Quoted, and never closed',
        "LICENCE.txt": '"Hear, hear\n',
        "empty.csv": "",
        "blank.txt": "\n \n",
        "commas.csv": ",,,\n,,\n",
        "binary.csv": bytes(range(256)),
        "recordings.csv": "file,scientific_name,date,time\ntape.wav,Pica pica,2020-01-01,06:30\n",
        ".hidden.csv": "file,start,species\ntape.wav,1,hidden\n",
        ".cache/calls.csv": "file,start,species\ntape.wav,1,hidden\n",
        "calls.json": "file,start,species\ntape.wav,1,hidden\n",
    }
    contents = read(tmp_path, tables, "tape.wav")
    assert (contents.description, contents.recordings) == ("long recordings with annotations (no tables)", [])
    assert reasons(contents) == {"tape.wav": "is in no annotation table"}
    assert not is_annotations(tmp_path)


def test_damaged_tables_are_one_line(tmp_path: Path) -> None:
    tables = {
        "open.csv": '"file,start,species\ntape.wav,1,a\n',
        "deep/species.csv": b"code,scientific_name\nx,\x81\ny,Pica pica\n",
        "other.csv": b"scientific_name,seconds\n\x81,1\n",
        "latin.csv": b"code,scientific_name,\x81\n",
        "tape.txt": "1\t2\ta\n",
    }
    contents = read(tmp_path, tables, "tape.wav")
    assert events(contents) == {"tape": (Event(1.0, 2.0, "a"),)}
    assert contents.taxa == [Taxon("Pica pica", "y")]
    assert reasons(contents) == {
        "open.csv": "cannot be read as a table (broken quoting in its headings)",
        "deep/species.csv line 2": "is not UTF-8",
        "latin.csv": "is not UTF-8",
    }


def test_tables_that_cannot_be_opened_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_tables(
        tmp_path, {"a.txt": "1\t2\ta\n", "b.txt": "1\t2\ta\n", "c.txt": "1\t2\ta\n"}, "a.wav", "b.wav", "c.wav"
    )
    fine, seen = Path.open, set()

    def opened(path: Path, mode: str, **more: Any) -> IO[Any]:
        """Refuse to open a.txt, and b.txt after the first time, when its layout is read."""
        if path.name == "a.txt" or path in seen:
            raise PermissionError(errno.EACCES, "Permission denied")
        seen.update([path] if path.name == "b.txt" else [])
        return fine(path, mode, **more)

    monkeypatch.setattr(Path, "open", opened)
    (archive / "d.txt").symlink_to("nowhere")
    contents = read_annotations(archive, USUAL)
    assert (list(events(contents)), is_annotations(archive)) == (["c"], True)
    assert reasons(contents) == {
        "a.txt": "cannot be read (Permission denied)",
        "b.txt": "cannot be read (Permission denied)",
        "d.txt": "cannot be read (No such file or directory)",
        "a.wav": "is in no annotation table",
        "b.wav": "is in no annotation table",
    }


@pytest.mark.parametrize(
    ("table", "text", "known"),
    [
        ("tape.selections.txt", raven(), True),
        ("selections.txt", raven(), True),
        ("elsewhere/selections.txt", raven(), False),
        ("elsewhere/tape.selections.txt", raven(), True),
        ("elsewhere/selections.txt", raven(more=("Begin File", "Species")), True),
        ("tape.selections.txt", raven(more=()), False),
        ("tape_labels.txt", "1.5\t2.5\ta\n", True),
        ("elsewhere/tape.txt", "1.5\t2.5\n", True),
        ("labels.txt", "1.5\t2.5\ta\n", False),
        ("calls.csv", "file,start,label\n", True),
        ("calls.csv", ZENODO, True),
        ("calls.csv", "start,end,label\n", False),
        ("tape.csv", "start,end,label\n", True),
        ("calls.csv", "file,label\n", False),
        ("calls.csv", "file,start,end\n", False),
        ("calls.csv", "filename,time,species\n", True),
        ("recordings.csv", "filename,time,species,latitude\n", False),
        ("metadata.csv", "primary_label,date,time,filename\n", False),
        ("recordings.csv", "split,scientific_name,file,author,licence,original_seconds,seconds\n", False),
        ("species.csv", "Species eBird Code,Scientific Name,Common Name\n", False),
        ("calls.json", "file,start,label\n", False),
    ],
)
def test_which_folders_are_recognised(tmp_path: Path, table: str, text: str, known: bool) -> None:
    write_tables(tmp_path, {table: text})
    assert not is_annotations(tmp_path)  # without sound
    write_tables(tmp_path, {}, "Pica_pica/tape.wav" if table == "tape.csv" else "tape.wav")
    assert is_annotations(tmp_path) is known


def test_folders_of_species_are_not_annotations(archive: Path) -> None:
    write_tables(
        archive,
        {
            "recordings.csv": "file,scientific_name,seconds\n",
            "Altus clarus/notes.txt": "sings, and how\n",
            "Altus clarus/A0.txt": "seen\t3\n",
        },
    )
    assert not is_annotations(archive)


def test_real_soundscapes(birds: Path) -> None:
    folder = birds / "soundscapes"
    table = pl.read_csv((folder / "annotations.csv").read_bytes())
    contents = read_annotations(folder, USUAL)
    assert is_annotations(folder)
    assert contents.description == "long recordings with annotations (CSV)"
    assert set(reasons(contents).values()) <= {"is in no annotation table"}
    assert sorted(recording.file.name for recording in contents.recordings) == sorted(table["file"].unique())
    assert sorted(reasons(contents)) == sorted({file.name for file in folder.glob("*.flac")} - set(table["file"]))
    for recording in contents.recordings:
        of_it = table.filter(pl.col("file") == recording.file.name).sort("start", "end", "label")
        assert [event.species for event in recording.events] == of_it["label"].to_list()
        assert [(event.start, event.end) for event in recording.events] == list(
            of_it.select("start", "end").iter_rows()
        )
        assert [event.low for event in recording.events] == [
            low and pytest.approx(1000 * low) for low in of_it["low_khz"]
        ]
        assert [event.high for event in recording.events] == [
            high and pytest.approx(1000 * high) for high in of_it["high_khz"]
        ]
    stamps = {recording.name: (recording.date, recording.time) for recording in contents.recordings}
    assert stamps["W54431S25613_20191102_055000"] == ("2019-11-02", "05:50")
    assert stamps["spinetail"] == ("", "")


def test_real_mixed_soundscapes(birds: Path) -> None:
    folder = birds / "mixed_soundscapes"
    table = pl.read_csv((folder / "annotations.csv").read_bytes())
    contents = read_annotations(folder, USUAL)
    assert (is_annotations(folder), contents.failures) == (True, [])
    found = [
        (recording.file.name, event.start, event.end, event.species)
        for recording in contents.recordings
        for event in recording.events
    ]
    assert found == sorted(table.select("file", "start", "end", "scientific_name").iter_rows())


def test_real_metadata_tables_are_not_annotations(birds: Path, tmp_path: Path) -> None:
    tables = {name: (birds / name).read_bytes() for name in ("recordings.csv", "noise.csv")}
    assert not is_annotations(write_tables(tmp_path, tables, "recordings.wav", "noise.wav"))
    assert not is_annotations(birds / "train")


def is_name(text: str) -> bool:
    """Tell whether a text can be a species, and is not in quotation marks, which R puts around values."""
    noise = ("noise", "nocall", "noid", "no id", "no call", "no bird", "no birds", "background", "silence")
    several = ";" in text or re.fullmatch(r"[^,]+(,[^,]+)+", text)  # which may stand between two species
    return (
        not several
        and bool(text.strip("? "))
        and text[0] not in '."'
        and text.lower() not in noise
        and not DEVICES.fullmatch(text)
    )


letters = st.characters(categories=("L", "N"), include_characters=" ',.;()\"-&?äöüßéñ")
labels = (
    st.text(letters, min_size=1, max_size=20)
    .map(lambda text: unicodedata.normalize("NFC", " ".join(text.split())))
    .filter(is_name)
)
seconds = st.floats(0, 1e5) | st.integers(0, 3600).map(float)
bands = st.tuples(st.none() | st.floats(0, 1e4), st.none() | st.floats(1e4, 1e5))
made = st.builds(
    lambda start, length, species, band: Event(start, start + length, species, *band), seconds, seconds, labels, bands
)
lists = st.lists(made, min_size=1, max_size=6, unique_by=lambda event: (event.start, event.end, event.species))


def text_of(number: float | None, *, unknown: str = "") -> str:
    return unknown if number is None else repr(number)


def as_raven(found: Sequence[Event]) -> str:
    rows = [(event.start, event.end, text_of(event.low), text_of(event.high), event.species) for event in found]
    return raven(
        *[(number, view, 1, *row) for number, row in enumerate(rows, 1) for view in ("Waveform 1", "Spectrogram 1")]
    )


def as_audacity(found: Sequence[Event]) -> str:
    frequencies = [
        f"\\\t{text_of(event.low, unknown='-1.000000')}\t{text_of(event.high, unknown='-1.000000')}\n"
        for event in found
    ]
    return "".join(
        f"{event.start!r}\t{event.end!r}\t{event.species}\n{line}"
        for event, line in zip(found, frequencies, strict=True)
    )


def as_csv(found: Sequence[Event], separator: str) -> str:
    stream = io.StringIO()
    table = csv.writer(stream, delimiter=separator)
    table.writerow(["high (Hz)", "species", "end", "start", "file", "low (Hz)"])
    table.writerows(
        [text_of(event.high), event.species, event.end, event.start, "tape.wav", text_of(event.low)] for event in found
    )
    return stream.getvalue()


@settings(max_examples=60)
@example([Event(0.0, 1e-7, 'Rüppell\'s "Warbler", song (b)', None, 1e4), Event(0.0, 1e-7, "nocalls")])
@given(lists)
def test_written_archives_round_trip(found: list[Event]) -> None:
    comma, semicolon, tab = (as_csv(found, separator) for separator in ",;\t")
    tables = {
        "tape.selections.txt": as_raven(found),
        "tape.txt": as_audacity(found),
        "a.csv": comma,
        "b.csv": semicolon,
        "c.tsv": tab,
    }
    for name, text in tables.items():
        with TemporaryDirectory() as folder:
            contents = read(Path(folder), {name: text}, "tape.wav")
        assert contents.failures == []
        assert events(contents) == {
            "tape": tuple(sorted(found, key=lambda event: (event.start, event.end, event.species)))
        }


@settings(max_examples=100)
@given(
    st.binary(max_size=200),
    st.sampled_from(["", "file,start,species\n", "Begin Time (s)\tSpecies\n", "1\t2\ta\n"]),
    st.sampled_from(["tape.txt", "tape.csv"]),
)
def test_any_bytes_are_read_without_an_exception(content: bytes, begin: str, name: str) -> None:
    with TemporaryDirectory() as folder:
        archive = write_tables(Path(folder), {name: begin.encode() + content}, "tape.wav")
        is_annotations(archive)
        assert len(read_annotations(archive, USUAL).recordings) <= 1
