"""How users call the toolkit: `python train.py` in the repository, `birdclef train` where it is installed."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

HOME = Path(__file__).parents[1]  # of config.py, the scripts, utils/ and experiments/
# the package that all of them are in where the toolkit is installed; '' in the repository
PACKAGE = __name__.removesuffix("utils.commands").rstrip(".")

# each subcommand of `birdclef`, and the module that it runs
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "download": "utils.recordings.download",
        "sort-data": "sort_data",
        "spec": "spec",
        "train": "train",
        "train-metadata": "train_metadata",
        "test": "test",
        "evaluate": "evaluate",
        "distill": "distill",
        "predict": "predict",
        "explain": "explain",
        "review": "review",
        "watch": "watch",
        "card": "card",
        "submission-monophone": "submission_monophone",
        "submission-soundscape": "submission_soundscape",
        "models": "utils.models",
        "spectra": "utils.spectra",
        "augmentation": "utils.learning.augmentation",
        "demo-data": "utils.demo",
        "mix": "utils.demo.mix",
        "clean": "utils.cleaning",
    }
)
_MODULES = {module: name for name, module in COMMANDS.items()}
# as texts name a command: `python -m utils.demo.mix`, `python spec.py`, `spec.py`, but not a path, which messages start
# with (`spec.py: no such file`); longer names first
_NAMED = re.compile(
    r"(?:\bpython )?(?<![\w./-])(?:-m (?P<tool>{})(?![\w.])|(?P<script>{})\.py\b(?![/:]))".format(
        *(
            "|".join(re.escape(name) for name in sorted(_MODULES, reverse=True) if ("." in name) == in_utils)
            for in_utils in (True, False)
        )
    )
)
_EXTRA = re.compile(r"pip install (?:-e )?(['\"])\.\[([\w,]+)\]\1")


def with_commands(text: str, *, package: str = PACKAGE) -> str:
    """Return a text for users with the commands that they have; paragraphs about its source stay as they are.

    Parameters
    ----------
    text : with commands as in the repository: `python spec.py`, `spec.py`, `pip install '.[tune]'`
    package : where the toolkit is installed; '': in the repository, for which the text stays as it is
    """
    if not package:
        return text
    return "\n\n".join(
        part if part.startswith("Source: ") else _named(part, package=package) for part in text.split("\n\n")
    )


def _named(text: str, *, package: str) -> str:
    named = _NAMED.sub(lambda found: f"{package} {_MODULES[found['tool'] or found['script']]}", text)
    return _EXTRA.sub(r"pip install 'birdclef-jax[\2]'", named)


def module_of(name: str) -> str:
    """Return the name by which the module of a subcommand is imported."""
    module = ".".join(filter(None, (PACKAGE, COMMANDS[name])))
    return module if source_of(name).stem != "__main__" else f"{module}.__main__"


def source_of(name: str) -> Path:
    """Return the file of a subcommand's module."""
    path = HOME.joinpath(*COMMANDS[name].split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def code() -> list[Path]:
    """Return what other machines need to work for this one: the package, or its parts in the repository."""
    return [HOME] if PACKAGE else [HOME / "utils", HOME / "config.py"]


def find_experiment(path: Path) -> Path:
    """Return `path`, or the toolkit's own file where `experiments/NAME.toml` is not in the working folder."""
    ours = HOME / path
    is_ours = path.parts[:1] == ("experiments",) and len(path.parts) == 2 and ours.is_file()
    return ours if is_ours and not path.exists() else path


def first_sentence(path: Path) -> str:
    """Return the first line of a script's docstring, or the first sentence of the comment that a TOML file starts with.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open(encoding="utf-8") as lines:
        if path.suffix == ".py":
            return with_commands(next(lines, "").strip().strip('"'))
        comment = " ".join(line[1:].strip() for line in itertools.takewhile(lambda line: line.startswith("#"), lines))
    return with_commands(re.split(r"(?<=\.) ", comment)[0])
