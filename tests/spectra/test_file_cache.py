"""A cache copies each file once, stays below its limit, and takes only its own copies away."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.remote import counted
from utils.console import UserError
from utils.spectra.file_cache import FileCache
from utils.storage import open_storage

pytest.importorskip("obstore")
NAMES = [f"pack-{index:05d}-of-00004.npy" for index in range(4)]
KEY = "0123456789abcdef"


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    storage = open_storage(f"memory://{tmp_path.name}/pack")
    for index, name in enumerate(NAMES):
        storage.write(name, bytes([index]) * 1000)
    return storage.address


def test_many_threads_copy_each_file_once(elsewhere: str, tmp_path: Path) -> None:
    storage = open_storage(elsewhere)
    calls = counted(storage).calls
    caches = [FileCache(storage, tmp_path / KEY) for _ in range(2)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda index: caches[index % 2].read(NAMES[index // 2 % 4]), range(64)))
    assert found == [bytes([index // 2 % 4]) * 1000 for index in range(64)]
    assert calls["get_ranges"] == 4
    target = bytearray(3)
    caches[0].read_into(NAMES[2], [5], [memoryview(target)])
    assert target == b"\x02\x02\x02"
    assert calls["get_ranges"] == 4
    with pytest.raises(FileNotFoundError):
        caches[0].read("pack-00009-of-00004.npy")


def test_the_oldest_leave(elsewhere: str, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a-of-b.npy").write_bytes(b"mine" * 1000)
    cache = FileCache(open_storage(elsewhere), tmp_path / KEY, 2500 / 1e9)
    for age, name in enumerate(NAMES[:2]):
        cache.read(name)
        os.utime(tmp_path / KEY / name, (1e9 - age, 1e9 - age))  # the second is older
    cache.read(NAMES[2])
    assert sorted(path.name for path in (tmp_path / KEY).glob("*.npy")) == [NAMES[0], NAMES[2]]
    with ThreadPoolExecutor(4) as threads:
        assert len(list(threads.map(cache.read, NAMES * 5))) == 20
    assert len(list((tmp_path / KEY).glob("*.npy"))) <= 2
    assert (tmp_path / "notes" / "a-of-b.npy").exists()
    with pytest.raises(UserError, match=r"training\.cache_gb = 5e-07: is less than one file of the pack"):
        FileCache(open_storage(elsewhere), tmp_path / KEY.replace("0", "1"), 500 / 1e9).read(NAMES[0])


def test_copies_that_arrive_together_stay_below_the_limit(elsewhere: str, tmp_path: Path) -> None:
    """Two caches here as in two processes: they share nothing but the folder."""
    held: list[int] = []

    class Slow(type(open_storage(elsewhere))):
        def copy_to(self, name: str, path: Path) -> None:
            arriving = [path.with_name(path.name[1:-9]) for path in tmp_path.glob("*/.*.reserved")]
            copies = list(tmp_path.glob("*/*-of-*.npy"))  # for a moment a copy is there and still reserved
            held.append(1000 * len({*arriving, *copies}))
            time.sleep(0.1)
            super().copy_to(name, path)

    storage = open_storage(elsewhere)
    storage.__class__ = Slow
    caches = [FileCache(storage, tmp_path / KEY.replace("0", key), 2500 / 1e9) for key in "01"]
    # a process that was killed left a reservation, and nobody holds its lock
    (tmp_path / KEY).mkdir()
    (tmp_path / KEY / ".pack-00009-of-00004.npy.reserved").write_bytes(b"0" * 2000)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda index: caches[index % 2].read(NAMES[index // 2]), range(8)))
    assert found == [bytes([index // 2]) * 1000 for index in range(8)]
    assert max(held) == 2000  # two at a time, and never more than the limit
    assert not list(tmp_path.glob("*/.*.reserved"))
    assert len(list(tmp_path.glob("*/*-of-*.npy"))) == 2


def test_a_copy_that_keeps_leaving_is_one_line(elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FileCache(open_storage(elsewhere), tmp_path / KEY)
    monkeypatch.setattr(cache._copies, "read", lambda name: (tmp_path / "gone" / name).read_bytes())
    with pytest.raises(UserError, match=r"left the cache before it was read; increase training\.cache_gb"):
        cache.read(NAMES[0])
