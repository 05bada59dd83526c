"""What the card says: texts from outside stay texts, and limits follow from the data."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from config import Config, External, Model
from utils.console import UserError
from utils.publishing.data_facts import ClassFacts, DataFacts, RecordingFacts
from utils.publishing.limits import limits_of, listed
from utils.publishing.markdown import Markdown, as_code, escaped
from utils.publishing.origins import Origin, check_may_be_published, licence_conflicts, origins_of

EVIL = (
    "<script>alert(1)</script>",
    "[x](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "| cell | cell |",
    "line\nend\n# Heading",
    "`code` **bold** _it_ ~~no~~ $x$ &lt;",
    "www.evil.example and a@evil.example",
    "---",
    "- item",
    "1. item",
)
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(text: str) -> list[str]:
    """Return the kinds of what a Markdown text holds, but for plain text."""
    found = MARKDOWN.parse(text)
    kinds = [
        inner.type for token in found for inner in token.children or [] if inner.type not in ("text", "text_special")
    ]
    return kinds + [token.type for token in found if token.type not in ("paragraph_open", "inline", "paragraph_close")]


@pytest.mark.parametrize("text", EVIL)
def test_texts_from_outside_are_shown_as_they_are(text: str) -> None:
    assert shown(escaped(text)) == []
    (inline,) = [token for token in MARKDOWN.parse(escaped(text)) if token.type == "inline"]
    assert "".join(child.content for child in inline.children or []) == text.replace("\n", "\\n")
    assert "https://" not in escaped(text)
    assert "www.e" not in escaped(text)
    row = MARKDOWN.render(f"| a | b |\n|---|---|\n| {escaped(text)} | end |\n")
    assert row.count("<td>") == 2


@given(st.text(max_size=40))
def test_any_text_is_one_line_without_markup(text: str) -> None:
    assert "\n" not in escaped(text)
    assert shown(f"x {escaped(text)}") == []


@given(st.text(min_size=1, max_size=40))
def test_code_ends_where_it_should(text: str) -> None:
    (inline,) = [token for token in MARKDOWN.parse(f"x {as_code(text)} y") if token.type == "inline"]
    kinds = [child.type for child in inline.children or []]
    assert kinds == ["text", "code_inline", "text"]


def test_markdown_and_numbers_stay() -> None:
    assert escaped(Markdown("**bold**")) == "**bold**"
    assert escaped(0.857) == "0.857"
    assert escaped("Parus major") == "Parus major"


def facts(recordings: list[RecordingFacts], held_out: list[RecordingFacts], counts: list[int]) -> DataFacts:
    return DataFacts(
        tuple(ClassFacts(f"class {index}", learned=count, held_out=1) for index, count in enumerate(counts)),
        {f"r{index}": one for index, one in enumerate(recordings)},
        {f"h{index}": one for index, one in enumerate(held_out)},
        "val",
        known=True,
    )


def test_limits_follow_from_the_data() -> None:
    anna = RecordingFacts("Anna", "CC BY 4.0", "Kenya", date(2020, 5, 1), (-1.0, 36.0))
    bert = RecordingFacts("Bert", "", "Kenya", date(2021, 6, 1), (-2.0, 37.5))
    found = "\n".join(limits_of(facts([anna, bert], [anna, bert, RecordingFacts("Cleo")], [2, 20]), None, Config()))
    assert "1 of 2 class has fewer than 10 recordings to learn from (class 0)" in found
    assert "from one region, latitude -2.0 to -1.0, 1.5 degrees of longitude wide" in found
    assert "from the months 1, 2, 3, 4, 7, 8, 9, 10, 11, 12" in found
    assert "2 of 3 held-out recordings of known recordist are by recordists of whom it also learned" in found
    assert "no sound without birds" in found
    assert "not tested" in found


def test_there_are_no_limits_that_the_data_do_not_show() -> None:
    everywhere = [
        RecordingFacts(f"R{month}", "", "", date(2020, month, 1), (month * 10.0 - 60, 170.0 - 20 * month))
        for month in range(1, 13)
    ]
    data = facts(everywhere, [RecordingFacts("Other")], [50, 20])
    noise = DataFacts((*data.classes, ClassFacts("Noise", learned=40)), data.learned, data.held_out, "val", known=True)
    assert len(limits_of(noise, None, Config())) == 2  # the classes, and that it was not tested


def test_a_region_may_lie_on_the_date_line() -> None:
    fiji = [RecordingFacts(place=(-17.0, longitude)) for longitude in (179.0, -179.0)]
    assert any("2.0 degrees of longitude wide" in one for one in limits_of(facts(fiji, [], [2]), None, Config()))


def test_lists_end() -> None:
    assert listed([f"c{index}" for index in range(12)]).endswith("c9 and 2 more")


def test_heads_of_files_are_refused() -> None:
    external = External(title="BirdNET 2.4", licence="CC BY-NC-SA 4.0", sha256="0" * 64)
    with pytest.raises(UserError, match=r"last layer of BirdNET 2\.4 \(CC BY-NC-SA 4\.0\), which is not ours"):
        check_may_be_published(Config(model=Model(name="External", weights="b.onnx", head="file"), external=external))
    linear = Config(model=Model(name="External", weights="b.onnx"), external=external)
    check_may_be_published(linear)
    (origin,) = origins_of(linear)
    assert "not part of this folder" in origin.text
    assert origin.licence == "CC BY-NC-SA 4.0"


def test_public_weights_are_named() -> None:
    (origin,) = origins_of(Config(model=Model(name="EfficientNetB0", weights="hf:timm/efficientnet_b0.ra_in1k")))
    assert origin.repository == "timm/efficientnet_b0.ra_in1k"
    (origin,) = origins_of(Config(model=Model(name="EfficientNetB0", weights="/home/anna/b0.safetensors")))
    assert "b0.safetensors" in origin.text
    assert "anna" not in origin.text


@pytest.mark.parametrize(
    ("licence", "count"),
    [("cc-by-nc-sa-4.0", 0), ("cc-by-4.0", 2), ("cc-by-nc-4.0", 2), ("cc-by-nc-nd-4.0", 2), ("", 0)],
)
def test_licences_that_are_too_free_are_told(licence: str, count: int) -> None:
    origins = [Origin("", licence="CC BY-NC-SA 4.0"), Origin("")]
    recordings = [("CC BY-SA 4.0", 7), ("CC BY 4.0", 3)]
    lines = licence_conflicts(licence, origins, recordings)
    assert len(lines) == count
    assert all("docs/licences.md" in line for line in lines)
