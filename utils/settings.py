"""How settings are read from TOML files, checked, and written to them."""

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from config import Config, SettingsError
from utils.commands import HOME
from utils.portable_settings import SUMS, portable
from utils.settings_checks import check

# settings that were renamed: old name, name today. Files may still use the old names
RENAMED = {
    "training.val_share": "training.validation_share",
    "testing.side": "testing.held_out",
    "spectrogram.pictures": "spectrogram.images",
    "training.pictures": "training.images",
    "distillation.keep_answers": "distillation.cache_predictions",
    "distillation.untaught": "distillation.compare_without_teachers",
}

_TREE: TypeAdapter[Config] = TypeAdapter(Config)


def load(path: Path, *, warn: Callable[[str], None] | None = None) -> Config:
    """Read an experiment's TOML file over the defaults.

    Of one that belongs to a published model, nothing is taken over that names a file or a machine.

    Parameters
    ----------
    warn : called with one line for each setting that the file has under an old name; none: old names are read silently

    Raises
    ------
    SettingsError
        If the file cannot be read, or holds an unknown setting or an invalid value.
    """
    config = _config_of_tree(_read_toml(path), source=str(path), warn=warn)
    published = any((folder / SUMS).is_file() for folder in path.absolute().parents[:2])
    return portable(config).config if published else config


def load_text(text: str, *, source: str) -> Config:
    """Read the text of a TOML file over the defaults, as `load` does.

    Parameters
    ----------
    source : the file, for messages
    """
    return _config_of_tree(_parse_toml(text, source=source), source=source)


def _config_of_tree(tree: dict[str, Any], *, source: str, warn: Callable[[str], None] | None = None) -> Config:
    old_names: dict[str, str] = {}
    try:
        for key, value in _walk(tree):
            if isinstance(value, date | time):
                raise SettingsError("should be a text, a number, true, false or a list", key=key, value=str(value))
        old_names = {RENAMED[old]: old for old in _rename(tree)}
        for new, old in old_names.items():
            if warn:
                warn(f"{source}: {old} is now called {new}; please rename it")
        config = validated(tree)
    except SettingsError as error:
        old_name = f"; in the file it has its old name, {old_names[error.key]}" if error.key in old_names else ""
        raise SettingsError(f"{error.reason}{old_name}", key=error.key, value=error.value, source=source) from None
    return expand_home(config)


def to_dict(config: Config) -> dict[str, Any]:
    """Turn the settings into the plain values that a TOML file holds; settings that are None are left out."""
    return dict(_plain(dataclasses.asdict(config)))


def to_toml(config: Config) -> str:
    """Write all settings as a TOML file that starts the same run again."""
    return tomli_w.dumps(to_dict(config))


def settings_with_defaults(node: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield name, value and default of every setting as plain values, also of those that are None."""
    for one in dataclasses.fields(node):
        value = getattr(node, one.name)
        if dataclasses.is_dataclass(value):
            yield from settings_with_defaults(value, f"{prefix}{one.name}.")
        else:
            default = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
            yield f"{prefix}{one.name}", _plain(value), _plain(default)


def validated(tree: Mapping[str, Any], *, strict: bool = True) -> Config:
    """Check names, types, ranges and combinations of plain values.

    Parameters
    ----------
    strict : take the values as they are (as JSON: a list may stand for a tuple, a text for a path); otherwise a text
        may also stand for a number, as on the command line

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    try:
        text = json.dumps(tree)
    except ValueError as error:  # a hexadecimal number too long to be written in decimals
        raise SettingsError(str(error)) from None
    try:
        config = _TREE.validate_json(text, strict=strict, extra="forbid")
    except ValidationError as error:
        raise _explained(error) from None
    check(config)
    return config


def nearest(key: str) -> str:
    """Say which setting somebody may have meant who wrote `key`."""
    names = [name for name, _, _ in settings_with_defaults(Config())]
    leaves = {name.rsplit(".", 1)[-1]: name for name in names}
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if not near:
        near = [leaves[leaf] for leaf in difflib.get_close_matches(key.rsplit(".", 1)[-1], leaves, n=1, cutoff=0.6)]
    return f"did you mean {near[0]}?" if near else "--help lists all settings"


def expand_home(value: Any) -> Any:
    """Expand the ~ of all paths in the settings, which shells do only for words on the command line."""
    if isinstance(value, Path):
        return value.expanduser()
    if isinstance(value, tuple):
        return tuple(expand_home(one) for one in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{one.name: expand_home(getattr(value, one.name)) for one in dataclasses.fields(value)}
        )
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, Path):
        return value.as_posix()
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def _walk(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _rename(tree: dict[str, Any]) -> list[str]:
    """Give settings of a file the names of today; return the old names found."""
    found = []
    for old, new in RENAMED.items():
        (section, name), (_, new_name) = old.split("."), new.split(".")
        settings = tree.get(section)
        if not isinstance(settings, dict) or name not in settings:
            continue
        if new_name in settings:
            raise SettingsError(f"is the old name of {new}, which is also set; remove one of them", key=old)
        settings[new_name] = settings.pop(name)
        found.append(old)
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return _parse_toml(path.read_text(encoding="utf-8-sig"), source=str(path))
    except FileNotFoundError:
        folders = (Path("experiments"), HOME / "experiments")
        known = sorted({f"experiments/{file.name}" for folder in folders for file in folder.glob("*.toml")})
        near = difflib.get_close_matches(str(path), known, n=1, cutoff=0.4) or known[:1]
        raise SettingsError("no such file" + (f"; did you mean {near[0]}?" if near else ""), source=str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8
        raise SettingsError(" ".join(str(error).split()), source=str(path)) from None


def _parse_toml(text: str, *, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SettingsError("is nested too deeply to be read", source=source) from None
    except ValueError as error:  # not TOML, or a number of thousands of digits
        raise SettingsError(" ".join(str(error).split()), source=source) from None


def _explained(error: ValidationError) -> SettingsError:
    """Turn what pydantic found into one line about the first wrong setting."""
    wrong, *others = error.errors(include_url=False)
    key = ".".join(str(part) for part in wrong["loc"])
    reasons = [wrong["msg"].replace("Input should", "should").replace("Field required", "is missing")]
    if wrong["loc"][-1] == "str":  # a setting that takes an address or a path
        key = key.removesuffix(".str")
    if ".literal[" in key:  # a setting that takes words or a number
        key = key.split(".literal[")[0]
        reasons += [
            other["msg"].replace("Input should be", "") for other in others if other["loc"][:-1] == wrong["loc"][:-1]
        ]
    if wrong["type"] == "unexpected_keyword_argument":
        return SettingsError(f"no such setting; {nearest(key)}", key=key)
    return SettingsError(" or".join(reasons), key=key, value=wrong["input"])
