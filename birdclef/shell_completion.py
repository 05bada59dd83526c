"""Completion in bash and zsh: names of commands, their flags, and the toolkit's experiments; else names of files."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType

from config import Config
from utils.commands import COMMANDS, HOME, module_of
from utils.settings import settings_with_defaults

BASH = """\
_birdclef() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} flags=()
    local commands=({commands})
    local experiments=({experiments})
    local settings=({settings})
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "${{commands[*]}}" -- "$current"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    case $current in
    -*) COMPREPLY=($(compgen -W "${{flags[*]}}" -- "$current")) ;;
    *) [ "$COMP_CWORD" -ne 2 ] || COMPREPLY=($(compgen -W "${{experiments[*]}}" -- "$current")) ;;
    esac
}}
complete -o default -F _birdclef birdclef"""
# for `source`, or as the file _birdclef in a folder of $fpath: then its first call is a completion
ZSH = """\
#compdef birdclef
_birdclef() {{
    local -a flags
    local -a commands=({commands})
    local -a experiments=({experiments})
    local -a settings=({settings})
    if (( CURRENT == 2 )); then
        compadd -a commands
        return
    fi
    case $words[2] in
{cases}
    esac
    if [[ $PREFIX == -* ]]; then
        compadd -a flags
        return
    fi
    (( CURRENT != 3 )) || compadd -a experiments
    _files
}}
if [[ $funcstack[1] == _birdclef ]]; then
    _birdclef "$@"
else
    compdef _birdclef birdclef
fi"""
SHELLS: Mapping[str, str] = MappingProxyType({"bash": BASH, "zsh": ZSH})
WITHOUT_SETTINGS = ("download", "demo-data", "mix")  # commands that take no experiment


def completion_script(shell: str, others: Sequence[str]) -> str:
    """Return what a shell has to read.

    Parameters
    ----------
    shell : a key of SHELLS
    others : commands without flags
    """
    return SHELLS[shell].format(
        commands=shlex.join((*COMMANDS, *others)),
        cases="\n".join(f"    {name}) flags=({_flags_of(name)}) ;;" for name in COMMANDS),
        settings=shlex.join(_setting_flags()),
        experiments=shlex.join(sorted(f"experiments/{file.name}" for file in (HOME / "experiments").glob("*.toml"))),
    )


def _flags_of(name: str) -> str:
    """Return the flags of a command for either shell; settings stand in a list that all share."""
    flags = shlex.join(call_flags(name))
    return flags if name in WITHOUT_SETTINGS else f'{flags} --help_all "${{settings[@]}}"'.strip()


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
