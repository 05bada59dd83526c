"""What is done for a training by teachers before it begins."""

from collections.abc import Sequence
from dataclasses import replace

from config import Config, Distillation
from utils import console
from utils.learning.cached_predictions import keep_answers, never_varied
from utils.learning.examples import Examples
from utils.learning.teachers import Teachers
from utils.models.snapshots import learned_from
from utils.scoring.inference.ensembles import Model
from utils.scoring.reports.distillation_table import UNTAUGHT
from utils.spectra.store import Store


def check_student(config: Config) -> None:
    """Refuse settings by which another net than the student would be tested at the end.

    Raises
    ------
    UserError
        That names them.
    """
    if config.testing.models:
        raise console.UserError(
            "testing.models is set, but distill.py tests its student; leave the setting out, and name teachers in distillation.teachers"
        )


def untaught(config: Config) -> Config:
    """Return the settings of the same training without teachers, for the run <run>-untaught."""
    return replace(config, run=f"{config.run}{UNTAUGHT}", distillation=Distillation())


def note_what_teachers_heard(examples: Examples, models: Sequence[Model]) -> Examples:
    """Return examples that know from which recordings the teachers learned: the student has learned from them, too, and may not be tested on them.

    Warns where some of them watch training: the teachers may know the answers.
    """
    heard = frozenset[str]().union(*(learned_from(model.snapshot) for model in models))
    watching = set(examples.store.clips["recording"][examples.val_rows])
    known = len(watching & heard)
    if known:
        console.warn(
            f"{known} of the {len(watching)} recordings that watch taught the teachers or watched them: validation may look too good, the test will not"
        )
    return replace(examples, taught_by=heard)


def keep_where_same(examples: Examples, teachers: Teachers, config: Config) -> Examples:
    """Return examples with the teachers' answers, where pictures are not varied, so that answers stay the same and can be kept beside the store."""
    # a folder of pictures can change, and nobody would see it
    own = [store for store in examples.stores if isinstance(store, Store)]
    same = never_varied(config.augmentation, noise_pictures=len(examples.noise))
    if not config.distillation.keep_answers or len(own) < len(examples.stores) or not same:
        return examples
    return replace(examples, answers=keep_answers(own, teachers, examples.classes))
