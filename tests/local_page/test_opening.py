"""The file that leads a browser to a page of this machine: nobody else can read it, and it is gone afterwards."""

import stat
import webbrowser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from tests.scoring.browser import visit_address
from utils.local_page.opening import in_browser

URL = "http://127.0.0.1:1/secret-token/"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    return addresses


def test_no_argument_has_the_token_and_only_the_owner_can_read_it(opened: list[str]) -> None:
    with in_browser(URL):
        (address,) = opened
        assert "secret-token" not in address
        page = Path(unquote(urlparse(address).path))
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
        assert URL in page.read_text()
    assert not page.parent.exists()


def test_it_is_removed_after_ctrl_c_and_not_made_unasked(opened: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), in_browser(URL):
        raise KeyboardInterrupt
    assert not Path(unquote(urlparse(opened[0]).path)).exists()
    with in_browser(URL, wanted=False):
        assert len(opened) == 1


def test_a_browser_follows_it(opened: list[str], tmp_path: Path) -> None:
    target = tmp_path / "target &.html"
    target.write_text('<body data-result="1">there</body>')
    with in_browser(target.as_uri()):
        found, _ = visit_address(opened[0], tmp_path)
    assert found == 1
