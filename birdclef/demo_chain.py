"""`birdclef demo`: the whole chain on synthetic birdsong, as `make demo` runs it in the repository."""

from collections.abc import Callable, Sequence

from utils.console import INCOMPLETE, info

EXPERIMENT = "experiments/demo.toml"
STAGES = (
    ("demo-data", "demo"),
    ("sort-data", EXPERIMENT),
    ("spec", EXPERIMENT),
    ("evaluate", EXPERIMENT),
    ("submission-monophone", EXPERIMENT),
    ("submission-soundscape", EXPERIMENT),
)


def run_demo(run: Callable[[str, Sequence[str]], int]) -> int:
    """Run each stage, until one cannot be done; return 0 or its exit status.

    Parameters
    ----------
    run : runs a command with its words, and returns the exit status; 3: done, but broken files were left out
    """
    for name, *words in STAGES:
        info(f"birdclef {' '.join((name, *words))}")
        status = run(name, words)
        if status not in (0, INCOMPLETE):
            return status
    return 0
