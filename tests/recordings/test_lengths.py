"""Annotations after the end of their recording are reported, and the rest of it is not taken for silence."""

import io
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import soundfile

import sort_data
import spec
from config import Config
from tests.conftest import RATE, chirp, small_config
from utils.recordings.lengths import (
    AFTER_END,
    drop_events_after_end,
    events_after_end_message,
    split_at_end,
    verified_lengths,
)
from utils.recordings.recording import Event, Recording
from utils.recordings.splits import SPLIT_SCHEMA, read_split

SONG = Event(1.0, 2.0, "Turdus merula")


def test_an_event_that_only_ends_after_the_end_is_used() -> None:
    events = (
        Event(9.5, 12.0, "a"),
        Event(10.0, 10.0, "b"),
        Event(12.0, 13.0, "c"),
        Event(0.0, 10.0, "d"),
        Event(1.0, 900.0, "e"),
    )
    inside, behind = split_at_end(events, 10.0)
    assert ([event.species for event in inside], [event.species for event in behind]) == (["a", "d"], ["b", "c", "e"])


@pytest.mark.parametrize(
    ("lost", "of", "words"),
    [
        ([Event(12.0, 13.0, "a"), Event(14.0, 15.0, "a")], 3, ["2 of 3 annotations lie", "10.0 s", "File Offset (s)"]),
        ([Event(4000.0, 5000.0, "a")], 2, ["1 of 2 annotations lie", "milliseconds?"]),
        ([Event(11.0, 12.0, "a")], 1, ["1 of 1 annotations lie", "is a part of the recording missing"]),
        ([Event(9.0, 60.0, "a")], 2, ["1 of 2 annotations begin before and end far after its end (", "ends wrong"]),
        ([Event(9.0, 60.0, "a"), Event(70.0, 80.0, "a")], 2, ["2 of 2 annotations lie or end far", "File Offset (s)"]),
        ([Event(1.0, 9000.0, "a")], 1, ["1 of 1 annotations begin before", "milliseconds?"]),
    ],
)
def test_the_message_names_the_likely_reason(lost: list[Event], of: int, words: list[str]) -> None:
    message = events_after_end_message(lost, of=of, seconds=10.0)
    assert all(word in message for word in [*words, AFTER_END])


def test_recordings_within_their_lengths() -> None:
    late = Event(12.0, 13.0, "Parus major")
    recordings = [
        Recording("whole", Path("whole.wav"), "", events=(SONG,)),
        Recording("half", Path("half.wav"), "", events=(SONG, late), source="site/half.wav"),
        Recording("none", Path("none.wav"), "", events=(late,)),
        Recording("unknown length", Path("x.wav"), "", events=(late,)),
        Recording("of a class", Path("y.wav"), "Parus major", events=(late,)),
    ]
    found = drop_events_after_end(recordings, [10.0, 10.0, 10.0, None, 10.0], {"site/half.wav": ("all.txt",)})
    assert found.recordings == [
        recordings[0],
        replace(recordings[1], events=(SONG,), unsure=True),
        None,
        recordings[3],
        replace(recordings[4], events=(), unsure=True),
    ]
    assert [failure.name for failure in found.failures] == ["half", "none", "of a class"]
    assert found.failures[0].reason.startswith("all.txt: 1 of 2 annotations lie after its end (10.0 s)")


def write_sites(archive: Path, *, late: float) -> None:
    """Write two annotated recordings of six seconds; the times of the second are `late` seconds too late."""
    archive.mkdir()
    for number in range(3):
        soundfile.write(archive / f"site_{number}.wav", chirp(2000 + 300 * number, seconds=6, seed=number), RATE)
    rows = [("site_0.wav", 1.0), ("site_1.wav", 1.0 + late), ("site_1.wav", 2.0), ("site_2.wav", 1.0)]
    (archive / "all.csv").write_text(
        "\n".join(["file,start,end,species", *(f"{file},{start},{start + 1},Turdus merula" for file, start in rows)])
        + "\n"
    )


def config_of(tmp_path: Path) -> Config:
    config = small_config(tmp_path / "root", tmp_path / "archive")
    return replace(config, clips=replace(config.clips, choose="annotations", noise_share=1.0))


@pytest.mark.parametrize(("late", "noise"), [(0.0, True), (6.0, False)])
def test_times_beside_a_removed_annotation_are_not_noise(tmp_path: Path, late: float, noise: bool) -> None:
    write_sites(tmp_path / "archive", late=late)
    failures = sort_data.main(config_of(tmp_path)).failures
    assert [failure.name for failure in failures] == ([] if noise else ["site_1"])
    split = read_split(config_of(tmp_path).dataset)
    assert dict(split.select("recording", "unsure").iter_rows()) == {
        "site_0": False,
        "site_1": not noise,
        "site_2": False,
    }
    spec.main(config_of(tmp_path))
    clips = pl.read_parquet(tmp_path / "root" / "spec" / "clips.parquet").filter(recording="site_1")
    assert bool(len(clips.filter(pl.col("class") == ""))) == noise
    assert len(clips.filter(pl.col("class") == "Turdus merula"))


def test_a_split_of_an_earlier_version_is_still_read(tmp_path: Path) -> None:
    write_sites(tmp_path / "archive", late=0.0)
    config = config_of(tmp_path)
    sort_data.main(config)
    path = tmp_path / "root" / "split.parquet"
    table = pl.read_parquet(path)
    table.drop("unsure").write_parquet(path)
    assert read_split(config.dataset).equals(table)
    assert read_split(config.dataset).schema == SPLIT_SCHEMA


def test_archives_without_any_annotation_left_are_refused_with_the_reason(tmp_path: Path) -> None:
    write_sites(tmp_path / "archive", late=0.0)
    table = tmp_path / "archive" / "all.csv"
    table.write_text(
        "file,start,end,species\n" + "".join(f"site_{number}.wav,3000,4000,Turdus merula\n" for number in range(3))
    )
    with pytest.raises(
        sort_data.console.UserError, match=r"no recording can be used: site_0: .*milliseconds\?, and 2 more"
    ):
        sort_data.main(config_of(tmp_path))


def test_files_are_measured_before_annotations_after_their_end_are_removed(tmp_path: Path) -> None:
    content = io.BytesIO()
    soundfile.write(content, chirp(2000, seconds=5, seed=1), RATE, format="FLAC")
    (tmp_path / "joined.flac").write_bytes(content.getvalue() * 2)  # its first header says 5 s
    soundfile.write(tmp_path / "plain.wav", chirp(2000, seconds=5, seed=1), RATE)
    late, files = (
        Event(7.0, 8.0, "Parus major"),
        [tmp_path / "joined.flac", tmp_path / "plain.wav", tmp_path / "missing.wav"],
    )
    recordings = [Recording(file.stem, file, "", events=(late,)) for file in files]
    assert verified_lengths(recordings, files, [5.0, 5.0, 5.0], workers=1) == pytest.approx([10.0, 5.0, 5.0], abs=0.01)
    lengths = verified_lengths(recordings, files, [None, 5.0, None], workers=1)
    assert lengths == [pytest.approx(10.0, abs=0.01), 5.0, None]
    early = [replace(recording, events=(SONG,)) for recording in recordings]
    assert verified_lengths(early, files, [5.0, 5.0, 5.0], workers=1) == [5.0, 5.0, 5.0]
