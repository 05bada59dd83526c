"""The pinned sets of packages: one for the main job, one for development, both within the ranges of pyproject.toml."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from install import check
from tests.conftest import REPOSITORY

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
TESTED = (
    "dev",
    "export",
    "hub",
    "openvino",
    "litert",
    "tune",
    "places",
    "cluster",
    "remote",
    "docs",
)  # extras that the tests use
REFERENCES = {"torch", "timm", "tensorflow"}  # of tests and benchmarks only; whoever runs those installs them


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(name: str) -> dict[str, Requirement]:
    """Return the packages that a file of requirements pins for this version of Python."""
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    assert all(re.fullmatch(r"==[\w.]+", str(requirement.specifier)) for requirement in found)
    return {
        normalized(requirement.name): requirement
        for requirement in found
        if requirement.marker is None or requirement.marker.evaluate()
    }


def needed(requirements: Iterable[str]) -> set[str]:
    """Return all packages that some requirements need, as the installed packages tell."""
    found, ahead = set(), [Requirement(requirement) for requirement in requirements]
    while ahead:
        requirement = ahead.pop()
        key = normalized(requirement.name), frozenset(requirement.extras)
        if key in found:
            continue
        found.add(key)
        try:
            inner = map(Requirement, distribution(requirement.name).requires or [])
        except PackageNotFoundError:
            pytest.skip(f"{requirement.name} is not installed")
        extras = ("", *requirement.extras)
        ahead += [
            one for one in inner if not one.marker or any(one.marker.evaluate({"extra": name}) for name in extras)
        ]
    return {name for name, _ in found}


def test_the_main_set_is_what_the_main_job_needs() -> None:
    assert needed([*PROJECT["dependencies"], *EXTRAS["export"]]) == set(pinned("requirements.txt"))


def test_the_development_set_adds_tests_and_linters() -> None:
    main, more = pinned("requirements.txt"), pinned("requirements-dev.txt")
    assert "-r requirements.txt" in (REPOSITORY / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert not main.keys() & more.keys()
    extras = (one for name in TESTED for one in EXTRAS[name])
    assert needed(extras) <= main.keys() | more.keys()
    assert not REFERENCES & (main.keys() | more.keys())


def test_pinned_versions_lie_in_the_ranges() -> None:
    pins = pinned("requirements.txt") | pinned("requirements-dev.txt")
    for requirement in map(Requirement, [*PROJECT["dependencies"], *(one for name in TESTED for one in EXTRAS[name])]):
        version = str(pins[normalized(requirement.name)].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), requirement


def test_the_workflow_calls_the_projects_own_checks() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert all(re.search(r"@v\d+$", step["uses"]) for step in job["steps"] if "uses" in step)


def test_the_demo_needs_only_the_main_set() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    rules = dict(re.findall(r"^([\w-]+): ([\w$()/ -]+)", makefile, re.MULTILINE))
    assert rules["demo"].split() == ["setup"]
    assert {rules[name].split()[0] for name in ("test", "lint", "chaos")} == {"setup-dev"}
    assert Path(rules["setup"]).name == "ready"


def test_the_installation_check_knows_every_extra() -> None:
    assert set(check.EXTRAS) == set(EXTRAS)
    assert all(check.EXTRAS.values())


def test_the_container_has_what_the_toolkit_needs() -> None:
    (extras,) = re.findall(r"^ARG EXTRAS=([\w,]+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert set(extras.split(",")) == set(EXTRAS) - {"dev", "docs"}
    words = [sys.executable, "install/needed.py", extras]
    lines = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
    assert set(lines) == {*PROJECT["dependencies"], *(one for name in extras.split(",") for one in EXTRAS[name])}
