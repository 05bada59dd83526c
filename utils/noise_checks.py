"""Which settings do not go with a folder of noise that is learned (`training.noise_folder`)."""

from config import Config
from utils.spectrogram_checks import require


def check_noise(config: Config) -> None:
    """Refuse what cannot learn clips of no species, and hard ones of no folder.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    training = config.training
    if training.noise_folder is None:
        require(
            not training.hard_negatives,
            key="training.hard_negatives",
            value=training.hard_negatives,
            reason="needs training.noise_folder, a folder of recordings without birds",
        )
        return
    require(
        not training.compares_clips,
        key="training.loss",
        value=training.loss,
        reason="does not go with training.noise_folder, whose clips have no other recordings of their kind to be "
        "compared with; set training.loss = binary, or training.noise_class without the folder",
    )
    require(
        training.multi_label or training.noise_class,
        key="training.noise_class",
        value=training.noise_class,
        reason=f"should be true for training.noise_folder with training.loss = {training.loss}, whose scores are "
        "divided among the classes; or set training.loss = binary",
    )
    for name in ("images", "packed"):
        value = getattr(training, name)
        require(
            value is None,
            key=f"training.{name}",
            value=value,
            reason="does not go with training.noise_folder, whose clips are kept beside those of the store; remove one",
        )
    require(
        not config.distillation.learns_from_models,
        key="training.noise_folder",
        value=training.noise_folder,
        reason="does not go with distillation.teachers or rounds: a student learns predictions, also of noise; let the "
        "teachers learn the folder",
    )
    require(
        config.model.name != "External" or config.model.head != "none",
        key="model.head",
        value=config.model.head,
        reason="learns nothing, so remove training.noise_folder, or set another head",
    )
