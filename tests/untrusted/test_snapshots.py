"""Damaged snapshots are refused in one line that names them, or read undamaged; they do not hide earlier ones."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from config import Model
from tests.conftest import REPOSITORY, small_config
from tests.untrusted.load_snapshots import TRAINING
from utils.models.networks import build_network
from utils.models.saved_networks import save_snapshot
from utils.models.snapshots import Snapshot, find_snapshot

COUNT = 60
MOST_SECONDS = 10.0  # for any of them


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    array = np.frombuffer(content, np.uint8).copy()
    for index in rng.integers(0, len(array), int(rng.integers(1, 20))):
        array[index] ^= 1 << int(rng.integers(0, 8))
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
def whole(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    run = tmp_path_factory.mktemp("run")
    config = small_config(run)
    _, network = build_network(
        Model(name="Baseline", filters=(4, 8)), classes=3, shape=config.spectrogram.shape, seed=3
    )
    snapshot = Snapshot(run / "epoch_002", config, ("A", "B", "C"), 2, 0.5, "abc", 0.7)
    save_snapshot(snapshot, network, TRAINING, recordings=["A/a", "A/b"], validation=["A/b"])
    return snapshot


def chosen_files(folder: Path) -> list[Path]:
    """Return a snapshot's own files, and for each tree of arrays the files that are needed and the largest one."""
    files = [file for file in folder.iterdir() if file.is_file()]
    for tree in ("net", "training"):
        files += [folder / tree / "_METADATA", folder / tree / "manifest.ocdbt", *(folder / tree / "d").iterdir()]
        files.append(
            max((folder / tree / "ocdbt.process_0" / "d").iterdir(), key=lambda file: (file.stat().st_size, file.name))
        )
    return sorted(file.relative_to(folder) for file in files)


ENDLESS = {  # numbers that JSON can hold but a float cannot, and nesting that is too deep for parsers
    "epoch": '"epoch": 1e999',
    "mlrap": f'"mlrap": {"9" * 400}',
    "sums": f'"sums": [{"9" * 400}]',
    "data": f'"data": {"[" * 200_000}',
}


@pytest.mark.parametrize("key", ENDLESS)
def test_a_damaged_snapshot_does_not_hide_an_earlier_one(tmp_path: Path, whole: Snapshot, key: str) -> None:
    for name in ("epoch_001", "epoch_002"):
        shutil.copytree(whole.folder, tmp_path / name)
    content = (tmp_path / "epoch_002" / "snapshot.json").read_text(encoding="utf-8")
    changed = re.sub(rf'"{key}": (\[[^\]]*\]|[^,\n]*)', lambda _: ENDLESS[key], content)
    assert changed != content
    (tmp_path / "epoch_002" / "snapshot.json").write_text(changed, encoding="utf-8")
    latest = find_snapshot(tmp_path, "latest")
    assert latest
    assert latest.folder.name == "epoch_001"


def test_damaged_snapshots(tmp_path: Path, whole: Snapshot) -> None:
    """Each file in turn has its bits flipped, is cut off, removed, and replaced by noise."""
    files = chosen_files(whole.folder)
    assert len(files) <= COUNT / 4
    damaged = {}
    for index in range(COUNT):
        run = tmp_path / f"run{index}"
        shutil.copytree(whole.folder, run / "epoch_001")
        shutil.copytree(whole.folder, run / "epoch_002")
        damaged[run / "epoch_002"] = files[index // 4 % len(files)]
        damage(run / "epoch_002" / damaged[run / "epoch_002"], np.random.default_rng((5, index)), index % 4)
        latest = find_snapshot(run, "latest")  # this reads no arrays
        assert latest
        assert latest.folder.name in ("epoch_001", "epoch_002")
    read = [sys.executable, "-m", "tests.untrusted.load_snapshots"]
    asked = "".join(f"{folder}\n" for folder in (whole.folder, *damaged))
    done = subprocess.run(
        read, cwd=REPOSITORY, input=asked, capture_output=True, text=True, timeout=COUNT * MOST_SECONDS
    )
    assert done.returncode == 0, done.stderr
    (none, fingerprint), *outcomes = map(json.loads, done.stdout.splitlines())
    assert none is None
    assert len(outcomes) == COUNT
    refused = set()
    for (folder, file), (error, found) in zip(damaged.items(), outcomes, strict=True):
        if error:
            refused.add(file.parts[0])
            assert str(folder) in error
            assert len(error.splitlines()) == 1
        elif file.parts[0] in ("net", "training"):
            assert found == fingerprint, file
    assert refused >= {"net", "training", "snapshot.json", "settings.toml", "classes.txt"}
    assert sum(error is not None for error, _ in outcomes) > COUNT / 2
