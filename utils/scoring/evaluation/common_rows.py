"""The saved scores of several runs on the rows that all of them have, and what else differs between the runs."""

from collections.abc import Iterable, Sequence

from utils.console import UserError
from utils.scoring.evaluation.saved_scores import SavedScores
from utils.scoring.metrics.units import unit_word


def on_common_rows(saved: Sequence[SavedScores], names: Sequence[str]) -> tuple[list[SavedScores], list[str]]:
    """Return the scores of the rows that all runs have, and notes on what differs between the runs.

    Parameters
    ----------
    saved, names : of each run; two or more

    Raises
    ------
    UserError
        If the runs were tested by different units, or no row was scored by all, or they have no class in common.
    """
    units = [one.unit for one in saved]
    if len(set(units)) > 1:
        by_run = ", ".join(f"{name} by {unit}" for name, unit in zip(names, units, strict=True))
        raise UserError(f"these runs were tested by different units ({by_run}); set testing.unit to one of them")
    rows = [set(one.rows) for one in saved]
    shared, every = set.intersection(*rows), set.union(*rows)
    if not shared:
        raise UserError(
            f"no {unit_word(units[0], 1)} was scored by all of these runs; they were tested on different data"
        )
    notes = []
    if shared != every:
        counts = _counts_by_run(names, map(len, rows))
        notes.append(f"not the same {unit_word(units[0])} ({counts}): compared on the {len(shared):,} that all have")
    common = [one.only(shared) for one in saved]
    notes += _label_notes(names, common)
    least = [one.min_positives for one in saved]
    if len(set(least)) > 1:
        counts = _counts_by_run(names, least)
        notes.append(f"not the same testing.min_positives ({counts}): class means use the largest")
    return common, [*notes, *_detection_notes(names, saved), *_noise_notes(names, saved)]


def _label_notes(names: Sequence[str], saved: Sequence[SavedScores]) -> list[str]:
    """Return notes on classes and ground truth that differ between the runs, which have the same rows."""
    notes = []
    classes = [set(one.classes) for one in saved]
    if not set.intersection(*classes):
        examples = "; ".join(f"{name}: {min(one, default='none')}" for name, one in zip(names, classes, strict=True))
        raise UserError(
            f"these runs have no class in common ({examples}); if their data sets were sorted with different "
            "dataset.label, sort one as the other, and train again"
        )
    if any(one != classes[0] for one in classes):
        notes.append(
            f"not the same classes ({_counts_by_run(names, map(len, classes))}): "
            "each run is evaluated on its classes, class means are over those that all have"
        )
    shared = sorted(set.intersection(*classes))
    truths = [one.truth[:, [one.classes.index(label) for label in shared]] for one in saved]
    if any((truth != truths[0]).any() for truth in truths):
        notes.append("not the same ground truth: labels have changed, or testing.background differs")
    return notes


def _detection_notes(names: Sequence[str], saved: Sequence[SavedScores]) -> list[str]:
    """Return a note on metrics of detections that are missing, or whose thresholds were chosen for different things."""
    without: dict[str, list[str]] = {}
    for name, one in zip(names, saved, strict=True):
        if one.detected is None:
            without.setdefault(one.without_detections, []).append(name)
    if without:
        reasons = "; ".join(f"{reason} ({', '.join(runs)})" for reason, runs in without.items())
        return [f"no metrics of detections (F1, precision, recall): {reasons}"]
    chosen = [one.thresholds for one in saved]
    if len(set(chosen)) == 1:
        return []
    by_run = ", ".join(f"{name} for {one}" for name, one in zip(names, chosen, strict=True))
    return [f"not the same choice of thresholds ({by_run}): metrics of detections differ by that, too"]


def _noise_notes(names: Sequence[str], saved: Sequence[SavedScores]) -> list[str]:
    """Return a note if false detections in noise are known for some of the runs only."""
    without = [name for name, one in zip(names, saved, strict=True) if one.noise is None]
    if len(without) in (0, len(saved)):
        return []
    return [
        f"no false detections in noise: {', '.join(without)} was tested without recordings without birds, or by an "
        "earlier version; run test.py again"
    ]


def _counts_by_run(names: Sequence[str], counts: Iterable[int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
