"""The page of a review, and what it asks for."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from config import Config
from utils.local_page.server import LocalPageHandler, LocalPageServer
from utils.review.clip_media import shown_span, sound_file, spectrogram_image
from utils.review.session import Review
from utils.review.verdicts import checked_verdict
from utils.scoring.reports.excerpts import frequency_ticks
from utils.spectra.decode import AudioError


class ReviewServer(LocalPageServer):
    """Serves a review on the loopback.

    Parameters
    ----------
    port : 0: any that is free
    """

    def __init__(self, review: Review, config: Config, *, port: int = 0) -> None:
        self.review, self.config = review, config
        super().__init__(ReviewHandler, port=port)


class ReviewHandler(LocalPageHandler):
    """Handles one request."""

    server: ReviewServer
    package = __package__ or ""
    server_version = "birdclef-review"

    def get(self, path: str) -> None:
        """Send the state, an image or a sound."""
        kinds: dict[str, Callable[[str], None]] = {"image": self._send_image, "sound": self._send_sound}
        kind, _, index = path.partition("/")
        if path == "state":
            self._send_json(state_of(self.server.review, self.server.config, self.server.review.next()))
        elif kind in kinds:
            kinds[kind](index)
        else:
            super().get(path)

    def post(self, path: str, record: dict[str, Any]) -> dict[str, Any] | None:
        """Take a verdict, or its withdrawal, and return what is next."""
        review = self.server.review
        if path == "verdict":
            kind, other = checked_verdict(record.get("verdict"), record.get("other"), review.detections.species)
            review.add_verdict(_index(record.get("index"), review), kind, other)
            shown = review.next()
        elif path == "undo":
            last = review.undo()
            shown = review.next() if last is None else last
        else:
            return None
        return state_of(review, self.server.config, shown)

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
