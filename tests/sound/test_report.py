"""Whether a warning means that a part was lost: exit statuses depend on it."""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.sound.makers import NOISE, encoded, samples
from tests.sound.test_odd_files import decoded, written
from utils.sound import report
from utils.sound.links import Link
from utils.sound.opening import Opened
from utils.sound.report import PART, Report, is_partial


def opened(promised: int | None, *, incomplete: bool = False) -> Opened:
    link = Link(0, 100, promised=promised, incomplete=incomplete)
    return cast(
        "Opened", SimpleNamespace(promised=promised, rate=100, link=link, place=0, sound=SimpleNamespace(extra_info=""))
    )


@pytest.fixture(autouse=True)
def _untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Report, "add", getattr(Report.add, "__wrapped__", Report.add))


MADE: dict[str, tuple[bool, Any]] = {
    "whole": (False, lambda made: made.add(opened(1000), 1000, "")),
    "longer": (False, lambda made: made.add(opened(500), 1000, "")),
    "shorter": (True, lambda made: made.add(opened(1000), 500, "")),
    "incomplete": (True, lambda made: made.add(opened(None, incomplete=True), 500, "")),
    "error": (True, lambda made: made.add(opened(1000), 500, "lost sync")),
    "error, length not known": (True, lambda made: made.add(opened(None), 500, "lost sync")),
    "part that cannot be opened": (True, lambda made: (made.add(opened(500), 500, ""), made.add_error("odd"))),
    "hole": (True, lambda made: (made.add(opened(500), 500, ""), made.add_gap(5000))),
    "small hole": (False, lambda made: (made.add(opened(500), 500, ""), made.add_gap(100))),
}


@pytest.mark.parametrize("name", MADE)
def test_what_means_that_a_part_was_lost(name: str) -> None:
    partial, make = MADE[name]
    made = Report(())
    make(made)
    assert [is_partial(warning) for warning in made.warnings()] == ([partial] if partial or name == "longer" else [])
    assert is_partial("; ".join(["its channels partly cancel each other", *made.warnings()])) == partial


def test_the_phrase_stands_once_in_the_code() -> None:
    """Messages are written with the constant, so that its change changes all of them and what is looked for."""
    sources = itertools.chain(*(Path(report.__file__).parents[1].rglob("*.py") for _ in range(1)))
    assert [source.name for source in sources for _ in re.findall(PART, source.read_text("utf-8"))] == ["report.py"]


def test_notes_are_not_partial(tmp_path: Path) -> None:
    _, length = decoded(written(tmp_path, "a.wav", encoded(samples(2)) + NOISE.bytes(3000)))
    assert [is_partial(warning) for warning in length.warnings] == [False]
