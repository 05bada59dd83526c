"""Whether a store was made with the settings of an experiment, or can serve them."""

from dataclasses import replace
from pathlib import Path

from config import Config, SettingsError
from utils.console import UserError, printable, warning
from utils.settings import load, load_text
from utils.settings_keys import changed_settings
from utils.storage import Storage, open_storage

WITHOUT_SETTINGS = "remove it and run spec.py again, which keeps what was made with the same settings"
STORE_SETTINGS = ("clips.", "spectrogram.", "external.")  # sections of the settings that determine what a store holds


def settings_of_store(config: Config) -> Config | None:
    """Return the settings that the store was made with; None: there is none.

    Raises
    ------
    UserError
        If its folder elsewhere cannot be reached.
    """
    try:
        return read_store_settings(open_storage(config.dataset.store_at))[0]
    except FileNotFoundError:
        return None


def read_store_settings(storage: Storage) -> tuple[Config, str]:
    """Return the settings that a store was made with, and the text of their file.

    Raises
    ------
    FileNotFoundError
        If it has none.
    UserError
        If they cannot be read or used; the text names the file.
    """
    where = storage.where("settings.toml")
    try:
        text = storage.read("settings.toml").decode("utf-8-sig")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{where}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: is damaged ({error}); {WITHOUT_SETTINGS}") from None
    try:
        return load_text(text, source=where), text
    except SettingsError as error:
        raise UserError(f"{error}; {WITHOUT_SETTINGS}") from None


def check_settings(config: Config) -> None:
    """Check that a store, if there is one, was made with these settings, or can serve them.

    A store of sound serves every kind of spectrogram; a warning says if its clips were accepted by those of another.

    Raises
    ------
    UserError
        If not; the text names the settings that differ.
    """
    made_with, address = settings_of_store(config), open_storage(config.dataset.store_at).address
    if made_with is None:
        return
    _check_made_with(made_with, with_judging_spectrogram(made_with, config), address=address)
    if others := changed_settings(made_with, config, of=STORE_SETTINGS):
        warning(
            f"{printable(address)}: holds sound, so these spectrograms are computed from it, but its clips "
            f"were accepted by the signal scores of others ({'; '.join(others)}); spec.py --fresh accepts them anew"
        )


def check_made_with(settings: Path, config: Config) -> None:
    """Check that a settings file, if it exists, has the same settings for clips and spectrograms.

    Raises
    ------
    UserError
        If not; the text names the settings that differ.
    """
    if settings.is_file():
        _check_made_with(load(settings), config, address=str(settings.parent))


def _check_made_with(made_with: Config, config: Config, *, address: str) -> None:
    if changed := changed_settings(made_with, config, of=STORE_SETTINGS):
        raise UserError(
            f"{address}: was made with other settings ({'; '.join(changed)}); change them back, or run spec.py "
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
