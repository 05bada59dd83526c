"""Count the files that a clip passes on its way from disk to the score of its recording, and the turns back.

    python -m tests.clip_path
    python tests/clip_path.py --today ../earlier

Calls of two functions are traced: the worker's, from a file to spectrograms, and the main process's, from spectrograms
to scores. A file counts if a function of it ran. A turn is a call into a file that is further down the stack, such as a
callback: a reader has to go back to a file that was left. `--earlier` counts in a checkout of the version before (its
functions had other names). The data are those of tests/earlier.
"""

import argparse
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

DATA = Path(__file__).with_name("earlier") / "data.tar.gz"


class CallTrace:
    """The files of utils/ whose functions run within the block, and the calls that lead back into one of them."""

    def __init__(self, root: Path) -> None:
        self._utils = str(root / "utils") + os.sep
        self.files: set[str] = set()
        self.turns: set[tuple[str, str]] = set()

    def __enter__(self) -> "CallTrace":
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _file(self, frame: FrameType | None) -> str | None:
        name = frame.f_code.co_filename if frame else ""
        inside = name.startswith(self._utils) and frame is not None and frame.f_code.co_name != "<module>"
        return name.removeprefix(self._utils) if inside else None

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        file = self._file(frame)
        if event != "call" or file is None or file == "console.py":
            return
        self.files.add(file)
        caller = frame.f_back
        while caller and self._file(caller) is None:
            caller = caller.f_back
        below, below_file = caller, self._file(caller)
        while below and self._file(below) in (None, below_file):
            below = below.f_back
        while below:
            if self._file(below) == file != below_file:
                self.turns.add((str(below_file), file))
            below = below.f_back


def count(root: Path, worker: Callable[[], Any], main: Callable[[], Any]) -> CallTrace:
    """Run both functions under one trace."""
    with CallTrace(root) as trace:
        worker()
        main()
    return trace
