"""How explain.py is called."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExplainFlags:
    """Flags of a single call."""

    # folder of a run, or one of its snapshots; several: an ensemble of equal weights; none: the run of the experiment
    snapshot: tuple[Path, ...] = ()
    # explain the clip at this time, seconds from the start of the recording; none: the clip with the highest score
    at: float | None = None
    species: str = ""  # explain the score of this class; '': of the class with the highest score
    out: Path | None = None  # the image to write, .png; none: <recording>_explain.png in the working folder
    table: bool = False  # also write the map as a CSV beside the image
    # rows and columns of the map, 1 to 64: finer maps take longer, and single cells then matter less
    cells: tuple[int, int] = (12, 24)
