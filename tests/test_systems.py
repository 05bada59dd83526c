"""The systems of others that are experiments here, from a synthetic archive of their form to a score."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import evaluate
import sort_data
import spec
import submission_soundscape
from config import Config
from tests.conftest import REPOSITORY
from tests.small_experiments import small_experiment
from utils.demo.annotated import make_annotated
from utils.demo.kaggle2021 import make_kaggle2021
from utils.scoring.fold_results import CrossValidated
from utils.scoring.submissions.results import Submitted
from utils.settings import load

pytestmark = pytest.mark.usefixtures("optimised", "undrawn")


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the archive that the two systems of 2021 learn from."""
    archive = tmp_path_factory.mktemp("archive")
    make_kaggle2021(archive, per_species=4, soundscape_seconds=30)
    return archive


def of_2021(experiment: str, folder: Path, archive: Path, **changes: Any) -> Config:
    """Return a small experiment on the archive, which stays as it is."""
    changes = {
        "dataset.archive": str(archive),
        "dataset.sort_mode": "symlink",
        "submission.recordings": str(archive / "train_soundscapes"),
        "submission.page_minutes": 0.0,
        "model.name": "Baseline",
        **changes,
    }
    return small_experiment(experiment, folder, **changes)


def metrics_of(submitted: object, config: Config, run: str = "") -> dict[str, Any]:
    assert isinstance(submitted, Submitted)
    assert submitted.complete
    file = config.submission.folder / f"{run or config.run}_soundscape.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def test_peaks_with_sound_augmented_before_its_spectrograms(kaggle: Path, tmp_path: Path) -> None:
    config = of_2021("peaks2021", tmp_path, kaggle)
    sort_data.main(config)
    spec.main(config)
    peaks = pl.read_csv(config.dataset.root / "spec" / "peaks.csv")
    clips = pl.read_parquet(config.dataset.root / "spec" / "clips.parquet")
    assert peaks["kept"].all()
    assert len(peaks) == len(clips)  # all peaks are learned
    evaluated = evaluate.main(config)
    assert isinstance(evaluated, evaluate.EvaluatedRun)
    assert evaluated.mlrap is not None
    assert "validation_accuracy" in pl.read_csv(evaluated.log).columns
    assert (config.run_folder / "curves.png").is_file()
    metrics = metrics_of(submission_soundscape.main(config), config)
    labels = pl.read_csv(kaggle / "train_soundscape_labels.csv")
    assert (metrics["annotated"], metrics["intervals"]) == (6, len(labels))
    written = pl.read_csv(config.submission.folder / "peaks2021_soundscape_kaggle2021.csv")
    assert set(written["row_id"]) == set(labels["row_id"])


def test_blend_of_folds_blocked_in_space_and_season(kaggle: Path, tmp_path: Path) -> None:
    changes = {"dataset.folds": 2, "dataset.block_recordings": 2, "training.epochs": 2}
    config = of_2021("birdclef2021", tmp_path, kaggle, **changes)
    sort_data.main(config)
    spec.main(config)
    split = pl.read_parquet(config.dataset.root / "split.parquet")
    done = evaluate.main(config, evaluate.Flags(folds=True))
    assert isinstance(done, CrossValidated)
    scores = pl.read_parquet(config.snapshots / "birdclef2021-folds" / "test" / "scores.parquet")
    folded = split.filter(pl.col("fold") >= 0)  # the others are the only group of a class
    assert 20 < len(folded) == scores["recording"].n_unique()
    assert set(scores["recording"]) == set(folded["recording"])  # each by the model that did not learn from it
    ensemble = load(config.snapshots / "birdclef2021-folds" / "ensemble.toml")
    assert len(ensemble.testing.models) == 2
    # the other kind of network learns from the same store, and joins them with a weight of its own
    other = of_2021("birdclef2021-effnet", tmp_path, kaggle, **changes | {"training.epochs": 1})
    assert isinstance(evaluate.main(other), evaluate.EvaluatedRun)
    models = (*ensemble.testing.models, other.run_folder)
    blend = replace(ensemble, testing=replace(ensemble.testing, models=models, weights=(0.5, 0.5, 2.0)))
    assert 0 < metrics_of(submission_soundscape.main(blend), blend, run=blend.run)["row_f1"] <= 1


def test_both_kinds_of_networks_of_the_blend_learn_from_the_same_clips() -> None:
    files = (REPOSITORY / "experiments" / f"{name}.toml" for name in ("birdclef2021", "birdclef2021-effnet"))
    stripes, mixup = map(load, files)
    assert (stripes.dataset, stripes.clips, stripes.spectrogram) == (mixup.dataset, mixup.clips, mixup.spectrogram)
    assert (stripes.model.name, mixup.model.name) == ("ResNeSt50", "EfficientNetB3")
    assert (stripes.augmentation.mixup, mixup.augmentation.mixup) == (0.0, 1.0)
    assert stripes.augmentation.chances.time_mask == stripes.augmentation.chances.frequency_mask == 0.8
    assert stripes.augmentation.chances.contrast == mixup.augmentation.chances.contrast == 1.0
    for config in (stripes, mixup):
        training = config.training
        assert (training.absent_target, training.secondary_target, training.primary_target) == (0.0025, 0.3, 0.995)


def test_annotated_calls_judged_one_by_one(tmp_path: Path) -> None:
    changes = {
        "model.name": "Baseline",
        "training.epochs": 2,
        "dataset.archive": str(tmp_path / "archive"),
        "submission.page_minutes": 0.0,
    }
    config = small_experiment("kenya", tmp_path, **changes)
    assert config.dataset.archive
    make_annotated(config.dataset.archive, seconds=30)
    sort_data.main(config)
    split = pl.read_parquet(config.dataset.root / "split.parquet")
    assert set(split["split"]) == {"train", "val", "test"}
    spec.main(config)
    evaluated = evaluate.main(config)
    assert isinstance(evaluated, evaluate.EvaluatedRun)
    metrics = json.loads((config.run_folder / "test" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["unit"] == "event"
    assert 0 <= metrics["metrics"]["argmax_macro_f1"]["value"] <= 1
    assert "validation_macro_f1" in pl.read_csv(evaluated.log).columns


def test_triplets_with_dilated_convolutions(kaggle: Path, tmp_path: Path) -> None:
    changes = {"model.name": "Dilated", "model.embedding": 8, "dataset.val_share": 0.5, "dataset.test_share": 0.25}
    config = of_2021("triplets", tmp_path, kaggle, **changes)
    config = replace(config, model=replace(config.model, dilations=(1, 4)), testing=replace(config.testing, ridge=True))
    sort_data.main(config)
    spec.main(config)
    clips = pl.read_parquet(config.dataset.root / "spec" / "clips.parquet")
    assert set((clips["start"] % 1).to_list()) == {0}  # 2 s, of which 1 s overlaps
    evaluated = evaluate.main(config)
    assert isinstance(evaluated, evaluate.EvaluatedRun)
    assert evaluated.mlrap is not None
    assert evaluated.ridge_mlrap is not None
    log, table = pl.read_csv(evaluated.log), pl.read_parquet(config.run_folder / "triplets.parquet")
    assert log["loss"][-1] < 0.9 * log["loss"][0]
    assert log["validation_recall_at_1"].is_not_null().all()
    species = dict(pl.read_parquet(config.dataset.root / "split.parquet").select("recording", "class").iter_rows())
    assert len(table) == 10
    for row in table.iter_rows(named=True):
        assert {species[name] for name in row["positives"]} <= {row["class"]}
        assert row["class"] not in {species[name] for name in row["negatives"]}
