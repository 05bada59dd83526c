"""Time and memory of judging soundscapes: each metric and its interval, thresholds, and the table per class.

    python benchmarks/judging.py
    python benchmarks/judging.py --quick

The rows are made up: 100 hours of soundscapes in intervals of 5 s, 500 classes, two of them in every other row, and
scores as a model that is often right would give. Values and intervals (1,000 draws of recordings) are computed in
processes of their own, in the order of the registry; what several metrics need is counted with the first of them. For
comparison, scikit-learn computes those metrics that it has, in another process, class by class where it would otherwise
copy the table. The last line is scikit-learn's time divided by ours, for these metrics. Seconds are those of the
processor, on all cores.
"""

import argparse
import multiprocessing
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from jaxtyping import Bool, Float32

from utils import console
from utils.files import write_json
from utils.scoring.metrics.bootstrap import DRAWS, draw_recordings
from utils.scoring.metrics.calibration import cross_fitted, reliabilities
from utils.scoring.metrics.metric_kinds import ScoredRows
from utils.scoring.metrics.per_class import per_class_table
from utils.scoring.metrics.registry import METRICS
from utils.scoring.metrics.thresholds import cross_detected, curve_of, find_thresholds, folds_of

CLASSES = 500
ROWS_OF_RECORDING = 720  # an hour in intervals of 5 s
MIN_POSITIVES = 5
SHARED = ("mlrap", "cmap", "micro_ap", "macro_auroc", "micro_f1", "macro_f1", "weighted_f1")  # scikit-learn has them


@dataclass(frozen=True)
class Measured:
    """Seconds of each part, metrics that were found, and megabytes: before, with the rows, and at the peak."""

    seconds: dict[str, float]
    values: dict[str, float | None]
    before: float
    rows: float
    peak: float


def made_up(*, recordings: int, draws: int, seed: int = 0) -> ScoredRows:
    """Make scores and truth; few classes are frequent, and each recording has some of its own."""
    rng = np.random.default_rng(seed)
    rows = recordings * ROWS_OF_RECORDING
    scores = rng.random((rows, CLASSES), np.float32)
    scores **= 4
    truth = np.zeros((rows, CLASSES), bool)
    recording = np.repeat(np.arange(recordings), ROWS_OF_RECORDING)
    local = np.minimum(rng.pareto(1.0, (recordings, 20)) * CLASSES / 20, CLASSES - 1).astype(int)
    primary = np.full(rows, -1)
    for _ in range(2):
        row = np.flatnonzero(np.arange(rows) % 2 == 0)
        label = local[recording[row], rng.integers(0, local.shape[1], len(row))]
        truth[row, label], primary[row] = True, label
        scores[row, label] += rng.random(len(row), np.float32) * (1 - scores[row, label])
    return ScoredRows(
        scores,
        truth,
        primary,
        draw_recordings(recording, draws=draws, seed=seed),
        min_positives=MIN_POSITIVES,
        detected=scores >= np.float32(0.9),
        unknown=rng.binomial(1, 0.01, rows),
    )


def ours(data: ScoredRows) -> dict[str, Callable[[], Any]]:
    """Return the metrics of the registry, by key."""

    def value(key: str) -> float | None:
        resampled = METRICS[key].resampled(data)
        return None if resampled is None else resampled[0]

    return {key: lambda key=key: value(key) for key in METRICS}  # type: ignore[misc]


def tables(data: ScoredRows) -> dict[str, Callable[[], Any]]:
    """Return what a test computes besides metrics."""
    names = [f"species {index:04d}" for index in range(CLASSES)]
    folds = folds_of(data.draws.recording, seed=1)
    return {
        "table per class": lambda: per_class_table(
            data.scores, data.truth, names, primary=data.primary, clips=np.ones(len(data.truth), np.int64)
        ),
        "curve of all pairs": lambda: curve_of(data.scores.ravel(), data.truth.ravel()),
        "common threshold": lambda: find_thresholds(data.scores, data.truth, names, per_class=False, made_from="-"),
        "thresholds per class": lambda: find_thresholds(data.scores, data.truth, names, per_class=True, made_from="-"),
        "threshold by row-wise F1": lambda: find_thresholds(
            data.scores, data.truth, names, per_class=False, metric="row_f1", made_from="-"
        ),
        "detections, cross-fitted": lambda: cross_detected(data.scores, data.truth, folds, per_class=True),
        "calibration, reliability": lambda: reliabilities(
            data.scores, cross_fitted(data.scores, data.truth, folds, method="platt"), data.truth
        ),
    }


def theirs(data: ScoredRows) -> dict[str, Callable[[], Any]]:
    """Return those metrics that scikit-learn has, by key."""
    from sklearn.metrics import (
        average_precision_score,
        f1_score,
        label_ranking_average_precision_score,
        roc_auc_score,
    )

    chosen = np.flatnonzero(data.truth.sum(axis=0) >= MIN_POSITIVES)
    labelled = data.truth.any(axis=1)

    def class_mean(metric: Callable[[Bool[np.ndarray, " rows"], Float32[np.ndarray, " rows"]], float]) -> float:
        return float(np.mean([metric(data.truth[:, index], data.scores[:, index]) for index in chosen]))

    return {
        "mlrap": lambda: label_ranking_average_precision_score(data.truth[labelled], data.scores[labelled]),
        "cmap": lambda: class_mean(average_precision_score),
        "micro_ap": lambda: average_precision_score(data.truth.ravel(), data.scores.ravel()),
        "macro_auroc": lambda: class_mean(roc_auc_score),
        **{
            f"{average}_f1": lambda average=average: f1_score(  # type: ignore[misc]
                data.truth, data.detected, average=average, zero_division=0
            )
            for average in ("micro", "macro", "weighted")
        },
    }


def measure(
    parts: Callable[[ScoredRows], dict[str, Callable[[], Any]]], sizes: dict[str, int], unknown: bool
) -> Measured:
    """Compute some parts in turn; run it in a process of its own."""
    before = _megabytes()
    data = made_up(**sizes)
    if not unknown:
        data = replace(data, unknown=None)  # scikit-learn cannot count them
    rows, seconds, values = _megabytes(), {}, {}
    for key, compute in parts(data).items():
        start = time.process_time()
        found = compute()
        seconds[key] = time.process_time() - start
        values[key] = float(found) if isinstance(found, float | np.floating) else None
    return Measured(seconds, values, before, rows, _megabytes())


def _megabytes() -> float:
    """Return the peak memory of this process; ru_maxrss may be that of the process that started it."""
    status = Path("/proc/self/status")
    held = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.is_file() else None
    return int(held[1]) / 1024 if held else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 hours instead of 100")
    recordings = 10 if parser.parse_args().quick else 100
    from file_to_predictions import show_machine  # not above: processes that measure memory import this module, too

    versions = show_machine("numpy", "scipy", "scikit-learn", "polars")
    tasks = {
        "values": (ours, 0, False),
        "intervals": (ours, DRAWS, True),
        "tables": (tables, 0, False),
        "scikit-learn": (theirs, 0, False),
    }
    found: dict[str, Measured] = {}
    for name, (parts, draws, unknown) in tasks.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(measure, (parts, {"recordings": recordings, "draws": draws}, unknown))
    for key in SHARED:
        if not np.isclose(found["values"].values[key] or 0, found["scikit-learn"].values[key] or 0, atol=1e-5):
            console.warning(f"{key}: {found['values'].values[key]}, scikit-learn: {found['scikit-learn'].values[key]}")
    table = _show(found, recordings=recordings)
    ratio = sum(found["scikit-learn"].seconds.values()) / sum(found["values"].seconds[key] for key in SHARED)
    write_json(
        Path(__file__).parent / "results" / "judging-cpu.json",
        {"device": "cpu", "ratio": round(ratio, 2), "hours": recordings, "classes": CLASSES, **table}
        | {"versions": versions},
    )
    print(f"ratio {ratio:.2f}")


def _show(found: dict[str, Measured], *, recordings: int) -> dict[str, Any]:
    """Print the tables, and return their rows."""
    named = {name: one.seconds for name, one in found.items()}
    rows = [
        [
            key,
            f"{named['values'][key]:.2f}",
            f"{named['intervals'][key]:.2f}",
            f"{named['scikit-learn'][key]:.2f}" if key in SHARED else "",
        ]
        for key in METRICS
    ]
    rows += [[key, f"{seconds:.2f}", "", ""] for key, seconds in named["tables"].items()]
    rows.append(
        [
            "all",
            f"{sum(named['values'].values()) + sum(named['tables'].values()):.1f}",
            f"{sum(named['intervals'].values()):.1f}",
            f"{sum(named['scikit-learn'].values()):.1f}",
        ]
    )
    headings = ["seconds of", "value", "value and interval", "scikit-learn"]
    console.show_grid(f"{recordings} hours in intervals of 5 s, {CLASSES} classes", headings, rows)
    memory = [
        [name, f"{one.before:.0f}", f"{one.rows - one.before:.0f}", f"{one.peak - one.before:.0f}"]
        for name, one in found.items()
    ]
    console.show_grid("Memory, MB", ["process", "before", "rows", "peak above before"], memory)
    return {"headings": headings, "table": rows, "memory": memory}


if __name__ == "__main__":
    main()
