"""What a host prints when another one is lost: one line, where JAX would print a native stack trace and abort.

A lost host is noticed in two ways: a collective raises an error, or JAX's own client, which misses heartbeats, ends the
process by `LOG(FATAL)`. It could call a function of Python instead, but jaxlib 0.10 fails to convert the argument and
aborts all the same. So what native code writes to standard error is held back, and the signal of the abort prints the
line and ends the process. Of other aborts, all that was held back is shown.
"""

import ctypes
import os
import re
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax

from utils.console import one_line

FATAL = "JAX distributed service detected fatal errors"  # in JAX's last words
CONNECTING = "RegisterTask"  # in them, if the hosts did not come together
UNHEALTHY = re.compile(r"stopped sending heartbeats\):\s*(\d+)")
OF_COLLECTIVES = re.compile(r"gloo|nccl|UNAVAILABLE|coordination|connection reset|socket closed", re.IGNORECASE)
LAST_WORDS = 1_000_000  # bytes of native messages that are read
SECONDS_TO_REPORT = 5  # that the main thread has to print its line


def lost_host_message(error: Exception, *, index: int, count: int) -> str:
    """Return the line for an error of a collective or of the coordinator; '' if it is neither.

    Parameters
    ----------
    index, count : of this host, and of all
    """
    if not isinstance(error, jax.errors.JaxRuntimeError | ValueError) or not OF_COLLECTIVES.search(str(error)):
        return ""
    reason = str(error).partition("\n")[0].rpartition("] ")[2]  # without the lines of C++
    return lost(f"host {1 - index}" if count == 2 else "another host", reason)


def message_of_abort(text: str, *, index: int) -> str:
    """Return the line for the last words of JAX's client."""
    found = UNHEALTHY.search(text)
    if found:
        return lost(f"host {found.group(1)}", "it gives no sign of life")
    return lost("another host" if index == 0 else "host 0", "the connection broke")


def lost(host: str, reason: str) -> str:
    """Return the line about a lost host."""
    return f"{host} was lost ({reason}); run the same command again on all hosts: it resumes"


class AbortGuard:
    """Holds back what native code writes to standard error, and turns JAX's abort into one line.

    Parameters
    ----------
    seconds, address : how long the hosts wait for each other, and where
    """

    def __init__(self, seconds: int, address: str) -> None:
        self._connecting = (
            f"not all hosts came together at {address} within {seconds} s; start the same command on all of them, and "
            "check that they reach this address"
        )
        self._index, self._line, self._status = 0, "", 1
        self._reporter = threading.Lock()  # whoever gets it prints what happened
        self._stderr, self._held = os.dup(2), tempfile.TemporaryFile()  # noqa: SIM115 — until close()
        self._python_stderr = sys.stderr
        sys.stderr = os.fdopen(os.dup(self._stderr), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
        os.dup2(self._held.fileno(), 2)
        # Python's own handlers run later, in the main thread: too late for an abort
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._on_abort)
        self._set_handler(ctypes.cast(self._handler, ctypes.c_void_p))

    def connected(self, *, index: int) -> None:
        """Record that the hosts came together, and which one this is."""
        self._index, self._connecting = index, ""

    def expect_end(self, line: str, *, status: int) -> None:
        """Record the line and exit status for an abort before `reports_itself`: of an error that is already known."""
        self._line, self._status = line, status

    def reports_itself(self) -> None:
        """Record that the main thread prints what happened; does not return if an abort is printing it."""
        self._reporter.acquire()

    def close(self) -> None:
        """Let native code write and abort as ever."""
        self._set_handler(ctypes.c_void_p(signal.SIG_DFL))
        os.dup2(self._stderr, 2)
        sys.stderr.close()
        sys.stderr = self._python_stderr
        os.close(self._stderr)
        self._held.close()

    def show_held(self) -> None:
        """Show what was held back."""
        os.write(self._stderr, self._last_words())

    def _on_abort(self, _: int) -> None:
        """Print the line and end the process; any thread may call this, and the main thread may be stuck."""
        text = self._last_words().decode("utf-8", "replace")
        if FATAL not in text:
            self.show_held()
            return  # to the abort
        if self._reporter.acquire(blocking=False):
            connecting = self._connecting if CONNECTING in text else ""
            message = self._line or connecting or message_of_abort(text, index=self._index)
            os.write(self._stderr, f"{Path(sys.argv[0]).name}: {one_line(message)}\n".encode())
        else:
            time.sleep(SECONDS_TO_REPORT)
        os._exit(self._status)

    def _last_words(self) -> bytes:
        file = self._held.fileno()
        return os.pread(file, LAST_WORDS, max(os.fstat(file).st_size - LAST_WORDS, 0))

    @staticmethod
    def _set_handler(handler: ctypes.c_void_p) -> None:
        function = ctypes.CDLL(None).signal
        function.argtypes, function.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
        function(signal.SIGABRT, handler)
