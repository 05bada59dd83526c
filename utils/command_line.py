"""How the settings are read from the command line: `[EXPERIMENT.toml] [--section.setting VALUE …]`."""

import contextlib
import dataclasses
import inspect
import io
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from config import Config, SettingsError
from utils.commands import find_experiment, with_commands
from utils.settings import RENAMED, expand_home, load, nearest, settings_with_defaults, to_dict, validated

Parse = Callable[[Sequence[str]], tuple[Any, list[str]]]  # the settings, and the words that are no flags


def from_command_line(
    arguments: Sequence[str],
    *,
    doc: str,
    script: str,
    flags: type | None = None,
    sections: Sequence[str] | None = None,
    warn: Callable[[str], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[Config, Any]:
    """Read `[EXPERIMENT.toml] [--section.setting VALUE …]` over the defaults.

    Parameters
    ----------
    arguments : the words after the script's name
    doc, script : head of `--help`, and the name in it
    flags : dataclass of the script's own flags, besides the settings
    sections : of the settings that `--help` shows; `--help_all` shows all, as `--help` does with None
    warn : called with one line for each setting that the file has under an old name
    tell : called with one line if the file is not in the working folder, but the toolkit's own

    Returns
    -------
    The config, and the flags (None without `flags`).

    Raises
    ------
    SettingsError
        If the file or the command line holds an unknown setting or an invalid value.
    """
    words = list(arguments)
    path = Path(words.pop(0)) if words and not words[0].startswith("-") else None
    if path:
        path, named = find_experiment(path), path
        if tell and path != named:
            tell(f"{named}: not in this folder, so the toolkit's own is taken: {path}")
    base = load(path, warn=warn) if path else Config()
    if sections is not None:
        _show_help(words, base, doc=doc, script=script, flags=flags, sections=sections)
    config, call = _parse_flags(words, _parser(base, doc=doc, script=script, flags=flags))
    try:
        validated(to_dict(config))
    except SettingsError as error:
        typed = any(word.split("=")[0] == f"--{error.key}" for word in words)
        source = "command line" if typed or path is None else str(path)
        raise SettingsError(error.reason, key=error.key, value=error.value, source=source) from None
    return expand_home(config), call


def _show_help(
    words: Sequence[str], base: Config, *, doc: str, script: str, flags: type | None, sections: Sequence[str]
) -> None:
    """Print help and leave the program, if a word asks for it."""
    if {"--help_all", "--help-all"} & {*words}:
        _parser(base, doc=doc, script=script, flags=flags)(["--help"])
    if {"-h", "--help"} & {*words}:
        names = [one.name for one in dataclasses.fields(base) if dataclasses.is_dataclass(getattr(base, one.name))]
        hidden = [name for name in names if name not in sections]
        doc = f"{doc}\n\n--help_all shows the settings of {', '.join(hidden)}, too."
        _parser(_with_hidden(base, hidden), doc=doc, script=script, flags=flags)(["--help"])


def _with_hidden(base: Config, hidden: Sequence[str]) -> Config:
    """Return the same settings, of which help leaves out some sections."""
    kinds, texts = get_type_hints(Config, include_extras=True), _comments(Config)
    marks = dict.fromkeys(hidden, tyro.conf.Suppress)
    marks |= {name: tyro.conf.arg(help=text) for name, text in texts.items()}  # tyro finds none of a class made here
    changed = [
        (name, Annotated[kinds[name], mark], dataclasses.field(default_factory=partial(getattr, base, name)))
        for name, mark in marks.items()
    ]
    settings = dataclasses.make_dataclass("Settings", changed, bases=(Config,), frozen=True)
    return settings(**{one.name: getattr(base, one.name) for one in dataclasses.fields(base)})


def _comments(settings: type) -> dict[str, str]:
    """Return the comments behind the settings of a class."""
    return dict(re.findall(r"^    (\w+): .*  # (.*)$", inspect.getsource(settings), flags=re.MULTILINE))


def _parser(base: Any, *, doc: str, script: str, flags: type | None) -> Parse:
    """Return what parses flags over settings."""
    entries: list[tuple[str, Any, Any]] = [("config", Annotated[type(base), tyro.conf.arg(name="")], base)]
    if flags:
        entries.append(("call", Annotated[flags, tyro.conf.arg(name="")], flags()))
    arguments = dataclasses.make_dataclass("Arguments", [(name, kind) for name, kind, _ in entries], frozen=True)
    default = arguments(*(value for _, _, value in entries))
    registry = ConstructorRegistry()
    registry.primitive_rule(_table_as_json)

    def parse(words: Sequence[str]) -> tuple[Any, list[str]]:
        with contextlib.redirect_stderr(io.StringIO()):  # tyro prints a page about a wrong flag; here it gets one line
            return tyro.cli(
                arguments,
                args=words,
                default=default,
                prog=with_commands(f"python {script} [EXPERIMENT.toml]"),
                description=with_commands(doc),
                use_underscores=True,
                return_unknown_args=True,
                registry=registry,
            )

    return parse


def _table_as_json(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Let a table of a TOML file (`tuning.space`) be one flag with JSON, instead of a flag for each of its keys."""
    if get_origin(kind.type) is not dict:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=lambda words: json.loads(words[0]),
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value, ensure_ascii=False)],
    )


def _parse_flags(words: Sequence[str], parse: Parse) -> tuple[Config, Any]:
    try:
        parsed, unknown = parse(words)
    except SystemExit as ended:
        if not ended.code:  # --help
            raise
        raise _wrong_value(words, parse) from None
    if unknown:
        raise _unknown_flag(unknown[0])
    return parsed.config, getattr(parsed, "call", None)


def _unknown_flag(word: str) -> SettingsError:
    if word.endswith(".toml"):
        return SettingsError("the experiment's file goes before all flags", source=word)
    if not word.startswith("-"):
        return SettingsError("is neither a flag nor the value of one; --help lists all flags", source=word)
    flag = word.split("=")[0]
    key = _setting_of(flag)
    if key in RENAMED:
        section, name = RENAMED[key].split(".")
        negated = "no-" if ".no-" in flag.replace("_", "-") else ""
        return SettingsError(f"is now called --{section}.{negated}{name}", source=flag)
    return SettingsError(f"no such flag; {nearest(key)}", source=flag)


def _wrong_value(words: Sequence[str], parse: Parse) -> SettingsError:
    """Find the flag whose value could not be parsed, and say what would be valid."""
    for group in _groups(words):
        try:
            parse(group)
        except SystemExit:
            flag, *values = [*group[0].split("=", 1), *group[1:]]
            return _explained(flag, values)
    return SettingsError(f"cannot be parsed: {' '.join(words)}", source="command line")


def _groups(words: Sequence[str]) -> list[list[str]]:
    """Cut the words of a command line before each flag."""
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not groups:
            groups.append([])
        groups[-1].append(word)
    return groups


def _explained(flag: str, values: list[str]) -> SettingsError:
    if not values:
        return SettingsError("needs a value", source=f"command line: {flag}")
    key = _setting_of(flag)
    defaults = {name: default for name, _, default in settings_with_defaults(Config())}
    tree: Any = values if isinstance(defaults.get(key), list) else values[0]
    for part in reversed(key.split(".")):
        tree = {part: tree}
    try:
        validated(tree, strict=False)
    except SettingsError as error:
        if key in defaults:
            return SettingsError(error.reason, key=error.key, value=error.value, source="command line")
    return SettingsError(f"{' '.join(values)!r} is not a valid value", source=f"command line: {flag}")


def _setting_of(flag: str) -> str:
    """Return the setting that a flag sets: `model.batch_norm` for `--model.no-batch_norm`."""
    section, dot, name = flag.lstrip("-").replace("-", "_").rpartition(".")
    return f"{section}{dot}{name.removeprefix('no_')}"
