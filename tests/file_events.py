"""Which files are opened or changed in folders, by inotify: it sees C libraries, too, unlike Python's audit hooks."""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

# IN_OPEN; modified, attributes, moved, created, deleted
OPENED, CHANGED = 0x20, 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400
EVENT = struct.Struct("iIII")


class FileEvents:
    """Records the names of files that are opened or changed in some folders (not below them) during the block."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._descriptor = -1

    def __enter__(self) -> "FileEvents":
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(os.O_NONBLOCK)
        for folder in self._folders:
            watch = library.inotify_add_watch(self._descriptor, os.fsencode(folder), OPENED | CHANGED)
            assert watch >= 0, os.strerror(ctypes.get_errno())
        return self

    def names(self) -> list[str]:
        """Return the names since the last call, in the order of the events."""
        found = []
        while True:
            try:
                content = os.read(self._descriptor, 1 << 20)
            except BlockingIOError:
                return found
            while content:
                *_, length = EVENT.unpack_from(content)
                found.append(os.fsdecode(content[EVENT.size : EVENT.size + length].rstrip(b"\0")))
                content = content[EVENT.size + length :]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
