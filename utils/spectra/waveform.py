"""Optional preprocessing of a clip's samples: high-pass filter, noise reduction, loudness; each clip by itself."""

import math
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import scipy.fft
from jaxtyping import Float

from config import Spectrogram
from utils.spectra.fourier import rfft
from utils.spectra.windows import hann

ORDER = 2  # order of the Butterworth filter, which is applied forwards and backwards
SETTLED = 4  # periods of the cutoff frequency after which the filter has settled
GATE_SECONDS = 0.023  # window of the noise gate, rounded to a power of two in samples
GATE_OVERLAP = 4  # frames of the noise gate that cover each sample
GATE_WHOLE = 1.5  # sum of the squares of their windows
GATE_ABOVE = 1.5  # sound up to this many standard deviations above a frequency's mean level counts as noise
GATE_RANGE = 80.0  # levels further below each frequency's peak, decibels, count as this far below it
GATE_BLUR = (250.0, 0.05)  # how far the gate opens around louder sound, Hz and seconds
LOUDNESS = 0.1  # root mean square after `normalize = rms`
QUIETEST = 1e-9  # smaller amplitudes count as this


def preprocess(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, " samples"]:
    """Return a clip after high-pass filter, noise reduction and loudness normalization, as far as the settings say."""
    if settings.high_pass:
        samples = apply_high_pass(samples, settings)
    if settings.noise_reduction:
        samples = reduce_noise(samples, settings)
    if settings.normalize == "peak":
        return samples / np.maximum(np.abs(samples).max(), np.float32(QUIETEST))
    if settings.normalize == "rms":
        return samples * (np.float32(LOUDNESS) / np.maximum(np.sqrt(np.mean(samples**2)), np.float32(QUIETEST)))
    return samples


class HighPass(NamedTuple):
    """A high-pass filter for clips of one length.

    Attributes
    ----------
    beyond : number of samples by which the clip is padded at both ends, by odd reflection
    length : length of the Fourier transform
    gains : gain of each of its bins
    """

    beyond: int
    length: int
    gains: Float[np.ndarray, " bins"]


@lru_cache(maxsize=8)
def high_pass_filter(settings: Spectrogram, *, samples: int) -> HighPass:
    """Return the high-pass filter for clips of this many samples.

    It equals `scipy.signal.sosfiltfilt` of a Butterworth filter: the squared gain of the filter, without delay.
    """
    from scipy.signal import butter, freqz_sos  # slow to import, and seldom needed

    beyond = min(samples - 1, math.ceil(SETTLED * settings.rate / settings.high_pass))
    length = scipy.fft.next_fast_len(samples + 2 * beyond, real=True)
    sections = butter(ORDER, settings.high_pass, btype="highpass", fs=settings.rate, output="sos")
    _, response = freqz_sos(sections, worN=scipy.fft.rfftfreq(length, 1 / settings.rate), fs=settings.rate)
    return HighPass(beyond, length, (np.abs(response) ** 2).astype(np.float32))


def apply_high_pass(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, " samples"]:
    """Attenuate frequencies below `settings.high_pass`: by 6 dB at that frequency, and 24 dB per octave below it."""
    beyond, length, gains = high_pass_filter(settings, samples=len(samples))
    before = 2 * samples[0] - samples[beyond:0:-1]
    after = 2 * samples[-1] - samples[-2 : -beyond - 2 : -1]
    spectrum = scipy.fft.rfft(np.concatenate([before, samples, after]), length)
    return scipy.fft.irfft(spectrum * gains, length)[beyond : beyond + len(samples)]


class Gate(NamedTuple):
    """A noise gate for clips of one length.

    Attributes
    ----------
    window : window of the Fourier transform and of its inverse
    hop : hop length, samples; frames reach from one window before the clip to one after it, so that the same number
        covers each sample
    padded : number of samples that the frames span
    inside : the frames whose middle lies in the clip
    blur : weights that smooth the gate over frequencies, and over frames
    """

    window: Float[np.ndarray, " n_fft"]
    hop: int
    padded: int
    inside: slice
    blur: tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " frames"]]


@lru_cache(maxsize=8)
def noise_gate(settings: Spectrogram, *, samples: int) -> Gate:
    """Return the noise gate for clips of this many samples."""
    n_fft = max(16, 2 ** round(math.log2(settings.rate * GATE_SECONDS)))
    hop = n_fft // GATE_OVERLAP
    steps = math.ceil(samples / hop)
    spread = [
        int(reach / step) for reach, step in zip(GATE_BLUR, (settings.rate / n_fft, hop / settings.rate), strict=True)
    ]
    frequencies, frames = (_triangle(reach) for reach in spread)
    inside = slice(GATE_OVERLAP // 2, GATE_OVERLAP // 2 + steps)
    return Gate(
        hann(n_fft),
        hop,
        steps * hop + 2 * n_fft,
        inside,
        (frequencies, frames),
    )


def _triangle(reach: int) -> Float[np.ndarray, " weights"]:
    """Return weights that fall evenly to both ends of 2 · reach + 1, with the sum 1."""
    steps = np.arange(1, reach + 2)
    return (np.concatenate([steps, steps[-2::-1]]) / (reach + 1) / (reach + 1)).astype(np.float32)


def reduce_noise(samples: Float[np.ndarray, " samples"], settings: Spectrogram) -> Float[np.ndarray, " samples"]:
    """Reduce stationary noise by spectral gating; `settings.noise_reduction` is the fraction that is removed.

    Source: Sainburg et al. 2020 (doi:10.1371/journal.pcbi.1008228), noisereduce 3.0.3 with `stationary=True`, which
    takes 36 ms per clip. Unlike there, the gate is not smoothed towards closed at the edges of clip and spectrum.
    """
    gate = noise_gate(settings, samples=len(samples))
    n_fft = len(gate.window)
    padded = np.zeros(gate.padded, np.float32)
    padded[n_fft : n_fft + len(samples)] = samples
    spectrum = rfft(np.lib.stride_tricks.sliding_window_view(padded, n_fft)[:: gate.hop], gate.window)
    level = 20 * np.log10(np.maximum(np.abs(spectrum), np.float32(QUIETEST)))
    known = level[gate.inside]
    known = np.maximum(known, known.max(axis=0) - GATE_RANGE)
    louder = (level > known.mean(axis=0) + GATE_ABOVE * known.std(axis=0)).astype(np.float32)
    openness = cv2.sepFilter2D(louder, -1, *gate.blur, borderType=cv2.BORDER_REPLICATE)
    spectrum *= 1 - np.float32(settings.noise_reduction) * (1 - openness)
    frames = (scipy.fft.irfft(spectrum, axis=1) * gate.window).reshape(len(spectrum), GATE_OVERLAP, gate.hop)
    sound = np.zeros((len(spectrum) + GATE_OVERLAP - 1, gate.hop), np.float32)
    for step in range(GATE_OVERLAP):
        sound[step : step + len(frames)] += frames[:, step]
    return sound.reshape(-1)[n_fft : n_fft + len(samples)] / np.float32(GATE_WHOLE)
