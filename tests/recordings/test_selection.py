"""Only selected recordings are used, and what is left out is reported."""

from collections import Counter
from pathlib import Path

import pytest

from config import Dataset
from utils.console import UserError
from utils.recordings.labels import Taxonomy
from utils.recordings.recording import NOISE, Event, Recording, Taxon
from utils.recordings.selection import count_samples, read_whitelist, select_recordings

COUNTS = {"A a": 5, "B b": 3, "C c": 1, NOISE: 2}
RECORDINGS = [
    Recording(f"{label}{number}", Path("x"), label) for label, count in COUNTS.items() for number in range(count)
]
TAXONOMY = Taxonomy([Taxon("A a", "aa"), Taxon("B b", "bb", "Bee"), Taxon("C c", "cc")])


def counts(settings: Dataset) -> dict[str, int]:
    return dict(
        Counter(recording.species for recording in select_recordings(RECORDINGS, settings, TAXONOMY).recordings)
    )


def test_everything_is_used_unless_asked_otherwise() -> None:
    selection = select_recordings(RECORDINGS, Dataset(), TAXONOMY)
    assert (selection.recordings, selection.left_out) == (RECORDINGS, [])


def test_minimum_and_maximum() -> None:
    assert counts(Dataset(min_recordings=3)) == {"A a": 5, "B b": 3, NOISE: 2}
    assert counts(Dataset(max_recordings=2)) == {"A a": 2, "B b": 2, "C c": 1, NOISE: 2}
    assert counts(Dataset(max_recordings=1))[NOISE] == 1
    assert select_recordings(RECORDINGS, Dataset(min_recordings=3), TAXONOMY).left_out == [
        "fewer than 3 recordings or annotations: 1 classes, 1 recordings"
    ]


def test_maximum_number_of_classes() -> None:
    assert set(counts(Dataset(max_classes=2, class_order="alphabetical"))) == {"A a", "B b", NOISE}
    drawn = {frozenset(counts(Dataset(max_classes=1, seed=seed))) for seed in range(12)}
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "# wanted\nB b\n\ncc  # by code\n"),
        ("list", "Bee\nC  C\n"),
        (
            "frequent.json",
            (
                '[{"speciesCode": "bb", "frequency": 70.83}, {"speciesCode": "cc", "frequency": 20}, {"speciesCode": '
                '"aa", "frequency": 1.5}]'
            ),
        ),
        ("frequent.csv", "species_code,frequency\nbb,70.83\ncc,20\naa,1.5\n"),
        ("frequent.csv", "Scientific Name;Frequency\nB b;70.83\nC c;20\nA a;1.5\n"),
        ("names.json", '["B b", "cc"]'),
    ],
)
def test_whitelists(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert set(counts(Dataset(whitelist=tmp_path / name, whitelist_frequency=20.0 if "frequen" in name else 0.0))) == {
        "B b",
        "C c",
        NOISE,
    }


def test_whitelists_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    for text, reason in (
        ("{}", "should be a list"),
        ("[1]", "1 names no species"),
        ("[", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=reason):
            read_whitelist(path, TAXONOMY, frequency=0.0)
    path.write_text('[{"speciesCode": "bb", "frequency": 1}]')
    with pytest.raises(UserError, match="names no species with a frequency of 50 or more"):
        read_whitelist(path, TAXONOMY, frequency=50.0)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has no column of species"):
        read_whitelist(tmp_path / "x.csv", TAXONOMY, frequency=0.0)
    with pytest.raises(UserError, match="cannot be read"):
        read_whitelist(tmp_path / "none.txt", TAXONOMY, frequency=0.0)


def test_frequencies_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text('[{"speciesCode": "bb", "frequency": "70.5"}, {"speciesCode": "cc", "frequency": "0.1"}]')
    assert read_whitelist(path, TAXONOMY, frequency=10.0) == {"B b"}
    for value in ('"often"', "[1]", "1" + 400 * "0"):
        path.write_text(f'[{{"speciesCode": "bb", "frequency": {value}}}]')
        with pytest.raises(UserError, match="is not a number"):
            read_whitelist(path, TAXONOMY, frequency=10.0)
    (tmp_path / "list.txt").write_text("B b\n")
    with pytest.raises(UserError, match=r"has no frequencies, but dataset\.whitelist_frequency = 10 needs them"):
        read_whitelist(tmp_path / "list.txt", TAXONOMY, frequency=10.0)


def test_nothing_left_is_explained(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("Z z\n")
    birds = [recording for recording in RECORDINGS if recording.species != NOISE]
    with pytest.raises(
        UserError,
        match=(
            r"is left \(not on the whitelist: 3 classes, 9 recordings; on the whitelist, but without recordings: 1 "
            r"spec"
        ),
    ):
        select_recordings(birds, Dataset(whitelist=tmp_path / "list.txt"), TAXONOMY)


def test_long_recordings_lose_the_events_of_excluded_classes() -> None:
    tape = Recording(
        "tape", Path("x"), "", events=(Event(0.0, 1.0, "A a"), Event(1.0, 2.0, "D d"), Event(2.0, 3.0, "A a"))
    )
    other = Recording("other", Path("x"), "", events=(Event(0.0, 1.0, "D d"),))
    assert count_samples([tape, other]) == {"A a": 2, "D d": 2}
    selection = select_recordings([tape, other, *RECORDINGS], Dataset(min_recordings=3), TAXONOMY)
    assert [event.species for event in selection.recordings[0].events] == ["A a", "A a"]
    assert "other" not in [recording.name for recording in selection.recordings]
