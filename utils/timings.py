"""How long each stage took, saved beside its results for the summary at the end."""

import json
import math
from pathlib import Path

from utils.files import write_json

NAME = "timings.json"


def record_time(folder: Path, stage: str, seconds: float) -> None:
    """Save how long a stage's last call took in `<folder>/timings.json`."""
    write_json(folder / NAME, {**times(folder), stage: round(seconds, 2)})


def times(folder: Path) -> dict[str, float]:
    """Return the seconds that each stage's last call took; {} if that is not known."""
    try:
        found = {
            str(stage): float(seconds)
            for stage, seconds in json.loads((folder / NAME).read_text(encoding="utf-8")).items()
        }
        return {stage: seconds for stage, seconds in found.items() if math.isfinite(seconds)}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}  # only for show: a stage's result never depends on it
