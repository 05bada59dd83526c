"""What is wrong with thresholds for a submission: they were chosen on other rows, or detect nothing."""

from pathlib import Path

from utils.console import printable
from utils.scoring.metrics.thresholds import Thresholds, rows_text
from utils.scoring.metrics.units import Unit


def warning_about(thresholds: Thresholds, path: Path, *, interval: float | None, replaced: bool) -> str | None:
    """Return one line about thresholds that hardly fit a submission, and what to do; None if nothing is known against.

    Files of earlier versions do not say what their thresholds were chosen on: nothing is known against them.

    Parameters
    ----------
    path : of their file
    interval : length of the rows of the submission, seconds; 0: each is a whole recording; None: not known
    replaced : whether the submission chooses its threshold itself (`submission.dynamic = share`), so that it only
        matters which classes have one
    """
    if all(value is None for value in thresholds.values):
        return (
            f"{printable(path)}: no class has a threshold, so that nothing is detected; test again on more recordings "
            "or with a lower testing.precision, or set submission.thresholds to another file"
        )
    if replaced or thresholds.unit is None or interval is None:
        return None
    unit: Unit = "interval" if interval else "recording"
    if thresholds.unit == unit and (unit == "recording" or thresholds.interval == interval):
        return None
    chosen, used = rows_text(thresholds.unit, thresholds.interval), rows_text(unit, interval)
    return (
        f"{printable(path)}: chosen on {chosen}, but used here for {used}, whose scores are higher or lower, so that "
        f"too much or too little may be detected; {_advice(thresholds, interval)}"
    )


def _advice(thresholds: Thresholds, interval: float) -> str:
    if not interval:
        return "run test.py with testing.unit = recording, and set submission.thresholds to its thresholds.json"
    other = f"set submission.interval = {thresholds.interval:g}, or " if thresholds.interval else ""
    return (
        f"{other}set submission.thresholds to thresholds for intervals of {interval:g} s: "
        "<run>_soundscape_thresholds.json of annotated soundscapes, or thresholds.json of test.py with "
        f"testing.unit = interval and testing.interval = {interval:g}"
    )
