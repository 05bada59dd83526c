"""Write a synthetic data set, in the form of one of three archives.

    python -m utils.demo demo --seed 0
    python -m utils.demo demo-kaggle2021 --form kaggle2021
    python -m utils.demo demo-annotations --form annotations

Synthetic species sing at various distances, in wind, rain, hum and insects, with other species in the background.
birdclef2018: short recordings with XML files, soundscapes, noises; some files are broken on purpose.
kaggle2021: short recordings with place and date, labelled soundscapes; species differ by region and season.
annotations: recordings of more than a minute, with annotated calls (points and boxes), sites and dates.
The same seed gives the same bytes.

To mix soundscapes of your own recordings: python -m utils.demo.mix --help
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from utils.commands import with_commands
from utils.console import clock, info, printable, show_table, stopwatch
from utils.tool_call import run_tool

# of each form: its experiment, which is for a folder of the same name
EXPERIMENTS: Mapping[str, str] = MappingProxyType(
    {"birdclef2018": "demo", "kaggle2021": "demo-kaggle2021", "annotations": "demo-annotations"}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, write the data set, and print the next commands."""
    parser = argparse.ArgumentParser(
        prog=with_commands("python -m utils.demo"),
        description=with_commands(__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", type=Path, help="folder for the data set")
    parser.add_argument(
        "--form", choices=EXPERIMENTS, default="birdclef2018", help="form of the archive (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default 0)")
    words = parser.parse_args(arguments)
    if words.seed < 0:
        parser.error(f"--seed {words.seed}: should be 0 or more")
    return run_tool(partial(_make, words))


def _make(words: argparse.Namespace) -> int:
    passed = stopwatch()
    made = _makers()[words.form](words.root, seed=words.seed)
    rows = {"recordings": f"{made.recordings} of {made.species} species, {clock(made.seconds)}", **made.more}
    show_table(f"Written to {printable(made.root)} in {clock(passed())}", rows)
    settings = shlex.join(next_words(words.root, form=words.form))
    info(f"next: python sort_data.py {settings}")
    info("then spec.py, evaluate.py and submission_soundscape.py in its place, with the same words after them")
    return 0


def _makers() -> dict[str, Callable[..., Any]]:
    """Return the function that writes each form."""
    from utils.demo.annotated import make_annotated
    from utils.demo.archive import make_demo
    from utils.demo.kaggle2021 import make_kaggle2021

    return {"birdclef2018": make_demo, "kaggle2021": make_kaggle2021, "annotations": make_annotated}


def next_words(root: Path, *, form: str) -> list[str]:
    """Return what follows the name of a script, so that it works on the data set: experiment, and folders if needed."""
    from utils.demo.surroundings import RASTERS

    experiment = EXPERIMENTS[form]
    folder = root.resolve()
    words = [f"experiments/{experiment}.toml"]
    if folder == Path(experiment).resolve():
        return words
    data = folder.with_name(f"{folder.name}-sorted") if form == "annotations" else folder
    paths = {"dataset.root": data, "snapshots": data / "snapshots", "submission.folder": data / "submissions"}
    if form == "annotations":
        paths |= {"dataset.archive": folder, "submission.recordings": folder / "recordings"}
    elif form == "kaggle2021":
        paths["submission.recordings"] = folder / "train_soundscapes"
    words += [word for key, path in paths.items() for word in (f"--{key}", printable(path))]
    if form == "kaggle2021":
        words += ["--metadata.rasters", *(printable(folder / "rasters" / f"{name}.tif") for name in RASTERS)]
    return words


if __name__ == "__main__":
    sys.exit(main())
