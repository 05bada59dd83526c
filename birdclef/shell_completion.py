"""Completion in bash: names of commands, their flags, and the toolkit's experiments; else names of files."""

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from importlib import import_module

from config import Config
from utils.commands import COMMANDS, HOME, module_of
from utils.settings import settings_with_defaults

SCRIPT = """\
_birdclef() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} flags=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {commands} -- "$current"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    case $current in
    -*) COMPREPLY=($(compgen -W "$flags" -- "$current")) ;;
    *) [ "$COMP_CWORD" -ne 2 ] || COMPREPLY=($(compgen -W {experiments} -- "$current")) ;;
    esac
}}
complete -o default -F _birdclef birdclef"""
WITHOUT_SETTINGS = ("demo-data", "mix")  # commands that take no experiment


def completion_script(others: Sequence[str]) -> str:
    """Return what bash has to read.

    Parameters
    ----------
    others : commands without flags
    """
    settings = " ".join(_setting_flags())
    flags = {
        name: " ".join(call_flags(name)) + ("" if name in WITHOUT_SETTINGS else f" {settings}") for name in COMMANDS
    }
    cases = [f"    {name}) flags={shlex.quote(words.strip())} ;;" for name, words in flags.items()]
    experiments = sorted(f"experiments/{file.name}" for file in (HOME / "experiments").glob("*.toml"))
    return SCRIPT.format(
        commands=shlex.quote(" ".join((*COMMANDS, *others))),
        cases="\n".join(cases),
        experiments=shlex.quote(" ".join(experiments)),
    )


def call_flags(name: str) -> list[str]:
    """Return the flags of a command that are no settings: the fields of its classes of flags."""
    kinds = [kind for label, kind in vars(import_module(module_of(name))).items() if label.endswith("Flags")]
    return sorted({f"--{field.name}" for kind in kinds for field in dataclasses.fields(kind)})


def _setting_flags() -> Iterator[str]:
    for key, _, default in settings_with_defaults(Config()):
        yield f"--{key}"
        if isinstance(default, bool):
            section, dot, name = key.rpartition(".")
            yield f"--{section}{dot}no-{name}"
