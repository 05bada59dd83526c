"""Species are found by all their names, including old ones; and the labels of recordings and clips."""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from utils.console import UserError
from utils.recordings.labels import (
    Taxonomy,
    ground_truth,
    labels_between,
    labels_of_clips,
    read_aliases,
    read_taxonomy,
    spelling_variants,
)
from utils.recordings.recording import NOISE, Event, Recording, Taxon, check_label, clean_labels

TAXA = [
    Taxon("Turdus merula", "eurbla", "Common Blackbird"),
    Taxon("Parus major", "gretit1", "Great Tit"),
    Taxon("Sitta europaea"),
]


def test_names_both_ways() -> None:
    taxonomy = Taxonomy(TAXA)
    for name in ("Turdus merula", "turdus  Merula", "eurbla", "EURBLA", "common blackbird"):
        assert taxonomy.species(name) == "Turdus merula"
        assert taxonomy.code(name) == "eurbla"
        assert taxonomy.common_name(name) == "Common Blackbird"
    assert (taxonomy.species("Sitta europaea"), taxonomy.code("Sitta europaea")) == ("Sitta europaea", "")
    assert (taxonomy.species("who  knows"), taxonomy.code("who knows")) == ("who knows", "")


def test_renamed_species() -> None:
    aliases = {
        "Parus caeruleus": "Cyanistes caeruleus",
        "Turdus merula": "Turdus mandarinus",
        "Turdus mandarinus": "Turdus novus",
        "gretit1": "Parus minor",
    }
    taxonomy = Taxonomy(TAXA, aliases)
    assert taxonomy.species("parus caeruleus") == "Cyanistes caeruleus"
    assert taxonomy.species("eurbla") == taxonomy.species("Turdus merula") == "Turdus novus"
    assert taxonomy.species("Great Tit") == taxonomy.species("gretit1") == "Parus minor"
    assert taxonomy.code("Turdus novus") == "eurbla"
    with pytest.raises(UserError, match="the aliases contain a cycle"):
        Taxonomy(TAXA, {"A b": "C d", "C d": "A b"})
    assert Taxonomy(TAXA, {"A b": "a  B"}).species("A b") == "a B"  # the spelling that is wanted


def test_recordings_are_translated() -> None:
    events = (Event(0.0, 1.0, "gretit1"), Event(1.0, 2.0, "nocall"))
    recording = Recording("eurbla/x", Path("x.wav"), "eurbla", ("Great Tit", "eurbla", "???"), events)
    translated = Taxonomy(TAXA).translate(recording)
    assert (translated.name, translated.species, translated.class_id) == ("Turdus merula/x", "Turdus merula", "eurbla")
    assert translated.background == ("Parus major", "???")
    assert [event.species for event in translated.events] == ["Parus major", NOISE]
    assert translated.common_name == "Common Blackbird"
    with pytest.raises(ValueError, match="cannot use the species name"):
        Taxonomy([Taxon("../x", "code")]).translate(Recording("x", Path("x.wav"), "code"))


def test_tables_of_species(tmp_path: Path) -> None:
    forms = {
        "ebird.csv": (
            "TAXON_ORDER,CATEGORY,SPECIES_CODE,PRIMARY_COM_NAME,SCI_NAME\n2,species,eurbla,Common Blackbird,Turdus "
            "merula\n"
        ),
        "kaggle.csv": (
            "primary_label,inat_taxon_id,scientific_name,common_name,class_name\neurbla,1,Turdus merula,Common "
            "Blackbird,Aves\n"
        ),
        "zenodo.csv": "Species eBird Code;Scientific Name;Common Name\neurbla;Turdus merula;Common Blackbird\n",
        "tabs.tsv": "\ufeffscientific name\tcode\tcommon name\n Turdus  merula \teurbla\tCommon Blackbird\n",
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert read_taxonomy(tmp_path / name) == TAXA[:1], name
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        UserError, match=r"no column of scientific names, such as scientific_name; its columns are a, b"
    ):
        read_taxonomy(tmp_path / "bad.csv")
    with pytest.raises(UserError, match="cannot be read"):
        read_taxonomy(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(UserError, match="holds no table"):
        read_taxonomy(tmp_path / "empty.csv")
    (tmp_path / "quotes.csv").write_text('scientific_name\nA b\n"C d\n')
    with pytest.raises(UserError, match=r"quotes\.csv line 3: broken quoting"):
        read_taxonomy(tmp_path / "quotes.csv")


def test_files_of_aliases(tmp_path: Path) -> None:
    path = tmp_path / "aliases.csv"
    path.write_text('old,new\n# a remark\nParus  caeruleus,Cyanistes caeruleus\n\n"A, b",C d\n')
    assert read_aliases(path) == {"Parus caeruleus": "Cyanistes caeruleus", "A, b": "C d"}
    path.write_text("A b,C d\nE f\n")
    with pytest.raises(UserError, match=r"aliases\.csv line 2: should be an old name"):
        read_aliases(path)


def test_labels_between_two_times() -> None:
    events = [
        vars(event)
        for event in (Event(0.0, 2.0, "A"), Event(1.5, 4.0, "B"), Event(3.0, 3.0, "C"), Event(0.5, 1.0, "A"))
    ]
    assert labels_between(events, 0.0, 1.0) == ["A"]
    assert labels_between(events, 1.0, 3.0) == ["B", "A"]
    assert labels_between(events, 3.0, 4.0) == ["B", "C"]
    assert labels_between(events, 2.5, 3.0) == ["B"]
    assert labels_between(events, 4.0, 5.0) == []


def test_labels_of_clips_equal_labels_between() -> None:
    rng = np.random.default_rng(0)
    # many that begin or end with a clip, and points in time
    starts, lengths = rng.integers(0, 40, 200) / 2, rng.integers(0, 6, 200) / 4
    events = [
        vars(Event(start, start + length, species))
        for start, length, species in zip(starts.tolist(), lengths.tolist(), "ABCDE" * 40, strict=True)
    ]
    events.append(vars(Event(0.0, 20.0, "F")))
    clips = [*np.arange(0, 19, 0.75).tolist(), 19.0, 19.0]
    assert list(labels_of_clips(events, clips, length=1.0)) == [
        labels_between(events, start, start + 1.0) for start in clips
    ]
    assert list(labels_of_clips([], clips, length=1.0)) == [[]] * len(clips)


def test_a_recording_may_have_tens_of_thousands_of_events() -> None:
    events = [
        vars(Event(0.0, 20_000.0, "A")),
        *(vars(Event(float(start), start + 0.5, "B")) for start in range(20_000)),
    ]
    passed = time.process_time()
    found = list(labels_of_clips(events, map(float, range(20_000)), length=1.0))
    assert time.process_time() - passed < 10  # looking at all events for each clip takes a minute and more
    assert found == [["A", "B"]] * 20_000


def test_truth() -> None:
    table = pl.DataFrame({"class": ["A", "X"], "background": [["C", "Y"], ["B"]]})
    assert ground_truth(table, ("A", "B", "C"), background=True).tolist() == [[True, False, True], [False, True, False]]
    assert ground_truth(table, ("A", "B", "C"), background=False).tolist() == [
        [True, False, False],
        [False, False, False],
    ]
    heard = table.with_columns(pl.Series("events", [[], [{"species": "C"}, {"species": "A"}]]))
    assert ground_truth(heard, ("A", "B", "C"), background=False).tolist() == [
        [True, False, False],
        [True, False, True],
    ]


def test_spelling_variants() -> None:
    labels = [
        "BTNW",
        "btnw",
        "Btnw",
        "Turdus merula",
        "Turdus_Merula",
        "TURDUS  MERULA",
        "Parus major",
        "Black_cap",
        "black cap",
        "Parus minor",
    ]
    assert spelling_variants(labels) == [
        ["BTNW", "Btnw", "btnw"],
        ["Black_cap", "black cap"],
        ["TURDUS  MERULA", "Turdus merula", "Turdus_Merula"],
    ]
    assert spelling_variants([]) == []


def test_labels_that_look_the_same_are_one() -> None:
    """With accents as characters of their own, a space of no width, a byte-order mark, or a soft hyphen."""
    looks = ["Pic \u00e9peiche", "Pic e\u0301peiche", "Pic\u200b \u00e9pei\u00adche", "\ufeffPic  \u00e9peiche"]
    assert {check_label(label) for label in looks} == {"Pic \u00e9peiche"}
    assert clean_labels(looks, without="") == ("Pic \u00e9peiche",)
    taxonomy = Taxonomy([Taxon("Dendrocopos major", "", looks[1])])
    assert {taxonomy.species(label) for label in looks} == {"Dendrocopos major"}
    assert spelling_variants(["Larus sp", "Larus sp."]) == [["Larus sp", "Larus sp."]]


@pytest.mark.parametrize("label", ["btnw", "Btnw", "BTNW "])
def test_an_alias_may_change_only_the_spelling(label: str) -> None:
    assert Taxonomy([], {"btnw": "BTNW"}).species(label) == "BTNW"


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("Turdus merula_Eurasian Blackbird", "Turdus merula"),
        ("Turdus merula merula_Blackbird (of Europe)", "Turdus merula merula"),
        ("Turdus_merula", "Turdus_merula"),
        ("call_type_1", "call_type_1"),
        ("Background", NOISE),
        ("silence", NOISE),
        ("nocall", NOISE),
        ("other", "other"),
    ],
)
def test_labels_as_birdnet_writes_them(label: str, found: str) -> None:
    assert check_label(label) == found
