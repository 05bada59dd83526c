"""A lock on a folder elsewhere: a file that is created only if there is none; it says who holds it."""

import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from utils.console import UserError, info, warning
from utils.files import try_lock
from utils.settings_keys import short_key
from utils.storage import Storage

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # of Linux; another one after each start of the machine
OWNER_KEYS = ("host", "boot")  # of a lock, by which its machine is known


@contextmanager
def alone_at_address(storage: Storage, stage: str) -> Iterator[None]:
    """Let only one process at a time, on whichever machine, do a stage on a folder elsewhere.

    A lock that a killed process of this machine left is removed, unless the machine was started again since. Of
    another machine, nobody here can tell: the user has to remove it.

    Raises
    ------
    UserError
        If another process is doing the stage, or left its lock.
    """
    name, ours = f"{stage}.lock", _new_owner()
    if not storage.create(name, json.dumps(ours).encode()):
        _take_over(storage, name, ours, stage)
    try:
        yield
    finally:
        _release(storage, name, ours)


def _new_owner() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    boot = BOOT_ID.read_text().strip() if BOOT_ID.is_file() else ""
    here = {"host": socket.gethostname(), "boot": boot, "process": os.getpid()}
    return {**here, "time": now, "token": secrets.token_hex(16)}


def _take_over(storage: Storage, name: str, ours: dict[str, Any], stage: str) -> None:
    """Replace the lock of a process of this machine that has ended; other processes here wait for their turn."""
    with try_lock(_turn_folder(storage.where(name)), "turn") as our_turn:
        holder = _holder(storage, name)
        if not our_turn or any(holder.get(key) != ours[key] for key in OWNER_KEYS) or not _has_ended(holder):
            raise UserError(
                f"{storage.address}: another {stage} is running here, on {holder.get('host', 'an unknown host')} since "
                f"{holder.get('time', 'an unknown time')}; wait until it has ended, or, if it was killed, remove "
                f"{storage.where(name)}"
            )
        info(f"{storage.where(name)}: was left by a process that has ended, and is removed")
        storage.remove(name)
        if not storage.create(name, json.dumps(ours).encode()):
            raise UserError(f"{storage.address}: another {stage} has just begun here; wait until it has ended")


def _turn_folder(address: str) -> Path:
    """Return a folder of this machine, of this user, for a lock among processes that see the same dead one."""
    user = os.getuid() if os.name == "posix" else "user"
    return Path(tempfile.gettempdir()) / f"birdclef-lock-{user}-{short_key(address)}"


def _release(storage: Storage, name: str, ours: dict[str, Any]) -> None:
    """Remove the lock if it is still ours; trouble with that is only told, because the stage's own comes first."""
    try:
        if _holder(storage, name).get("token") == ours["token"]:
            storage.remove(name)
    except (UserError, OSError) as error:
        warning(f"{storage.where(name)}: this lock may be left, and has to be removed by hand ({error})")


def _holder(storage: Storage, name: str) -> dict[str, Any]:
    """Return what a lock says of its holder; nothing if it was released meanwhile, or is not ours."""
    try:
        holder = json.loads(storage.read(name))
    except (FileNotFoundError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _has_ended(holder: dict[str, Any]) -> bool:
    """Tell whether a holder's process is no more on this machine, but for this one; False if that is not known."""
    process = holder.get("process")
    if os.name != "posix" or not isinstance(process, int) or process < 1:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is someone else's
        return False
    return process == os.getpid()  # as in a container, where each process may be the first
