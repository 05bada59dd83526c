"""Data sets that grow: nothing moves to train, groups stay together, new recordings enter by the same shares."""

import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
from config import Config, Dataset
from tests.conftest import RATE, chirp, small_config, write_folders
from utils.console import UserError
from utils.files import try_lock
from utils.recordings import sorted_folders
from utils.recordings.assigned import (
    ASSIGNED,
    ASSIGNED_SCHEMA,
    assigned_table,
    changed_rule,
    find_earlier,
    read_assigned,
    rule_of,
    write_assigned,
)
from utils.recordings.audit import shared_groups
from utils.recordings.duplicates import ScannedFile
from utils.recordings.grouping import group_keys, group_recordings, grouping_of
from utils.recordings.growing import extend_split
from utils.recordings.growth import blocks_kept_together
from utils.recordings.recording import Recording
from utils.recordings.splits import Assignment, held_out_count, split_table, write_split
from utils.recordings.splitting import assign_splits

RULES = [
    Dataset(split="recordings", val_share=0.2),
    Dataset(split="recordings", val_share=0.2, test_share=0.1),
    Dataset(split="recordings", folds=4),
    Dataset(split="grouped", val_share=0.2, test_share=0.1),
    Dataset(split="grouped", group_by="site", folds=4),
    Dataset(split="blocked", val_share=0.2, block_recordings=5, block_degrees=5.0),
    Dataset(split="blocked", folds=3, block_recordings=5, block_degrees=5.0),
]


def archive_of(*, recordings: int = 400, seed: int = 0) -> list[Recording]:
    """Make metadata of recordists who live in a few regions; the last class only comes late."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(recordings):
        author = int(50 * rng.random() ** 2)
        label = int(10 * rng.random() ** 1.5) if number < 300 or rng.random() < 0.8 else 10
        at = {"latitude": 10.0 * (author // 7) + rng.random(), "longitude": 10.0 * (author % 7) + rng.random()}
        date = f"2020-{rng.integers(1, 13):02d}-01"
        wood = f"Wood {author // 2}"
        found.append(
            Recording(
                f"XC{number:04d}", Path("x.wav"), f"C{label}", author=f"A{author}", date=date, locality=wood, **at
            )
        )
    return found


def sound_of(recording: Recording) -> ScannedFile:
    return ScannedFile(1000, 1, 8000, f"hash of {recording.comments or recording.name}")


def grow(batches: list[list[Recording]], settings: Dataset) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sort an archive as it grows; return its split before the last batch and after it."""
    recordings: list[Recording] = []
    assigned, tables = pl.DataFrame(schema=ASSIGNED_SCHEMA), []
    for batch in batches:
        recordings = sorted([*recordings, *batch], key=lambda recording: recording.name)
        sounds = [sound_of(recording) for recording in recordings]
        earlier = find_earlier(recordings, sounds, assigned, in_archive={one.name for one in recordings})
        blocked = settings.split == "blocked"
        dense = blocks_kept_together(recordings, earlier.rows, settings) if blocked else frozenset[str]()
        groups = group_recordings(recordings, settings, grouping_of(settings), dense=dense)
        if assigned.is_empty():
            assignments = assign_splits(recordings, groups, settings)
        else:
            assignments = extend_split(recordings, groups, earlier.rows, settings, long=frozenset()).assignments
        keys = [group_keys(recording, settings, grouping_of(settings), dense) for recording in recordings]
        assigned = assigned_table(recordings, sounds, assignments, keys, earlier, settings)
        names = [groups.names[index] for index in groups.index]
        tables.append(split_table(recordings, assignments, names, [recording.name for recording in recordings]))
    return tables[max(len(tables) - 2, 0)], tables[-1]


@pytest.mark.parametrize("settings", RULES, ids=lambda rule: f"{rule.split}-{rule.folds}-{rule.test_share}")
@pytest.mark.parametrize("first", [60, 250])
def test_what_was_sorted_stays_and_shares_hold(settings: Dataset, first: int) -> None:
    everything = archive_of()
    before, after = grow([everything[:first], everything[first:320], everything[320:]], settings)
    both = before.join(after, on="recording", suffix="_now")
    moved = both.filter((pl.col("split") != pl.col("split_now")) | ~pl.col("fold").eq_missing(pl.col("fold_now")))
    # only recordings whose group was joined to one that is held out may have moved, and never to train
    assert moved.filter(pl.col("split") != "train", pl.col("split_now") == "train").is_empty()
    assert set(moved["split_now"]) <= ({"train", "val", "test"} if settings.folds else {"val", "test"})
    assert all("new recordings joined its group to one" in reason for reason in moved["reason_now"])
    assert len(moved) <= len(before) * (0.1 if settings.group_by == "site" else 0)
    assert not shared_groups(after)
    assert len(after) == 400
    counts = Counter(after["split"])
    if settings.folds:
        held = Counter(after["fold"].drop_nulls())
        assert max(held.values()) <= 1.6 * min(held.values())
    else:
        assert 0.1 < counts["val"] / len(after) < 0.3
    learned = after.filter(pl.col("split") == "train")
    ever = learned if not settings.folds else after.filter(pl.col("split") != "test")
    assert set(ever["class"]) == set(after["class"])


@pytest.mark.parametrize("settings", RULES, ids=lambda rule: f"{rule.split}-{rule.folds}-{rule.test_share}")
def test_the_order_of_files_does_not_matter_and_nothing_new_changes_nothing(settings: Dataset) -> None:
    everything = archive_of(recordings=150)
    first = grow([everything[:100], everything[100:], []], settings)
    assert first[0].equals(first[1])
    again = grow([everything[:100][::-1], everything[100:][::-1]], settings)
    assert again[1].equals(first[1])


def test_single_recordings_have_the_share_of_a_first_split_in_whatever_order_they_come() -> None:
    everything, settings = archive_of(), RULES[0]
    one = grow([everything], settings)[1]
    several = grow([everything[300:], everything[:50], everything[50:300]], settings)[1]
    for table in (one, several):
        for (label,), rows in table.group_by("class"):
            assert (rows["split"] == "val").sum() == held_out_count(len(rows), share=0.2), label
    late = [recording for recording in everything if recording.species == "C10"]
    others = [recording for recording in everything if recording.species != "C10"]
    # a class that comes late is divided as in a first split
    new = grow([others, late], settings)[1].filter(pl.col("class") == "C10")
    assert new.select("recording", "split").equals(one.filter(pl.col("class") == "C10").select("recording", "split"))


def test_groups_that_become_one_are_held_out() -> None:
    settings = Dataset(split="grouped", group_by="site")
    places = [("elm", None), ("elm", None), ("", 50.0), ("", 50.0), ("elm", 50.0)]
    recordings = [
        Recording(f"r{index}", Path("x.wav"), "C", locality=name, latitude=north, longitude=north)
        for index, (name, north) in enumerate(places)
    ]
    groups = group_recordings(recordings, settings, "site")
    assert len(groups.names) == 1  # the last one, which is new, joins them
    parts = ["train", "train", "val", "val"]
    earlier = [{"split": part, "fold": None, "reason": "drawn"} for part in parts]
    grown = extend_split(recordings, groups, [*earlier, None], settings, long=frozenset())
    assert [assignment.split for assignment in grown.assignments] == ["val"] * 5
    assert grown.joined == [0, 1]


def test_a_group_in_several_folds_is_in_that_of_val() -> None:
    settings = Dataset(split="grouped", group_by="author", folds=3, fold=1)
    recordings = [Recording(f"r{index}", Path("x.wav"), "C", author="A") for index in range(5)]
    folds = [0, 0, 1, 2]
    earlier = [{"split": "val" if fold == 1 else "train", "fold": fold, "reason": "drawn"} for fold in folds]
    groups = group_recordings(recordings, settings, "author")
    grown = extend_split(recordings, groups, [*earlier, None], settings, long=frozenset())
    assert [(one.split, one.fold) for one in grown.assignments] == [("val", 1)] * 5
    other = extend_split(recordings, groups, [*earlier, None], dataclasses.replace(settings, fold=3), long=frozenset())
    assert [(one.split, one.fold) for one in other.assignments] == [("train", 0)] * 5
    assert other.assignments[2].reason == "in fold 0, because new recordings joined its group to one in that fold"


def test_a_block_that_an_earlier_version_divided_stays_divided(tmp_path: Path) -> None:
    def recording(index: int, north: float) -> Recording:
        return Recording(f"r{index}", Path("x.wav"), "C", latitude=north, longitude=1.0, date="2020-01-01")

    settings = Dataset(root=tmp_path, split="blocked", block_degrees=5.0, block_recordings=4)
    recordings = [*(recording(index, 1.0) for index in range(3)), *(recording(index, 11.0) for index in range(3, 8))]
    drawn = [Assignment("train", None, "drawn")] * 8
    groups = group_recordings(recordings, settings, "block")
    names = [groups.names[index] for index in groups.index]
    write_split(tmp_path, split_table(recordings, drawn, names, [f"{one.name}.wav" for one in recordings]))
    now = [*recordings, recording(8, 1.0)]  # with which the first block has enough recordings
    earlier = find_earlier(now, [sound_of(one) for one in now], read_assigned(settings), in_archive=set())
    assert blocks_kept_together(now, earlier.rows, settings) == {groups.names[-1]}


def sounding(name: str, sound: str) -> Recording:
    return Recording(name, Path("x.wav"), "C", comments=sound)


def table_of(splits: dict[str, str], sounds: dict[str, str]) -> pl.DataFrame:
    """Return the assignments of recordings, whose sounds are those of other names."""
    recordings = [sounding(name, sounds.get(name, name)) for name in splits]
    found = [sound_of(recording) for recording in recordings]
    nothing = find_earlier(recordings, found, pl.DataFrame(schema=ASSIGNED_SCHEMA), in_archive=set(splits))
    drawn = [Assignment(split, None, "drawn") for split in splits.values()]  # type: ignore[arg-type]
    return assigned_table(recordings, found, drawn, [[]] * len(splits), nothing, Dataset())


def known_as(table: pl.DataFrame, *now: Recording) -> tuple[list[str | None], list[str]]:
    """Return as which earlier recording each is known, and which vanished."""
    found = find_earlier(now, list(map(sound_of, now)), table, in_archive={one.name for one in now})
    return [row and row["recording"] for row in found.rows], [row["recording"] for row in found.vanished]


def test_a_recording_is_known_by_its_sound_where_that_says_in_which_split_it_was() -> None:
    copies = {"same 1": "same", "same 2": "same"}
    table = table_of({"old": "val", "same 1": "val", "same 2": "val"}, copies)
    new, copy, second = sounding("new", "old"), sounding("copy 1", "same"), sounding("copy 2", "same")
    assert known_as(table, new, copy) == (["old", "same 1"], ["same 2"])
    assert known_as(table, new, copy, second) == (["old", "same 1", "same 2"], [])
    apart = table_of({"same 1": "val", "same 2": "train"}, copies)
    assert known_as(apart, copy, second) == ([None, None], ["same 1", "same 2"])


def test_recordings_that_exchanged_their_names_stay_where_their_sounds_were() -> None:
    table = table_of({"1": "val", "2": "train", "3": "train"}, {})
    assert known_as(table, sounding("1", "2"), sounding("2", "1"), sounding("3", "3")) == (["2", "1", "3"], [])
    # a file that was edited keeps its name's split
    assert known_as(table, sounding("1", "cut"), sounding("2", "2")) == (["1", "2"], ["3"])


def test_a_recording_of_unknown_length_is_not_known_by_its_start() -> None:
    one, other = (Recording(name, Path("x.mp3"), "C") for name in ("old", "new"))
    sound = ScannedFile(None, 1, 8000, "hash of silence")
    nothing = find_earlier([one], [sound], pl.DataFrame(schema=ASSIGNED_SCHEMA), in_archive={"old"})
    table = assigned_table([one], [sound], [Assignment("val", None, "drawn")], [[]], nothing, Dataset())
    assert find_earlier([other], [sound], table, in_archive={"new"}).rows == [None]
    before = table.with_columns(sound=pl.lit("None 1 hash of silence"))  # as earlier versions wrote it
    assert find_earlier([other], [sound], before, in_archive={"new"}).rows == [None]


def sort(config: Config, **flags: bool) -> pl.DataFrame:
    sort_data.main(config, sort_data.Flags(**flags))
    return pl.read_parquet(config.dataset.root / "split.parquet")


def add(archive: Path, species: str, *names: str) -> None:
    (archive / species).mkdir(exist_ok=True)
    for index, name in enumerate(names):
        sound = chirp(1500.0 + 40 * index, seconds=3.0, seed=500 + index + len(species))
        soundfile.write(archive / species / f"{name}.wav", sound, RATE)


@pytest.mark.parametrize("mode", ["copy", "symlink", "move"])
def test_an_archive_grows_in_every_mode(
    tmp_path: Path, archive: Path, mode: str, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    config = small_config(tmp_path / "root", archive)
    config = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, sort_mode=mode))
    before = sort(config)
    add(archive, "Altus clarus", *(f"N{index}" for index in range(8)))
    add(archive, "Novus serus", "V0", "V1", "V2", "V3")
    after = sort(config)
    assert "12 recordings are new" in capsys.readouterr().out
    kept = before.join(after, on="recording", suffix="_now")
    assert kept["file"].equals(kept["file_now"])
    assert kept["reason"].equals(kept["reason_now"])
    assert Counter(after.filter(split="val")["class"]) == {"Altus clarus": 3, "Bassus gravis": 1, "Novus serus": 1}
    assert all((tmp_path / "root" / name).is_file() for name in after["file"])
    assert sort(config).equals(after)


def test_what_vanished_or_changed_its_species_is_named(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    config = small_config(tmp_path / "root", archive)
    before = sort(config)
    held = before.filter(split="val")["recording"].to_list()  # one of each species
    altus, bassus = (Path(name).name for name in held)
    (archive / "Altus clarus" / f"{altus}.wav").rename(archive / "Bassus gravis" / f"{altus}.wav")
    gone = (archive / "Bassus gravis" / f"{bassus}.wav").rename(tmp_path / "gone.wav")
    after = sort(config)
    split = dict(after.select("recording", "split").iter_rows())
    assert split[f"Bassus gravis/{altus}"] == "val"
    log = (config.dataset.root / "sorted.log").read_text()
    assert f"vanished: Bassus gravis/{bassus}, which was in val" in log
    assert f"renamed: Altus clarus/{altus} = Bassus gravis/{altus}" in log
    assert f"of another species: Bassus gravis/{altus}, Bassus gravis, was Altus clarus" in log
    shown = " ".join(capsys.readouterr().err.split())
    assert "1 recordings of the earlier split are no longer in the archive" in shown
    sort(config)
    captured = capsys.readouterr()
    assert "no longer in the archive" not in captured.err  # it was told
    assert "new names" not in captured.out
    assert "of another species" not in captured.out
    assert (config.dataset.root / "sorted.log").read_text() == log
    shutil.move(gone, archive / "Bassus gravis" / f"{bassus}.wav")
    assert dict(sort(config).select("recording", "split").iter_rows())[f"Bassus gravis/{bassus}"] == "val"
    assert "vanished" not in (config.dataset.root / "sorted.log").read_text()


def test_the_split_is_decided_under_the_lock(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, decided = small_config(tmp_path / "root", archive), list[int]()
    monkeypatch.setattr("utils.recordings.archive_split.split_archive", lambda *_, **__: decided.append(1))
    with try_lock(config.dataset.root, "sort_data"), pytest.raises(UserError, match="another sort_data is running"):
        sort(config)
    assert not decided


def test_killed_while_it_grows_and_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None) -> None:
    roots, done = [], list[int]()

    def killed(*arguments: object, **more: object) -> None:
        done.append(1)
        if len(done) > 5:
            raise KeyboardInterrupt
        sorted_folders.sort_recording(*arguments, **more)  # type: ignore[arg-type]

    for name in ("whole", "killed"):
        write_folders(tmp_path / name / "archive")
        config = small_config(tmp_path / name / "root", tmp_path / name / "archive")
        sort(config)
        add(config.dataset.archive, "Altus clarus", *(f"N{index}" for index in range(8)))  # type: ignore[arg-type]
        if name == "killed":
            with monkeypatch.context() as patch:
                patch.setattr("utils.recordings.sorting.sort_recording", killed)
                with pytest.raises(KeyboardInterrupt):
                    sort(config)
            assert not (config.dataset.root / "split.parquet").exists()
        sort(config)
        roots.append(config.dataset.root)
    for file in ("split.parquet", ASSIGNED, "sorted.log"):
        assert (roots[0] / file).read_bytes() == (roots[1] / file).read_bytes()


def test_other_settings_or_fresh_divide_anew_and_earlier_versions_are_understood(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    config = small_config(tmp_path / "root", archive)
    first = sort(config)
    (config.dataset.root / ASSIGNED).unlink()  # as earlier versions left it
    add(archive, "Altus clarus", *(f"N{index}" for index in range(8)))
    grown = sort(config)
    kept = first.join(grown, on="recording", suffix="_now")
    assert kept["split"].equals(kept["split_now"])
    fresh = sort(config, fresh=True)
    assert fresh.equals(sort(small_config(tmp_path / "other", archive)))
    other = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, seed=5, val_share=0.5))
    sort(other)
    assert "dataset.val_share was 0.25, is 0.5" in " ".join(capsys.readouterr().out.split())
    (config.dataset.root / ASSIGNED).write_bytes(b"no table")
    with pytest.raises(UserError, match=r"assigned\.parquet.*--fresh"):
        sort(other)
    assert sort(other, fresh=True).height == 17


@pytest.mark.parametrize(
    "changed",
    [
        pl.lit("elsewhere").alias("split"),
        pl.lit(-1, pl.Int32).alias("fold"),
        pl.lit(7, pl.Int32).alias("fold"),
        pl.lit(None, pl.String).alias("reason"),
        pl.lit("no JSON").alias("rule"),
        pl.lit("[1]").alias("rule"),
    ],
)
def test_assignments_that_cannot_be_are_refused(tmp_path: Path, changed: pl.Expr) -> None:
    settings = Dataset(root=tmp_path, folds=3)
    row = {"recording": "a", "class": "C", "split": "train", "fold": 0, "reason": "drawn", "keys": [], "sound": ""}
    table = pl.DataFrame(
        [{**row, "first_name": "a", "first_class": "C", "rule": rule_of(settings)}], schema=ASSIGNED_SCHEMA
    )
    write_assigned(tmp_path, table)
    assert read_assigned(settings).equals(table)
    write_assigned(tmp_path, table.with_columns(changed))
    with pytest.raises(UserError, match=r"has a row that is no assignment; run sort_data\.py --fresh"):
        read_assigned(settings)


def test_a_split_of_an_earlier_version_that_cannot_be_read_is_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "split.parquet").write_bytes(b"no table")
    assert read_assigned(Dataset(root=tmp_path)).is_empty()
    assert "so that all recordings are divided anew" in " ".join(capsys.readouterr().err.split())
    (tmp_path / ASSIGNED).symlink_to(tmp_path / "split.parquet")
    assert read_assigned(Dataset(root=tmp_path)).is_empty()  # a link is not followed


def test_what_decides_on_a_split() -> None:
    assert changed_rule(pl.DataFrame(schema=ASSIGNED_SCHEMA), Dataset()) == []
    assert rule_of(Dataset(fold=2, group_by="site")) == rule_of(Dataset(split="recordings"))
    assert rule_of(Dataset(split="grouped", group_by="site")) != rule_of(Dataset(split="grouped"))
    assert rule_of(Dataset(folds=3, val_share=0.5)) == rule_of(Dataset(folds=3))
