"""Time and memory of each kind of split on the metadata of a large archive; no audio is read.

    python benchmarks/splitting.py
    python benchmarks/splitting.py --quick

Each kind runs in a separate process: synthetic metadata is split, written as a table, and audited. For comparison,
scikit-learn's StratifiedGroupKFold splits the same metadata alone, as in a notebook; it neither keeps duplicates
together nor every class in train.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from config import Dataset
from utils import console
from utils.files import write_json
from utils.recordings.audit import class_counts, shared_groups, shared_keys
from utils.recordings.grouping import group_recordings, grouping_of
from utils.recordings.recording import Recording
from utils.recordings.splits import split_table
from utils.recordings.splitting import assign_splits

KINDS = {
    "recordings": Dataset(split="recordings"),
    "recordings, 5 folds": Dataset(split="recordings", folds=5),
    "grouped by author": Dataset(split="grouped"),
    "grouped by author, val and test": Dataset(split="grouped", test_share=0.1),
    "grouped by author, 5 folds": Dataset(split="grouped", folds=5),
    "grouped by site": Dataset(split="grouped", group_by="site"),
    "blocked, 5 folds": Dataset(split="blocked", folds=5),
}


def made_up(*, recordings: int, classes: int, authors: int, seed: int = 0) -> list[Recording]:
    """Make metadata like that of a large archive.

    Few classes and few recordists have most of the recordings, and each recordist has few sites.
    """
    rng = np.random.default_rng(seed)
    label = np.minimum((rng.pareto(1.0, recordings) * classes / 20).astype(int), classes - 1)
    label[:classes] = np.arange(classes)
    author = np.minimum((rng.pareto(0.8, recordings) * authors / 20).astype(int), authors - 1)
    author[:authors] = np.arange(authors)
    homes = np.stack([rng.uniform(-60, 70, authors), rng.uniform(-180, 180, authors)], axis=1)
    sites = homes[author] + rng.integers(0, 20, (recordings, 1)) * 0.05
    return [
        Recording(
            name=f"XC{index}",
            file=Path(f"XC{index}.mp3"),
            species=f"Genus species{label[index]:04d}",
            author=f"Author {author[index]}",
            date=f"20{rng.integers(10, 25)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
            latitude=float(np.clip(sites[index, 0], -90, 90)),
            longitude=float(np.clip(sites[index, 1], -180, 180)),
        )
        for index in range(recordings)
    ]


def ours(recordings: Sequence[Recording], settings: Dataset) -> int:
    """Split and audit as sort_data.py does; return the number of groups in more than one split."""
    groups = group_recordings(recordings, settings, grouping_of(settings))
    assignments = assign_splits(recordings, groups, settings)
    table = split_table(
        recordings,
        assignments,
        [groups.names[index] for index in groups.index],
        [recording.file.name for recording in recordings],
    )
    class_counts(table, [60.0] * len(recordings))
    shared_keys(recordings, table, settings)
    return len(shared_groups(table))


def plain(recordings: Sequence[Recording], settings: Dataset) -> int:
    """Split by recordist with scikit-learn alone."""
    from sklearn.model_selection import StratifiedGroupKFold

    label, author = [recording.species for recording in recordings], [recording.author for recording in recordings]
    warnings.simplefilter("ignore")  # that some class has fewer recordings than there are folds
    next(StratifiedGroupKFold(10, shuffle=True, random_state=settings.seed).split(label, label, author))
    return 0


def measure(
    work: Callable[[Sequence[Recording], Dataset], int], settings: Dataset, sizes: dict[str, int]
) -> tuple[float, float, int]:
    """Return seconds, peak memory of the process in MB, and the number of groups in more than one split."""
    recordings = made_up(**sizes)
    start = time.perf_counter()
    shared = work(recordings, settings)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, shared


def main() -> None:
    """Measure each kind of split, in turn, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, once")
    quick = parser.parse_args().quick
    sizes = (
        {"recordings": 10_000, "classes": 200, "authors": 500}
        if quick
        else {"recordings": 100_000, "classes": 1000, "authors": 5000}
    )
    tasks = {
        **{name: (ours, settings) for name, settings in KINDS.items()},
        "scikit-learn alone, by author": (plain, Dataset()),
    }
    results: dict[str, list[tuple[float, float, int]]] = {name: [] for name in tasks}
    for _ in range(1 if quick else 3):
        for name, (work, settings) in tasks.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                results[name].append(pool.apply(measure, (work, replace(settings, seed=1), sizes)))
    rows = []
    for name, runs in results.items():
        seconds = [run[0] for run in runs]
        rows.append(
            [
                name,
                f"{statistics.median(seconds):.1f}",
                f"{min(seconds):.1f} to {max(seconds):.1f}",
                f"{max(run[1] for run in runs):.0f}",
                runs[0][2],
            ]
        )
    title = f"{sizes['recordings']:,} recordings, {sizes['classes']:,} classes, {sizes['authors']:,} recordists"
    console.show_grid(
        title,
        ["split", "seconds", "spread", "peak MB", "groups in two splits"],
        [[str(cell) for cell in row] for row in rows],
    )
    ratio = statistics.median(run[0] for run in results["scikit-learn alone, by author"]) / statistics.median(
        run[0] for run in results["grouped by author"]
    )
    write_json(
        Path(__file__).parent / "results" / "splitting-cpu.json",
        {"device": "cpu", "ratio": round(ratio, 2), "table": rows},
    )
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
