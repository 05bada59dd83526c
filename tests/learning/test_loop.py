"""Training learns, does not leak held-out recordings, and ends the same whether it was stopped or not."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import jax
import numpy as np
import polars as pl
import pytest

import sort_data
import spec
import submission_soundscape
import test
import train
from config import Config, Log, Submission
from tests.conftest import extracted, small_config, write_folders
from tests.training_runs import pause_training
from utils import console
from utils.learning import epochs, loop, runs
from utils.learning.examples import Examples, choose_examples, read_examples
from utils.models import saved_networks
from utils.models.array_trees import TooLarge
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot, snapshots_of
from utils.models.training_log import EpochRow, best_row, read_training_log
from utils.recordings.splits import read_split
from utils.scoring.held_out import held_out_recordings
from utils.scoring.inference.ensembles import Member
from utils.scoring.testing import check_not_trained_on
from utils.spectra.store import Store

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return extracted(tmp_path_factory.mktemp("loop"))


def with_run(config: Config, run: str, **training: object) -> Config:
    return dataclasses.replace(config, run=run, training=dataclasses.replace(config.training, **training))


def examples_of(config: Config) -> Examples:
    return choose_examples(Store(config.dataset.root), read_split(config.dataset), config)


def weights(run: Path) -> list[np.ndarray]:
    latest = find_snapshot(run, "latest")
    assert latest
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_network(latest)[1])]


def test_train_validation_and_test_share_no_recording(config: Config) -> None:
    examples = examples_of(config)
    names = examples.store.clips["recording"]
    learned, validation = set(names[examples.rows]), set(names[examples.validation_rows])
    tested = set(read_split(config.dataset).filter(split="val")["recording"])
    assert learned
    assert validation
    assert tested
    assert not learned & validation
    assert not (learned | validation) & tested
    # the third has one recording only
    assert {name.split("/")[0] for name in validation} == {"Altus clarus", "Bassus gravis"}
    assert examples.classes == ("Altus clarus", "Bassus gravis", "Solus unicus")
    for row, label in zip(examples.rows, examples.labels.primary, strict=True):
        assert examples.store.clips["class"][int(row)] == examples.classes[label]


def test_signal_interval_and_noise(config: Config) -> None:
    examples = examples_of(config)
    scores = examples.store.clips["score"].to_numpy()
    middle = float(np.median(scores[examples.rows]))
    fewer = examples_of(with_run(config, "x", signal_interval=(0.0, middle)))
    assert 0 < len(fewer.rows) < len(examples.rows)
    assert scores[fewer.rows].max() <= middle
    with pytest.raises(console.UserError, match="no clips to learn from"):
        examples_of(with_run(config, "x", signal_interval=(0.99, 1.0)))
    accepted = examples.store.clips["accepted"]
    assert len(examples.noise.spectrograms) <= int((~accepted).sum())


def test_it_learns(config: Config) -> None:
    train.main(with_run(config, "learns", epochs=8))
    folder = config.snapshots / "learns"
    rows = read_training_log(folder / "log.csv", until=99)
    assert [row.epoch for row in rows] == list(range(1, len(rows) + 1))
    best = best_row(rows)
    assert best
    assert best.validation_mlrap
    assert best.validation_mlrap > 0.9
    assert rows[-1].loss < 0.6 * rows[0].loss
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    found = find_snapshot(folder, "best")
    assert found
    assert (found.epoch, found.mlrap) == (best.epoch, best.validation_mlrap)
    assert len(snapshots_of(folder)) <= 2


@pytest.fixture(scope="module")
def whole(config: Config) -> Config:
    """Train undisturbed."""
    whole = with_run(config, "whole")
    train.main(whole)
    return whole


@pytest.mark.parametrize("stop_in", ["epoch", "save", "log"])
def test_a_stopped_run_ends_as_an_undisturbed_one(
    config: Config, whole: Config, stop_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = with_run(config, f"stopped_{stop_in}")
    module, name = {
        "epoch": (epochs, "epoch_order"),
        "save": (runs, "save_snapshot"),
        "log": (runs, "write_training_log"),
    }[stop_in]
    original, calls = getattr(module, name), []

    def stop(*arguments: object, **more: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stop)
        with pytest.raises(KeyboardInterrupt):
            train.main(stopped)
    assert [snapshot.epoch for snapshot in snapshots_of(stopped.run_folder)] == [1]
    train.main(stopped)
    assert all(
        np.array_equal(a, b) for a, b in zip(weights(whole.run_folder), weights(stopped.run_folder), strict=True)
    )
    columns = ["epoch", "learning_rate", "loss", "accuracy", "validation_loss", "validation_mlrap"]
    logs = [pl.read_csv(run.run_folder / "log.csv").select(columns) for run in (whole, stopped)]
    assert logs[0].equals(logs[1])


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_run_paused_in_an_epoch_ends_as_an_undisturbed_one(
    config: Config, average: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = with_run(config, f"whole_{average}", average=average, optimizer="adamw")
    train.main(whole)
    paused = dataclasses.replace(whole, run=f"paused_{average}")
    for steps in (2, 1, 3):  # within an epoch of four steps, again at its next step, and at the end of it or later
        pause_training(paused, monkeypatch, after=steps)
    assert (paused.run_folder / "paused" / "snapshot.json").is_file()
    train.main(paused)
    assert not (paused.run_folder / "paused").exists()
    assert all(np.array_equal(a, b) for a, b in zip(weights(whole.run_folder), weights(paused.run_folder), strict=True))
    columns = ["epoch", "learning_rate", "loss", "accuracy", "validation_loss", "validation_mlrap"]
    logs = [pl.read_csv(run.run_folder / "log.csv").select(columns) for run in (whole, paused)]
    assert logs[0].equals(logs[1])


def test_a_damaged_pause_is_ignored(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = with_run(config, "bad_pause", epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(console, "stop_when_ready", lambda: nullcontext(lambda: True))
        with pytest.raises(KeyboardInterrupt):
            train.main(run)
    with pytest.raises(console.UserError, match=r"was started with other settings \(training\.epochs was 1, is 5\)"):
        train.main(with_run(config, "bad_pause", epochs=5))
    (run.run_folder / "paused" / "snapshot.json").write_text("{")
    assert train.main(run).epochs == 1
    assert "is a damaged snapshot" in capsys.readouterr().err


def test_which_snapshots_are_kept(config: Config) -> None:
    run = with_run(config, "kept", epochs=5, snapshot_epochs=2, keep_snapshots=2, early_stopping=0)
    train.main(run)
    best = best_row(read_training_log(run.run_folder / "log.csv", until=99))
    assert best
    assert {snapshot.epoch for snapshot in snapshots_of(run.run_folder)} in ({4, 5, best.epoch}, {5, best.epoch})
    assert 5 in {snapshot.epoch for snapshot in snapshots_of(run.run_folder)}
    # these do not change the network
    assert (
        train.main(with_run(config, "kept", epochs=5, snapshot_epochs=1, keep_snapshots=3, early_stopping=0)).epochs
        == 5
    )


def test_what_a_killed_process_did_not_remove_is_removed(config: Config) -> None:
    """A process killed after its last snapshot, before or while earlier ones are removed, has nothing left to learn."""
    run = with_run(config, "tidied", epochs=2, early_stopping=0, keep_snapshots=1)
    train.main(run)
    before = sorted(path.name for path in run.run_folder.iterdir())
    latest = find_snapshot(run.run_folder, "latest")
    assert latest
    for left in ("paused", ".epoch_001.part"):
        shutil.copytree(latest.folder, run.run_folder / left)
    (run.run_folder / ".log.csv.part").touch()
    state = json.loads((run.run_folder / "paused" / "snapshot.json").read_text())
    (run.run_folder / "paused" / "snapshot.json").write_text(json.dumps({**state, "epoch": 1, "steps": 1}))
    train.main(run)
    assert sorted(path.name for path in run.run_folder.iterdir()) == before


def test_a_training_that_is_not_wanted_any_more_ends_and_can_resume(config: Config) -> None:
    ended, whole = with_run(config, "not_wanted", epochs=3), with_run(config, "wanted", epochs=3)
    examples = examples_of(config)
    runs.open_run(ended, fresh=False)
    asked: list[int] = []

    def keep_training(rows: Sequence[EpochRow]) -> bool:
        asked.append(len(rows))
        return len(rows) < 2

    assert len(loop.learn(examples, ended, keep_training=keep_training)) == 2
    assert len(loop.learn(examples, ended, keep_training=keep_training)) == 2
    assert asked == [0, 1, 2, 2]
    train.main(ended)
    train.main(whole)
    for one, other in zip(weights(ended.run_folder), weights(whole.run_folder), strict=True):
        np.testing.assert_array_equal(one, other)


def test_pretrained_networks_are_a_better_start(config: Config) -> None:
    first = with_run(config, "teacher", epochs=8)
    train.main(first)
    second = with_run(config, "pupil", epochs=1, pretrained=first.run_folder)
    train.main(second)
    loss = [read_training_log(run.run_folder / "log.csv", until=99)[0].validation_loss for run in (first, second)]
    assert loss[0]
    assert loss[1]
    assert loss[1] < 0.8 * loss[0]


def test_fewer_clips_than_a_batch(config: Config) -> None:
    run = with_run(config, "large_batch", batch_size=512, epochs=2)
    assert len(examples_of(run).rows) < 512
    assert train.main(run).epochs == 2


def test_one_class_is_refused(config: Config) -> None:
    split = read_split(config.dataset)
    with pytest.raises(
        console.UserError, match=r"only one class has clips to learn from \(Altus clarus\).*training\.noise_class"
    ):
        choose_examples(Store(config.dataset.root), split.filter(pl.col("class") == "Altus clarus"), config)


def test_noise_is_learned_as_a_class(config: Config) -> None:
    store = Store(config.dataset.root)
    # the first clip of each recording is rejected
    clips = store.clips = store.clips.with_columns(accepted=pl.col("index") > 0)
    split = read_split(config.dataset)
    examples, without = (
        choose_examples(store, split, with_run(config, "x", noise_class=True)),
        choose_examples(store, split, config),
    )
    assert examples.classes == (*without.classes[:2], "Noise", *without.classes[2:])
    noise = examples.rows[examples.labels.primary == examples.classes.index("Noise")]
    assert len(noise) == len(examples.rows) - len(without.rows) > 0
    assert not clips["accepted"].to_numpy()[noise].any()
    validation = set(clips["recording"][examples.validation_rows])
    assert not validation & set(clips["recording"][noise])


def test_a_device_without_memory_is_explained(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object) -> object:
        def chunk(*_: object) -> None:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 99 bytes.")

        return chunk

    with monkeypatch.context() as patch:
        patch.setattr(loop, "make_chunk", out_of_memory)
        patch.setattr(epochs, "memory_needed", lambda *_: (1_000, 80_000))
        patch.setattr(epochs, "device_memory", lambda: 21_000)
        with pytest.raises(
            console.UserError, match=r"does not hold batches of 8 clips of this model; set training\.batch_size to 2"
        ):
            train.main(with_run(config, "memory"))


def test_tensorboard_has_the_log(config: Config) -> None:
    run = with_run(config, "board", epochs=2)
    train.main(run)
    board = b"".join(path.read_bytes() for path in (run.run_folder / "tensorboard").iterdir())
    for name in (b"validation_mlrap", b"learning_rate", b"loss"):
        assert board.count(name) >= 2
    off = dataclasses.replace(with_run(config, "no_board", epochs=1), log=Log(tensorboard=False))
    train.main(off)
    assert not (off.run_folder / "tensorboard").exists()


def test_a_finished_run_is_left_alone_and_a_changed_one_refused(config: Config) -> None:
    run = with_run(config, "finished", epochs=1)
    train.main(run)
    before = weights(run.run_folder)
    assert train.main(run).epochs == 1
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(run.run_folder), strict=True))
    with pytest.raises(console.UserError, match=r"training\.epochs was 1, is 2"):
        train.main(with_run(run, "finished", epochs=2))
    train.main(with_run(run, "finished", epochs=2), train.Flags(fresh=True))
    assert [snapshot.epoch for snapshot in snapshots_of(run.run_folder)][-1] == 2


def test_a_store_of_other_settings_is_refused(config: Config) -> None:
    other = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, fmin=600.0))
    with pytest.raises(console.UserError, match=r"spectrogram\.fmin was 500\.0, is 600\.0"):
        train.main(other)


def test_a_model_is_not_tested_on_what_it_was_trained_on(config: Config) -> None:
    run = with_run(config, "leak", epochs=1)
    train.main(run)
    split = read_split(config.dataset)
    snapshot = find_snapshot(run.run_folder, "best")
    assert snapshot
    check_not_trained_on(held_out_recordings(split, config), [Member(snapshot)])
    turned = split.with_columns(split=pl.when(pl.col("split") == "val").then(pl.lit("train")).otherwise(pl.lit("val")))
    with pytest.raises(console.UserError, match=r"was trained on \d+ recordings that are now held out"):
        check_not_trained_on(held_out_recordings(turned, config), [Member(snapshot)])


def test_a_folder_that_holds_something_else_is_not_made_fresh(config: Config) -> None:
    folder = config.snapshots / "mine"
    (folder / "wav").mkdir(parents=True)
    with pytest.raises(console.UserError, match="contains wav, which does not belong to a run"):
        train.main(with_run(config, "mine"), train.Flags(fresh=True))
    assert (folder / "wav").is_dir()


def test_a_damaged_latest_snapshot_is_made_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_run(config, "damaged", epochs=2, early_stopping=0)
    monkeypatch.setattr(runs, "keep_best_and_newest", lambda *_, **__: None)
    train.main(run)
    first, second = weights(run.run_folder), find_snapshot(run.run_folder, "latest")
    assert second
    (second.folder / "snapshot.json").write_text("{")
    train.main(run)
    assert all(np.array_equal(a, b) for a, b in zip(first, weights(run.run_folder), strict=True))


def test_a_store_of_an_earlier_sort_is_refused(config: Config) -> None:
    split = read_split(config.dataset)
    new = pl.concat([split, split.head(1).with_columns(recording=pl.lit("Altus clarus/new"), split=pl.lit("train"))])
    with pytest.raises(
        console.UserError,
        match=r"1 recordings of split\.parquet are not in the store \(Altus clarus/new, …\); run spec\.py",
    ):
        choose_examples(Store(config.dataset.root), new, config)


def test_early_stopping(config: Config) -> None:
    run = with_run(config, "early", epochs=12, early_stopping=2)
    trained = train.main(run)
    rows = read_training_log(run.run_folder / "log.csv", until=99)
    best = best_row(rows)
    assert best
    assert trained.epochs == len(rows) == best.epoch + 2 < 12


def test_a_loss_that_is_not_finite_ends_training(config: Config) -> None:
    run = with_run(config, "nan", learning_rate=1e30, learning_rate_end=0.0)
    with pytest.raises(
        console.UserError,
        match=r"The loss became NaN or infinite in epoch \d+, step \d+, at learning rate .* "
        r"Lower training\.learning_rate",
    ):
        train.main(run)
    clips = pl.read_csv(run.run_folder / "diverged.csv")
    assert clips.columns == ["recording", "start", "class"]
    assert len(clips) == run.training.batch_size


def test_a_weight_that_is_not_finite_is_not_saved(config: Config) -> None:
    # one step only: its loss is that of the initial weights, which are finite
    run = with_run(
        config, "nan_weights", learning_rate=1e39, learning_rate_end=0.0, batch_size=512, validation_share=0.0
    )
    with pytest.raises(console.UserError, match="became NaN or infinite in epoch 1, step 1"):
        train.main(run)
    assert find_snapshot(run.run_folder, "latest") is None


def test_a_lost_log_is_explained(config: Config) -> None:
    run = with_run(config, "lost", epochs=1)
    train.main(run)
    (run.run_folder / "log.csv").unlink()
    with pytest.raises(console.UserError, match=r"log\.csv: is missing or damaged"):
        train.main(run)


def test_of_equal_rows_the_lower_loss_is_best_then_the_earlier() -> None:
    metrics = [(1, 0.2, 0.1), (2, 0.5, 0.8), (3, 0.5, 0.7), (4, 0.5, 0.7), (5, None, None)]
    best = best_row([EpochRow(epoch, 1.0, 1.0, 1.0, loss, 1.0, mlrap, 1.0, 1.0) for epoch, mlrap, loss in metrics])
    assert best
    assert best.epoch == 3
    assert best_row([]) is None


def test_a_folder_of_images_gives_the_same_examples_as_the_store(config: Config) -> None:
    with_images = dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, images=True))
    spec.main(with_images)
    folder = config.dataset.root / "spec" / "images"
    from_folder, from_store = read_examples(with_run(config, "x", images=folder)), read_examples(config)
    assert from_folder.fingerprint == from_store.fingerprint
    assert from_folder.classes == from_store.classes
    for name in ("rows", "validation_rows", "validation_recording", "validation_truth"):
        np.testing.assert_array_equal(getattr(from_folder, name), getattr(from_store, name))
    np.testing.assert_array_equal(from_folder.noise.spectrograms, from_store.noise.spectrograms)
    for one, other in zip(
        (*from_folder.labels, *from_folder.validation_labels),
        (*from_store.labels, *from_store.validation_labels),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        from_folder.store.spectrograms(from_folder.rows), from_store.store.spectrograms(from_store.rows)
    )


def test_training_from_a_folder_that_stands_alone(config: Config, tmp_path: Path) -> None:
    spec.main(dataclasses.replace(config, spectrogram=dataclasses.replace(config.spectrogram, images=True)))
    shutil.copytree(config.dataset.root / "spec" / "images", tmp_path / "old")
    elsewhere = dataclasses.replace(
        config, snapshots=tmp_path / "snapshots", dataset=dataclasses.replace(config.dataset, root=tmp_path / "nothing")
    )
    settings = with_run(elsewhere, "alone", images=tmp_path / "old", epochs=1)
    examples = read_examples(settings)
    names = examples.store.clips["recording"]
    learned, validation = set(names[examples.rows]), set(names[examples.validation_rows])
    assert len(learned | validation) == 13
    assert len(validation) == 3  # a quarter of the recordings of the two classes of six
    assert not learned & validation
    trained = train.main(settings)
    assert trained.epochs == 1
    (tmp_path / "old").rename(tmp_path / "other")
    with pytest.raises(console.UserError, match=r"training\.images was"):
        train.main(with_run(elsewhere, "alone", images=tmp_path / "other", epochs=1))


def test_quality_weighs_clips(tmp_path: Path) -> None:
    write_folders(tmp_path / "archive", recordings=4)
    table = "".join(
        f"{file.parent.name}/{file.name},{'A' if file.stem.endswith('0') else 'C'}\n"
        for file in sorted((tmp_path / "archive").glob("*/*"))
    )
    (tmp_path / "archive" / "metadata.csv").write_text("file,quality\n" + table)
    config = small_config(tmp_path / "root", tmp_path / "archive")
    sort_data.main(config)
    spec.main(config)
    examples = examples_of(with_run(config, "x", quality_weights=True, validation_share=0.0))
    names = examples.store.clips["recording"][examples.rows].to_list()
    assert {name.split("/")[-1][1:]: float(weight) for name, weight in zip(names, examples.labels.weight, strict=True)}[
        "1"
    ] == pytest.approx(0.6)
    expected = [1.0 if name.endswith("0") else 0.6 for name in names]
    assert len(set(expected)) == 2
    np.testing.assert_allclose(examples.labels.weight, expected, rtol=1e-6)
    np.testing.assert_array_equal(examples_of(config).labels.weight, 1)


def broken_save(*arguments: object, **more: object) -> None:
    """Save a snapshot as Orbax once did in a folder with brackets: without its manifest and metadata."""
    saved_networks.save_snapshot(*arguments, **more)  # type: ignore[arg-type]
    for left in ("manifest.ocdbt", "_METADATA"):
        (arguments[0].folder / "net" / left).unlink()  # type: ignore[attr-defined]


def test_a_broken_snapshot_is_found_after_one_epoch(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = with_run(config, "unsaved", epochs=5, early_stopping=0)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "save_snapshot", broken_save)
        with pytest.raises(
            console.UserError,
            match=r"epoch_001/net: cannot be read .*right after it was saved; choose another folder for --snapshots",
        ):
            train.main(run)
    assert len(read_training_log(run.run_folder / "log.csv", until=99)) == 1
    assert not snapshots_of(run.run_folder)  # a second call finds nothing broken
    assert train.main(with_run(config, "unsaved", epochs=1, early_stopping=0)).epochs == 1


def test_a_snapshot_that_memory_does_not_suffice_to_read_back_is_not_removed(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise TooLarge("x: memory does not suffice")

    run = with_run(config, "full", epochs=1, early_stopping=0)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "check_snapshot", full)
        with pytest.raises(console.UserError, match=r"memory does not suffice$"):
            train.main(run)
        patch.setattr(loop, "check_snapshot", full)  # of a run that is already finished
        with pytest.raises(console.UserError, match=r"memory does not suffice$"):
            train.main(run)
    assert [snapshot.epoch for snapshot in snapshots_of(run.run_folder)] == [1]
    assert train.main(run).epochs == 1


def test_a_pause_that_cannot_be_saved_is_reported(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(runs, "save_snapshot", broken_save)
        patch.setattr(console, "stop_when_ready", lambda: nullcontext(lambda: True))
        with pytest.raises(console.UserError, match=r"paused/net: cannot be read .*right after it was saved"):
            train.main(with_run(config, "unpaused"))


def test_a_run_with_an_unreadable_snapshot_is_not_reported_as_trained(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = with_run(config, "unread", epochs=2, early_stopping=0)
    calls: list[int] = []

    def second_is_broken(*arguments: object, **more: object) -> None:
        calls.append(1)
        (saved_networks.save_snapshot if len(calls) == 1 else broken_save)(*arguments, **more)  # type: ignore[operator]

    with monkeypatch.context() as patch:
        patch.setattr(runs, "save_snapshot", second_is_broken)
        patch.setattr(loop, "find_snapshot", lambda folder, _: find_snapshot(folder, "latest"))
        with pytest.raises(
            console.UserError,
            match=r"epoch_002/net: cannot be read .*; remove .*epoch_002 and run the same command again",
        ):
            train.main(run)
    assert "Trained" not in capsys.readouterr().out
    damaged = r"cannot be read .*; remove .*epoch_002, earlier ones are usable, or start over"
    with monkeypatch.context() as patch, pytest.raises(console.UserError, match=damaged):
        patch.setattr(runs, "latest_snapshot", lambda folder: find_snapshot(folder, "latest"))
        train.main(run)


@pytest.mark.parametrize("name", ["a [1]", "b\\{x}*"])
def test_the_chain_in_a_folder_of_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / name
    write_folders(here / "archive")
    monkeypatch.chdir(here)  # with the default, a path that is relative
    base = small_config(Path("root"), Path("archive"))
    settings = dataclasses.replace(
        base, training=dataclasses.replace(base.training, epochs=1), submission=Submission(recordings=Path("archive"))
    )
    sort_data.main(settings)
    spec.main(settings)
    train.main(settings)
    train.main(settings)  # resumes
    tested = test.main(settings)
    assert tested.headline.scored == tested.headline.recordings
    train.main(with_run(settings, "pupil", pretrained=Path("root/snapshots/small")))
    done = submission_soundscape.main(settings)
    assert done.recordings == 9
    assert [path.name for path in tmp_path.iterdir()] == [name]
