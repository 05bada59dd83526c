"""Settings of augmentation that cannot have an effect are told, in words."""

from dataclasses import fields, replace

import pytest

from config import Augmentation, Chances, Config, Spectrogram, Waveform
from utils.augmentation_checks import (
    OFF,
    active_sound_settings,
    chances_without_effect,
    is_on,
    margin_needed,
    sound_settings_without_effect,
)


def test_chances_need_an_augmentation_that_is_on() -> None:
    assert chances_without_effect(Augmentation()) == []
    every = Chances(**{field.name: 0.5 for field in fields(Chances)})
    assert chances_without_effect(replace(OFF, chances=every)) == [field.name for field in fields(Chances)]
    some = Augmentation(blur=1, contrast=(0.5, 1.0), chances=Chances(blur=0.0, contrast=1.0, roll_v=0.5, flip=0.1))
    assert chances_without_effect(some) == ["flip", "blur"]


def test_on_is_whatever_differs_from_off() -> None:
    for name in ("flip", "crop", "contrast", "mean", "blur", "add", "time_mask"):
        assert not is_on(OFF, name)
    assert is_on(Augmentation(), "add")
    assert is_on(replace(OFF, blur=2), "blur")
    assert not is_on(replace(OFF, blur=1), "blur")
    assert is_on(replace(OFF, crop=(0.0, 0.0, 0.0, 0.1)), "crop")


def test_margins_are_those_of_shift_and_speed() -> None:
    assert margin_needed(Waveform(), length=5.0) == 0
    assert margin_needed(Waveform(shift=0.3, speed=0.2, pitch=4.0), length=5.0) == pytest.approx(1.5 + 0.5)


def test_active_settings() -> None:
    assert active_sound_settings(Waveform(count=3)) == []
    active = Waveform(shift=0.1, white=(0.0, 0.0), mixup=1.0, mixup_share=0.5)
    assert active_sound_settings(active) == ["shift", "white", "mixup"]


@pytest.mark.parametrize(
    ("waveform", "spectrogram", "told"),
    [
        ({"gain": 6.0}, {}, "gain changes nothing but near silence: spectrogram.scale = clip undoes it"),
        ({"gain": 6.0, "white": (0.0, 9.0)}, {}, "gain changes nothing"),
        ({"gain": 6.0, "mixup": 1.0}, {}, ""),
        ({"gain": 6.0}, {"scale": "fixed"}, ""),
        ({"gain": 6.0}, {"kind": "pcen"}, ""),
        ({"gain": 6.0}, {"kind": "pcen", "normalize": "rms"}, ": spectrogram.normalize = rms"),
        ({"gain": 6.0}, {"scale": "fixed", "normalize": "peak"}, ": spectrogram.normalize = peak"),
        ({"shift": 0.1, "gain": 1.0, "count": 0}, {}, "0, so these have no effect: waveform.shift, waveform.gain"),
        ({"pink": (0.0, 9.0), "probability": 0.0}, {}, "probability is 0, so these have no effect: waveform.pink"),
        ({"mixup": 1.0, "count": 0}, {}, ""),
        ({"background_folder": "."}, {}, "background_folder is not read"),
        ({}, {}, ""),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_told(waveform: dict[str, object], spectrogram: dict[str, object], told: str) -> None:
    config = Config(waveform=Waveform(**waveform), spectrogram=Spectrogram(**spectrogram))
    found = sound_settings_without_effect(config)
    assert len(found) == (told != "")
    assert told in "".join(found)
