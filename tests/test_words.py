"""The project's words are those of the field: the words that it once used instead do not come back."""

import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.words import (
    ALLOWED,
    CODE,
    EVERYWHERE,
    EXCEPTIONS,
    IN_NAMES,
    PAGES,
    RETIRED_PHRASES,
    Use,
    files,
    instead_of,
    is_allowed,
    long_lines,
    shared_names,
    uses,
)

MOST_SHARED = 40  # top-level names that may stand in more than one module


@pytest.fixture(scope="module")
def found() -> list[Use]:
    return list(uses(REPOSITORY))


@pytest.mark.parametrize("word", sorted(IN_NAMES) + sorted(RETIRED_PHRASES))
def test_retired_words_do_not_come_back(word: str, found: list[Use]) -> None:
    left = [f"{use.path}:{use.line}: {use.text}" for use in found if use.word == word and not is_allowed(use)]
    assert not left, f"say {instead_of(word)} instead of {word}:\n" + "\n".join(left)


def test_files_that_may_use_retired_words_do_so(found: list[Use]) -> None:
    used = {(use.path, word) for use in found for word in (use.word, "*")}
    assert set(ALLOWED) <= used


def test_exceptions_are_needed() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in files(REPOSITORY, (*CODE, *PAGES)))
    for pattern in EXCEPTIONS:
        assert re.search(pattern, text), pattern


def test_names_stand_in_one_module() -> None:
    shared = shared_names(REPOSITORY)
    assert len(shared) < MOST_SHARED, shared


def test_lines_end_at_120_characters() -> None:
    assert long_lines(REPOSITORY) == []


def test_retired_words_are_found(tmp_path: Path) -> None:
    (tmp_path / "utils").mkdir()
    (tmp_path / "README.md").write_text("A contact sheet of ResNet.\nThe net sheet is no number.\n")
    lines = [
        '"""Pictures."""',
        "def answerAll(net_size, *, side):  # a lesson, untaught",
        "    side = f(side=1)",
        '    return f"go on {net_size}"',
        "number = [f[number] for number, _ in enumerate(f)]",
        "number = {number: number + 1 for number in f}",
    ]
    (tmp_path / "utils" / "heard.py").write_text("\n".join(lines))
    assert {(use.kind, use.path.removeprefix("utils/"), use.line, use.word) for use in uses(tmp_path)} == {
        ("name", "heard.py", 1, "heard"),
        ("comment", "heard.py", 1, "pictures"),
        ("name", "heard.py", 2, "answer"),
        ("name", "heard.py", 2, "net"),
        ("name", "heard.py", 2, "side"),
        ("comment", "heard.py", 2, "lesson"),
        ("comment", "heard.py", 2, "untaught"),
        ("name", "heard.py", 3, "side"),
        ("string", "heard.py", 4, next(pattern for pattern in RETIRED_PHRASES if "going" in pattern)),
        ("name", "heard.py", 4, "net"),
        ("name", "heard.py", 5, "number"),
        ("page", "README.md", 2, "net"),
        ("page", "README.md", 2, "sheet"),
        ("page", "README.md", 2, next(pattern for pattern in RETIRED_PHRASES if "answer" in pattern)),
        ("page", "README.md", 2, next(pattern for pattern in RETIRED_PHRASES if pattern.startswith(r"\bno"))),
    }
    assert EVERYWHERE < IN_NAMES
