"""Print what pyproject.toml needs, a package in each line, and what some extras need.

`python install/needed.py export,hub` does so with two extras. The Dockerfile installs all that before it copies code.
"""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [name for name in ",".join(sys.argv[1:]).split(",") if name]
    extras = [one for name in names for one in project["optional-dependencies"][name]]
    print(*project["dependencies"], *extras, sep="\n")
