"""A store elsewhere is that of this machine, byte for byte, however often the work on it was stopped."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import sort_data
import spec
from config import Cluster, Config
from tests.conftest import small_config, write_folders
from tests.one_process import in_this_process
from tests.remote import count_all, put_files, s3_on_loopback
from utils.console import Failure, UserError, alone
from utils.spectra import remote_store, store_writer
from utils.spectra.store import Store
from utils.storage import Storage, open_storage
from utils.storage_lock import _new_owner

pytest.importorskip("obstore")
KINDS = ["file", pytest.param("s3", marks=pytest.mark.slow)]
TABLES = ("clips.parquet", "recordings.parquet", "rejected.csv")


@dataclasses.dataclass(frozen=True)
class Made:
    """A sorted data set, and the content of its store on this machine."""

    config: Config
    store: dict[str, bytes]

    def elsewhere(self, root: Path, address: str) -> Config:
        """Copy what was sorted to a new root, whose store will be elsewhere."""
        shutil.copytree(self.config.dataset.root, root, ignore=shutil.ignore_patterns("spec"))
        return dataclasses.replace(
            self.config, dataset=dataclasses.replace(self.config.dataset, root=root, store=address)
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    write_folders(folder / "archive", recordings=2, seconds=2.0)
    (folder / "archive" / "Bassus gravis" / "text.wav").write_text("no sound")
    config = small_config(folder / "root", folder / "archive")
    sort_data.main(config)
    spec.main(config)
    return Made(config, content(open_storage(folder / "root" / "spec")))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_on_loopback("stores") as address:
        yield address


def content(storage: Storage) -> dict[str, bytes]:
    """Return what both kinds of stores have."""
    return {name: storage.read(name) for name in storage.names() if name.startswith("shards/") or name in TABLES}


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_elsewhere_is_that_of_this_machine(
    made: Made, tmp_path: Path, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"file://{tmp_path}/store" if kind == "file" else f"{request.getfixturevalue('s3')}/store"
    config = made.elsewhere(tmp_path / "root", address)
    extracted = spec.main(config)
    assert content(open_storage(address)) == made.store
    assert [Path(failure.name).name for failure in extracted.failures] == ["text.wav"]
    assert not (config.dataset.root / "spec").exists()
    assert (config.dataset.root / "remote_spec" / "overview.html").is_file()
    assert not list((config.dataset.root / "remote_spec").rglob("*.npy"))
    requests = count_all(monkeypatch)
    spec.main(config)
    assert sum(one.calls["put"] for one in requests) == 4  # the lock, and the tables of the store
    requests.clear()
    store, here = Store(config.dataset.root, at=address), Store(made.config.dataset.root)
    order = np.random.default_rng(1).permutation(len(here.clips))
    before = requests[0].bytes_read
    np.testing.assert_array_equal(store.spectrograms(order), here.spectrograms(order))
    assert requests[0].calls["get_ranges"] == 3  # one for each shard
    assert requests[0].bytes_read - before == here.spectrograms(order).nbytes
    sums = store.pixel_sums(["Altus clarus/A0", "Solus unicus/S0"])
    assert sums.keys() == {"Altus clarus/A0", "Solus unicus/S0"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_makes_only_the_shards_that_are_missing(
    made: Made, tmp_path: Path, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"file://{tmp_path}/store" if kind == "file" else f"{request.getfixturevalue('s3')}/stopped"
    config, again = made.elsewhere(tmp_path / "root", address), []

    def noting(function: object, jobs: list, *, stop_after: int = 99, **settings: object) -> Iterator[tuple]:
        again.extend(job.shard.name for job in jobs)
        yield from in_this_process(function, jobs[:stop_after], **settings)
        if stop_after < len(jobs):
            raise KeyboardInterrupt

    monkeypatch.setattr(remote_store, "fan_out", lambda *given, **settings: noting(*given, stop_after=2, **settings))
    with pytest.raises(KeyboardInterrupt):
        spec.main(config)
    assert not open_storage(address).exists("clips.parquet")
    # as if it had been killed: the third shard without its key, and the lock of a process that is no more
    storage = open_storage(address)
    storage.write("shards/Solus unicus-000/spectrograms.npy", b"half")
    storage.write("spec.lock", json.dumps(_new_owner() | {"process": 2**22 + 1}).encode())
    again.clear()
    monkeypatch.setattr(remote_store, "fan_out", noting)
    shutil.rmtree(config.dataset.root / "remote_spec")  # and another machine resumes
    spec.main(config)
    assert again == ["Solus unicus-000"]
    assert content(storage) == made.store


def test_a_shard_that_stops_its_worker_is_made_by_recording(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = made.elsewhere(tmp_path / "root", f"file://{tmp_path}/store")

    def dying(function: object, jobs: list, **settings: object) -> Iterator[tuple]:
        yield jobs[0], Failure(jobs[0].shard.name, "the worker process died (exit status 9)", transient=True)
        yield from in_this_process(function, jobs[1:], **settings)

    monkeypatch.setattr(remote_store, "fan_out", dying)
    spec.main(config)
    assert content(open_storage(config.dataset.store_at)) == made.store


def test_the_main_process_works_on_this_machine(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def noting(*given: object, cluster: Cluster, **settings: object) -> Iterator[tuple]:
        used.append(cluster.address)
        return in_this_process(*given, **settings)

    def dying(_: object, jobs: list, *, cluster: Cluster, **settings: object) -> Iterator[tuple]:
        used.append(cluster.address)
        assert all(job.files == [one.file for one in job.shard.jobs] for job in jobs)
        yield from ((job, Failure(job.shard.name, "died", transient=True)) for job in jobs)

    monkeypatch.setattr(remote_store, "fan_out", dying)
    monkeypatch.setattr(store_writer, "fan_out", noting)
    config = made.elsewhere(tmp_path / "root", f"file://{tmp_path}/store")
    spec.main(dataclasses.replace(config, cluster=Cluster("auto")))
    assert used == ["auto", "", "", ""]


def test_a_store_of_this_machine_has_one_writer(made: Made, tmp_path: Path) -> None:
    config = made.elsewhere(tmp_path / "root", "")
    config = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, store=tmp_path / "store"))
    shutil.copytree(made.config.dataset.root / "spec", tmp_path / "store")
    (tmp_path / "store" / ".spec.lock").touch()
    before = sorted(tmp_path.joinpath("store").rglob("*"))
    for flags in (spec.Flags(), spec.Flags(fresh=True)):
        with (
            alone(tmp_path / "store", "spec"),
            pytest.raises(UserError, match="store: another spec is running here"),
        ):
            spec.main(config, flags)
    assert sorted(tmp_path.joinpath("store").rglob("*")) == before
    spec.main(config, spec.Flags(fresh=True))
    assert sorted(tmp_path.joinpath("store").rglob("*")) == before


def test_sums_of_a_store_of_sound_are_those_of_its_shards(made: Made, tmp_path: Path) -> None:
    store = Store(tmp_path, at=put_files("memory://sums", made.config.dataset.root / "spec").address)
    store.keeps_sound = True
    before = store.pixel_sums_of_shard("Altus clarus-000")
    assert before.is_relative_to(tmp_path / "remote_spec" / "shards" / "Altus clarus-000")
    store.storage.write("shards/Altus clarus-000/key.txt", b"another")
    again = Store(tmp_path, at="memory://sums")
    again.keeps_sound = True
    assert again.pixel_sums_of_shard("Altus clarus-000") != before
    assert again.pixel_sums_of_shard("Solus unicus-000") == store.pixel_sums_of_shard("Solus unicus-000")


def test_settings_of_a_store_that_cannot_be_read(made: Made, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(made.config.dataset.root, root)
    settings = root / "spec" / "settings.toml"
    settings.write_bytes(b"\xef\xbb\xbf" + settings.read_bytes())  # as some editors of Windows do
    assert Store(root).spectrogram == Store(made.config.dataset.root).spectrogram
    settings.write_bytes(b"\xff")
    with pytest.raises(
        UserError, match=r"settings\.toml: is damaged \(.*; remove it and run spec.py again, which keeps"
    ):
        Store(root)
    settings.write_text("clips = 3")
    with pytest.raises(UserError, match=r"settings\.toml: clips = 3: .*; remove it and run spec.py again, which keeps"):
        Store(root)
    settings.unlink()
    with pytest.raises(UserError, match=r"settings\.toml: no such file; run spec.py again, which keeps what is there"):
        Store(root)
    config = dataclasses.replace(made.config, dataset=dataclasses.replace(made.config.dataset, root=root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            store_writer, "fan_out", lambda _, jobs, **settings: in_this_process(pytest.fail, jobs, **settings)
        )
        spec.main(config)
    assert content(open_storage(root / "spec")) == made.store
    settings.unlink()
    settings.mkdir()
    with pytest.raises(UserError, match=r"settings\.toml: cannot be read \(Is a directory\)"):
        Store(root)


def test_what_stands_elsewhere_is_checked_as_here(made: Made, tmp_path: Path) -> None:
    address = f"file://{tmp_path}/store"
    config, storage = made.elsewhere(tmp_path / "root", address), open_storage(address)
    with pytest.raises(UserError, match=r"store/clips.parquet: no such file; run spec.py"):
        Store(config.dataset.root, at=address)
    storage.write("holiday.jpg", b"")
    with pytest.raises(UserError, match=r"store: holds holiday.jpg, which is not part of a store"):
        spec.main(config)
    storage.remove("holiday.jpg")
    storage.write("spec.lock", b'{"host": "elsewhere", "process": 1, "time": "2026-01-01T00:00:00+00:00"}')
    with pytest.raises(UserError, match=r"another spec is running here, on elsewhere since 2026-01-01.*remove file://"):
        spec.main(config)
    storage.remove("spec.lock")
    put_files(address, made.config.dataset.root / "spec")
    changed = dataclasses.replace(config, clips=dataclasses.replace(config.clips, length=1.5))
    with pytest.raises(UserError, match=r"store: was made with other settings \(clips.length was 1.0, is 1.5\)"):
        spec.main(changed)
    spec.main(changed, spec.Flags(fresh=True))
    assert set(Store(config.dataset.root, at=address).clips["length"]) == {1.5}
    assert not storage.exists("spec.lock")


@pytest.mark.parametrize("damage", ["cut off", "longer", "missing", "no table", "half a table"])
def test_damage_is_told_in_one_line(made: Made, damage: str) -> None:
    address = f"memory://damage/{damage}"
    storage = put_files(address, made.config.dataset.root / "spec")
    store = Store(Path(), at=address)
    name = "clips.parquet" if "table" in damage else "shards/Altus clarus-000/spectrograms.npy"
    whole = storage.read(name)
    if damage in ("missing", "no table"):
        storage.remove(name)
    else:
        storage.write(name, whole + b"0" if damage == "longer" else whole[: len(whole) // 2])
    lines = {"no table": "no such file; run spec.py", "half a table": r"cannot be read \(.*; run spec.py --fresh"}
    line = f"^{address}/{name}: {lines.get(damage, 'is missing or damaged; remove key.txt')}"
    with pytest.raises(UserError, match=line) as caught:
        Store(Path(), at=address)
    assert "\n" not in str(caught.value)
    if damage in ("missing", "cut off"):  # since it was opened
        with pytest.raises(UserError, match=line):
            store.spectrograms(np.arange(len(store.clips)))
