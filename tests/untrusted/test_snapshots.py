"""Damaged snapshots: refused in one line that names them, or whole after all; a damaged one does not hide an earlier one."""

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
from utils.models.networks import build
from utils.models.snapshots import Snapshot, find, save

COUNT = 56
MOST_SECONDS = 10.0  # for any of them


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
def whole(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    run = tmp_path_factory.mktemp("run")
    config = small_config(run)
    _, net = build(Model(name="Baseline", filters=(4, 8)), classes=3, shape=config.spectrogram.shape, seed=3)
    snapshot = Snapshot(run / "epoch_002", config, ("A", "B", "C"), 2, 0.5, "abc", 0.7)
    save(snapshot, net, TRAINING, learned=["A/a"])
    return snapshot


def chosen_files(folder: Path) -> list[Path]:
    """Return what a snapshot says of itself, and of each of its trees the files that are needed and the largest of arrays."""
    files = [file for file in folder.iterdir() if file.is_file()]
    for tree in ("net", "training"):
        files += [folder / tree / "_METADATA", folder / tree / "manifest.ocdbt", *(folder / tree / "d").iterdir()]
        files.append(
            max((folder / tree / "ocdbt.process_0" / "d").iterdir(), key=lambda file: (file.stat().st_size, file.name))
        )
    return sorted(file.relative_to(folder) for file in files)


ENDLESS = {  # numbers that JSON can hold and no machine, and what nests deeper than a parser goes
    "epoch": '"epoch": 1e999',
    "mlrap": f'"mlrap": {"9" * 400}',
    "sums": f'"sums": [{"9" * 400}]',
    "data": f'"data": {"[" * 200_000}',
}


@pytest.mark.parametrize("key", ENDLESS)
def test_a_damaged_snapshot_hides_no_earlier_one(tmp_path: Path, whole: Snapshot, key: str) -> None:
    for name in ("epoch_001", "epoch_002"):
        shutil.copytree(whole.folder, tmp_path / name)
    said = (tmp_path / "epoch_002" / "snapshot.json").read_text(encoding="utf-8")
    changed = re.sub(rf'"{key}": (\[[^\]]*\]|[^,\n]*)', lambda _: ENDLESS[key], said)
    assert changed != said
    (tmp_path / "epoch_002" / "snapshot.json").write_text(changed, encoding="utf-8")
    latest = find(tmp_path, "latest")
    assert latest
    assert latest.folder.name == "epoch_001"


def test_damaged_snapshots(tmp_path: Path, whole: Snapshot) -> None:
    """Every file in turn: bits are flipped, it is cut off, removed, and replaced by noise."""
    files = chosen_files(whole.folder)
    assert len(files) <= COUNT / 4
    damaged = {}
    for number in range(COUNT):
        run = tmp_path / f"run{number}"
        shutil.copytree(whole.folder, run / "epoch_001")
        shutil.copytree(whole.folder, run / "epoch_002")
        damaged[run / "epoch_002"] = files[number // 4 % len(files)]
        damage(run / "epoch_002" / damaged[run / "epoch_002"], np.random.default_rng((5, number)), number % 4)
        latest = find(run, "latest")  # only what a snapshot says of itself is read
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
    for (folder, file), (trouble, found) in zip(damaged.items(), outcomes, strict=True):
        if trouble:
            refused.add(file.parts[0])
            assert str(folder) in trouble
            assert len(trouble.splitlines()) == 1
        elif file.parts[0] in ("net", "training"):
            assert found == fingerprint, file
    assert refused >= {"net", "training", "snapshot.json", "settings.toml", "classes.txt"}
    assert sum(trouble is not None for trouble, _ in outcomes) > COUNT / 2
