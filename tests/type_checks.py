"""Checks of types in tests: by jaxtyping where a function's types name shapes, by beartype alone elsewhere.

jaxtyping prepares two checks of every function, and binds and checks the arguments of every call twice, as shapes need.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, ForwardRef, get_args

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped


def check_types_in(package: str) -> None:
    """Check the types of all functions and dataclasses of a package that is not yet imported."""
    jaxtyping.jaxtyped = checked  # what the hook decorates with
    jaxtyping.install_import_hook(package, "beartype.beartype")


def checked(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return the decorator of a function or class, as jaxtyping's hook asks for it."""

    def decorate(target: Any) -> Any:
        if inspect.isclass(target):
            if not dataclasses.is_dataclass(target) or names_shapes(target.__init__):
                return jaxtyped(target, typechecker=typechecker)
            if "__init__" in vars(target):
                target.__init__ = beartype(target.__init__)  # type: ignore[misc]
            return target
        return jaxtyped(target, typechecker=typechecker) if names_shapes(target) else beartype(target)

    return decorate


def names_shapes(function: Any) -> bool:
    """Say whether a function's types name shapes; types written as text may, too."""
    return any(_names_shapes(hint) for hint in function.__annotations__.values())


def _names_shapes(hint: Any) -> bool:
    if isinstance(hint, str | ForwardRef):
        return True
    return (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or any(map(_names_shapes, get_args(hint)))
