"""Which augmentations are on, which settings of them cannot have an effect, and how much sound they need around clips.

Without JAX, so that settings can be checked in every process.
"""

import dataclasses

from config import Augmentation, Chances, Config, Waveform

OFF = Augmentation(roll_v=0.0, add=False)
SOUND_RULES = {"count", "probability", "background_folder", "mixup_share"}  # settings that are no transforms


def is_on(settings: Augmentation, name: str) -> bool:
    """Tell whether an augmentation of spectrograms is on; a `blur` of 1 pixel is off, too."""
    value = getattr(settings, name)
    return bool(value != getattr(OFF, name) and (name != "blur" or value > 1))


def chance_of(settings: Augmentation, name: str) -> float | None:
    """Return the probability of an augmentation, if it has one of its own."""
    return getattr(settings.chances, name, None)


def chances_without_effect(settings: Augmentation) -> list[str]:
    """Return the augmentations that have a probability in `augmentation.chances`, but are off."""
    names = [field.name for field in dataclasses.fields(Chances)]
    return [name for name in names if chance_of(settings, name) is not None and not is_on(settings, name)]


def active_sound_settings(settings: Waveform) -> list[str]:
    """Return the settings of `waveform` that ask for an augmentation, whatever `count` and `probability` are."""
    names = [field.name for field in dataclasses.fields(Waveform) if field.name not in SOUND_RULES]
    return [name for name in names if getattr(settings, name)]


def sound_settings_without_effect(config: Config) -> list[str]:
    """Say, one sentence each, which settings of `waveform` are on, but can hardly change what a model sees."""
    settings, spectrogram = config.waveform, config.spectrogram
    chosen = [name for name in active_sound_settings(settings) if name != "mixup"]
    rule = "count" if not settings.count else "probability"
    stretched = spectrogram.scale == "clip" and spectrogram.kind != "pcen"
    reason = f"spectrogram.normalize = {spectrogram.normalize}"
    if spectrogram.normalize == "none":
        reason = "spectrogram.scale = clip"
    found = []
    if chosen and not (settings.count and settings.probability):
        found.append(f"waveform.{rule} is 0, so these have no effect: {_listed(chosen)}")
    elif settings.gain and not settings.mixup and (stretched or spectrogram.normalize != "none"):
        found.append(
            f"waveform.gain changes nothing but near silence: {reason} undoes it, and noise follows the clip's level"
        )
    if settings.background_folder and not settings.background:
        found.append("waveform.background_folder is not read, because waveform.background (a range of decibels) is off")
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(f"waveform.{name}" for name in names)


def margin_needed(settings: Waveform, *, length: float) -> float:
    """Return the seconds of sound that shift and speed need before and after a clip of `length` seconds."""
    return (settings.shift + settings.speed / 2) * length
