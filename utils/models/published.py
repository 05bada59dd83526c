"""Published models: folders that card.py wrote, here or on the Hugging Face Hub, and the sums of their files.

    README.md  classes.csv  settings.toml  SHA256SUMS    model card, classes, settings of the run, digests of all files
    epoch_012/                                           the snapshot, without what resuming needs
    test/thresholds.json  calibration.json  …            what test.py found
    exports/network.onnx  network-int8.onnx  network.xml network.bin

Such a folder is that of a run, so that it is loaded as one. Of a repository only the files that loading needs are
fetched, by their names; nothing in them is run. This module needs neither JAX nor, without the hub, its library.
"""

import hashlib
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from utils.console import UserError
from utils.portable_settings import HUB_PREFIX, SUMS

SETTINGS_FILE = "settings.toml"  # of the run
TEST_FOLDER, EXPORTS = "test", "exports"
REPOSITORY_NAME = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"
_REVISION = r"[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*"
_HUB_ADDRESS = re.compile(rf"hf:({REPOSITORY_NAME})(?:@({_REVISION}))?")
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S.*)")
_PLAIN_NAME = r"[A-Za-z0-9_-][\w.-]*"  # never hidden, never `..`
_EPOCH = r"epoch_\d{1,9}"
_OF_SNAPSHOT = r"settings\.toml|classes\.txt|learned\.txt|validation\.txt|indirect\.txt|snapshot\.json|net\.sha256"
# the files that loading needs, which alone are fetched; all are texts, JSON, safetensors or arrays of Orbax. Orbax
# writes a path into commit_success.txt, and does not read it here
LOADED = re.compile(
    rf"settings\.toml|{_EPOCH}/(?:{_OF_SNAPSHOT}|prototypes\.safetensors)"
    rf"|{_EPOCH}/net(?!/commit_success\.txt)(?:/{_PLAIN_NAME}){{1,6}}"
    r"|test/(?:thresholds|calibration)\.json"
)
_MOST_SUMS = 10_000_000  # bytes of SHA256SUMS
_BLOCK = 1 << 20
ERRORS_LAST = 60.0  # seconds after which a notebook asks the hub again; a call asks once for all that it loads
FETCH_AGAIN = "download it again, or run card.py again"


def published_at(path: Path) -> Path:
    """Return the folder of a published model, from the hub for `hf:OWNER/NAME`; other paths stay as they are.

    Raises
    ------
    UserError
        If it cannot be downloaded, or a file is damaged.
    """
    name = path.as_posix()
    if not name.startswith(HUB_PREFIX):
        return path
    found = _fetched(name, int(time.monotonic() // ERRORS_LAST))
    if isinstance(found, UserError):
        raise found
    return found


def check_published(path: Path) -> None:
    """Compare the files of a published model with their sums, if `path` is one or a snapshot in one.

    Raises
    ------
    UserError
        If a file that loading needs is missing, differs or is not listed.
    """
    home = next((folder for folder in (path, path.parent) if (folder / SUMS).is_file()), None)
    if home is None:
        return
    sums = loaded_sums(home)
    for name in _names_that_loading_needs(home):
        if name not in sums:
            raise UserError(
                f"{home / name}: is not listed in {SUMS}, so it may be of somebody else; remove it, or {FETCH_AGAIN}"
            )
    state = tuple((name, *_size_and_time(home / name)) for name in sums)
    damaged = _first_damaged(home, tuple(sums.items()), state)
    if damaged:
        raise UserError(f"{home / damaged}: is missing or differs from its sum in {SUMS}; {FETCH_AGAIN}")


def _names_that_loading_needs(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for path in paths if LOADED.fullmatch(name := path.relative_to(folder).as_posix()))


def loaded_sums(folder: Path) -> dict[str, str]:
    """Return the digests of the files that loading needs, by name.

    Raises
    ------
    UserError
        If the list cannot be read or has no snapshot.
    """
    sums = {name: digest for name, digest in read_sums(folder / SUMS).items() if LOADED.fullmatch(name)}
    if not any(name.endswith("/snapshot.json") for name in sums):
        raise UserError(f"{folder / SUMS}: lists no snapshot; {FETCH_AGAIN}")
    return sums


def read_sums(path: Path) -> dict[str, str]:
    """Read a list of SHA-256 digests, as sha256sum writes it: digest by name.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    try:
        if path.stat().st_size > _MOST_SUMS:
            raise ValueError("is too long")
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [_LINE.fullmatch(line) for line in lines]
        if not all(found):
            raise ValueError("a line is not a digest and a name")
        sums = {one[2]: one[1] for one in found if one}
        for name in sums:
            check_name_inside(name)
        return sums
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is not a list of SHA-256 sums ({error}); {FETCH_AGAIN}") from None


def check_name_inside(name: str) -> None:
    """Refuse a name that leads out of its folder, with a ValueError."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        raise ValueError(f"{name} is outside")


def sums_text(digests: Mapping[str, str]) -> str:
    """Return a list of digests in the form of sha256sum, by name."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=64)
def _first_damaged(home: Path, sums: tuple[tuple[str, str], ...], state: tuple[object, ...]) -> str:
    """Return the name of the first file that is missing or differs; '' if all are right. `state` is part of the key."""
    del state
    for name, digest in sums:
        if not (home / name).is_file() or sha256_of(home / name) != digest:
            return name
    return ""


@lru_cache(maxsize=64)
def _fetched(name: str, period: int) -> Path | UserError:
    """Return the folder of a model in the hub's cache, or why there is none, which holds for a while (`period`)."""
    del period  # part of the key
    found = _HUB_ADDRESS.fullmatch(name)
    if not found:
        return UserError(f"{name}: should be hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    if not find_spec("huggingface_hub"):
        return UserError(f"{name}: needs huggingface_hub, which is not installed (pip install '.[hub]')")
    try:
        folder = _downloaded(found[1], found[2])
        check_published(folder)
    except UserError as error:
        return error
    except Exception as error:  # noqa: BLE001 — of HTTP, of its cache, of the system: no common parent
        first_line = str(error).strip().partition("\n")[0]
        return UserError(
            f"{name}: cannot be downloaded ({type(error).__name__}: {first_line}); where there is a connection, "
            f"download all files of {found[1]} from the Hugging Face Hub, put them into a folder, and name that folder "
            f"instead of {name}"
        )
    return folder


def _downloaded(repository: str, revision: str | None) -> Path:
    """Fetch the files that loading needs, all of one commit; those in the cache are not fetched again.

    Without a revision, the hub is not even asked for what is in the cache: without a connection it would take long.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = None if revision else try_to_load_from_cache(repository, SUMS)
    with _quiet():
        sums = Path(cached if isinstance(cached, str) else hf_hub_download(repository, SUMS, revision=revision))
        folder = sums.parent  # of the commit
        for name in sorted(loaded_sums(folder)):
            if not (folder / name).is_file():
                hf_hub_download(repository, name, revision=folder.name)
    return folder


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub's library from logging each of its attempts: errors are one line."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
