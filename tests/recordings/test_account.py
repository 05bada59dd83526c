"""Everything in an archive is used, or named with its reason, or counted."""

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
from utils.recordings.account import Account, account_of
from utils.recordings.archive import read_archive
from utils.recordings.audio_files import sounds_below, walk


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
    assert {link.name for link in walk(folder).again} == {"there again", "loop", "self"}


def test_a_link_to_what_lies_in_the_folder_itself_changes_no_path(tmp_path: Path) -> None:
    put(tmp_path / "all" / "z" / "a.wav")
    (tmp_path / "all" / "a").symlink_to("z")
    assert below(tmp_path / "all") == ["z/a.wav"]


def test_a_loop_out_of_the_folder_brings_in_no_neighbours(tmp_path: Path) -> None:
    put(tmp_path / "all" / "Parus major" / "a.wav")
    put(tmp_path / "all" / "Turdus merula" / "b.wav")
    (tmp_path / "all" / "Parus major" / "loop").symlink_to("..")
    assert below(tmp_path / "all" / "Parus major") == ["a.wav"]


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "all" / "closed" / "a.wav")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert walk(tmp_path / "all").unread == [Failure("closed", "cannot be looked into (Permission denied)")]


def test_every_file_is_used_named_or_counted(tmp_path: Path) -> None:
    used = put(tmp_path / "a.wav")
    seen = {put(tmp_path / "refused.wav"), put(tmp_path / "table.csv", b"file,start,end,species\na.wav,0,1,x\n")}
    put(tmp_path / "video.m4a")
    put(tmp_path / "deep" / "lost.wav")
    put(tmp_path / "REC001", b"RIFF\x00\x00\x00\x00WAVEfmt ")
    put(tmp_path / "who.csv", b"file,start,end,wer\na.wav,0,1,x\n")
    for name in ("README.md", "Thumbs.db", "deep/licence.txt", "md5sums"):
        put(tmp_path / name, b"not for us\n")
    account = account_of(tmp_path, used={used}, seen=seen, columns=Columns())
    assert (account.used, account.read, account.left_out, account.not_understood) == (1, 1, 4, 1)
    assert set(account.others) == {"README.md", "Thumbs.db", "deep/licence.txt", "md5sums"}
    reasons = {failure.name: failure.reason for failure in account.failures}
    assert reasons.keys() == {"video.m4a", "deep/lost.wav", "REC001", "who.csv"}
    assert "convert it" in reasons["video.m4a"]
    assert "rename it" in reasons["REC001"]
    assert "no column of species" in reasons["who.csv"]
    assert (
        account.line()
        == "1 sound used, 4 left out, 1 table or record read, 1 not understood, 4 other files (README.md, Thumbs.db, …)"
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
def test_sound_by_its_first_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    put(tmp_path / name, content)
    (failure,) = account_of(tmp_path, used=(), seen=(), columns=Columns()).failures
    assert failure.name == name
    assert "rename it" in failure.reason


@pytest.mark.parametrize("name", ["Turdus merula", "site 2", "x.csv", "deep/a.wav"])
def test_links_to_nothing_are_named_for_a_disk_may_be_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to("/mnt/unplugged")
    account = account_of(tmp_path, used=(), seen=(), columns=Columns())
    assert [(failure.name, failure.reason) for failure in account.failures] == [
        (name, "is a link to nothing (/mnt/unplugged)")
    ]
    assert account.left_out == 1


def test_many_links_are_followed_in_a_moment(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "all").mkdir()
    for number in range(1500):
        (tmp_path / "disk" / str(number)).mkdir()
        (tmp_path / "all" / str(number)).symlink_to(tmp_path / "disk" / str(number))
    start = time.process_time()
    walk(tmp_path / "all")
    assert time.process_time() - start < 10  # less than one; where each is compared with each, minutes


def test_what_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "submissions" / "x.csv", b"recording,start,end,species,score\na,0,1,x,1\n")
    put(tmp_path / "a.wav")
    monkeypatch.chdir(tmp_path)
    for folder, without in ((Path(), tmp_path / "submissions"), (tmp_path, Path("submissions"))):
        assert (
            account_of(folder, used={folder / "a.wav"}, seen=(), columns=Columns(), without=[without]).line()
            == "1 sound used"
        )


def test_a_line_of_what_is_plain() -> None:
    assert Account(used=1204).line() == "1,204 sounds used"
    many = Account(used=1, left_out=2, unwanted=3, spare=4)
    assert many.line() == "1 sound used, 2 left out, 3 not wanted by the settings, 4 without labels"


def test_what_is_made_of_an_archive_in_its_root_is_no_part_of_it(tmp_path: Path, archive: Path) -> None:
    for side in ("train", "val"):
        put(archive / "sides" / side / "Altus clarus" / f"{side}.wav")
    root = archive / "sides"
    put(root / "spec" / "x.csv", b"file,start\n")
    put(root / "snapshots" / "x.wav")
    read = read_archive(Dataset(root=root))
    assert (read.failures, read.account.line()) == ([], "2 sounds used")


def test_an_archive_in_its_root_is_looked_through_but_for_what_is_made_of_it(tmp_path: Path) -> None:
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
    assert read.account.line() == "1 sound used, 2 left out, 1 without labels, 1 table or record read, 1 not understood"


@pytest.mark.parametrize("folders", [["Train", "Val"], ["training", "validation"], ["train", "valid", "test"]])
def test_sides_by_other_names(tmp_path: Path, folders: list[str]) -> None:
    for folder in folders:
        put(tmp_path / "a" / folder / "Turdus merula" / "1.wav")
    read = read_archive(Dataset(archive=tmp_path / "a", root=tmp_path / "r"))
    assert read.divided
    assert {recording.file.parts[-3]: recording.side for recording in read.recordings} == dict(
        zip(folders, ["train", "val", "test"], strict=False)
    )


@pytest.mark.parametrize(
    ("top", "told"), [("train", "train: taken for species"), ("recordings", "lie in folders of one folder, recordings")]
)
def test_folders_that_are_no_species(tmp_path: Path, top: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number, species in enumerate(("Turdus merula", "Parus major")):
        (tmp_path / "archive" / top / species).mkdir(parents=True)
        soundfile.write(tmp_path / "archive" / top / species / "1.wav", chirp(2500, seconds=3, seed=number), RATE)
    sort_data.main(small_config(tmp_path / "root", tmp_path / "archive"))
    assert told in capsys.readouterr().err


def test_a_table_that_speaks_of_few_sounds_does_not_hide_folders_of_species(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(archive / "Altus clarus" / "A0.txt", b"0.5\t1.5\tAltus clarus\n")
    done = sort_data.main(small_config(tmp_path / "root", archive))
    told = capsys.readouterr()
    assert 'tables speak of 1 of 9 sounds; if folders are named for species, set dataset.kind = "folders"' in told.err
    assert "look at what is left out, below" in told.out
    assert len(done.failures) == 8
    assert "… and 3 more: no table names it" in told.err


def test_what_settings_leave_out_and_what_was_moved_is_counted_right(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small_config(tmp_path / "root", archive)
    (tmp_path / "white.txt").write_text("Altus clarus\nBassus gravis\n")
    moving = replace(config, dataset=replace(config.dataset, sort_mode="move", whitelist=tmp_path / "white.txt"))
    for _ in range(2):
        sort_data.main(moving)
        assert "8 sounds used, 1 not wanted by the settings" in " ".join(capsys.readouterr().out.split())


def test_sites_behind_links_and_other_formats_reach_the_table_and_the_status(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive / "Cercus altus").symlink_to(tmp_path / "disk")
    (tmp_path / "disk").mkdir()
    soundfile.write(tmp_path / "disk" / "C0.wav", chirp(2500, seconds=3, seed=5), RATE)
    done = sort_data.main(small_config(tmp_path / "root", archive))
    assert done.failures == []
    assert "10 sounds used" in capsys.readouterr().out
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


def test_a_class_that_is_a_link_to_another_is_named(tmp_path: Path, archive: Path) -> None:
    (archive / "Amsel").symlink_to("Altus clarus")
    read = read_archive(Config(dataset=Dataset(archive=archive, root=tmp_path / "root")).dataset)
    assert [failure.name for failure in read.failures] == ["Amsel"]
    assert "are read already, as another class" in read.failures[0].reason


def test_folders_of_recorders_are_not_taken_for_species_without_a_word(
    tmp_path: Path, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(archive / "annotations.csv", b"file,start,end,wer\nAltus clarus/A0.wav,0,1,x\n")
    done = sort_data.main(small_config(tmp_path / "root", archive))
    assert [failure.name for failure in done.failures] == ["annotations.csv"]
    told = capsys.readouterr().err
    assert "folders are taken for species; 1 file looks like annotations but cannot be read" in told
    assert "no column of species; there are file, start, end, wer" in told
