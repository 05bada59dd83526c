"""The wheel: one package with all that the toolkit needs, which takes no name of a user's own modules."""

import ast
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import RATE, REPOSITORY, write_folders
from utils.commands import COMMANDS

pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")

from install.wheel import files_of, with_package

MODULES = {"config", "utils", "train", "test"}
OWN = "MINE = True\n"  # modules of a user that have names of the repository's
PROGRAM = """
import config, test, utils
from birdclef.config import Config
from birdclef.utils.spectra.spectrogram import to_pixels
from birdclef.utils.scoring.metrics import ranking
import birdclef.utils, sys
assert config.MINE and test.MINE and utils.MINE
assert birdclef.utils is not utils and utils.__file__.endswith("mine/utils.py")
assert "birdclef" in ranking.__file__ and Config().run
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, without any network."""
    if not find_spec("pip"):
        pytest.skip("pip, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    quiet = ["--quiet", "--disable-pip-version-check"]
    offline = ["--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *quiet, *offline, "--wheel-dir", folder, REPOSITORY],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel as pip does, and return the folder that stands for site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return a working folder with modules of a user's own."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("utils", "config", "test", "train"):
        (folder / f"{name}.py").write_text(OWN)
    return folder


def python(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )


def test_it_holds_everything_in_one_package(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"birdclef"}
    assert not any("pycache" in name or "tests/" in name for name in names)
    scripts = {f"{module}.py" for module in COMMANDS.values() if "." not in module}
    experiments = {f"experiments/{path.name}" for path in (REPOSITORY / "experiments").glob("*.toml")}
    templates = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "utils").rglob("*.j2")}
    assert len(templates) >= 6
    needed = {"__init__.py", "__main__.py", "py.typed", "config.py", *scripts, *experiments, *templates}
    assert {f"birdclef/{name}" for name in needed} <= names
    sources = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "utils").rglob("*.py")}
    assert {f"birdclef/{name}" for name in sources} <= names


def test_it_says_how_it_is_called_and_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (points,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("entry_points.txt"))
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA"))
    assert "birdclef = birdclef.__main__:main" in points
    for line in ("Name: birdclef-jax", "Provides-Extra: places", "License-Expression: MIT", "Requires-Python: >=3.11"):
        assert line in metadata


def test_no_module_is_imported_from_outside_the_package(installed: Path) -> None:
    ours = {path.stem for path in REPOSITORY.glob("*.py")} | {"utils", "tests", "install", "benchmarks"}
    checked = 0
    for path in (installed / "birdclef").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not ours & {name.split(".")[0] for name in names}, f"{path}:{node.lineno}"
            checked += any(name.startswith("birdclef") for name in names)
    assert checked > 1000


def test_only_imports_change(installed: Path) -> None:
    for path in files_of(REPOSITORY):
        name = path.relative_to(REPOSITORY).as_posix().removeprefix("birdclef/")
        before, after = path.read_bytes().splitlines(), (installed / "birdclef" / name).read_bytes().splitlines()
        changed = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
        for one, other in changed:
            assert other.lstrip().startswith((b"from birdclef.", b"from birdclef import ")), name
            assert one.split()[1] in other, name


def test_a_program_keeps_its_own_modules(installed: Path, mine: Path) -> None:
    (mine / "program.py").write_text(PROGRAM)
    done = python(installed, mine, "program.py")
    assert done.returncode == 0, done.stderr


def test_commands_and_their_workers_run_in_a_folder_with_such_modules(installed: Path, mine: Path) -> None:
    write_folders(mine / "archive", recordings=2, seconds=1.5)
    (mine / "mine.toml").write_text(
        f"workers = 1\n[dataset]\nroot = 'sorted'\narchive = 'archive'\n[clips]\nsignal_threshold = 0.0005\n"
        f"[spectrogram]\nrate = {RATE}\nfmax = 3800.0\nheight = 16\nwidth = 32\n"
    )
    for command in ("sort-data", "spec"):
        done = python(installed, mine, "-m", "birdclef", command, "mine.toml")
        assert done.returncode == 0, done.stderr
    assert (mine / "sorted" / "spec" / "clips.parquet").is_file()
    assert "birdclef train, with the same experiment" in done.stdout
    assert ".py" not in done.stdout
    refused = python(installed, mine, "-m", "birdclef", "spec", "mine.toml", "--dataset.root", "none")
    assert refused.stderr.startswith("birdclef spec: none/split.parquet: no such file; run birdclef sort-data")
    listed = python(installed, mine, "-m", "birdclef", "experiments")
    assert f"copy it from {installed / 'birdclef' / 'experiments'}" in listed.stdout


def test_the_rest_of_a_line_stays() -> None:
    text = (
        '"""import config"""\nfrom utils.files import (\n    a,\n)\nif 1:\n    from config import Config  # its own\n'
    )
    text += "import train\nimport os, sys\nfrom utilities import b\n"
    changed = text.replace("from utils.", "from birdclef.utils.").replace("from config", "from birdclef.config")
    changed = changed.replace("import train", "from birdclef import train")
    assert with_package(text, MODULES, source="x.py") == changed


@pytest.mark.parametrize("line", ["import utils.files", "import config, os", "x = 1; import config"])
def test_imports_without_a_counterpart_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"x\.py:1: "):
        with_package(f"{line}\n", MODULES, source="x.py")
