"""Training from a pack sees the same batches whatever reads them, resumes within an epoch, and reads no file twice."""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest

import train
from config import Config, SettingsError
from tests.conftest import small_config
from tests.packs import small_files, training_from_pack, with_training
from tests.remote import count_all, put_files
from tests.training_runs import pause_training
from utils import console
from utils.learning import packed_batches
from utils.learning.devices import device_mesh
from utils.learning.examples import Examples, read_examples
from utils.learning.packed_batches import FilesAhead, PackedBatches
from utils.learning.sampling import packed_order
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot
from utils.settings_checks import check
from utils.spectra.pack import Pack

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with small_files():
        yield training_from_pack(tmp_path_factory.mktemp("packed"))


def batches(examples: Examples, order: np.ndarray) -> Iterator[np.ndarray]:
    assert isinstance(examples.store, Pack)
    supply = PackedBatches(
        examples, pack=examples.store, batch_size=order.shape[1], mesh=device_mesh(order.shape[1]), loops=False
    )
    for given in supply.chunks(order, lambda: 1):
        yield np.asarray(jax.device_get(given.source.clips))[0]


def order_of(examples: Examples, config: Config, *, epoch: int = 1) -> np.ndarray:
    assert isinstance(examples.store, Pack)
    return packed_order(examples.store.file_of(examples.rows), config.training, epoch=epoch)


def count_files(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Count how often each file is read from now on."""
    whole, reads = Pack.read_file, Counter[int]()

    def read(pack: Pack, index: int) -> np.ndarray:
        reads[index] += 1
        return whole(pack, index)

    monkeypatch.setattr(Pack, "read_file", read)
    return reads


@pytest.mark.parametrize("threads", [1, 4])
def test_batches_come_in_the_order_of_the_epoch(
    made: Config,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed_batches, "FILE_READERS", threads)
    examples, config = read_examples(made), with_training(made, batch_size=4)
    order, reads = order_of(examples, config), count_files(monkeypatch)
    found = list(batches(examples, order))
    assert len(found) == len(order)
    for batch, rows in zip(found, examples.rows[order], strict=True):
        np.testing.assert_array_equal(batch, examples.store.spectrograms(rows))
    files = len(set(examples.store.file_of(examples.rows).tolist()))
    assert files > 3
    assert reads == dict.fromkeys(range(files), 1)


def test_a_rest_of_an_epoch_reads_only_its_files(made: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    examples, config = read_examples(made), with_training(made, batch_size=4, buffer=2)
    order = order_of(examples, config)
    whole, reads = list(batches(examples, order)), count_files(monkeypatch)
    rest = order[-2:]
    np.testing.assert_array_equal(list(batches(examples, rest)), whole[-2:])
    assert reads == dict.fromkeys(set(examples.store.file_of(examples.rows[rest].ravel()).tolist()), 1)
    assert len(reads) <= 3


def test_few_files_are_in_memory(made: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_batches, "FILES_AHEAD", 1)
    examples, config = read_examples(made), with_training(made, batch_size=2, buffer=1)
    order = examples.rows[order_of(examples, config)]
    assert isinstance(examples.store, Pack)
    with packed_batches.ThreadPoolExecutor(1) as threads:
        ahead = FilesAhead(examples.store, order.ravel(), lambda index: threads.submit(examples.store.read_file, index))
        held = []
        for rows in order:
            ahead.read(rows)
            held.append(len(ahead._arrays))
    assert max(held) <= 2
    assert held[-1] == 0


def weights(run: Path) -> list[np.ndarray]:
    latest = find_snapshot(run, "latest")
    assert latest
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_network(latest)[1])]


def test_a_run_paused_in_an_epoch_ends_as_an_undisturbed_one(
    made: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the data set at hand; and clips on the device give the same model, too."""
    whole = with_training(made, epochs=2, clips_on="host", optimizer="sgd")
    whole = dataclasses.replace(whole, run="whole", dataset=dataclasses.replace(made.dataset, root=tmp_path))
    assert train.main(whole).epochs == 2
    paused = dataclasses.replace(whole, run="paused")
    for steps in (2, 1):
        pause_training(paused, monkeypatch, after=steps)
    assert (paused.run_folder / "paused").is_dir()
    # a cache may be added meanwhile, and files of the first steps are not needed
    train.main(with_training(paused, cache=tmp_path / "cache"))
    train.main(with_training(dataclasses.replace(whole, run="device"), clips_on="device"))
    for run in (paused, dataclasses.replace(whole, run="device")):
        for one, two in zip(weights(whole.run_folder), weights(run.run_folder), strict=True):
            np.testing.assert_array_equal(one, two)
    columns = ["epoch", "learning_rate", "loss", "accuracy", "validation_loss", "validation_mlrap"]
    logs = [pl.read_csv(run.run_folder / "log.csv").select(columns) for run in (whole, paused)]
    assert logs[0].equals(logs[1])


def test_a_file_that_vanishes_while_training_is_one_line(made: Config, tmp_path: Path) -> None:
    shutil.copytree(str(made.training.packed), tmp_path / "pack")
    examples = read_examples(with_training(made, packed=tmp_path / "pack"))
    reading = batches(examples, order_of(examples, with_training(made, batch_size=1)))
    for path in (tmp_path / "pack").glob("pack-*.npy"):
        path.unlink()
    with pytest.raises(console.UserError, match=r"is missing or damaged; write the pack again"):
        next(reading)


def test_a_second_epoch_reads_nothing_from_elsewhere(
    made: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("obstore")
    address = f"file://{tmp_path}/pack"
    put_files(address, Path(str(made.training.packed)))
    stores, cold = count_all(monkeypatch), read_examples(with_training(made, packed=address))
    requests = stores[0].calls
    for epoch, cache in ((1, None), (2, None), (1, tmp_path / "cache"), (2, tmp_path / "cache")):
        if epoch == 1 and cache:
            cold = read_examples(with_training(made, packed=address, cache=cache))
            requests = stores[-1].calls
        before = requests.total()
        order = order_of(cold, made, epoch=epoch)
        for batch, rows in zip(batches(cold, order), cold.rows[order], strict=True):
            np.testing.assert_array_equal(batch, read_examples(made).store.spectrograms(rows))
        cold.store.spectrograms(cold.validation_rows)
        assert (requests.total() == before) == (cache is not None and epoch == 2)
    copies = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(copies) == len(cold.store.contents.files)
    assert copies[0].name == "noise-00000-of-00002.npy"
    copies[0].write_bytes(b"short")
    with pytest.raises(console.UserError, match=r"cache/\S+/noise\S+ is damaged; remove it, and it is copied"):
        cold.store.read_file(len(cold.store.contents.files) - 2)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"sampler": "balanced"}, r"training\.sampler = \"balanced\": should be all with training\.packed"),
        ({"min_per_class": 5}, r"training\.min_per_class = 5: should be 0 with training\.packed"),
        ({"max_per_class": 5}, r"training\.max_per_class = 5: should be 0 with training\.packed"),
        (
            {"loss": "triplet"},
            r"training\.loss = \"triplet\": reads the clips .* slow from elsewhere; set training\.cache",
        ),
        ({"images": Path("x")}, r"training\.images = \"x\": should be left out with training\.packed"),
        ({"packed": "s3://key:secret@bucket/x"}, r"training\.packed = \"s3://bucket/x\": should hold no credentials"),
        ({"packed": None, "cache": Path("x")}, r"training\.cache = \"x\": needs training\.packed"),
    ],
)
def test_what_cannot_work_in_a_stream_is_refused(tmp_path: Path, training: dict[str, object], message: str) -> None:
    config = with_training(small_config(tmp_path), packed="s3://bucket/pack")
    check(config)
    check(with_training(config, class_weights="balanced", cache=Path("x"), loss="binary"))
    check(with_training(config, cache=Path("x"), loss="triplet"))
    check(with_training(config, packed=Path("pack"), loss="triplet"))
    with pytest.raises(SettingsError, match=message):
        check(with_training(config, **training))
    teachers = dataclasses.replace(config.distillation, teachers=(Path("x"),))
    with pytest.raises(SettingsError, match=r"training\.packed = .*distill\.py reads the store"):
        check(dataclasses.replace(config, distillation=teachers))


def test_a_share_of_the_recordings_is_the_same_of_store_and_pack(made: Config) -> None:
    drawn = {}
    for share in (0.25, 0.5, 1.0):
        found = []
        for packed in (made.training.packed, None):
            examples = read_examples(with_training(made, packed=packed, data_share=share))
            table = examples.store.clips[examples.rows].select("recording", "class")
            found.append(sorted(table.rows()))
            assert examples.validation_recordings == read_examples(made).validation_recordings
        assert found[0] == found[1]
        drawn[share] = {name for name, _ in found[0]}
        counts = Counter(name.split("/")[0] for name in drawn[share])
        of_class = Counter(
            name.split("/")[0]
            for name in read_examples(made).store.clips[read_examples(made).rows]["recording"].unique()
        )
        assert counts == {label: max(1, round(share * count)) for label, count in of_class.items()}
    assert drawn[0.25] < drawn[0.5] < drawn[1.0]
    config = with_training(made, data_share=0.5, batch_size=3)
    examples = read_examples(config)
    order = order_of(examples, config)
    assert set(order.ravel().tolist()) == set(range(len(examples.rows)))
    for batch, rows in zip(batches(examples, order), examples.rows[order], strict=True):
        np.testing.assert_array_equal(batch, examples.store.spectrograms(rows))


def test_a_file_that_is_gone_elsewhere_is_named_there(made: Config, tmp_path: Path) -> None:
    pytest.importorskip("obstore")
    address = f"file://{tmp_path}/pack"
    put_files(address, Path(str(made.training.packed)))
    examples = read_examples(with_training(made, packed=address, cache=tmp_path / "cache"))
    assert isinstance(examples.store, Pack)
    for path in (tmp_path / "pack").glob("pack-*.npy"):
        path.unlink()
    with pytest.raises(
        console.UserError, match=r"^file://\S+/pack/pack-00000\S+ is missing or damaged; write the pack"
    ):
        examples.store.read_file(0)


@pytest.mark.parametrize("where", ["here", "cached"])
def test_triplets_of_a_pack_are_read_in_any_order(made: Config, tmp_path: Path, where: str) -> None:
    packed, cache = made.training.packed, None
    if where == "cached":
        pytest.importorskip("obstore")
        packed, cache = f"file://{tmp_path}/pack", tmp_path / "cache"
        put_files(packed, Path(str(made.training.packed)))
    config = with_training(made, packed=packed, cache=cache, loss="triplet", batch_size=4, epochs=2, clips_on="host")
    config = dataclasses.replace(config, run=where, snapshots=tmp_path)
    assert train.main(config).epochs == 2
    from_memory = dataclasses.replace(with_training(config, clips_on="device"), run="device")
    train.main(from_memory)
    for one, two in zip(weights(config.run_folder), weights(from_memory.run_folder), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    drawn = pl.read_parquet(config.run_folder / "triplets.parquet")
    assert set(drawn["anchor"]) == set(read_examples(made).store.clips[read_examples(made).rows]["recording"])
    if cache:
        assert len(list(cache.rglob("*.npy"))) == len(read_examples(config).store.contents.files)
        with pytest.raises(
            console.UserError, match=r"training\.cache_gb = 1e-06: should be at least .*, the whole pack"
        ):
            read_examples(with_training(config, cache_gb=1e-6))
