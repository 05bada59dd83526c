"""Peaks of a recording's signal-to-noise curve, computed as in the BirdVox project.

Per-channel energy normalization (PCEN) removes steady sounds from a mel power spectrogram. The curve is, for each
frame, the loudest band minus the quietest, in decibels above the recording's median. A running median removes clicks.

Source: V. Lostanlen et al., github.com/BirdVox/PCEN-SNR (src/pcen_snr.py: hop of 512 samples at 22,050 Hz, windows of
2,048, gain 0.8, bias 10, power 0.25, time constant 60 ms, maximum minus minimum, decibels above the median); PCEN as in
`librosa.pcen`, which it calls: Wang et al., arXiv:1607.05666. 64 mel bands and the median over 15 frames are those of
kaggle.com/code/johnowhitaker/peak-identification.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain

import numpy as np
import scipy.ndimage
from jaxtyping import Float, Float32

from config import Spectrogram
from utils.spectra.clips import Window, cut_grid
from utils.spectra.fourier import rfft
from utils.spectra.mel import mel_filters
from utils.spectra.windows import hann

HOP = 512 / 22_050  # seconds from one frame to the next
WINDOW_HOPS = 4  # length of the Fourier window, in hops
BANDS = 64
GAIN, BIAS, POWER, TIME_CONSTANT, EPS = 0.8, 10.0, 0.25, 0.06, 1e-6  # of PCEN
SMOOTHED = 15  # frames of the running median
MIN_RATIO = 1e-10  # smaller signal-to-noise ratios count as this
FRAMES_AT_ONCE = 256  # always this many, because matrix products of other sizes may differ in the last bit


def hop_samples(rate: int) -> int:
    """Return the hop length, samples."""
    return max(1, round(HOP * rate))


def snr_curve(blocks: Iterable[Float[np.ndarray, " _"]], settings: Spectrogram) -> Float32[np.ndarray, " frames"]:
    """Return the signal-to-noise curve, in decibels above the recording's median.

    Frame i is centred on sample `i * hop_samples(rate)`.

    Parameters
    ----------
    blocks : float32 samples at `settings.rate`, in order; the sizes of the blocks do not matter
    settings : rate, fmin and fmax: only sounds that the spectrogram will show count
    """
    ratios = [
        energies.max(axis=1) - energies.min(axis=1)
        for energies in _pcen_blocks(_mel_power(blocks, settings), rate=settings.rate)
    ]
    levels = 10 * np.log10(np.maximum(np.concatenate(ratios), MIN_RATIO))
    return scipy.ndimage.median_filter((levels - np.median(levels)).astype(np.float32), size=SMOOTHED, mode="nearest")


def _mel_power(
    blocks: Iterable[Float[np.ndarray, " _"]], settings: Spectrogram
) -> Iterator[Float32[np.ndarray, "frames bands"]]:
    hop = hop_samples(settings.rate)
    n_fft = WINDOW_HOPS * hop
    weights = mel_weights(settings)
    window = hann(n_fft)
    silence = np.zeros(n_fft // 2, np.float32)
    even = _even_blocks(chain([silence], blocks, [silence]), FRAMES_AT_ONCE * hop)
    for _, frames in cut_grid(even, length=n_fft, step=hop, min_length=n_fft):
        spectrum = rfft(frames, window)
        yield (spectrum.real**2 + spectrum.imag**2) @ weights


def _even_blocks(blocks: Iterable[Float[np.ndarray, " _"]], size: int) -> Iterator[Float[np.ndarray, " _"]]:
    """Yield the same samples in blocks of `size`; the last one is shorter."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        for start in range(0, len(rest) - size + 1, size):
            yield rest[start : start + size]
        rest = rest[len(rest) // size * size :]
    yield rest


@lru_cache(maxsize=8)
def mel_weights(settings: Spectrogram) -> Float32[np.ndarray, "bins bands"]:
    """Return the weight of each Fourier bin in each mel band, without empty bands that lie between two bins."""
    n_fft = WINDOW_HOPS * hop_samples(settings.rate)
    bank = mel_filters(rate=settings.rate, n_fft=n_fft, bands=BANDS, fmin=settings.fmin, fmax=settings.fmax)
    return np.ascontiguousarray(bank[bank.any(axis=1)].T)


def _pcen_blocks(
    powers: Iterable[Float32[np.ndarray, "frames bands"]], *, rate: int
) -> Iterator[Float[np.ndarray, "frames bands"]]:
    """Yield `librosa.pcen` of a spectrogram that comes in blocks; as there, the initial running mean is 1."""
    from scipy.signal import lfilter, lfilter_zi  # slow to import, and seldom needed

    frames = TIME_CONSTANT * rate / hop_samples(rate)
    share = (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    state = None
    for power in powers:
        if state is None:
            state = np.full((1, power.shape[1]), lfilter_zi([share], [1, share - 1]))
        mean, state = lfilter([share], [1, share - 1], power, axis=0, zi=state)
        gained = power * np.exp(-GAIN * (np.log(EPS) + np.log1p(mean / EPS)))
        yield BIAS**POWER * np.expm1(POWER * np.log1p(gained / BIAS))


def strongest_peaks(curve: Float[np.ndarray, " frames"], *, apart: int) -> Iterator[int]:
    """Yield the frames of the peaks that are at least `apart` frames away from all higher ones, highest first.

    The ends of the curve may be peaks; the peak of a flat curve is its middle.
    """
    from scipy.signal import find_peaks  # slow to import, and seldom needed

    peaks = find_peaks(np.concatenate([[-np.inf], curve, [-np.inf]]))[0] - 1
    free = np.ones(len(curve), bool)
    for peak in peaks[np.argsort(-curve[peaks], kind="stable")].tolist():
        if free[peak]:
            free[max(0, peak - apart + 1) : peak + apart] = False
            yield peak


def peak_windows(
    curve: Float[np.ndarray, " frames"], *, samples: int, length: int, distance: int, count: int, rate: int
) -> list[Window]:
    """Return windows around the strongest peaks, in order of time, moved to lie inside the recording.

    Parameters
    ----------
    samples, length : length of the recording and of a clip, in samples
    distance : least distance between two peaks, samples
    count : number of windows at most; 0: all
    """
    hop = hop_samples(rate)
    found: dict[int, Window] = {}
    for peak in strongest_peaks(curve, apart=-(-distance // hop)):
        start = max(0, min(peak * hop - length // 2, samples - length))
        # at the ends of a recording, several peaks may have the same window; the highest comes first
        found.setdefault(start, Window(start, peak=peak * hop / rate, strength=float(curve[peak])))
        if len(found) == count:
            break
    return sorted(found.values(), key=lambda window: window.start)
