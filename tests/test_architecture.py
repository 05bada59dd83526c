"""The house keeps its plan: who imports whom, no pickles, no file too long to read."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ORDER = ["sound", "recordings", "spectra", "models", "scoring", "learning"]
ROOMS = [
    "metrics",
    "inference",
    "evaluation",
    "reports",
    "submissions",
]  # of scoring; the steps of the scripts come after
SCRIPTS = {path.stem for path in REPOSITORY.glob("*.py")} - {"config"}
SOURCES = [
    *REPOSITORY.glob("*.py"),
    *(path for folder in ("utils", "birdclef", "install") for path in (REPOSITORY / folder).rglob("*.py")),
]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_go_one_way(path: Path) -> None:
    place = path.relative_to(REPOSITORY).parts
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in {"pickle", "dill", "joblib", "shelve", "yaml", "torch", "tensorflow"}
        if place[0] == "utils":
            assert parts[0] not in SCRIPTS, f"{path} imports the script {parts[0]}"
        elif parts[0] in SCRIPTS:
            assert path.stem in {"evaluate", "distill"}, f"{path} imports the script {parts[0]}"
        if len(place) > 2 and parts[0] == "utils" and len(parts) > 1 and place[1] in ORDER and parts[1] in ORDER:
            assert ORDER.index(parts[1]) <= ORDER.index(place[1]), f"{path} imports upward: {name}"


@pytest.mark.parametrize("path", sorted((REPOSITORY / "utils" / "scoring").rglob("*.py")), ids=lambda path: path.stem)
def test_scoring_imports_go_one_way(path: Path) -> None:
    place = path.relative_to(REPOSITORY / "utils" / "scoring").parts
    rank = ROOMS.index(place[0]) if len(place) > 1 else len(ROOMS)
    for name in imports(path):
        parts = name.split(".")
        if parts[:2] != ["utils", "scoring"] or len(parts) < 3:
            continue
        other = ROOMS.index(parts[2]) if parts[2] in ROOMS else len(ROOMS)
        assert other <= rank, f"{path} imports upward: {name}"


def test_pages_of_this_machine_know_nothing_of_what_they_show() -> None:
    for path in (REPOSITORY / "utils" / "local_page").rglob("*.py"):
        folders = {name.split(".")[1] for name in imports(path) if name.startswith("utils.")}
        assert folders <= {"local_page", "console"}, path
    for folder in ORDER:
        for path in (REPOSITORY / "utils" / folder).rglob("*.py"):
            assert not any(name.startswith("utils.local_page") for name in imports(path)), path


DEVICE_MODULES = ("on_device.py", "on_device_reassigned.py", "on_device_waveform.py", "engines.py")


def test_workers_import_no_jax() -> None:
    jax = {
        path for path in SOURCES if {"jax", "flax", "optax", "orbax"} & {name.split(".")[0] for name in imports(path)}
    }
    early = {path for path in jax if path.parent.name in {"sound", "recordings", "spectra"}}
    # engines does so when asked for the device
    assert early == {REPOSITORY / "utils" / "spectra" / name for name in DEVICE_MODULES}
    reached, ahead = (
        set(),
        {
            REPOSITORY / "utils" / "spectra" / f"{name}.py"
            for name in ("extraction", "recording_spectrograms", "interval_clips", "audio_check", "store_writer")
        },
    )
    while ahead:
        path = ahead.pop()
        reached.add(path)
        modules = {REPOSITORY / f"{name.replace('.', '/')}.py" for name in imports(path)}
        ahead |= {module for module in modules if module in SOURCES} - reached
    assert not reached & jax
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, utils.spectra.engines; print('jax' in sys.modules)"],
        cwd=REPOSITORY,
        capture_output=True,
    )
    assert loaded.stdout.decode().strip() == "False"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_files_can_be_read_in_a_sitting(path: Path) -> None:
    if path.name != "config.py":
        assert len(path.read_text().splitlines()) <= 400
        code = [line for line in path.read_text().splitlines() if line.strip() and not line.strip().startswith("#")]
        assert len(code) <= 300
    assert "eval(" not in path.read_text()
    assert "allow_pickle=True" not in path.read_text()


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_scripts_are_stories_without_arithmetic(name: str) -> None:
    tree = ast.parse((REPOSITORY / f"{name}.py").read_text())
    assert ast.get_docstring(tree)
    assert f"python {name}.py" in (ast.get_docstring(tree) or "")
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp):
            assert isinstance(node.op, ast.Div | ast.BitOr), f"{name}.py:{node.lineno}: arithmetic"
