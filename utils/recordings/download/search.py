"""From species and tags to queries, and from queries to recordings.

Source: xeno-canto.org/help/search and xeno-canto.org/explore/api, version 3, which takes tags only.
"""

import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from utils.console import Failure, UserError
from utils.files import check_plain
from utils.recordings.download.candidates import QUALITIES, Candidates
from utils.recordings.download.pages import Pages
from utils.tables import lines_of

MAX_PAGES = 1000  # of a query
_SCIENTIFIC = re.compile(r"[A-Za-z][A-Za-z-]+ [A-Za-z][A-Za-z-]+")
_TAG = re.compile(r"(?:^|\s)[a-z]+:\S")
_QUALITY_TAG = re.compile(r"(?:^|\s)q:", re.IGNORECASE)


def check_query(query: str) -> None:
    """Refuse a query without tags, which the API does not take.

    Raises
    ------
    UserError
        If it has none.
    """
    if query and not _TAG.search(query):
        raise UserError(f"--query {query!r}: queries are tags, such as 'gen:turdus sp:merula q:A' or 'en:\"wood owl\"'")


def species_in(words: Sequence[str]) -> list[str]:
    """Return the species that words of the command line name: scientific names, or files with one in each line.

    In files, what follows a # is a comment; `Turdus merula_Eurasian Blackbird`, as in BirdNET's lists, and
    `Turdus_merula` are read, too.

    Raises
    ------
    UserError
        If something is neither a file nor the name of a species.
    """
    found: dict[str, None] = {}
    for word in words:
        path = Path(word)
        if not path.is_file():
            found[_binomial(word, f"--species {word!r}", "and no such file")] = None
            continue
        for line, text in enumerate(lines_of(_list_content(path)), 1):
            name = text.partition("#")[0].strip()
            if name:
                found[_binomial(name, f"{path} line {line}: {name!r}", "one in a line")] = None
    return list(found)


def _list_content(path: Path) -> bytes:
    try:
        check_plain(path)
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _binomial(text: str, place: str, besides: str) -> str:
    first, _, second = text.strip().partition("_")
    name = " ".join((first if " " in first.strip() else f"{first} {second}").split())
    if not _SCIENTIFIC.fullmatch(name):
        raise UserError(f"{place}: is not the scientific name of a species, such as Turdus merula, {besides}")
    return name.capitalize()


def queries_of_species(species: str, query: str, *, min_quality: str | None) -> list[str]:
    """Return the queries for a species: one for each quality, the best first, unless the user's tags choose it."""
    genus, epithet = species.lower().split()
    words = f"gen:{genus} sp:{epithet} {query}".strip()
    if _QUALITY_TAG.search(query):
        return [words]
    return [f"{words} q:{quality}" for quality in QUALITIES[: QUALITIES.index(min_quality or QUALITIES[-1]) + 1]]


def search(species: Sequence[str], query: str, pages: Pages, candidates: Candidates) -> None:
    """Ask for recordings of species, or of a query where no species is given.

    A species without recordings becomes a failure.

    Raises
    ------
    UserError
        If there is nothing at all.
    """
    for name in species:
        before = candidates.found
        for words in queries_of_species(name, query, min_quality=candidates.wanted.min_quality):
            _add_pages(words, pages, candidates, species=name)
            if candidates.is_full(name):
                break
        if candidates.found == before:
            candidates.failures.append(Failure(name, "no rated recording is found; is the name that of xeno-canto?"))
    if not species:
        _add_pages(query, pages, candidates, species="")
    if not candidates.found and not candidates.failures:
        raise UserError(f"{query!r}: no recording is found; check names and tags on xeno-canto.org/explore")
    if not candidates.found and species:
        raise UserError(f"no rated recording of {', '.join(species)[:200]} is found; check the names on xeno-canto.org")


def _add_pages(query: str, pages: Pages, candidates: Candidates, *, species: str) -> None:
    for index in count(1):
        page = pages.read(query, index)
        if page.pages > MAX_PAGES:
            raise UserError(f"{query!r}: {page.pages:,} pages of results, more than {MAX_PAGES:,}; narrow the query")
        for place, record in enumerate(page.records, 1):
            candidates.add(record, f"{query}, page {index}, record {place}", species=species)
        if index >= page.pages or not page.records or (species and candidates.is_full(species)):
            return
