"""A page of this machine opened in a browser, without its address among the arguments of a program.

Every user of a machine can read with which arguments programs run (`ps`), and the address holds the token. The browser
is given a file instead that only its owner can read, and that leads on to the address. Browsers that are packaged as
snaps have a temporary folder of their own, and see no hidden folders: where snaps are, the file is in a visible folder
in the user's home for as long as the page is served.
"""

import html
import os
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SNAPS = Path("/var/lib/snapd")  # is there where programs may be packaged as snaps
PAGE = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={url}">
<title>birdclef</title>
<p><a href="{url}">Open the page</a></p>
"""


@contextmanager
def in_browser(url: str, *, wanted: bool = True) -> Iterator[None]:
    """Open an address in a browser; the file that leads to it is removed when the block ends.

    A browser of the terminal, which ends only when its user leaves it, does not hold up the block.

    Parameters
    ----------
    wanted : whether to do so at all
    """
    if not wanted:
        yield
        return
    with tempfile.TemporaryDirectory(  # of mode 700
        prefix="birdclef-page-", dir=_visible_folder(), ignore_cleanup_errors=True
    ) as folder:
        page = Path(folder) / "open.html"
        page.touch(mode=0o600)
        page.write_text(PAGE.format(url=html.escape(url, quote=True)), encoding="utf-8")
        threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()
        yield


def _visible_folder() -> Path | None:
    """Return the folder in which browsers find the file; None: that of temporary files."""
    return Path.home() if SNAPS.is_dir() and os.access(Path.home(), os.W_OK) else None
