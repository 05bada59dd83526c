"""Everything in an archive is used, reported with a reason, or counted."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

import sort_data
from config import Columns, Config, Dataset
from tests.conftest import RATE, REPOSITORY, chirp, small_config
from utils.console import INCOMPLETE, Failure
from utils.recordings.archive import read_archive
from utils.recordings.audio_files import sounds_below, walk
from utils.recordings.inventory import Inventory, take_inventory


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def below(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in sounds_below(folder)]


def test_links_to_folders_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    folder, disk = tmp_path / "all", tmp_path / "disk"
    put(folder / "here" / "a.wav")
    put(disk / "site" / "b.wav")
    put(disk / "site" / "deep" / "c.wav")
    (folder / "there").symlink_to(disk / "site")
    (folder / "there again").symlink_to(disk / "site")
    (folder / "midst").symlink_to(disk / "site" / "deep")
    (folder / "here" / "loop").symlink_to("..")
    (folder / "here" / "self").symlink_to(".")
    (disk / "site" / "up").symlink_to(disk)
    (folder / "nothing").symlink_to(tmp_path / "nowhere")
    assert below(folder) == ["here/a.wav", "midst/c.wav", "there/b.wav"]
    assert {link.name for link in walk(folder).repeated} == {"there again", "loop", "self"}


def test_a_link_into_the_folder_itself_changes_no_path(tmp_path: Path) -> None:
    put(tmp_path / "all" / "z" / "a.wav")
    (tmp_path / "all" / "a").symlink_to("z")
    assert below(tmp_path / "all") == ["z/a.wav"]


def test_a_loop_out_of_the_folder_does_not_add_its_siblings(tmp_path: Path) -> None:
    put(tmp_path / "all" / "Parus major" / "a.wav")
    put(tmp_path / "all" / "Turdus merula" / "b.wav")
    (tmp_path / "all" / "Parus major" / "loop").symlink_to("..")
    assert below(tmp_path / "all" / "Parus major") == ["a.wav"]


def test_a_folder_that_cannot_be_opened_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "all" / "closed" / "a.wav")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert walk(tmp_path / "all").unread == [Failure("closed", "cannot be opened (Permission denied)")]


def test_every_file_is_used_reported_or_counted(tmp_path: Path) -> None:
    used = put(tmp_path / "a.wav")
    seen = {put(tmp_path / "refused.wav"), put(tmp_path / "table.csv", b"file,start,end,species\na.wav,0,1,x\n")}
    put(tmp_path / "video.m4a")
    put(tmp_path / "deep" / "lost.wav")
    put(tmp_path / "REC001", b"RIFF\x00\x00\x00\x00WAVEfmt ")
    put(tmp_path / "who.csv", b"file,start,end,wer\na.wav,0,1,x\n")
    for name in ("README.md", "Thumbs.db", "deep/licence.txt", "md5sums"):
        put(tmp_path / name, b"not for us\n")
    inventory = take_inventory(tmp_path, used={used}, seen=seen, columns=Columns())
    assert (inventory.used, inventory.read, inventory.left_out, inventory.not_understood) == (1, 1, 4, 1)
    assert set(inventory.others) == {"README.md", "Thumbs.db", "deep/licence.txt", "md5sums"}
    reasons = {failure.name: failure.reason for failure in inventory.failures}
    assert reasons.keys() == {"video.m4a", "deep/lost.wav", "REC001", "who.csv"}
    assert "convert it" in reasons["video.m4a"]
    assert "rename it" in reasons["REC001"]
    assert "no column for species" in reasons["who.csv"]
    assert (
        inventory.line() == "1 audio file used, 4 left out, 1 table or record read, 1 not understood, "
        "4 other files (README.md, Thumbs.db, …)"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("song.mp3.part", b"\xff\xfb\x90\x64" + bytes(60)),
        ("voice", b"\x00\x00\x00\x20ftypM4A " + bytes(20)),
        ("x.dat", b"caff\x00\x01\x00\x00" + bytes(20)),
        ("x.bin", b".snd" + bytes(20)),
        ("x.wav~", b"RIFF\x00\x00\x00\x00WAVEfmt "),
    ],
)
def test_audio_by_its_first_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    put(tmp_path / name, content)
    (failure,) = take_inventory(tmp_path, used=(), seen=(), columns=Columns()).failures
    assert failure.name == name
    assert "rename it" in failure.reason


@pytest.mark.parametrize("name", ["Turdus merula", "site 2", "x.csv", "deep/a.wav"])
def test_broken_links_are_reported_because_a_disk_may_be_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to("/mnt/unplugged")
    inventory = take_inventory(tmp_path, used=(), seen=(), columns=Columns())
    assert [(failure.name, failure.reason) for failure in inventory.failures] == [
        (name, "is a broken link (/mnt/unplugged)")
    ]
    assert inventory.left_out == 1


def test_many_links_are_followed_fast(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "all").mkdir()
    for number in range(1500):
        (tmp_path / "disk" / str(number)).mkdir()
        (tmp_path / "all" / str(number)).symlink_to(tmp_path / "disk" / str(number))
    start = time.process_time()
    walk(tmp_path / "all")
    assert time.process_time() - start < 10  # less than one; where each is compared with each, minutes


def test_skipped_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "submissions" / "x.csv", b"recording,start,end,species,score\na,0,1,x,1\n")
    put(tmp_path / "a.wav")
    monkeypatch.chdir(tmp_path)
    for folder, without in ((Path(), tmp_path / "submissions"), (tmp_path, Path("submissions"))):
        assert (
            take_inventory(folder, used={folder / "a.wav"}, seen=(), columns=Columns(), without=[without]).line()
            == "1 audio file used"
        )


def test_the_summary_line() -> None:
    assert Inventory(used=1204).line() == "1,204 audio files used"
    many = Inventory(used=1, left_out=2, unwanted=3, unlabelled=4)
    assert many.line() == "1 audio file used, 2 left out, 3 excluded by the settings, 4 without labels"


def test_sorted_files_in_the_archive_are_not_part_of_it(tmp_path: Path, archive: Path) -> None:
    for split in ("train", "val"):
        put(archive / "sides" / split / "Altus clarus" / f"{split}.wav")
    root = archive / "sides"
    put(root / "spec" / "x.csv", b"file,start\n")
    put(root / "snapshots" / "x.wav")
    read = read_archive(Dataset(root=root))
    assert (read.failures, read.inventory.line()) == ([], "2 audio files used")


def test_an_archive_in_its_root_is_listed_without_sorted_files(tmp_path: Path) -> None:
    for name in (
        "train_audio/a/XC1.ogg",
        "XC999.ogg",
        "extra/more.ogg",
        "test_soundscapes/s.ogg",
        "train_soundscapes/t.ogg",
        "train/a/XC1.ogg",
    ):
        put(tmp_path / name)
    put(tmp_path / "train.csv", b"primary_label,filename\na,a/XC1.ogg\n")
    put(tmp_path / "labels.csv", b"file,start,end,species\nXC1.ogg,0,1,x\n")
    read = read_archive(Dataset(root=tmp_path))
    assert {failure.name for failure in read.failures} == {"XC999.ogg", "extra/more.ogg", "labels.csv"}
    expected = "1 audio file used, 2 left out, 1 without labels, 1 table or record read, 1 not understood"
    assert read.inventory.line() == expected


@pytest.mark.parametrize("folders", [["Train", "Val"], ["training", "validation"], ["train", "valid", "test"]])
def test_splits_with_other_names(tmp_path: Path, folders: list[str]) -> None:
    for folder in folders:
        put(tmp_path / "a" / folder / "Turdus merula" / "1.wav")
    read = read_archive(Dataset(archive=tmp_path / "a", root=tmp_path / "r"))
    assert read.has_splits
    assert {recording.file.parts[-3]: recording.split for recording in read.recordings} == dict(
        zip(folders, ["train", "val", "test"], strict=False)
    )


@pytest.mark.parametrize(
    ("top", "told"),
    [("train", "train: taken for species"), ("recordings", "are in subfolders of one folder, recordings")],
)
def test_folders_that_are_not_species(tmp_path: Path, top: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number, species in enumerate(("Turdus merula", "Parus major")):
        (tmp_path / "archive" / top / species).mkdir(parents=True)
        soundfile.write(tmp_path / "archive" / top / species / "1.wav", chirp(2500, seconds=3, seed=number), RATE)
    sort_data.main(small_config(tmp_path / "root", tmp_path / "archive"))
    assert told in capsys.readouterr().err


def test_a_table_of_few_files_does_not_hide_folders_of_species(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(archive / "Altus clarus" / "A0.txt", b"0.5\t1.5\tAltus clarus\n")
    done = sort_data.main(small_config(tmp_path / "root", archive))
    told = capsys.readouterr()
    assert "because tables name 1 of 9 audio files; if folders are named after species, " in told.err
    assert 'set dataset.kind = "folders"' in told.err
    assert "check what was left out, below" in told.out
    assert len(done.failures) == 8
    assert "… and 3 more: is in no annotation table" in told.err


def test_excluded_and_moved_files_are_counted_correctly(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(tmp_path / "root", archive)
    (tmp_path / "white.txt").write_text("Altus clarus\nBassus gravis\n")
    moving = replace(config, dataset=replace(config.dataset, sort_mode="move", whitelist=tmp_path / "white.txt"))
    for _ in range(2):
        sort_data.main(moving)
        assert "8 audio files used, 1 excluded by the settings" in " ".join(capsys.readouterr().out.split())


def test_linked_folders_and_unreadable_formats_reach_the_table_and_the_exit_status(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "Cercus altus").symlink_to(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    soundfile.write(tmp_path / "disk" / "C0.wav", chirp(2500, seconds=3, seed=5), RATE)
    done = sort_data.main(small_config(tmp_path / "root", archive))
    assert done.failures == []
    assert "10 audio files used" in capsys.readouterr().out
    put(archive / "Altus clarus" / "phone.m4a")
    done = sort_data.main(small_config(tmp_path / "root", archive))
    assert [failure.name for failure in done.failures] == ["Altus clarus/phone.m4a"]
    assert "1 left out" in capsys.readouterr().out
    command = [
        sys.executable,
        "sort_data.py",
        "--dataset.archive",
        archive,
        "--dataset.root",
        tmp_path / "again",
        "--workers",
        "1",
    ]
    assert subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode == INCOMPLETE


def test_a_class_that_is_a_link_to_another_is_reported(tmp_path: Path, archive: Path) -> None:
    (archive / "Amsel").symlink_to("Altus clarus")
    read = read_archive(Config(dataset=Dataset(archive=archive, root=tmp_path / "root")).dataset)
    assert [failure.name for failure in read.failures] == ["Amsel"]
    assert "which is read as another class" in read.failures[0].reason


def test_folders_of_recorders_are_not_taken_for_species_without_a_warning(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(archive / "annotations.csv", b"file,start,end,wer\nAltus clarus/A0.wav,0,1,x\n")
    done = sort_data.main(small_config(tmp_path / "root", archive))
    assert [failure.name for failure in done.failures] == ["annotations.csv"]
    told = capsys.readouterr().err
    assert "folders are taken for species; 1 file looks like annotations but cannot be read" in told
    assert "no column for species; the columns are file, start, end, wer" in told
