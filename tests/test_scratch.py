"""Scratch folders disappear, also those of processes that were killed, and nothing else does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from utils.scratch import scratch_folder

KILLED = """
import os, sys
from utils.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "copy.wav").write_bytes(b"sound")
    os._exit(9)
"""


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    subprocess.run([sys.executable, "-c", KILLED], cwd=REPOSITORY, check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "copy.wav").is_file()
    users = tmp_path / "birdclef-scratch-of-a-user"  # without a lock of ours
    users.mkdir()
    with scratch_folder() as first, scratch_folder() as second:
        assert first != second
        assert {first, second, users} == set(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == [users]


def test_errors_remove_it_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), scratch_folder(tmp_path / "new", prefix=".x-") as folder:
        assert folder.parent == tmp_path / "new"
        raise ValueError("wrong")
    assert list((tmp_path / "new").iterdir()) == []
