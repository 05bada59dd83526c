"""Which values of the section `distillation` do not go together, or not with those of `training`."""

from config import Config, Distillation, PseudoLabels, Training
from utils.spectrogram_checks import require


def check_distillation(config: Config) -> None:
    """Refuse teachers, unlabelled clips and rounds that do not fit each other or the training.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    distillation = config.distillation
    _check_teachers(distillation, config.training)
    if distillation.rounds:
        _check_rounds(distillation, config.training)
    else:
        require(
            distillation.pseudo_labels == PseudoLabels(),
            key="distillation.rounds",
            value=0,
            reason="should be at least 1 where distillation.pseudo_labels is set, which only rounds use",
        )


def _check_teachers(distillation: Distillation, training: Training) -> None:
    teachers, weights = distillation.teachers, distillation.weights
    require(
        not weights or len(weights) == len(teachers),
        key="distillation.weights",
        value=weights,
        reason=f"should be one for each of the {len(teachers)} in distillation.teachers",
    )
    require(
        not teachers or bool(distillation.rounds) or distillation.multi_label == training.multi_label,
        key="distillation.loss",
        value=distillation.loss,
        reason=f"does not go with training.loss = {training.loss}: both must be for several labels per clip (sigmoid),"
        " or both for one label (softmax)",
    )
    require(
        not distillation.embedding_share or len(teachers) <= 1,
        key="distillation.embedding_share",
        value=distillation.embedding_share,
        reason="needs one teacher, whose embedding is learned",
    )
    require(
        distillation.learns_from_models or not distillation.unlabelled,
        key="distillation.teachers",
        value=(),
        reason="is empty, but distillation.unlabelled needs teachers to predict its clips; or set distillation.rounds",
    )


def _check_rounds(distillation: Distillation, training: Training) -> None:
    labels = distillation.pseudo_labels
    require(
        bool(distillation.unlabelled),
        key="distillation.unlabelled",
        value=(),
        reason="is empty, but distillation.rounds needs data sets without labels to learn from",
    )
    for name in ("true_share", "embedding_share"):
        value = getattr(distillation, name)
        require(
            not value,
            key=f"distillation.{name}",
            value=value,
            reason="should be 0 with distillation.rounds, which learns labels where there are any, and else pseudo "
            "labels",
        )
    require(
        labels.first_part < labels.parts,
        key="distillation.pseudo_labels.first_part",
        value=labels.first_part,
        reason=f"should be less than distillation.pseudo_labels.parts = {labels.parts}",
    )
    require(
        distillation.unlabelled_ratio > 0,
        key="distillation.unlabelled_ratio",
        value=distillation.unlabelled_ratio,
        reason="should be above 0 with distillation.rounds, which learn unlabelled clips",
    )
    require(
        not distillation.weights or labels.parts == 2,
        key="distillation.weights",
        value=distillation.weights,
        reason="needs distillation.pseudo_labels.parts = 2: with more, teachers and students label together, each with "
        "the same weight",
    )
    require(
        training.images is None,
        key="training.images",
        value=str(training.images),
        reason="does not go with distillation.rounds, which read stores; remove it",
    )
    require(
        not training.noise_class,
        key="training.noise_class",
        value=training.noise_class,
        reason="should be false with distillation.rounds: unlabelled clips have such sound, and calls",
    )
