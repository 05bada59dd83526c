"""sort_data.py keeps what recorders wrote: in metadata/, in recorders.csv, and in splits by site and day."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import sort_data
from config import Config, Dataset
from tests.recorder_files import GUANO, SUMMARY, audiomoth_wave, comment, guano_wave, wave, write
from utils.console import Failure
from utils.recordings.archive import read_archive
from utils.recordings.archive_split import split_archive
from utils.recordings.recorders.archive_recordings import RECORDER_SCHEMA, recorder_table, write_recorder_table
from utils.recordings.recording import Recording
from utils.recordings.selection import select_recordings

ROBIN = "Erithacus rubecula"


def settings_of(folder: Path, **settings: Any) -> Dataset:
    return Dataset(archive=folder / "archive", root=folder / "root", kind="folders", **settings)


def sort(folder: Path, **settings: Any) -> tuple[pl.DataFrame, list[Failure]]:
    """Sort folder/archive into folder/root; return recorders.csv and what could not be used."""
    done = sort_data.main(Config(dataset=settings_of(folder, **settings)))
    return pl.read_csv(folder / "root" / "recorders.csv", schema=RECORDER_SCHEMA), done.failures


def read(folder: Path, **settings: Any) -> tuple[pl.DataFrame, list[Failure]]:
    """Read folder/archive without sorting it; return what recorders.csv would hold, and what could not be used."""
    dataset = settings_of(folder, **settings)
    archive = read_archive(dataset)
    return recorder_table(archive.recordings, dataset), archive.failures


def metadata_of(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / "root" / "metadata" / f"{name}.json").read_text(encoding="utf-8"))


def fill(folder: Path) -> None:
    robin = folder / "archive" / ROBIN
    write(robin / "Elm" / "20211002_190000.WAV", audiomoth_wave())
    write(robin / "card" / "ELM_20211002_190000.wav", guano_wave(seconds=0.6))
    write(robin / "card" / "OAK_20211002_190010.wav", wave(seconds=0.7))
    write(robin / "card" / "OAK_Summary.txt", SUMMARY)


def test_what_recorders_wrote_is_in_the_table_and_in_metadata(tmp_path: Path) -> None:
    fill(tmp_path)
    table, failures = sort(tmp_path)
    assert failures == []
    moth, meter, oak = table.rows()
    assert moth == (
        f"{ROBIN}/Elm/20211002_190000", "Elm", "2021-10-02T19:00:00Z", "2021-10-02T19:00:00Z", "AudioMoth",
        "24F319055FDF2205", "medium", 11.5, 4.1, None, None,
    )  # fmt: skip
    assert meter[1:4] == ("ELM", "2021-10-02T19:00:00+02:00", "2021-10-02T17:00:00Z")
    assert meter[-2:] == (52.5163, 13.3777)
    assert oak[1:] == ("OAK", "2021-10-02T19:00:10", "", "", "", "", 11.5, 4.1, -33.0, -70.5)
    known = metadata_of(tmp_path, f"{ROBIN}/card/ELM_20211002_190000")
    assert known["started"] == "2021-10-02T19:00:00+02:00"
    assert (known["date"], known["time"], known["locality"]) == ("2021-10-02", "19:00+02:00", "ELM")
    assert (known["elevation"], known["gain"], known["temperature"]) == ("34", "18 dB", 11.5)


def test_moving_sounds_and_sorting_again_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    first, _ = sort(tmp_path, sort_mode="move")
    again, failures = read(tmp_path, sort_mode="move")
    assert first.rows() == again.rows()
    assert failures == []


def test_a_table_of_the_user_counts_more_than_the_header(tmp_path: Path) -> None:
    fill(tmp_path)
    row = f"{ROBIN}/card/ELM_20211002_190000.wav,Mill,1.5,2.5"
    write(tmp_path / "archive" / "metadata.csv", f"file,locality,latitude,longitude\n{row}\n")
    table, _ = read(tmp_path)
    (found,) = table.filter(pl.col("recording").str.ends_with("ELM_20211002_190000")).rows()
    assert (found[1], found[-2:]) == ("Mill", (1.5, 2.5))


def test_annotated_cards_with_a_summary_and_deployments_in_the_archive(tmp_path: Path) -> None:
    card = tmp_path / "archive" / "card"
    write(card / "Data" / "OAK_20211002_190010.wav", wave())
    write(card / "OAK_Summary.txt", SUMMARY)
    write(card / "Data" / "FIR_20211002_190010.wav", wave(seconds=0.6))
    path = write(tmp_path / "archive" / "deployments.csv", "site,latitude,longitude\nFir,1,2\nOak,3,4\n")
    rows = "".join(f"{site}_20211002_190010.wav,0.1,0.2,{ROBIN}\n" for site in ("OAK", "FIR"))
    write(tmp_path / "archive" / "calls.csv", "file,start,end,species\n" + rows)
    dataset = dataclasses.replace(settings_of(tmp_path, deployments=path), kind="auto")
    archive = read_archive(dataset)
    assert (archive.kind, archive.failures) == ("annotations", [])
    places = [(one.latitude, one.longitude, one.temperature) for one in archive.recordings]
    assert places == [(1.0, 2.0, None), (-33.0, -70.5, 11.5)]


def test_damaged_headers_and_false_times_are_one_line_each(tmp_path: Path) -> None:
    fill(tmp_path)
    robin = tmp_path / "archive" / ROBIN
    write(robin / "Elm" / "20211003_190000.WAV", audiomoth_wave())
    write(robin / "Elm" / "20211004_190000.WAV", audiomoth_wave(comment("19:00:00 31/02/2021")))
    write(robin / "card" / "OAK_Summary.txt", SUMMARY + "noise\n")
    table, failures = read(tmp_path)
    assert len(table) == 5
    assert [(one.name.rsplit("/", 1)[-1], one.reason.split(",")[0]) for one in failures] == [
        ("20211003_190000.WAV", "its header says 2021-10-02 19:00:00+00:00"),
        ("20211004_190000.WAV", failures[1].reason),
        ("OAK_Summary.txt", "1 of 4 lines cannot be used"),
    ]
    assert "31/02/2021" in failures[1].reason


def test_no_cell_of_the_table_is_a_formula(tmp_path: Path) -> None:
    one = Recording("=1/a", tmp_path / "a.wav", ROBIN, locality="@SUM(A1)", recorder="+cmd", gain="-3.5")
    (row,) = recorder_table([one], Dataset()).rows(named=True)
    assert [row[name] for name in ("recording", "site", "recorder", "gain")] == ["'=1/a", "'@SUM(A1)", "'+cmd", "-3.5"]


def test_without_recorders_there_is_no_table(tmp_path: Path) -> None:
    path = write(tmp_path / "recorders.csv", "of an earlier sort")
    write_recorder_table(path, [Recording("a", tmp_path / "a.wav", ROBIN)], Dataset())
    assert not path.exists()


@pytest.mark.parametrize("by", ["site", "day"])
def test_splits_by_site_and_day_use_what_recorders_wrote(tmp_path: Path, by: str) -> None:
    start = datetime(2021, 10, 2, 19, tzinfo=UTC)
    for row, site in enumerate(("ELM", "OAK", "FIR")):
        for index in range(4):
            when = f"{start + timedelta(hours=9 * index):%Y-%m-%dT%H:%M:%S}Z"
            text = GUANO.replace("Prefix: ELM", f"Prefix: {site}").replace("2021-10-02T19:00:00+02:00", when)
            sound = guano_wave(text.replace("Loc Position", "Position"), seconds=0.5 + (4 * row + index) / 20)
            write(tmp_path / "archive" / ROBIN / f"{index}{row}.wav", sound)
    config = Config(dataset=settings_of(tmp_path, split="grouped", group_by=by, val_share=0.3))
    archive = read_archive(config.dataset)
    selection = select_recordings(archive.recordings, config.dataset, archive.taxonomy, kind=archive.kind)
    table = split_archive(archive, selection, config).table(config.dataset)
    groups = table.group_by("group").agg(pl.col("split").n_unique())
    days, sites = ("2021-10-02", "2021-10-03"), ("site: elm", "site: fir", "site: oak")
    wanted = sites if by == "site" else tuple(f"day: {day} {site}" for day in days for site in sites)
    assert tuple(sorted(groups["group"])) == wanted
    assert set(groups["split"]) == {1}
    assert set(table["split"]) == {"train", "val"}
