"""How review.py is called."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ReviewOrder = Literal["precision", "uncertain"]


@dataclass(frozen=True)
class ReviewFlags:
    """Flags of a single call."""

    recordings: Path | None = None  # folder of the recordings; none: submission.recordings, else that of the table
    # folder for verdicts and what follows from them, where labels/ is replaced; none: <table>_review beside the table
    out: Path | None = None
    reviewer: str = "me"  # who reviews; each reviewer has a file of verdicts
    # folder of the run that made the detections, or one of its snapshots: its embeddings show more like a detection,
    # draw the map, and make --order uncertain diverse; none: without these
    snapshot: Path | None = None
    # which detections come first; precision: those that say most about the precision of each species; uncertain: those
    # that a model learns most from; their verdicts become labels, but say nothing about precision
    order: ReviewOrder = "precision"
    # read again this share, 0 to 1, of what other reviewers verified, without their verdicts; 0: what nobody verified
    second: float = 0.0
    target: float = 0.1  # wanted half of the 95% interval of each species' precision
    precision: float = 0.9  # share of correct detections for which a threshold is wanted
    port: int = 0  # of the page; 0: any that is free
    browser: bool = True  # open the page in a browser
    summary: bool = False  # do not open the page: print and write what was found so far
