"""A snapshot brings its net, classes and settings back, or says why not."""

import dataclasses
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from config import Config, Model
from tests.conftest import small_config
from utils.console import Trouble
from utils.models.nets import Net, build
from utils.models.snapshots import Snapshot, all_of, describe, find, keep_best_and_newest, learned_from, load_net, restore_training, save

MOMENTS = {"count": np.zeros(1, np.float32)}
CLASSES = ("Altus clarus", "O'Neill's \"x\";y", "Überall")


@pytest.fixture(scope="module")
def net() -> Net:
    return build(Model(name="Baseline", filters=(4, 8)), classes=3, shape=(16, 32), seed=3)[1]


def snapshot_of(run: Path, epoch: int, mlrap: float | None, config: Config | None = None) -> Snapshot:
    return Snapshot(run / f"epoch_{epoch:03d}", config or small_config(run), CLASSES, epoch, mlrap, "abc")


def same(one: object, other: object) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return jax.tree.structure(one) == jax.tree.structure(other) and all(np.array_equal(a, b) for a, b in pairs)


def test_round_trip(tmp_path: Path, net: Net) -> None:
    training = {"moments": np.arange(5, dtype=np.float32), "count": np.int32(7)}
    save(snapshot_of(tmp_path, 2, 0.5), net, training, learned=["A/a", "B/b"])
    found = find(tmp_path, "best")
    assert found == snapshot_of(tmp_path, 2, 0.5)
    assert same(load_net(found)[1], net)
    assert learned_from(found) == {"A/a", "B/b"}
    assert same(restore_training(found, training), training)


def test_best_and_latest_are_kept(tmp_path: Path, net: Net) -> None:
    for epoch, mlrap in [(1, 0.3), (2, 0.7), (3, 0.7), (4, 0.5)]:
        save(snapshot_of(tmp_path, epoch, mlrap), net, MOMENTS, learned=["A/a", "B/b"])
    best, latest = find(tmp_path, "best"), find(tmp_path, "latest")
    assert best
    assert latest
    assert (best.epoch, latest.epoch) == (2, 4)
    keep_best_and_newest(tmp_path, newest=1)
    assert [snapshot.epoch for snapshot in all_of(tmp_path)] == [2, 4]
    assert find(tmp_path / "nothing", "best") is None


def test_without_validation_the_best_is_the_latest(tmp_path: Path, net: Net) -> None:
    for epoch in (1, 2):
        save(snapshot_of(tmp_path, epoch, None), net, MOMENTS, learned=["A/a", "B/b"])
    best = find(tmp_path, "best")
    assert best
    assert best.epoch == 2


def test_a_snapshot_that_was_being_written_is_not_found(tmp_path: Path, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.rename", fail)
    with pytest.raises(KeyboardInterrupt):
        save(snapshot_of(tmp_path, 1, 0.5), net, MOMENTS, learned=["A/a", "B/b"])
    assert find(tmp_path, "latest") is None


def test_damaged_snapshots_are_explained(tmp_path: Path, net: Net) -> None:
    save(snapshot_of(tmp_path, 1, 0.5), net, MOMENTS, learned=["A/a", "B/b"])
    folder = tmp_path / "epoch_001"

    def damaged(name: str, content: bytes | None) -> str:
        copy = tmp_path / "copy" / "epoch_001"
        shutil.rmtree(copy.parent, ignore_errors=True)
        shutil.copytree(folder, copy)
        if content is None:
            shutil.rmtree(copy / name) if (copy / name).is_dir() else (copy / name).unlink()
        else:
            (copy / name).write_bytes(content)
        with pytest.raises(Trouble) as caught:
            load_net(describe(copy))
        return str(caught.value)

    assert "is no whole snapshot" in damaged("snapshot.json", b"{")
    assert "is of version 99" in damaged("snapshot.json", b'{"version": 99, "epoch": 1, "mlrap": 0.5, "data": "x"}')
    assert "is no whole snapshot" in damaged("classes.txt", None)
    assert "cannot be read" in damaged("net", None)
    assert "cannot be read" in damaged("net/_METADATA", b"{")
    assert "is of another net: params/output/bias is (3,), should be (2,)" in damaged("classes.txt", b"A\nB\n")


def test_one_damaged_snapshot_does_not_hide_the_others(tmp_path: Path, net: Net, capsys: pytest.CaptureFixture[str]) -> None:
    for epoch in (1, 2):
        save(snapshot_of(tmp_path, epoch, 0.5), net, MOMENTS, learned=[])
    (tmp_path / "epoch_002" / "snapshot.json").unlink()
    latest = find(tmp_path, "latest")
    assert latest
    assert latest.epoch == 1
    assert "epoch_002: is no whole snapshot" in capsys.readouterr().err
    (tmp_path / "epoch_001" / "snapshot.json").unlink()
    with pytest.raises(Trouble, match="is no whole snapshot"):
        find(tmp_path, "latest")


def test_another_net_is_refused_by_name(tmp_path: Path, net: Net) -> None:
    config = small_config(tmp_path)
    wrong = dataclasses.replace(config, model=dataclasses.replace(config.model, filters=(4, 9)))
    save(snapshot_of(tmp_path, 1, 0.5, wrong), net, MOMENTS, learned=["A/a", "B/b"])
    with pytest.raises(Trouble, match=r"is of another net: params/groups/1/convolution/kernel is \(3, 3, 4, 8\), should be \(3, 3, 4, 9\)"):
        load_net(describe(tmp_path / "epoch_001"))
