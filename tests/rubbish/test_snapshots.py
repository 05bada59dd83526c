"""Damaged snapshots: refused in one line that names them, or whole after all; a damaged one does not hide an earlier one."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from config import Model
from tests.conftest import small_config
from utils.console import Trouble
from utils.models.nets import Net, build
from utils.models.snapshots import Snapshot, describe, find, learned_from, load_net, restore_training, save

COUNT = 56
TRAINING = {"moments": np.arange(500, dtype=np.float32), "count": np.int32(7)}


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    array = np.frombuffer(content, np.uint8).copy()
    for place in rng.integers(0, len(array), int(rng.integers(1, 20))):
        array[place] ^= 1 << int(rng.integers(0, 8))
    return array.tobytes()


def damage(file: Path, rng: np.random.Generator, kind: int) -> None:
    content = file.read_bytes()
    if kind == 0:
        file.write_bytes(flip(content, rng))
    elif kind == 1:
        file.write_bytes(content[: int(rng.integers(0, len(content)))])
    elif kind == 2:
        file.unlink()
    else:
        file.write_bytes(rng.bytes(max(len(content), 10)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, Net]:
    run = tmp_path_factory.mktemp("run")
    config = small_config(run)
    _, net = build(Model(name="Baseline", filters=(4, 8)), classes=3, shape=config.spectrogram.shape, seed=3)
    snapshot = Snapshot(run / "epoch_002", config, ("A", "B", "C"), 2, 0.5, "abc", 0.7)
    save(snapshot, net, TRAINING, learned=["A/a"])
    return snapshot, net


def chosen_files(folder: Path) -> list[Path]:
    """Return what a snapshot says of itself, and of each of its trees the files that are needed and the largest of arrays."""
    files = [file for file in folder.iterdir() if file.is_file()]
    for tree in ("net", "training"):
        files += [folder / tree / "_METADATA", folder / tree / "manifest.ocdbt", *(folder / tree / "d").iterdir()]
        files.append(max((folder / tree / "ocdbt.process_0" / "d").iterdir(), key=lambda file: (file.stat().st_size, file.name)))
    return sorted(file.relative_to(folder) for file in files)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Orbax leaves readers behind where reading failed
def test_damaged_snapshots(tmp_path: Path, whole: tuple[Snapshot, Net]) -> None:
    """Every file in turn: bits are flipped, it is cut off, removed, and replaced by noise."""
    snapshot, net = whole
    files = chosen_files(snapshot.folder)
    refused = []
    for number in range(COUNT):
        rng = np.random.default_rng((5, number))
        run = tmp_path / f"run{number}"
        shutil.copytree(snapshot.folder, run / "epoch_001")
        shutil.copytree(snapshot.folder, run / "epoch_002")
        file = files[number // 4 % len(files)]
        damage(run / "epoch_002" / file, rng, number % 4)
        try:
            described = describe(run / "epoch_002")
            learned_from(described)
            kept = load_net(described)[1]
            training = restore_training(described, TRAINING)
        except Trouble as trouble:
            refused.append(file)
            assert str(run / "epoch_002") in str(trouble)
            assert len(str(trouble).splitlines()) == 1
        else:
            if file.parts[0] in ("net", "training"):
                assert all(
                    np.array_equal(one, other) for one, other in zip(jax.tree.leaves((kept, training)), jax.tree.leaves((net, TRAINING)), strict=True)
                ), file
        latest = find(run, "latest")  # only what a snapshot says of itself is read
        assert latest
        assert latest.folder.name in ("epoch_001", "epoch_002")
    assert len(files) <= COUNT / 4
    assert len(refused) > COUNT / 2
    assert {file.parts[0] for file in refused} >= {"net", "training", "snapshot.json", "settings.toml"}
