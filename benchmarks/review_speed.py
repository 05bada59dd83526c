"""How long review.py takes to open a table, to show the next detection, to search for more like one, and for the map.

    python benchmarks/review_speed.py
    python benchmarks/review_speed.py --detections 1000000 --width 1280

Detections and embeddings are made up: 200 species in 1,000 recordings, whose files are never read; 60 kinds of sounds
in embeddings. Seconds are of the clock, and of the processor in brackets. Instead of its search, a user would compare
rows as float64 with SciPy. The last line is the ratio of the two.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import polars as pl
import tyro
from file_to_predictions import show_machine
from scipy.spatial.distance import cdist

from config import Config
from utils import console
from utils.files import write_json
from utils.models.prototypes import unit_length
from utils.review.call import ReviewFlags
from utils.review.embedding_map import make_map
from utils.review.embeddings import SoundEmbeddings
from utils.review.reviewing import open_review

RESULTS = Path(__file__).with_name("results")
RECORDINGS, SPECIES, KINDS = 1000, 200, 60
BLOCK = 8192


@dataclass(frozen=True)
class Options:
    """What is measured."""

    detections: int = 100_000
    width: int = 1280  # values of an embedding
    map: bool = True  # make the map, too
    quick: bool = False  # 10,000 detections


class Watch:
    """Seconds of each step, by clock and processor."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}

    def __call__(self, name: str, step: Callable[[], Any]) -> Any:
        """Do a step, and note how long it takes."""
        clock, processor = time.perf_counter(), time.process_time()
        found = step()
        self.seconds[name] = time.perf_counter() - clock, time.process_time() - processor
        return found


def write_table(folder: Path, count: int) -> Path:
    """Write a table of made-up detections, and a file for each of its recordings."""
    random, index = np.random.default_rng(1), np.arange(count)
    names = np.array([f"{one:04d}.wav" for one in range(RECORDINGS)])
    for name in names.tolist():
        (folder / name).touch()
    each = -(-count // RECORDINGS)
    species = np.array([f"Species {one}" for one in range(SPECIES)])[random.integers(0, SPECIES, count)]
    start, scores = 5.0 * (index % each), random.uniform(0, 1, count).round(6)
    columns = {"recording": names[index // each], "start": start, "end": start + 5, "species": species, "score": scores}
    pl.DataFrame(columns).write_csv(folder / "found.csv")
    return folder / "found.csv"


def made_up_embeddings(folder: Path, count: int, width: int) -> SoundEmbeddings:
    """Write embeddings of made-up sounds to a file, and map it into memory."""
    random = np.random.default_rng(2)
    centres = np.abs(random.normal(size=(KINDS, width)))
    rows = np.lib.format.open_memmap(folder / "rows.npy", "w+", np.float16, (count, width))
    for first in range(0, count, BLOCK):
        some = rows[first : first + BLOCK]
        kinds = random.integers(0, KINDS, len(some))
        some[:] = unit_length(centres[kinds] + random.normal(size=some.shape)).astype(np.float16)
    rows.flush()
    return SoundEmbeddings(np.load(folder / "rows.npy", mmap_mode="r"), np.arange(count), folder / "rows.npy")


def by_scipy(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the cosine distances of rows from one of them."""
    parts = [cdist(rows[first : first + BLOCK], wanted, "cosine") for first in range(0, len(rows), BLOCK)]
    return np.concatenate(parts)


def main() -> None:
    """Measure, print and write."""
    options = tyro.cli(Options, description=__doc__)
    count = 10_000 if options.quick else options.detections
    versions, watch = show_machine("numpy", "polars", "scikit-learn", "scipy"), Watch()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        table = write_table(folder, count)
        opening = open_review([str(table)], Config(), ReviewFlags())
        review = watch("open", opening.__enter__)
        index = watch("first detection", review.next)
        watch("verdict", lambda: review.add_verdict(index, "yes"))
        watch("next detection", review.next)
        review.embeddings = made_up_embeddings(folder, count, options.width)
        watch("look for missing embeddings, once", lambda: review.embeddings.known)
        review.similar(index, count=24)
        watch("search", lambda: review.similar(index, count=24))
        if options.map:
            watch("map, once", lambda: make_map(review.embeddings, review.detections.species_index))
        rows = review.embeddings.rows
        watch("search by SciPy", lambda: by_scipy(rows, rows[index : index + 1]))
        opening.__exit__(None, None, None)
    shown = [[name, f"{clock:.2f} s ({processor:.2f})"] for name, (clock, processor) in watch.seconds.items()]
    console.show_grid(f"{count:,} detections, embeddings of {options.width} values", ["step", "time"], shown)
    ratio = watch.seconds["search by SciPy"][0] / watch.seconds["search"][0]
    record = {"detections": count, "width": options.width, "seconds": watch.seconds, "ratio": ratio}
    write_json(RESULTS / f"review-speed-{count}-cpu.json", {**record, "versions": versions})
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
