"""Folders here and elsewhere behave alike, and their trouble is one line."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from tests.remote import counted, s3_on_loopback
from utils import object_storage
from utils.console import UserError
from utils.object_storage import plain_reason
from utils.storage import DamagedFile, Storage, open_storage

pytest.importorskip("obstore")
NUMBERS = count()
NAME = "Äsa's 100% [a] #1?/x y.bin"
KINDS = ["path", "file", "memory", pytest.param("s3", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_on_loopback() as address:
        yield address


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    number = next(NUMBERS)
    if request.param == "s3":
        return open_storage(f"{request.getfixturevalue('s3')}/below/{number}")
    address = {
        "path": str(tmp_path / "a b"),
        "file": f"file://{tmp_path}/a b",
        "memory": f"memory://{number}",
    }
    return open_storage(address[request.param])


def test_what_is_written_is_read(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"0123456789")
    storage.write(NAME, tmp_path / "source")
    storage.write("b", b"old")
    storage.write("b", b"")
    assert storage.read(NAME) == b"0123456789"
    assert storage.read("b") == b""
    assert [bytes(part) for part in storage.read_ranges(NAME, [8, 0, 3], [10, 1, 3])] == [b"89", b"0", b""]
    assert storage.read_ranges(NAME, [], []) == []
    assert (storage.size(NAME), storage.size("b"), storage.size("c"), storage.exists("b"), storage.exists("c")) == (
        (10, 0, None, True, False)
    )
    storage.copy_to(NAME, tmp_path / "new" / "copy")
    storage.copy_to("b", tmp_path / "new" / "empty")
    assert [file.read_bytes() for file in sorted((tmp_path / "new").iterdir())] == [b"0123456789", b""]


def test_names_are_listed_below_a_folder(storage: Storage) -> None:
    assert storage.names() == []
    for name in ("ab/1", "a/2", "a/1/x", "a/.hidden", "c"):
        storage.write(name, b"xyz")
    assert storage.names() == ["a/1/x", "a/2", "ab/1", "c"]
    assert storage.names("a") == ["a/1/x", "a/2"]
    assert storage.names("nothing") == []
    assert [entry.size for entry in storage.entries("a")] == [3, 3]
    assert all(entry.time > 1_700_000_000 * 10**9 for entry in storage.entries())


def test_a_lock_is_created_once(storage: Storage) -> None:
    assert [storage.create("x.lock", b"1"), storage.create("x.lock", b"2")] == [True, False]
    assert storage.read("x.lock") == b"1"
    storage.remove("x.lock")
    storage.remove("x.lock")
    assert storage.create("x.lock", b"3")
    storage.write("y", b"")
    storage.remove("x.lock", "missing", "y")
    assert storage.names() == []


def test_a_missing_file_is_told_with_its_address(storage: Storage, tmp_path: Path) -> None:
    for read in (
        lambda: storage.read("x/y"),
        lambda: storage.read_ranges("x/y", [0], [1]),
        lambda: storage.copy_to("x/y", tmp_path / "copy"),
    ):
        with pytest.raises(FileNotFoundError) as caught:
            read()
        assert caught.value.filename is not None
        assert str(caught.value.filename) == storage.where("x/y")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(("start", "end"), [(2, 4), (3, 4), (9, 12)])
def test_a_file_that_is_too_short(storage: Storage, start: int, end: int) -> None:
    storage.write("x", b"012")
    with pytest.raises(DamagedFile, match=r"x: is shorter than it should be$"):
        storage.read_ranges("x", [0, start], [1, end])


def test_a_file_that_is_replaced_while_it_is_copied(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("x", b"old")
    read = type(storage).read_into

    def replaced(self: Storage, *arguments: object) -> None:
        read(self, *arguments)
        storage.write("x", b"newer")

    monkeypatch.setattr(type(storage), "read_into", replaced)
    with pytest.raises(UserError, match=r"x: was changed while it was copied; the same command tries again"):
        storage.copy_to("x", tmp_path / "copy")
    assert not list(tmp_path.glob("*copy*"))


def test_files_that_vanish_while_they_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b/c", "b/.d", ".e/f"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    is_file, looked_at = Path.is_file, []

    def vanishing(self: Path) -> bool:
        found = is_file(self)
        looked_at.append(self.name)
        if self.name == "c":
            self.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", vanishing)
    assert [entry.name for entry in open_storage(tmp_path).entries()] == ["a"]
    assert looked_at == ["a", "c"]


def test_a_lock_of_this_machine_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", full)
    with pytest.raises(OSError, match="No space left"):
        open_storage(tmp_path).create("x.lock", b"1")
    assert list(tmp_path.iterdir()) == []


def test_names_stay_in_their_folder(storage: Storage) -> None:
    with pytest.raises(ValueError, match=r"\.\."):
        storage.write("../x", b"")


def test_near_ranges_are_read_at_once_and_far_ones_alone(tmp_path: Path) -> None:
    storage = open_storage(f"file://{tmp_path}")
    content = bytes(range(250)) * 4 * 1024
    storage.write("x", content)
    requests = counted(storage)
    starts = [1_000_000, 30, 10, 0, 10, 12]
    ends = [1_000_001, 35, 15, 5, 15, 13]
    found = storage.read_ranges("x", starts, ends)
    assert [bytes(part) for part in found] == [content[start:end] for start, end in zip(starts, ends, strict=True)]
    assert requests.bytes_read == 35 + 1


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("ftp://host/x", r"ftp:// is not known; there are gs://, s3://, az:// and file://"),
        ("s3://key:secret@bucket/x", r"s3://bucket/x: addresses hold no credentials; check the credentials"),
        ("az://box/x?sig=secret", r"az://box/x: addresses hold no credentials; check the credentials"),
        ("s3://", r"s3://: cannot be opened \(.*\); check the credentials"),
    ],
)
def test_addresses_that_cannot_be_used(address: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        open_storage(address)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(UserError, match=r"s3://birds: needs obstore; install it: pip install 'birdclef-jax\[remote\]'"):
        open_storage("s3://birds")


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "RETRIES", 0)
    monkeypatch.setattr(object_storage, "RETRY_TIME", timedelta(seconds=1))
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "top-secret",
    }.items():
        monkeypatch.setenv(name, value)
    storage = open_storage("s3://birds/x")
    for call in (lambda: storage.read("y"), lambda: storage.write("y", b""), lambda: storage.size("y")):
        with pytest.raises(UserError, match=r"^s3://birds/x/y: cannot be reached \(.*error sending request\)$"):
            call()


def test_reasons_hold_no_keys() -> None:
    text = "Generic error: GET https://h/x?X-Signature=abc in 1 s: <?xml?>\n<Code>Expired</Code>\n\nDebug source:\nkey"
    assert plain_reason(text) == "Generic error: GET https://h/x in 1 s: Expired"


@pytest.mark.slow
def test_s3_without_the_bucket(s3: str) -> None:
    storage = open_storage("s3://nowhere/x")
    with pytest.raises(UserError, match="s3://nowhere/x/y: cannot be written, because there is no such bucket"):
        storage.write("y", b"")
    with pytest.raises(UserError, match="s3://nowhere/x/y: cannot be written, because there is no such bucket"):
        storage.create("y", b"")
    with pytest.raises(UserError, match="s3://nowhere/x: cannot be listed, because there is no such bucket"):
        storage.entries()
    with pytest.raises(FileNotFoundError, match="s3://nowhere/x/y"):
        storage.read("y")


@pytest.mark.slow
def test_s3_takes_large_files_in_parts(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "BLOCK", 5 * 2**20)
    content = bytes(range(256)) * 2**16
    (tmp_path / "large").write_bytes(content)
    storage = open_storage(f"{s3}/large")
    storage.write("x", tmp_path / "large")
    assert storage.size("x") == len(content)
    storage.copy_to("x", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
