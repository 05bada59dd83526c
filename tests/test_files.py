"""Files appear whole or not at all; names stay in their folder."""

import errno
import os
from pathlib import Path

import pytest

from utils.files import atomic_file, atomic_folder, check_name, remove_folder, try_lock, unrelated_names, write_text


def test_a_file_that_fails_halfway_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_is_not_there_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as stream:
        stream.write(b"x")
        assert not path.exists()
    assert path.read_text() == "x"


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".a.part").mkdir()
    (tmp_path / ".a.part" / "left").write_text("x")
    with atomic_folder(tmp_path / "a") as new:
        assert list(new.iterdir()) == []
        (new / "b").write_text("y")
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b"]


def test_a_lock_that_is_a_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "dear").write_text("kept")
    (tmp_path / ".spec.lock").symlink_to(tmp_path / "dear")
    with try_lock(tmp_path, "spec") as ours, try_lock(tmp_path, "spec") as second:
        assert (ours, second) == (True, False)
    assert (tmp_path / "dear").read_text() == "kept"


def test_a_linked_folder_is_emptied_and_stays(tmp_path: Path) -> None:
    (tmp_path / "large" / "deep").mkdir(parents=True)
    (tmp_path / "large" / "deep" / "x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "large")
    for _ in range(2):
        remove_folder(tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert list((tmp_path / "large").iterdir()) == []
    assert {child.name for child in tmp_path.iterdir()} == {"large", "link"}


def test_strangers(tmp_path: Path) -> None:
    for name in ("epoch_001", "log.csv", ".x.part", "wav"):
        (tmp_path / name).mkdir()
    assert unrelated_names(tmp_path, ("epoch_*", "log.csv")) == ["wav"]
    assert unrelated_names(tmp_path / "nothing", ()) == []


def test_a_folder_that_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), atomic_folder(tmp_path / "a") as new:
        (new / "b").write_text("y")
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        ".",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "C:x",
        "a\0b",
        "a\u2028b",
        "a\udcffb",
        "a\nb",
        ".hidden",
        " a",
        "a ",
        "x" * 201,
        "ä" * 101,
        "CON",
        "nul.wav",
        "Com1.tar.gz",
        "aux .wav",
    ],
)
def test_names_that_could_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "a.b.wav",
        "Turdus merula",
        "O'Neill's \"x\";y",
        "Ährenträger (2)",
        "x" * 200,
        "Aux mirabilis",
        "console.wav",
        "com10",
        "Turdus sp.",
    ],
)
def test_ordinary_names_pass(name: str) -> None:
    assert check_name(name) == name


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    """Writing to a file object tells no name; an error that has one keeps it, and no other error gets one."""

    def full(path: Path, *names: str | None) -> OSError:
        with pytest.raises(OSError, match="space") as caught, atomic_file(path):
            raise OSError(errno.ENOSPC, "no space", *names)
        return caught.value

    assert full(tmp_path / "a.txt").filename == str(tmp_path / "a.txt")
    assert full(tmp_path / "a.txt", "b.txt").filename == "b.txt"
    with pytest.raises(OSError, match="space") as caught, atomic_folder(tmp_path / "new"):
        raise OSError(errno.ENOSPC, "no space")
    assert caught.value.filename == str(tmp_path / "new")
    with pytest.raises(OSError, match="broken") as caught, atomic_file(tmp_path / "a.txt"):
        raise OSError(errno.EPIPE, "broken")
    assert caught.value.filename is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full(tmp_path: Path) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        pytest.raises(OSError, match=r"a\.txt") as caught,
        atomic_file(tmp_path / "a.txt") as stream,
    ):
        os.dup2(full.fileno(), stream.fileno())  # what is written from here on finds no space
        stream.write(b"x" * 100_000)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.txt"))
    assert list(tmp_path.iterdir()) == []
