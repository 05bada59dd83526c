"""The spectrogram of one clip, for programs and notebooks."""

import math
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from config import Config
from utils.console import UserError
from utils.settings import load
from utils.spectra.clips import clip_samples
from utils.spectra.decode import AudioError, decode
from utils.spectra.decoded_part import samples_between
from utils.spectra.spectrogram import make_spectrogram, to_pixels


def spectrogram_at(file: Path, *, start: float, settings: Path | None) -> UInt8[np.ndarray, "height width"]:
    """Return the spectrogram of the clip of a recording that begins at `start` (seconds), padded with silence.

    Parameters
    ----------
    settings : a TOML file, or a folder with settings.toml; None: the defaults

    Raises
    ------
    SettingsError
        If the settings cannot be read.
    UserError
        If the recording cannot be read, or ends before `start`.
    """
    config = Config() if settings is None else load(settings / "settings.toml" if settings.is_dir() else settings)
    spectrogram = config.spectrogram
    length, _, _ = clip_samples(config.clips, rate=spectrogram.rate)
    if not 0 <= start < math.inf:
        raise UserError(f"start = {start:g}: should be 0 or more")
    try:
        with closing(decode(file, rate=spectrogram.rate, channel=spectrogram.channel)) as blocks:
            end = (round(start * spectrogram.rate) + length) / spectrogram.rate
            samples = samples_between(blocks, start=start, end=end, rate=spectrogram.rate)
    except AudioError as error:
        raise UserError(f"{file}: {error}") from None
    if not len(samples):
        raise UserError(f"{file}: ends before start = {start:g} s")
    return to_pixels(make_spectrogram(np.pad(samples, (0, length - len(samples))), spectrogram))
