"""Which settings of a spectrogram do not go together, although each of them is valid alone."""

from config import LONGEST_WINDOW, SettingsError, Spectrogram

SHORTEST_WINDOW = 16  # of Fourier transforms, samples


def require(fine: bool, *, key: str, value: object, reason: str) -> None:
    """Raise SettingsError with this key, value and reason unless all is fine."""
    if not fine:
        raise SettingsError(reason, key=key, value=value)


def check_spectrogram(spectrogram: Spectrogram, *, samples: int) -> None:
    """Refuse values that do not go together for clips of so many samples.

    Raises
    ------
    SettingsError
        That names the setting and what would be valid.
    """
    _check_band(spectrogram)
    _check_scale(spectrogram)
    _check_size(spectrogram, samples=samples)


def _check_band(spectrogram: Spectrogram) -> None:
    require(
        spectrogram.fmin < spectrogram.fmax,
        key="spectrogram.fmin",
        value=spectrogram.fmin,
        reason=f"should be below spectrogram.fmax ({spectrogram.fmax:g} Hz)",
    )
    require(
        spectrogram.fmax <= spectrogram.rate / 2,
        key="spectrogram.fmax",
        value=spectrogram.fmax,
        reason=f"should be at most half of spectrogram.rate ({spectrogram.rate / 2:g} Hz): there is no sound above it",
    )


def _check_scale(spectrogram: Spectrogram) -> None:
    black, white = spectrogram.range_db
    require(
        black < white,
        key="spectrogram.range_db",
        value=spectrogram.range_db,
        reason="should be the level that becomes black, then a higher one that becomes white, decibels",
    )
    require(
        spectrogram.scale == "clip" or spectrogram.kind != "pcen",
        key="spectrogram.scale",
        value=spectrogram.scale,
        reason="should be clip for spectrogram.kind = pcen, whose values are not decibels",
    )


def _check_size(spectrogram: Spectrogram, *, samples: int) -> None:
    """Refuse spectrograms that cannot be made from clips of so many samples."""
    require(
        spectrogram.hop > 0 or samples >= spectrogram.width - 1,
        key="spectrogram.width",
        value=spectrogram.width,
        reason=f"a clip has only {samples} samples",
    )
    require(
        spectrogram.hop <= samples,
        key="spectrogram.hop",
        value=spectrogram.hop,
        reason=f"should be at most the {samples} samples of a clip",
    )
    require(
        spectrogram.n_fft == 0 or (spectrogram.n_fft >= SHORTEST_WINDOW and spectrogram.n_fft % 2 == 0),
        key="spectrogram.n_fft",
        value=spectrogram.n_fft,
        reason=f"should be 0 or an even number from {SHORTEST_WINDOW} on",
    )
    if spectrogram.kind == "linear":
        step = spectrogram.rate / (spectrogram.n_fft or LONGEST_WINDOW)  # between bins of the Fourier transform, Hz
        least = step * (2 if spectrogram.n_fft else spectrogram.height)
        require(
            spectrogram.fmax - spectrogram.fmin >= least,
            key="spectrogram.fmax",
            value=spectrogram.fmax,
            reason=f"should be {least:.0f} Hz or more above spectrogram.fmin, or there are too few frequency bins",
        )
    require(
        spectrogram.high_pass == 0 or spectrogram.high_pass >= 1,
        key="spectrogram.high_pass",
        value=spectrogram.high_pass,
        reason="should be 0 (off) or at least 1 Hz",
    )
    require(
        spectrogram.high_pass < spectrogram.fmax,
        key="spectrogram.high_pass",
        value=spectrogram.high_pass,
        reason=f"should be below spectrogram.fmax ({spectrogram.fmax:g} Hz)",
    )
