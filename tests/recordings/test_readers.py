"""Archives are read correctly; files that cannot be used are failures with a reason."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args, get_type_hints
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Dataset
from utils.console import UserError
from utils.recordings.archive import read_archive
from utils.recordings.archive_readers import READERS
from utils.recordings.audio_files import date_and_time_in, path_below
from utils.recordings.birdclef2018 import read_birdclef2018
from utils.recordings.folders import read_folders
from utils.recordings.labels import Taxonomy
from utils.recordings.recording import NOISE, Event, Recording, Taxon, from_metadata, label_of_folder, to_metadata
from utils.recordings.selection import read_whitelist

XML = """<?xml version="1.0" encoding="UTF-8"?>
<Audio><MediaId>1</MediaId><FileName>{file}</FileName><ClassId>abcdef</ClassId><Author>Ana</Author>
<Date>2014-05-01</Date><Time>06:30</Time>
<Locality>Río</Locality><Latitude>-4.5</Latitude><Longitude>-70.25</Longitude><Elevation>80</Elevation>
<Quality>2</Quality>
<Comments>By a "river"; &amp; far</Comments><Genus>{genus}</Genus><Species>merula</Species>
<VernacularNames>Blackbird</VernacularNames>{more}</Audio>"""


def write_xml(
    archive: Path, name: str, text: str | None = None, *, file: str = "", genus: str = "Turdus", more: str = ""
) -> None:
    for folder in ("wav", "xml"):
        (archive / folder).mkdir(parents=True, exist_ok=True)
    (archive / "xml" / f"{name}.xml").write_text(text or XML.format(file=file or f"{name}.wav", genus=genus, more=more))
    if not text and "/" not in file:
        (archive / "wav" / (file or f"{name}.wav")).write_bytes(b"sound")


def test_birdclef2018_fields(tmp_path: Path) -> None:
    write_xml(
        tmp_path,
        "a.b",
        more="<BackgroundSpecies> Parus  major,,Turdus merula,Sitta europaea,Parus major</BackgroundSpecies>",
    )
    write_xml(tmp_path, "a.c")
    contents = read_birdclef2018(tmp_path)
    first, second = contents.recordings
    assert contents.failures == []
    assert first == Recording(
        name="a.b",
        file=tmp_path / "wav" / "a.b.wav",
        species="Turdus merula",
        background=("Parus major", "Sitta europaea"),
        class_id="abcdef",
        common_name="Blackbird",
        author="Ana",
        date="2014-05-01",
        time="06:30",
        locality="Río",
        latitude=-4.5,
        longitude=-70.25,
        elevation="80",
        quality="2",
        comments='By a "river"; & far',
    )
    assert (second.name, second.background) == ("a.c", ())


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Audio><FileName>&b;'
    "</FileName></Audio>"
)


def test_birdclef2018_refuses_each_bad_xml_alone(tmp_path: Path) -> None:
    write_xml(tmp_path, "good")
    write_xml(tmp_path, "cut", "<Audio><FileName>x.wav</FileName>")
    write_xml(tmp_path, "bomb", BOMB)
    write_xml(tmp_path, "outside", file="../../etc/passwd")
    write_xml(tmp_path, "absolute", file="/etc/passwd")
    write_xml(tmp_path, "slash", genus="../Turdus")
    (tmp_path / "wav" / "orphan.WAV").write_bytes(b"sound")
    write_xml(tmp_path, "nameless", "<Audio><FileName>x.wav</FileName></Audio>")
    write_xml(tmp_path, "twice", file="good.wav")
    contents = read_birdclef2018(tmp_path)
    assert [recording.name for recording in contents.recordings] == ["good"]
    reasons = {failure.name: failure.reason for failure in contents.failures}
    assert reasons["xml/cut.xml"].startswith("broken XML: ")
    assert reasons["xml/bomb.xml"].startswith("refused XML: Entit")
    assert "FileName: '../../etc/passwd'" in reasons["xml/outside.xml"]
    assert "FileName: '/etc/passwd'" in reasons["xml/absolute.xml"]
    assert "'../Turdus merula'" in reasons["xml/slash.xml"]
    assert "Genus or Species is missing" in reasons["xml/nameless.xml"] or "empty" in reasons["xml/nameless.xml"]
    assert reasons["xml/twice.xml"] == "an earlier XML file names the same sound, good.wav"
    assert reasons["wav/orphan.WAV"] == "no usable XML file names it"
    assert {name for name in reasons if name.startswith("wav")} == {"wav/orphan.WAV", "wav/slash.wav"}
    assert len(reasons) == 9


def test_recording_without_sound_is_named(tmp_path: Path) -> None:
    write_xml(tmp_path, "here")
    write_xml(tmp_path, "gone")
    (tmp_path / "xml" / "here.xml").rename(tmp_path / "xml" / "here.XML")
    (tmp_path / "wav" / "gone.wav").unlink()
    archive = read_archive(Dataset(root=tmp_path))
    assert [recording.name for recording in archive.recordings] == ["here"]
    assert [(failure.name, failure.reason) for failure in archive.failures] == [("wav/gone.wav", "does not exist")]
    assert archive.description.startswith("BirdCLEF 2018")


def test_folders_without_splits(tmp_path: Path) -> None:
    names = [
        "Turdus_merula/x 1.WAV",
        "Turdus_merula/deep/x 1.ogg",
        "call_type_1/ü'q\".Flac",
        "Turdus_merula/x.m4a",
        "Turdus_merula/notes.txt",
    ]
    for name in [*names, "Turdus_merula/x 1.mp3", "Turdus_merula/.hidden.wav", ".cache/y.wav", "loose.wav"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    contents = read_folders(tmp_path)
    assert [(recording.name, recording.species, recording.split) for recording in contents.recordings] == [
        ("Turdus merula/deep/x 1", "Turdus merula", None),
        ("Turdus merula/x 1", "Turdus merula", None),
        # of two endings: they are named apart for all kinds of archives at once
        ("Turdus merula/x 1", "Turdus merula", None),
        ("call_type_1/ü'q\"", "call_type_1", None),
    ]
    assert {failure.name: failure.reason for failure in contents.failures} == {
        "loose.wav": "is not in the folder of a class",
        "Turdus_merula/x.m4a": ".m4a cannot be read; convert it to FLAC, WAV, Ogg or MP3",
    }


@pytest.mark.parametrize("held_out", ["val", "test"])
def test_folders_with_splits(tmp_path: Path, held_out: str) -> None:
    for name in ("train/A b/1.wav", f"{held_out}/A b/2.wav", "noise/rain/3.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    contents = read_folders(tmp_path)
    assert [(recording.name, recording.split) for recording in contents.recordings] == [
        ("A b/1", "train"),
        ("A b/2", held_out),
    ]


def test_folders_sorted_by_the_2018_baseline_keep_their_background(tmp_path: Path) -> None:
    for name in ("train/Turdus merula/f1.wav", "val/Turdus merula/f2.wav"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "metadata").mkdir()
    text = (
        '{"sci-name": "Turdus merula", "species": "Blackbird", "background": ["Parus major"], "filename": "f1.wav", '
        '"classid": "abc"}'
    )
    (tmp_path / "metadata" / "f1.json").write_text(text)
    (tmp_path / "metadata" / "f2.json").write_text("[]")
    contents = read_folders(tmp_path)
    (recording,), (failure,) = contents.recordings, contents.failures
    assert (recording.background, recording.common_name, recording.class_id) == (("Parus major",), "Blackbird", "abc")
    assert (failure.name, failure.reason) == ("val/Turdus merula/f2.wav", "is not a JSON object")


def test_metadata_from_a_table_of_folders(tmp_path: Path) -> None:
    for name in ("Turdus_merula/f1.wav", "Turdus_merula/f2.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    rows = [
        "split,file,author,lat,lng,date,license,secondary_labels",
        "train,Turdus_merula/f1.wav,Ana,48.5,200,2020-05-01,CC BY,\"['Parus major', 'x']\"",
    ]
    (tmp_path / "recordings.csv").write_text("\n".join(rows))
    contents = read_folders(tmp_path)
    first, second = contents.recordings
    assert (first.author, first.latitude, first.longitude, first.date, first.licence) == (
        "Ana",
        48.5,
        None,
        "2020-05-01",
        "CC BY",
    )
    assert first.background == ("Parus major", "x")
    assert second == Recording("Turdus merula/f2", tmp_path / "Turdus_merula" / "f2.wav", "Turdus merula")
    (tmp_path / "recordings.csv").write_bytes(b"")
    (failure,) = read_folders(tmp_path).failures
    assert (failure.name, failure.reason) == ("recordings.csv", "holds no table")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.dictionaries(st.sampled_from(["author", "date", "locality", "comments", "moved_from"]), TEXTS),
    st.lists(st.floats(0, 1e5), max_size=3),
)
def test_metadata_round_trip(texts: dict[str, str], times: list[float]) -> None:
    events = tuple(Event(time, time + 1.5, "Parus major", None, 8000.0) for time in times)
    recording = Recording(
        "n", Path("a/n.wav"), "Turdus merula", ("Parus major",), events, class_id="id", latitude=-1.5, **texts
    )  # type: ignore[arg-type]
    text = json.dumps(to_metadata(recording))
    assert from_metadata(json.loads(text), name="n", file=Path("a/n.wav")) == recording


NOT_A_TIME = {"start": float("nan"), "end": 1, "species": "A"}


@pytest.mark.parametrize(
    "change",
    [
        {"sci-name": 1},
        {"background": "x"},
        {"events": 1},
        {"events": [1]},
        {"events": [{"start": 1}]},
        {"sci-name": "a/b"},
        {"author": "\ud800"},
        {"events": [NOT_A_TIME]},
    ],
)
def test_metadata_that_cannot_be_used(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_metadata({"sci-name": "A b"} | change, name="n", file=Path("n.wav"))


@pytest.mark.parametrize(
    ("name", "stamp"),
    [
        ("S4A_20210712_063000", ("2021-07-12", "06:30")),
        ("20190904T1830_COR", ("2019-09-04", "18:30")),
        ("7019_COR_20190904", ("2019-09-04", "")),
        ("XC20211399", ("", "")),
        ("120210712", ("", "")),
    ],
)
def test_dates_in_file_names_of_recorders(name: str, stamp: tuple[str, str]) -> None:
    assert date_and_time_in(name) == stamp


@pytest.mark.parametrize(
    "text", ["", "/etc/passwd", "../x.wav", "a/../../x.wav", "a//b.wav", "a/.hidden", "C:/x.wav", "a\\..\\b", "a/\0"]
)
def test_untrusted_paths_stay_below_the_folder(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        path_below(Path("/data"), text)
    assert path_below(Path("/data"), " a b/ü.ogg") == Path("/data/a b/ü.ogg")


@pytest.mark.parametrize("name", ["Noise", "noise", "NOCALL", "no call"])
def test_recordings_without_birds(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "rain.wav").write_bytes(b"x")
    (recording,) = read_folders(tmp_path).recordings
    assert (recording.species, recording.name) == (NOISE, "Noise/rain")
    write_xml(tmp_path / "2018", "rain", genus="Noise")
    (tmp_path / "2018" / "xml" / "rain.xml").write_text(
        "<Audio><FileName>rain.wav</FileName><Genus>Noise</Genus></Audio>"
    )
    assert read_birdclef2018(tmp_path / "2018").recordings[0].species == NOISE


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("Turdus_merula", "Turdus merula"),
        ("Parus_major_major", "Parus major major"),
        ("XC_1", "XC_1"),
        ("robin", "robin"),
    ],
)
def test_labels_of_folders(folder: str, label: str) -> None:
    assert label_of_folder(folder) == label


def test_unknown_archives_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder; set dataset\.root"):
        read_archive(Dataset(root=tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"set dataset\.archive to it"):
        read_archive(Dataset(root=tmp_path))
    with pytest.raises(UserError, match="no recording found"):
        read_archive(Dataset(root=tmp_path.parent / "root", archive=tmp_path))
    with pytest.raises(UserError, match="has no wav/ and xml/"):
        read_archive(Dataset(root=tmp_path, kind="birdclef2018"))


XML_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="￾￿"), max_size=30)


@given(
    st.fixed_dictionaries(
        dict.fromkeys(("Author", "Locality", "Comments", "Quality", "VernacularNames", "Date"), XML_TEXTS)
    ),
    st.floats(-90, 90),
)
def test_written_xml_round_trips(texts: dict[str, str], north: float) -> None:
    with TemporaryDirectory() as folder:
        archive = Path(folder)
        write_xml(archive, "good")
        audio = ElementTree.Element("Audio")
        fields = {
            **texts,
            "FileName": "x y ü.wav",
            "Genus": "Turdus",
            "Species": "merula",
            "Latitude": repr(north),
            "Longitude": "far west",
        }
        for tag, text in fields.items():
            ElementTree.SubElement(audio, tag).text = text
        (archive / "xml" / "x.xml").write_bytes(ElementTree.tostring(audio, encoding="utf-8"))
        _, read = read_birdclef2018(archive).recordings
    names = {
        "Author": "author",
        "Locality": "locality",
        "Comments": "comments",
        "Quality": "quality",
        "VernacularNames": "common_name",
        "Date": "date",
    }
    for tag, attribute in names.items():
        assert getattr(read, attribute) == texts[tag].strip()
    assert (read.name, read.latitude, read.longitude) == ("x y ü", north, None)


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("Other", NOISE),
        ("other", NOISE),
        ("Background", NOISE),
        ("Turdus_merula", "Turdus merula"),
        ("Others", "Others"),
    ],
)
def test_classes_of_folders(folder: str, label: str) -> None:
    assert label_of_folder(folder) == label


def test_training_folders_of_birdnet(tmp_path: Path) -> None:
    folders = ["Turdus merula_Eurasian Blackbird", "-Parus major_Great Tit", "Background", "Silence", "Other", "Noise"]
    for folder in folders:
        for number in range(2):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{number}.wav").write_bytes(b"x")
    contents = read_folders(tmp_path)
    assert Counter(recording.species for recording in contents.recordings) == {"Turdus merula": 2, NOISE: 8}
    assert {recording.common_name for recording in contents.recordings} == {"Eurasian Blackbird", ""}
    assert contents.taxa == [Taxon("Turdus merula", common_name="Eurasian Blackbird")]
    (failure,) = contents.failures
    assert (failure.name, failure.reason.startswith("2 recordings without Parus major, as the minus says")) == (
        "-Parus major_Great Tit",
        True,
    )
    assert contents.description == "class folders without splits; Background, Other, Silence as Noise"
    archive = read_archive(Dataset(archive=tmp_path, root=tmp_path.parent / "root"))
    assert len({recording.name for recording in archive.recordings}) == 10  # 0.wav and 1.wav in each


def test_a_species_list_of_birdnet_is_a_whitelist(tmp_path: Path) -> None:
    (tmp_path / "species_list.txt").write_text("Turdus merula_Eurasian Blackbird\nParus major_Great Tit\n")
    assert read_whitelist(tmp_path / "species_list.txt", Taxonomy(), frequency=0.0) == {"Turdus merula", "Parus major"}


def test_every_kind_of_archive_has_a_reader() -> None:
    assert {"auto", *READERS} == set(get_args(get_type_hints(Dataset)["kind"]))
