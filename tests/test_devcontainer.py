"""The development container: its file is read as an editor reads it, and names what exists."""

import json
import re
import tomllib
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def container() -> dict[str, Any]:
    return json.loads((REPOSITORY / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))


def test_the_image_is_a_python_that_the_project_supports(container: dict[str, Any]) -> None:
    found = re.fullmatch(r"python:(3\.\d+)-bookworm", container["image"])  # no host of a registry before it
    assert found
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert Version(found[1]) in SpecifierSet(project["requires-python"])
    assert f"ARG BASE=python:{found[1]}-" in (REPOSITORY / "Dockerfile").read_text()
    assert "features" not in container  # they come from registries


def test_it_ends_in_make_setup(container: dict[str, Any]) -> None:
    program, target = container["postCreateCommand"].split()
    makefile = (REPOSITORY / "Makefile").read_text()
    assert program == "make"
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    venv = re.search(r"^VENV := (\S+)$", makefile, re.MULTILINE)
    assert venv
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter == f"${{containerWorkspaceFolder}}/{venv[1]}/bin/python"
    # the environment of the host is for another system
    assert any(f"target=${{containerWorkspaceFolder}}/{venv[1]},type=volume" in mount for mount in container["mounts"])


def test_data_sets_are_mounted_where_docker_run_mounts_them(container: dict[str, Any]) -> None:
    (mount,) = [mount for mount in container["mounts"] if "type=bind" in mount]
    parts = dict(part.split("=", 1) for part in mount.split(","))
    assert parts["source"].startswith("${localEnv:DATASETS:")  # a value for those who have not set it
    assert f":{parts['target']}" in (REPOSITORY / "compose.yaml").read_text()
