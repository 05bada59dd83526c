"""sort_data.py fills the folders in every mode, and goes on where it was stopped."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

import sort_data
from config import Config
from tests.conftest import small_config
from utils import console
from utils.recordings import view
from utils.recordings.splits import read_split


def sounds(root: Path) -> dict[str, bytes]:
    return {file.relative_to(root).as_posix(): file.read_bytes() for side in ("train", "val") for file in sorted((root / side).rglob("*.*"))}


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
    assert all(name.startswith(f"{side}/{label}/") for name, side, label in split.select("file", "side", "class").iter_rows())
    assert split.filter(side="val")["class"].to_list() == ["Altus clarus", "Bassus gravis"]
    assert split.filter(split["class"] == "Solus unicus")["reason"].to_list() == ["the only recording of its class"]
    assert any(archive.rglob("*.*")) == (mode != "move")
    assert len(list((root / "metadata").rglob("*.json"))) == 9
    again = dict(sounds(root))
    times = {file: file.stat(follow_symlinks=False).st_mtime_ns for file in root.rglob("*.wav")}
    sort_data.main(with_mode(small_config(root, archive), mode))
    assert sounds(root) == again
    assert read_split(root).equals(split)
    assert times == {file: file.stat(follow_symlinks=False).st_mtime_ns for file in root.rglob("*.wav")}


@pytest.mark.parametrize("mode", ["copy", "symlink", "move"])
@pytest.mark.parametrize("after", [1, 4])
def test_a_stopped_sort_goes_on(tmp_path: Path, archive: Path, mode: str, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
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
        view.place(*arguments, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("utils.recordings.sorting.place", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sort_data.main(with_mode(small_config(root, archive), mode))
    assert not (root / "split.parquet").exists()
    sort_data.main(with_mode(small_config(root, archive), mode))
    assert sounds(root) == sounds(whole)
    assert read_split(root).equals(read_split(whole))


def test_another_seed_moves_recordings_to_the_other_side(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    seen = set()
    for seed in range(4):
        sort_data.main(with_mode(small_config(root, archive), "move" if seed else "copy", seed=seed))
        assert sorted(sounds(root)) == sorted(read_split(root)["file"])
        seen.add(tuple(read_split(root).filter(side="val")["recording"]))
    assert len(seen) > 1


def test_a_divided_archive_in_place_is_left_alone(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    sort_data.main(small_config(root, archive))
    divided = tmp_path / "divided"
    shutil.copytree(root / "train", divided / "train")
    shutil.copytree(root / "val", divided / "test")
    before = sorted(file.relative_to(divided) for file in divided.rglob("*.*"))
    sort_data.main(small_config(divided))
    split = read_split(divided)
    assert set(split["reason"]) == {"given"}
    assert {name.split("/")[0] for name in split.filter(side="val")["file"]} == {"test"}
    assert before == sorted(file.relative_to(divided) for file in divided.rglob("*.*") if file.suffix in (".wav", ".flac"))


def test_a_division_that_is_not_there_is_refused(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(console.Trouble, match="not divided"):
        sort_data.main(with_mode(small_config(tmp_path / "root", archive), "copy", split="given"))


@pytest.mark.parametrize("mode", ["copy", "symlink", "move"])
def test_a_name_that_comes_again_does_not_overwrite_what_was_moved(tmp_path: Path, archive: Path, mode: str) -> None:
    root = tmp_path / "root"
    sort_data.main(with_mode(small_config(root, archive), "move"))
    before = sounds(root)
    for file in ("A0", "A1"):
        (archive / "Altus clarus" / f"{file}.wav").write_bytes(b"another bird")
    with pytest.raises(console.Trouble, match=r"A0\.wav: is another recording than that of the same name in the archive \(2 such files\)"):
        sort_data.main(with_mode(small_config(root, archive), mode))
    assert sounds(root) == before
    assert read_split(root).height == 9


def test_an_edited_original_is_copied_when_the_old_copy_is_removed(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    sort_data.main(small_config(root, archive))
    (archive / "Altus clarus" / "A0.wav").write_bytes(b"edited")
    with pytest.raises(console.Trouble, match="remove the old ones"):
        sort_data.main(small_config(root, archive))
    next(root.rglob("A0.wav")).unlink()
    sort_data.main(small_config(root, archive))
    assert b"edited" in sounds(root).values()


def test_a_view_is_no_archive(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(archive, root / "train")
    with pytest.raises(console.Trouble, match=r"the folder .* that sorting fills"):
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


def test_a_disk_too_small_is_refused_before_copying(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(console.Trouble, match="symlink needs none"):
        sort_data.main(small_config(tmp_path / "root", archive))
    assert not (tmp_path / "root" / "train").exists()


def test_a_root_with_two_names_loses_nothing(tmp_path: Path, archive: Path) -> None:
    divided = tmp_path / "divided"
    for side in ("train", "test"):
        shutil.copytree(archive, divided / side)
    originals = {file.relative_to(divided): file.read_bytes() for file in divided.rglob("*.*")}
    other_name = tmp_path / "other name"
    other_name.symlink_to(divided)
    for mode in ("symlink", "copy", "move"):
        sort_data.main(with_mode(small_config(other_name, divided), mode))
        assert {file.relative_to(divided): file.read_bytes() for file in divided.rglob("*.*") if file.relative_to(divided) in originals} == originals
        assert not any(file.is_symlink() for file in divided.rglob("*"))


def test_moving_a_divided_archive_twice_keeps_its_division(tmp_path: Path, archive: Path) -> None:
    divided, root = tmp_path / "divided", tmp_path / "root"
    shutil.copytree(archive, divided / "train")
    (divided / "val" / "Altus clarus").mkdir(parents=True)
    (divided / "train" / "Altus clarus" / "A0.wav").rename(divided / "val" / "Altus clarus" / "A0.wav")
    for _ in range(2):
        sort_data.main(with_mode(small_config(root, divided), "move"))
        assert read_split(root).filter(side="val")["file"].to_list() == ["val/Altus clarus/A0.wav"]
        assert read_split(root).height == 9


def test_a_root_inside_an_undivided_archive_is_refused(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(console.Trouble, match=r"set dataset\.root to a folder outside of it"):
        sort_data.main(small_config(archive / "sorted", archive))
    with pytest.raises(console.Trouble, match=r"set dataset\.archive to it"):
        sort_data.main(small_config(archive, archive))


def test_no_recording_is_on_both_sides_and_strangers_are_named(tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "1 files in train/ and val/ belong to no recording of the archive, and are not used: train/Solus unicus/S0.flac" in capsys.readouterr().err


def test_a_folder_with_brackets_and_a_name_that_is_no_unicode(tmp_path: Path, archive: Path) -> None:
    (archive / "Altus clarus" / os.fsdecode(b"\xff\xfe.wav")).write_bytes(b"x")
    root = tmp_path / "birds [2018] *"
    result = sort_data.main(small_config(root, archive))
    assert len(result.failures) == 1
    assert read_split(root).height == 9


def test_two_at_once_are_refused(tmp_path: Path, archive: Path) -> None:
    with console.alone(tmp_path / "root", "sort_data"), pytest.raises(console.Trouble, match="another sort_data is working here"):
        sort_data.main(small_config(tmp_path / "root", archive))
    sort_data.main(small_config(tmp_path / "root", archive))
