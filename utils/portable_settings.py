"""Settings that say nothing of a machine: without paths, addresses, and what runs where.

They are what a published model takes along, and all that is taken over from one: settings of others must name no file
that is written, and no cluster that is used.
"""

from dataclasses import fields, is_dataclass, replace
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any, NamedTuple

from config import Cluster, Config, Distillation, Log, SettingsError, Tuning, is_address
from utils.settings_checks import check

SUMS = "SHA256SUMS"  # lies beside the settings of a published model, or beside the folder of its snapshot
HUB_PREFIX = "hf:"  # of weights and models by their names on the hub
_MOST_REPAIRS = 50  # settings that mean nothing without those that were left out


class PortableSettings(NamedTuple):
    """Settings without a machine, and the names of those that were left out."""

    config: Config
    left_out: tuple[str, ...]


def portable(config: Config) -> PortableSettings:
    """Return settings in which paths, addresses, log, cluster, workers and search have their defaults.

    A file of weights keeps its name, without its folders. Settings that are refused without those that were left out
    get their defaults, too.

    Raises
    ------
    SettingsError
        If what is left cannot be used.
    """
    left_out: list[str] = []
    stripped = _without_paths(config, "", left_out)
    stripped = replace(stripped, workers=0, snapshots=Config().snapshots, cluster=Cluster(), log=Log(), tuning=Tuning())
    run = PureWindowsPath(config.run).name or Config().run  # backslashes end folders' names, too
    model = replace(stripped.model, weights=_file_name(config.model.weights))
    stripped = replace(stripped, run=run, model=model, distillation=Distillation())  # nothing without its teachers
    if stripped.clips.choose == "table":
        stripped = replace(stripped, clips=replace(stripped.clips, choose="grid"))
    return _repaired(stripped, left_out)


def _without_paths(node: Any, prefix: str, left_out: list[str]) -> Any:
    changes = {}
    for one in fields(node):
        name, value = f"{prefix}{one.name}", getattr(node, one.name)
        if is_dataclass(value):
            changes[one.name] = _without_paths(value, f"{name}.", left_out)
        elif _names_a_place(value):
            default = getattr(type(node)(), one.name)
            if value != default:
                left_out.append(name)
            changes[one.name] = default
    return replace(node, **changes)


def _names_a_place(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(_names_a_place(one) for one in value)
    return isinstance(value, PurePath) or is_address(value)


def _file_name(weights: str | None) -> str | None:
    """Return the name of a file of weights; names on the hub stay as they are."""
    return weights if weights is None or weights.startswith(HUB_PREFIX) else PureWindowsPath(Path(weights).name).name


def _repaired(config: Config, left_out: list[str]) -> PortableSettings:
    """Reset what the checks refuse, setting by setting."""
    for _ in range(_MOST_REPAIRS):
        try:
            check(config)
            return PortableSettings(config, tuple(left_out))
        except SettingsError as error:
            repaired = _reset(config, error.key)
            if repaired == config:
                raise
            config = repaired
            left_out.append(error.key)
    check(config)
    return PortableSettings(config, tuple(left_out))


def _reset(node: Any, name: str) -> Any:
    """Return settings in which one has its default; as they are if there is none of that name."""
    head, _, rest = name.partition(".")
    if head not in {one.name for one in fields(node)}:
        return node
    return replace(node, **{head: _reset(getattr(node, head), rest) if rest else getattr(type(node)(), head)})
