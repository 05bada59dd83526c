"""The page of a review, served to this machine alone.

Only who knows the token in the address gets anything, and only under the name by which the page was opened: pages of
others, which a browser may show at the same time, can neither read nor send anything.
"""

import json
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from config import Config
from utils.review.clip_media import shown_span, sound_file, spectrogram_image
from utils.review.session import Review
from utils.review.verdicts import checked_verdict
from utils.scoring.reports.excerpts import frequency_ticks
from utils.spectra.decode import AudioError

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


class ReviewServer(ThreadingHTTPServer):
    """Serves a review on the loopback.

    Parameters
    ----------
    port : 0: any that is free

    Attributes
    ----------
    url : of the page
    """

    daemon_threads = True

    def __init__(self, review: Review, config: Config, *, port: int = 0) -> None:
        self.review, self.config, self.token = review, config, secrets.token_urlsafe(24)
        super().__init__((LOOPBACK, port), ReviewHandler)
        self.origin = f"http://{LOOPBACK}:{self.server_address[1]}"
        self.url = f"{self.origin}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing if a browser left before it had all."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class ReviewHandler(BaseHTTPRequestHandler):
    """Handles one request."""

    server: ReviewServer
    timeout = 60  # seconds for a request
    server_version, sys_version = "birdclef-review", ""

    def do_GET(self) -> None:
        """Send the page, its parts, the state, an image or a sound."""
        path = self._path_within()
        if path is None:
            return
        kinds: dict[str, Callable[[str], None]] = {"image": self._send_image, "sound": self._send_sound}
        kind, _, index = path.partition("/")
        if path in ("", "page.js", "page.css"):
            self._send_part(path or "page.html")
        elif path == "state":
            self._send_json(state_of(self.server.review, self.server.config, self.server.review.next()))
        elif kind in kinds:
            kinds[kind](index)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Take a verdict, or its withdrawal, and send what is next."""
        path = self._path_within()
        if path is None:
            return
        if self.headers.get("Origin") != self.server.origin:
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        try:
            record = self._json()
            if path == "verdict":
                kind, other = checked_verdict(
                    record.get("verdict"), record.get("other"), self.server.review.detections.species
                )
                self.server.review.add_verdict(_index(record.get("index"), self.server.review), kind, other)
                shown = self.server.review.next()
            elif path == "undo":
                last = self.server.review.undo()
                shown = self.server.review.next() if last is None else last
            else:
                self._refuse(HTTPStatus.NOT_FOUND)
                return
        except (ValueError, RecursionError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        except OSError as error:  # the disk is full: the page says that nothing was saved
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, str(error.strerror))
            return
        self._send_json(state_of(self.server.review, self.server.config, shown))

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
        kind = {"html": "text/html", "js": "text/javascript", "css": "text/css"}[name.rpartition(".")[2]]
        content = resources.files(__package__ or "").joinpath("page", name).read_bytes()
        self._send(content, f"{kind}; charset=utf-8")

    def _send_image(self, index: str) -> None:
        self._send_media(index, "image/jpeg", spectrogram_image)

    def _send_sound(self, index: str) -> None:
        self._send_media(index, "audio/mpeg", sound_file)

    def _send_media(self, index: str, kind: str, make: Callable[..., bytes]) -> None:
        review = self.server.review
        try:
            which = _index(int(index) if index.isdecimal() else None, review)
            _, start, end, _ = review.detections.key(which)
            file = review.detections.file(which)
            content = make(file, shown_span(file, start, end), self.server.config)
        except ValueError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except (AudioError, OSError) as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        else:
            self._send(content, kind)

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


def _index(value: object, review: Review) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(review.detections):
        raise ValueError("there is no such detection")
    return value


def state_of(review: Review, config: Config, shown: int | None) -> dict[str, Any]:
    """Return what the page shows.

    Parameters
    ----------
    shown : index of the detection to be verified; None: all are
    """
    estimates, detections = review.estimates(), review.detections
    sizes, verified = estimates.size.sum(axis=1), estimates.verified.sum(axis=1)
    shares = [found.value if (found := estimates.precision(one)) else 0.0 for one in range(len(sizes))]
    known = [half <= review.rules.target for half in estimates.half_widths.tolist()]
    return {
        "detection": None if shown is None else _shown_detection(review, shown, config),
        "seen": int(review.seen.sum()),
        "all": len(detections),
        "known": sum(known),
        "target": review.rules.target,
        "species": [
            {
                "name": name,
                "detections": int(sizes[index]),
                "verified": int(verified[index]),
                "precision": shares[index],
                "half": float(estimates.half_widths[index]),
                "known": known[index],
            }
            for index, name in enumerate(detections.species)
        ],
    }


def _shown_detection(review: Review, index: int, config: Config) -> dict[str, Any]:
    recording, start, end, species = review.detections.key(index)
    span = shown_span(review.detections.file(index), start, end)
    return {
        "index": index,
        "recording": recording,
        "start": start,
        "end": end,
        "from": span.start,
        "to": span.end,
        "species": species,
        "score": float(review.detections.scores[index]),
        "ticks": frequency_ticks(config.spectrogram),
    }
