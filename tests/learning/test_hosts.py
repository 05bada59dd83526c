"""Two hosts train as one process does, also if one of them is lost in between."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import train
from config import Config, SettingsError
from tests.conftest import extracted
from tests.host_processes import run_on_hosts, train_on_hosts
from tests.training_runs import on_eight_devices
from utils.learning.hosts import HostFlags, check_host_flags
from utils.learning.lost_hosts import lost_host_message, message_of_abort
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot
from utils.models.training_log import EpochRow, read_training_log
from utils.settings import to_toml

AGAIN = "run the same command again on all hosts: it resumes"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("hosts")
    config = extracted(folder)
    (folder / "experiment.toml").write_text(to_toml(config))
    return replace(config, run="one")


@pytest.fixture(scope="module")
def interrupted(
    config: Config,
) -> tuple[list[subprocess.CompletedProcess[str]], list[subprocess.CompletedProcess[str]]]:
    """Two hosts, of which one is killed in the second epoch; and both, started again."""
    folder = config.dataset.root.parent
    first = train_on_hosts(folder, folder / "experiment.toml", where=(1, 2, 2))
    return first, train_on_hosts(folder, folder / "experiment.toml")


def log(config: Config, run: str) -> list[EpochRow]:
    return read_training_log(config.snapshots / run / "log.csv", until=99)


def weights(config: Config, run: str) -> list[np.ndarray]:
    latest = find_snapshot(config.snapshots / run, "latest")
    assert latest
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_network(latest)[1])]


def test_a_lost_host_ends_the_others_with_one_line(
    interrupted: tuple[list[subprocess.CompletedProcess[str]], ...],
) -> None:
    first, second = interrupted[0]
    assert second.returncode == -9
    assert first.returncode == 1
    lines = [line for line in first.stderr.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1
    assert re.fullmatch(rf"train.py: host 1 was lost \(.+\); {AGAIN}", lines[0])


def test_two_hosts_train_as_one_process_does(
    config: Config, interrupted: tuple[list[subprocess.CompletedProcess[str]], ...]
) -> None:
    first, second = interrupted[1]
    assert (first.returncode, second.returncode) == (0, 0)
    assert "resuming after epoch 1" in first.stdout
    assert "Trained" in first.stdout
    printed = [line for line in second.stdout.splitlines() if not line.startswith("[Gloo]")]
    assert printed == ["host 1 of 2, host 0 reports"]
    assert second.stderr == ""
    train.main(config)
    one, two = log(config, "one"), log(config, "hosts")
    assert len(one) == len(two) == config.training.epochs
    for name in ("loss", "accuracy", "validation_loss", "validation_mlrap", "learning_rate"):
        alone, together = ([getattr(row, name) for row in rows] for rows in (one, two))
        np.testing.assert_allclose(together, alone, atol=1e-5, err_msg=name)
    for alone, together in zip(weights(config, "one"), weights(config, "hosts"), strict=True):
        np.testing.assert_allclose(together, alone, atol=1e-4)


MESSAGES = """
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch
from config import Config, Training
from utils import console
from utils.learning.host_checks import check_hosts
import jax

def error_of(function):
    try:
        return function()
    except console.UserError as error:
        return str(error)

def fails():
    raise console.UserError("no disk")

def check(config, clips):
    return error_of(lambda: check_hosts(SimpleNamespace(fingerprint=clips), config))

def check_with_devices(count):
    with patch.object(jax, "local_device_count", lambda: count):
        return check(Config(), "a")

hosts.HEARTBEAT_SECONDS = 10
with hosts.connected(flags):
    stop = host_messages.stop_on_all(lambda: index == 1)
    one = Config(training=Training(seed=1 + index))
    found = {
        "gather": host_messages.values_of_all(index),
        "from first": host_messages.from_first(lambda: [index, 0.1]),
        "error of first": error_of(lambda: host_messages.from_first(fails)),
        "error of second": error_of(lambda: host_messages.on_all(fails if index else lambda: None)),
        "not asked": host_messages.stop_on_all(lambda: False)(),
        "asked": [stop(), host_messages.values_of_all(0), stop()][-1],  # host 0 may be earlier the first time
        "same": check(Config(), "a"),
        "settings": check(one, "a"),
        "clips": check(Config(), "ab"[index]),
        "snapshots": check(Config(snapshots=Path("ab"[index])), "a"),
        "devices": check_with_devices(1 + index),
        "many": sum(host_messages.from_first(lambda: turn) for turn in range(host_messages.MESSAGES_KEPT + 10)),
    }
    print(json.dumps(found), flush=True)
    host_messages.values_of_all(0)
    if index == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    host_messages.values_of_all(0)
"""


def test_messages_between_hosts(tmp_path: Path) -> None:
    first, second = run_on_hosts(tmp_path, MESSAGES)
    of_first, of_second = (json.loads(host.stdout.splitlines()[-1]) for host in (first, second))
    assert of_second.pop("error of second") == "no disk"
    assert of_first.pop("error of second") == "host 1: no disk"
    assert of_first == of_second
    assert of_first.pop("gather") == [0, 1]
    assert of_first.pop("from first") == [0, 0.1]
    assert of_first.pop("error of first") == "no disk"
    assert of_first.pop("not asked") is False
    assert of_first.pop("asked") is True
    assert of_first.pop("same") is None
    assert of_first.pop("settings") == (
        "training.seed is 2 on host 1, but 1 on host 0; run the same command with the same data set on all hosts"
    )
    assert of_first.pop("clips").startswith('the clips or classes is "b" on host 1, but "a" on host 0')
    assert of_first.pop("snapshots") is None
    assert of_first.pop("devices") == (
        "the count of devices is 2 on host 1, but 1 on host 0; use equally many devices of one kind on all hosts"
    )
    assert of_first.pop("many") == sum(range(1010))
    assert (first.returncode, second.returncode) == (-9, 1)
    assert re.fullmatch(rf".*host 0 was lost \(.+\); {AGAIN}", second.stderr.splitlines()[-1])
    assert "Check failure stack trace" not in second.stderr


ERRORS = """
import time
from config import SettingsError
from utils import console

def fails(*, error=console.UserError("no such store; run spec.py")):
    raise error

def stage(_):
    with hosts.connected(flags):
        if index == 1:
            time.sleep(3)
        FAILS

sys.exit(console.run(stage, doc="", script="host.py", arguments=[]))
"""


@pytest.mark.parametrize(
    ("fails", "before", "status"),
    [
        ("host_messages.from_first(fails)", "", 1),
        ("host_messages.on_all(lambda: index or fails())", "host 0: ", 1),
        ("fails(error=SettingsError('no such store; run spec.py'))", "", 2),
    ],
)
def test_hosts_print_the_error_of_one_that_ends_early(tmp_path: Path, fails: str, before: str, status: int) -> None:
    first, second = run_on_hosts(tmp_path, ERRORS.replace("FAILS", fails))
    assert (first.stderr, first.returncode) == ("host.py: no such store; run spec.py\n", status)
    assert (second.stderr, second.returncode) == (f"host.py: {before}no such store; run spec.py\n", status)


# host 0 ends while host 1 waits for it
LOST_IN_THE_WAIT = """
def wait(_):
    client = host_messages._client()
    if index == 0:
        client.blocking_key_value_get("host 1 waits", 60_000)
        time.sleep(1)
    else:
        client.key_value_set("host 1 waits", "")
        time.sleep(300)

hosts._wait_for_others = wait
"""


def test_an_abort_prints_the_error_that_is_known(tmp_path: Path) -> None:
    lines = ERRORS.replace("FAILS", "host_messages.from_first(fails)").replace(
        "sys.exit(", LOST_IN_THE_WAIT + "sys.exit("
    )
    for host in run_on_hosts(tmp_path, lines):
        assert (host.stderr, host.returncode) == ("host.py: no such store; run spec.py\n", 1)


def test_hosts_that_do_not_come_together(tmp_path: Path) -> None:
    lines = "hosts.MEETING_SECONDS = 1\nflags = hosts.HostFlags(address, 2, 1)\nwith hosts.connected(flags): pass\n"
    (alone,) = run_on_hosts(tmp_path, lines, count=1)
    assert alone.returncode == 1
    (line,) = alone.stderr.splitlines()
    assert line.startswith("host.py: not all hosts came together at 127.0.0.1:")


def test_auto_without_a_cluster(tmp_path: Path) -> None:
    lines = "with hosts.connected(hosts.HostFlags('auto')): pass\n"
    (alone,) = run_on_hosts(tmp_path, lines, count=1)
    assert "UserError: --coordinator auto: found neither Slurm nor Open MPI nor a TPU pod" in alone.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--processes", "2"], "--processes: --coordinator is missing; set it to HOST:PORT"),
        (["--process", "0"], "--process: --coordinator is missing; set it to HOST:PORT"),
        (["--coordinator", "here:1", "--processes", "2"], "--process: is missing; --coordinator here:1 needs it"),
        (["--coordinator", "here:1", "--process", "0"], "--processes: is missing; --coordinator here:1 needs it"),
        (
            ["--coordinator", "auto", "--process", "0"],
            "--process: --coordinator auto finds it by itself; remove this flag",
        ),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    status = train.console.run(
        train.train_with_others, doc="", flags=train.CallFlags, script="train.py", arguments=words
    )
    assert status == 2
    assert capsys.readouterr().err == f"train.py: {message}\n"


@pytest.mark.parametrize(
    ("address", "processes", "process", "message"),
    [
        ("here", 2, 0, "'here' must be HOST:PORT of process 0"),
        ("here:port", 2, 0, "must be HOST:PORT of process 0"),
        ("here:70000", 2, 0, "must be HOST:PORT of process 0"),
        ("here:1", 2, 2, "2 must be from 0 to 1, because of --processes 2"),
        ("here:1", 2, -1, "-1 must be from 0 to 1"),
        ("here:1", 0, 0, "--processes 0 must be at least 1"),
    ],
)
def test_values_of_flags(address: str, processes: int, process: int, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check_host_flags(HostFlags(address, processes, process))
    check_host_flags(HostFlags("here:1", 2, 1))


def test_messages_about_lost_hosts() -> None:
    gloo = ValueError("UNKNOWN: Gloo all-reduce failed: [pair.cc:538] Read error [127.0.0.1]:8339: Connection reset")
    reason = "Read error [127.0.0.1]:8339: Connection reset"
    assert lost_host_message(gloo, index=0, count=2) == f"host 1 was lost ({reason}); {AGAIN}"
    assert lost_host_message(gloo, index=3, count=4) == f"another host was lost ({reason}); {AGAIN}"
    assert lost_host_message(ValueError("too many values to unpack"), index=0, count=2) == ""
    assert lost_host_message(OSError("Connection reset by peer"), index=0, count=2) == ""
    unhealthy = "The following tasks are unhealthy (stopped sending heartbeats):\n3\nThe tasks have crashed."
    assert message_of_abort(unhealthy, index=0) == f"host 3 was lost (it gives no sign of life); {AGAIN}"
    assert message_of_abort("Socket closed", index=1) == f"host 0 was lost (the connection broke); {AGAIN}"


def test_columns_of_a_host(tmp_path: Path) -> None:
    lines = [
        "import numpy as np",
        "from unittest.mock import patch",
        "from utils.learning import devices",
        "mesh = devices.device_mesh(16)",
        "every = devices.columns_of_this_host(16, mesh).tolist()",
        "part = {device: index for device, index in",
        "        devices.split_over_devices(mesh).devices_indices_map((1, 16)).items() if device.id in (1, 6)}",
        "with patch('jax.sharding.NamedSharding.addressable_devices_indices_map', lambda *_: part):",
        "    some = devices.columns_of_this_host(16, mesh).tolist()",
    ]
    lines += [
        "devices.host_count = lambda: 2",
        "try:",
        "    devices.device_mesh(12)",
        "except devices.UserError as error:",
        "    refused = str(error)",
    ]
    every, some, refused = on_eight_devices(tmp_path, *lines, result="[every, some, refused]")
    assert every == list(range(16))
    assert some == [2, 3, 12, 13]
    assert refused == (
        "training.batch_size = 12 cannot be divided among the 8 devices of all hosts; set it to a multiple of 8"
    )
