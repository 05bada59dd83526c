"""Addresses that cannot be used are refused before anything is read or written."""

from dataclasses import replace

import pytest

from config import Cluster, Config, Dataset, SettingsError
from utils.address_checks import check_addresses
from utils.console import UserError
from utils.storage import open_storage


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ftp://here/x", "should be a path, or begin with"),
        ("file://here/x", "three slashes"),
        ("file:///x/../y", "no empty part"),
        ("s3://birds//x", "no empty part"),
        ("s3://birds/./x", "no empty part"),
        ("s3:///x", "no empty part"),
        ("s3://key:secret@birds/x", "no credentials"),
    ],
)
def test_addresses_that_are_refused(address: str, reason: str) -> None:
    for dataset in (Dataset(archive=address), Dataset(store=address)):
        with pytest.raises(SettingsError, match=reason) as caught:
            check_addresses(Config(dataset=dataset))
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["s3://birds", "s3://birds/", "s3://birds/Corvus corax/%20", "file:///x/y"])
def test_addresses_that_can_be_used(address: str) -> None:
    check_addresses(Config(dataset=Dataset(archive=address)))


def test_a_store_is_not_inside_the_archive() -> None:
    inside = Dataset(archive="s3://birds/a", store="s3://birds/a/store")
    with pytest.raises(SettingsError, match="should not be inside"):
        check_addresses(Config(dataset=inside))
    check_addresses(Config(dataset=replace(inside, store="s3://birds/ab")))


@pytest.mark.parametrize("address", ["file://here/x", "memory://birds/../x"])
def test_addresses_of_flags_are_checked_when_they_are_opened(address: str) -> None:
    with pytest.raises(UserError, match=r"three slashes|no empty part"):
        open_storage(address)


@pytest.mark.parametrize("address", ["ray://head", "ray://head:99999", "head:10001"])
def test_addresses_of_clusters_that_are_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"ray://HOST:PORT"):
        check_addresses(Config(cluster=Cluster(address=address)))


@pytest.mark.parametrize(
    ("endpoint", "line"), [("minio:9000", "begin with http:// or https://"), ("http://minio", "AWS_ALLOW_HTTP=true")]
)
def test_endpoints_that_are_refused(endpoint: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    with pytest.raises(UserError, match=line):
        open_storage("s3://birds")
