"""sort_data.py fills the folders in every mode, and goes on where it was stopped."""

import dataclasses
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


def test_a_changed_original_is_copied_again(tmp_path: Path, archive: Path) -> None:
    root = tmp_path / "root"
    sort_data.main(small_config(root, archive))
    (archive / "Altus clarus" / "A0.wav").write_bytes(b"other")
    sort_data.main(small_config(root, archive))
    assert b"other" in sounds(root).values()


def test_a_disk_too_small_is_refused_before_copying(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(console.Trouble, match="symlink needs none"):
        sort_data.main(small_config(tmp_path / "root", archive))
    assert not (tmp_path / "root" / "train").exists()
