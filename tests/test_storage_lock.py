"""Only one process writes to a folder elsewhere, and what a killed one left is told from what a living one holds."""

import json
import os
import socket
from pathlib import Path

import pytest

from utils import storage_lock
from utils.console import UserError
from utils.storage import Storage, open_storage
from utils.storage_lock import alone_at_address

pytest.importorskip("obstore")
GONE = 2**22 + 1  # of no process


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "boot").write_text("this start\n")
    monkeypatch.setattr(storage_lock, "BOOT_ID", tmp_path / "boot")
    return open_storage(f"file://{tmp_path}/store")


def leave(storage: Storage, **more: object) -> None:
    holder = {"host": socket.gethostname(), "boot": "this start", "process": GONE, "time": "noon", "token": "theirs"}
    storage.write("spec.lock", json.dumps(holder | more).encode())


def test_a_lock_is_held_and_released(storage: Storage) -> None:
    with alone_at_address(storage, "spec"):
        holder = json.loads(storage.read("spec.lock"))
        assert (holder["boot"], holder["process"], len(holder["token"])) == ("this start", os.getpid(), 32)
    assert not storage.exists("spec.lock")


@pytest.mark.skipif(os.name != "posix", reason="only there it is known which processes have ended")
def test_a_dead_lock_of_this_machine_is_taken_over(storage: Storage) -> None:
    leave(storage)
    with alone_at_address(storage, "spec"):
        assert json.loads(storage.read("spec.lock"))["process"] == os.getpid()
    assert not storage.exists("spec.lock")


@pytest.mark.parametrize(
    "holder", [{"host": "elsewhere"}, {"boot": "an earlier start"}, {"process": os.getppid()}, {"process": "x"}]
)
def test_other_locks_stay(storage: Storage, holder: dict[str, object]) -> None:
    leave(storage, **holder)
    before = storage.read("spec.lock")
    with (
        pytest.raises(UserError, match=r"another spec is running here, on .+ since noon; .*remove file://.*spec\.lock"),
        alone_at_address(storage, "spec"),
    ):
        pass
    assert storage.read("spec.lock") == before


def test_two_processes_do_not_take_over_the_same_lock(storage: Storage) -> None:
    leave(storage)
    turn = storage_lock._turn_folder(storage.where("spec.lock"))
    with (
        storage_lock.try_lock(turn, "turn"),
        pytest.raises(UserError, match="another spec is running here"),
        alone_at_address(storage, "spec"),
    ):
        pass
    assert json.loads(storage.read("spec.lock"))["token"] == "theirs"


def test_the_lock_of_another_process_is_not_removed(storage: Storage) -> None:
    with alone_at_address(storage, "spec"):
        leave(storage)  # as if a user had removed ours, and another process had begun
    assert json.loads(storage.read("spec.lock"))["token"] == "theirs"


def test_trouble_with_the_lock_does_not_hide_that_of_the_stage(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: object) -> None:
        raise UserError("access is denied")

    with pytest.raises(ValueError, match="of the stage"), alone_at_address(storage, "spec"):
        monkeypatch.setattr(type(storage), "remove", denied)
        raise ValueError("of the stage")
    captured = capsys.readouterr()
    assert "has to be removed by hand (access is denied)" in " ".join((captured.out + captured.err).split())
