"""A page of this machine opened in a browser, without its address among the arguments of a program.

Every user of a machine can read with which arguments programs run (`ps`), and the address holds the token. The browser
is given a file instead that only its owner can read, and that leads on to the address.
"""

import html
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={url}">
<title>birdclef</title>
<p><a href="{url}">Open the page</a></p>
"""


@contextmanager
def in_browser(url: str, *, wanted: bool = True) -> Iterator[None]:
    """Open an address in a browser; the file that leads to it is removed when the block ends.

    Parameters
    ----------
    wanted : whether to do so at all
    """
    if not wanted:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="birdclef-page-", ignore_cleanup_errors=True) as folder:  # mode 700
        page = Path(folder) / "open.html"
        page.touch(mode=0o600)
        page.write_text(PAGE.format(url=html.escape(url, quote=True)), encoding="utf-8")
        webbrowser.open(page.as_uri())
        yield
