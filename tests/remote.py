"""Object stores for tests: one that counts what is asked of it, and a real S3 protocol on the loopback."""

import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.conftest import free_port
from utils.object_storage import ObjectStorage
from utils.sound import remote
from utils.storage import Storage, open_storage


class CountingStore:
    """A store of obstore that counts calls by name, and bytes read and written."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()
        self.bytes_read = 0

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            result = getattr(self._store, name)(*args, **kwargs)
            if name == "get_ranges":
                self.bytes_read += sum(len(content) for content in result)
            if name == "get":
                self.bytes_read += result.meta["size"]
            return result

        return call


def counted(storage: Storage) -> CountingStore:
    """Count what is asked of a remote folder from now on."""
    assert isinstance(storage, ObjectStorage)
    storage._store = CountingStore(storage._store)
    return storage._store


def count_all(monkeypatch: pytest.MonkeyPatch) -> list[CountingStore]:
    """Count what is asked of all remote folders that this process opens from now on."""
    found: list[CountingStore] = []
    whole = ObjectStorage.__init__

    def init(self: ObjectStorage, address: str, store: Any, prefix: str = "") -> None:
        found.append(CountingStore(store))
        whole(self, address, found[-1], prefix)

    monkeypatch.setattr(ObjectStorage, "__init__", init)
    return found


def put_files(address: str, folder: Any) -> Storage:
    """Copy a folder of this machine, with all that is below, to a remote one."""
    storage = open_storage(address)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            storage.write(path.relative_to(folder).as_posix(), path)
    return storage


@contextmanager
def s3_on_loopback(bucket: str = "birds") -> Iterator[str]:
    """Start an S3 server with an empty bucket; the usual environment variables lead to it. Yields its address."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        with bucket_on_server("{}:{}".format(*server.get_host_and_port()), bucket) as address:
            yield address
    finally:
        server.stop()


@contextmanager
def s3_in_a_process(bucket: str = "birds") -> Iterator[str]:
    """Do as `s3_on_loopback`, with the server in a process of its own."""
    pytest.importorskip("moto.server")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert server.poll() is None
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        with bucket_on_server(f"127.0.0.1:{port}", bucket) as address:
            yield address
    finally:
        server.kill()
        server.wait()


@contextmanager
def bucket_on_server(server: str, bucket: str) -> Iterator[str]:
    """Create a bucket, and let the environment lead to its server (HOST:PORT)."""
    settings = {
        "AWS_ENDPOINT_URL": f"http://{server}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "top-secret",
        "AWS_REGION": "us-east-1",
    }
    request = Request(f"http://{server}/{bucket}", method="PUT", headers={"Content-Length": "0"})
    try:
        with pytest.MonkeyPatch.context() as patch, urlopen(request):
            for name, value in settings.items():
                patch.setenv(name, value)
            yield f"s3://{bucket}"
    finally:
        remote._bucket_storage.cache_clear()
