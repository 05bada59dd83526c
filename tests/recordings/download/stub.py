"""A server on this machine that speaks like xeno-canto's API, version 3, by its public description.

Nobody asked the real service: pages, records and errors follow xeno-canto.org/explore/api and what its users quote.
"""

import io
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import soundfile

KEY = "b5c0ffee5ec2e7"
PER_PAGE = 4  # the real one has 50 to 500


def sound(seconds: float = 0.5, *, seed: int = 0) -> bytes:
    """Return a short FLAC."""
    stream = io.BytesIO()
    samples = np.random.default_rng(seed).uniform(-0.1, 0.1, int(16_000 * seconds))
    soundfile.write(stream, samples, 16_000, format="FLAC")
    return stream.getvalue()


SOUND = sound()


class Stub:
    """What the server knows, and what it was asked.

    Attributes
    ----------
    records : all recordings
    sounds : bytes of sounds that are not SOUND, by catalogue number
    faults : by path, what to do instead, once each, in this order
    asked : the path, query and headers of each request
    """

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.records: list[Any] = []
        self.sounds: dict[str, bytes] = {}
        self.faults: dict[str, list[Callable[[BaseHTTPRequestHandler], None]]] = defaultdict(list)
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []

    def record(self, identifier: object, species: str = "Turdus merula", **changes: object) -> dict[str, Any]:
        """Add and return a record as the API writes it."""
        genus, _, epithet = species.partition(" ")
        record = {
            "id": str(identifier),
            "gen": genus,
            "sp": epithet,
            "ssp": "",
            "grp": "birds",
            "en": "Some Bird",
            "rec": "Ann Recordist",
            "cnt": "Spain",
            "loc": "Ames, A Coruña",
            "lat": "42.8373",
            "lon": "-8.652",
            "alt": "30",
            "type": "song",
            "sex": "male",
            "stage": "adult",
            "method": "field recording",
            "url": f"//xeno-canto.org/{identifier}",
            "file": f"{self.base}/{identifier}/download",
            "file-name": f"XC{identifier}-some bird.flac",
            "sono": {"small": "//xeno-canto.org/sounds/a-small.png"},
            "osci": {"small": "//xeno-canto.org/sounds/b-small.png"},
            "lic": "//creativecommons.org/licenses/by-nc-sa/4.0/",
            "q": "A",
            "length": "0:30",
            "time": "08:00",
            "date": "2021-05-01",
            "uploaded": "2021-05-02",
            "also": ["Parus major"],
            "rmk": "",
            "animal-seen": "yes",
            "playback-used": "no",
            "temp": "",
            "regnr": "",
            "auto": "no",
            "dvc": "",
            "mic": "",
            "smp": "48000",
            **changes,
        }
        self.records.append(record)
        return record

    def paths(self) -> list[str]:
        """Return the paths that were asked, in order."""
        return [path for path, _, _ in self.asked]

    def downloads(self) -> list[str]:
        """Return the catalogue numbers of the sounds that were asked, in order."""
        return [path.split("/")[1] for path in self.paths() if path.endswith("/download")]

    def matching(self, query: str) -> list[Any]:
        """Return the records that have all tags; what is unknown of a tag matches all."""
        tags = dict(re.findall(r"(\w+):\"?([^\s\"]+)", query))
        return [
            record
            for record in self.records
            if not isinstance(record, dict)
            or all(str(record.get(tag, "")).lower() == text.lower() for tag, text in tags.items() if tag != "cnt")
        ]


def status(code: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Return a fault: a response with this status."""
    return lambda handler: send(handler, code, body, **headers)


def send(handler: BaseHTTPRequestHandler, code: int, body: bytes, **headers: str) -> None:
    """Send a response; `Content_Length="none"` leaves the length out."""
    handler.send_response(code)
    named = {"Content-Length": str(len(body))} | {key.replace("_", "-"): value for key, value in headers.items()}
    for key, value in named.items():
        if value != "none":
            handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def running_stub() -> Iterator[Stub]:
    """Run a server until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            stub.asked.append((parts.path, parse_qs(parts.query), dict(self.headers)))
            if stub.faults[parts.path]:
                stub.faults[parts.path].pop(0)(self)
            elif parts.path == "/api/3/recordings":
                self._page(parse_qs(parts.query))
            else:
                send(self, 200, stub.sounds.get(parts.path.split("/")[1], SOUND), Content_Type="audio/flac")

        def _page(self, asked: dict[str, list[str]]) -> None:
            if asked.get("key") != [KEY]:
                error = {"error": "client_error", "message": "Missing or invalid 'key' parameter."}
                send(self, 401, json.dumps(error).encode())
                return
            found = stub.matching(asked["query"][0])
            index = int(asked["page"][0])
            page = {
                "numRecordings": str(len(found)),
                "numSpecies": "1",
                "page": index,
                "numPages": max(1, -(-len(found) // PER_PAGE)),
                "recordings": found[(index - 1) * PER_PAGE : index * PER_PAGE],
            }
            send(self, 200, json.dumps(page).encode(), Content_Type="application/json")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub = Stub(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
