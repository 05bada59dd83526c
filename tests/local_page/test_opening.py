"""The file that leads a browser to a page of this machine: nobody else can read it, and it is gone afterwards."""

import queue
import stat
import threading
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from tests.scoring.browser import visit_address
from utils.local_page import opening
from utils.local_page.opening import in_browser

Opened = queue.Queue[str]
URL = "http://127.0.0.1:1/secret-token/"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    addresses: Opened = queue.Queue()
    monkeypatch.setattr(webbrowser, "open", addresses.put)
    return addresses


def page_of(opened: Opened) -> Path:
    return Path(unquote(urlparse(opened.get(timeout=10)).path))


def test_no_argument_has_the_token_and_only_the_owner_can_read_it(opened: Opened) -> None:
    with in_browser(URL):
        page = page_of(opened)
        assert "secret-token" not in str(page)
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
        assert URL in page.read_text()
    assert not page.parent.exists()


def test_it_is_removed_after_ctrl_c_and_not_made_unasked(opened: Opened) -> None:
    with pytest.raises(KeyboardInterrupt), in_browser(URL):
        raise KeyboardInterrupt
    assert not page_of(opened).exists()
    with in_browser(URL, wanted=False):
        assert opened.empty()


def test_a_browser_that_is_a_snap_finds_it_in_the_home(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(opening, "SNAPS", tmp_path)
    with in_browser(URL):
        page = page_of(opened)
        assert page.parent.parent == tmp_path
        assert not page.parent.name.startswith(".")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(opening, "SNAPS", tmp_path / "none")
    with in_browser(URL):
        assert page_of(opened).parent.parent != tmp_path


def test_a_browser_of_the_terminal_does_not_hold_up_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    left, was_left = threading.Event(), queue.Queue[bool]()
    monkeypatch.setattr(webbrowser, "open", lambda _: was_left.put(left.wait(5)))
    with in_browser(URL):
        left.set()
    assert was_left.get(timeout=10)


def test_a_browser_follows_it(opened: Opened, tmp_path: Path) -> None:
    target = tmp_path / "target &.html"
    target.write_text('<body data-result="1">there</body>')
    with in_browser(target.as_uri()):
        found, _ = visit_address(opened.get(timeout=10), tmp_path)
    assert found == 1
