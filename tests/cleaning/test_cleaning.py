"""What nothing needs is listed and removed; files of users, stores in use and results stay."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from config import Config
from tests.conftest import extracted
from utils.cleaning import __main__ as cleaning
from utils.cleaning.cleaning import clean
from utils.console import UserError
from utils.files import try_lock
from utils.settings import load, to_toml
from utils.settings_keys import short_key
from utils.spectra.pack import CONTENTS_FORM, read_contents
from utils.spectra.store import Store
from utils.storage import open_storage

KEY = "0123456789abcdef"


@pytest.fixture
def config(tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Extract a small data set, away from the scratch folders of this machine."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    config = extracted(tmp_path, recordings=2)
    submissions = dataclasses.replace(config.submission, folder=tmp_path / "submissions")
    return dataclasses.replace(config, submission=submissions)


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")


def listed(config: Config, *, remove: bool = False) -> set[str]:
    base = config.dataset.root.parent
    found = clean(config, remove=remove, words="python -m utils.cleaning", stopped=True)
    return {one.path.relative_to(base).as_posix() for one in found}


def files(base: Path) -> set[str]:
    return {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file() and path.suffix != ".lock"}


def further_store(config: Config, name: str) -> Path:
    """Plant a store beside the data set's."""
    folder = config.dataset.root / "spec" / name
    write(folder / "clips.parquet", folder / "shards" / "Noise-000" / "spectrograms.npy")
    (folder / "settings.toml").write_text(to_toml(config))
    return folder


def plant(config: Config) -> tuple[set[str], list[Path]]:
    """Leave everything that killed and stopped calls leave; return its names, and files of users beside it."""
    root, base = config.dataset.root, config.dataset.root.parent
    run = config.snapshots / "small"
    write(run / "settings.toml", run / "epoch_001" / "classes.txt", run / "test" / "metrics.json")
    (run / "settings.toml").write_text(to_toml(config))
    ours = [
        root / ".split.parquet.part",
        root / "metadata" / "Altus clarus" / ".A0.json.part",
        root / "train" / "Altus clarus" / ".A0.wav.part",
        root / "spec" / "shards" / ".Altus clarus-000.part",
        root / "spec" / f"predictions_{KEY}.npy",
        root / "spec" / "parts",
        run / ".epoch_002.part",
        run / "test" / ".report.html.part",
        base / "submissions" / "small_soundscape.parts",
        base / "submissions" / ".small_soundscape.csv.part",
        further_store(config, f"noise_{KEY}"),
        further_store(config, f"teacher_{KEY}"),
        root / "spec" / "shards" / "Altus clarus-007",
        base / "temporary" / "birdclef-scratch-x",
        base / "temporary" / f"birdclef-lock-{getattr(os, 'getuid', lambda: 'user')()}-{KEY}",
    ]
    for index in (3, 5, 6, 8, 12, 13, 14):
        ours[index].mkdir(parents=True, exist_ok=True)
    write(*(ours[index] for index in (0, 1, 2, 4, 7, 9)))
    write(ours[3] / "spectrograms.npy", ours[5] / f"{KEY}.zip", ours[6] / "classes.txt", ours[8] / KEY / f"{KEY}.part")
    write(ours[12] / "spectrograms.npy", ours[13] / ".scratch.lock", ours[14] / ".turn.lock")
    of_users = [
        root / ".mine.part",
        root / "notes.txt",
        root / "train" / "Altus clarus" / ".notes.txt.part",
        root / "spec" / "shards" / "mine.npy",
        root / "spec" / f"noise_{KEY}" / "mine.csv",
        root / "spec" / "parts" / "mine.txt",
        run / ".thesis.docx.part",
        base / "submissions" / "small_soundscape.csv",
        base / "submissions" / "other.parts" / "mine.part",
        base / "submissions" / "small_soundscape.parts" / "mine.txt",
        base / "temporary" / "birdclef-scratch-of-mine",
    ]
    write(*of_users)
    return {path.relative_to(base).as_posix() for path in ours}, of_users


def test_a_clean_data_set_has_nothing_to_remove(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(config) == set()
    assert "nothing to remove" in capsys.readouterr().out


def test_what_is_planted_is_listed_and_removed_and_nothing_else(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    base = config.dataset.root.parent
    before = files(base)
    planted, of_users = plant(config)
    with_all = files(base)
    assert listed(config) == planted
    shown = capsys.readouterr().out
    assert "15 items" in shown
    assert "python -m utils.cleaning --remove" in shown
    assert files(base) == with_all  # nothing is removed unasked
    assert listed(config, remove=True) == planted
    run = {f"root/snapshots/small/{name}" for name in ("settings.toml", "epoch_001/classes.txt", "test/metrics.json")}
    assert files(base) == before | run | {path.relative_to(base).as_posix() for path in of_users}
    assert len(Store(config.dataset.root).clips)
    assert listed(config) == set()  # what holds a user's file alone is not listed again


def test_killed_in_the_middle_and_run_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    base = config.dataset.root.parent
    plant(config)
    removed: list[Path] = []
    unlink: Callable[..., None] = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        removed.append(path)
        if len(removed) > 7:
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        listed(config, remove=True)
    listed(config, remove=True)
    assert not [name for name in files(base) if name.endswith((f"{KEY}.zip", f"{KEY}.part", "A0.wav.part"))]
    assert not (config.dataset.root / "spec" / "shards" / "Altus clarus-007").exists()


@pytest.mark.parametrize(
    ("where", "stage", "stays"),
    [
        ("root", "spec", ("root/.", "root/metadata", "root/train", "root/spec")),
        ("root/snapshots", "training of small", ("root/",)),
        ("submissions", "small_soundscape", ("submissions/",)),
    ],
)
def test_nothing_is_touched_where_a_stage_runs(
    config: Config, where: str, stage: str, stays: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    planted, _ = plant(config)
    with try_lock(config.dataset.root.parent / where, stage):
        found = listed(config, remove=True)
    assert found < planted
    assert not [name for name in found if name.startswith(stays)]
    assert f"{stage} is running here" in capsys.readouterr().err


def test_stores_of_other_settings_are_listed_and_those_in_use_stay(config: Config) -> None:
    from utils.cleaning.unused import noise_store_name, settings_of_users

    other = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, height=32))
    assert listed(other) == {"root/spec"}
    of_users = [Path("my-notes.zip"), Path("mine/classes.csv"), Path("mine/settings.toml"), Path("shards/mine.npy")]
    write(*(config.dataset.root / "spec" / name for name in of_users))
    base, store = config.dataset.root.parent, config.dataset.root / "spec"
    noise = base / "noise"
    training = dataclasses.replace(config.training, noise_folder=noise, noise_class=True)
    user = dataclasses.replace(config, run="user", training=training)
    write(base / "user.toml")
    (base / "user.toml").write_text(to_toml(user))
    name = noise_store_name(store, noise, load(store / "settings.toml"), load(base / "user.toml"))
    further_store(config, name)
    assert listed(config) == {f"root/spec/{name}"}
    write(config.snapshots / "user" / "settings.toml")
    (config.snapshots / "user" / "settings.toml").write_text(to_toml(user))
    assert [one.run for one in settings_of_users(config) or []] == ["small", "user"]
    assert listed(config) == set()  # a run has this folder of noise
    assert listed(other) == set()  # a run uses the store
    (config.snapshots / "user" / "settings.toml").write_text("no TOML")
    assert settings_of_users(config) is None
    assert listed(config) == listed(other) == set()  # what it uses is not known
    (config.snapshots / "user" / "settings.toml").unlink()
    assert listed(other, remove=True) == {"root/spec"}
    assert not (config.dataset.root / "spec" / "clips.parquet").exists()
    assert (config.dataset.root / "spec" / name / "clips.parquet").exists() is False
    assert (config.dataset.root / "train").is_dir()
    assert files(store) == {name.as_posix() for name in of_users}


def test_a_lock_for_remote_storage_that_is_held_stays(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "temporary" / f"birdclef-lock-{getattr(os, 'getuid', lambda: 'user')()}-{KEY}"
    with try_lock(folder, "turn"):
        assert listed(config, remove=True) == set()
    assert listed(config, remove=True) == {f"temporary/{folder.name}"}


def test_copies_of_other_packs_are_listed(config: Config, tmp_path: Path) -> None:
    from utils.learning.packing import write_pack

    write_pack(Store(config.dataset.root), config, str(tmp_path / "pack"), fresh=False)
    cache = tmp_path / "cache"
    write(cache / KEY / "pack-00000-of-00001.npy", cache / KEY / "mine.txt", cache / "photos" / "a-of-b.npy")
    training = dataclasses.replace(config.training, packed=str(tmp_path / "pack"), cache=cache)
    packed = dataclasses.replace(config, training=training)
    with try_lock(cache / KEY, "pack-00000-of-00001.npy"):  # as while it arrives
        assert listed(packed, remove=True) == set()
    other = shutil.copytree(tmp_path / "pack", tmp_path / "other")
    contents = (other / "pack.json").read_text()
    (other / "pack.json").write_text(contents.replace(json.loads(contents)["key"], KEY))
    key = short_key(CONTENTS_FORM.dump_python(read_contents(open_storage(str(other)))))
    run = config.snapshots / "other" / "settings.toml"
    write(cache / key / "pack-00000-of-00001.npy", run)
    run.write_text(to_toml(dataclasses.replace(packed, training=dataclasses.replace(training, packed=str(other)))))
    assert listed(packed, remove=True) == {f"cache/{KEY}"}
    assert files(cache) == {f"{KEY}/mine.txt", "photos/a-of-b.npy", f"{key}/pack-00000-of-00001.npy"}
    (other / "pack.json").unlink()
    assert listed(packed, remove=True) == set()  # which copies are of the run's pack is not known


def test_the_command(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    plant(config)
    file = config.dataset.root.parent / "mine.toml"
    file.write_text(to_toml(config))
    assert cleaning.command([str(file)]) == 0
    assert f"python-mutils.cleaning{file}--remove" in "".join(capsys.readouterr().out.split())
    assert cleaning.command([str(file), "--remove"]) == 0
    assert not (config.dataset.root / ".split.parquet.part").exists()


def test_a_store_that_a_process_reads_or_that_is_a_link_stays(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, height=24))
    (config.run_folder / "settings.toml").parent.mkdir(parents=True)
    (config.run_folder / "settings.toml").write_text(to_toml(other))
    store = config.dataset.root / "spec"
    before = files(store)
    shard = next(store.glob("shards/*/spectrograms.npy"))
    mapped = np.load(shard, mmap_mode="r")  # as a training does, wherever its snapshots are
    if Path("/proc/self/maps").is_file():
        listed(other, remove=True)
        assert files(store) == before
        assert "is read by a process" in capsys.readouterr().err
    del mapped
    store.rename(tmp_path / "bigger")
    store.symlink_to(tmp_path / "bigger")
    listed(other, remove=True)
    assert files(tmp_path / "bigger") == before
    assert "is a link" in capsys.readouterr().err


def test_a_folder_that_is_no_data_set_is_refused(config: Config, tmp_path: Path) -> None:
    write(tmp_path / "home" / ".song.wav.part", tmp_path / "home" / ".test.part")
    home = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, root=tmp_path / "home"))
    with pytest.raises(UserError, match="is no data set"):
        listed(home, remove=True)
    assert len(list((tmp_path / "home").iterdir())) == 2


def test_what_a_stopped_submission_has_predicted_stays_unless_asked(config: Config) -> None:
    part = config.submission.folder / "small_soundscape.parts" / KEY / "1.part"
    mine = config.submission.folder / "small_soundscape_talk.parts" / "1.part"
    write(part, mine)
    clean(config, remove=True, words="")
    assert part.is_file()
    clean(config, remove=True, words="", stopped=True)
    assert (part.is_file(), mine.is_file()) == (False, True)
