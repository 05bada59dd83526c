"""Which settings do not go with a pack (`training.packed`), whose clips come in the order of its files."""

from config import Config, Training, is_address
from utils.spectrogram_checks import require

# settings that need clips in any order, or another store
WITHOUT_PACK = ("images", "sampler", "min_per_class", "max_per_class")


def check_pack(config: Config) -> None:
    """Refuse what needs clips in another order than that of a pack's files, and settings of a cache for no pack.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    training = config.training
    if training.packed is None:
        reason = "needs training.packed, whose files it copies"
        require(training.cache is None, key="training.cache", value=str(training.cache), reason=reason)
        return
    for name in WITHOUT_PACK:
        value, default = getattr(training, name), getattr(Training(), name)
        usual = "left out" if default is None else default
        reason = (
            f"should be {usual} with training.packed, whose clips come in the order of its files; or train on the store"
        )
        require(value == default, key=f"training.{name}", value=value, reason=reason)
    require(
        not training.compares_clips or training.cache is not None or not is_address(training.packed),
        key="training.loss",
        value=training.loss,
        reason="reads the clips of a pack in any order, which is slow from elsewhere; set training.cache, or another "
        "loss",
    )
    require(
        not config.distillation.learns_from_models,
        key="training.packed",
        value=training.packed,
        reason="does not go with distillation.teachers or rounds; distill.py reads the store",
    )
