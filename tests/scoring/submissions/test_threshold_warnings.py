"""Thresholds that hardly fit the rows of a submission are told of, in one line that says what to do."""

from pathlib import Path

import pytest

from utils.scoring.metrics.calibration import Platt
from utils.scoring.metrics.thresholds import Thresholds
from utils.scoring.metrics.units import Unit
from utils.scoring.submissions.threshold_warnings import calibration_warning, warning_about

PATH = Path("run/test/thresholds.json")
SOUNDSCAPES = (
    "set submission.thresholds to thresholds for intervals of 5 s: <run>_soundscape_thresholds.json of annotated "
    "soundscapes, or thresholds.json of test.py with testing.unit = interval and testing.interval = 5"
)


def chosen_on(
    unit: Unit | None, interval: float | None = None, values: tuple[float | None, ...] = (0.2,)
) -> Thresholds:
    return Thresholds(("A",) * len(values), values, (False,), 0.2, "f1", None, 1, "a test", None, unit, interval)


@pytest.mark.parametrize(
    ("unit", "chosen", "used", "advice"),
    [
        ("recording", "whole recordings", 5.0, SOUNDSCAPES),
        ("event", "single calls", 5.0, SOUNDSCAPES),
        ("interval", "intervals of 3 s", 5.0, f"set submission.interval = 3, or {SOUNDSCAPES}"),
        ("interval", "intervals of 3 s", 0.0, "run test.py with testing.unit = recording, and set submission.thresh"),
        ("event", "single calls", 0.0, "run test.py with testing.unit = recording, and set submission.thresholds to"),
    ],
)
def test_other_rows(unit: Unit, chosen: str, used: float, advice: str) -> None:
    interval = 3.0 if unit == "interval" else None
    line = warning_about(chosen_on(unit, interval), PATH, interval=used, replaced=False)
    assert line is not None
    row = "intervals of 5 s" if used else "whole recordings"
    assert line.startswith(f"{PATH}: chosen on {chosen}, but used here for {row}, ")
    assert f"; {advice}" in line
    assert "\n" not in line
    # dynamic = share chooses its own threshold, and some callers have no rows
    assert warning_about(chosen_on(unit, interval), PATH, interval=used, replaced=True) is None
    assert warning_about(chosen_on(unit, interval), PATH, interval=None, replaced=False) is None


@pytest.mark.parametrize(
    ("unit", "interval", "used"),
    [("recording", None, 0.0), ("interval", 5.0, 5.0), (None, None, 0.0), (None, None, 5.0)],
)
def test_the_same_or_unknown_rows(unit: Unit | None, interval: float | None, used: float) -> None:
    assert warning_about(chosen_on(unit, interval), PATH, interval=used, replaced=False) is None


@pytest.mark.parametrize("replaced", [False, True])
def test_no_class_has_a_threshold(replaced: bool) -> None:
    """Of other rows, too, there is only this line."""
    line = warning_about(chosen_on("event", None, (None, None)), PATH, interval=5.0, replaced=replaced)
    assert line is not None
    assert line.startswith(f"{PATH}: no class has a threshold, so that nothing is detected; ")
    assert warning_about(chosen_on(None, None, (None, 0.0)), PATH, interval=5.0, replaced=replaced) is None


@pytest.mark.parametrize(
    ("unit", "fitted", "used", "wanted"),
    [
        ("recording", "whole recordings", 5.0, "testing.unit = interval and testing.interval = 5, or"),
        ("interval", "intervals of 3 s", 0.0, "testing.unit = recording, or"),
        ("event", "single calls", 0.0, "testing.unit = recording, or"),
    ],
)
def test_a_calibration_of_other_rows(unit: Unit, fitted: str, used: float, wanted: str) -> None:
    found = Platt(1.0, 0.0, "a test", unit=unit, interval=3.0 if unit == "interval" else None)
    line = calibration_warning(found, Path("run/test/calibration.json"), interval=used)
    assert line is not None
    assert line.startswith(f"run/test/calibration.json: fitted to {fitted}, but used here for ")
    assert f"run test.py with {wanted} set testing.calibration = none" in line


@pytest.mark.parametrize(
    ("found", "used"),
    [
        (Platt(1.0, 0.0, "x", unit="recording"), 0.0),
        (Platt(1.0, 0.0, "x", unit="interval", interval=5.0), 5.0),
        (Platt(1.0, 0.0, "x"), 5.0),
        (Platt(1.0, 0.0, "x", unit="event"), None),
    ],
)
def test_a_calibration_of_the_same_or_unknown_rows(found: Platt, used: float | None) -> None:
    assert calibration_warning(found, PATH, interval=used) is None
