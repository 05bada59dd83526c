"""Open a page in a headless browser, run a script on it, and return the result."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--enable-logging=stderr",
    "--autoplay-policy=no-user-gesture-required",
    "--virtual-time-budget=8000",
)
REPORTER = """<script>
(async () => {{
  const sleep = milliseconds => new Promise(after => setTimeout(after, milliseconds));
  let result;
  try {{ result = await (async () => {{ {script} }})(); }} catch (error) {{ result = {{ error: String(error) }}; }}
  document.body.dataset.result = JSON.stringify(result);
}})();
</script></body>"""


def visit(page: str, folder: Path, script: str, *options: str) -> tuple[Any, list[str]]:
    """Open a page and run the body of an asynchronous function on it, after the page's own script.

    Returns
    -------
    What the function returns, and what the page wrote to the console.
    """
    file = folder / "page.html"
    assert page.count("</body>") == 1
    file.write_text(page.replace("</body>", REPORTER.format(script=script)), encoding="utf-8")
    return visit_address(file.as_uri(), folder, *options)


def visit_address(address: str, folder: Path, *options: str) -> tuple[Any, list[str]]:
    """Open a page that has the script of `visit` in it already."""
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    command = [browser, *OPTIONS, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<body[^>]* data-result="([^"]*)"', done.stdout)
    assert found, (done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(unescape(found.group(1))), re.findall(r"CONSOLE[^\n]*", done.stderr)
