"""Spectrogram settings that do not go together are refused; those of old stores stay what they were."""

import pytest

from config import Config, SettingsError
from utils.settings import validated
from utils.settings_keys import settings_for_key


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"range_db": [-20, -110]}, r"spectrogram\.range_db = \[-20\.0, -110\.0\]: should be the level .* black"),
        ({"range_db": [-20, -20]}, r"spectrogram\.range_db"),
        ({"scale": "fixed", "kind": "pcen"}, r'spectrogram\.scale = "fixed": should be clip for .*pcen'),
    ],
)
def test_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        validated({"spectrogram": settings})


@pytest.mark.parametrize("kind", ["mel", "linear", "reassigned"])
def test_accepted(kind: str) -> None:
    config = validated({"spectrogram": {"scale": "fixed", "kind": kind, "range_db": [-90, 0]}})
    assert config.spectrogram.range_db == (-90.0, 0.0)
    assert validated({"spectrogram": {"kind": "pcen"}}).spectrogram.scale == "clip"


def test_only_a_change_enters_the_keys_of_a_store() -> None:
    added = {"spectrogram.scale", "spectrogram.range_db"}
    assert not added & settings_for_key(Config(), of=("spectrogram.",)).keys()
    fixed = validated({"spectrogram": {"scale": "fixed", "range_db": [-90, 0]}})
    assert added <= settings_for_key(fixed, of=("spectrogram.",)).keys()
