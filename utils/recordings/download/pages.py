"""Pages of results: asked once, cached as the API's JSON, and read again by the next call.

Source: xeno-canto.org/explore/api, version 3.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.console import UserError
from utils.files import atomic_file
from utils.recordings.download.client import Client, RequestError
from utils.recordings.download.servers import SITE

API = "/api/3/recordings"
PER_PAGE = 500  # the most that the API gives: fewer requests
MAX_PAGE = 32 << 20  # bytes
KEY_PAGE = f"{SITE}/account"


@dataclass(frozen=True)
class Page:
    """A page of results: its records, and how many pages there are."""

    records: list[Any]
    pages: int


class Pages:
    """Pages of results, from the API, or from a folder of earlier ones.

    Parameters
    ----------
    folder : where they are cached
    refresh : ask for each page again

    Attributes
    ----------
    asked, cached : how many pages were asked for, and how many were there from earlier calls
    """

    def __init__(self, folder: Path, client: Client, *, refresh: bool = False) -> None:
        self._folder, self._client, self._refresh = folder, client, refresh
        self.asked = self.cached = 0

    def read(self, query: str, index: int) -> Page:
        """Return a page of a query; the first is 1.

        Raises
        ------
        UserError
            If there is no page to be had, with what to do.
        """
        file = self._folder / f"{page_name(query, self._client.server.base)}-{index}.json"
        if file.is_file() and not self._refresh:
            try:
                page = parse_page(file.read_bytes())
                self.cached += 1
                return page
            except ValueError:  # damaged: asked for again
                pass
        parameters = {"query": query, "page": index, "per_page": PER_PAGE}
        try:
            content = self._client.ask_api(API, parameters, self._read)
        except RequestError as error:
            raise UserError(self._advice(error, query)) from None
        with atomic_file(file) as stream:
            stream.write(content)
        self.asked += 1
        return parse_page(content)

    def _read(self, response: Any) -> bytes:
        """Read and check a page, so that a broken one is asked for again."""
        content = response.read(MAX_PAGE + 1)
        if len(content) > MAX_PAGE:
            raise RequestError(f"the page of results has more than {MAX_PAGE >> 20} MB")
        content = self._client.hide_key(content)
        try:
            parse_page(content)
        except ValueError as error:
            raise RequestError(f"the page of results {error}", transient=True) from None
        return content

    def _advice(self, error: RequestError, query: str) -> str:
        host = self._client.server.host
        if error.unreachable:
            return f"{host} {error.reason}; the same command resumes when there is a network"
        if error.status in (401, 403):
            return f"{host} does not take the key ({error.reason}); set XENO_CANTO_KEY to the key shown at {KEY_PAGE}"
        if error.status in (400, 404, 422):
            return f"{query!r}: {error.reason}; queries are tags, such as gen:turdus sp:merula q:A"
        return f"{host}: {error.reason}; try the same command again later"


def page_name(query: str, base: str) -> str:
    """Return a name for the files of a query to a site, which no other query or site has."""
    words = re.sub(r"[^a-z0-9]+", "-", query.lower()).strip("-")[:60]
    site = "" if base == SITE else f"{base} "  # none for the usual one: pages of earlier versions stay
    return f"{words}-{hashlib.sha256(f'{site}{query}'.encode('utf-8', 'backslashreplace')).hexdigest()[:12]}"


def parse_page(content: bytes) -> Page:
    """Return a page of results.

    Raises
    ------
    ValueError
        If it is not one.
    """
    try:
        page = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(page, dict) or not isinstance(page.get("recordings"), list):
        raise ValueError("has no list of recordings")
    pages = str(page.get("numPages", 1))
    if not re.fullmatch(r"\d{1,9}", pages, re.ASCII):
        raise ValueError(f"has a numPages of {pages[:40]!r}")
    return Page(page["recordings"], int(pages))
