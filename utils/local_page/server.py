"""A page that is served to this machine alone; its routes are those of a subclass.

Only who knows the token in the address gets anything, and only under the name by which the page was opened: pages of
others, which a browser may show at the same time, can neither read nor send anything.
"""

import json
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

LOOPBACK = "127.0.0.1"
LONGEST_REQUEST = 10_000  # bytes
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PARTS = {"": "page.html", "page.js": "page.js", "page.css": "page.css"}  # of a page, by their paths
PART_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


class LocalPageServer(ThreadingHTTPServer):
    """Serves a page on the loopback.

    Parameters
    ----------
    handler : the routes of the page
    port : 0: any that is free

    Attributes
    ----------
    url : of the page
    """

    daemon_threads = True

    def __init__(self, handler: "type[LocalPageHandler]", *, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        super().__init__((LOOPBACK, port), handler)
        self.origin = f"http://{LOOPBACK}:{self.server_address[1]}"
        self.url = f"{self.origin}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing if a browser left before it had all."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class LocalPageHandler(BaseHTTPRequestHandler):
    """Handles one request of a page; a subclass adds the routes of its page.

    Attributes
    ----------
    package : whose folder page/ has page.html, page.js and page.css
    """

    server: LocalPageServer
    package: str
    timeout = 60  # seconds for a request
    server_version, sys_version = "birdclef", ""

    def get(self, path: str) -> None:
        """Send what is at a path below the token and is no part of the page itself."""
        self._refuse(HTTPStatus.NOT_FOUND)

    def post(self, path: str, record: dict[str, Any]) -> dict[str, Any] | None:
        """Take what the page sends to a path, and return what it gets; None: there is no such path.

        Raises
        ------
        ValueError
            If the record is not as it should be.
        OSError
            If it cannot be saved.
        """
        return None

    def do_GET(self) -> None:
        """Send a part of the page, or what a route has."""
        path = self._path_within()
        if path is None:
            return
        if path in PARTS:
            self._send_part(PARTS[path])
        else:
            self.get(path)

    def do_POST(self) -> None:
        """Give what the page itself sends to a route, and send what that returns."""
        path = self._path_within()
        if path is None:
            return
        if self.headers.get("Origin") != self.server.origin:
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        try:
            sent = self.post(path, self._json())
        except (ValueError, RecursionError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:  # the disk is full: the page says that nothing was saved
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, str(error.strerror))
        else:
            if sent is None:
                self._refuse(HTTPStatus.NOT_FOUND)
            else:
                self._send_json(sent)

    def _path_within(self) -> str | None:
        """Return the path below the token; refuse a request that does not know it, or that has another name for us."""
        name = self.headers.get("Host", "")
        start = f"/{self.server.token}/"
        if f"http://{name}" != self.server.origin or not secrets.compare_digest(
            self.path[: len(start)].encode(), start.encode()
        ):
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return self.path[len(start) :].partition("?")[0]

    def _json(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_REQUEST:
            raise ValueError("the request should be short")
        record = json.loads(self.rfile.read(int(length)) or b"{}")
        if not isinstance(record, dict):
            raise ValueError("the request should be an object")
        return record

    def _send_part(self, name: str) -> None:
        content = resources.files(self.package).joinpath("page", name).read_bytes()
        self._send(content, f"{PART_KINDS[name.rpartition('.')[2]]}; charset=utf-8")

    def _send_json(self, state: dict[str, Any]) -> None:
        self._send(json.dumps(state).encode(), "application/json")

    def _refuse(self, status: HTTPStatus, reason: str = "") -> None:
        self._send((reason or status.phrase).encode(), "text/plain; charset=utf-8", status=status)

    def _send(self, content: bytes, kind: str, *, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, with the headers of every response."""
        self._refuse(HTTPStatus(code), message or "")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the name of the overridden method
        """Print nothing for each request."""
