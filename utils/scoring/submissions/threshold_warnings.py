"""What is wrong with thresholds or a calibration for a submission: they are of other rows, or detect nothing."""

from pathlib import Path

from utils.console import printable
from utils.scoring.metrics.calibration import Calibration
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
    rows = None if replaced else _other_rows(thresholds, interval)
    if rows is None or interval is None:
        return None
    chosen, used = rows
    return (
        f"{printable(path)}: chosen on {chosen}, but used here for {used}, whose scores are higher or lower, so that "
        f"too much or too little may be detected; {_advice(thresholds, interval)}"
    )


def calibration_warning(calibration: Calibration, path: Path, *, interval: float | None) -> str | None:
    """Return one line about a calibration that was fitted to other rows; None if nothing is known against it.

    Parameters are those of `warning_about`.
    """
    rows = _other_rows(calibration, interval)
    if rows is None:
        return None
    fitted, used = rows
    wanted = f"interval and testing.interval = {interval:g}" if interval else "recording"
    return (
        f"{printable(path)}: fitted to {fitted}, but used here for {used}, so that probabilities may be too high or "
        f"too low; run test.py with testing.unit = {wanted}, or set testing.calibration = none"
    )


def _other_rows(made: Thresholds | Calibration, interval: float | None) -> tuple[str, str] | None:
    """Return what something was made on and what it is used for, if these differ and both are known."""
    if made.unit is None or interval is None:
        return None
    unit: Unit = "interval" if interval else "recording"
    if made.unit == unit and (unit == "recording" or made.interval == interval):
        return None
    return rows_text(made.unit, made.interval), rows_text(unit, interval)


def _advice(thresholds: Thresholds, interval: float) -> str:
    if not interval:
        return "run test.py with testing.unit = recording, and set submission.thresholds to its thresholds.json"
    other = f"set submission.interval = {thresholds.interval:g}, or " if thresholds.interval else ""
    return (
        f"{other}set submission.thresholds to thresholds for intervals of {interval:g} s: "
        "<run>_soundscape_thresholds.json of annotated soundscapes, or thresholds.json of test.py with "
        f"testing.unit = interval and testing.interval = {interval:g}; where no recording is annotated, verify some "
        "detections (python review.py), which tells a threshold for each species"
    )
