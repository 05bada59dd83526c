"""Each recording with detections is posted to an address as JSON, at least once.

What is to be delivered is in the database, in the same transaction that says that the recording is done, so that a kill
loses nothing. It is removed there once the address has confirmed it with a status from 200 to 299, and never sent
again. Only if the program is killed, or stopped at once, between the confirmation and that removal, or if the address
takes longer to confirm than a call waits at its end, is it sent twice, under the same id.
"""

import http.client
import json
import math
import os
import re
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from utils import console
from utils.console import UserError
from utils.recordings.recorders.metadata import iso_text
from utils.watching.call import WatchFlags
from utils.watching.prediction import PredictedRecording
from utils.watching.state import Delivery, WatchState

FIRST_PAUSE = 5.0  # seconds after a failure; doubled after each further one
LONGEST_PAUSE = 3600.0  # seconds
LONGEST_SILENCE = 20.0  # seconds without a byte
END_TIME = 15.0  # seconds after the end of a call in which deliveries are started
VARIABLE = "BIRDCLEF_WEBHOOK"  # of the environment: an address that no argument shows
LOCAL = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])([:/]|$)", re.IGNORECASE)
ADDRESS = re.compile(r"https?://[^\s/?#@]+([/?#]\S*)?", re.IGNORECASE)


def webhook_address(flags: WatchFlags) -> str:
    """Return the address of the flags, or else that of the environment; '' if there is none."""
    return flags.webhook or os.environ.get(VARIABLE, "")


def check_webhook(address: str) -> None:
    """Refuse an address that is neither http nor https, holds a password, or has other characters than ASCII.

    Raises
    ------
    UserError
        That does not repeat it: it may hold a secret.
    """
    if address and not ADDRESS.fullmatch(address):
        raise UserError(
            f"--webhook, or {VARIABLE}: should be an address that starts with http:// or https://, without "
            "user:password@"
        )
    if not address.isascii():
        raise UserError(f"--webhook, or {VARIABLE}: should be ASCII; write other characters as %C3%A4, names as xn--…")


def delivery_body(recording: str, found: PredictedRecording, *, time: str) -> str:
    """Return what is posted of a recording; '' if it has no detections."""
    if not found.detections:
        return ""
    record = {
        "id": uuid.uuid4().hex,
        "recording": recording,
        "time": time,
        "started": iso_text(found.started) or None,
        "site": found.site or None,
        "detections": [one._asdict() for one in found.detections],
    }
    return json.dumps(record, ensure_ascii=False)


class _RedirectsAreFailures(HTTPRedirectHandler):
    """A redirect could lead into a network that the address is not of: it is a failure."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


class Webhook:
    """Posts what is to be delivered, in a thread of its own, one after the other.

    After a failure it waits, longer each time, and tries what was tried least often first, so that one delivery that
    the address refuses does not hold up the others.

    Attributes
    ----------
    problem : why the last delivery failed, for people; '' if it did not
    """

    def __init__(self, address: str, state: WatchState, *, first_wait: float = FIRST_PAUSE) -> None:
        self.problem = ""
        self._address, self._state, self._first_wait = address, state, first_wait
        self._misses, self._last_start = 0, math.inf
        self._wake, self._ending = threading.Event(), threading.Event()
        self._opener: OpenerDirector = build_opener(
            _RedirectsAreFailures, *([ProxyHandler({})] if LOCAL.match(address) else [])
        )
        self._thread = threading.Thread(target=self._deliver_all, name="webhook", daemon=True)
        self._error: UserError | None = None

    @contextmanager
    def delivering(self) -> Iterator["Webhook"]:
        """Deliver during a block, and for a while after it; after an error, only what is being posted."""
        self.start()
        try:
            yield self
        except Exception:  # not if somebody asks to stop at once
            self.end(seconds=0.0)
            raise
        self.end()

    def start(self) -> None:
        """Start to deliver."""
        self._thread.start()

    def tell(self) -> None:
        """Look for deliveries now.

        Raises
        ------
        UserError
            If the thread could not read or write the database.
        """
        if self._error:
            raise self._error
        self._wake.set()

    def end(self, *, seconds: float = END_TIME, last: float = LONGEST_SILENCE) -> None:
        """Wait a little until all is delivered, or a delivery fails.

        Parameters
        ----------
        seconds : in which deliveries are started
        last : seconds that the last of them has besides
        """
        self._last_start = time.monotonic() + seconds
        self._ending.set()
        self._wake.set()
        self._thread.join(seconds + last)

    def _deliver_all(self) -> None:
        try:
            while not (self._ending.is_set() and (self._misses or time.monotonic() > self._last_start)):
                self._wake.clear()
                one = self._state.next_delivery()
                if one is None:
                    if self._ending.is_set():
                        return
                    self._wake.wait()
                    continue
                self._deliver(one)
                if self._misses and not self._ending.is_set():
                    self._ending.wait(min(LONGEST_PAUSE, self._first_wait * 2 ** min(30, self._misses - 1)))
        except UserError as error:
            self._error = error

    def _deliver(self, one: Delivery) -> None:
        reason = self._post(one.body)
        self._state.end_delivery(one, delivered=not reason)
        if reason and reason != self.problem:
            console.warning(f"webhook: {reason}; it is tried again, and prediction continues")
        elif self.problem and not reason:
            console.info("webhook: deliveries work again")
        self.problem, self._misses = reason, self._misses + 1 if reason else 0

    def _post(self, body: str) -> str:
        """Post a body; return why that failed, without the address, which may hold a secret; '' if it did not."""
        request = Request(self._address, body.encode(), _headers(json.loads(body)["id"]), method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=LONGEST_SILENCE) as response:
                response.read(1)
                return "" if 200 <= response.status < 300 else f"status {response.status}"
        except HTTPError as error:
            with suppress(OSError):
                error.close()
            return f"status {error.code}{' (redirects are not followed)' if 300 <= error.code < 400 else ''}"
        except URLError as error:
            return f"cannot be reached ({getattr(error.reason, 'strerror', None) or type(error.reason).__name__})"
        except (http.client.HTTPException, ssl.SSLError, OSError, ValueError) as error:
            return f"the connection broke ({type(error).__name__})"


def _headers(name: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Idempotency-Key": name, "User-Agent": "birdclef-watch"}


def undelivered_text(has_webhook: bool, state: WatchState) -> dict[str, str]:
    """Return what is left to be delivered, for a summary."""
    left = state.count_deliveries()
    if not left:
        return {}
    advice = "tried again by the next call" if has_webhook else "a call with --webhook delivers them"
    return {"not delivered": f"{left:,} recordings; {advice}"}
