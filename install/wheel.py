"""How the repository becomes one package: everything moves into `birdclef/`, and imports name it there.

In the repository the scripts stand beside `config.py` and `utils/`, so that `python train.py` runs them. On the top
level of site-packages such names would be those of other packages, too. So the wheel has them inside `birdclef`, and
`from utils.files import write_text` becomes `from birdclef.utils.files import write_text`, line by line. Nothing else
in a file changes. docs/architecture.md weighs this against the other ways.
"""

import ast
import runpy
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "birdclef"
FOLDERS = ("utils", "experiments", PACKAGE)  # besides the scripts and config.py


class WheelHook(BuildHookInterface):
    """Gives hatchling the tree of the package."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the package to a temporary folder, and let the wheel hold it; editable installs use the repository."""
        if version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp(prefix=PACKAGE))
        write_package(Path(self.root), self._folder / PACKAGE)
        build_data["force_include"][str(self._folder / PACKAGE)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        if version != "editable":
            shutil.rmtree(self._folder)


def write_package(root: Path, package: Path) -> None:
    """Write the package that is made of the repository in `root`.

    Raises
    ------
    ValueError
        If a file is missing that every package has, or an import has no counterpart in the package.
    """
    modules = {path.stem for path in top_files(root)} | {"utils"}
    if not {"config", "train"} < modules or not (root / PACKAGE / "__init__.py").is_file():
        raise ValueError(f"{root}: is not the repository of the toolkit")
    for path in files_of(root):
        inside = package / (
            path.relative_to(root / PACKAGE) if path.is_relative_to(root / PACKAGE) else path.relative_to(root)
        )
        inside.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py":
            text = with_package(path.read_text(encoding="utf-8"), modules, source=str(path))
            inside.write_text(text, encoding="utf-8")
        else:
            shutil.copyfile(path, inside)


def top_files(root: Path) -> list[Path]:
    """Return config.py and the scripts that are there; other files in the repository's folder are somebody's own."""
    commands = root / "utils" / "commands.py"
    scripts = runpy.run_path(str(commands))["COMMANDS"].values() if commands.is_file() else ()
    names = ["config", *(name for name in scripts if "." not in name)]
    return sorted(path for path in (root / f"{name}.py" for name in names) if path.is_file())


def files_of(root: Path) -> Iterator[Path]:
    """Yield the files of the repository that the package holds."""
    yield from top_files(root)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            hidden = any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(root).parts)
            if path.is_file() and not hidden:
                yield path


def with_package(text: str, modules: set[str], *, source: str) -> str:
    """Return a file's text with imports from the package.

    Parameters
    ----------
    modules : top-level names of the repository
    source : the file, for the message

    Raises
    ------
    ValueError
        If an import binds a name that it would not bind in the package, such as `import utils.files`.
    """
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _top(node.module or "") in modules:
            old, new = f"from {node.module}", f"from {PACKAGE}.{node.module}"
        elif isinstance(node, ast.Import) and any(_top(one.name) in modules for one in node.names):
            (name, *others) = node.names
            if others or "." in name.name:
                raise ValueError(f"{source}:{node.lineno}: import one module, or from one")
            old, new = f"import {name.name}", f"from {PACKAGE} import {name.name}"
        else:
            continue
        line = lines[node.lineno - 1]
        before, after = line[: node.col_offset], line[node.col_offset :]
        if before.strip() or not after.startswith(old):
            raise ValueError(f"{source}:{node.lineno}: an import should be alone in its line")
        lines[node.lineno - 1] = before + new + after.removeprefix(old)
    return "".join(lines)


def _top(module: str) -> str:
    return module.split(".")[0]
