"""Tables beside annotations, and names of files, tell where, when and by whom annotated sounds were recorded."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
import soundfile

import sort_data
from config import Columns, Dataset
from tests.conftest import RATE, chirp, small_config, write_tables
from utils.recordings.annotations import is_annotations, read_annotations
from utils.recordings.folders import read_folders
from utils.recordings.grouping import Grouping, group_recordings
from utils.recordings.inventory import take_inventory
from utils.recordings.recording import Contents, Recording

SOUNDS = ("Elm/20230615_025100.wav", "Elm/20230616_025100.wav", "Oak/20230615_025100.wav", "b/ASH_20230615_235959.wav")
EVENTS = "file,start,end,species\n" + "".join(f"{sound},1,2,Apus apus\n" for sound in SOUNDS)
SITES = "Site;Lat;Lon;Elevation;Recordist\nelm;-1,5;36,25;1600;Ann\nOAK;52;13;;Bob\nnowhere;1;1;;\n"


def read(archive: Path, tables: Mapping[str, str], **settings: str) -> Contents:
    return read_annotations(write_tables(archive, {"events.csv": EVENTS, **tables}, *SOUNDS), Columns(), **settings)


def reasons(contents: Contents) -> list[tuple[str, str]]:
    return [(failure.name, failure.reason) for failure in contents.failures]


def by_path(contents: Contents, archive: Path) -> dict[str, Recording]:
    return {one.file.relative_to(archive).as_posix(): one for one in contents.recordings}


def test_without_tables_names_tell_site_and_time(tmp_path: Path) -> None:
    found = by_path(read(tmp_path, {}), tmp_path)
    assert [(found[sound].locality, found[sound].date, found[sound].time) for sound in SOUNDS] == [
        ("Elm", "2023-06-15", "02:51"),
        ("Elm", "2023-06-16", "02:51"),
        ("Oak", "2023-06-15", "02:51"),
        ("ASH", "2023-06-15", "23:59"),
    ]


def test_a_pattern_of_the_settings(tmp_path: Path) -> None:
    found = by_path(read(tmp_path, {}, site_pattern=r"(?P<site>[A-Z])[a-z]*(/|[A-Z]*_)"), tmp_path)
    assert [found[sound].locality for sound in SOUNDS] == ["E", "E", "O", "A"]


def test_sites_are_joined_by_name(tmp_path: Path) -> None:
    contents = read(tmp_path, {"sites.csv": SITES})
    found = by_path(contents, tmp_path)
    assert [(one.author, one.latitude, one.longitude, one.elevation) for one in map(found.get, SOUNDS) if one] == [
        ("Ann", -1.5, 36.25, "1600"),
        ("Ann", -1.5, 36.25, "1600"),
        ("Bob", 52.0, 13.0, ""),
        ("", None, None, ""),
    ]
    assert contents.failures == []
    assert tmp_path / "sites.csv" in contents.seen


def test_a_row_wins_over_the_name_and_the_name_over_the_site(tmp_path: Path) -> None:
    table = (
        "recording,site,lat,lon,date,time,rating,author\n"
        "ASH_20230615_235959,Oak,,,20230701,05:00,4,\n"
        "Elm/20230615_025100.flac,,1,2,,,,Eve\n"
    )
    found = by_path(read(tmp_path, {"metadata.csv": table, "sites.csv": SITES}), tmp_path)
    ash, elm = found[SOUNDS[3]], found[SOUNDS[0]]
    assert (ash.locality, ash.date, ash.time, ash.quality, ash.author) == ("Oak", "2023-07-01", "05:00", "4", "Bob")
    assert (ash.latitude, ash.longitude) == (52.0, 13.0)
    assert (elm.locality, elm.date, elm.latitude, elm.author) == ("Elm", "2023-06-15", 1.0, "Eve")


def test_rows_of_recordings_and_sites_in_one_table(tmp_path: Path) -> None:
    table = "file,site,latitude,longitude\n,Elm,1,2\nElm/20230616_025100.wav,,3,4\n"
    found = by_path(read(tmp_path, {"annotated/recordings.csv": table, "annotated/more.csv": EVENTS}), tmp_path)
    assert [found[sound].latitude for sound in SOUNDS] == [1.0, 3.0, None, None]


def test_bad_rows_are_told_once_for_each_kind(tmp_path: Path) -> None:
    table = (
        "filename,latitude,longitude,date,author\n"
        "Elm/20230615_025100.wav,95,0,2023-06-31,Ann\n"
        "Elm/20230616_025100.wav,1,,31.12.2023,Bob\n"
        "Elm/20230616_025100.wav,1,1,,Cy\n"
        "gone.wav,1,1,,\n"
        "20230615_025100,1,1,,\n"  # two have this name
        "Oak/20230615_025100.wav,1,1,unknown,Dee,more,values\n"
    )
    contents = read(tmp_path, {"metadata.csv": table, "sites.csv": "site,latitude,longitude\nElm,x,1\n"})
    assert reasons(contents) == [
        ("metadata.csv", "2 of its 4 recordings cannot be found, such as 'gone.wav'"),
        (
            "metadata.csv",
            "1 row for a recording that an earlier row describes differently; the first row is used, such as for the "
            "author of 'Elm/20230616_025100.wav'",
        ),
        (
            "metadata.csv",
            "2 rows with coordinates that cannot be used (they should be degrees, as 52.5 and 13.4), such as '95, 0' "
            "of 'Elm/20230615_025100.wav'",
        ),
        (
            "metadata.csv",
            "2 rows with a date that cannot be used (it should be as 2023-06-15), such as '2023-06-31' of "
            "'Elm/20230615_025100.wav'",
        ),
        ("metadata.csv line 7", "has 7 values, the table 5 columns"),
        (
            "sites.csv",
            "1 row with coordinates that cannot be used (they should be degrees, as 52.5 and 13.4), such as 'x, 1' of "
            "'Elm'",
        ),
    ]
    elm = by_path(contents, tmp_path)[SOUNDS[0]]
    assert (elm.author, elm.date, elm.latitude, elm.longitude) == ("Ann", "2023-06-15", None, None)


def test_a_table_of_other_recordings_is_told_once(tmp_path: Path) -> None:
    contents = read(tmp_path, {"metadata.csv": "file,author\na.wav,A\nb.wav,B\n"})
    assert reasons(contents) == [("metadata.csv", "all 2 of its recordings cannot be found, such as 'a.wav'")]


def test_a_table_of_other_sites_costs_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert read(tmp_path, {"sites.csv": "site,latitude,longitude\nPond,1,1\n"}).failures == []
    (line,) = capsys.readouterr().err.splitlines()
    assert read(tmp_path, {"sites.csv": "site,habitat\nPond,wood\n"}).failures == []  # nothing that could be used
    assert capsys.readouterr().err == ""
    assert "'pond', names none of those of the recordings: theirs are as 'elm'" in line


def test_a_table_with_starts_of_recordings_is_no_annotation_table(tmp_path: Path) -> None:
    """It has files and starts, so that it lacks only a column of species to be one."""
    table = "file,start,site\nb/ASH_20230615_235959.wav,06:00:00,Pond\n"
    contents = read(tmp_path, {"recordings.csv": table})
    assert contents.failures == []
    assert by_path(contents, tmp_path)[SOUNDS[3]].locality == "Pond"
    (tmp_path / "events.csv").unlink()
    assert not is_annotations(tmp_path, Columns())


def test_tables_of_metadata_are_not_reported_as_not_understood(tmp_path: Path) -> None:
    contents = read(tmp_path, {"metadata.csv": "file,species,length\nb/ASH_20230615_235959.wav,Apus apus,60\n"})
    inventory = take_inventory(tmp_path, used={*(tmp_path / s for s in SOUNDS)}, seen=contents.seen, columns=Columns())
    assert (inventory.not_understood, inventory.others, contents.failures) == (0, (), [])


def test_annotations_may_be_named_as_metadata(tmp_path: Path) -> None:
    write_tables(tmp_path, {"metadata.csv": EVENTS}, *SOUNDS)
    contents = read_annotations(tmp_path, Columns())
    assert [len(one.events) for one in contents.recordings] == [1] * 4
    assert contents.failures == []


@pytest.mark.parametrize(("by", "groups"), [("site", 3), ("author", 3), ("day", 4), ("block", 2)])
def test_groups_of_annotated_recordings(tmp_path: Path, by: Grouping, groups: int) -> None:
    recordings = read(tmp_path, {"sites.csv": SITES}).recordings
    settings = Dataset(block_recordings=1)
    found = group_recordings(recordings, settings, by)
    same = {one.locality: set() for one in recordings}
    for one, index in zip(recordings, found.index, strict=True):
        same[one.locality].add(int(index))
    if by == "block":  # Ash has no coordinates
        groups += 1
    assert len(found.names) == groups
    assert len(same["Elm"]) == (2 if by == "day" else 1)


def test_sites_of_class_folders(tmp_path: Path) -> None:
    files = ("Apus apus/ELM_20230615_025100.wav", "Apus apus/OAK_20230615_025100.wav", "Apus apus/XC1.mp3")
    tables = {"sites.csv": SITES, "metadata.csv": "file,site,author\nApus apus/XC1.mp3,Oak,Dee\n"}
    contents = read_folders(write_tables(tmp_path, tables, *files))
    assert contents.failures == []
    found = [(one.locality, one.author, one.latitude) for one in contents.recordings]
    assert found == [("ELM", "Ann", -1.5), ("OAK", "Bob", 52.0), ("Oak", "Dee", 52.0)]


def test_sorting_keeps_sites_together(tmp_path: Path) -> None:
    archive, species = tmp_path / "archive", ("Apus apus", "Pica pica")
    rows = []
    for index in range(12):
        sound = f"{'ABCD'[index % 4]}/2023061{index % 5}_0{index % 10}0000.wav"
        (archive / sound).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(archive / sound, chirp(1000.0, seconds=1.5, seed=index), RATE)
        rows += [f"{sound},0.2,0.9,{name}" for name in species]
    write_tables(archive, {"events.csv": "\n".join(["file,start,end,species", *rows])})
    config = small_config(tmp_path / "root", archive)
    dataset = dataclasses.replace(config.dataset, split="grouped", group_by="site")
    result = sort_data.main(dataclasses.replace(config, dataset=dataset))
    assert result.failures == []
    table = pl.read_parquet(result.split)
    sides = table.group_by(pl.col("group")).agg(pl.col("split").n_unique())
    assert (sides["split"].to_list(), sides.height) == ([1] * 4, 4)
    assert set(table["split"]) == {"train", "val"}
