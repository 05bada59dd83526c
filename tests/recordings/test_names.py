"""Recordings have unique names that are valid file names everywhere, and keep them when others are added."""

import os
import time
from pathlib import Path

import polars as pl
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import sort_data
from config import Config, Dataset
from tests.conftest import RATE, chirp, small_config
from utils.files import check_name
from utils.recordings.archive import read_archive
from utils.recordings.names import EarlierNames, plain_name, with_unique_names
from utils.recordings.recording import Recording, Split


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("plain name-1 (a) [b] 50%", "plain name-1 (a) [b] 50%"),
        ("2022-11-21-birdnet-16:09:00", "2022-11-21-birdnet-16%3A09%3A00"),
        ("a\\b", "a%5Cb"),
        ("tab\there", "tab%09here"),
        (" ends ", "%20ends%20"),
        ("nul", "%6Eul"),
        ("..", "%2E."),
        ("Mésange à tête noire", "Mésange à tête noire"),
    ],
)
def test_plain_names(text: str, name: str) -> None:
    assert plain_name(text) == name


def test_long_names_end_in_a_hash_and_stay_different() -> None:
    one, other = plain_name("é" * 150 + "a"), plain_name("é" * 150 + "b")
    assert one != other
    assert max(len(name.encode()) for name in (one, other)) <= 200


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_every_text_gives_a_valid_file_name(text: str) -> None:
    assert check_name(plain_name(text)) == plain_name(text)


@pytest.mark.parametrize("text", ["", "\udce9t\udce9"])
def test_invalid_unicode_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is empty|cannot hold"):
        plain_name(text)


NOTHING = EarlierNames()


def named(
    files: list[str],
    earlier: EarlierNames = NOTHING,
    *,
    species: str = "",
    names: list[str] | None = None,
    splits: list[Split] | None = None,
) -> dict[str, str]:
    archive = Path("/archive")
    split = splits or [None] * len(files)
    recordings = [
        Recording(names[row] if names else Path(file).stem, archive / file, species, split=split[row])
        for row, file in enumerate(files)
    ]
    return {one.source: one.name for one in with_unique_names(recordings, archive, earlier)}


def test_equal_names_become_paths() -> None:
    assert named(["AM00/x.wav", "AM01/x.wav", "y.wav"]) == {
        "AM00/x.wav": "AM00/x",
        "AM01/x.wav": "AM01/x",
        "y.wav": "y",
    }
    assert named(["x.wav", "AM01/x.wav"]) == {"x.wav": "x", "AM01/x.wav": "AM01/x"}


def test_equal_paths_are_distinguished_by_their_extension() -> None:
    assert named(["tape.wav", "tape.FLAC", "a/tape.wav"]) == {
        "tape.wav": "tape (wav)",
        "tape.FLAC": "tape (flac)",
        "a/tape.wav": "a/tape",
    }


def test_with_class_folders_the_path_follows_the_class() -> None:
    files, names = ["Amsel/1.wav", "Turdus merula/1.wav"], ["Turdus merula/1"] * 2
    found = named(files, species="Turdus merula", names=names)
    assert set(found.values()) == {"Turdus merula/Amsel/1", "Turdus merula/Turdus merula/1"}


def test_names_of_an_earlier_sort_stay() -> None:
    assert named(["AM00/x.wav", "AM01/x.wav"], EarlierNames({"AM01/x.wav": "x"})) == {
        "AM00/x.wav": "AM00/x",
        "AM01/x.wav": "x",
    }
    # the other one is gone meanwhile
    assert named(["AM01/x.wav"], EarlierNames({"AM01/x.wav": "AM01/x"})) == {"AM01/x.wav": "AM01/x"}
    # as earlier versions did
    assert named(["AM00/x.wav", "AM01/x.wav"], EarlierNames(others=frozenset({"x"}))) == {
        "AM00/x.wav": "x",
        "AM01/x.wav": "AM01/x",
    }


@pytest.mark.parametrize(
    "before", [["a/1.wav"], ["a/1.wav", "b/1.wav"], ["a/1.wav", "a/1.mp3"], ["a/1.wav", "a/1.mp3", "b/1.wav"]]
)
@pytest.mark.parametrize(
    "after",
    [
        ["a/1.wav"],
        ["a/1.wav", "b/1.wav"],
        ["a/1.mp3", "a/1.wav"],
        ["b/1.flac", "a/1.wav", "a/1.mp3", "b/1.wav", "1.wav"],
    ],
)
def test_names_stay_when_files_come_and_go(before: list[str], after: list[str]) -> None:
    first = named(before)
    second = named(after, EarlierNames(first))
    assert {source: name for source, name in second.items() if source in first} == {
        source: first[source] for source in after if source in first
    }
    assert len(set(second.values())) == len(after)


def test_a_recording_keeps_its_name_when_the_other_split_gets_the_same() -> None:
    first = named(["val/X/1.wav"], species="X", names=["X/1"], splits=["val"])
    assert first == {"val/X/1.wav": "X/1"}
    both = named(
        ["train/X/1.wav", "val/X/1.wav"], EarlierNames(first), species="X", names=["X/1"] * 2, splits=["train", "val"]
    )
    assert both == {"train/X/1.wav": "X/1 (train)", "val/X/1.wav": "X/1"}
    fresh = named(
        ["train/X/1.wav", "val/X/1.wav", "test/X/2.wav"],
        species="X",
        names=["X/1", "X/1", "X/2"],
        splits=["train", "val", "test"],
    )
    assert fresh == {"train/X/1.wav": "X/1", "val/X/1.wav": "X/1 (val)", "test/X/2.wav": "X/2"}


def test_many_recordings_with_one_name_are_fast() -> None:
    files = [f"{number}/audio.wav" for number in range(20_000)]
    start = time.process_time()
    assert len(set(named(files).values())) == len(files)
    assert time.process_time() - start < 20  # a tenth of it, were each compared with each it would be hours


def test_parts_of_paths_are_valid_and_not_metadata() -> None:
    found = named(["site:1/x.wav", "b.json/x.wav"])
    assert found == {"site:1/x.wav": "site%3A1/x", "b.json/x.wav": "b.json_/x"}


def test_one_escaped_name_beside_what_it_stands_for() -> None:
    found = named(["a:b.wav", "a%3Ab.wav"], names=["a%3Ab"] * 2)
    assert len(set(found.values())) == 2


def two_recorders(archive: Path, recorders: list[str]) -> None:
    for number, recorder in enumerate(recorders):
        (archive / recorder).mkdir(parents=True)
        for day in (10, 11):
            soundfile.write(
                archive / recorder / f"202306{day}_025100.WAV",
                chirp(1000 + 900 * number, seconds=3, seed=number * 9 + day),
                RATE,
            )
    rows = [
        f"{recorder}/202306{day}_025100.WAV,0.5,1.5,{recorder}us avis" for recorder in recorders for day in (10, 11)
    ]
    (archive / "annotations.csv").write_text("\n".join(["file,start,end,species", *rows]) + "\n")


def config_of(tmp_path: Path) -> Config:
    return small_config(tmp_path / "root", tmp_path / "archive")


def test_both_recorders_are_sorted_and_names_do_not_change_when_a_third_comes(tmp_path: Path) -> None:
    two_recorders(tmp_path / "archive", ["AM00"])
    assert sort_data.main(config_of(tmp_path)).failures == []
    before = set(pl.read_parquet(tmp_path / "root" / "split.parquet")["recording"])
    assert before == {"20230610_025100", "20230611_025100"}
    (tmp_path / "archive" / "annotations.csv").rename(tmp_path / "archive" / "AM00.csv")
    two_recorders(tmp_path / "archive", ["AM01", "AM02"])
    assert sort_data.main(config_of(tmp_path)).failures == []
    table = pl.read_parquet(tmp_path / "root" / "split.parquet")
    assert set(table["recording"]) == before | {
        f"AM0{number}/202306{day}_025100" for number in (1, 2) for day in (10, 11)
    }
    assert all((tmp_path / "root" / file).is_file() for file in table["file"])
    again = sort_data.main(config_of(tmp_path))
    assert again.failures == []
    assert pl.read_parquet(tmp_path / "root" / "split.parquet").equals(table)


@pytest.mark.skipif(os.name != "posix", reason="no file is called so on Windows")
@pytest.mark.parametrize("mode", ["copy", "move", "symlink"])
def test_names_with_colons_and_the_like_are_sorted_and_found_again(tmp_path: Path, mode: str) -> None:
    for species in ("Great_Tit", "Common_Blackbird"):
        (tmp_path / "archive" / species).mkdir(parents=True)
        for number, name in enumerate(
            (f"{species}-80-2022-11-21-birdnet-16:09:00", "nul", f"back\\slash {species}", f"{species}{'x' * 220}")
        ):
            soundfile.write(
                tmp_path / "archive" / species / f"{name}.wav",
                chirp(1000 + 500 * len(species), seconds=2, seed=number),
                RATE,
            )
    settings = {"archive": tmp_path / "archive", "root": tmp_path / "root", "val_share": 0.25, "sort_mode": mode}
    config = Config(workers=1, dataset=Dataset(**settings))
    assert sort_data.main(config).failures == []
    table = pl.read_parquet(tmp_path / "root" / "split.parquet")
    assert len(table) == 8
    assert "Great_Tit/Great_Tit-80-2022-11-21-birdnet-16%3A09%3A00" in set(table["recording"])
    assert all((tmp_path / "root" / file).is_file() for file in table["file"])
    assert sort_data.main(config).failures == []  # those that were moved are found where they are now
    assert pl.read_parquet(tmp_path / "root" / "split.parquet").equals(table)
    assert len(read_archive(config.dataset).recordings) == 8
