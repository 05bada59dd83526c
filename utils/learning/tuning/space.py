"""The space that is searched, `tuning.space`: ranges and lists of values of settings, checked before the first trial.

[tuning.space]
"training.learning_rate" = { low = 1e-4, high = 3e-3, log = true }
"training.batch_size" = { low = 16, high = 64, step = 16 }
"model.name" = ["EfficientNetV2S", "ConvNeXtTiny"]
"testing.weights.1" = { low = 0.1, high = 2.0 }
"""

import dataclasses
import itertools
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from config import Config, SettingsError
from utils.learning.tuning.searchable import reason_against
from utils.settings import RENAMED, expand_home, nearest, settings_with_defaults, to_dict, validated

RANGE_KEYS = {"low", "high", "step", "log"}
LARGEST_INTEGER = 2**31 - 1  # in a list or range
MOST_CORNERS = 512  # combinations that are checked before the first trial; of more, so many are drawn


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched.

    Attributes
    ----------
    name : of the setting, such as training.learning_rate; with an index for one value of a list
    choices : the values it can have; empty: a range
    low, high : ends of the range
    step : distance of its values; 0: none
    log : whether values are drawn on a logarithmic scale
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: int | float = 0.0
    high: int | float = 0.0
    step: int | float = 0.0
    log: bool = False

    @property
    def extremes(self) -> tuple[Any, ...]:
        """The values that must be valid: all choices, or the ends of the range."""
        return self.choices or (self.low, self.high)

    @property
    def integer(self) -> bool:
        """Whether its values are integers."""
        return not self.choices and isinstance(self.low, int)

    def holds(self, value: Any) -> bool:
        """Tell whether a value lies in it, as one from the journal of a search should."""
        if self.choices:  # compared as JSON, where true is not 1
            return json.dumps(value) in map(json.dumps, self.choices)
        return type(value) is (int if self.integer else float) and self.low <= value <= self.high


def read_space(config: Config) -> tuple[Dimension, ...]:
    """Read and check `tuning.space`: every setting exists and may be searched, and its extremes are valid.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    entries = _entries_by_name(config.tuning.space)
    if not entries:
        raise SettingsError(
            'is empty, so that there is nothing to search; add for example "training.learning_rate" = '
            "{ low = 1e-4, high = 3e-3, log = true }",
            key="tuning.space",
        )
    models = entries.get("model.name", [config.model.name])
    models = [str(model) for model in models] if isinstance(models, list) else [config.model.name]
    for name in entries:
        _check_name(name, config)
        reason = reason_against(name, config, searched=tuple(entries), models=models)
        if reason:
            raise _wrong_entry(name, reason)
    space = tuple(_dimension(name, entry, config) for name, entry in entries.items())
    for values in corners(space):
        try:
            with_values(config, values)
        except SettingsError as error:
            at = ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items() if name != error.key)
            raise SettingsError(
                f"{error}{f' (in a trial with {at})' if at else ''}; change tuning.space", key="tuning.space"
            ) from None
    # what is drawn does not depend on the file's order
    return tuple(sorted(space, key=lambda dimension: dimension.name))


def _entries(table: Mapping[str, Any], prefix: str = "") -> typing.Iterator[tuple[str, Any]]:
    """Yield name and entry of each setting; without quotes around it, TOML nests what has dots in its name."""
    for key, entry in table.items():
        if isinstance(entry, Mapping) and entry and not RANGE_KEYS & set(entry):
            yield from _entries(entry, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", entry


def _entries_by_name(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of each setting; one that is there twice, or as a whole and in part, is refused."""
    entries: dict[str, Any] = {}
    for name, entry in _entries(table):
        if name in entries:
            raise _wrong_entry(name, "is there twice; remove one")
        entries[name] = entry
    for name in entries:
        whole = name.rpartition(".")[0]
        if whole in entries:
            raise _wrong_entry(name, f"is a part of {whole}, which is there, too; remove one")
    return entries


def _check_name(name: str, config: Config) -> None:
    values = {key: value for key, value, _ in settings_with_defaults(config)}
    parent, _, index = name.rpartition(".")
    if name in values or (isinstance(values.get(parent), list) and index in map(str, range(len(values[parent])))):
        return
    if name in RENAMED:
        raise _wrong_entry(name, f"is now called {RENAMED[name]}")
    if isinstance(values.get(parent), list):
        raise _wrong_entry(name, f"has no value with this index; {parent} is {json.dumps(values[parent])}")
    raise _wrong_entry(name, f"no such setting; {nearest(name)}")


def _dimension(name: str, entry: Any, config: Config) -> Dimension:
    if isinstance(entry, list):
        if len(entry) < 2 or any(value in entry[:index] for index, value in enumerate(entry)):
            raise _wrong_entry(name, "should be a list of two or more different values", entry)
        if any(type(value) is int and not _is_usable(value) for value in entry):
            raise _wrong_entry(name, f"integers should be at most {LARGEST_INTEGER}")
        return Dimension(name, choices=tuple(entry))
    if not isinstance(entry, Mapping):
        raise _wrong_entry(name, "should be a list of values, or a range such as { low = 0.1, high = 0.5 }", entry)
    unknown = sorted(set(entry) - RANGE_KEYS)
    if unknown or not {"low", "high"} <= set(entry):
        wrong = f"has no key {unknown[0]}" if unknown else "needs low and high"
        raise _wrong_entry(name, f"a range {wrong}; it takes low and high, and step or log", entry)
    return _range(name, entry, config)


def _range(name: str, entry: Mapping[str, Any], config: Config) -> Dimension:
    kinds = types_of_setting(name)
    low, high, step, log = (entry.get(key, 0) for key in ("low", "high", "step", "log"))
    if not kinds & {int, float}:
        raise _wrong_entry(name, "does not take numbers; list its values instead", entry)
    if not all(map(_is_usable, (low, high, step))):
        reason = f"low, high and step should be finite numbers; as integers, of at most {LARGEST_INTEGER}"
        raise _wrong_entry(name, reason)
    if not isinstance(entry.get("log", False), bool):
        raise _wrong_entry(name, "log should be true or false", entry)
    if not low < high:
        raise _wrong_entry(name, "low should be below high", entry)
    if log and (low <= 0 or step):
        raise _wrong_entry(name, "log needs a low above 0" if low <= 0 else "log goes without step", entry)
    if float in kinds:
        low, high, step = float(low), float(high), float(step)
    elif not all(isinstance(value, int) for value in (low, high, step)):
        raise _wrong_entry(name, "should have integers as low, high and step", entry)
    count = (high - low) / step if step > 0 else 0
    if step < 0 or ("step" in entry and not step) or math.isinf(count) or abs(count - round(count)) > 1e-6:
        raise _wrong_entry(name, "step should be above 0 and lead from low to high exactly", entry)
    return Dimension(name, low=low, high=high, step=step, log=bool(log))


def _is_usable(value: Any) -> bool:
    if type(value) is int:
        return abs(value) <= LARGEST_INTEGER
    return type(value) is float and math.isfinite(value)


def types_of_setting(name: str) -> set[type]:
    """Return the types of values that a setting takes, as config.py declares them."""
    kind: Any = Config
    for part in name.split("."):
        kind = typing.get_type_hints(kind)[part] if dataclasses.is_dataclass(kind) else _element(kind)
    return _flat(kind)


def _element(kind: Any) -> Any:
    """Return the type of the values in a tuple, which may be optional."""
    found = [one for one in (kind, *typing.get_args(kind)) if typing.get_origin(one) is tuple]
    return typing.get_args(found[0])[0]


def _flat(kind: Any) -> set[type]:
    origin = typing.get_origin(kind)
    if origin is Literal:
        return {type(value) for value in typing.get_args(kind)}
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(_flat, typing.get_args(kind)))
    return {origin or kind}


def corners(space: Sequence[Dimension]) -> list[dict[str, Any]]:
    """Return combinations of extremes: all, or so many that each extreme is in one; then they are drawn."""
    names = [dimension.name for dimension in space]
    extremes = [dimension.extremes for dimension in space]
    if math.prod(map(len, extremes)) <= MOST_CORNERS:
        return [dict(zip(names, values, strict=True)) for values in itertools.product(*extremes)]
    rng = np.random.default_rng(0)
    count = max(MOST_CORNERS, *map(len, extremes))
    columns = [[values[index] for index in rng.permutation(np.arange(count) % len(values))] for values in extremes]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """Return the settings with other values of some of them, checked as those of a file.

    Raises
    ------
    SettingsError
        If a value is invalid, or does not go with the others.
    """
    tree = to_dict(config)
    for name, value in values.items():
        *sections, last = name.split(".")
        node: Any = tree
        for section in sections:
            node = node[section]
        node[int(last) if isinstance(node, list) else last] = value
    return expand_home(validated(tree))


def _wrong_entry(name: str, reason: str, entry: Any = None) -> SettingsError:
    return SettingsError(reason, key=f'tuning.space: "{name}"', value=entry)
