"""Which clips of a recording are worth a look: those with the highest signal scores, accepted and rejected."""

import heapq
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from utils.spectra.spectrogram import to_pixels

SHOWN_CLIPS = 24
SHOWN_REJECTED = 6  # of these, rejected ones, if there are enough accepted ones


class ShownClip(NamedTuple):
    """A clip to show: its start in seconds, its signal score, whether it is accepted, and its spectrogram."""

    start: float
    score: float
    accepted: bool
    spectrogram: UInt8[np.ndarray, "height width"]


class ClipsToShow:
    """The clips with the highest signal scores: accepted ones, and rejected ones, which nearly were accepted."""

    def __init__(self) -> None:
        self._heaps: dict[bool, list[tuple[float, float, ShownClip]]] = {True: [], False: []}

    def add(
        self, start: float, score: float, spectrogram: Float[np.ndarray, "height width"], *, accepted: bool
    ) -> None:
        """Add a clip if it is among those to show."""
        heap = self._heaps[accepted]
        if len(heap) < SHOWN_CLIPS or (score, -start) > heap[0][:2]:
            entry = (score, -start, ShownClip(start, score, accepted, to_pixels(spectrogram)))
            (heapq.heappush if len(heap) < SHOWN_CLIPS else heapq.heappushpop)(heap, entry)

    def chosen(self) -> tuple[ShownClip, ...]:
        """Return at most SHOWN_CLIPS clips, in order of time."""
        accepted, rejected = (sorted(self._heaps[kind], reverse=True) for kind in (True, False))
        rejected = rejected[: max(SHOWN_REJECTED, SHOWN_CLIPS - len(accepted))]
        accepted = accepted[: SHOWN_CLIPS - len(rejected)]
        return tuple(sorted((clip for _, _, clip in accepted + rejected), key=lambda clip: clip.start))
