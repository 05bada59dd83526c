"""What to do if a model learned the recordings that it should be tested on, which no test accepts."""

from config import Config
from utils.console import UserError
from utils.models.snapshots import Snapshot

TRAIN_AGAIN = "train again (--run NAME or --fresh), or sort with the old dataset settings"
OF_ALL_DATA = (
    "it learned all recordings (training.all_data): test a run with the same settings without it, or test on annotated "
    "recordings of another data set"
)
OF_FOLDS = (
    "models of different folds can be tested on test/ (sort and train with dataset.test_share above 0) or on annotated "
    "soundscapes (submission_soundscape.py); evaluate.py --folds tests each model on the fold it did not learn from"
)


def refuse_all_data(config: Config) -> None:
    """Refuse to train on all recordings what is to be tested afterwards.

    Raises
    ------
    UserError
        That names the script for it.
    """
    if config.training.all_data:
        raise UserError(
            "training.all_data learns the held-out recordings, too, so that nothing is left to test on; train with "
            "train.py instead, or remove the setting"
        )


def advice_on_learned(snapshot: Snapshot, *, models: int) -> str:
    """Return what to do about a model that learned held-out recordings; so many `models` are tested together."""
    if snapshot.config.training.all_data:
        return OF_ALL_DATA
    return OF_FOLDS if models > 1 else TRAIN_AGAIN
