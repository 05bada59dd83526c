"""Trainings that are paused at a step, and code that runs on eight simulated devices."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

import train
from config import Config
from tests.conftest import REPOSITORY
from utils import console


def pause_training(config: Config, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Train, and ask for a stop as Ctrl-C does after so many steps."""
    requests = chain(repeat(False, after - 1), repeat(True))
    with monkeypatch.context() as patch:
        patch.setattr(console, "stop_when_ready", lambda: nullcontext(requests.__next__))
        with pytest.raises(KeyboardInterrupt):
            train.main(config)


def on_eight_devices(folder: Path, *lines: str, result: str) -> Any:
    """Run lines of Python in a process with eight devices, in an empty folder; return an expression's value."""
    script = folder / "devices.py"
    checks = ("import json", "import jax", *lines, "assert len(jax.local_devices()) == 8")
    script.write_text("\n".join([*checks, f"print(json.dumps({result}))\n"]))
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "WITHOUT_CHECKS": "1"}
    environment = {**os.environ, **devices, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
