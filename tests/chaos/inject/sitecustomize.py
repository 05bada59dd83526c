"""Injected by chaos tests into a stage and its workers: Python imports a module of this name when it starts.

The variable CHAOS holds a plan as JSON: `below`, the folder whose files count; `journal`, files in which events of all
processes of the stage are counted; and what to do: kill the process group directly before or after the n-th rename,
report a full disk when the n-th file is opened for writing, limit the size of files, or record every path outside
`below` that is changed (`record_changes`).
"""

import errno
import json
import os
import signal
import sys

# audit events that change the disk, and which of their arguments are paths, with the open folders they are relative to
CHANGES = {
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.utime": ((0, 3),),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _text(path: object) -> str:
    """Return a path with the links in its folders followed, but not the last name."""
    if isinstance(path, int) or path is None:
        return ""
    text = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]
    return os.path.join(os.path.realpath(os.path.dirname(text)), os.path.basename(text))


class Plan:
    """The plan, and how often its events have happened."""

    def __init__(self, plan: dict) -> None:
        self.plan = plan
        self.below = os.path.realpath(plan["below"])

    def is_below(self, path: object) -> bool:
        text = _text(path)
        return text == self.below or text.startswith(self.below + os.sep)

    def count(self, kind: str, line: str = "") -> int:
        """Count an event; return how often it has happened in all processes together."""
        journal = os.open(f"{self.plan['journal']}.{kind}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(journal, line.encode("utf-8", "backslashreplace") if line else b"x")
            return os.lseek(journal, 0, os.SEEK_CUR)
        finally:
            os.close(journal)

    def renaming(self, original):
        def rename(source, target, **more):
            count = self.count("renames") if self.is_below(target) else 0
            self.kill_at(count, "before")
            original(source, target, **more)
            self.kill_at(count, "after")

        return rename

    def kill_at(self, count: int, when: str) -> None:
        if count and count == self.plan.get("rename") and when == self.plan.get("when"):
            os.killpg(0, signal.SIGKILL)

    def hook(self, event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            self.opened(arguments[0])
        elif event in CHANGES and self.plan.get("record_changes"):
            for path, folder in CHANGES[event]:
                self.changed(event, arguments[path], -1 if folder is None else arguments[folder])

    def opened(self, path: object) -> None:
        if self.is_below(path):
            if self.count("opens") == self.plan.get("full"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        elif self.plan.get("record_changes"):
            self.changed("open", path)

    def changed(self, event: str, path: object, folder: int = -1) -> None:
        if folder != -1 and not isinstance(path, int):
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))  # type: ignore[arg-type]
        text = _text(path)
        if text and not self.is_below(path) and not text.startswith(self.plan["journal"]):
            self.count("outside", f"{event} {text}\n")


def arm(plan: dict) -> None:
    """Follow the plan from now on."""
    acting = Plan(plan)
    os.rename, os.replace = acting.renaming(os.rename), acting.renaming(os.replace)
    sys.addaudithook(acting.hook)
    if plan.get("largest"):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["largest"], plan["largest"]))


if os.environ.get("CHAOS"):
    arm(json.loads(os.environ["CHAOS"]))
