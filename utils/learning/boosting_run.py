"""The folder of a metadata classifier: opened, written, and summarized."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from config import Config
from utils import console
from utils.files import remove_folder, remove_leftovers, unrelated_names, write_json, write_text
from utils.learning.boosting import UNFINISHED, Boosted, feature_importances, save_trees
from utils.learning.boosting_data import BoostingData
from utils.learning.boosting_metrics import (
    ClassifierMetrics,
    held_out_metrics,
    read_classifier_metrics,
    validation_metrics,
)
from utils.plotting import new_figure, write_figure
from utils.scoring.inference.metadata_classifier import (
    AGAIN,
    CLASSES,
    CLASSIFIER_VERSION,
    DESCRIPTION,
    FEATURES,
    LEARNED,
    TREES,
    MetadataClassifier,
    check_trees,
    read_classifier,
)
from utils.scoring.inference.metadata_features import digest_of, feature_as_json
from utils.scoring.metrics.registry import METRICS, value_and_ends_text
from utils.settings import load, to_toml
from utils.settings_keys import changed_settings
from utils.tables import write_csv

LOSSES_FILE = "losses.csv"
SHOWN_METRICS = ("argmax_macro_f1", "top1_accuracy", "mlrap")  # micro F1 of top predictions is their accuracy
CLASSIFIER_FILES = (
    "settings.toml",
    CLASSES,
    LEARNED,
    FEATURES,
    TREES,
    DESCRIPTION,
    LOSSES_FILE,
    "importance.csv",
    "importance.png",
    "metrics.json",
    UNFINISHED.format(fingerprint="*"),
)  # what the folder may hold
CLASSIFIER_SETTINGS = ("metadata.", "dataset.root")  # that change a classifier


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained metadata classifier.

    Attributes
    ----------
    classifier : its description
    metrics : on the recordings of 'validation' and 'held_out', as far as there are any
    """

    classifier: MetadataClassifier
    metrics: Mapping[str, ClassifierMetrics]


def classifier_folder(config: Config) -> Path:
    """Return the folder of the metadata classifier of a run, beside that of the run."""
    return config.snapshots / f"{config.run}-metadata"


def open_classifier(data: BoostingData, config: Config, *, fresh: bool) -> TrainedClassifier | None:
    """Open the folder of a classifier; return it if it is trained already, on the same recordings and settings.

    Parameters
    ----------
    fresh : remove it first

    Raises
    ------
    UserError
        If it was trained on other recordings or with other settings, is damaged, or the folder holds something else.
    """
    folder = classifier_folder(config)
    unrelated = unrelated_names(folder, CLASSIFIER_FILES)
    if unrelated:
        raise console.UserError(
            f"{folder}: contains {unrelated[0]}, which does not belong to a metadata classifier; choose another --run, "
            "or another folder for --snapshots"
        )
    if fresh:
        remove_folder(folder)
    remove_leftovers(folder)
    if not (folder / DESCRIPTION).is_file():
        write_text(folder / "settings.toml", to_toml(config))
        return None
    known = read_classifier(folder, config.metadata, setting="--run")
    if known.fingerprint == data.fingerprint:
        check_trees(known)
        console.info(f"{console.printable(folder)}: is trained already, on these recordings and with these settings")
        return TrainedClassifier(known, read_classifier_metrics(folder / "metrics.json"))
    changed = changed_settings(load(folder / "settings.toml"), config, of=CLASSIFIER_SETTINGS)
    what = f"with other settings ({'; '.join(changed)})" if changed else "on other recordings, labels or rasters"
    raise console.UserError(f"{folder}: was trained {what}; choose another --run, or start over with --fresh")


def write_classifier(boosted: Boosted, data: BoostingData, split: pl.DataFrame, config: Config) -> TrainedClassifier:
    """Write all files of a classifier, classifier.json last, and judge it on recordings that it did not learn."""
    folder = classifier_folder(config)
    names = data.recordings.rows["recording"].to_list()
    save_trees(boosted.trees, folder / TREES)
    write_text(folder / CLASSES, "".join(f"{label}\n" for label in data.classes))
    write_text(folder / LEARNED, "".join(f"{name}\n" for name in names))
    write_json(folder / FEATURES, {"features": [feature_as_json(feature) for feature in data.features]})
    classifier = MetadataClassifier(
        folder,
        data.classes,
        data.features,
        data.fingerprint,
        digest_of(folder / TREES, advice=AGAIN),
        int(boosted.trees.tree_count_),
        len(names),
    )
    _write_losses(folder / LOSSES_FILE, boosted)
    write_importances(folder, feature_importances(boosted.trees, data), data, title=folder.name)
    metrics = {
        "validation": validation_metrics(classifier, data, config),
        "held_out": held_out_metrics(classifier, split, data, config),
    }
    found = {name: one for name, one in metrics.items() if one}
    write_json(
        folder / "metrics.json",
        {
            "learned": int((~data.is_validation).sum()),
            "validation_by": config.metadata.validation_by,
            "trees": classifier.trees,
            **{name: one.as_json() for name, one in found.items()},
        },
    )
    write_json(folder / DESCRIPTION, _description(classifier))
    for progress in folder.glob(UNFINISHED.format(fingerprint="*")):
        remove_folder(progress)
    return TrainedClassifier(classifier, found)


def _description(classifier: MetadataClassifier) -> dict[str, Any]:
    return {
        "version": CLASSIFIER_VERSION,
        "fingerprint": classifier.fingerprint,
        "sha256": {
            TREES: classifier.sha256,
            **{name: digest_of(classifier.folder / name, advice=AGAIN) for name in (CLASSES, LEARNED, FEATURES)},
        },
        "classes": len(classifier.classes),
        "features": len(classifier.features),
        "trees": classifier.trees,
        "recordings": classifier.recordings,
    }


def _write_losses(path: Path, boosted: Boosted) -> None:
    losses = {"trees": range(1, len(boosted.loss) + 1), "loss": boosted.loss}
    if boosted.validation_loss:
        losses["validation_loss"] = boosted.validation_loss
    write_csv(path, pl.DataFrame({name: list(values) for name, values in losses.items()}))


def write_importances(
    folder: Path, importance: Float[np.ndarray, " features"], data: BoostingData, *, title: str
) -> None:
    """Write how much predictions change with each feature, percent, as a table and as bars, highest first."""
    order = np.argsort(-importance, kind="stable")
    names, values = [data.features[index].name for index in order], importance[order]
    write_csv(folder / "importance.csv", pl.DataFrame({"feature": names, "importance": values}))
    figure = new_figure(7.0, 1.6 + 0.3 * len(names))
    axes = figure.subplots()
    axes.barh(range(len(names)), values, color="tab:green")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="importance, percent of the change of predictions", ylim=(len(names) - 0.5, -0.5), title=title)
    axes.grid(axis="x", alpha=0.3)
    write_figure(folder / "importance.png", figure)


def summarize_classifier(trained: TrainedClassifier, *, seconds: float) -> TrainedClassifier:
    """Print the metrics, where the classifier is, and what to do next."""
    classifier = trained.classifier
    folder = console.printable(classifier.folder)
    console.show_table(
        "Metadata classifier",
        {
            "recordings": f"{classifier.recordings:,} of {len(classifier.classes):,} classes",
            "features": ", ".join(feature.name for feature in classifier.features),
            "trees": f"{classifier.trees:,}",
            **_metric_rows(trained.metrics),
            "classifier": folder,
            "time": console.clock(seconds),
        },
    )
    console.info(f"next: python test.py with the same experiment and --testing.metadata {folder}")
    return trained


def _metric_rows(metrics: Mapping[str, ClassifierMetrics]) -> dict[str, str]:
    return {
        f"{name.replace('_', '-')}, {METRICS[key].title}": f"{value_and_ends_text(one)}; class prior "
        f"{value_and_ends_text(found.class_prior[key])}"
        for name, found in metrics.items()
        for key, one in found.classifier.items()
        if key in SHOWN_METRICS
    }
