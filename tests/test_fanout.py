"""Workers may fail, die and hang, and machines may be lost; the results of the others still arrive.

All tests that start Ray are here, so that one process of the suite starts it, once.
"""

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import sort_data
import spec
from config import Cluster, Config, SettingsError
from tests.conftest import REPOSITORY, free_port, small_config, write_folders
from tests.remote import s3_on_loopback
from tests.workers import OnlyAtHome, behave, leave_marks, pretend_other_gpu
from utils.console import Failure, UserError
from utils.learning.examples import read_examples
from utils.learning.input_statistics import input_statistics
from utils.settings_checks import check
from utils.spectra import store_writer
from utils.storage import open_storage
from utils.workers import ray_process, ray_tasks
from utils.workers.fanout import THIS_MACHINE, fan_out
from utils.workers.ray_groups import RECENT_TASKS, GroupSize
from utils.workers.ray_messages import Order
from utils.workers.ray_process import run_on_ray
from utils.workers.ray_tasks import SETTINGS_OF_RAY, reason_of_end
from utils.workers.ray_worker import Outcome, StartNotes, attempt, files_of

AUTO = Cluster("auto", retries=0)


class Machines:
    """The machines of a Ray cluster: tests/ray_machines.py in a process of its own, whose noise is nobody's."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.ray_machines"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **SETTINGS_OF_RAY}
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.address = self._read()

    def _read(self) -> str:
        lines = (line.strip() for line in self._process.stdout)
        return next(line for line in lines if line and " " not in line)

    def kill_second(self) -> None:
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        assert self._read() == "killed"

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    pytest.importorskip("ray")
    with closing(Machines()) as machines, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", machines.address)
        yield machines


@pytest.fixture(params=["processes", "ray"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    if request.param == "processes":
        request.getfixturevalue("processes")
        return THIS_MACHINE
    request.getfixturevalue("machines")
    return AUTO


def test_one_bad_item_does_not_affect_the_others(cluster: Cluster, tmp_path: Path) -> None:
    once = f"die once: {tmp_path / 'mark'}"
    items = ["a", "raise", "b", "unusable", "die", "killed", "c", "hang", "d", "modules", once]
    main = sys.modules["__main__"]
    before, environment = dict(vars(main)), dict(os.environ)
    results = dict(fan_out(behave, items, workers=2, name=str.title, cluster=cluster, time_limit=limit_of))
    assert {item: results[item] for item in "abcd"} == {"a": "A", "b": "B", "c": "C", "d": "D"}
    assert results["raise"] == Failure("Raise", "ValueError: wrong", transient=True)
    assert results["unusable"] == Failure("Unusable", "cannot be used")
    statuses = {"die": " (exit status 7)", "killed": " (exit status -9)"}
    for item, status in statuses.items():
        reason = f"the worker process died{'' if cluster.address else status}"
        assert results[item] == Failure(item.title(), reason, transient=True)
    assert results[once] == once.upper()
    assert results["hang"] == Failure("Hang", "stopped after 3 s")
    assert results["modules"] == "1"  # no JAX, no script; one thread
    assert vars(main) == before
    assert dict(os.environ) == environment


def limit_of(item: str) -> float:
    return 3.0 if item == "hang" else 300.0


def test_where_other_tests_work_in_one_process_the_outcomes_are_the_same(request: pytest.FixtureRequest) -> None:
    settings = {"workers": 1, "name": str.title}
    here = dict(fan_out(behave, ["a", "raise", "unusable"], **settings))
    travels = dict(fan_out(memoryview, [b"a"], workers=1, name=repr))
    assert isinstance(travels[b"a"], Failure)  # what cannot be pickled does not come back
    request.getfixturevalue("processes")
    assert dict(fan_out(behave, ["a", "raise", "unusable"], **settings)) == here


@pytest.mark.usefixtures("machines")
def test_of_a_task_with_several_items_only_the_bad_one_is_lost(tmp_path: Path) -> None:
    bad = [f"die once: {tmp_path / 'mark'}", "die", "raise", "hang"]
    items = [f"a{index}" for index in range(30)] + bad + [f"b{index}" for index in range(30)]
    settings = {"workers": 1, "ahead": 16, "time_limit": limit_of, "cluster": AUTO, "name": str}
    results = dict(run_on_ray(behave, items, **settings))
    assert len(results) == len(items)
    assert all(results[item] == item.upper() for item in items if item not in bad)
    # it died within a task of several, or it would have failed: an item alone is not tried again
    assert results[bad[0]] == bad[0].upper()
    assert results["die"] == Failure("die", "the worker process died", transient=True)
    assert results["raise"] == Failure("raise", "ValueError: wrong", transient=True)
    assert results["hang"] == Failure("hang", "stopped after 3 s")


def test_a_full_disk_stops_at_once(cluster: Cluster) -> None:
    with pytest.raises(OSError, match="No space left"):
        list(fan_out(behave, ["full", "a"], workers=1, name=str, cluster=cluster))


def test_few_items_are_in_hand_and_none_goes_on_when_nobody_wants_them(cluster: Cluster, tmp_path: Path) -> None:
    marks = [tmp_path / str(index) for index in range(20)]
    with closing(fan_out(leave_marks, marks, workers=1, name=str, cluster=cluster, ahead=2)) as outcomes:
        mark, result = next(outcomes)
        assert result == mark.name
        time.sleep(2.1)
        assert 2 <= len(list(tmp_path.glob("*.started"))) <= 4
    ended = len(list(tmp_path.glob("*.ended")))
    time.sleep(0.9)
    assert len(list(tmp_path.glob("*.ended"))) == ended


def test_nothing_to_do() -> None:
    assert list(fan_out(behave, [], workers=2, name=str)) == []
    assert list(fan_out(behave, [], workers=2, name=str, cluster=AUTO)) == []


def test_a_function_of_the_running_script_is_refused() -> None:
    def local(item: str) -> str:
        return item

    local.__module__ = "__main__"
    with pytest.raises(TypeError, match="running script"):
        list(fan_out(local, ["a"], workers=1, name=str))


def test_without_ray_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"auto: needs Ray, .* \(pip install '\.\[cluster\]'\)"):
        list(fan_out(behave, ["a"], workers=1, name=str, cluster=AUTO))


def test_no_cluster_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(UserError, match=r"auto: the cluster cannot be used \(.+\); see docs/cluster.md"):
        list(fan_out(behave, ["a"], workers=1, name=str, cluster=AUTO))


@pytest.mark.parametrize("told_by", ["environment", "setting"])
def test_a_cluster_that_does_not_run_is_found_out_without_ray(told_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address if told_by == "environment" else "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(ray_process, "_ray_process", lambda _: pytest.fail("Ray was started"))
    cluster = Cluster(f"ray://{address}" if told_by == "setting" else "auto")
    with pytest.raises(UserError, match=rf"no cluster runs at {address} \(.*refused\); start one, as docs/cluster"):
        list(fan_out(behave, ["a"], workers=1, name=str, cluster=cluster))


def test_the_address_of_an_earlier_cluster_refuses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class RayIsAsked(Exception):
        pass

    def ask(order: Order) -> None:
        raise RayIsAsked(order.cluster.address)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(ray_process, "_ray_process", ask)
    with pytest.raises(RayIsAsked, match="auto"):
        list(fan_out(behave, ["a"], workers=1, name=str, cluster=AUTO))


def test_a_machine_without_the_disk_is_named(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_process, "SEEN_SECONDS", 0.1)
    file = OnlyAtHome(tmp_path / "a.wav")
    with pytest.raises(UserError, match=r"a\.wav: .+, a machine of the cluster, does not have it"):
        list(fan_out(leave_marks, [file], workers=1, name=str, cluster=AUTO))


@pytest.mark.slow
def test_a_lost_machine_changes_nothing_in_the_store(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folders(tmp_path / "archive", recordings=16, seconds=20.0)
    config = small_config(tmp_path / "root", tmp_path / "archive")
    sort_data.main(config)
    spec.main(config)
    whole = content(tmp_path / "root" / "spec")
    shutil.rmtree(tmp_path / "root" / "spec")
    original, done = store_writer.fan_out, []

    def killing(*arguments, **more):
        for outcome in original(*arguments, **more):
            done.append(outcome)
            if len(done) == 4:
                machines.kill_second()
            yield outcome

    monkeypatch.setattr(store_writer, "fan_out", killing)
    spec.main(dataclasses.replace(config, workers=0, cluster=dataclasses.replace(AUTO, retries=2)))
    assert len(done) == 33
    assert content(tmp_path / "root" / "spec") == whole


@pytest.mark.slow
@pytest.mark.usefixtures("processes")
def test_statistics_are_the_same_whoever_made_the_store(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    write_folders(tmp_path / "archive")
    config = small_config(tmp_path / "root", tmp_path / "archive")
    config = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, scale="fixed"))
    sort_data.main(config)
    found = set()
    for workers, cluster in ((1, THIS_MACHINE), (2, THIS_MACHINE), (2, Cluster("local"))):
        dataset = dataclasses.replace(config.dataset, store=tmp_path / f"store{workers}{cluster.address}")
        made = dataclasses.replace(config, workers=workers, cluster=cluster, dataset=dataset)
        assert not spec.main(made).failures
        examples = read_examples(made)
        for normalize in ("dataset", "bands"):
            model = dataclasses.replace(made.model, normalize=normalize)
            statistics = input_statistics(examples, dataclasses.replace(made, model=model))
            assert statistics is not None
            assert (statistics.mean > 0).all()
            found.add((normalize, statistics.mean.tobytes(), statistics.deviation.tobytes()))
    assert len(found) == 2  # one for each way to normalize, bit for bit


@pytest.mark.slow
def test_a_store_elsewhere_is_filled_by_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("obstore")
    write_folders(tmp_path / "archive", recordings=2, seconds=2.0)
    config = small_config(tmp_path / "root", tmp_path / "archive")
    sort_data.main(config)
    spec.main(config)
    here = content(tmp_path / "root" / "spec" / "shards")
    with s3_on_loopback("clusters") as address:
        dataset = dataclasses.replace(config.dataset, store=f"{address}/store")
        spec.main(dataclasses.replace(config, dataset=dataset, cluster=Cluster("local")))
        storage = open_storage(f"{address}/store")
        start = "shards/"
        assert {name.removeprefix(start): storage.read(name) for name in storage.names("shards")} == here
        for name in ("clips.parquet", "recordings.parquet"):
            assert storage.read(name) == (tmp_path / "root" / "spec" / name).read_bytes()
        assert not storage.exists("spec.lock")


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files but the settings, which name the cluster."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "settings.toml"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_ray_on_this_machine_has_the_cores_that_are_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, started = pytest.importorskip("ray"), []
    monkeypatch.setattr(ray, "init", lambda *_, **settings: started.append(settings["num_cpus"]))
    for workers, cpus in ((0, 1.5), (1, 2.0), (3, 0.5)):
        ray_tasks._connect(Order(behave, workers, 1, Cluster("local", cpus=cpus), ".", 1))
    assert started == [None, 2, 2]
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(UserError, match=r"cluster\.cpus = 2\.5: this machine has 2"):
        settings = {"workers": 1, "ahead": 1, "time_limit": limit_of, "cluster": Cluster("local", cpus=2.5)}
        next(run_on_ray(behave, ["a"], name=str, **settings))


def test_only_a_lost_cluster_is_told_as_one() -> None:
    ray = pytest.importorskip("ray")
    assert reason_of_end(ray.exceptions.RaySystemError("x")).startswith("the cluster was lost; see that it runs")
    assert reason_of_end(BrokenPipeError()).startswith("the cluster was lost")
    assert reason_of_end(TypeError("cannot pickle\nmore")) == "TypeError: cannot pickle"


@dataclasses.dataclass(frozen=True)
class Item:
    """What workers get: a scratch file, and files or a file."""

    part: Path
    file: object = None
    files: object = None


def test_files_of_items() -> None:
    one, other, address = Path("a.wav"), Path("b.wav"), "s3://birds/c.wav"
    assert files_of(one) == [one]
    assert files_of(address) == []
    assert files_of((one, address, other)) == [one, other]
    assert files_of(Item(other, one)) == [one]
    assert files_of(Item(other, address)) == []
    assert files_of(Item(Path("part"), files=[one, address, other])) == [one, other]
    assert files_of("no file") == []


def test_nothing_is_done_where_a_file_is_missing(tmp_path: Path) -> None:
    class Notes:
        note = type("Method", (), {})

    (tmp_path / "a").touch()
    notes, seen = StartNotes(), {tmp_path / "a", tmp_path / "b"}
    Notes.note.remote = notes.note
    items = [Item(Path("part"), tmp_path / name) for name in ("a", "b", "c")]
    more = {"task": 5, "notes": Notes, "folder": str(Path.cwd())}
    found = attempt(lambda item: item.file.name, items, seen, patience=0.0, **more)
    assert found.seconds > 0
    one, missing, unseen = found.outcomes
    assert (one, unseen) == (Outcome("a"), Outcome("c"))  # the script does not see "c", either
    assert missing.result is None
    assert (list(missing.missing), bool(missing.machine)) == ([tmp_path / "b"], True)
    assert notes.take_started() == [5]
    assert notes.take_started() == []
    appearing = threading.Timer(0.2, (tmp_path / "b").touch)
    appearing.start()
    found = attempt(lambda item: item.file.name, items, seen, patience=60.0, **more)
    appearing.join()
    assert found.outcomes == [Outcome(name) for name in ("a", "b", "c")]


def test_a_worker_that_gets_another_gpu_ends_without_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 1}')  # Ray believes it
    settings = {"workers": 1, "ahead": 1, "time_limit": limit_of, "cluster": Cluster("local", retries=0), "name": str}
    outcomes = dict(run_on_ray(pretend_other_gpu, ["a", "b"], gpus=1, **settings))
    assert all(isinstance(outcome, int) for outcome in outcomes.values()), outcomes
    assert outcomes["a"] != outcomes["b"]  # processes


def test_tasks_of_about_half_a_second() -> None:
    sizes = GroupSize(100, most=32)
    assert sizes.next_size(2) == 1  # nothing is known
    sizes.taken(1)
    sizes.measured(1, 0.1)
    assert sizes.next_size(2) == 5
    sizes.measured(9, 0.1)
    assert sizes.next_size(2) == 24  # 99 are left: no more than half of what each of two cores will get
    sizes.taken(90)
    assert sizes.next_size(2) == 2
    sizes.taken(9)
    assert sizes.next_size(2) == 1
    assert GroupSize(100, most=0).next_size(1) == 1
    sizes = GroupSize(1000, most=32)
    for seconds in [0.01] * 50 + [60.0] * RECENT_TASKS:
        sizes.measured(1, seconds)
    assert sizes.next_size(1) == 1  # items became long
    sizes = GroupSize(1000, most=4)
    sizes.measured(1, 0.0)
    assert sizes.next_size(1) == 4


@pytest.mark.parametrize("address", ["", "auto", "local", "ray://head.example:10001"])
def test_addresses(address: str) -> None:
    check(Config(cluster=Cluster(address)))
    with pytest.raises(SettingsError, match=r"cluster\.address = .*: should be '', auto, local or ray://HOST:PORT"):
        check(Config(cluster=Cluster(f"{address} ")))
