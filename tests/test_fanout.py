"""Workers may fail, die and hang; the results of the others still arrive."""

import sys
from pathlib import Path

import pytest

from tests.workers import behave
from utils.console import Failure
from utils.fanout import fan_out


def test_one_bad_item_does_not_affect_the_others(tmp_path: Path) -> None:
    once = f"die once: {tmp_path / 'mark'}"
    items = ["a", "raise", "b", "unusable", "die", "c", "hang", "d", "modules", once]
    main = sys.modules["__main__"]
    before = dict(vars(main))
    results = dict(fan_out(behave, items, workers=2, name=str, time_limit=3.0))
    assert {item: results[item] for item in "abcd"} == {"a": "A", "b": "B", "c": "C", "d": "D"}
    assert results["raise"] == Failure("raise", "ValueError: wrong", transient=True)
    assert results["unusable"] == Failure("unusable", "cannot be used")
    assert results["die"] == Failure("die", "the worker process died (exit status 7)", transient=True)
    assert results[once] == once.upper()
    assert results["hang"] == Failure("hang", "stopped after 3 s")
    assert results["modules"] == "1"  # no JAX, no script; one thread
    assert vars(main) == before


def test_a_full_disk_stops_at_once() -> None:
    with pytest.raises(OSError, match="No space left"):
        list(fan_out(behave, ["full", "a"], workers=1, name=str))


def test_nothing_to_do() -> None:
    assert list(fan_out(behave, [], workers=2, name=str)) == []


def test_a_function_of_the_running_script_is_refused() -> None:
    def local(item: str) -> str:
        return item

    local.__module__ = "__main__"
    with pytest.raises(TypeError, match="running script"):
        list(fan_out(local, ["a"], workers=1, name=str))
