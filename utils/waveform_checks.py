"""Which settings of stored sound and of augmentation do not go together, although each of them is valid alone."""

from config import Clips, Config, Waveform
from utils.augmentation_checks import active_sound_settings, chances_without_effect, margin_needed
from utils.spectrogram_checks import require


def check_waveform(config: Config) -> None:
    """Refuse values that do not go together.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    _check_store(config)
    active = active_sound_settings(config.waveform)
    if active:
        _check_sound_is_kept(config, name=active[0])
        _check_margin(config.waveform, config.clips)
    _check_ratios(config.waveform)
    for name in chances_without_effect(config.augmentation):
        require(
            False,
            key=f"augmentation.chances.{name}",
            value=getattr(config.augmentation.chances, name),
            reason=f"should be removed, or augmentation.{name} set, which is off",
        )


def _check_store(config: Config) -> None:
    clips, resize = config.clips, config.spectrogram.resize
    require(
        clips.keep == "sound" or not clips.margin,
        key="clips.margin",
        value=clips.margin,
        reason='should be 0 unless clips.keep = "sound": no sound is kept',
    )
    require(
        clips.keep == "spectrograms" or resize not in ("crop_random", "fill"),
        key="spectrogram.resize",
        value=resize,
        reason='should be squeeze or crop with clips.keep = "sound": training cannot crop or fill at random',
    )


def _check_sound_is_kept(config: Config, *, name: str) -> None:
    value = getattr(config.waveform, name)
    require(
        config.clips.keep == "sound",
        key=f"waveform.{name}",
        value=value,
        reason='needs the sound of clips: set clips.keep = "sound", and run spec.py --fresh',
    )
    require(
        config.training.images is None,
        key=f"waveform.{name}",
        value=value,
        reason="needs the sound of clips, but training.images is a folder of images: remove one of them",
    )


def _check_margin(settings: Waveform, clips: Clips) -> None:
    needed = margin_needed(settings, length=clips.length)
    which = " and ".join(f"waveform.{name}" for name in ("shift", "speed") if getattr(settings, name))
    require(
        clips.margin >= needed - 1e-9,
        key="clips.margin",
        value=clips.margin,
        reason=f"should be at least {needed:g} s for {which} and clips of {clips.length:g} s; then run spec.py --fresh",
    )


def _check_ratios(settings: Waveform) -> None:
    for name in ("white", "pink", "brown", "background"):
        ratios = getattr(settings, name)
        require(
            ratios is None or ratios[0] <= ratios[1],
            key=f"waveform.{name}",
            value=ratios,
            reason="should be the lower signal-to-noise ratio, then the higher one, decibels",
        )
