"""Which recordings are new and complete: growing, unreadable, hidden, linked and vanished files."""

import os
import shutil
from pathlib import Path

import pytest

from utils.watching import arrivals as arrivals_module
from utils.watching.arrivals import Arrivals, FileStamp, KnownRecording, is_left_alone

NOTHING_KNOWN: dict[str, KnownRecording] = {}


def arrivals(folder: Path, known: dict[str, KnownRecording] | None = None) -> Arrivals:
    found = known or NOTHING_KNOWN
    return Arrivals(folder, lambda below: {} if below else found, without=folder / "results", settle=5.0)


def write(path: Path, content: bytes = b"sound", *, time: float = 1e9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time, time))
    return path


def ready(found: Arrivals, now: float) -> list[str]:
    return [path for path, _ in found.ready(now)]


def test_a_file_is_ready_when_it_has_not_changed_for_a_while(tmp_path: Path) -> None:
    growing = write(tmp_path / "card" / "grows.wav")
    write(tmp_path / "old.wav", time=2e9)
    found = arrivals(tmp_path)
    found.look(0.0)
    assert ready(found, 4.9) == []
    write(growing, b"more sound", time=1e9 + 1)
    found.look(4.9)
    assert ready(found, 5.0) == ["old.wav"]
    write(growing, b"more sounds", time=1e9 + 1)  # the size alone
    found.look(9.8)
    assert ready(found, 14.7) == ["old.wav"]
    found.look(14.8)
    assert ready(found, 14.8) == ["card/grows.wav", "old.wav"]  # the oldest first
    assert dict(found.ready(14.8))["card/grows.wav"] == FileStamp(11, 10**18 + 10**9)


def test_what_vanishes_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    found = arrivals(tmp_path)
    found.look(0.0)
    (tmp_path / "a.wav").unlink()
    assert found.stamp_now("a.wav") is None
    found.look(1.0)
    assert (len(found), ready(found, 9.0)) == (0, [])


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.wav",
        "~syncthing~a.wav",
        "a.wav~",
        ".syncthing.a.wav.tmp",
        "a.sync-conflict-20260101-120000-ABCDEFG.wav",
    ],
)
def test_hidden_and_temporary_names_are_left_alone(tmp_path: Path, name: str) -> None:
    assert is_left_alone(name)
    write(tmp_path / name)
    found = arrivals(tmp_path)
    found.look(0.0)
    assert len(found) == 0


def test_only_finished_sounds_of_visible_folders_are_taken(tmp_path: Path) -> None:
    for name in ("a.wav.part", "notes.txt", "@eaDir/b.wav", ".stversions/c.wav", "results/d.wav", "x/results/e.wav"):
        write(tmp_path / name)
    found = arrivals(tmp_path)
    found.look(0.0)
    assert ready(found, 9.0) == ["x/results/e.wav"]


def test_links_are_named_once_and_not_followed(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write(outside / "secret.wav")
    (tmp_path / "link.wav").symlink_to(outside / "secret.wav")
    (tmp_path / "folder").symlink_to(outside)
    found = arrivals(tmp_path)
    found.look(0.0)
    found.look(1.0)
    assert ready(found, 9.0) == []
    assert capsys.readouterr().err.count("is a link, and not followed") == 2


def test_what_is_done_is_not_taken_again_and_what_failed_only_if_it_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stamp = FileStamp(5, 10**18)
    known = {name: KnownRecording(done, stamp) for name, done in (("done.wav", True), ("failed.wav", False))}
    for name in known:
        write(tmp_path / name)
    found = arrivals(tmp_path, known)
    found.look(0.0)
    assert ready(found, 9.0) == []
    for name in known:
        write(tmp_path / name, time=1e9 + 1)  # as when a card is mounted in another time zone
    found.look(10.0)
    assert ready(found, 19.0) == ["failed.wav"]
    write(tmp_path / "done.wav", b"another sound")
    found.look(20.0)
    found.look(21.0)
    assert (ready(found, 40.0), found.changed) == (["failed.wav"], 1)
    assert capsys.readouterr().err.count("done.wav: has another size than when it was predicted") == 1


def test_more_problems_than_are_told_are_told_once_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(arrivals_module, "MOST_NAMED", 3)
    known = {f"{index}.wav": KnownRecording(True, FileStamp(1, 0)) for index in range(5)}
    for name in known:
        write(tmp_path / name)
    found = arrivals(tmp_path, known)
    for time in range(4):
        found.look(float(time))
        assert found.changed == 5
    printed = capsys.readouterr().err
    assert (printed.count("has another size"), printed.count("more than 3 files or folders")) == (3, 1)
    (tmp_path / "0.wav").unlink()
    found.look(5.0)
    assert found.changed == 4


def test_a_folder_that_is_gone_for_a_while_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mount"
    write(folder / "a.wav")
    found = arrivals(folder)
    found.look(0.0)
    shutil.rmtree(folder)
    for time in (1.0, 2.0):
        found.look(time)
    assert (found.is_there, len(found)) == (False, 1)
    write(folder / "a.wav")
    found.look(3.0)
    assert ready(found, 9.0) == ["a.wav"]
    printed = capsys.readouterr()
    assert (printed.err.count("is not there"), printed.out.count("is there again")) == (1, 1)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_a_name_that_is_no_text_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / os.fsdecode(b"\xff.wav")).write_bytes(b"sound")
    (tmp_path / "pipe.wav").mkdir()
    found = arrivals(tmp_path)
    found.look(0.0)
    found.look(1.0)
    assert len(found) == 0
    assert capsys.readouterr().err.count("has a name that is not text") == 1


def test_a_folder_whose_name_is_no_text_costs_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "station" / "a.wav")
    odd = os.fsencode(tmp_path / "station") + b"/caf\xe9"
    Path(os.fsdecode(odd)).mkdir()
    (Path(os.fsdecode(odd)) / "b.wav").write_bytes(b"sound")
    names = list[str]()

    def known(below: str) -> dict[str, KnownRecording]:
        names.append(below)
        return {}

    found = Arrivals(tmp_path / "station", known, without=tmp_path / "out", settle=0.0)
    found.look(0.0)
    found.look(1.0)
    assert ready(found, 2.0) == ["a.wav"]
    assert set(names) == {""}
    assert capsys.readouterr().err.count("has a name that is not text; no recording in it is predicted") == 1
