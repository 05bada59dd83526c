"""Where frequencies lie in a spectrogram, for the axes of plots."""

from matplotlib.ticker import MaxNLocator

from config import Spectrogram
from utils.spectra.bands import bands_of
from utils.spectra.mel import hertz_to_mel, mel_to_hertz

OCTAVES = tuple(31.25 * 2**octave for octave in range(13))  # to 128,000 Hz
FEWEST_TICKS = 3


def height_of(frequency: float, settings: Spectrogram) -> float:
    """Return the height of a frequency (Hz) in a spectrogram: 0 is its lower edge, 1 its upper edge.

    Each row is as high as the others, with the frequency of its bin or the centre of its mel band in its middle.
    """
    if settings.kind == "linear":
        bands = bands_of(settings)
        row, rows = frequency * len(bands.window) / settings.rate - bands.first_bin, bands.rows
    else:  # the centres of the bands divide the range in mel into height + 1 equal steps
        low, high, mel = (hertz_to_mel(hertz) for hertz in (settings.fmin, settings.fmax, frequency))
        row, rows = (mel - low) / (high - low) * (settings.height + 1) - 1, settings.height
    return (row + 0.5) / rows


def frequency_at(height: float, settings: Spectrogram) -> float:
    """Return the frequency (Hz) at a height in a spectrogram, 0 to 1: the inverse of `height_of`; not below 0."""
    if settings.kind == "linear":
        bands = bands_of(settings)
        row = height * bands.rows - 0.5
        return max(0.0, (row + bands.first_bin) * settings.rate / len(bands.window))
    low, high = hertz_to_mel(settings.fmin), hertz_to_mel(settings.fmax)
    row = height * settings.height - 0.5
    return max(0.0, mel_to_hertz(low + (row + 1) * (high - low) / (settings.height + 1)))


def kilohertz_ticks(settings: Spectrogram) -> list[tuple[str, float]]:
    """Return the frequencies to write beside a spectrogram, kHz, and their heights, from 0 to 1."""
    frequencies = [hertz for hertz in OCTAVES if settings.fmin <= hertz <= settings.fmax]
    if settings.kind == "linear" or len(frequencies) < FEWEST_TICKS:
        frequencies = [
            1000 * float(tick) for tick in MaxNLocator(5).tick_values(settings.fmin / 1000, settings.fmax / 1000)
        ]
    ticks = [(f"{hertz / 1000:g}", height_of(hertz, settings)) for hertz in frequencies]
    return [(text, height) for text, height in ticks if 0 <= height <= 1]
