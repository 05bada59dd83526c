"""How watch.py is called."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WatchFlags:
    """Flags of a single call."""

    # folder of a run, or one of its snapshots; several: an ensemble of equal weights; none: the run of the experiment
    snapshot: tuple[Path, ...] = ()
    out: Path | None = None  # folder of the results; none: <folder>_detections beside the folder
    # score from which a species counts as detected, 0 to 1; none: the thresholds that test.py found for the run
    threshold: float | None = None
    every: float = 10.0  # seconds from one look at the folder to the next
    settle: float = 5.0  # seconds in which size and time of a file must stay as they are before it is predicted
    # seconds after its last change from which on a file that is cut off or cannot be read is taken as it is
    patience: float = 600.0
    once: bool = False  # predict what is there now, then end, without a page: for cron
    # address (http or https) to which each recording with detections is posted as JSON; none: BIRDCLEF_WEBHOOK of the
    # environment, which keeps a secret address out of the list of programs
    webhook: str = ""
    port: int = 0  # of the page; 0: any that is free
    browser: bool = True  # open the page in a browser
    moved: bool = False  # the folder was moved since the last call, and its results continue
