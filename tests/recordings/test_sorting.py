"""sort_data.py fills the folders in every mode, and resumes where it was stopped."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import sort_data
from config import Config, Dataset
from tests.conftest import RATE, REPOSITORY, chirp, small_config
from utils import console
from utils.recordings import sorted_folders, splits
from utils.recordings.recording import Recording


def read_split(root: Path) -> pl.DataFrame:
    return splits.read_split(Dataset(root=root))


def sounds(root: Path) -> dict[str, bytes]:
    return {
        file.relative_to(root).as_posix(): file.read_bytes()
        for split in ("train", "val")
        for file in sorted((root / split).rglob("*.*"))
    }


def with_mode(config: Config, mode: str, **more: object) -> Config:
    return dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, sort_mode=mode, **more))


@pytest.mark.parametrize("mode", ["copy", "symlink", "move"])
def test_modes(tmp_path: Path, archive: Path, mode: str) -> None:
    originals = {file.stem: file.read_bytes() for file in archive.rglob("*.*")}
    root = tmp_path / "root"
    sort_data.main(with_mode(small_config(root, archive), mode))
    split = read_split(root)
    assert {Path(name).stem: sound for name, sound in sounds(root).items()} == originals
    assert sorted(sounds(root)) == sorted(split["file"])
    assert all(
        name.startswith(f"{part}/{label}/") for name, part, label in split.select("file", "split", "class").iter_rows()
    )
    assert split.filter(split="val")["class"].to_list() == ["Altus clarus", "Bassus gravis"]
    assert split.filter(split["class"] == "Solus unicus")["reason"].to_list() == ["the only recording of its class"]
    assert any(archive.rglob("*.*")) == (mode != "move")
    assert len(list((root / "metadata").rglob("*.json"))) == 9
    again = dict(sounds(root))
    times = {file: file.stat(follow_symlinks=False).st_mtime_ns for file in root.rglob("*.wav")}
    sort_data.main(with_mode(small_config(root, archive), mode))
    assert sounds(root) == again
    assert read_split(root).equals(split)
    assert times == {file: file.stat(follow_symlinks=False).st_mtime_ns for file in root.rglob("*.wav")}


def test_a_class_may_be_called_like_a_broken_formula(tmp_path: Path, archive: Path) -> None:
    (archive / "Altus clarus").rename(archive / "Aa $x_{$")
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    assert "Aa $x_{$" in read_split(config.dataset.root)["class"].to_list()


@pytest.mark.parametrize("mode", ["copy", "symlink", "move"])
@pytest.mark.parametrize("after", [1, 4])
def test_a_stopped_sort_is_resumed(
    tmp_path: Path, archive: Path, mode: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    copy = tmp_path / "archive2"
    shutil.copytree(archive, copy)
    sort_data.main(with_mode(small_config(whole, copy), mode))

    root = tmp_path / "root"
    done = []

    def interrupted(*arguments: object, **more: object) -> None:
        done.append(1)
        if len(done) > after:
            raise KeyboardInterrupt
        sorted_folders.sort_recording(*arguments, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("utils.recordings.sorting.sort_recording", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sort_data.main(with_mode(small_config(root, archive), mode))
    assert not (root / "split.parquet").exists()
    sort_data.main(with_mode(small_config(root, archive), mode))
    assert sounds(root) == sounds(whole)
    assert read_split(root).equals(read_split(whole))


def test_another_seed_moves_recordings_to_another_split(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    seen = set()
    for seed in range(4):
        sort_data.main(with_mode(small_config(root, archive), "move" if seed else "copy", seed=seed))
        assert sorted(sounds(root)) == sorted(read_split(root)["file"])
        seen.add(tuple(read_split(root).filter(split="val")["recording"]))
    assert len(seen) > 1


def test_an_archive_with_splits_in_the_root_is_not_changed(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    sort_data.main(small_config(root, archive))
    divided = tmp_path / "divided"
    shutil.copytree(root / "train", divided / "train")
    shutil.copytree(root / "val", divided / "test")
    before = sorted(file.relative_to(divided) for file in divided.rglob("*.*"))
    sort_data.main(small_config(divided))
    split = read_split(divided)
    assert set(split["reason"]) == {"given"}
    assert {name.split("/")[0] for name in split.filter(split="test")["file"]} == {"test"}
    assert before == sorted(
        file.relative_to(divided) for file in divided.rglob("*.*") if file.suffix in (".wav", ".flac")
    )


def test_given_splits_that_are_not_there_are_refused(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(console.UserError, match="has no folders train/ and val/"):
        sort_data.main(with_mode(small_config(tmp_path / "root", archive), "copy", split="given"))


@pytest.mark.parametrize("mode", ["copy", "symlink", "move"])
def test_a_repeated_name_does_not_overwrite_what_was_moved(tmp_path: Path, archive: Path, mode: str) -> None:
    root = tmp_path / "root"
    sort_data.main(with_mode(small_config(root, archive), "move"))
    before = sounds(root)
    for file in ("A0", "A1"):
        size, times = next(root.rglob(f"{file}.wav")).stat().st_size, os.stat(next(root.rglob(f"{file}.wav")))
        soundfile.write(
            archive / "Altus clarus" / f"{file}.wav", chirp(2000.0, seconds=(size - 44) / 2 / RATE, seed=7), RATE
        )
        os.utime(archive / "Altus clarus" / f"{file}.wav", ns=(times.st_atime_ns, times.st_mtime_ns))
        # as recorders write them: equal in size and, here, time
        assert (archive / "Altus clarus" / f"{file}.wav").stat().st_size == size
    with pytest.raises(
        console.UserError,
        match=r"A0\.wav: differs from the recording of the same name in the archive \(2 such files\)",
    ):
        sort_data.main(with_mode(small_config(root, archive), mode))
    assert sounds(root) == before
    assert read_split(root).height == 9


def test_an_edited_original_is_copied_when_the_old_copy_is_removed(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    sort_data.main(small_config(root, archive))
    soundfile.write(archive / "Altus clarus" / "A0.wav", chirp(3000.0, seconds=1.5, seed=3), RATE)
    edited = (archive / "Altus clarus" / "A0.wav").read_bytes()
    with pytest.raises(console.UserError, match="remove the old ones"):
        sort_data.main(small_config(root, archive))
    next(root.rglob("A0.wav")).unlink()
    sort_data.main(small_config(root, archive))
    assert edited in sounds(root).values()


def test_sorted_folders_are_not_an_archive(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(archive, root / "train")
    with pytest.raises(console.UserError, match=r"is in the folder .*, to which sort_data\.py writes"):
        sort_data.main(small_config(root, root / "train"))
    assert len(sounds(root)) == 9


def test_moving_relative_links_keeps_them_whole(tmp_path: Path, archive: Path) -> None:
    links = tmp_path / "links"
    for file in archive.rglob("*.*"):
        link = links / file.relative_to(archive)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(file, link.parent))
    root = tmp_path / "elsewhere" / "root"
    sort_data.main(with_mode(small_config(root, links), "move"))
    assert sorted(sounds(root).values()) == sorted(file.read_bytes() for file in archive.rglob("*.*"))


def test_a_disk_too_small_is_refused_before_copying(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(console.UserError, match="symlink needs none"):
        sort_data.main(small_config(tmp_path / "root", archive))
    assert not (tmp_path / "root" / "train").exists()


def test_a_root_with_two_names_loses_nothing(tmp_path: Path, archive: Path) -> None:
    divided = tmp_path / "divided"
    for split in ("train", "test"):
        shutil.copytree(archive, divided / split)
    originals = {file.relative_to(divided): file.read_bytes() for file in divided.rglob("*.*")}
    other_name = tmp_path / "other name"
    other_name.symlink_to(divided)
    for mode in ("symlink", "copy", "move"):
        sort_data.main(with_mode(small_config(other_name, divided), mode))
        assert {
            file.relative_to(divided): file.read_bytes()
            for file in divided.rglob("*.*")
            if file.relative_to(divided) in originals
        } == originals
        assert not any(file.is_symlink() for file in divided.rglob("*"))


def test_moving_an_archive_with_splits_twice_keeps_them(tmp_path: Path, archive: Path) -> None:
    divided, root = tmp_path / "divided", tmp_path / "root"
    shutil.copytree(archive, divided / "train")
    (divided / "val" / "Altus clarus").mkdir(parents=True)
    (divided / "train" / "Altus clarus" / "A0.wav").rename(divided / "val" / "Altus clarus" / "A0.wav")
    for _ in range(2):
        sort_data.main(with_mode(small_config(root, divided), "move"))
        assert read_split(root).filter(split="val")["file"].to_list() == ["val/Altus clarus/A0.wav"]
        assert read_split(root).height == 9


def test_a_root_inside_an_archive_without_splits_is_refused(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(console.UserError, match=r"set dataset\.root to a folder outside of it"):
        sort_data.main(small_config(archive / "sorted", archive))
    with pytest.raises(
        console.UserError, match=r"set dataset\.archive to it and dataset\.root to a new folder outside of it"
    ):
        sort_data.main(small_config(archive, archive))


def test_no_recording_is_in_two_splits_and_unused_files_are_named(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    sort_data.main(small_config(root, archive))
    for file in archive.rglob("*.wav"):
        os.utime(file, (1, 1))
    for seed in range(3):
        sort_data.main(with_mode(small_config(root, archive), "copy", seed=seed))
        assert sorted(sounds(root)) == sorted(read_split(root)["file"])
    (archive / "Solus unicus" / "S0.flac").unlink()
    capsys.readouterr()
    sort_data.main(small_config(root, archive))
    assert (
        "1 files in train/, val/ and test/ belong to no recording of the split and are not used: train/Solus "
        "unicus/S0.flac"
    ) in capsys.readouterr().err


def test_a_folder_with_brackets_and_a_name_that_is_no_unicode(tmp_path: Path, archive: Path) -> None:
    (archive / "Altus clarus" / os.fsdecode(b"\xff\xfe.wav")).write_bytes(b"x")
    root = tmp_path / "birds [2018] *"
    result = sort_data.main(small_config(root, archive))
    assert len(result.failures) == 1
    assert read_split(root).height == 9


def test_two_at_once_are_refused(tmp_path: Path, archive: Path) -> None:
    with (
        console.alone(tmp_path / "root", "sort_data"),
        pytest.raises(console.UserError, match="another sort_data is running here"),
    ):
        sort_data.main(small_config(tmp_path / "root", archive))
    sort_data.main(small_config(tmp_path / "root", archive))


def with_settings(config: Config, **dataset: object) -> Config:
    return dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, **dataset))  # type: ignore[arg-type]


def test_hard_links_take_no_space_and_give_way_to_other_modes(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    originals = {file.stem: file.stat().st_ino for file in archive.rglob("*.*")}
    for _ in range(2):
        sort_data.main(with_mode(small_config(root, archive), "hardlink"))
        placed = {file.stem: file for split in ("train", "val") for file in (root / split).rglob("*.*")}
        assert {name: file.stat().st_ino for name, file in placed.items()} == originals
        assert not any(file.is_symlink() for file in placed.values())
    sort_data.main(with_mode(small_config(root, archive), "copy"))
    assert not {file.stat().st_ino for split in ("train", "val") for file in (root / split).rglob("*.*")} & set(
        originals.values()
    )
    sort_data.main(with_mode(small_config(root, archive), "hardlink"))
    sort_data.main(with_mode(small_config(root, archive), "move"))
    assert not any(archive.rglob("*.*"))
    assert len(sounds(root)) == 9


def test_hard_links_to_another_disk_are_refused(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(console.UserError, match=r"Invalid cross-device link\); use --dataset.sort_mode symlink"):
        sort_data.main(with_mode(small_config(tmp_path / "root", archive), "hardlink"))
    assert not (tmp_path / "root" / "train").exists()


def test_a_move_to_another_disk_is_verified_before_the_original_goes(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def across(source: Path, target: Path) -> None:
        if archive in Path(source).parents:
            raise OSError(18, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", across)
    before = sorted(file.read_bytes() for file in archive.rglob("*.*"))
    with monkeypatch.context() as patch:
        patch.setattr(sorted_folders, "_has_same_bytes", lambda *_: False)
        with pytest.raises(OSError, match="cross-device"):
            sort_data.main(with_mode(small_config(tmp_path / "root", archive), "move"))
    assert sorted(file.read_bytes() for file in archive.rglob("*.*")) == before
    sort_data.main(with_mode(small_config(tmp_path / "root", archive), "move"))
    assert sorted(sounds(tmp_path / "root").values()) == before
    assert not any(archive.rglob("*.*"))


@pytest.mark.parametrize("mode", ["copy", "symlink", "hardlink", "move"])
def test_after_a_move_every_mode_knows_what_was_moved(tmp_path: Path, archive: Path, mode: str) -> None:
    root = tmp_path / "root"
    sort_data.main(with_mode(small_config(root, archive), "move"))
    split, before = read_split(root), sounds(root)
    shutil.copytree(root / "train" / "Altus clarus", archive / "Novus avis")
    sort_data.main(with_mode(small_config(root, archive), mode))
    assert set(split["recording"]) < set(read_split(root)["recording"])
    assert set(read_split(root)["class"]) == {"Altus clarus", "Bassus gravis", "Novus avis", "Solus unicus"}
    assert {name.split("/")[-1]: sound for name, sound in sounds(root).items()} == {
        name.split("/")[-1]: sound for name, sound in before.items()
    }


@pytest.mark.parametrize("mode", ["copy", "symlink", "hardlink", "move"])
def test_species_that_were_renamed_after_a_move_take_their_recordings_along(
    tmp_path: Path, archive: Path, mode: str
) -> None:
    root = tmp_path / "root"
    originals = sorted(file.read_bytes() for file in archive.rglob("*.*"))
    sort_data.main(with_mode(small_config(root, archive), "move"))
    (tmp_path / "aliases.csv").write_text("Altus clarus,Altus novus\n")
    # something is left in the archive
    shutil.copy(next((root / "train" / "Bassus gravis").iterdir()), archive / "Bassus gravis")
    for _ in range(2):
        sort_data.main(with_settings(small_config(root, archive), aliases=tmp_path / "aliases.csv", sort_mode=mode))
        assert sorted(sounds(root).values()) == originals
        assert set(read_split(root)["class"]) == {"Altus novus", "Bassus gravis", "Solus unicus"}
        assert sorted(sounds(root)) == sorted(read_split(root)["file"])


def test_a_killed_link_does_not_lead_a_copy_to_the_original(
    tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    originals = {file: file.read_bytes() for file in archive.rglob("*.*")}
    for number, mode in enumerate(("symlink", "hardlink")):
        root = tmp_path / f"root{number}"

        def killed(*_: object) -> None:
            raise SystemExit  # as by a signal, between making the link and renaming it

        with monkeypatch.context() as patch:
            patch.setattr("utils.recordings.sorted_folders.os.replace", killed)
            patch.setattr(Path, "unlink", lambda *_, **__: None)  # nor was there time to clean up
            with pytest.raises(SystemExit):
                recording = Recording("Altus clarus/A0", archive / "Altus clarus" / "A0.wav", "Altus clarus")
                sorted_folders.sort_recording(recording, "train", root=root, mode=mode)  # type: ignore[arg-type]
        (root / "train" / "Altus clarus" / ".A0.wav.part").symlink_to(archive / "Altus clarus" / "A0.wav")
        sort_data.main(small_config(root, archive))
        assert {file: file.read_bytes() for file in archive.rglob("*.*")} == originals
        assert sum(not Path(name).name.startswith(".") for name in sounds(root)) == 9


@pytest.mark.parametrize("mode", ["symlink", "move", "copy", "hardlink"])
def test_an_archive_that_links_into_the_root_is_refused(tmp_path: Path, archive: Path, mode: str) -> None:
    root = tmp_path / "root"
    sort_data.main(with_mode(small_config(root, archive), "move"))
    before = sounds(root)
    for file in root.rglob("A*.wav"):
        (archive / "Altus clarus" / file.name).symlink_to(file)
    with pytest.raises(console.UserError, match=r"A0\.wav: is a link into .*remove such links from the archive"):
        sort_data.main(with_mode(small_config(root, archive), mode))
    assert sounds(root) == before


def test_links_to_recordings_that_are_moved_away_become_copies(tmp_path: Path, archive: Path) -> None:
    (archive / "Solus unicus" / "link.wav").symlink_to("../Altus clarus/A0.wav")
    (archive / "Aaa first").mkdir()
    (archive / "Aaa first" / "link.wav").symlink_to("../Altus clarus/A1.wav")
    root = tmp_path / "root"
    for _ in range(2):
        sort_data.main(with_mode(small_config(root, archive), "move"))
        split = read_split(root)
        assert split.height == 11
        assert all((root / file).is_file() and not (root / file).is_symlink() for file in split["file"])


def test_given_splits_survive_moves_and_other_splits(tmp_path: Path, archive: Path) -> None:
    divided, root = tmp_path / "divided", tmp_path / "root"
    shutil.copytree(archive, divided / "train")
    (divided / "val").mkdir()
    shutil.move(divided / "train" / "Altus clarus", divided / "val" / "Altus clarus")
    given = {f"A{number}" for number in range(4)}
    for split in ("recordings", "given"):
        sort_data.main(with_settings(small_config(root, divided), split=split, sort_mode="move", val_share=0.3))
    assert {name.split("/")[1] for name in read_split(root).filter(split="val")["recording"]} == given
    shutil.rmtree(divided / "val")
    sort_data.main(with_settings(small_config(root, divided), sort_mode="move"))
    assert {name.split("/")[1] for name in read_split(root).filter(split="val")["recording"]} == given
    assert set(read_split(root)["reason"]) == {"given"}


def test_equal_names_in_two_given_splits_are_two_recordings(tmp_path: Path, archive: Path) -> None:
    divided, root = tmp_path / "divided", tmp_path / "root"
    shutil.copytree(archive, divided / "train")
    shutil.copytree(archive, divided / "val")
    for number, file in enumerate(sorted((divided / "val").rglob("*.*"))):
        file.unlink()
        soundfile.write(file.with_suffix(".wav"), chirp(2500.0, seconds=2.0, seed=50 + number), RATE)
    sort_data.main(small_config(root, divided))
    split = read_split(root)
    assert split.group_by("split").len().sort("split").rows() == [("train", 9), ("val", 9)]
    assert "Altus clarus/A0 (val)" in split["recording"]
    assert all((root / file).is_file() for file in split["file"])


def test_long_recordings_keep_all_their_annotations_through_moves_and_whitelists(tmp_path: Path) -> None:
    archive, root = tmp_path / "archive", tmp_path / "root"
    archive.mkdir()
    rows = ["file,start,end,species"]
    for tape in range(4):
        soundfile.write(archive / f"tape{tape}.wav", chirp(2000.0, seconds=5.0, seed=tape), RATE)
        rows += [f"tape{tape}.wav,{start},{start + 1},{species}" for start, species in enumerate(("A a", "B b", "C c"))]
    (archive / "annotations.csv").write_text("\n".join(rows))
    (tmp_path / "list.txt").write_text("A a\n")
    base = with_settings(small_config(root, archive), sort_mode="move", kind="annotations", val_share=0.3)
    sort_data.main(with_settings(base, whitelist=tmp_path / "list.txt"))
    assert {event["species"] for events in read_split(root)["events"] for event in events} == {"A a"}
    for config in (base, with_settings(base, kind="auto", sort_mode="copy")):
        result = sort_data.main(config)
        assert result.failures == []
        assert {event["species"] for events in read_split(root)["events"] for event in events} == {"A a", "B b", "C c"}
        assert len(sounds(root)) == 4


def test_moved_recordings_of_another_root_stay_there(tmp_path: Path, archive: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    sort_data.main(with_mode(small_config(first, archive), "move"))
    sort_data.main(small_config(second, first))
    relabelled = next((first / "train" / "Altus clarus").iterdir())
    relabelled.rename(first / "train" / "Bassus gravis" / relabelled.name)
    sort_data.main(small_config(second, first))
    names = [name.split("/")[1] for name in read_split(second)["recording"]]
    assert len(names) == len(set(names)) == 9


def test_sounds_that_cannot_be_opened_do_not_count_for_their_class(tmp_path: Path, archive: Path) -> None:
    for seed in range(3):
        (archive / "Solus unicus" / f"bad{seed}.wav").write_bytes(b"")
    for seed in range(4):
        sort_data.main(with_settings(small_config(tmp_path / "root", archive), seed=seed, folds=2))
        split = read_split(tmp_path / "root").filter(pl.col("class") == "Solus unicus")
        assert split.select("recording", "split", "fold").rows() == [
            (f"Solus unicus/{name}", "train", None) for name in ("S0", "bad0", "bad1", "bad2")
        ]
        assert split["reason"].to_list() == [
            "the only recording of its class",
            *["cannot be opened: it is empty (0 bytes)"] * 3,
        ]


def test_links_reach_through_a_split_on_another_disk(tmp_path: Path, archive: Path) -> None:
    root = archive.parent / "root"
    far = tmp_path / "far" / "away" / "val"
    far.mkdir(parents=True)
    root.mkdir()
    (root / "val").symlink_to(far)
    shutil.copytree(archive, root / "train_audio")
    rows = [
        "primary_label,filename",
        *(f"{file.parent.name},{file.parent.name}/{file.name}" for file in archive.rglob("*.*")),
    ]
    (root / "train.csv").write_text("\n".join(rows))
    sort_data.main(with_settings(small_config(root), sort_mode="symlink"))
    split = read_split(root)
    assert split.filter(split="val").height == 2
    assert all((root / file).is_file() for file in split["file"])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"split": "grouped"}, "no recording has an author, so dataset.group_by = author cannot work"),
        ({"split": "blocked"}, "no recording has coordinates, so dataset.split = blocked cannot work"),
        ({"folds": 20}, "only 9 groups"),
    ],
)
def test_splits_that_cannot_be_made_are_refused(
    tmp_path: Path, archive: Path, settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(console.UserError, match=reason):
        sort_data.main(with_settings(small_config(tmp_path / "root", archive), **settings))
    assert not (tmp_path / "root").exists()


def test_an_archive_with_splits_is_not_cut_into_folds_unasked(tmp_path: Path, archive: Path) -> None:
    shutil.copytree(archive, tmp_path / "divided" / "train")
    shutil.copytree(archive, tmp_path / "divided" / "val")
    with pytest.raises(console.UserError, match=r"the archive comes with splits, so that dataset\.folds"):
        sort_data.main(with_settings(small_config(tmp_path / "root", tmp_path / "divided"), folds=3))


def test_recordings_that_are_left_out_do_not_count_as_without_a_place(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = [file for file in sorted(archive.rglob("*.*")) if file.parent.name != "Solus unicus"]
    rows = [f"{file.relative_to(archive).as_posix()},{10 + index},5" for index, file in enumerate(placed)]
    (archive / "metadata.csv").write_text("\n".join(["file,latitude,longitude", *rows]) + "\n")
    config = with_settings(small_config(tmp_path / "root", archive), split="blocked")
    sort_data.main(config, sort_data.Flags(dry_run=True))
    assert "1 of 9 recordings have no place" in " ".join(capsys.readouterr().err.split())
    sort_data.main(with_settings(config, min_recordings=2), sort_data.Flags(dry_run=True))
    assert "have no place" not in " ".join(capsys.readouterr().err.split())


def test_a_dry_run_changes_nothing(tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sort_data.main(small_config(tmp_path / "root", archive), sort_data.Flags(dry_run=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive"]
    text = capsys.readouterr().out
    assert "groups in two splits" in text
    assert "Altus clarus" in text
    assert "7 train, 2 val" in text


def test_what_cannot_be_used_is_logged_and_sets_the_exit_status(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    arguments = [
        "--dataset.root",
        str(root),
        "--dataset.archive",
        str(archive),
        "--workers",
        "1",
        "--dataset.max_recordings",
        "3",
    ]

    def status() -> int:
        with_path = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(
            [sys.executable, REPOSITORY / "sort_data.py", *arguments], env=with_path, capture_output=True, check=False
        ).returncode

    assert status() == 0
    shutil.copy(archive / "Altus clarus" / "A0.wav", archive / "Solus unicus" / "same.wav")
    (archive / "loose.wav").write_bytes(b"x")
    assert status() == console.INCOMPLETE
    assert (root / "sorted.log").read_text().splitlines() == [
        "refused: loose.wav: is not in the folder of a class",
        "left out: more than 3 recordings of a class: 2 recordings",
        "same sound: Altus clarus/A0 = Solus unicus/same",
    ]
    classes = pl.read_csv(root / "audit.csv")
    held = {
        label: train + val
        for label, train, val in classes.select("class", "train_recordings", "val_recordings").iter_rows()
    }
    assert held == {"Altus clarus": 3, "Bassus gravis": 3, "Solus unicus": 2}
    assert (root / "split.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("split", ["recordings", "grouped", "blocked"])
def test_a_sound_under_two_names_is_in_one_split(tmp_path: Path, archive: Path, split: str) -> None:
    rows = ["file,author,latitude,longitude,date"]
    for seed in range(4):
        shutil.copy(archive / "Altus clarus" / f"A{seed}.wav", archive / "Bassus gravis" / f"copy{seed}.wav")
        rows += [
            f"Altus clarus/A{seed}.wav,Ana {seed},{seed},1,2020-05-01",
            f"Bassus gravis/copy{seed}.wav,Bo {seed},{seed},9,2020-05-01",
        ]
    (archive / "metadata.csv").write_text("\n".join(rows))
    for seed in range(4):
        root = tmp_path / f"root{seed}"
        sort_data.main(
            with_settings(small_config(root, archive), split=split, seed=seed, val_share=0.5, sort_mode="symlink")
        )
        split_of = dict(read_split(root).select("recording", "split").iter_rows())
        assert all(
            split_of[f"Altus clarus/A{number}"] == split_of[f"Bassus gravis/copy{number}"] for number in range(4)
        )


def test_given_splits_that_leak_lose_the_leak_from_train(tmp_path: Path, archive: Path) -> None:
    shutil.copytree(archive, tmp_path / "divided" / "train")
    held_out = tmp_path / "divided" / "test" / "Altus clarus"
    held_out.mkdir(parents=True)
    shutil.move(tmp_path / "divided" / "train" / "Altus clarus" / "A1.wav", held_out)
    shutil.copy(archive / "Altus clarus" / "A0.wav", held_out / "again.wav")
    result = sort_data.main(small_config(tmp_path / "divided"))
    assert [(failure.name, failure.reason) for failure in result.failures] == [
        (
            "train/Altus clarus/A0.wav",
            "has the same sound as test/Altus clarus/again.wav, which is held out in test; it is not used for training",
        )
    ]
    split = read_split(tmp_path / "divided")
    assert split.filter(split="test")["recording"].to_list() == ["Altus clarus/A1", "Altus clarus/again"]
    assert "Altus clarus/A0" not in split["recording"]
    assert (tmp_path / "divided" / "train" / "Altus clarus" / "A0.wav").is_file()


def test_three_splits_and_folds(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    config = with_settings(small_config(root, archive), test_share=0.25, folds=3)
    sort_data.main(config)
    split = read_split(root)
    assert set(split["split"]) == {"train", "val", "test"}
    assert sorted(sounds(root)) == sorted(name for name in split["file"] if not name.startswith("test/"))
    assert all((root / name).is_file() for name in split["file"])
    other = with_settings(config, fold=2)
    sort_data.main(other)
    again = splits.read_split(other.dataset)
    assert again["fold"].to_list() == split["fold"].to_list()
    assert set(again.filter(split="val")["fold"]) == {2}
    assert all(
        name.startswith(f"{part}/") and (root / name).is_file()
        for name, part in again.select("file", "split").iter_rows()
    )


def test_renamed_species_and_whitelists(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "aliases.csv").write_text("old,new\nAltus clarus,Altus novus\nSolus unicus,Bassus gravis\n")
    (tmp_path / "list.txt").write_text("Altus clarus\nSolus unicus\n")
    root = tmp_path / "root"
    sort_data.main(with_settings(small_config(root, archive), aliases=tmp_path / "aliases.csv"))
    assert set(read_split(root)["class"]) == {"Altus novus", "Bassus gravis"}
    assert "Bassus gravis/S0" in read_split(root)["recording"]
    assert (root / "train" / "Bassus gravis" / "S0.flac").is_file() or (
        root / "val" / "Bassus gravis" / "S0.flac"
    ).is_file()
    sort_data.main(with_settings(small_config(tmp_path / "other", archive), whitelist=tmp_path / "list.txt"))
    assert set(read_split(tmp_path / "other")["class"]) == {"Altus clarus", "Solus unicus"}


def test_check_audio_lists_what_to_listen_to(tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, sound in (
        ("silent", np.zeros(RATE)),
        ("short", chirp(2000.0, seconds=0.4, seed=1)),
        ("gap", np.concatenate([chirp(2000.0, seconds=1.0, seed=1), np.zeros(20 * RATE)])),
        ("clipped", np.clip(9 * chirp(2000.0, seconds=2.0, seed=1), -1, 1)),
    ):
        soundfile.write(archive / "Solus unicus" / f"{name}.wav", sound, RATE)
    (archive / "Solus unicus" / "text.wav").write_bytes(b"no sound at all")
    (archive / "Solus unicus" / "empty.wav").write_bytes(b"")
    root = tmp_path / "root"
    result = sort_data.main(small_config(root, archive), sort_data.Flags(check_audio=True))
    assert sorted(failure.name for failure in result.failures) == ["Solus unicus/empty", "Solus unicus/text"]
    shown = capsys.readouterr()
    for line in (
        "Solus unicus/silent: silent: its loudest sample is 0 of full scale",
        "Solus unicus/short: short: 0.40 s, shorter than a clip",
        "Solus unicus/gap: mostly silent: 95% of its samples are 0",
        "Solus unicus/clipped: clipped: ",
        "Solus unicus/empty: is empty (0 bytes)",
    ):
        assert line in shown.err
    assert "13 of 15 can be read" in shown.out
    assert not root.exists()
