"""Downloads from xeno-canto are read with their metadata from the API; a bad record affects no other record."""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.conftest import names, reasons
from utils.recordings.recording import Recording, Taxon, to_metadata
from utils.recordings.xenocanto import is_xenocanto, read_xenocanto

NIGHTHAWK = {  # as the second version of the API answers
    "id": "228435",
    "gen": "Chordeiles",
    "sp": "nacunda",
    "ssp": "",
    "group": "birds",
    "en": "Nacunda Nighthawk",
    "rec": "Peter Boesman",
    "cnt": "Brazil",
    "loc": "Pantanal, Mato Grosso",
    "lat": "-16.6667",
    "lng": "-56.8333",
    "alt": "100",
    "type": "song",
    "sex": "",
    "url": "//xeno-canto.org/228435",
    "file": "https://xeno-canto.org/228435/download",
    "file-name": "XC228435-Nacunda Nighthawk Chordeiles nacunda_1.mp3",
    "sono": {"small": "//xeno-canto.org/sounds/uploaded/OOECIWCSWV/ffts/XC228435-small.png"},
    "lic": "//creativecommons.org/licenses/by-nc-sa/4.0/",
    "q": "B",
    "length": "0:27",
    "time": "05:45",
    "date": "2005-07-31",
    "uploaded": "2015-03-14",
    "also": ["Turdus merula", "", "Chordeiles nacunda", "Turdus  merula", "Parus major"],
    "rmk": "ID certainty 100%",
    "bird-seen": "yes",
}
WREN = {  # as the third does
    "id": "694038",
    "gen": "Troglodytes",
    "sp": "troglodytes",
    "grp": "birds",
    "en": "Eurasian Wren",
    "rec": "Jacobo Ramil Millarengo",
    "cnt": "Spain",
    "loc": "Sisalde, Ames, A Coruña",
    "lat": "42.8373",
    "lon": "-8.652",
    "alt": None,
    "q": "A",
    "also": [],
}
XC228435 = {
    "species": "Chordeiles nacunda",
    "background": ("Turdus merula", "Parus major"),
    "common_name": "Nacunda Nighthawk",
    "author": "Peter Boesman",
    "date": "2005-07-31",
    "time": "05:45",
    "locality": "Pantanal, Mato Grosso, Brazil",
    "latitude": -16.6667,
    "longitude": -56.8333,
    "elevation": "100",
    "quality": "B",
    "licence": "//creativecommons.org/licenses/by-nc-sa/4.0/",
    "url": "//xeno-canto.org/228435",
    "comments": "ID certainty 100%",
}


def page(*records: object) -> str:
    """Write a page as the API answers it."""
    return json.dumps(
        {"numRecordings": str(len(records)), "numSpecies": "1", "page": 1, "numPages": 1, "recordings": list(records)}
    )


def simple(number: object = "1", **values: object) -> dict[str, object]:
    """Return a record of which only these values matter."""
    return {"id": number, "gen": "Parus", "sp": "major", **values}


def write(archive: Path, files: dict[str, str | bytes], *sounds: str) -> Path:
    """Write an archive: its JSON, and its sounds."""
    for name, text in {**files, **dict.fromkeys(sounds, b"sound")}.items():
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        (archive / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return archive


def test_a_page_of_the_second_version(tmp_path: Path) -> None:
    sound = "XC228435 - Nacunda Nighthawk - Chordeiles nacunda.mp3"
    contents = read_xenocanto(write(tmp_path, {"page1.json": page(NIGHTHAWK)}, sound))
    assert contents.description == "downloads from xeno-canto (sounds + JSON)"
    assert contents.failures == []
    assert contents.recordings == [Recording("XC228435", tmp_path / sound, **XC228435)]
    assert contents.taxa == [Taxon("Chordeiles nacunda", "", "Nacunda Nighthawk")]


def test_a_record_of_the_third_version(tmp_path: Path) -> None:
    contents = read_xenocanto(write(tmp_path, {"694038.json": json.dumps(WREN)}, "694038.wav"))
    assert contents.failures == []
    assert contents.recordings == [
        Recording(
            "XC694038",
            tmp_path / "694038.wav",
            "Troglodytes troglodytes",
            common_name="Eurasian Wren",
            author="Jacobo Ramil Millarengo",
            locality="Sisalde, Ames, A Coruña, Spain",
            latitude=42.8373,
            longitude=-8.652,
            quality="A",
            url="https://xeno-canto.org/694038",
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        page(simple(5)),
        json.dumps([simple("5")]),
        json.dumps(simple("XC5")),
        json.dumps([simple("5")], indent=1).encode("utf-8-sig"),
    ],
)
def test_a_page_a_list_and_one_record(tmp_path: Path, text: str | bytes) -> None:
    write(tmp_path, {"deep/er/answer.JSON": text}, "sounds/xc5.ogg")
    assert is_xenocanto(tmp_path)
    assert read_xenocanto(tmp_path).recordings == [
        Recording("XC5", tmp_path / "sounds" / "xc5.ogg", "Parus major", url="https://xeno-canto.org/5"),
    ]


def test_values_may_be_null_or_missing(tmp_path: Path) -> None:
    empty = simple(1, **dict.fromkeys(NIGHTHAWK.keys() - {"id", "gen", "sp"}))
    some = simple(2, loc="Ames", cnt=None, lat="?", lng=None, lon="8.5", alt=100, also=None)
    contents = read_xenocanto(write(tmp_path, {"page1.json": page(empty, some)}, "XC1.mp3", "XC2.mp3"))
    assert contents.failures == []
    assert contents.recordings == [
        Recording("XC1", tmp_path / "XC1.mp3", "Parus major", url="https://xeno-canto.org/1"),
        Recording(
            "XC2",
            tmp_path / "XC2.mp3",
            "Parus major",
            locality="Ames",
            longitude=8.5,
            elevation="100",
            url="https://xeno-canto.org/2",
        ),
    ]
    assert contents.taxa == [Taxon("Parus major")]


METADATA = json.dumps(to_metadata(Recording("XC1", Path("XC1.mp3"), "Parus major", ("Turdus merula",))))


@pytest.mark.parametrize(
    ("files", "known"),
    [
        ({"a.json": "{}", "deep/page1.json": page(simple())}, True),
        ({"cut.json": '{"recordings": [', "page1.json": page(None, 3, simple())}, True),
        ({"metadata/XC1.json": METADATA, "metadata/Parus major/2.json": METADATA}, False),
        ({}, False),
        ({"page1.txt": page(simple())}, False),
        ({".hidden.json": page(simple()), ".cache/page1.json": page(simple())}, False),
        (
            {
                "empty.json": page(),
                "list.json": "[]",
                "null.json": "null",
                "number.json": "3",
                "text.json": '"recordings"',
            },
            False,
        ),
        (
            {"coco.json": '{"recordings": {"id": 1, "gen": "a", "sp": "b"}}', "half.json": '[{"id": 1, "gen": "a"}]'},
            False,
        ),
        ({"deep.json": "[" * 100_000, "bytes.json": b"\xff\xfe\xfd", "nothing.json": ""}, False),
    ],
)
def test_which_folders_are_recognised(tmp_path: Path, files: dict[str, str | bytes], known: bool) -> None:
    assert is_xenocanto(write(tmp_path, files, "XC1.mp3")) is known


def test_recognition_reads_few_files(tmp_path: Path) -> None:
    write(tmp_path, {f"metadata/{number:03}.json": "{}" for number in range(100)} | {"z/page1.json": page(simple())})
    assert not is_xenocanto(tmp_path)
    write(tmp_path, {"z.json": page(simple())})
    assert is_xenocanto(tmp_path)


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["XC12.mp3", "XC123.mp3", "XC1234.mp3"], "XC123.mp3"),
        (["a/xc123_song.WAV"], "a/xc123_song.WAV"),
        (["Parus major/123.mp3", "XC1.mp3"], "Parus major/123.mp3"),
        (["123-2005.mp3", "z/XC123.mp3"], "z/XC123.mp3"),
        (["XC123.m4a", "z/123.flac"], "z/123.flac"),
        (["XC123.txt", ".XC123.mp3", "XC1230.mp3", "1123.mp3", "XCX123.mp3"], "song of 123.mp3"),
        (["song of 123.mp3"], "song of 123.mp3"),
    ],
)
def test_which_sound_belongs_to_a_record(tmp_path: Path, there: list[str], taken: str) -> None:
    contents = read_xenocanto(
        write(tmp_path, {"page1.json": page(simple("123", **{"file-name": "song of 123.mp3"}))}, *there)
    )
    assert [recording.file for recording in contents.recordings] == [tmp_path / taken]


def test_each_bad_record_is_refused_alone(tmp_path: Path) -> None:
    missing = "no sound is named XC9, and its file-name cannot be used: "
    name = "cannot use the species name: "
    bad: list[tuple[object, str]] = [
        (None, "is not a record"),
        (3, "is not a record"),
        ({}, "its id is '', not a number"),
        (simple(None), "its id is '', not a number"),
        (simple("../1"), "its id is '../1', not a number"),
        (simple("１２"), "its id is '１２', not a number"),
        (simple("x" * 999), f"its id is '{'x' * 189}…"),
        (simple([1]), "id is not a text"),
        (simple(9, gen="Mystery", sp="mystery"), "Mystery mystery: the species is unknown"),
        (simple(9, gen="Mystery", sp=""), "Mystery: the species is unknown"),
        (simple(9, gen="Sonus", sp="naturalis"), "Sonus naturalis: a soundscape without a main species"),
        (simple(9, gen=""), "gen or sp is missing"),
        (simple(9, sp=None), "gen or sp is missing"),
        (simple(9, gen="../Parus"), name + "'../Parus major' holds '/', which file names cannot hold on every system"),
        (simple(9, sp="x" * 1000), name + f"{'Parus ' + 'x' * 34!r}… is longer than 200 bytes"),
        (simple(9), missing + "'' is empty, or begins or ends with a space"),
        (
            simple(9, **{"file-name": "../../etc/passwd"}),
            missing + "'../../etc/passwd' holds '/', which file names cannot hold on every system",
        ),
        (
            simple(9, **{"file-name": "/etc/passwd"}),
            missing + "'/etc/passwd' holds '/', which file names cannot hold on every system",
        ),
        (simple(9, **{"file-name": "song.m4a"}), ".m4a cannot be read; convert it to FLAC, WAV, Ogg or MP3"),
        (simple(2, also="Turdus merula"), "also is not a list of names"),
        (simple(2, also=[None]), "also is not a list of names"),
        (simple(2, also=["a/b"]), name + "'a/b' holds '/', which file names cannot hold on every system"),
        (simple(2, rmk={"de": "laut"}), "rmk is not a text"),
        (simple(2, lat=[1]), "lat is not a text"),
        (simple(2, rec="half \ud83d"), "rec is not valid Unicode"),
        (simple(1, q="C"), "differs from an earlier record of XC1"),
        (simple(9, **{"file-name": "XC1.mp3"}), "XC9 has the same file as XC1"),
    ]
    contents = read_xenocanto(
        write(
            tmp_path,
            {"page1.json": page(simple(1), *(record for record, _ in bad), simple(3))},
            "XC1.mp3",
            "XC2.mp3",
            "XC3.mp3",
        )
    )
    assert names(contents) == ["XC1", "XC3"]
    expected = {f"page1.json record {number}": reason for number, (_, reason) in enumerate(bad, 2)}
    assert reasons(contents) == expected | {"XC2.mp3": "no usable record names it"}


def test_json_that_cannot_be_read_is_named_and_other_json_is_not(tmp_path: Path) -> None:
    bad: dict[str, str | bytes] = {
        "cut.json": page(simple())[:-3],
        "deep.json": "[" * 100_000,
        "bytes.json": b'{"id": "\xff"}',
        "nothing.json": "",
    }
    bad["number.json"] = "1" * 5000
    other: dict[str, str | bytes] = {
        "null.json": "null",
        "3.json": "3",
        "settings.json": "{}",
        "list.json": "[{}]",
        "deep/metadata.json": METADATA,
    }
    contents = read_xenocanto(write(tmp_path, {**bad, **other, "page1.json": page(simple())}, "XC1.mp3"))
    assert names(contents) == ["XC1"]
    found = reasons(contents)
    assert found.keys() == bad.keys()
    assert found.pop("deep.json") == "is nested too deeply to be read"
    assert all(reason.startswith("broken JSON: ") for reason in found.values())


def test_json_of_another_format_is_a_failure_if_there_is_no_other(tmp_path: Path) -> None:
    contents = read_xenocanto(write(tmp_path, {"settings.json": "{}", "empty.json": page()}, "deep/XC1.mp3"))
    assert contents.recordings == []
    why = "has no recordings in the format of xeno-canto's API"
    assert reasons(contents) == {"settings.json": why, "empty.json": why, "deep/XC1.mp3": "no usable record names it"}


def test_a_record_in_two_files_is_read_once(tmp_path: Path) -> None:
    again = {**NIGHTHAWK, "length": "0:28"}  # nothing that is kept
    contents = read_xenocanto(
        write(tmp_path, {"a.json": page(NIGHTHAWK, again), "b.json": json.dumps(NIGHTHAWK)}, "228435.mp3")
    )
    assert names(contents) == ["XC228435"]
    assert contents.failures == []
    write(tmp_path, {"c/228435.json": json.dumps({**NIGHTHAWK, "sp": "acutipennis"})})
    contents = read_xenocanto(tmp_path)
    assert [recording.species for recording in contents.recordings] == ["Chordeiles nacunda"]
    assert reasons(contents) == {"c/228435.json": "differs from an earlier record of XC228435"}


def test_a_good_record_after_a_bad_one_is_used(tmp_path: Path) -> None:
    contents = read_xenocanto(write(tmp_path, {"a.json": page(simple(1, sp=""), simple(1))}, "XC1.mp3"))
    assert names(contents) == ["XC1"]
    assert reasons(contents) == {"a.json record 1": "gen or sp is missing"}


def test_sounds_without_a_record(tmp_path: Path) -> None:
    sounds = ["XC1.mp3", "XC2.mp3", "deep/XC1.wav", "song.m4a", ".cache/XC3.mp3", "notes.txt"]
    contents = read_xenocanto(write(tmp_path, {"a.json": page(simple(1))}, *sounds))
    assert reasons(contents) == dict.fromkeys(["XC2.mp3", "song.m4a"], "no usable record names it") | {
        "deep/XC1.wav": "has the number of XC1.mp3"
    }


def test_a_sound_whose_path_cannot_be_written(tmp_path: Path) -> None:
    with suppress(OSError):  # not every file system has such names
        write(tmp_path, {}, "XC1 \udcff.mp3")
        contents = read_xenocanto(write(tmp_path, {"a.json": page(simple(1))}))
        assert reasons(contents)["a.json"] == "the path of its sound is not valid Unicode"


def test_taxa_have_the_first_common_name_that_is_known(tmp_path: Path) -> None:
    records = [simple(1), simple(2, en="Great Tit"), simple(3, en="Kohlmeise"), simple(4, gen="Turdus", sp="merula")]
    contents = read_xenocanto(
        write(tmp_path, {"a.json": page(*records)}, *(f"XC{number}.mp3" for number in range(1, 5)))
    )
    assert contents.taxa == [Taxon("Parus major", "", "Great Tit"), Taxon("Turdus merula")]


words = st.text(st.characters(codec="utf-8"), max_size=20)
epithets = st.from_regex(r"[a-z]{3,8}", fullmatch=True)
records = st.fixed_dictionaries(
    {"gen": epithets.map(str.capitalize), "sp": epithets, "lat": st.floats(-90, 90), "lon": st.floats(-180, 180)},
    optional={
        key: st.none() | words
        for key in ("en", "rec", "cnt", "loc", "alt", "lic", "q", "time", "date", "rmk", "url", "type", "unknown")
    },
)


@settings(max_examples=60)
@given(st.dictionaries(st.integers(1, 999), records, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_written_archives_round_trip(entries: dict[int, dict[str, Any]], as_texts: bool, as_pages: bool) -> None:
    answers = [{"id": str(number) if as_texts else number, **entry} for number, entry in entries.items()]
    with TemporaryDirectory() as folder:
        sounds = [f"{entry['gen']}/{number}.mp3" for number, entry in entries.items()]
        contents = read_xenocanto(
            write(Path(folder), {"a.json": page(*answers) if as_pages else json.dumps(answers)}, *sounds)
        )
    assert contents.recordings == sorted(
        (
            Recording(
                name=f"XC{number}",
                file=Path(folder, entry["gen"], f"{number}.mp3"),
                species=f"{entry['gen']} {entry['sp']}",
                common_name=(entry.get("en") or "").strip(),
                author=(entry.get("rec") or "").strip(),
                date=(entry.get("date") or "").strip(),
                time=(entry.get("time") or "").strip(),
                locality=", ".join(
                    place for place in ((entry.get(key) or "").strip() for key in ("loc", "cnt")) if place
                ),
                latitude=entry["lat"],
                longitude=entry["lon"],
                elevation=(entry.get("alt") or "").strip(),
                quality=(entry.get("q") or "").strip(),
                licence=(entry.get("lic") or "").strip(),
                url=(entry.get("url") or "").strip() or f"https://xeno-canto.org/{number}",
                comments=(entry.get("rmk") or "").strip(),
            )
            for number, entry in entries.items()
        ),
        key=lambda recording: recording.name,
    )
    assert contents.failures == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NIGHTHAWK, "recordings", "lon"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(anything, st.dictionaries(st.sampled_from([*NIGHTHAWK, "lon"]), anything, max_size=4))
@example({"recordings": None}, {})
@example(None, {"id": float("nan")})
@example(None, {"id": True, "lat": True})
def test_no_value_affects_its_neighbours(answer: object, values: dict[str, object]) -> None:
    with TemporaryDirectory() as folder:
        archive = {
            "a.json": json.dumps(answer),
            "b.json": page(simple(777_777), {**WREN, **values}, answer, simple(888_888)),
        }
        write(Path(folder), archive, "XC777777.mp3", "XC888888.mp3")
        contents = read_xenocanto(Path(folder))
        assert is_xenocanto(Path(folder))
    assert {"XC777777", "XC888888"} <= set(names(contents))
    for recording in contents.recordings:
        json.dumps(to_metadata(recording), ensure_ascii=False, allow_nan=False).encode()


@settings(max_examples=100)
@given(st.binary(max_size=60) | st.text('[]{}",:0 recodings', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_reason(junk: bytes) -> None:
    with TemporaryDirectory() as folder:
        write(Path(folder), {"a.json": junk, "b.json": page(simple(7))}, "XC7.mp3")
        contents = read_xenocanto(Path(folder))
    assert names(contents) == ["XC7"]
    assert set(reasons(contents)) <= {"a.json"}
