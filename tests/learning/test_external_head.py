"""A head learns on the embeddings of a bird model from a file: the whole chain, and what does not go with it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest

import evaluate
import sort_data
import spec
import submission_monophone
import submission_soundscape
import test
import train
from config import Clips, Config, External, Model, SettingsError, Spectrogram
from tests.bird_models import CLASSES, class_layer, embeddings_of, write_onnx
from tests.conftest import RATE, SHARED, small_config, write_folders
from tests.training_runs import pause_training
from utils.console import UserError
from utils.external.settings import with_external_model
from utils.models.array_trees import named_leaves
from utils.models.saved_networks import load_network
from utils.models.snapshots import find_snapshot
from utils.recordings.splits import read_split
from utils.scoring.inference.predictors import predictor
from utils.spectra import store_writer
from utils.spectra.shard_arrays import EMBEDDINGS
from utils.spectra.store import Store
from utils.workers.fanout import fan_out

pytestmark = pytest.mark.usefixtures("undrawn")

BIRDNET = SHARED / "weights" / "BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"


def external_config(folder: Path, bird: Path, **clips: Any) -> Config:
    """Return settings of a head on a bird model, on the small archive."""
    config = small_config(folder / "root", folder / "archive")
    return replace(
        config,
        clips=Clips(max_per_class=0, signal_threshold=0.0, noise_share=0.0, overlap=0.0, **clips),
        model=Model(name="External", weights=str(bird), dropout=0.0),
        external=External(rate=RATE),
        training=replace(config.training, epochs=15, early_stopping=0, learning_rate=0.03),
        testing=replace(config.testing, pooling="mean", snapshot="latest"),
        submission=replace(config.submission, folder=folder / "submissions", recordings=folder / "archive"),
        log=replace(config.log, tensorboard=False),
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("external")
    write_folders(folder / "archive", recordings=6)
    return folder


@pytest.fixture(scope="module")
def config(archive: Path) -> Config:
    """Sort and extract with clips of one window."""
    bird = write_onnx(archive / "bird.onnx")
    (archive / "bird_labels.txt").write_text("\n".join(f"{name}_Common name" for name in CLASSES))
    config = external_config(archive, bird)
    sort_data.main(config)
    spec.main(config)
    return config


@pytest.fixture(scope="module")
def trained(config: Config) -> Config:
    train.main(config)
    return config


@pytest.fixture(scope="module")
def windows_config(archive: Path, config: Config) -> Config:
    """Extract with clips of five windows, in a data set beside the other."""
    changed = replace(
        config, clips=replace(config.clips, length=2.0, overlap=1.75), external=replace(config.external, hop=0.25)
    )
    changed = replace(changed, dataset=replace(config.dataset, root=archive / "windows"))
    changed = replace(changed, snapshots=archive / "windows" / "snapshots")
    sort_data.main(changed)
    spec.main(changed)
    return changed


def with_model(config: Config, run: str, **model: Any) -> Config:
    return replace(config, run=run, model=replace(config.model, **model))


def content(root: Path) -> dict[str, bytes]:
    files = sorted((root / "spec" / "shards").rglob("*"))
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files if file.is_file()}


def test_a_head_learns_to_be_silent_on_a_folder_of_noise(config: Config, tmp_path: Path) -> None:
    import soundfile

    (tmp_path / "rain").mkdir()
    samples = (0.1 * np.random.default_rng(1).normal(size=5 * RATE)).astype(np.float32)
    soundfile.write(tmp_path / "rain" / "rain.wav", samples, RATE)
    highest = []
    for name, ratio in (("little", 0.05), ("more", 1.0)):
        changes = {"loss": "binary", "noise_folder": tmp_path / "rain", "noise_ratio": ratio, "hard_negatives": 1.0}
        run = replace(config, run=name, training=replace(config.training, **changes))
        train.main(run)
        highest.append(pl.read_csv(run.run_folder / "hard_negatives.csv")["score"].max())
    assert highest[1] < highest[0]
    folder = next(path for path in (config.dataset.root / "spec").glob("noise_*") if path.is_dir())
    found = Store(config.dataset.root, at=folder).spectrograms(np.array([1]))
    np.testing.assert_allclose(found[0], embeddings_of(samples[None, RATE : 2 * RATE]), rtol=5e-3)


def test_the_store_keeps_embeddings_of_the_clips(config: Config) -> None:
    store = Store(config.dataset.root)
    assert store.keeps_embeddings
    row = store.clips.with_row_index("clip").filter(recording="Altus clarus/A3", index=2).row(0, named=True)
    import soundfile

    samples, _ = soundfile.read(
        config.dataset.archive / "Altus clarus" / "A3.wav",  # type: ignore[operator]
        dtype="float32",
        start=round(row["start"] * RATE),
        frames=RATE,
    )
    found = store.spectrograms(np.array([row["clip"]]))
    assert (found.dtype, found.shape) == (np.float16, (1, 1, 16))
    np.testing.assert_allclose(found[0], embeddings_of(samples[None]), rtol=5e-3)
    assert (config.dataset.root / "spec" / "shards" / row["shard"] / EMBEDDINGS).is_file()
    assert not list((config.dataset.root / "spec").rglob("pixel_sums*"))


def test_a_linear_head_names_the_species(trained: Config) -> None:
    tested = test.main(trained)
    assert tested.headline.mlrap == 1.0
    assert tested.headline.top1_accuracy == 1.0
    metrics = json.loads((trained.run_folder / "test" / "metrics.json").read_text())
    (snapshot,) = metrics["external"]
    external = with_external_model(trained).external
    assert snapshot == {"title": "bird", "licence": "", "file": "bird.onnx", "sha256": external.sha256}
    page = (trained.run_folder / "test" / "report.html").read_text()
    assert external.sha256[:16] in page
    assert "bird.onnx" in page
    assert str(trained.model.weights) not in page  # a path of the user's


def test_snapshots_name_the_model(trained: Config) -> None:
    snapshot = find_snapshot(trained.run_folder, "latest")
    assert snapshot is not None
    assert snapshot.config.external == with_external_model(trained).external


@pytest.mark.parametrize("script", [submission_monophone, submission_soundscape])
def test_submissions(trained: Config, script: Any) -> None:
    script.main(replace(trained, submission=replace(trained.submission, format="csv", min_score=0.0)))
    written = list(trained.submission.folder.glob(f"*{script.__name__.rpartition('_')[2]}*.csv"))
    assert written
    assert "Altus clarus" in written[0].read_text()


@pytest.mark.parametrize("head", ["linear", "hidden", "attention", "file"])
def test_heads_on_clips_of_several_windows(windows_config: Config, head: str) -> None:
    config = with_model(windows_config, head, head=head, dense_units=8)
    assert with_external_model(config).input_shape == (5, 16)
    train.main(config)
    assert test.main(config).headline.mlrap >= 0.75
    snapshot = find_snapshot(config.run_folder, "latest")
    assert snapshot is not None
    graph, network = load_network(snapshot)
    embeddings = Store(config.dataset.root).spectrograms(np.arange(20))
    expected = head_in_numpy(embeddings.astype(np.float32), network, head)
    np.testing.assert_allclose(
        predictor(graph, batch_size=8)(network, embeddings).logits, expected, rtol=1e-3, atol=1e-3
    )


def head_in_numpy(embeddings: np.ndarray, network: Any, head: str) -> np.ndarray:
    """Return the logits of a head."""
    params, rest = ({key: np.asarray(leaf) for key, leaf in named_leaves(part).items()} for part in network)
    x = (embeddings - rest["scaling/mean"]) / rest["scaling/deviation"]
    if head == "attention":
        powers = np.exp(x @ params["attention/kernel"] + params["attention/bias"])
        x = (powers / powers.sum(axis=1, keepdims=True) * x).sum(axis=1)
    else:
        x = x.mean(axis=1)
    if head == "file":
        assert (rest["scaling/mean"] == 0).all()
    else:
        assert (rest["scaling/mean"] != 0).all()
        x *= np.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True)
    if head == "hidden":
        x = np.maximum(x @ params["hidden/kernel"] + params["hidden/bias"], 0)
    return x @ params["output/kernel"] + params["output/bias"]


def test_without_a_head_the_classes_are_the_files(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    config = with_model(config, "none", head="none")
    assert train.main(config).epochs == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "bird does not have 1 of 3 classes (Solus unicus); they are never detected" in told
    assert test.main(config).headline.mlrap == 1.0
    snapshot = find_snapshot(config.run_folder, "latest")
    assert snapshot is not None
    store = Store(config.dataset.root)
    embeddings = store.spectrograms(np.arange(len(store.clips)))
    graph, network = load_network(snapshot)
    logits = predictor(graph, batch_size=8)(network, embeddings).logits
    expected = embeddings[:, 0].astype(np.float32) @ class_layer().weights + class_layer().bias
    known = [snapshot.classes.index(label) for label in CLASSES[:2]]
    np.testing.assert_allclose(logits[:, known], expected[:, :2], rtol=1e-4, atol=1e-4)
    assert (logits[:, snapshot.classes.index("Solus unicus")] == -30).all()


def test_without_a_head_labels_are_needed(config: Config, tmp_path: Path) -> None:
    lost = replace(config.external, labels=tmp_path / "none.txt")
    with pytest.raises(UserError, match=r"none.txt: cannot be read as labels"):
        train.main(with_model(replace(config, external=lost), "lost", head="none"))
    (tmp_path / "others.txt").write_text("A a\nB b\nC c\n")
    others = replace(config.external, labels=tmp_path / "others.txt")
    with pytest.raises(UserError, match=r"^bird has none of the 3 classes \(Altus clarus, [^\n]*such as [^\n]*$"):
        train.main(with_model(replace(config, external=others), "others", head="none"))


def test_an_ensemble_with_a_model_of_spectrograms(trained: Config, archive: Path) -> None:
    other = replace(
        small_config(archive / "other", archive / "archive"),
        run="spectrograms",
        snapshots=trained.snapshots,
        log=trained.log,
    )
    sort_data.main(other)
    spec.main(other)
    train.main(other)
    both = replace(
        trained,
        run="both",
        testing=replace(trained.testing, models=(trained.run_folder, other.run_folder)),
    )
    assert test.main(both).headline.mlrap > 0.7
    assert len(json.loads((both.run_folder / "test" / "metrics.json").read_text())["external"]) == 1


def test_a_stopped_extraction_resumes_with_the_same_bytes(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(*arguments: Any, **more: Any) -> Iterator[Any]:
        for count, result in enumerate(fan_out(*arguments, **more)):
            if count == 4:
                raise KeyboardInterrupt
            yield result

    again = replace(config, dataset=replace(config.dataset, root=tmp_path / "root"))
    sort_data.main(again)
    with monkeypatch.context() as patch:
        patch.setattr(store_writer, "fan_out", stopping)
        with pytest.raises(KeyboardInterrupt):
            spec.main(again)
    assert list((tmp_path / "root" / "spec" / "parts").rglob("*"))
    spec.main(again)
    assert content(tmp_path / "root") == content(config.dataset.root)


@pytest.mark.usefixtures("processes")
def test_two_workers_make_the_same_store(config: Config, tmp_path: Path) -> None:
    again = replace(config, workers=2, dataset=replace(config.dataset, root=tmp_path / "root"))
    sort_data.main(again)
    spec.main(again)
    assert content(tmp_path / "root") == content(config.dataset.root)


def test_a_stopped_training_resumes_with_the_same_weights(
    trained: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = replace(trained, snapshots=tmp_path)
    pause_training(again, monkeypatch, after=3)
    train.main(again)
    weights = []
    for run in (trained.run_folder, again.run_folder):
        snapshot = find_snapshot(run, "latest")
        assert snapshot is not None
        weights.append(load_network(snapshot)[1])
    for one, other in zip(*map(leaves, weights), strict=True):
        np.testing.assert_array_equal(one, other)


def leaves(network: Any) -> list[np.ndarray]:
    import jax

    return [np.asarray(leaf) for leaf in jax.tree.leaves(network)]


def test_another_file_is_refused(trained: Config, tmp_path: Path) -> None:
    layer = class_layer()
    bird = write_onnx(tmp_path / "bird.onnx", layer=layer._replace(bias=layer.bias + 1))
    other = replace(trained, model=replace(trained.model, weights=str(bird)))
    for script in (spec, train):
        with pytest.raises(UserError, match=r"was made with other settings \(external.sha256 was [^\n]*$"):
            script.main(other)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"was made with other settings \([^\n]*clips.keep was \"embeddings\""):
        train.main(small_config(trained.dataset.root))


def test_a_run_is_not_resumed_with_another_file(trained: Config, tmp_path: Path, archive: Path) -> None:
    layer = class_layer()
    bird = write_onnx(tmp_path / "bird.onnx", layer=layer._replace(bias=layer.bias + 1))
    other = external_config(archive, bird)
    other = replace(
        other, dataset=replace(other.dataset, root=tmp_path / "root"), model=replace(trained.model, weights=str(bird))
    )
    sort_data.main(other)
    spec.main(other)
    with pytest.raises(UserError, match=r"was started with other settings \([^\n]*external.sha256 was [^\n]*$"):
        train.main(other)


def test_a_moved_file_is_found_by_its_hash(trained: Config, tmp_path: Path) -> None:
    bird = Path(str(trained.model.weights))
    moved = tmp_path / "moved.onnx"
    without = replace(trained, model=replace(trained.model, weights=None, name="Baseline"))
    bird.rename(moved)
    try:
        with pytest.raises(UserError, match=r"bird.onnx: is not there, but the model needs bird \(SHA-256 [^\n]*$"):
            test.main(without)
        assert test.main(replace(trained, model=replace(trained.model, weights=str(moved)))).headline.mlrap == 1.0
    finally:
        moved.rename(bird)


def test_the_exported_head_is_the_networks(trained: Config, tmp_path: Path) -> None:
    test.main(trained, test.Flags(export=tmp_path / "head.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "head.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.type, given.shape[1:]) == ("tensor(float16)", [1, 16])
    snapshot = find_snapshot(trained.run_folder, "latest")
    assert snapshot is not None
    store = Store(trained.dataset.root)
    embeddings = store.spectrograms(np.arange(len(store.clips)))
    (logits,) = session.run(None, {given.name: embeddings})
    graph, network = load_network(snapshot)
    np.testing.assert_allclose(
        logits, predictor(graph, batch_size=64)(network, embeddings).logits, rtol=1e-4, atol=1e-4
    )


def test_int8(trained: Config, tmp_path: Path) -> None:
    int8 = replace(trained, testing=replace(trained.testing, engine="onnx-int8"))
    assert test.main(int8).headline.mlrap > 0.7


def test_novelty(trained: Config) -> None:
    novel = replace(trained, testing=replace(trained.testing, novelty=True))
    test.main(novel)
    assert "novelty" in pl.read_csv(trained.run_folder / "test" / "predictions.csv").columns


def test_training_from_a_pack(trained: Config, tmp_path: Path) -> None:
    spec.main(trained, spec.Flags(pack=str(tmp_path / "pack")))
    packed = replace(trained, run="packed", training=replace(trained.training, packed=tmp_path / "pack", buffer=64))
    train.main(packed)
    assert test.main(packed).headline.mlrap == 1.0
    layer = class_layer()
    bird = write_onnx(tmp_path / "bird.onnx", layer=layer._replace(bias=layer.bias + 1))
    with pytest.raises(UserError, match=r"external\.sha256"):
        train.main(replace(packed, run="other", model=replace(packed.model, weights=str(bird))))


def test_triplets(trained: Config) -> None:
    """Embeddings have other embeddings, if a layer of the head's own makes them."""
    config = with_model(trained, "triplets", embedding=8)
    config = replace(config, training=replace(config.training, loss="triplet"))
    train.main(config)
    assert test.main(config).headline.mlrap > 0.7


def test_evaluation_and_all_data(trained: Config) -> None:
    assert evaluate.main(replace(trained, run="evaluated")).mlrap == 1.0  # type: ignore[union-attr]
    train.main(replace(trained, run="all", training=replace(trained.training, all_data=True)))


def test_folds(archive: Path, trained: Config) -> None:
    config = replace(trained, dataset=replace(trained.dataset, root=archive / "folds", folds=2, val_share=0.0))
    config = replace(config, run="cross", snapshots=archive / "folds" / "snapshots")
    sort_data.main(config)
    spec.main(config)
    assert set(read_split(config.dataset)["fold"].drop_nulls()) == {0, 1}
    found = evaluate.main(config, evaluate.Flags(folds=True))
    assert found.metrics["mlrap"].value > 0.7  # type: ignore[union-attr, operator]


def test_what_needs_spectrograms_is_refused_before_any_work(trained: Config, tmp_path: Path) -> None:
    from utils.settings import to_dict, validated

    for section, name, value in (
        ("training", "images", str(tmp_path)),
        ("spectrogram", "images", True),
        ("distillation", "teachers", [str(trained.run_folder)]),
    ):
        tree = to_dict(trained)
        tree[section][name] = value
        with pytest.raises(SettingsError, match=rf"^{section}.{name} = [^\n]*needs spectrograms[^\n]*$"):
            validated(tree)
    with pytest.raises(UserError, match=r"^clips.keep = sound: "):
        spec.main(replace(trained, clips=replace(trained.clips, keep="sound")))


@pytest.mark.slow
def test_birdnet(archive: Path, tmp_path: Path) -> None:
    if not BIRDNET.is_file():
        pytest.skip("no BirdNET 2.4 in ../shared/weights")
    config = external_config(archive, BIRDNET)
    config = replace(config, dataset=replace(config.dataset, root=tmp_path), external=External(), snapshots=tmp_path)
    config = replace(config, spectrogram=Spectrogram(height=16, width=32))
    sort_data.main(config)
    spec.main(config)
    train.main(config)
    assert test.main(config).headline.mlrap > 0.7


def test_all_classes_of_the_file_without_a_data_set(
    archive: Path, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = replace(with_model(config, "alone", head="none"), dataset=replace(config.dataset, root=tmp_path / "none"))
    train.main(alone)
    snapshot = find_snapshot(alone.run_folder, "latest")
    assert snapshot is not None
    assert snapshot.classes == tuple(sorted(CLASSES))
    assert snapshot.config.training.multi_label
    assert "nothing: there is no" in capsys.readouterr().out
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    (sounds / "low.wav").write_bytes((archive / "archive" / "Bassus gravis" / "B1.wav").read_bytes())
    settings = replace(alone.submission, recordings=sounds, folder=tmp_path / "out", interval=1.0)
    submission_soundscape.main(replace(alone, submission=settings))
    table = pl.read_csv(tmp_path / "out" / "alone_soundscape.csv")
    assert set(table["species"]) == {"Bassus gravis"}
    train.main(alone)  # again, over what is there


def test_annotations_of_other_species_end_in_a_warning(
    config: Config, trained: Config, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    (sounds / "low.wav").write_bytes((archive / "archive" / "Bassus gravis" / "B1.wav").read_bytes())
    (sounds / "annotations.csv").write_text("filename,start,end,species\nlow.wav,0,1,Nemo ignotus\n")
    settings = replace(trained.submission, recordings=sounds, folder=tmp_path / "out", interval=1.0)
    submission_soundscape.main(replace(trained, submission=settings))
    assert list((tmp_path / "out").glob("*_soundscape.csv"))
    assert "Traceback" not in capsys.readouterr().err
