"""The training of one fold: neither the held-out fold nor test/ is learned from or used for validation."""

import polars as pl

from config import Config
from utils import console
from utils.console import UserError
from utils.learning.examples import Examples, choose_examples
from utils.learning.loop import learn, summarize_training
from utils.learning.noise_clips import with_noise_folder
from utils.learning.runs import latest_snapshot, open_run
from utils.models.training_log import is_finished, read_training_log
from utils.recordings.splits import count_folds, read_split
from utils.scoring.cross_validation import FoldRun
from utils.spectra.image_folder import ImageFolder
from utils.spectra.store import Store
from utils.spectra.store_settings import check_settings


def train_fold(run: FoldRun, *, fresh: bool) -> None:
    """Train the network of one fold as train.py does, on the recordings of the other folds, unless that is done."""
    elapsed, config = console.stopwatch(), run.config
    examples = read_fold_examples(config)
    with console.alone(config.snapshots, f"training of {config.run}"):
        open_run(config, fresh=fresh)
        if is_trained(examples, config):
            console.info(f"{config.run} is trained already")
            return
        rows = learn(examples, config)
    summarize_training(rows, config, seconds=elapsed())


def read_fold_examples(config: Config) -> Examples:
    """Open the store, or the folder `training.images`, and choose the examples of fold `dataset.fold`.

    Validation recordings are drawn from train/ (`training.validation_share`), also if there is a test/: the epoch must
    not be chosen by the recordings of the fold, which the model is tested on.

    Raises
    ------
    UserError
        As `read_examples`; also if the images do not belong to the recordings of the split.
    """
    if config.training.packed:
        raise UserError(f"training.packed = {config.training.packed}: folds are trained on the store; remove it")
    split = read_split(config.dataset)
    no_test = pl.col("split") != "test"
    if config.training.images is None:
        check_settings(config)
        store = Store(config.dataset.root, config.spectrogram, at=config.dataset.store)
        return with_noise_folder(choose_examples(store, split.filter(no_test), config), config)
    images = ImageFolder(config.training.images, split, config)
    if count_folds(images.split) == 0:
        raise UserError(
            f"{config.training.images}: has no images of the recordings in {config.dataset.root / 'split.parquet'}, so "
            "that no fold can be held out; fix training.images"
        )
    return choose_examples(images, images.split.filter(no_test), config)


def is_trained(examples: Examples, config: Config) -> bool:
    """Tell whether the run of a fold is finished, so that nothing has to be compiled; call `open_run` before.

    Parameters
    ----------
    examples : what it should be trained on; False if it was trained on others, which `learn` refuses
    """
    folder = config.run_folder
    latest = latest_snapshot(folder)
    if not latest or latest.steps or latest.data != examples.fingerprint or not (folder / "curves.png").is_file():
        return False
    rows = read_training_log(folder / "log.csv", until=latest.epoch)
    return len(rows) == latest.epoch and is_finished(rows, config.training)
