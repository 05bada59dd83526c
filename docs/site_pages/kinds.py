"""Types of settings and flags for people: what a value is, and its range."""

import dataclasses
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen

WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
BOUNDS = {Ge: "at least {}", Gt: "above {}", Le: "at most {}", Lt: "below {}", MinLen: "{} or more"}


def described(kind: Any) -> str:
    """Return a type in words, such as `whole number, at least 1`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = [text for one in inner[1:] if (text := _bound(one))]
        return ", ".join([described(inner[0]), *bounds])
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in inner)
    if origin in (types.UnionType, Union):
        parts = [described(one) for one in inner if one is not types.NoneType]
        return " or ".join([*parts, *(["none"] if types.NoneType in inner else [])])
    if origin is tuple:
        return _list_of(inner)
    if origin is dict:
        return "table"
    return WORDS[kind]


def _bound(one: object) -> str:
    text = BOUNDS.get(type(one), "")
    return text.format(getattr(one, dataclasses.fields(one)[0].name)) if text and dataclasses.is_dataclass(one) else ""


def _list_of(inner: Sequence[Any]) -> str:
    if inner[-1] is Ellipsis:
        return f"list, each: {described(inner[0])}"
    return f"list of {len(inner)}, each: {described(inner[0])}"
