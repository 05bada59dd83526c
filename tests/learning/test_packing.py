"""A pack holds the clips of a training in a seeded order, whoever writes it and however often that was stopped."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import spec
from config import Config
from tests.packs import CLIPS_PER_FILE, small_files, training_from_pack, with_training
from tests.remote import s3_on_loopback
from utils.console import UserError
from utils.learning import packing
from utils.learning.examples import Examples, read_examples
from utils.learning.fold_training import read_fold_examples
from utils.learning.pack_plan import ORDER_STREAM
from utils.settings import load
from utils.spectra.pack import Pack, open_pack
from utils.spectra.store import Store
from utils.storage import FolderStorage, Storage, open_storage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with small_files():
        yield training_from_pack(tmp_path_factory.mktemp("packing"))


def from_store(config: Config) -> Examples:
    return read_examples(with_training(config, packed=None))


def write(config: Config, address: object, *, fresh: bool = False) -> Storage:
    packing.write_pack(Store(config.dataset.root), config, str(address), fresh=fresh)
    return open_storage(str(address))


def content(storage: Storage) -> dict[str, bytes]:
    return {name: storage.read(name) for name in storage.names() if name != "settings.toml"}  # it names workers


def ids(table: pl.DataFrame) -> list[tuple[str, int]]:
    return list(table.select("recording", "index").iter_rows())


def copy_of(config: Config, folder: Path) -> Config:
    shutil.copytree(str(config.training.packed), folder)
    return with_training(config, packed=folder)


def test_a_pack_holds_the_clips_of_the_training_in_a_seeded_order(made: Config) -> None:
    examples, pack = from_store(made), read_examples(made)
    stored, packed = examples.store, pack.store
    order = np.random.default_rng((made.training.seed, ORDER_STREAM)).permutation(examples.rows)
    assert ids(packed.clips[pack.rows]) == ids(stored.clips[order])
    assert ids(packed.clips[pack.validation_rows]) == ids(stored.clips[examples.validation_rows])
    assert pack.validation_recordings == examples.validation_recordings
    assert len(examples.noise_rows) > 0
    for ours, theirs in ((pack.rows, order), (pack.validation_rows, examples.validation_rows)):
        np.testing.assert_array_equal(packed.spectrograms(ours), stored.spectrograms(theirs))
    np.testing.assert_array_equal(pack.noise.spectrograms, examples.noise.spectrograms)
    assert isinstance(packed, Pack)
    names = [file.name for file in packed.contents.files if file.name.startswith("pack")]
    count = -(-len(order) // CLIPS_PER_FILE)
    assert names == [f"pack-{index:05d}-of-{count:05d}" for index in range(count)]
    whole = np.concatenate([packed.read_file(index) for index in range(count)])
    np.testing.assert_array_equal(whole, stored.spectrograms(order))
    assert packed.pixel_sums(["Altus clarus/A1"]).keys() <= {"Altus clarus/A1"}
    assert packed.contents.clips == len(order)


def test_it_is_the_same_whoever_writes_it(made: Config, tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    expected = content(open_storage(made.training.packed))
    assert content(write(dataclasses.replace(made, workers=4), tmp_path / "four")) == expected
    assert content(write(made, f"file://{tmp_path}/elsewhere")) == expected
    assert not list(made.dataset.root.glob(".pack-*"))


@pytest.mark.slow
def test_it_is_the_same_in_s3(made: Config) -> None:
    pytest.importorskip("obstore")
    with s3_on_loopback("packs") as address:
        stored = write(made, f"{address}/pack")
        assert content(stored) == content(open_storage(made.training.packed))
        pack = open_pack(made, f"{address}/pack")
        np.testing.assert_array_equal(pack.read_file(0), open_pack(made, made.training.packed).read_file(0))
        stored.remove(f"{pack.contents.files[1].name}.npy")
        with pytest.raises(UserError, match=r"^s3://packs/pack/pack-00001\S+ is missing or damaged"):
            pack.read_file(1)


@pytest.mark.parametrize("stop_in", ["_scatter", "_checksum", "write"])
def test_a_stopped_run_resumes_to_the_same_bytes(
    made: Config, tmp_path: Path, stop_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, where = made, FolderStorage if stop_in == "write" else packing
    original: Callable = getattr(where, stop_in)
    calls: list[object] = []

    def stopping(*given: object, stop_at: int = 3) -> object:
        calls.append(given)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(where, stop_in, lambda *given: stopping(*given, stop_at=8 if stop_in == "write" else 3))
        with pytest.raises(KeyboardInterrupt):
            write(config, tmp_path / "pack")
        assert not (tmp_path / "pack" / "pack.json").exists()
        with pytest.raises(UserError, match=r"pack\.json: no such file; run spec\.py --pack first"):
            open_pack(config, tmp_path / "pack")
        calls.clear()
        patch.setattr(where, stop_in, lambda *given: stopping(*given, stop_at=99))
        found = write(config, tmp_path / "pack")
    assert content(found) == content(open_storage(made.training.packed))
    shards = Store(config.dataset.root).clips["shard"].n_unique()
    if stop_in == "_scatter":
        assert len(calls) == shards - 2  # those that were read before are not read again


def test_what_is_lost_on_either_side_is_made_again(
    made: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for lost in ("scratch", "file"):
        target = tmp_path / lost
        with monkeypatch.context() as patch:
            patch.setattr(packing, "json_text", stop)
            with pytest.raises(KeyboardInterrupt):
                write(made, target)
        if lost == "scratch":
            shutil.rmtree(next(made.dataset.root.glob(".pack-*")))
        else:
            next(target.glob("pack-00001*.npy")).unlink()
        assert content(write(made, target)) == content(open_storage(made.training.packed))


def test_other_packs_and_files_are_refused(made: Config, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = copy_of(made, tmp_path / "pack")
    before = content(open_storage(tmp_path / "pack"))
    write(config, tmp_path / "pack")
    assert "is complete" in capfd.readouterr().out
    other = with_training(config, seed=7)
    with pytest.raises(UserError, match=r"holds a pack of other clips or settings; .*--fresh"):
        write(other, tmp_path / "pack")
    assert content(open_storage(tmp_path / "pack")) == before
    (tmp_path / "pack" / "pack-00000-of-00099.npy").write_bytes(b"of an earlier pack")
    write(other, tmp_path / "pack", fresh=True)
    assert not (tmp_path / "pack" / "pack-00000-of-00099.npy").exists()
    assert content(open_storage(tmp_path / "pack")) != before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds thesis\.txt, which is not part of a pack"):
        write(made, tmp_path / "other", fresh=True)
    assert (tmp_path / "other" / "thesis.txt").exists()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1]), _flip])
def test_a_file_that_is_harmed_is_one_line(made: Config, tmp_path: Path, harm: Callable) -> None:
    config = copy_of(made, tmp_path / "pack")
    pack = open_pack(config, tmp_path / "pack")
    path = next((tmp_path / "pack").glob("pack-00001*.npy"))
    harm(path)
    with pytest.raises(
        UserError, match=r"^\S+pack-00001\S+\.npy: is missing or damaged; write the pack again"
    ) as first:
        pack.read_file(1)
    assert "\n" not in str(first.value)
    if harm is not _flip:  # of which its size tells nothing
        with pytest.raises(UserError, match="is missing or damaged"):
            open_pack(config, tmp_path / "pack")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pack.json", lambda text: text[:-9], "pack.json: is damaged"),
        ("pack.json", lambda text: text.replace("pack-00000-of", "../pack-00000-of"), "pack.json: is damaged"),
        ("pack.json", lambda text: text.replace('"version": 1', '"version": 9'), "has version 9, this toolkit reads 1"),
        ("settings.toml", lambda text: text.replace("height = 16", "height = 32"), "is missing or damaged"),
        ("validation-00000-of-00001.parquet", lambda _: "", r"validation-00000-of-00001\.parquet: cannot be read"),
    ],
)
def test_a_damaged_table_is_one_line(
    made: Config, tmp_path: Path, name: str, change: Callable[[str], str], message: str
) -> None:
    config = copy_of(made, tmp_path / "pack")
    path = tmp_path / "pack" / name
    path.write_text(change(path.read_text(errors="replace")))
    with pytest.raises(UserError, match=message):
        open_pack(config, tmp_path / "pack")


@pytest.mark.parametrize("damage", ["missing", "no TOML", "unknown setting"])
def test_settings_of_a_pack_are_written_anew(made: Config, tmp_path: Path, damage: str) -> None:
    config = copy_of(made, tmp_path / "pack")
    path = tmp_path / "pack" / "settings.toml"
    before = load(path)
    path.write_bytes({"missing": b"", "no TOML": b"run = ", "unknown setting": b"weather = 1\n"}[damage])
    if damage == "missing":
        path.unlink()
    with pytest.raises(UserError, match=r"settings\.toml: .*; run the same spec\.py --pack again, which writes only"):
        open_pack(config, tmp_path / "pack")
    write(config, tmp_path / "pack")
    assert load(path) == with_training(before, buffer=config.training.buffer)
    assert open_pack(config, tmp_path / "pack").contents.clips > 0


def test_settings_that_give_other_clips_are_refused(made: Config) -> None:
    for change in ({"signal_interval": (0.1, 0.9)}, {"validation_share": 0.4}, {"noise_class": True}):
        with pytest.raises(UserError, match=r"was made with other settings \(training\..*write another pack"):
            read_examples(with_training(made, **change))
    assert read_examples(with_training(made, seed=5)).validation_recordings == from_store(made).validation_recordings
    with pytest.raises(UserError, match="folds are trained on the store"):
        read_fold_examples(made)


def test_noise_that_is_learned_is_packed_once(made: Config, tmp_path: Path) -> None:
    config = with_training(made, noise_class=True)
    write(config, tmp_path / "pack")
    examples, pack = from_store(config), read_examples(with_training(config, packed=tmp_path / "pack"))
    assert pack.classes == examples.classes
    assert "Noise" in pack.classes
    assert sorted(ids(pack.store.clips[pack.rows])) == sorted(ids(examples.store.clips[examples.rows]))
    assert len(pack.noise_rows) == len(examples.noise_rows) > 0
    listed = json.loads((tmp_path / "pack" / "pack.json").read_text())["files"]
    assert not [file for file in listed if file["name"].startswith("noise")]


def test_a_pack_of_sound_holds_the_samples(made: Config, tmp_path: Path) -> None:
    clips = dataclasses.replace(made.clips, keep="sound", margin=0.1)
    dataset = dataclasses.replace(made.dataset, root=tmp_path / "root")
    config = dataclasses.replace(made, clips=clips, dataset=dataset)
    shutil.copytree(made.dataset.root, dataset.root, ignore=shutil.ignore_patterns("spec"))
    spec.main(config, spec.Flags(pack=str(tmp_path / "pack")))
    config = with_training(config, packed=tmp_path / "pack")
    examples, pack = from_store(config), read_examples(config)
    order = np.random.default_rng((1, ORDER_STREAM)).permutation(examples.rows)
    np.testing.assert_array_equal(pack.clips(pack.rows), examples.clips(order))
    np.testing.assert_array_equal(pack.peaks(pack.rows), examples.peaks(order))
    np.testing.assert_array_equal(
        pack.store.spectrograms(pack.validation_rows), examples.store.spectrograms(examples.validation_rows)
    )
    other = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, kind="pcen"))
    assert read_examples(other).store.spectrogram.kind == "pcen"  # one pack serves many kinds


def test_a_disk_that_is_too_small_is_said_first(made: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"the pack needs 0\.0 GB here until it is written, but 0\.0 GB are free"):
        write(made, tmp_path / "pack")
