"""The training of students: one of some teachers, or one in each round of `distillation.rounds`."""

from collections.abc import Callable, Sequence

from config import Config
from utils import console
from utils.learning.distillation import (
    LearnFromTeachers,
    record_teachers,
    with_cached_predictions,
    with_teachers_recordings,
)
from utils.learning.examples import Examples, read_examples
from utils.learning.loop import learn, summarize_training
from utils.learning.objectives import Objective
from utils.learning.pseudo_labels import LearnPseudoLabels, NothingToLearn, with_pseudo_labels
from utils.learning.rounds import (
    LABELS_ALONE,
    FinishedRound,
    finished_round,
    is_worse,
    keep_best,
    log_of_rounds,
    report_rounds,
    round_config,
    round_indices,
)
from utils.learning.runs import open_run
from utils.learning.teachers import Teachers, chosen_teachers, load_teachers
from utils.learning.unlabelled import with_unlabelled
from utils.models.training_log import EpochRow
from utils.scoring.inference.ensembles import Member


def train_student(members: Sequence[Member], config: Config, *, fresh: bool) -> list[EpochRow]:
    """Train the student of some teachers, or resume; return its log.

    Parameters
    ----------
    members : the teachers
    fresh : delete its run before

    Raises
    ------
    UserError
        If settings, clips or teachers have changed since it was started, or a teacher cannot be used.
    """
    elapsed = console.stopwatch()

    def prepared(examples: Examples, teachers: Teachers) -> tuple[Examples, Objective]:
        examples = with_cached_predictions(examples, teachers, config)
        return examples, LearnFromTeachers.of(examples, teachers, config)

    rows = _learn_from(members, with_unlabelled(read_examples(config), config), config, prepared, fresh=fresh)
    summarize_training(rows, config, seconds=elapsed())
    return rows


def train_rounds(config: Config, *, fresh: bool) -> list[EpochRow]:
    """Train the students of all rounds until validation falls; keep the best as `config.run`; return its log.

    Without teachers, the model that learned labels alone is trained before.

    Raises
    ------
    UserError
        As `train_student`; also if the first round has nothing to learn.
    """
    with console.alone(config.snapshots, f"rounds of {config.run}"):
        rounds = [finished_round(config, LABELS_ALONE)] if config.distillation.starts_alone else []
        for index in round_indices(config):
            try:
                _train_round(round_config(config, index), fresh=fresh)
            except NothingToLearn as error:
                if not rounds:
                    raise
                console.warning(f"round {index}: {error}; learning ends")
                break
            rounds.append(finished_round(config, index))
            _report_round(rounds[-1])
            if is_worse(rounds):
                console.info(f"round {index} is worse on the validation recordings: learning ends")
                break
        keep_best(rounds, config)
    report_rounds(rounds, config)
    return log_of_rounds(config)


def _report_round(one: FinishedRound) -> None:
    metric = one.snapshot.chosen_by
    if metric.value is None:
        console.warning(
            f"round {one.index}: there are no validation recordings, so all rounds are learned and the last is kept; "
            "increase training.validation_share (if there is a test/: dataset.val_share)"
        )
    else:
        console.info(f"round {one.index}: validation {metric.text}")


def _train_round(config: Config, *, fresh: bool) -> None:
    """Train the student of one round, whose settings these are."""

    def prepared(examples: Examples, teachers: Teachers) -> tuple[Examples, Objective]:
        examples = with_pseudo_labels(examples, teachers, config)
        return examples, LearnPseudoLabels(config.training, len(examples.classes))

    _learn_from(chosen_teachers(config), read_examples(config), config, prepared, fresh=fresh)


def _learn_from(
    members: Sequence[Member],
    examples: Examples,
    config: Config,
    prepared: Callable[[Examples, Teachers], tuple[Examples, Objective]],
    *,
    fresh: bool,
) -> list[EpochRow]:
    """Train or resume the run of a student.

    Parameters
    ----------
    prepared : returns the examples with what the teachers say of them, and what is learned; called once the run is open
    """
    examples = with_teachers_recordings(examples, members)
    teachers = load_teachers(members, examples.classes, config)
    with console.alone(config.snapshots, f"training of {config.run}"):
        open_run(config, fresh=fresh)
        record_teachers(config.run_folder, teachers.named_contents)
        examples, objective = prepared(examples, teachers)
        return learn(examples, config, objective)
