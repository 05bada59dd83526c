"""Processes on this machine that stand for several hosts."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY, free_port

HEAD = """
import itertools, json, os, signal, sys
from utils.learning import host_messages, hosts
index, address = int(sys.argv[1]), sys.argv[2]
flags = hosts.HostFlags(address, 2, index)
"""
# trains by the command line, and sends itself a signal after some steps of an epoch
TRAIN = """
import train
from utils import console
from utils.learning import loop
run_epoch = loop.run_epoch

def run_epoch_until(state, progress, setup, advance, stop_requested):
    steps = itertools.count(1)

    def asked():
        if [index, progress.epoch, next(steps)] == WHERE:
            os.kill(os.getpid(), SIGNAL)
        return stop_requested()

    return run_epoch(state, progress, setup, advance, asked)

loop.run_epoch = run_epoch_until
words = [EXPERIMENT, "--run", "hosts", "--coordinator", address, "--processes", "2", "--process", str(index)]
sys.exit(console.run(train.train_with_others, doc="", flags=train.CallFlags, script="train.py", arguments=words))
"""


def run_on_hosts(folder: Path, lines: str, *, count: int = 2) -> list[subprocess.CompletedProcess[str]]:
    """Run lines of Python in processes that know `index`, `address` and `flags`; return how each ended."""
    script = folder / "host.py"
    script.write_text(HEAD + lines)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(folder)}
    address = f"127.0.0.1:{free_port()}"
    processes = [
        subprocess.Popen(
            [sys.executable, script.name, str(index), address],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    try:
        outputs = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *output)
        for process, output in zip(processes, outputs, strict=True)
    ]


def train_on_hosts(
    folder: Path, experiment: Path, *, where: tuple[int, int, int] = (0, 0, 0), signal: str = "SIGKILL"
) -> list[subprocess.CompletedProcess[str]]:
    """Train the run `hosts` of an experiment in two processes.

    Parameters
    ----------
    where : host, epoch (from 1 on) and step after which that host gets a signal
    """
    values = {"EXPERIMENT": repr(str(experiment)), "WHERE": repr(list(where)), "SIGNAL": f"signal.{signal}"}
    lines = TRAIN
    for name, value in values.items():
        lines = lines.replace(name, value)
    return run_on_hosts(folder, lines)
