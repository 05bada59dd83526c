"""A snapshot restores its network, classes and settings, or says why it cannot."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

from config import Config, Model
from tests.conftest import small_config
from utils.console import UserError
from utils.files import digest_file
from utils.models import array_trees
from utils.models.array_trees import TooLarge
from utils.models.networks import Network, build_network
from utils.models.saved_networks import check_snapshot, load_network, restore_training_state, save_snapshot
from utils.models.snapshots import (
    Snapshot,
    find_snapshot,
    keep_best_and_newest,
    read_snapshot,
    recordings_used,
    snapshots_of,
)

MOMENTS = {"count": np.zeros(1, np.float32)}
CLASSES = ("Altus clarus", "O'Neill's \"x\";y", "Überall")


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(Model(name="Baseline", filters=(4, 8)), classes=3, shape=(16, 32), seed=3)[1]


def snapshot_of(run: Path, epoch: int, mlrap: float | None, config: Config | None = None) -> Snapshot:
    return Snapshot(run / f"epoch_{epoch:03d}", config or small_config(run), CLASSES, epoch, mlrap, "abc")


def same(one: object, other: object) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return jax.tree.structure(one) == jax.tree.structure(other) and all(np.array_equal(a, b) for a, b in pairs)


def test_round_trip(tmp_path: Path, network: Network) -> None:
    training = {"moments": np.arange(5, dtype=np.float32), "count": np.int32(7)}
    save_snapshot(snapshot_of(tmp_path, 2, 0.5), network, training, recordings=["A/a", "B/b"])
    found = find_snapshot(tmp_path, "best")
    assert found == snapshot_of(tmp_path, 2, 0.5)
    assert same(load_network(found)[1], network)
    assert recordings_used(found) == {"A/a", "B/b"}
    assert same(restore_training_state(found, training), training)


def test_best_and_latest_are_kept(tmp_path: Path, network: Network) -> None:
    for epoch, mlrap in [(1, 0.3), (2, 0.7), (3, 0.7), (4, 0.5)]:
        save_snapshot(snapshot_of(tmp_path, epoch, mlrap), network, MOMENTS, recordings=["A/a", "B/b"])
    best, latest = find_snapshot(tmp_path, "best"), find_snapshot(tmp_path, "latest")
    assert best
    assert latest
    assert (best.epoch, latest.epoch) == (2, 4)
    keep_best_and_newest(tmp_path, newest=1)
    assert [snapshot.epoch for snapshot in snapshots_of(tmp_path)] == [2, 4]
    assert find_snapshot(tmp_path / "nothing", "best") is None


def test_without_validation_the_best_is_the_latest(tmp_path: Path, network: Network) -> None:
    for epoch in (1, 2):
        save_snapshot(snapshot_of(tmp_path, epoch, None), network, MOMENTS, recordings=["A/a", "B/b"])
    best = find_snapshot(tmp_path, "best")
    assert best
    assert best.epoch == 2


def test_a_snapshot_that_was_being_written_is_not_found(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.rename", fail)
    with pytest.raises(KeyboardInterrupt):
        save_snapshot(snapshot_of(tmp_path, 1, 0.5), network, MOMENTS, recordings=["A/a", "B/b"])
    assert find_snapshot(tmp_path, "latest") is None


def test_damaged_snapshots_are_explained(tmp_path: Path, network: Network) -> None:
    save_snapshot(snapshot_of(tmp_path, 1, 0.5), network, MOMENTS, recordings=["A/a", "B/b"])
    folder = tmp_path / "epoch_001"

    def damaged(name: str, content: bytes | None) -> str:
        copy = tmp_path / "copy" / "epoch_001"
        shutil.rmtree(copy.parent, ignore_errors=True)
        shutil.copytree(folder, copy)
        if content is None:
            shutil.rmtree(copy / name) if (copy / name).is_dir() else (copy / name).unlink()
        else:
            (copy / name).write_bytes(content)
        with pytest.raises(UserError) as caught:
            load_network(read_snapshot(copy))
        return str(caught.value)

    assert "is a damaged snapshot" in damaged("snapshot.json", b"{")
    assert "has version 99" in damaged("snapshot.json", b'{"version": 99, "epoch": 1, "mlrap": 0.5, "data": "x"}')
    assert "is a damaged snapshot" in damaged("classes.txt", None)
    assert "cannot be read" in damaged("net", None)
    assert "cannot be read" in damaged("net/_METADATA", b"{")
    assert "belongs to another model: params/output/bias is (3,), should be (2,)" in damaged("classes.txt", b"A\nB\n")


def test_one_damaged_snapshot_does_not_hide_the_others(
    tmp_path: Path, network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    for epoch in (1, 2):
        save_snapshot(snapshot_of(tmp_path, epoch, 0.5), network, MOMENTS, recordings=[])
    (tmp_path / "epoch_002" / "snapshot.json").unlink()
    latest = find_snapshot(tmp_path, "latest")
    assert latest
    assert latest.epoch == 1
    assert "epoch_002: is a damaged snapshot" in capsys.readouterr().err
    (tmp_path / "epoch_001" / "snapshot.json").unlink()
    with pytest.raises(UserError, match="is a damaged snapshot"):
        find_snapshot(tmp_path, "latest")


def test_another_model_is_refused_by_name(tmp_path: Path, network: Network) -> None:
    config = small_config(tmp_path)
    wrong = dataclasses.replace(config, model=dataclasses.replace(config.model, filters=(4, 9)))
    save_snapshot(snapshot_of(tmp_path, 1, 0.5, wrong), network, MOMENTS, recordings=["A/a", "B/b"])
    with pytest.raises(
        UserError,
        match=r"belongs to another model: params/groups/1/convolution/kernel is \(3, 3, 4, 8\), "
        r"should be \(3, 3, 4, 9\)",
    ):
        load_network(read_snapshot(tmp_path / "epoch_001"))


ODD = ("a [1]", "a\\b", "a\\", "a*", "**", "a?", "{x}", "[", "a%41#", "é")


@pytest.mark.parametrize("name", ODD)
def test_any_folder_holds_a_snapshot(name: str, tmp_path: Path, network: Network) -> None:
    """Orbax takes brackets and stars of the whole path for a pattern, TensorStore a backslash for a folder's end."""
    run, training = tmp_path / name / "x", {"moments": np.arange(5, dtype=np.float32), "count": np.int32(7)}
    save_snapshot(snapshot_of(run, 1, 0.5), network, training, recordings=["A/a"])
    found = find_snapshot(run, "best")
    assert found
    check_snapshot(found)
    assert same(load_network(found)[1], network)
    assert same(restore_training_state(found, training), training)
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    plain = find_snapshot(moved, "best")
    assert plain
    assert same(load_network(plain)[1], network)
    assert [path.name for path in tmp_path.iterdir() if path.name != "moved"] == [name]  # nothing was written beside it


@pytest.mark.parametrize("name", ["a [1]", "a\\b"])
def test_a_snapshot_may_be_moved_into_any_folder(name: str, tmp_path: Path, network: Network) -> None:
    save_snapshot(snapshot_of(tmp_path / "plain", 1, 0.5), network, MOMENTS, recordings=[])
    shutil.copytree(tmp_path / "plain", tmp_path / name)
    found = find_snapshot(tmp_path / name, "latest")
    assert found
    check_snapshot(found)
    assert same(load_network(found)[1], network)


def test_a_relative_path_in_a_folder_with_brackets(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here [x]").mkdir()
    monkeypatch.chdir(tmp_path / "here [x]")
    save_snapshot(snapshot_of(Path("snapshots/x"), 1, 0.5), network, MOMENTS, recordings=[])
    check_snapshot(read_snapshot(Path("snapshots/x/epoch_001")))


def test_temporary_files_may_lie_in_a_folder_with_brackets_too(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    save_snapshot(snapshot_of(tmp_path / "a[1]", 1, 0.5), network, MOMENTS, recordings=[])
    assert set(tmp_path.iterdir()) - before == {tmp_path / "a[1]"}  # the link is gone
    (tmp_path / "tmp[1]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp[1]"))
    save_snapshot(snapshot_of(tmp_path / "a[1]", 2, 0.5), network, MOMENTS, recordings=[])
    monkeypatch.setattr(array_trees, "LINK_FOLDERS", ())
    with pytest.raises(UserError, match="choose another folder for --snapshots"):
        save_snapshot(snapshot_of(tmp_path / "a[1]", 3, 0.5), network, MOMENTS, recordings=[])
    assert [snapshot.epoch for snapshot in snapshots_of(tmp_path / "a[1]")] == [1, 2]


def test_a_link_that_cannot_be_made_is_explained(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("a required privilege is not held")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(UserError, match=r"path without brackets.*choose another folder for --snapshots"):
        save_snapshot(snapshot_of(tmp_path / "a[1]", 1, 0.5), network, MOMENTS, recordings=[])
    save_snapshot(snapshot_of(tmp_path / "plain", 1, 0.5), network, MOMENTS, recordings=[])


@pytest.mark.parametrize("tree", ["net", "training"])
def test_what_was_not_saved_whole_is_found_at_once(tree: str, tmp_path: Path, network: Network) -> None:
    save_snapshot(snapshot_of(tmp_path, 1, 0.5), network, MOMENTS, recordings=[])
    check_snapshot(read_snapshot(tmp_path / "epoch_001"))
    digest_file(tmp_path / "epoch_001" / tree).write_text("0" * 64)
    with pytest.raises(UserError, match=f"{tree}: cannot be read .*the arrays differ"):
        check_snapshot(read_snapshot(tmp_path / "epoch_001"))
    for left in ("manifest.ocdbt", "_METADATA"):
        (tmp_path / "epoch_001" / tree / left).unlink()
    with pytest.raises(UserError, match=f"{tree}: cannot be read"):
        check_snapshot(read_snapshot(tmp_path / "epoch_001"))


def test_reading_back_takes_no_memory_of_the_device(
    tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_snapshot(snapshot_of(tmp_path, 1, 0.5), network, MOMENTS, recordings=[])
    read: list[object] = []
    digest_of = array_trees._digest_of
    monkeypatch.setattr(array_trees, "_digest_of", lambda leaves: read.extend(leaves.values()) or digest_of(leaves))
    check_snapshot(read_snapshot(tmp_path / "epoch_001"))
    assert len(read) == len(jax.tree.leaves(network)) + 1
    assert all(isinstance(leaf, np.ndarray) for leaf in read)


@pytest.mark.parametrize(
    "error", [MemoryError(), ValueError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 99 bytes")]
)
def test_a_full_memory_is_not_damage(
    error: Exception, tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise error

    save_snapshot(snapshot_of(tmp_path, 1, 0.5), network, MOMENTS, recordings=[])
    monkeypatch.setattr(array_trees, "_digest_of", full)
    with pytest.raises(TooLarge, match="net: not enough memory to read it; the snapshot is intact"):
        check_snapshot(read_snapshot(tmp_path / "epoch_001"))
