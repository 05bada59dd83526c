"""The site of docs/: it builds without a warning, leads everywhere, says every setting and command, loads nothing."""

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from birdclef.__main__ import OTHER_COMMANDS
from birdclef.shell_completion import WITHOUT_SETTINGS, call_flags
from config import Config
from tests.conftest import REPOSITORY
from tests.test_config import comments
from utils.commands import COMMANDS, source_of
from utils.settings import RENAMED, settings_with_defaults

pytest.importorskip("pydata_sphinx_theme")
pytest.importorskip("myst_nb")
BUILD = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-D", "nb_execution_mode=off"]
MADE = {"genindex.html", "search.html"}  # pages of Sphinx's own
IMPORTED = re.compile(r"(?:url\(|@import)\s*['\"]?\s*(?:https?:)?//")
LOADED = re.compile(r"<(?:script|img|audio|iframe|source)\b[^>]*\bsrc=\"([^\"]*)\"|<link\b[^>]*\bhref=\"([^\"]*)\"")


def build(docs: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = [*BUILD, "-c", "docs", "-d", str(out.with_name("cache")), str(docs), str(out)]
    return subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "site"
    done = build(REPOSITORY / "docs", out)
    assert done.returncode == 0, done.stderr
    return out


def pages(site: Path) -> dict[str, str]:
    found = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    return {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in found}


def words_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def links_of(page: str) -> Iterator[str]:
    for link in re.findall(r"<a\b[^>]*\bhref=\"([^\"]*)\"", page):
        if not re.match(r"https?:|mailto:", link):
            yield unquote(html.unescape(link))


def test_every_setting_is_explained_at_its_anchor(site: Path) -> None:
    page = (site / "settings.html").read_text(encoding="utf-8")
    entries = re.split(r"<dt [^>]*\bid=\"([\w.]+)\"", page)
    texts = dict(zip(entries[1::2], map(words_of, entries[2::2]), strict=True))
    assert set(texts) == {key for key, *_ in settings_with_defaults(Config())}
    for key, comment in comments().items():
        assert comment[1:].replace("`", "") in texts[key], key
        assert "type: " in texts[key]
        assert "default: " in texts[key]
    for old, new in RENAMED.items():
        assert old in texts[new]
    assert "whole number, at least 1 · default: 60" in texts["training.epochs"]
    assert "default: none" in texts["dataset.archive"]
    assert 'one of cpu, gpu · default: "cpu"' in texts["metadata.device"]


def test_settings_are_linked_where_pages_name_them(site: Path) -> None:
    guide = (site / "guide.html").read_text(encoding="utf-8")
    assert 'href="settings.html#training.all_data"' in guide


def test_every_command_is_explained_with_its_own_flags(site: Path) -> None:
    page = (site / "commands.html").read_text(encoding="utf-8")
    sections = re.split(r"<section id=\"birdclef-([\w-]+)\"", page)
    texts = dict(zip(sections[1::2], map(words_of, sections[2::2]), strict=True))
    assert set(texts) == {*COMMANDS, *OTHER_COMMANDS}
    for name in COMMANDS:
        flags = [] if name in WITHOUT_SETTINGS else call_flags(name)
        assert all(flag in texts[name] for flag in flags), name
        doc = source_of(name).read_text(encoding="utf-8").split('"""')[1]
        for paragraph in (" ".join(part.split()) for part in doc.split("\n\n") if not part.startswith("    ")):
            assert paragraph.replace("`", "") in texts[name]
    assert "--seed SEED" in texts["demo-data"]


def test_every_page_is_reached_from_the_first_and_no_link_is_dead(site: Path) -> None:
    found = pages(site)
    anchors = {name: set(re.findall(r"\bid=\"([^\"]+)\"", page)) for name, page in found.items()}
    reached, ahead = set(), ["index.html"]
    while ahead:
        name = ahead.pop()
        reached.add(name)
        for link in links_of(found[name]):
            path, _, anchor = link.partition("#")
            target = (site / name).parent.joinpath(path).resolve() if path else site.resolve() / name
            assert target.is_file(), f"{name}: {link}"
            other = target.relative_to(site.resolve()).as_posix()
            if other in found:
                assert not anchor or anchor in anchors[other], f"{name}: {link}"
                ahead += [other] if other not in reached and other not in ahead else []
    assert reached | MADE == set(found)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for name, page in pages(site).items():
        for source in ("".join(pair) for pair in LOADED.findall(page)):
            assert not re.match(r"\w+:|//", source) or source.startswith("data:"), f"{name}: {source}"
    for style in site.rglob("*.css"):
        assert not IMPORTED.search(style.read_text(encoding="utf-8")), style


def test_what_is_wrong_ends_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    good = "# Pages\n\n[A section](guide.md#a-section)\n\n<!-- contents -->\n"
    (docs / "index.md").write_text(good)
    (docs / "guide.md").write_text("# Guide\n\n## A section\n")
    done = build(docs, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    (docs / "index.md").write_text(f"{good}\n[nowhere](nowhere.md)\n")
    (docs / "guide.md").write_text("# Guide\n\n## Another section\n")
    (docs / "alone.md").write_text("# Alone\n")
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    for warning in ("nowhere.md", "a-section", "isn't included in any toctree"):
        assert warning in done.stderr
