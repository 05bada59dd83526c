"""Training of the metadata classifier: gradient boosting by CatBoost, with early stopping on validation recordings.

On CPUs the result is the same bytes for any number of threads, and when a stopped training is resumed: CatBoost saves
its progress every few minutes, and what it writes of times and paths is removed from the trees.

Source: Prokhorenkova et al., CatBoost: unbiased boosting with categorical features, arXiv:1706.09516.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from config import Config, Metadata
from utils import console
from utils.files import atomic_file, remove_folder
from utils.learning.boosting_data import BoostingData
from utils.scoring.inference.metadata_classifier import pool_of
from utils.scoring.inference.metadata_features import feature_rows

PROGRESS_SECONDS = 300  # between two savings of an unfinished training
UNFINISHED = "training_{fingerprint}"  # folder of an unfinished training


@dataclass(frozen=True)
class Boosted:
    """Trained trees.

    Attributes
    ----------
    trees : a `catboost.CatBoost`
    loss, validation_loss : after each tree; the latter is empty without validation recordings
    """

    trees: Any
    loss: Sequence[float]
    validation_loss: Sequence[float]


class _Advance:
    """Tells CatBoost's progress to the user; CatBoost calls it after each tree."""

    def __init__(self, advance: Any) -> None:
        self.advance = advance

    def after_iteration(self, info: Any) -> bool:
        """Continue."""
        self.advance()
        return True


def boost(data: BoostingData, folder: Path, config: Config) -> Boosted:
    """Train on the recordings that are not for validation, or resume that training.

    Parameters
    ----------
    folder : of the classifier, in which progress is kept

    Raises
    ------
    UserError
        If CatBoost cannot train, as without a GPU.
    """
    from catboost import CatBoostError

    progress = folder / UNFINISHED.format(fingerprint=data.fingerprint)
    for other in folder.glob(UNFINISHED.format(fingerprint="*")):
        if other != progress:
            remove_folder(other)
    try:
        trees = _fitted_trees(data, progress, config)
    except CatBoostError as error:
        raise console.UserError(
            f"CatBoost cannot train: {' '.join(str(error).split())[:200]}; set metadata.device = cpu, or lower "
            "metadata.depth"
        ) from None
    losses = trees.get_evals_result()
    return Boosted(trees, _losses(losses, "learn"), _losses(losses, "validation"))


def _fitted_trees(data: BoostingData, progress: Path, config: Config) -> Any:
    from catboost import CatBoost

    settings = config.metadata
    validation = _pool_of_some(data, data.is_validation) if data.is_validation.any() else None
    trees = CatBoost(_boosting_parameters(settings, progress, workers=config.workers, validated=validation is not None))
    on_cpu = settings.device == "cpu"  # CatBoost takes no callbacks on GPUs
    with console.progress("boosting", total=settings.iterations, unit="trees") if on_cpu else nullcontext() as advance:
        trees.fit(
            _pool_of_some(data, ~data.is_validation),
            eval_set=validation,
            callbacks=[_Advance(advance)] if on_cpu else None,
        )
    return trees


def _losses(losses: dict[str, dict[str, list[float]]], of: str) -> list[float]:
    return losses.get(of, {}).get("MultiClass", [])


def _boosting_parameters(settings: Metadata, progress: Path, *, workers: int, validated: bool) -> dict[str, Any]:
    return {
        "loss_function": "MultiClass",
        "iterations": settings.iterations,
        "depth": settings.depth,
        "random_seed": settings.seed,
        "use_best_model": validated,
        "task_type": settings.device.upper(),
        "thread_count": workers or os.cpu_count() or 1,
        "logging_level": "Silent",
        "train_dir": str(progress),
        "save_snapshot": True,
        "snapshot_file": "progress",
        "snapshot_interval": PROGRESS_SECONDS,
        **({"learning_rate": settings.learning_rate} if settings.learning_rate else {}),
        **({"od_type": "Iter", "od_wait": settings.early_stopping} if settings.early_stopping and validated else {}),
    }


def _pool_of_some(data: BoostingData, chosen: Bool[np.ndarray, " recordings"]) -> Any:
    columns = {name: column[chosen] for name, column in data.columns.items()}
    return pool_of(feature_rows(data.features, columns), data.features, data.label[chosen].tolist())


def save_trees(trees: Any, path: Path) -> None:
    """Save trees in CatBoost's own format, without times, paths and settings, so that equal trees are equal bytes.

    The file appears whole or not at all.
    """
    notes = trees.get_metadata()
    for name in list(notes.keys()):
        del notes[name]
    with tempfile.TemporaryDirectory() as scratch:
        part = Path(scratch) / path.name
        trees.save_model(str(part))
        with atomic_file(path) as stream:
            stream.write(part.read_bytes())


def feature_importances(trees: Any, data: BoostingData) -> Float[np.ndarray, " features"]:
    """Return how much predictions change with each feature, percent.

    Source: PredictionValuesChange of CatBoost.
    """
    return np.asarray(trees.get_feature_importance(type="PredictionValuesChange"), np.float64)
