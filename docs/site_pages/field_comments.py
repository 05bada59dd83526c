"""The comments of dataclass fields: behind the field, or in the lines above it."""

import ast
import inspect
import textwrap
from functools import cache


@cache
def comments_of(kind: type) -> dict[str, str]:
    """Return the comment of each field that a dataclass or one of its bases defines; '' where there is none."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if "__dataclass_fields__" in vars(base):
            found |= _comments_in(textwrap.dedent(inspect.getsource(base)))
    return found


def _comments_in(source: str) -> dict[str, str]:
    lines = source.splitlines()
    fields = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    return {ast.unparse(node.target): _comment_at(lines, node.lineno - 1) for node in fields}


def _comment_at(lines: list[str], index: int) -> str:
    first = index
    while lines[first - 1].strip().startswith("# "):
        first -= 1
    above = " ".join(line.strip().removeprefix("# ") for line in lines[first:index])
    return above or lines[index].partition("  # ")[2]
