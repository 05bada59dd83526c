"""Name birds by their sound: every script of the toolkit is a command of this program.

    birdclef demo
    birdclef train experiments/birdclef2018.toml --training.epochs 5
    birdclef train --help

Experiments that are not in the working folder are the toolkit's own. Data, snapshots and submissions go to the working
folder, or where the experiment says.
"""

import difflib
import io
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from utils.commands import COMMANDS, HOME, PACKAGE, first_sentence, module_of, source_of

WRONG_CALL = 2  # exit status, as for wrong settings
INDENT = 24  # of what a command does


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `COMMAND [WORD …]`; return the exit status of the command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals that lack a letter
    name, *rest = [*(sys.argv[1:] if words is None else words)] or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name in OTHER_COMMANDS:
        return OTHER_COMMANDS[name](rest)
    if name in COMMANDS:
        return run(name, rest)
    near = difflib.get_close_matches(name, [*COMMANDS, *OTHER_COMMANDS], n=1)
    advice = f"did you mean {near[0]}?" if near else "birdclef --help lists all"
    print(f"birdclef: {name!a}: no such command; {advice}", file=sys.stderr)
    return WRONG_CALL


def run(name: str, words: Sequence[str]) -> int:
    """Run a script as `python SCRIPT.py WORD …` does, in this process; return its exit status."""
    if not PACKAGE and str(HOME) not in sys.path[:1]:
        sys.path.insert(0, str(HOME))  # `test` of the repository, not Python's
    sys.argv = [name, *words]
    try:
        runpy.run_module(module_of(name), run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def overview() -> str:
    """Return the text of `birdclef --help`."""
    lines = {name: first_sentence(source_of(name)) for name in COMMANDS}
    lines |= {name: (command.__doc__ or "").splitlines()[0] for name, command in OTHER_COMMANDS.items()}
    return "\n".join([f"{__doc__}\nCommands, each with a --help of its own:\n", *map(_row, lines, lines.values())])


def _row(name: str, text: str) -> str:
    return f"  {name:<{INDENT - 2}}{text}"


def experiments(words: Sequence[str]) -> int:
    """List the toolkit's own experiments."""
    if words:
        return _explain(experiments, words)
    for file in sorted((HOME / "experiments").glob("*.toml")):
        print(_row(file.stem, first_sentence(file)))
    print(
        f"\nbirdclef train experiments/NAME.toml takes one of them. To change one, copy it from {HOME / 'experiments'}."
    )
    return 0


def demo(words: Sequence[str]) -> int:
    """Make a small data set of synthetic birdsong in demo/, and run the whole chain on it, in about two minutes."""
    if words:
        return _explain(demo, words)
    from birdclef.demo_chain import run_demo

    return run_demo(run)


def completion(words: Sequence[str]) -> int:
    """Print the completion of commands, flags and experiments for bash or zsh."""
    if list(words) not in (["bash"], ["zsh"]):
        return _explain(completion, words)
    from birdclef.shell_completion import completion_script

    print(completion_script(words[0], [*OTHER_COMMANDS]))
    return 0


def version(words: Sequence[str]) -> int:
    """Print the version of the toolkit."""
    if words:
        return _explain(version, words)
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        print(version_of("birdclef-jax"))
    except PackageNotFoundError:
        print(f"not installed; the repository in {HOME}")
    return 0


def _explain(command: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """Print what a command does, and refuse words that it does not take."""
    asked = words[:1] in (["-h"], ["--help"])
    usage = f"usage: birdclef {command.__name__}{' bash|zsh' if command is completion else ''}"
    print(f"{usage}\n\n{command.__doc__}" if asked else usage, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else WRONG_CALL


# commands that are no scripts
OTHER_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = MappingProxyType(
    {"demo": demo, "experiments": experiments, "completion": completion, "version": version}
)

if __name__ == "__main__":
    sys.exit(main())
