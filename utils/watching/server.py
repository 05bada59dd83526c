"""The page of a watched folder: what was detected lately, with sound and spectrogram."""

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from config import Config
from utils.local_page.server import LocalPageHandler, LocalPageServer
from utils.recordings.audio_files import path_below
from utils.scoring.reports.clip_media import shown_span, sound_file, spectrogram_image
from utils.scoring.reports.excerpts import frequency_ticks
from utils.spectra.decode import AudioError
from utils.watching.live import Live

MEDIA_AT_ONCE = 2  # images and sounds that are made at once: prediction needs the processor, too


class WatchServer(LocalPageServer):
    """Serves the page on the loopback.

    Parameters
    ----------
    folder : of the recordings
    config : by which spectrograms are shown
    port : 0: any that is free
    """

    def __init__(self, live: Live, folder: Path, config: Config, *, port: int = 0) -> None:
        self.live, self.folder, self.config = live, folder, config
        self.media = threading.BoundedSemaphore(MEDIA_AT_ONCE)
        super().__init__(WatchHandler, port=port)

    def state(self) -> dict[str, Any]:
        """Return what the page shows."""
        state = self.live.state()
        detections = [{**one, **self._span(one)} for one in state["detections"]]
        ticks = frequency_ticks(self.config.spectrogram)
        return {**state, "detections": detections, "folder": self.folder.name, "ticks": ticks}

    def _span(self, one: Mapping[str, Any]) -> dict[str, float]:
        try:
            span = shown_span(path_below(self.folder, one["recording"]), one["start"], one["end"])
        except ValueError:  # a user's edit of the table: its sound and image are refused, too
            return {"from": one["start"], "to": one["end"]}
        return {"from": span.start, "to": span.end}


class WatchHandler(LocalPageHandler):
    """Handles one request."""

    server: WatchServer
    package = __package__ or ""
    server_version = "birdclef-watch"

    def get(self, path: str) -> None:
        """Send the state, an image or a sound."""
        kinds: dict[str, tuple[str, Callable[..., bytes]]] = {
            "image": ("image/jpeg", spectrogram_image),
            "sound": ("audio/mpeg", sound_file),
        }
        kind, _, key = path.partition("/")
        if path == "state":
            self._send_json(self.server.state())
        elif kind in kinds:
            self._send_media(key, *kinds[kind])
        else:
            super().get(path)

    def _send_media(self, key: str, kind: str, make: Callable[..., bytes]) -> None:
        shown = self.server.live.detection(int(key)) if key.isdecimal() and len(key) < 10 else None
        if shown is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            file = path_below(self.server.folder, shown.recording)
            span = shown_span(file, shown.detection.start, shown.detection.end)
            with self.server.media:
                content = make(file, span, self.server.config)
        except ValueError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))
        except (AudioError, OSError) as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        else:
            self._send(content, kind)
