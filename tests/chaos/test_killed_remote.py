"""spec.py that is killed while it fills a store in S3 ends, run again, with the same objects, byte for byte."""

import dataclasses
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import sort_data
from config import Config
from tests.chaos.stages import LIMIT
from tests.conftest import REPOSITORY, small_config, write_folders
from tests.remote import s3_in_a_process
from utils.settings import to_toml
from utils.storage import Storage, open_storage

pytest.importorskip("obstore")


@dataclass(frozen=True)
class Remote:
    """A sorted data set, the folder of its store in S3, and what an undisturbed spec.py writes there."""

    config: Config
    storage: Storage
    whole: dict[str, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    folder = tmp_path_factory.mktemp("killed")
    write_folders(folder / "archive", recordings=2, seconds=2.0)
    with s3_in_a_process("killed") as address:
        config = small_config(folder / "root", folder / "archive")
        config = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, store=f"{address}/store"))
        (folder / "small.toml").write_text(to_toml(config))
        sort_data.main(config)
        finish(config)
        storage = open_storage(f"{address}/store")
        yield Remote(config, storage, objects(storage))


def start(config: Config) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "spec.py"), str(config.dataset.root.parent / "small.toml")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(config: Config) -> None:
    process = start(config)
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, output


def objects(storage: Storage) -> dict[str, bytes]:
    return {name: storage.read(name) for name in storage.names()}


def kill_when_there_are(count: int, made: Remote) -> None:
    """Let spec.py fill an empty store, and kill it as soon as that has so many objects."""
    made.storage.remove(*made.storage.names())
    shutil.rmtree(made.config.dataset.root / "remote_spec", ignore_errors=True)
    process, end = start(made.config), time.monotonic() + LIMIT
    while len(made.storage.names()) < count and process.poll() is None:
        assert time.monotonic() < end
    process.kill()  # its workers end with it
    process.communicate(timeout=LIMIT)


# of about 20 objects: the lock and the settings, three shards of which each has its key last, and the tables
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(count, marks=pytest.mark.slow if count == 9 else pytest.mark.chaos)
        for count in (1, 2, 3, 6, 7, 9, 11, 13, 15, 17, 18, 19)
    ],
)
def test_the_same_objects(made: Remote, count: int) -> None:
    kill_when_there_are(count, made)
    left = made.storage.names()
    assert len(left) >= count
    if count <= 13:  # later, the stage may end before the kill
        assert "clips.parquet" not in left
        assert "spec.lock" in left
    finish(made.config)
    found = objects(made.storage)
    assert found.keys() == made.whole.keys()
    assert found == made.whole


def test_what_is_compared(made: Remote) -> None:
    assert {"settings.toml", "clips.parquet", "recordings.parquet"} < made.whole.keys()
    assert sum(name.endswith("key.txt") for name in made.whole) == 3
    assert len(made.whole) >= 19
