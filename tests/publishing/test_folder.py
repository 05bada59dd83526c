"""The published folder is whole or not there, and what others put into it stays."""

from pathlib import Path

import pytest

from config import Config, Dataset
from utils.console import UserError
from utils.models.published import read_sums
from utils.portable_settings import SUMS
from utils.publishing import folder as folders
from utils.publishing.call import CardFlags
from utils.publishing.folder import checked_out, names_in, new_folder, published_files, with_new_card
from utils.publishing.leaks import check_no_leaks, private_paths


def write(out: Path, files: dict[str, str]) -> None:
    with new_folder(out, lambda _: None) as folder:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write(tmp_path / "out", {"README.md": "card", "epoch_001/classes.txt": "a"})
    return tmp_path / "out"


def test_sums_are_of_all_files(out: Path) -> None:
    assert set(read_sums(out / SUMS)) == {"README.md", "epoch_001/classes.txt"}
    assert {one.name: one.size for one in published_files(out)}["README.md"] == 4


def test_writing_again_replaces_only_what_was_written(out: Path) -> None:
    (out / "photo.jpg").write_text("mine")
    (out / ".git").mkdir()
    (out / ".git" / "config").write_text("mine")
    (out / "epoch_001" / "network.onnx").write_text("cached")
    checked_out(out, CardFlags())
    write(out, {"README.md": "new card", "epoch_002/classes.txt": "b"})
    assert names_in(out) == [".git/config", "README.md", SUMS, "epoch_002/classes.txt", "photo.jpg"]
    assert (out / "README.md").read_text() == "new card"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_changes_by_hand_are_not_lost(out: Path) -> None:
    (out / "README.md").write_text("edited")
    with pytest.raises(UserError, match=r"README\.md changed since card\.py wrote them; .*--overwrite"):
        checked_out(out, CardFlags())
    checked_out(out, CardFlags(overwrite=True))


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(UserError, match="is not a published model"):
        checked_out(tmp_path, CardFlags(overwrite=True))
    with pytest.raises(UserError, match="is not a folder"):
        checked_out(tmp_path / "thesis.tex", CardFlags(overwrite=True))


def test_what_fails_leaves_the_folder_as_it_was(out: Path) -> None:
    with pytest.raises(UserError, match="planted"), new_folder(out, lambda _: None) as folder:
        (folder / "README.md").write_text("half")
        raise UserError("planted")
    assert (out / "README.md").read_text() == "card"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_kill_between_the_renames_is_repaired(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, count = folders.os.rename, 0

    def killed(before: Path, after: Path) -> None:
        nonlocal count
        count += 1
        if count == 3:  # the last: .out.new becomes out
            raise KeyboardInterrupt
        rename(before, after)

    monkeypatch.setattr(folders.os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write(out, {"README.md": "new"})
    monkeypatch.setattr(folders.os, "rename", rename)
    assert not out.exists()
    checked_out(out, CardFlags())
    assert (out / "README.md").read_text() == "card"
    write(out, {"README.md": "new"})
    assert (out / "README.md").read_text() == "new"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_edited_card_gets_its_sum(out: Path) -> None:
    (out / "README.md").write_text("edited")
    with_new_card(out, "README.md")
    checked_out(out, CardFlags())
    (out / "epoch_001" / "classes.txt").write_text("changed")
    with pytest.raises(UserError, match=r"classes\.txt: is missing or changed"):
        with_new_card(out, "README.md")


@pytest.mark.parametrize("name", ["README.md", "epoch_001/net/data", "exports/network.xml"])
def test_paths_of_the_machine_are_found(tmp_path: Path, name: str) -> None:
    private = private_paths(Config(dataset=Dataset(root=Path("/mnt/anna/birds"))))
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"\x00binary, of a data set in metadata/ and /mnt/other\x00")
    check_no_leaks(tmp_path, private)
    (tmp_path / name).write_bytes(b"\x00/mnt/anna/birds/train\x00")
    with pytest.raises(UserError, match=rf"{name}: would tell a path of this machine, /mnt/anna/birds"):
        check_no_leaks(tmp_path, private)
    (tmp_path / name).write_bytes(f"{Path.home()}/models".encode())
    with pytest.raises(UserError, match="would tell a path of this machine"):
        check_no_leaks(tmp_path, private)
