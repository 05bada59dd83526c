"""Which settings do not go with `training.loss = triplet`, although each of them is valid alone."""

from config import Config
from utils.spectrogram_checks import require

FARTHEST = 2.0  # cosine distance of two embeddings, at most


def check_triplets(config: Config) -> None:
    """Refuse what makes no sense with triplets.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    training = config.training
    if not training.compares_clips:
        return
    require(
        not config.distillation.learns_from_models,
        key="training.loss",
        value=training.loss,
        reason="should be another loss where distillation.teachers or rounds is set: a student learns predictions; a "
        "model trained with triplets can be a teacher",
    )
    for section in ("augmentation", "waveform"):
        mixup = getattr(config, section).mixup
        reason = f"should be 0 for training.loss = {training.loss}, which compares clips of one class each"
        require(not mixup, key=f"{section}.mixup", value=mixup, reason=reason)
    for name, learns in (("freeze_epochs", not training.freeze_epochs), ("backbone_rate", training.backbone_rate > 0)):
        require(
            learns or not training.fills_output,
            key=f"training.{name}",
            value=getattr(training, name),
            reason="nothing would be learned: with training.triplets.cross_entropy = 0, the output layer is filled and "
            "not trained",
        )
    require(
        config.model.distance != "cosine" or training.triplets.margin < FARTHEST,
        key="training.triplets.margin",
        value=training.triplets.margin,
        reason=f"should be less than {FARTHEST:g}, the largest distance for model.distance = cosine",
    )
