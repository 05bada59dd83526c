"""The page of a review, and what it asks for."""

import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from config import Config
from utils.console import UserError
from utils.local_page.server import LocalPageHandler, LocalPageServer
from utils.review.page_state import cluster_row, map_points, shown_detection, similar_row, state_of
from utils.review.session import Review
from utils.review.verdicts import checked_reason, checked_verdict
from utils.scoring.reports.clip_media import SMALL_SIZE, shown_span, sound_file, spectrogram_image
from utils.spectra.decode import AudioError

MORE_PARTS = ("row.js", "map.js")  # of the page


class ReviewServer(LocalPageServer):
    """Serves a review on the loopback.

    Parameters
    ----------
    port : 0: any that is free

    Attributes
    ----------
    map_lock : held while the map is made, which several requests may ask for
    """

    def __init__(self, review: Review, config: Config, *, port: int = 0) -> None:
        self.review, self.config, self.map_lock = review, config, threading.Lock()
        super().__init__(ReviewHandler, port=port)


class ReviewHandler(LocalPageHandler):
    """Handles one request."""

    server: ReviewServer
    package = __package__ or ""
    server_version = "birdclef-review"

    def get(self, path: str) -> None:
        """Send the state, a detection or several, the map, an image or a sound."""
        kinds: dict[str, Callable[[str], None]] = {
            "image": self._send_image,
            "small": self._send_small_image,
            "sound": self._send_sound,
            "detection": self._send_detection,
            "similar": self._send_similar,
            "cluster": self._send_cluster,
        }
        kind, _, index = path.partition("/")
        if path == "state":
            self._send_json(state_of(self.server.review, self.server.config, self.server.review.next()))
        elif path == "map":
            self._send_found(self._map)
        elif path in MORE_PARTS:
            self._send_part(path)
        elif kind in kinds:
            kinds[kind](index)
        else:
            super().get(path)

    def post(self, path: str, record: dict[str, Any]) -> dict[str, Any] | None:
        """Take a verdict, or its withdrawal, and return what is next."""
        review = self.server.review
        if path == "verdict":
            kind, other = checked_verdict(record.get("verdict"), record.get("other"), review.detections.species)
            shown = checked_reason(record.get("shown"))
            review.add_verdict(_index(record.get("index"), review), kind, other, shown=shown)
            following = review.next()
        elif path == "undo":
            last = review.undo()
            following = review.next() if last is None else last
        else:
            return None
        return state_of(review, self.server.config, following)

    def _send_image(self, index: str) -> None:
        self._send_media(index, "image/jpeg", spectrogram_image)

    def _send_small_image(self, index: str) -> None:
        self._send_media(index, "image/jpeg", partial(spectrogram_image, size=SMALL_SIZE))

    def _send_sound(self, index: str) -> None:
        self._send_media(index, "audio/mpeg", sound_file)

    def _send_media(self, index: str, kind: str, make: Callable[..., bytes]) -> None:
        review = self.server.review
        try:
            which = self._index_in(index)
            _, start, end, _ = review.detections.key(which)
            file = review.detections.file(which)
            content = make(file, shown_span(file, start, end), self.server.config)
        except ValueError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except (AudioError, OSError) as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        else:
            self._send(content, kind)

    def _send_detection(self, index: str) -> None:
        config = self.server.config
        self._send_found(lambda: shown_detection(self.server.review, self._index_in(index), config))

    def _send_similar(self, index: str) -> None:
        self._send_found(lambda: similar_row(self.server.review, self._index_in(index)))

    def _send_cluster(self, index: str) -> None:
        def found() -> dict[str, Any]:
            with self.server.map_lock:
                return cluster_row(self.server.review, self._index_in(index))

        self._send_found(found)

    def _map(self) -> dict[str, Any]:
        with self.server.map_lock:
            return map_points(self.server.review)

    def _send_found(self, find: Callable[[], dict[str, Any]]) -> None:
        try:
            found = find()
        except ValueError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except UserError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        else:
            self._send_json(found)

    def _index_in(self, text: str) -> int:
        """Return the index of a detection in a path; raises ValueError if there is no such detection."""
        return _index(int(text) if text.isdecimal() and text.isascii() else None, self.server.review)


def _index(value: object, review: Review) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(review.detections):
        raise ValueError("there is no such detection")
    return value
