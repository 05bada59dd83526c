"""Train the metadata classifier: which species to expect by place and date, without any sound.

    python train_metadata.py experiments/birdclef2021.toml
    python train_metadata.py experiments/birdclef2021.toml --metadata.rasters bio1.tif forest.tif
    python test.py experiments/birdclef2021.toml --testing.metadata snapshots/birdclef2021-metadata

Gradient boosting (CatBoost; pip install '.[places]') learns the primary labels of the recordings in train/ from their
latitude, longitude, day of the year and elevation, and from the values of GeoTIFFs there (`metadata.rasters`). Some
recordings are set apart for validation, at random or by blocks of the map (`metadata.validation_by`); the number of
trees with the lowest loss on them is kept. The classifier is in `snapshots/<run>-metadata/`, with its metrics beside
those of the class prior. `testing.metadata` blends it with the models in tests and submissions. The same command
resumes a stopped training; `--fresh` starts it again.

Source: the bronze solution of BirdCLEF 2021 that blended CatBoost on metadata with its networks.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config import Config
from utils import console

if TYPE_CHECKING:
    from utils.learning.boosting_run import TrainedClassifier


@dataclass(frozen=True)
class Flags:
    """Flags of a single call, which are never saved with the settings."""

    fresh: bool = False  # delete this classifier and start again


def main(config: Config, flags: Flags = Flags()) -> "TrainedClassifier":
    """Train the metadata classifier of `config.metadata` as `<run>-metadata`."""
    from utils.learning.boosting import boost
    from utils.learning.boosting_data import read_boosting_data
    from utils.learning.boosting_run import classifier_folder, open_classifier, summarize_classifier, write_classifier
    from utils.recordings.splits import read_split
    from utils.scoring.inference.metadata_classifier import check_catboost

    elapsed = console.stopwatch()
    check_catboost("training the metadata classifier")
    split, folder = read_split(config.dataset), classifier_folder(config)
    data = read_boosting_data(split, config)
    with console.alone(config.snapshots, f"training of {folder.name}"):
        trained = open_classifier(data, config, fresh=flags.fresh)
        if trained is None:
            trained = write_classifier(boost(data, folder, config), data, split, config)
    return summarize_classifier(trained, seconds=elapsed())


if __name__ == "__main__":
    sys.exit(console.run(main, doc=__doc__, sections=("dataset", "metadata", "log"), flags=Flags))
