"""Addresses, lists of species, lengths, licences and waiting times of downloads."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from utils.console import UserError
from utils.recordings.download.candidates import seconds_of_length
from utils.recordings.download.client import message_of, seconds_to_wait
from utils.recordings.download.licences import licence_name
from utils.recordings.download.pages import page_name
from utils.recordings.download.search import queries_of_species, species_in
from utils.recordings.download.servers import SITE, server_of


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("//xeno-canto.org/1/download", "https://xeno-canto.org/1/download"),
        ("https://www.xeno-canto.org/a b/ü.mp3", "https://www.xeno-canto.org/a%20b/%C3%BC.mp3"),
        ("/1/download?x=1", "https://xeno-canto.org/1/download?x=1"),
        ("https://xeno-canto.org@evil.example/1", None),
        ("https://evil.example/xeno-canto.org", None),
        ("https://evilxeno-canto.org/1", None),
        ("https://xeno-canto.org.evil.example/1", None),
        ("https://user@xeno-canto.org/1", None),
        ("http://xeno-canto.org/1", None),
        ("https://xeno-canto.org:8443/1", None),
        ("https://xeno-canto.org:port/1", None),
        ("file:///etc/passwd", None),
        ("//[", None),
    ],
)
def test_addresses_of_a_site(text: str, whole: str | None) -> None:
    server = server_of("https://xeno-canto.org")
    if whole:
        assert server.address(text) == whole
    else:
        with pytest.raises(ValueError, match=r".+"):
            server.address(text)


@pytest.mark.parametrize(
    "text",
    ["http://xeno-canto.org", "http://127.0.0.1.evil.example", "ftp://127.0.0.1", "https://a.org/x", "https://a@b.org",
     "xeno-canto.org", "", "https://[", "https://a.org:x"],
)  # fmt: skip
def test_servers_that_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--server"):
        server_of(text)


def test_servers_on_this_machine_need_no_encryption() -> None:
    for text in ("http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:1/"):
        assert server_of(text).local
    assert not server_of("https://www.xeno-canto.org").local


def test_species_come_from_names_and_files(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("Parus major  # common\n\nTurdus merula_Eurasian Blackbird\r\nerithacus_rubecula\nPARUS MAJOR\n")
    assert species_in(["Turdus merula", str(path)]) == ["Turdus merula", "Parus major", "Erithacus rubecula"]
    path.write_text("Parus major\nblackbird\n")
    with pytest.raises(UserError, match=r"list.txt line 2: 'blackbird': is not the scientific name"):
        species_in([str(path)])


def test_queries_go_from_the_best_quality() -> None:
    assert queries_of_species("Turdus merula", "cnt:spain", min_quality="B") == [
        "gen:turdus sp:merula cnt:spain q:A",
        "gen:turdus sp:merula cnt:spain q:B",
    ]
    assert queries_of_species("Turdus merula", "q:C type:song", min_quality=None) == [
        "gen:turdus sp:merula q:C type:song"
    ]
    assert len(queries_of_species("Turdus merula", "", min_quality=None)) == 5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:30", 30), ("12:05", 725), ("1:02:03", 3723), ("", None), ("30", None), ("1:2:3:4", None), (30, None)],
)
def test_lengths(text: object, seconds: float | None) -> None:
    assert seconds_of_length(text) == seconds


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("//creativecommons.org/licenses/by-nc-sa/4.0/", "CC BY-NC-SA 4.0"),
        ("https://creativecommons.org/licenses/by/3.0", "CC BY 3.0"),
        ("//creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("", "not given"),
        ("//evil.org/creativecommons.org/licenses/by/4.0/", "//evil.org/creativecommons.org/licenses/by/4.0/"),
    ],
)
def test_licences(address: str, name: str) -> None:
    assert licence_name(address) == name


def test_times_to_wait() -> None:
    assert seconds_to_wait("120") == 120
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < seconds_to_wait(soon) <= 90
    assert [seconds_to_wait(text) for text in ("", "-5", "soon", "²")] == [0] * 4
    assert seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0


def test_messages_of_errors() -> None:
    assert message_of(b'{"error": "client_error", "message": "Wrong key."}') == "Wrong key."
    assert message_of(b'{"error": {"code": "x", "message": "No query"}}') == "No query"
    assert message_of(b'{"error": "bad"}') == "bad"
    assert [message_of(text) for text in (b"<html>", b"[1]", b"", b"\xff", b'{"message": 1}')] == [""] * 5


def test_pages_of_queries_have_names_of_their_own() -> None:
    queries, sites = ("gen:a sp:b", "gen:a-sp:b", "GEN:A SP:B", "/../x", ""), (SITE, "https://other.org")
    names = {page_name(query, site) for query in queries for site in sites}
    assert len(names) == 10
    assert all(name.replace("-", "").isalnum() for name in names)
