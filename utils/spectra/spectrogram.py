"""The spectrogram of a clip, in decibels or with PCEN, low frequencies at the bottom; in JAX see `on_device.py`.

Source: docs/baseline.md (Spectrograms); the formulas are those of librosa's `melspectrogram(power=1)`,
`amplitude_to_db(ref=max)` and `pcen`. For kind reassigned see `reassigned.py`.
"""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from config import Spectrogram
from utils.spectra.bands import bands_of, fixed_range, hop_of
from utils.spectra.fourier import blocks_of, rfft
from utils.spectra.reassigned import reassigned_amplitudes
from utils.spectra.resizing import resize
from utils.spectra.signal_score import signal_score
from utils.spectra.waveform import preprocess

MIN_AMPLITUDE = 1e-5  # smaller amplitudes count as this
RANGE_DB = 80.0  # levels further below the peak of the clip count as this far below it
PCEN_SCALE = 2.0**31  # librosa's PCEN is meant for 32-bit integer samples
# librosa's defaults for gain, bias, power, time_constant and eps
PCEN_GAIN, PCEN_BIAS, PCEN_POWER, PCEN_SECONDS, PCEN_LEAST = 0.98, 2.0, 0.5, 0.4, 1e-6


def make_spectrogram(
    samples: Float[np.ndarray, " samples"], settings: Spectrogram, *, seed: int = 0
) -> Float[np.ndarray, "height width"]:
    """Return the spectrogram of one clip.

    Parameters
    ----------
    samples : float32, at `settings.rate`; at least width − 1 samples, or hop if that is set
    settings : settings of the spectrogram
    seed : random seed, used by some modes of `settings.resize`

    Returns
    -------
    float32 from 0 (the lowest level of the clip, at most 80 dB below its peak) to 1 (its peak), or, with scale = fixed,
    from and to the levels `range_db`; the last row is the lowest frequency. Silence is all 0.

    Examples
    --------
    A tone of 4 kHz in weak noise; row 0 is the highest of the mel bands from 500 to 15,000 Hz:

    >>> import numpy as np
    >>> from config import Spectrogram
    >>> time = np.arange(44_100) / 44_100
    >>> noise = np.random.default_rng(0).normal(0, 0.001, 44_100)
    >>> samples = (np.sin(2 * np.pi * 4000 * time) + noise).astype(np.float32)
    >>> spectrogram = make_spectrogram(samples, Spectrogram(height=64, width=100))
    >>> spectrogram.shape, spectrogram.dtype
    ((64, 100), dtype('float32'))
    >>> int(spectrogram.mean(axis=1).argmax())
    26
    >>> to_pixels(spectrogram).dtype
    dtype('uint8')
    """
    levels = levels_of(samples, settings)
    scaled = scale_to_range(levels, settings) if settings.scale == "fixed" else stretch_levels(levels, settings)
    return _image(scaled, settings, seed=seed)


def scored_spectrogram(
    samples: Float[np.ndarray, " samples"], settings: Spectrogram, *, seed: int = 0
) -> tuple[Float[np.ndarray, "height width"], float]:
    """Return the spectrogram of one clip and its signal score, which is the same for every `settings.scale`."""
    levels = levels_of(samples, settings)
    scaled = scale_to_range(levels, settings) if settings.scale == "fixed" else None
    stretched = _image(stretch_levels(levels, settings), settings, seed=seed)
    return stretched if scaled is None else _image(scaled, settings, seed=seed), signal_score(stretched)


def levels_of(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, "rows frames"]:
    """Return a clip's level in each band and frame, lowest band first: decibels, or what PCEN makes of amplitudes."""
    levels = amplitudes(preprocess(samples, settings), settings)
    if settings.kind == "pcen":
        return pcen(levels, frames_per_second=settings.rate / hop_of(settings, samples=len(samples)))
    return decibels(levels)


def stretch_levels(
    levels: Float[np.ndarray, "rows frames"], settings: Spectrogram
) -> Float[np.ndarray, "rows columns"]:
    """Scale the levels of a clip, in place, from its lowest (0) to its highest (1), or to 0 where all are the same."""
    if settings.kind != "pcen":
        np.maximum(levels, levels.max() - np.float32(RANGE_DB), out=levels)
    levels = levels if settings.hop else levels[:, : settings.width]
    low, high = levels.min(), levels.max()
    if not high > low:
        return np.zeros_like(levels)
    levels -= low
    levels /= high - low
    return levels


def scale_to_range(
    levels: Float[np.ndarray, "rows frames"], settings: Spectrogram
) -> Float[np.ndarray, "rows columns"]:
    """Return the levels of a clip scaled by `range_db`: from black (0) to white (1)."""
    black, white = fixed_range(settings)
    levels = levels if settings.hop else levels[:, : settings.width]
    return np.clip((levels - np.float32(black)) / np.float32(white - black), 0, 1)


def _image(
    levels: Float[np.ndarray, "rows columns"], settings: Spectrogram, *, seed: int
) -> Float[np.ndarray, "height width"]:
    """Turn scaled levels upside down, and give them the size of a spectrogram."""
    return resize(levels[::-1], height=settings.height, width=settings.width, mode=settings.resize, seed=seed)


def amplitudes(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, "rows frames"]:
    """Return a clip's amplitude in each band (kind linear: each bin) and frame, lowest band first."""
    bands, hop = bands_of(settings), hop_of(settings, samples=len(samples))
    n_fft = len(bands.window)
    frames = _frames(samples, settings, n_fft=n_fft)[::hop]
    if settings.kind == "reassigned":
        return reassigned_amplitudes(frames, settings, hop=hop)
    bins = np.empty((bands.last_bin - bands.first_bin, len(frames)), np.float32)
    for block in blocks_of(len(frames), n_fft=n_fft):
        spectrum = rfft(frames[block], bands.window)
        bins[:, block] = np.abs(spectrum[:, bands.first_bin : bands.last_bin]).T
    return bins if bands.weights is None else bands.weights @ bins


def _frames(
    samples: Float[np.ndarray, " samples"], settings: Spectrogram, *, n_fft: int
) -> Float[np.ndarray, "samples+1 {n_fft}"]:
    """Return the frame around each sample, a view, after pre-emphasis; there is silence around the clip."""
    padded = np.zeros(len(samples) + n_fft, np.float32)
    sound = padded[n_fft // 2 : n_fft // 2 + len(samples)]
    sound[:] = samples
    if settings.pre_emphasis and settings.kind != "linear":
        sound[1:] -= np.float32(settings.pre_emphasis) * samples[:-1]
    return np.lib.stride_tricks.sliding_window_view(padded, n_fft)


def mel_levels(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, " bands"]:
    """Return a clip's mean level in each mel band, decibels, lowest band first, whatever `settings.kind` is."""
    n_fft = 0 if settings.kind == "linear" else settings.n_fft
    return decibels(amplitudes(preprocess(samples, settings), replace(settings, kind="mel", n_fft=n_fft))).mean(axis=1)


def decibels(amplitudes: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return levels in decibels relative to an amplitude of 1; amplitudes below MIN_AMPLITUDE count as that."""
    levels = np.maximum(amplitudes, np.float32(MIN_AMPLITUDE))
    np.log10(levels, out=levels)
    levels *= 20
    return levels


def pcen(amplitudes: Float[np.ndarray, "rows frames"], *, frames_per_second: float) -> Float[np.ndarray, "rows frames"]:
    """Return amplitudes after per-channel energy normalization (PCEN): automatic gain control and compression.

    Source: `librosa.pcen` and its defaults (Wang et al. 2017, arXiv:1607.05666).
    """
    from scipy.signal import lfilter  # slow to import, and seldom needed

    scaled = amplitudes * np.float32(PCEN_SCALE)
    share = pcen_smoothing(frames_per_second)
    feed, back = np.array([share], np.float32), np.array([1, share - 1], np.float32)
    mean, _ = lfilter(feed, back, scaled, axis=1, zi=np.full((len(scaled), 1), 1 - share, np.float32))
    gain = np.exp(np.float32(-PCEN_GAIN) * (np.float32(math.log(PCEN_LEAST)) + np.log1p(mean / np.float32(PCEN_LEAST))))
    return np.float32(PCEN_BIAS**PCEN_POWER) * np.expm1(
        np.float32(PCEN_POWER) * np.log1p(scaled * gain / np.float32(PCEN_BIAS))
    )


def pcen_smoothing(frames_per_second: float) -> float:
    """Return the weight of each frame in PCEN's running mean."""
    frames = PCEN_SECONDS * frames_per_second
    return (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)


def to_pixels(spectrogram: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Round a spectrogram from 0 to 1 to integers from 0 to 255."""
    return np.rint(spectrogram * 255).astype(np.uint8)
