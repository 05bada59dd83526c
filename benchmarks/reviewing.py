"""How many verdicts are enough to know the precision of every species, in the order of review.py and in random order.

    python benchmarks/reviewing.py
    python benchmarks/reviewing.py --detections detections.csv --annotations /data/soundscapes

A reviewer who knows the truth gives verdicts until the 95% interval of each species' precision is ±0.1. Detections are
made up, or those of a table whose recordings have annotations. The last line is the ratio of the verdicts: random order
to that of review.py.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import tyro
from file_to_predictions import show_machine
from jaxtyping import Bool, Float, Int64

from config import Dataset
from utils import console
from utils.files import write_json
from utils.review.detections import read_detections
from utils.review.estimates import estimates_of, score_bins
from utils.review.sampling import Sampler
from utils.scoring.evaluation.soundscape_truth import read_truth

RESULTS = Path(__file__).with_name("results")
WAYS = ("review.py", "random")


@dataclass(frozen=True)
class Options:
    """What is measured."""

    detections: Path | None = None  # table of predict.py or submission_soundscape.py; none: made-up detections
    annotations: Path | None = None  # folder of its recordings with their annotations
    target: float = 0.1  # half of the wanted 95% interval
    species: int = 20  # made up: number of species
    count: int = 300  # made up: detections of each
    repeats: int = 5  # orders that are drawn
    quick: bool = False  # one order


@dataclass(frozen=True)
class Table:
    """Detections of which the truth is known."""

    scores: Float[np.ndarray, " detections"]
    species: Int64[np.ndarray, " detections"]
    correct: Bool[np.ndarray, " detections"]


def made_up(options: Options) -> Table:
    """Return detections whose scores say something: a share that differs by species, more often correct when high."""
    random = np.random.default_rng(0)
    species = np.repeat(np.arange(options.species), options.count)
    scores = random.beta(0.6, 1.2, len(species))
    weight = random.uniform(0.2, 1.0, options.species)[species]
    return Table(scores, species, random.uniform(size=len(species)) < weight * scores)


def annotated(options: Options) -> Table:
    """Return the detections of a table; those that overlap an annotated call of their species are correct."""
    assert options.detections  # noqa: S101
    folder = options.annotations or options.detections.parent
    detections = read_detections(options.detections, folder)
    truth = read_truth(folder, Dataset(), without=folder / "submissions")
    calls = truth.events if truth else {}
    correct = [
        any(call.species == species and call.start < end and call.end > start for call in calls.get(name, ()))
        for name, start, end, species, _ in detections.table.iter_rows()
    ]
    return Table(detections.scores, detections.species_index, np.array(correct))


def verdicts_until_known(table: Table, way: str, *, target: float, seed: int) -> int:
    """Return after how many verdicts every species is known."""
    count = int(table.species.max()) + 1
    bins = score_bins(table.scores, table.species, count=count)
    sampler = Sampler(bins, table.species, seed=seed)
    order = iter(np.random.default_rng(seed).permutation(len(table.species)).tolist())
    seen = np.zeros(len(table.species), bool)
    while True:
        estimates = estimates_of(bins, table.species, verified=seen, correct=seen & table.correct)
        if (estimates.half_widths <= target).all():
            return int(seen.sum())
        index = sampler.next(estimates, seen, target=target) if way == WAYS[0] else next(order)
        assert index is not None  # noqa: S101 — a table that is wholly verified is known
        seen[index] = True


def main() -> None:
    """Measure, print and write."""
    options = tyro.cli(Options, description=__doc__)
    versions = show_machine("numpy", "polars")
    table = annotated(options) if options.detections else made_up(options)
    seeds = range(1 if options.quick else options.repeats)
    found = {
        way: [verdicts_until_known(table, way, target=options.target, seed=seed) for seed in seeds] for way in WAYS
    }
    means = {way: float(np.mean(counts)) for way, counts in found.items()}
    console.show_grid(
        f"{len(table.scores):,} detections of {int(table.species.max()) + 1} species, "
        f"{100 * table.correct.mean():.0f}% correct, until each is known within ±{options.target:g}",
        ["order", "verdicts", "of all"],
        [[way, f"{means[way]:,.0f}", f"{100 * means[way] / len(table.scores):.0f}%"] for way in WAYS],
    )
    ratio = means["random"] / means["review.py"]
    write_json(RESULTS / "reviewing-cpu.json", {"verdicts": found, "ratio": ratio, "versions": versions})
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
