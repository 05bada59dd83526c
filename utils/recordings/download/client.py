"""One polite request at a time: pauses, retries that wait longer each time, and redirects that stay on the site."""

import http.client
import json
import ssl
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from utils.commands import HOME
from utils.console import UserError, clock, warning
from utils.recordings.download.servers import Server

Parsed = TypeVar("Parsed")
ATTEMPTS = 5  # of one request
FIRST_WAIT = 2.0  # seconds after the first failure; doubled after each further one
LONGEST_WAIT = 900.0  # seconds; a server that asks for more is left alone
TIMEOUT = 60.0  # seconds without a byte
MAX_REDIRECTS = 5
MAX_MESSAGE = 4096  # bytes of an error's text that are read
DEMO_KEY = "demo"  # of the API's documentation: no secret
INSTEAD_OF_KEY = "(key)"
_REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class RequestError(Exception):
    """A request that failed.

    Attributes
    ----------
    reason : in a few words, without the key
    status : of HTTP; 0 if there was no response
    transient : whether a second try may succeed
    wait : seconds for which the server asked to wait
    unreachable : whether there was no connection
    """

    def __init__(
        self, reason: str, *, status: int = 0, transient: bool = False, wait: float = 0.0, unreachable: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason, self.status, self.transient = reason, status, transient
        self.wait, self.unreachable = wait, unreachable


class _NoRedirects(HTTPRedirectHandler):
    """Leaves redirects to `Client`, which looks where they lead."""

    def http_error_302(self, *_: object) -> None:
        """Follow nothing, and parse nothing."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # type: ignore[assignment]


class Client:
    """Asks one site, one request at a time.

    Parameters
    ----------
    server : the site
    key : of the API; it is part of requests to the API only, and never of a message
    pause : least seconds between two requests
    first_wait : seconds to wait after a first failure
    """

    def __init__(self, server: Server, *, key: str, pause: float, first_wait: float = FIRST_WAIT) -> None:
        self.server, self._key, self._pause, self._first_wait = server, key, pause, first_wait
        self._next = 0.0  # when the next request may start
        self._reached = False
        # a proxy cannot reach this machine
        self._opener = build_opener(_NoRedirects, *([ProxyHandler({})] if server.local else []))
        self._headers = {"User-Agent": user_agent(), "Accept": "*/*"}

    def ask_api(self, path: str, parameters: Mapping[str, Any], read: Callable[[Any], Parsed]) -> Parsed:
        """Ask the API with the key; see `fetch`."""
        return self.fetch(f"{path}?{urlencode({**parameters, 'key': self._key})}", read)

    def fetch(self, address: str, read: Callable[[Any], Parsed]) -> Parsed:
        """Request an address and return what `read` makes of the response; transient failures are tried again.

        Parameters
        ----------
        address : on the site; whole, or only its path
        read : called with the open response; it may raise a RequestError, too

        Raises
        ------
        RequestError
            If it failed for good.
        UserError
            If the server asks to wait for long.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._try(address, read)
            except RequestError as error:
                # without a network, waiting does not help; but one that was there may come back
                if not error.transient or attempt == ATTEMPTS or (error.unreachable and not self._reached):
                    raise
                self._wait(error, attempt)
        raise AssertionError("unreachable")

    def hide_key(self, text: bytes) -> bytes:
        """Return a response without the key, in case that the server repeats it."""
        return text if self._key == DEMO_KEY else text.replace(self._key.encode(), INSTEAD_OF_KEY.encode())

    def _try(self, address: str, read: Callable[[Any], Parsed]) -> Parsed:
        try:
            with self._open(self._checked(address)) as response:
                self._reached = True
                return read(response)
        except URLError as error:
            reason = getattr(error.reason, "strerror", None) or str(error.reason) or "no connection"
            raise RequestError(
                f"cannot be reached ({self._hidden(reason)})", transient=True, unreachable=True
            ) from None
        except http.client.InvalidURL:
            raise RequestError("has an invalid address") from None
        except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
            raise RequestError(f"the connection broke ({type(error).__name__})", transient=True) from None
        except TimeoutError:
            raise RequestError("no byte came in time", transient=True) from None
        finally:
            self._next = time.monotonic() + self._pause

    def _open(self, address: str) -> Any:
        """Open an address, and what it is redirected to on the same site."""
        for _ in range(MAX_REDIRECTS + 1):
            time.sleep(max(0.0, self._next - time.monotonic()))
            try:
                request = Request(address, headers=self._headers)  # noqa: S310 — of the site, with its scheme
                return self._opener.open(request, timeout=TIMEOUT)
            except HTTPError as error:
                self._reached, self._next = True, time.monotonic() + self._pause
                with error:
                    if error.code not in _REDIRECTS:
                        self._refuse(error)
                    address = self._checked(error.headers.get("Location") or "", start=address)
        raise RequestError(f"is redirected more than {MAX_REDIRECTS} times")

    def _checked(self, address: str, *, start: str = "") -> str:
        """Return an address on the site; one that a redirect names is relative to `start`."""
        try:
            return self.server.address(urljoin(start, address) if start else address)
        except ValueError as error:
            raise RequestError(f"{'is redirected: it ' if start else ''}{self._hidden(str(error))}") from None

    def _refuse(self, error: HTTPError) -> NoReturn:
        message = ""
        with suppress(OSError, http.client.HTTPException):
            message = message_of(error.read(MAX_MESSAGE))
        raise RequestError(
            self._hidden(f"the server responds with {error.code}{f': {message}' if message else ''}"),
            status=error.code,
            transient=error.code in _TRANSIENT,
            wait=seconds_to_wait(error.headers.get("Retry-After") or ""),
        )

    def _wait(self, error: RequestError, attempt: int) -> None:
        seconds = max(error.wait, self._first_wait * 2 ** (attempt - 1))
        if seconds > LONGEST_WAIT:
            raise UserError(
                f"{self.server.host} asks to wait {clock(seconds)} ({error.reason}); "
                "what is downloaded stays, and the same command resumes then"
            )
        if seconds >= 1:
            warning(f"{error.reason}; tried again in {clock(seconds)}")
        time.sleep(seconds)

    def _hidden(self, text: str) -> str:
        return self.hide_key(text.encode("utf-8", "backslashreplace")).decode()


def message_of(body: bytes) -> str:
    """Return the message in an error's JSON, such as `{"error": …, "message": …}`; '' if there is none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    inner = content.get("error") if isinstance(content, dict) else None
    for holder in (content, inner):
        if isinstance(holder, dict) and isinstance(holder.get("message"), str):
            return str(holder["message"])[:200]
    return inner[:200] if isinstance(inner, str) else ""


def seconds_to_wait(text: str) -> float:
    """Return the seconds of a Retry-After header, which are a number or the time of a clock; 0 if it has none."""
    if text.strip().isascii() and text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def user_agent() -> str:
    """Return the name of the toolkit with its version."""
    try:
        return f"birdclef-jax/{version('birdclef-jax')}"
    except PackageNotFoundError:  # run from the repository
        project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
        return f"{project['name']}/{project['version']}"
