"""Install the wheel in an environment of its own, run the demo there, and see that each extra brings what it says.

    python -m install.check                          # all extras but gpu and dev; gpu is only resolved
    python -m install.check --extras hub tune --without-demo

It needs the network, some minutes and 3 GB in the folder for temporary files; `uv` is used if it is there.
Nothing of the repository is on the path of what it runs.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

REPOSITORY = Path(__file__).parents[1]
# of each extra: the modules that it brings, which cannot be imported without it
EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gpu": ("jax_cuda13_plugin",),
        "export": ("onnx", "onnxruntime"),
        "hub": ("huggingface_hub",),
        "openvino": ("openvino",),
        "places": ("catboost", "rasterio"),
        "litert": ("ai_edge_litert.interpreter",),
        "tune": ("optuna",),
        "cluster": ("ray", "grpc"),
        "remote": ("obstore",),
        "docs": ("sphinx", "myst_nb", "pydata_sphinx_theme"),
        "dev": ("pytest", "hypothesis", "beartype", "ruff", "mypy", "hatchling"),
    }
)
LARGE = ("gpu", "dev")
ZONE = "from birdclef.utils.recordings.recorders.clocks import time_zone; time_zone('Europe/Berlin')"
RESULTS = ("report.html", "demo_monophone.txt", "demo_soundscape.txt")  # files that the demo writes, besides others


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and do the checks; a check that fails ends the program with its output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = [name for name in EXTRAS if name not in LARGE]
    parser.add_argument("--extras", nargs="*", choices=EXTRAS, default=usual, help="the extras to install")
    parser.add_argument("--without-demo", action="store_true", help="do not run the demo")
    words = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="check-install") as folder:
        home = Path(folder)
        wheel = build_wheel(home)
        base = new_environment(home / "base")
        pip(base, "install", str(wheel))
        check_base(base, home)
        if not words.without_demo:
            check_demo(base, home)
        for name in words.extras:
            check_extra(name, wheel, base, home)
        if "gpu" not in words.extras:
            print("extra gpu, without installing it", flush=True)
            pip(base, "install", "--dry-run", f"{wheel}[gpu]")
    print("installed, and all is there")
    return 0


def build_wheel(home: Path) -> Path:
    """Build the wheel of the repository in `home`; return its path."""
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", home, REPOSITORY, folder=home)
    (wheel,) = home.glob("*.whl")
    return wheel


def new_environment(folder: Path, *, over: Path | None = None) -> Path:
    """Make a virtual environment; return its Python.

    Parameters
    ----------
    over : the Python of another environment, whose packages are there, too
    """
    without = ["--without-pip"] if shutil.which("uv") else []
    call(sys.executable, "-m", "venv", *without, folder, folder=folder.parent)
    python = folder / "bin" / "python"
    if over:
        (packages,) = over.parents[1].glob("lib/python*/site-packages")
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "base.pth").write_text(f"{packages}\n")
    return python


def check_base(python: Path, home: Path) -> None:
    """See that the command is there, that it takes one name, and that no extra came with it."""
    print("the wheel alone", flush=True)
    pip(python, "check")
    call(python.with_name("birdclef"), "version", folder=home)
    call(python, "-c", ZONE, folder=home, PYTHONTZPATH="")  # as where the system has no zone files
    for name in ("utils", "config", "train", "spec", "evaluate"):
        if is_importable(python, name, home):
            raise SystemExit(f"{name}: a module of the toolkit on the top level of site-packages")
    brought = [module for name in EXTRAS for module in EXTRAS[name] if is_importable(python, module, home)]
    if brought:
        raise SystemExit(f"{', '.join(brought)}: of an extra, but installed without it")


def check_demo(python: Path, home: Path) -> None:
    """Run the demo in an empty folder."""
    print("birdclef demo", flush=True)
    empty = home / "empty"
    empty.mkdir()
    call(python.with_name("birdclef"), "demo", folder=empty)
    names = {path.name for path in empty.rglob("*")}
    for result in RESULTS:
        if result not in names:
            raise SystemExit(f"birdclef demo: no {result}")


def check_extra(name: str, wheel: Path, base: Path, home: Path) -> None:
    """Install one extra, and no other, in an environment over the base; import what it brings."""
    print(f"extra {name}", flush=True)
    python = new_environment(home / name, over=base)
    pip(python, "install", f"{wheel}[{name}]")
    for module in EXTRAS[name]:
        call(python, "-c", f"import {module}", folder=home)


def is_importable(python: Path, module: str, home: Path) -> bool:
    """Tell whether an environment has a module."""
    words: list[str | Path] = [python, "-c", f"import {module}"]
    return run(words, home).returncode == 0


def pip(python: Path, command: str, *words: str) -> None:
    """Let pip do something for an environment, or uv if that is there."""
    uv = shutil.which("uv")
    program: tuple[str | Path, ...] = (uv, "pip", command, "--python", python) if uv else (python, "-m", "pip", command)
    call(*program, "--quiet", *words, folder=python.parent)


def call(*words: str | Path, folder: Path, **variables: str) -> None:
    """Run a program in a folder, with some environment variables; end with its output if it fails."""
    done = run(words, folder, **variables)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}\nexit status {done.returncode}")


def run(words: Sequence[str | Path], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, without the environment variables by which Python would find the repository."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")} | variables
    return subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, check=False)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
