"""What the documents say of the program is in the program."""

import re
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in [*HOME.glob("*.py"), *HOME.glob("utils/**/*.py")])
WORDS = re.sub(r'"\s*\n\s*f?"', "", SOURCE)  # texts that go on in the next line
ROWS = [
    line.split("|")[1]
    for line in (HOME / "docs" / "when-something-fails.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]
MESSAGES = [message for row in ROWS for message in re.findall(r"`([^`]+)`", row)]


def test_there_are_twenty() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_the_programs(message: str) -> None:
    parts = [re.escape(part) for part in message.split("…") if part.strip()]
    assert re.search(r"[^\n]*?".join(parts), WORDS), message


@pytest.mark.parametrize(
    "page", ["README.md", *(str(path.relative_to(HOME)) for path in sorted((HOME / "docs").rglob("*.md")))]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (HOME / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (HOME / page).parent.joinpath(link).exists(), link


def test_the_guide_lists_its_sections() -> None:
    contents, sections = (HOME / "docs" / "guide.md").read_text(encoding="utf-8").split("\n## ", 1)
    headings = re.findall(r"^#{2,3} (.+)$", f"## {sections}", re.MULTILINE)
    listed = re.findall(r"\[([^\]]+)\]\(#", contents)
    assert sorted(listed) == sorted(heading.replace("`", "") for heading in headings), (
        "the table at the top of guide.md"
    )
