"""BirdCLEF archives of Kaggle are read in the format of each year; a bad row affects no other row."""

import csv
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config import Dataset
from tests.conftest import names, reasons
from utils.console import UserError
from utils.recordings.archive import read_archive
from utils.recordings.kaggle import is_kaggle, read_kaggle
from utils.recordings.recording import Contents, Event, Recording, Taxon

LICENCE = "Creative Commons Attribution-NonCommercial-ShareAlike 3.0"
HEAD_2021 = (
    "primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,date,filename,license,"
    "rating,time,url\n"
)
ROW_2021 = (
    "acafly,\"['amegfi', 'carwre']\",\"['begging call', 'call']\",35.386,-84.125,Empidonax virescens,Acadian "
    "Flycatcher,Mike Nelson,2012-08-12,"
    f"XC109605.ogg,{LICENCE},2.5,9:30,https://www.xeno-canto.org/109605\n"
)
HEAD_2022 = (
    "primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,license,rating,time,"
    "url,filename\n"
)
ROW_2022 = (
    "afrsil1,[],\"['call', 'flight call']\",12.391,-1.493,Euodice cantans,African Silverbill,Bram Piot,"
    f"{LICENCE},2.5,08:00,https://www.xeno-canto.org/125458,afrsil1/XC125458.ogg\n"
)
HEAD = (
    "primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,author,license,rating,url,"
    "filename\n"
)
ROW = (
    "asbfly,[],['call'],39.2297,118.1987,Muscicapa dauurica,Asian Brown Flycatcher,Matt Slaymaker,"
    f"{LICENCE},5.0,https://www.xeno-canto.org/134896,asbfly/XC134896.ogg\n"
)
HEAD_2025 = (
    "primary_label,secondary_labels,type,filename,collection,rating,url,latitude,longitude,scientific_name,"
    "common_name,author,license\n"
)
ROW_2025 = (
    "1139490,[''],[''],1139490/CSA36385.ogg,CSA,0.0,http://colecciones.humboldt.org.co/JDT077-13.mp3,7.3206,-73.7128,"
    "Ragoniella pulchella,Ragoniella pulchella,Fabio A. Sarria-S,cc-by-nc-sa 4.0\n"
)
HEAD_2026 = (
    "primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,class_name,inat_taxon_id,"
    "author,license,rating,url,"
    "filename,collection\n"
)
ROW_2026 = (
    "ashgre1,['22961'],[],-1.1,-2.2,Aratinga weddellii,Dusky-headed Parakeet,Aves,19030,Alice,cc-by 4.0,4.5,"
    "https://www.inaturalist.org/observations/1,ashgre1/iNat1.ogg,iNat\n"
)
LABELS_2021 = "train_soundscape_labels.csv"
LABELS_2026 = "train_soundscapes_labels.csv"
HEAD_LABELS_2021 = "row_id,site,audio_id,seconds,birds\n"
HEAD_LABELS_2026 = "filename,start,end,primary_label\n"


def write(archive: Path, tables: Mapping[str, str | bytes], *sounds: str, folder: str = "train_audio") -> Path:
    """Write an archive: what its tables say, and which sounds lie in it."""
    (archive / folder).mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (archive / name).write_bytes(text.encode() if isinstance(text, str) else text)
    for sound in sounds:
        (archive / sound).parent.mkdir(parents=True, exist_ok=True)
        (archive / sound).write_bytes(b"sound")
    return archive


def row(label: str = "asbfly", filename: str = "asbfly/XC1.ogg", *, secondary: str = "[]") -> str:
    """Write a row of 2024 of which only these values matter."""
    return f"{label},{secondary},['call'],,,,,,,,,{filename}\n"


def test_recordings_of_2021_are_in_the_folders_of_their_labels(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"train_metadata.csv": HEAD_2021 + ROW_2021},
        "train_short_audio/acafly/XC109605.ogg",
        folder="train_short_audio",
    )
    contents = read_kaggle(tmp_path)
    assert contents.description == "BirdCLEF archive from Kaggle (train_metadata.csv + train_short_audio/)"
    assert contents.failures == []
    assert contents.taxa == [Taxon("Empidonax virescens", "acafly", "Acadian Flycatcher")]
    assert contents.recordings == [
        Recording(
            name="XC109605",
            file=tmp_path / "train_short_audio" / "acafly" / "XC109605.ogg",
            species="acafly",
            background=("amegfi", "carwre"),
            class_id="acafly",
            common_name="Acadian Flycatcher",
            author="Mike Nelson",
            date="2012-08-12",
            time="9:30",
            latitude=35.386,
            longitude=-84.125,
            quality="2.5",
            licence=LICENCE,
            url="https://www.xeno-canto.org/109605",
        )
    ]


def test_recordings_of_2022_have_a_time_and_no_date(tmp_path: Path) -> None:
    (recording,) = read_kaggle(write(tmp_path, {"train_metadata.csv": HEAD_2022 + ROW_2022})).recordings
    assert recording.file == tmp_path / "train_audio" / "afrsil1" / "XC125458.ogg"
    assert (recording.species, recording.background, recording.date, recording.time) == ("afrsil1", (), "", "08:00")


def test_recordings_of_2023_and_2024(tmp_path: Path) -> None:
    contents = read_kaggle(write(tmp_path, {"train_metadata.csv": HEAD + ROW}, "train_audio/asbfly/XC134896.ogg"))
    assert contents.failures == []
    assert contents.recordings == [
        Recording(
            name="XC134896",
            file=tmp_path / "train_audio" / "asbfly" / "XC134896.ogg",
            species="asbfly",
            class_id="asbfly",
            common_name="Asian Brown Flycatcher",
            author="Matt Slaymaker",
            latitude=39.2297,
            longitude=118.1987,
            quality="5.0",
            licence=LICENCE,
            url="https://www.xeno-canto.org/134896",
        )
    ]


def test_recordings_of_2025_may_be_other_animals(tmp_path: Path) -> None:
    contents = read_kaggle(write(tmp_path, {"train.csv": HEAD_2025 + ROW_2025}))
    assert contents.description == "BirdCLEF archive from Kaggle (train.csv + train_audio/)"
    assert contents.recordings == [
        Recording(
            name="CSA36385",
            file=tmp_path / "train_audio" / "1139490" / "CSA36385.ogg",
            species="1139490",
            class_id="1139490",
            common_name="Ragoniella pulchella",
            author="Fabio A. Sarria-S",
            latitude=7.3206,
            longitude=-73.7128,
            quality="0.0",
            licence="cc-by-nc-sa 4.0",
            url="http://colecciones.humboldt.org.co/JDT077-13.mp3",
        )
    ]


def test_recordings_of_2026(tmp_path: Path) -> None:
    (recording,) = read_kaggle(write(tmp_path, {"train.csv": HEAD_2026 + ROW_2026})).recordings
    assert recording.file == tmp_path / "train_audio" / "ashgre1" / "iNat1.ogg"
    assert (recording.name, recording.species, recording.background) == ("iNat1", "ashgre1", ("22961",))
    assert (recording.latitude, recording.longitude, recording.author, recording.quality) == (
        -1.1,
        -2.2,
        "Alice",
        "4.5",
    )


@pytest.mark.parametrize(
    ("table", "folder", "known"),
    [
        ("train_metadata.csv", "train_short_audio", True),
        ("train_metadata.csv", "train_audio", True),
        ("train.csv", "train_audio", True),
        ("train.csv", "audio", False),
        ("metadata.csv", "train_audio", False),
    ],
)
def test_which_folders_are_recognised(tmp_path: Path, table: str, folder: str, known: bool) -> None:
    assert is_kaggle(write(tmp_path, {table: HEAD + ROW}, folder=folder)) is known


@pytest.mark.parametrize(
    ("text", "background"),
    [
        ("[]", ()),
        ("['']", ()),
        ("", ()),
        ("['amered']", ("amered",)),
        ("\"['amered', 'amerob', 'amered', 'asbfly', '']\"", ("amered", "amerob")),
        ('"[""o\'hara"", \'amerob\']"', ("o'hara", "amerob")),
        ("\"[ 'nocall','amerob' ] \"", ("amerob",)),
        ("\"['amered'\n 'amerob']\"", ("amered", "amerob")),
    ],
)
def test_secondary_labels(tmp_path: Path, text: str, background: tuple[str, ...]) -> None:
    (recording,) = read_kaggle(write(tmp_path, {"train_metadata.csv": HEAD + row(secondary=text)})).recordings
    assert recording.background == background


@pytest.mark.parametrize(
    "text",
    [
        "amered",
        "['amered",
        "amered']",
        "[amered]",
        f"['{'x' * 999}]",
        "['amered']]",
        "\"['amered', __import__('os')]\"",
        "['../x']",
    ],
)
def test_secondary_labels_that_are_not_a_list_of_labels(tmp_path: Path, text: str) -> None:
    contents = read_kaggle(write(tmp_path, {"train_metadata.csv": HEAD + row(secondary=text) + ROW}))
    assert names(contents) == ["XC134896"]
    assert list(reasons(contents)) == ["train_metadata.csv line 2"]
    assert "cannot" in reasons(contents)["train_metadata.csv line 2"]


def test_nocall_is_noise(tmp_path: Path) -> None:
    table = "primary_label,scientific_name,filename\n nocall ,No call,N1.ogg\n"
    contents = read_kaggle(write(tmp_path, {"train_metadata.csv": table}))
    assert [(recording.species, recording.class_id) for recording in contents.recordings] == [("Noise", "nocall")]
    assert [recording.file for recording in contents.recordings] == [tmp_path / "train_audio" / "nocall" / "N1.ogg"]
    assert contents.taxa == []


def test_invalid_coordinates_are_unknown(tmp_path: Path) -> None:
    where = ["91,0,a/1.ogg", "nan,inf,a/2.ogg", "north,-181,a/3.ogg", " -90 ,180,a/4.ogg"]
    table = "primary_label,latitude,longitude,filename\n" + "".join(f"a,{text}\n" for text in where)
    recordings = read_kaggle(write(tmp_path, {"train.csv": table})).recordings
    assert [(recording.latitude, recording.longitude) for recording in recordings] == [
        (None, 0.0),
        (None, None),
        (None, None),
        (-90.0, 180.0),
    ]


def test_each_bad_row_is_refused_alone(tmp_path: Path) -> None:
    bad = {
        "outside": (row(filename="../../etc/passwd"), "cannot use its filename: '..' begins with a dot"),
        "absolute": (
            row(filename="/etc/passwd"),
            "cannot use its filename: '' is empty, or begins or ends with a space",
        ),
        "backslash": (
            row(filename="a\\XC1.ogg"),
            "cannot use its filename: 'a\\\\XC1.ogg' holds '\\\\', which file names cannot hold on every system",
        ),
        "hidden": (row(filename="asbfly/.XC1.ogg"), "cannot use its filename: '.XC1.ogg' begins with a dot"),
        "slash": (
            row(label="as/bfly"),
            "cannot use the species name: 'as/bfly' holds '/', which file names cannot hold on every system",
        ),
        "up": (row(label="..", filename="XC1.ogg"), "cannot use the species name: '..' begins with a dot"),
        "no label": (row(label=""), "cannot use the species name: '' is empty, or begins or ends with a space"),
        "no file": (row(filename=""), "cannot use its filename: '' is empty, or begins or ends with a space"),
        "kind": (row(filename="asbfly/XC1.m4a"), ".m4a cannot be read; convert it to FLAC, WAV, Ogg or MP3"),
        "twice": (ROW, "an earlier row names the same sound"),
        "short": ("asbfly,[],['call']\n", "has 3 values, the table 12 columns"),
        "long": (ROW[:-1] + ",more\n", "has 13 values, the table 12 columns"),
        "open quote": ('"asbfly' + row()[6:], "broken quoting"),
        "torn quote": ('asbfly,"[]"x' + row()[9:], "broken quoting"),
        "endless": (row(filename="x" * 1000), f"cannot use its filename: {'x' * 40!r}… is longer than 200 bytes"),
        "no text": (ROW.replace("Slaymaker", "Hellstr\udc81m"), "is not UTF-8"),
    }
    good = [
        row("amered", f"amered/good{number}.ogg", secondary="\"['amerob', 'asbfly']\"") for number in range(len(bad))
    ]
    lines = [line for pair in zip([text for text, _ in bad.values()], good, strict=True) for line in pair]
    contents = read_kaggle(
        write(tmp_path, {"train_metadata.csv": (HEAD + ROW + "".join(lines)).encode("utf-8", "surrogateescape")})
    )
    assert names(contents) == ["XC134896", *sorted(f"good{number}" for number in range(len(bad)))]
    assert reasons(contents) == {
        f"train_metadata.csv line {3 + 2 * number}": reason for number, (_, reason) in enumerate(bad.values())
    }


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_do(tmp_path: Path, end: str) -> None:
    lines = [
        "\ufeff" + HEAD[:-1],
        "",
        row(filename="asbfly/XC2.ogg", secondary="\"['a',@'b']\"")[:-1],
        row(label="")[:-1],
        "",
        row(label=""),
    ]
    contents = read_kaggle(write(tmp_path, {"train_metadata.csv": end.join(lines).replace("@", end)}))
    assert names(contents) == ["XC2"]
    assert list(reasons(contents)) == ["train_metadata.csv line 5", "train_metadata.csv line 7"]


def test_sounds_without_a_usable_row(tmp_path: Path) -> None:
    sounds = [
        "asbfly/XC134896.ogg",
        "asbfly/XC1.ogg",
        "other/deep/XC2.WAV",
        "XC3.ogg",
        "asbfly/notes.txt",
        ".cache/XC4.ogg",
    ]
    write(tmp_path, {"train_metadata.csv": HEAD + ROW + row(label="")}, *(f"train_audio/{sound}" for sound in sounds))
    found = reasons(read_kaggle(tmp_path))
    assert found.pop("train_metadata.csv line 3").startswith("cannot use the species name")
    assert found == dict.fromkeys(
        ["train_audio/XC3.ogg", "train_audio/asbfly/XC1.ogg", "train_audio/other/deep/XC2.WAV"],
        "no usable row names it",
    )


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("", "holds no table"),
        ("filename,rating\nx,1\n", "has no column primary_label; there are filename, rating"),
        ("primary_label,file_name\nx,1\n", "has no column filename; there are primary_label, file_name"),
        ('"primary_label,filename\nx,1\n', "holds no table"),
        (b"\x81," + HEAD.encode(), "is not UTF-8"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, table: str | bytes, reason: str) -> None:
    write(tmp_path, {"train_metadata.csv": table})
    with pytest.raises(UserError, match=rf"train_metadata\.csv: {reason}$"):
        read_kaggle(tmp_path)


def test_names_come_from_the_rows_then_from_the_lists(tmp_path: Path) -> None:
    taxonomy = (
        "primary_label,inat_taxon_id,scientific_name,common_name,class_name\n1139490,1139490,Ragoniella pulchella,"
        "Ragoniella pulchella,Insecta\n"
    )
    taxonomy += "asbfly,1,Other name,,Aves\namered,2,,American Redstart,Aves\nbroken,3\n"
    ebird = (
        "\ufeffTAXON_ORDER,CATEGORY,SPECIES_CODE,PRIMARY_COM_NAME,SCI_NAME,ORDER1,FAMILY,SPECIES_GROUP,REPORT_AS\n"
        "1,species,ostric2,Common Ostrich,Struthio camelus,Struthioniformes,Struthionidae (Ostriches),Ostriches,\n"
        '2,slash,y00934,"Green-winged/Carolina, Teal",Anas crecca/carolinensis,Anseriformes,Anatidae,Waterfowl,\n'
        "3,species,asbfly,Asian Brown Flycatcher,Muscicapa latirostris,Passeriformes,Muscicapidae,,\n"
    )
    write(
        tmp_path,
        {
            "train.csv": HEAD + ROW + ROW.replace("XC134896", "XC2"),
            "taxonomy.csv": taxonomy,
            "eBird_Taxonomy_v2021.csv": ebird,
        },
    )
    contents = read_kaggle(tmp_path)
    assert contents.taxa == [
        Taxon("Muscicapa dauurica", "asbfly", "Asian Brown Flycatcher"),
        Taxon("Ragoniella pulchella", "1139490", "Ragoniella pulchella"),
        Taxon("Struthio camelus", "ostric2", "Common Ostrich"),
    ]
    assert reasons(contents) == {"taxonomy.csv line 5": "has 2 values, the table 5 columns"}


def soundscapes(archive: Path, table: str, text: str, *sounds: str) -> Contents:
    """Read an archive that holds labelled soundscapes and nothing else."""
    return read_kaggle(
        write(archive, {"train_metadata.csv": HEAD, table: text}, *(f"train_soundscapes/{sound}" for sound in sounds))
    )


def test_names_of_many_codes_are_not_used(tmp_path: Path) -> None:
    lists = "primary_label,inat_taxon_id,scientific_name,common_name,class_name\n"
    sons = "".join(f"47158son{number:02d},47158,Insecta,Insect sonotype {number},Insecta\n" for number in range(3))
    write(
        tmp_path,
        {"train.csv": HEAD + ROW, "taxonomy.csv": lists + sons + "grekis,1,Pitangus sulphuratus,Great Kiskadee,Aves\n"},
    )
    assert {taxon.code: taxon.species for taxon in read_kaggle(tmp_path).taxa} == {
        "asbfly": "Muscicapa dauurica",
        "grekis": "Pitangus sulphuratus",
    }


def test_soundscapes_of_2021(tmp_path: Path) -> None:
    rows = [
        "7019_COR_10,COR,7019,10,rucwar cobtan1",
        "7019_COR_5,COR,7019,5,nocall",
        "7019_COR_15,COR,7019,15,rucwar",
        "7954_COR_5,COR,7954,5,nocall",
    ]
    contents = soundscapes(
        tmp_path,
        LABELS_2021,
        HEAD_LABELS_2021 + "\n".join(rows),
        "7019_COR_20190904.ogg",
        "7954_COR_20190923.ogg",
        "7019_CORAL_20190904.ogg",
    )
    assert contents.failures == []
    assert contents.recordings == [
        Recording(
            name="7019_COR_20190904",
            file=tmp_path / "train_soundscapes" / "7019_COR_20190904.ogg",
            species="",
            events=(Event(5.0, 10.0, "cobtan1"), Event(5.0, 10.0, "rucwar"), Event(10.0, 15.0, "rucwar")),
            date="2019-09-04",
            locality="COR",
            labelled=((0.0, 15.0),),
        ),
        Recording(
            name="7954_COR_20190923",
            file=tmp_path / "train_soundscapes" / "7954_COR_20190923.ogg",
            species="Noise",
            date="2019-09-23",
            locality="COR",
            labelled=((0.0, 5.0),),
        ),
    ]


@pytest.mark.parametrize(
    ("table", "site"),
    [
        ("row_id,birds\nsoundscape_29201_5,akiapo\n", ""),
        ("site,audio_id,seconds,birds\n29201,soundscape,5,akiapo\n", "29201"),
    ],
)
def test_soundscapes_with_one_key_column(tmp_path: Path, table: str, site: str) -> None:
    contents = soundscapes(tmp_path, LABELS_2021, table, "soundscape_29201.ogg", "soundscape_29201_2.ogg")
    (recording,) = contents.recordings
    assert (recording.name, recording.locality, recording.events) == (
        "soundscape_29201",
        site,
        (Event(0.0, 5.0, "akiapo"),),
    )


def test_soundscapes_of_2026_have_every_row_twice(tmp_path: Path) -> None:
    name = "BC2026_Train_0001_S08_20250606_030007.ogg"
    rows = [
        f"{name},00:00:05,00:00:10,22961;ashgre1",
        f"{name},00:00:00,00:00:05,22961",
        f"{name},00:01:00,01:00:05,ashgre1",
    ]
    contents = soundscapes(
        tmp_path,
        LABELS_2026,
        HEAD_LABELS_2026 + "\n".join(rows + rows),
        name,
        "BC2026_Train_0002_S08_20250606_040007.ogg",
    )
    assert contents.failures == []
    assert contents.recordings == [
        Recording(
            name="BC2026_Train_0001_S08_20250606_030007",
            file=tmp_path / "train_soundscapes" / name,
            species="",
            events=(
                Event(0.0, 5.0, "22961"),
                Event(5.0, 10.0, "22961"),
                Event(5.0, 10.0, "ashgre1"),
                Event(60.0, 3605.0, "ashgre1"),
            ),
            date="2025-06-06",
            time="03:00",
            unsure=True,  # from 10 to 60 s, no row says what is there
            labelled=((0.0, 10.0), (60.0, 3605.0)),
        )
    ]


def test_soundscapes_with_ambiguous_sounds(tmp_path: Path) -> None:
    rows = (
        "7019_COR_5,COR,7019,5,nocall\n7019_COR_10,COR,7019,10,rucwar\n1_COR_5,COR,1,5,rucwar\n2_COR_5,COR,2,5,rucwar\n"
    )
    contents = soundscapes(
        tmp_path, LABELS_2021, HEAD_LABELS_2021 + rows, "1_COR_20190904.ogg", "1_COR_20190905.ogg", "2_COR_20190904.m4a"
    )
    assert contents.recordings == []
    assert reasons(contents) == {
        "train_soundscapes/7019_COR": "is labelled, but no sounds have this name",
        "train_soundscapes/1_COR": "is labelled, but 2 sounds have this name",
        "train_soundscapes/2_COR_20190904.m4a": ".m4a cannot be read; convert it to FLAC, WAV, Ogg or MP3",
    }


def test_each_bad_row_of_soundscapes_is_refused_alone(tmp_path: Path) -> None:
    bad = {
        "../../etc/passwd,0,5,a": "cannot use its filename: '..' begins with a dot",
        "/etc/passwd,0,5,a": "cannot use its filename: '' is empty, or begins or ends with a space",
        "s.ogg,0,5,": "has neither birds nor nocall",
        "s.ogg,0,5,a/b": "cannot use the species name: 'a/b' holds '/', which file names cannot hold on every system",
        "s.ogg,5,5,a": "its end is not after its start",
        "s.ogg,0,nan,a": "'nan' is not a time",
        "s.ogg,-1,5,a": "'-1' is not a time",
        "s.ogg,00:00:00:00,5,a": "'00:00:00:00' is not a time",
        "s.ogg,,5,a": "'' is not a time",
        "s.ogg,0,5": "has 3 values, the table 4 columns",
    }
    contents = soundscapes(tmp_path, LABELS_2026, HEAD_LABELS_2026 + "\n".join(bad) + "\ns.ogg,0.5,7.25,nocall;b\n")
    assert [recording.events for recording in contents.recordings] == [(Event(0.5, 7.25, "b"),)]
    assert reasons(contents) == {f"{LABELS_2026} line {line}": reason for line, reason in enumerate(bad.values(), 2)}


@pytest.mark.parametrize(
    "row_id", ["", "7019", "_5", "7019_COR_", "../7019_COR_5", "7019_COR_0", "7019_COR_-5", "7019_COR_inf"]
)
def test_rows_of_soundscapes_without_a_usable_key(tmp_path: Path, row_id: str) -> None:
    contents = soundscapes(tmp_path, LABELS_2021, f"row_id,birds\n{row_id},rucwar\n", "7019_COR_20190904.ogg")
    assert contents.recordings == []
    assert list(reasons(contents)) == [f"{LABELS_2021} line 2"]


def test_bad_tables_of_soundscapes_do_not_affect_the_recordings(tmp_path: Path) -> None:
    write(tmp_path, {"train_metadata.csv": HEAD + ROW, LABELS_2021: "row_id\n7019_COR_5\n", LABELS_2026: ""})
    contents = read_kaggle(tmp_path)
    assert names(contents) == ["XC134896"]
    assert reasons(contents) == {LABELS_2021: "has no column birds; there are row_id", LABELS_2026: "holds no table"}


def test_a_soundscape_may_have_the_name_of_a_recording(tmp_path: Path) -> None:
    write(tmp_path, {"train_metadata.csv": HEAD + ROW, LABELS_2026: HEAD_LABELS_2026 + "XC134896.ogg,0,5,asbfly\n"})
    contents = read_kaggle(tmp_path)
    assert sorted((recording.name, recording.species) for recording in contents.recordings) == [
        ("XC134896", ""),
        ("XC134896", "asbfly"),
    ]
    assert reasons(contents) == {}
    for recording in contents.recordings:
        recording.file.parent.mkdir(parents=True, exist_ok=True)
        recording.file.write_bytes(b"sound")
    archive = read_archive(Dataset(archive=tmp_path, root=tmp_path / "root"))
    assert [recording.name for recording in archive.recordings] == [
        "train_audio/asbfly/XC134896",
        "train_soundscapes/XC134896",
    ]


DEVICES = ("con", "prn", "aux", "nul", "com", "lpt")
words = st.text(st.characters(codec="utf-8"), max_size=20)
# not the names of devices on Windows, such as nul and com1
codes = st.from_regex(r"[a-z]{3,6}[0-9]?", fullmatch=True).filter(lambda code: code[:3] not in DEVICES)
values = st.fixed_dictionaries(
    {
        "primary_label": codes,
        "secondary_labels": st.lists(codes, unique=True, max_size=3),
        "latitude": st.none() | st.floats(-90, 90),
        "longitude": st.none() | st.floats(-180, 180),
        "remarks": words,
        **dict.fromkeys(("common_name", "author", "date", "time", "license", "rating", "url"), words),
    }
)
headers = st.permutations(
    ["primary_label", "secondary_labels", "latitude", "longitude", "remarks", "common_name", "author", "date", "time"]
)


@settings(max_examples=60)
@given(st.lists(values, max_size=4), headers)
def test_written_archives_round_trip(rows: list[dict[str, object]], columns: list[str]) -> None:
    columns = ["filename", *columns, "license", "rating", "url"]
    with TemporaryDirectory() as folder:
        archive = write(Path(folder), {})
        with (archive / "train.csv").open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, columns)
            table.writeheader()
            table.writerows({**values, "filename": f"XC{number}.ogg"} for number, values in enumerate(rows))
        contents = read_kaggle(archive)
    assert contents.failures == []
    assert len(contents.recordings) == len(rows)
    for number, (values, recording) in enumerate(zip(rows, contents.recordings, strict=True)):
        assert recording == Recording(
            name=f"XC{number}",
            file=archive / "train_audio" / str(values["primary_label"]) / f"XC{number}.ogg",
            species=str(values["primary_label"]),
            class_id=str(values["primary_label"]),
            background=tuple(label for label in values["secondary_labels"] if label != values["primary_label"]),
            latitude=values["latitude"],
            longitude=values["longitude"],
            quality=values["rating"].strip(),
            licence=values["license"].strip(),
            **{key: values[key].strip() for key in ("common_name", "author", "date", "time", "url")},
        )


@settings(max_examples=60)
@given(st.dictionaries(st.integers(0, 600), codes, min_size=1, max_size=6))
def test_written_windows_round_trip(labels: dict[int, str]) -> None:
    windows = [*labels.items()]
    text = HEAD_LABELS_2026 + "".join(
        f"s.ogg,{end // 3600:02}:{end // 60 % 60:02}:{end % 60:02},{end + 5},{label}\n" for end, label in windows
    )
    with TemporaryDirectory() as folder:
        (recording,) = soundscapes(Path(folder), LABELS_2026, text).recordings
    assert recording.events == tuple(Event(float(start), start + 5.0, label) for start, label in sorted(set(windows)))


@settings(max_examples=100)
@given(st.binary(max_size=80))
@example(b'"')
@example(b'x,"')
@example(b'"\n"')
@example(b"\x00\r\xff")
def test_no_line_affects_its_neighbours(junk: bytes) -> None:
    good = [
        row("amered", f"amered/good{number}.ogg", secondary="\"['amerob', 'asbfly']\"").encode() for number in range(4)
    ]
    with TemporaryDirectory() as folder:
        contents = read_kaggle(
            write(Path(folder), {"train.csv": HEAD.encode() + good[0] + good[1] + junk + b"\n" + good[2] + good[3]})
        )
    assert names(contents) == ["good0", "good1", "good2", "good3"]
    assert bool(contents.failures) == bool(junk.strip(b"\r\n"))


@settings(max_examples=100)
@given(
    st.binary(max_size=200),
    st.sampled_from(["train.csv", LABELS_2021, LABELS_2026, "taxonomy.csv", "eBird_Taxonomy_v2021.csv"]),
)
def test_any_bytes_are_read_or_refused_with_a_reason(junk: bytes, table: str) -> None:
    with TemporaryDirectory() as folder:
        archive = write(Path(folder), {"train.csv": HEAD + ROW, table: junk})
        with suppress(UserError):
            reasons(read_kaggle(archive))
