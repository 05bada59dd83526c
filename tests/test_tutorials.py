"""The tutorials as people follow them: every command runs, on little data, and prints the lines that are shown."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from matplotlib.figure import Figure

from birdclef.__main__ import main
from config import Config
from tests.conftest import REPOSITORY
from tests.small_experiments import small_experiment
from utils.commands import COMMANDS
from utils.console import INCOMPLETE
from utils.demo import annotated, archive, kaggle2021
from utils.review import reviewing
from utils.review.call import ReviewFlags
from utils.review.session import Review
from utils.settings import to_toml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning"),
]
TUTORIALS = REPOSITORY / "docs" / "tutorials"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MOST_LINES = 100
DRAWN = Figure.savefig
# as the commands make them, only smaller
SMALLER: dict[str, Callable[..., object]] = {
    "annotated.make_annotated": partial(annotated.make_annotated, seconds=30),
    "archive.make_demo": partial(archive.make_demo, per_species=4),
    "kaggle2021.make_kaggle2021": partial(kaggle2021.make_kaggle2021, per_species=4, soundscape_seconds=30),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the experiments of the demo as small as can be."""
    for name, smaller in SMALLER.items():
        monkeypatch.setattr(f"utils.demo.{name}", smaller)
    for name in ("demo", "demo-annotations", "demo-kaggle2021"):
        path = tmp_path / "experiments" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(to_toml(small_experiment(name, Path(), **{"training.epochs": 2})))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [])
    monkeypatch.setattr("sys.path", [str(REPOSITORY), *sys.path])
    monkeypatch.setattr(reviewing, "review_in_browser", give_true_verdicts)
    return tmp_path


def give_true_verdicts(review: Review, config: Config, flags: ReviewFlags) -> None:
    """Press the keys that a person would press who knows what sings in the folder `card`."""
    card = Path("card")
    codes = dict(pl.read_csv(card / "species.csv").select("code", "scientific_name").iter_rows())
    boxes = pl.read_csv(card / "annotations.csv").select("file", "start", "end", "species")
    points = pl.read_csv(card / "points.csv").with_columns(pl.col("species_code").replace(codes))
    calls = [*boxes.iter_rows(), *points.select("file", "time", end="time", species="species_code").iter_rows()]
    while (index := review.next()) is not None and not (review.estimates().half_widths <= flags.target).all():
        recording, start, end, species = review.detections.key(index)
        correct = any(
            (Path(recording).name, species) == (file, label) and first < end and last >= start
            for file, first, last, label in calls
        )
        review.add_verdict(index, "yes" if correct else "no")


def shown_labels(text: str) -> list[str]:
    """Return the titles and the names of rows in a shown output; species, with a capital letter, depend on luck."""
    titles = [line for line in text.splitlines() if line[:1].isupper() and "  " not in line]
    rows = [line.partition("  ")[0] for line in text.splitlines() if line[:1].islower()]
    return [re.split(r"\d", label)[0].strip() for label in (*titles, *rows)]


@pytest.mark.parametrize(
    "name",
    ["ecologist", *(pytest.param(name, marks=pytest.mark.notebooks) for name in ("competitor", "researcher"))],
)
def test_every_command_runs_and_prints_what_is_shown(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    printed, commands = "", 0
    for language, block in BLOCK.findall(text):
        if language == "bash":
            for line in re.sub(r"(--training.epochs) \d+", r"\1 2", block).splitlines():
                program, *words = shlex.split(line, comments=True) or ["#"]
                if program == "birdclef":
                    assert main(words) in (0, INCOMPLETE), line + "".join(capsys.readouterr())
                    commands += 1
                elif program == "printf":
                    subprocess.run(line, shell=True, check=True)
                else:
                    assert program in ("#", "pip"), line
            printed = "".join(capsys.readouterr())
        elif language == "python":
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Figure, "savefig", DRAWN)
                exec(compile(block, name, "exec"), {"__name__": name})
            assert (folder / re.findall(r'savefig\("(.+)"\)', block)[0]).stat().st_size > 1000
            printed = "".join(capsys.readouterr())
        elif language == "text":
            for label in shown_labels(block):
                assert label in printed, f"{label!r} is not in: {printed}"
    assert commands >= 6


@pytest.mark.parametrize("path", sorted(TUTORIALS.glob("*.md")), ids=lambda path: path.stem)
def test_tutorials_are_short_and_name_commands_that_exist(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    for line in lines:
        if found := re.match(r"birdclef ([\w-]+)", line):
            assert found[1] in COMMANDS, line
