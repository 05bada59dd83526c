"""Post-processing of the scores of a recording's intervals, by `testing.postprocessing`, and to what it is applied.

Pooled scores of the models are changed before metadata, prior, whitelist and calibration:

    scores = smoothed · factor of the class in this recording
    factor = mean of the `top_intervals` highest scores · (highest score) ^ `maximum_power`
    smoothed = (1 − 2s) · score + s · (score before + score after), with s = `smoothing`

The factor is of the scores before smoothing. Scores from 0 to 1 stay from 0 to 1. Only what has intervals has rules:
whole recordings and events ignore them, and the shifted clips of `testing.shifts`, with a warning.

Source: scaling by a recording's highest scores and smoothing over neighbours are post-processing of leading solutions
of the soundscape challenges, such as Sydorskyi and Gonçalves, 2nd of BirdCLEF+ 2025 (CEUR-WS 4038, paper 256).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from config import Config, IntervalRules, Testing
from utils import console
from utils.scoring.metrics.units import Unit, unit_word
from utils.settings_keys import settings_for_key

ONLY_INTERVALS = ("testing.postprocessing.", "testing.shifts")
NO_RULES = IntervalRules()
MOST_AT_ONCE = 2**20  # scores that are in memory at once, of those that may lie in a file


def rules_facts(settings: Testing, unit: Unit) -> dict[str, dict[str, Any]]:
    """Return the rules that are used, and shifts, as metrics.json names them; nothing if none is."""
    found = _rules_set(settings) if unit == "interval" else {}
    return {"postprocessing": {name.rpartition(".")[2]: value for name, value in found.items()}} if found else {}


def rules_text(settings: Testing, unit: Unit) -> dict[str, str]:
    """Return the same for people, as a row of a table."""
    found = rules_facts(settings, unit).get("postprocessing", {})
    return {"post-processing": ", ".join(f"{name} {value:g}" for name, value in found.items())} if found else {}


def _rules_set(settings: Testing) -> dict[str, Any]:
    """Return what is set that only intervals have, by the names of settings."""
    return settings_for_key(Config(testing=settings), of=ONLY_INTERVALS)


def for_unit(config: Config, unit: Unit) -> Config:
    """Return the settings with the rules that this unit has: without any, but for intervals."""
    if unit == "interval":
        return config
    return replace(config, testing=replace(config.testing, postprocessing=NO_RULES, shifts=0))


def warn_of_unused_rules(config: Config, unit: Unit) -> None:
    """Warn, in one line, if rules are set that this unit does not have."""
    unused = _rules_set(config.testing) if unit != "interval" else {}
    if unused:
        are = "is" if len(unused) == 1 else "are"
        console.warning(
            f"{', '.join(unused)} {are} for intervals, and {are} not used for {unit_word(unit)}; use testing.unit = "
            "interval, or submission_soundscape.py"
        )


def with_rules(
    scores: Float[np.ndarray, "intervals classes"], rules: IntervalRules, *, at_once: int = MOST_AT_ONCE
) -> Iterator[Float32[np.ndarray, "_ classes"]]:
    """Yield the scores of a recording's intervals after post-processing, some intervals at once.

    The result does not depend on how many these are. Without rules, it is the scores, rounded to float32.

    Parameters
    ----------
    scores : pooled, 0 to 1, of all intervals of one recording, in their order; may lie in a file
    at_once : scores that are in memory at once
    """
    count, classes = scores.shape
    size = max(1, at_once // max(1, classes))
    has_factors = rules.top_intervals or rules.maximum_power
    factors = class_factors(scores, rules, at_once=at_once) if has_factors else 1.0
    for first in range(0, count, size):
        last = min(first + size, count)
        table = smoothed(scores, rules.smoothing, first=first, last=last) if rules.smoothing else scores[first:last]
        yield (table.astype(np.float64) * factors).astype(np.float32)


def class_factors(
    scores: Float[np.ndarray, "intervals classes"], rules: IntervalRules, *, at_once: int = MOST_AT_ONCE
) -> Float[np.ndarray, " classes"]:
    """Return what the scores of each class are multiplied by, from 0 to 1.

    Recordings with fewer intervals than `top_intervals` take the mean of all. Parameters are those of `with_rules`.
    """
    classes = scores.shape[1]
    factors = np.ones(classes)
    wanted = max(rules.top_intervals, 1)
    highest = np.zeros((0, classes))  # the scores that are wanted, of the intervals so far, in ascending order
    size = max(1, at_once // max(1, classes))
    for first in range(0, len(scores), size):
        highest = np.sort(np.concatenate([highest, scores[first : first + size]]), axis=0)[-wanted:]
    if rules.top_intervals and len(highest):
        factors = factors * highest.mean(axis=0)
    if rules.maximum_power and len(highest):
        factors = factors * highest[-1] ** rules.maximum_power
    return factors


def smoothed(
    scores: Float[np.ndarray, "intervals classes"], share: float, *, first: int, last: int
) -> Float[np.ndarray, "_ classes"]:
    """Return the scores of the intervals from `first` to `last` − 1, each with a share of its two neighbours.

    Parameters
    ----------
    scores : of all intervals of a recording
    share : of each neighbour; that of a neighbour beyond the recording falls to the interval itself
    """
    around = scores[np.arange(first - 1, last + 1).clip(0, len(scores) - 1)].astype(np.float64)
    return (1 - 2 * share) * around[1:-1] + share * (around[:-2] + around[2:])
