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
from utils.sound.layout import Segment
from utils.sound.opening import OpenSegment
from utils.sound.report import PART, DecodingReport, is_partial


def opened(declared: int | None, *, incomplete: bool = False) -> OpenSegment:
    segment = Segment(0, 100, declared=declared, incomplete=incomplete)
    return cast(
        "OpenSegment",
        SimpleNamespace(declared=declared, rate=100, segment=segment, position=0, sound=SimpleNamespace(extra_info="")),
    )


@pytest.fixture(autouse=True)
def _untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DecodingReport, "add", getattr(DecodingReport.add, "__wrapped__", DecodingReport.add))


MADE: dict[str, tuple[bool, Any]] = {
    "whole": (False, lambda made: made.add(opened(1000), 1000, "")),
    "longer": (False, lambda made: made.add(opened(500), 1000, "")),
    "shorter": (True, lambda made: made.add(opened(1000), 500, "")),
    "incomplete": (True, lambda made: made.add(opened(None, incomplete=True), 500, "")),
    "error": (True, lambda made: made.add(opened(1000), 500, "lost sync")),
    "error, length not known": (True, lambda made: made.add(opened(None), 500, "lost sync")),
    "part that cannot be opened": (True, lambda made: (made.add(opened(500), 500, ""), made.add_error("odd"))),
    "gap": (True, lambda made: (made.add(opened(500), 500, ""), made.add_gap(5000))),
    "small gap": (False, lambda made: (made.add(opened(500), 500, ""), made.add_gap(100))),
}


@pytest.mark.parametrize("name", MADE)
def test_which_warnings_mean_that_a_part_was_lost(name: str) -> None:
    partial, make = MADE[name]
    made = DecodingReport(())
    make(made)
    assert [is_partial(warning) for warning in made.warnings()] == ([partial] if partial or name == "longer" else [])
    assert is_partial("; ".join(["its channels partly cancel each other", *made.warnings()])) == partial


def test_the_phrase_is_in_one_file_only() -> None:
    """Messages use the constant, so that they and the check for them change together."""
    sources = itertools.chain(*(Path(report.__file__).parents[1].rglob("*.py") for _ in range(1)))
    assert [source.name for source in sources for _ in re.findall(PART, source.read_text("utf-8"))] == ["report.py"]


def test_notes_are_not_partial(tmp_path: Path) -> None:
    _, length = decoded(written(tmp_path, "a.wav", encoded(samples(2)) + NOISE.bytes(3000)))
    assert [is_partial(warning) for warning in length.warnings] == [False]
