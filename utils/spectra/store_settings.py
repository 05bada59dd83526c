"""Whether a store was made with the settings of an experiment, or can serve them."""

from dataclasses import replace
from pathlib import Path

from config import Config
from utils.console import UserError, printable, warning
from utils.settings import load
from utils.settings_keys import changed_settings

STORE_SETTINGS = ("clips.", "spectrogram.")  # sections of the settings that determine what a store holds


def check_settings(root: Path, config: Config) -> None:
    """Check that a store, if there is one, was made with these settings, or can serve them.

    A store of sound serves every kind of spectrogram; a warning says if its clips were accepted by those of another.

    Raises
    ------
    UserError
        If not; the text names the settings that differ.
    """
    settings = root / "spec" / "settings.toml"
    if not settings.is_file():
        return
    made_with = load(settings)
    check_made_with(settings, with_judging_spectrogram(made_with, config))
    if others := changed_settings(made_with, config, of=STORE_SETTINGS):
        warning(
            f"{printable(settings.parent)}: holds sound, so these spectrograms are computed from it, but its clips "
            f"were accepted by the signal scores of others ({'; '.join(others)}); spec.py --fresh accepts them anew"
        )


def check_made_with(settings: Path, config: Config) -> None:
    """Check that a settings file, if it exists, has the same settings for clips and spectrograms.

    Raises
    ------
    UserError
        If not; the text names the settings that differ.
    """
    changed = changed_settings(load(settings), config, of=STORE_SETTINGS) if settings.is_file() else []
    if changed:
        raise UserError(
            f"{settings.parent}: was made with other settings ({'; '.join(changed)}); change them back, or run spec.py "
            "--fresh to make it again"
        )


def with_judging_spectrogram(made_with: Config, config: Config) -> Config:
    """Return `config`; if both keep sound, with the spectrograms by whose signal scores the store accepted its clips.

    Sample rate and channel stay, because they change the sound.
    """
    if not made_with.clips.keep == config.clips.keep == "sound":
        return config
    now = config.spectrogram
    kept = {name: getattr(now, name) for name in ("rate", "channel", "engine", "images")}
    return replace(config, spectrogram=replace(made_with.spectrogram, **kept))
