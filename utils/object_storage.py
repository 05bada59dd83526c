"""A folder in an object store, by obstore (extra `remote`)."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from utils.console import UserError
from utils.storage import BLOCK, CREDENTIALS, HIDDEN, Entry, Storage, Version, split_address

GAP = 256 * 1024  # bytes between two ranges of a file that are read rather than asked for by another request
RETRIES, RETRY_TIME = 10, timedelta(seconds=90)  # of one request: network and servers may fail for a while
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=0.5), timedelta(seconds=10)  # between retries
BEYOND_END = ("StartTooLarge", "Server returned non-2xx status code: 416")  # how obstore says that a file is shorter
NOT_FOUND = "non-2xx status code: 404"  # how it says of a listing that there is no bucket
# how it says of a listing that it is not allowed, or that it looked for the credentials of a machine in a cloud
NOT_ALLOWED = ("non-2xx status code: 401", "non-2xx status code: 403", "403 Forbidden", "169.254.169.254")


class ObjectStorage(Storage):
    """A folder in an object store.

    Parameters
    ----------
    address : the folder as users write it
    store : the store of obstore
    prefix : where the folder is in that store, if the store does not know it
    """

    def __init__(self, address: str, store: Any, prefix: str = "") -> None:
        self.address = address
        self._store = store
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        with self._errors(name):
            return bytes(self._store.get(self._object_key(name)).bytes())

    def open(self, name: str) -> io.BufferedReader | io.BytesIO:
        """Read a whole file into memory."""
        return io.BytesIO(self.read(name))

    def read_into(self, name: str, starts: Sequence[int], targets: Sequence[memoryview]) -> None:
        """Fill each of `targets` with the bytes of a file from an offset on; near ranges are read together."""
        order = sorted((index for index in range(len(starts)) if len(targets[index])), key=starts.__getitem__)
        ends = [start + len(target) for start, target in zip(starts, targets, strict=True)]
        spans = _joined_ranges([(starts[index], ends[index]) for index in order])
        with self._errors(name):  # obstore would join ranges, too, but crashes where such a file is too short
            contents = self._store.get_ranges(
                self._object_key(name), starts=[start for start, _ in spans], ends=[end for _, end in spans], coalesce=0
            )
        views, span = [memoryview(content) for content in contents], 0
        if [len(view) for view in views] != [end - start for start, end in spans]:
            raise self.shortened(name)
        for index in order:
            span += ends[index] > spans[span][1]
            first = starts[index] - spans[span][0]
            targets[index][:] = views[span][first : first + len(targets[index])]

    def version(self, name: str) -> Version | None:
        """Return what tells this version of a file from others; None: there is no such file."""
        try:
            with self._errors(name):
                meta = self._store.head(self._object_key(name))
        except FileNotFoundError:
            return None
        return Version(meta["size"], round(meta["last_modified"].timestamp() * 1e9), meta["e_tag"] or "")

    def entries(self, prefix: str = "") -> list[Entry]:
        """Return all files below a folder in this one, by name, without hidden ones."""
        with self._bucket_needed(prefix, "listed"), self._errors(prefix):
            found = [
                Entry(
                    meta["path"].removeprefix(self._prefix),
                    meta["size"],
                    round(meta["last_modified"].timestamp() * 1e9),
                )
                for chunk in self._store.list(self._object_key(prefix) or None)
                for meta in chunk
            ]
        return sorted(entry for entry in found if not HIDDEN.search(entry.name))

    def write(self, name: str, content: bytes | Path) -> None:
        """Write bytes, or a file of this machine."""
        with self._bucket_needed(name, "written"), self._errors(name):
            self._store.put(self._object_key(name), content, chunk_size=BLOCK)

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file if there is none; return whether there was none."""
        from obstore.exceptions import AlreadyExistsError

        with self._bucket_needed(name, "written"), self._errors(name):
            try:
                self._store.put(self._object_key(name), content, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def remove(self, *names: str) -> None:
        """Remove files; they need not be there."""
        try:
            with self._errors(names[0] if names else ""):
                self._store.delete([self._object_key(name) for name in names])
        except FileNotFoundError:  # only a local store says so
            present = [name for name in names if self.exists(name)]
            if present:
                self.remove(*present)

    def _object_key(self, name: str) -> str:
        return f"{self._prefix}{name}" if name else self._prefix.rstrip("/")

    @contextmanager
    def _bucket_needed(self, name: str, done: str) -> Iterator[None]:
        """Say that there is no bucket where a file need not be there for something to be done."""
        try:
            yield
        except FileNotFoundError:
            raise UserError(f"{self.where(name)}: cannot be {done}, because there is no such bucket") from None

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn the errors of obstore into those that `Storage` names."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except FileNotFoundError:
            raise self.missing(name) from None
        except (PermissionDeniedError, UnauthenticatedError):
            raise UserError(f"{self.where(name)}: access is denied; {CREDENTIALS}") from None
        except BaseError as error:
            if any(sign in str(error) for sign in BEYOND_END):
                raise self.shortened(name) from None
            if NOT_FOUND in str(error):
                raise self.missing(name) from None
            if any(sign in str(error) for sign in NOT_ALLOWED):
                raise UserError(f"{self.where(name)}: access is denied; {CREDENTIALS}") from None
            raise UserError(f"{self.where(name)}: cannot be reached ({plain_reason(str(error))})") from None


def plain_reason(text: str) -> str:
    """Return what a client's error says in one line, without keys: no query strings, no dump of its settings."""
    first = text.split("\n\nDebug source", 1)[0]
    code = re.search(r"<Code>(\w+)</Code>", first)
    first = re.sub(r"\?\S*", "", re.sub(r"\s*<.*", "", first, flags=re.DOTALL))
    return " ".join(first.split())[:300] + (f" {code[1]}" if code else "")


def object_storage(address: str) -> ObjectStorage:
    """Open a folder by its address; raises UserError if that is not possible."""
    bucket, prefix = split_address(address)
    try:
        from obstore.exceptions import BaseError
        from obstore.store import LocalStore, from_url
    except ImportError:
        raise UserError(f"{address}: needs obstore; install it: pip install 'birdclef-jax[remote]'") from None
    if address.startswith("memory://"):
        return ObjectStorage(address, _memory(bucket), prefix)
    if address.startswith("file://"):
        return ObjectStorage(address, LocalStore(), prefix)
    _check_endpoint(address)
    try:
        store = from_url(
            bucket,
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": RETRY_TIME,
                "backoff": {"init_backoff": FIRST_WAIT, "max_backoff": LONGEST_WAIT, "base": 2},
            },
        )
    except (BaseError, ValueError) as error:
        raise UserError(f"{address}: cannot be opened ({plain_reason(str(error))}); {CREDENTIALS}") from None
    return ObjectStorage(address, store, prefix)


def _check_endpoint(address: str) -> None:
    """Refuse an endpoint for S3 at which obstore crashes, or which it refuses without a reason."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if not address.startswith("s3://") or not endpoint:
        return
    if not endpoint.startswith(("http://", "https://")):
        raise UserError(f"AWS_ENDPOINT_URL = {endpoint}: should begin with http:// or https://")
    if endpoint.startswith("http://") and os.environ.get("AWS_ALLOW_HTTP", "").lower() not in ("true", "1"):
        raise UserError(f"AWS_ENDPOINT_URL = {endpoint}: without TLS; allow it with AWS_ALLOW_HTTP=true")


@cache
def _memory(bucket: str) -> Any:
    """Return the store of a bucket, the same one at each call: within a process, as a disk keeps its files."""
    from obstore.store import MemoryStore

    return MemoryStore()


def _joined_ranges(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges of bytes, which are in order, with those near them."""
    found: list[tuple[int, int]] = []
    for start, end in ranges:
        if found and start - found[-1][1] <= GAP:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
