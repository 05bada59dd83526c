"""Spectrograms and signal scores of many clips as one jitted function for accelerators, equal to those on the CPU.

Only this module and `on_device_*.py` import JAX here; workers import none of them. Each function is the JAX version of
one in `spectrogram.py`, `resizing.py` or `signal_score.py`, with the same constants.
"""

import math
from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped, UInt8

from config import Spectrogram
from utils.spectra import spectrogram as cpu
from utils.spectra.bands import bands_of, fixed_range, hop_of, size_before_resizing
from utils.spectra.on_device_reassigned import reassigned_on_device
from utils.spectra.on_device_waveform import EXACT, frames_of, preprocess_on_device
from utils.spectra.signal_score import ABOVE_COLUMN, ABOVE_ROW

BORDER = ((0, 0), (1, 1), (1, 1))  # one pixel around each spectrogram
CUBIC = -0.75  # parameter of cubic interpolation in OpenCV


def reason_against_device(settings: Spectrogram, *, samples: int) -> str:
    """Return why the device cannot compute the spectrograms of clips of this many samples; empty if it can."""
    resized = size_before_resizing(settings, samples=samples) != (settings.height, settings.width)
    if resized and settings.resize in {"crop_random", "fill"}:
        return f"spectrogram.resize = {settings.resize} needs random numbers, which differ between NumPy and JAX"
    return ""


@partial(jax.jit, static_argnames="settings")
def make_spectrograms(
    clips: Float[Array, "clips samples"], settings: Spectrogram
) -> tuple[UInt8[Array, "clips {settings.height} {settings.width}"], Float[Array, " clips"]]:
    """Return the spectrograms of clips as uint8, and their signal scores before rounding, the same for every scale.

    Parameters
    ----------
    clips : float32, at `settings.rate`
    settings : settings of the spectrograms; other settings and other shapes of `clips` are compiled anew

    Raises
    ------
    ValueError
        If `reason_against_device` gives a reason.
    """
    levels = levels_on_device(clips, settings)
    stretched = resize_on_device(stretch_on_device(levels, settings), settings)
    spectrograms = stretched
    if settings.scale == "fixed":
        spectrograms = resize_on_device(scale_to_range_on_device(levels, settings), settings)
    return jnp.rint(spectrograms * 255).astype(jnp.uint8), signal_scores(stretched)


def compute_spectrograms(
    clips: Float[Array, "clips samples"], settings: Spectrogram, pitch: Float[Array, " clips"] | None = None
) -> Float[Array, "clips {settings.height} {settings.width}"]:
    """Return the spectrograms of clips from 0 to 1, not rounded; for use inside a jitted function.

    Parameters
    ----------
    clips : float32, at `settings.rate`
    settings : settings of the spectrograms
    pitch : factor by which the frequencies of each clip are raised, above 0; 1, or none: unchanged. Magnitudes are read
        at other bins, so that time stays as it is. Pre-emphasis, high-pass filter and noise reduction come before

    Raises
    ------
    ValueError
        If `reason_against_device` gives a reason.
    """
    levels = levels_on_device(clips, settings, pitch)
    scale = scale_to_range_on_device if settings.scale == "fixed" else stretch_on_device
    return resize_on_device(scale(levels, settings), settings)


def levels_on_device(
    clips: Float[Array, "clips samples"], settings: Spectrogram, pitch: Float[Array, " clips"] | None = None
) -> Float[Array, "clips rows frames"]:
    """JAX version of `spectrogram.levels_of`."""
    samples = clips.shape[1]
    if reason := reason_against_device(settings, samples=samples):
        raise ValueError(reason)
    levels = amplitudes_on_device(preprocess_on_device(clips, settings), settings, pitch)
    if settings.kind == "pcen":
        return pcen_on_device(levels, frames_per_second=settings.rate / hop_of(settings, samples=samples))
    return 20 * jnp.log10(jnp.maximum(levels, cpu.MIN_AMPLITUDE))


def stretch_on_device(
    levels: Float[Array, "clips rows frames"], settings: Spectrogram
) -> Float[Array, "clips rows columns"]:
    """JAX version of `spectrogram.stretch_levels`, highest band first."""
    if settings.kind != "pcen":
        levels = jnp.maximum(levels, levels.max(axis=(1, 2), keepdims=True) - cpu.RANGE_DB)
    levels = levels[:, ::-1, : None if settings.hop else settings.width]
    low, high = levels.min(axis=(1, 2), keepdims=True), levels.max(axis=(1, 2), keepdims=True)
    return jnp.where(high > low, (levels - low) / jnp.where(high > low, high - low, 1), 0)


def scale_to_range_on_device(
    levels: Float[Array, "clips rows frames"], settings: Spectrogram
) -> Float[Array, "clips rows columns"]:
    """JAX version of `spectrogram.scale_to_range`, highest band first."""
    black, white = fixed_range(settings)
    levels = levels[:, ::-1, : None if settings.hop else settings.width]
    return jnp.clip((levels - black) / (white - black), 0, 1)


def amplitudes_on_device(
    clips: Float[Array, "clips samples"], settings: Spectrogram, pitch: Float[Array, " clips"] | None = None
) -> Float[Array, "clips rows frames"]:
    """JAX version of `spectrogram.amplitudes`."""
    bands, hop = bands_of(settings), hop_of(settings, samples=clips.shape[1])
    n_fft = len(bands.window)
    if settings.pre_emphasis and settings.kind != "linear":
        clips = clips.at[:, 1:].add(-settings.pre_emphasis * clips[:, :-1])
    frames = frames_of(jnp.pad(clips, ((0, 0), (n_fft // 2, n_fft // 2))), n_fft=n_fft, hop=hop)
    if settings.kind == "reassigned":
        return reassigned_on_device(frames, settings, hop=hop, pitch=pitch)
    spectrum = jnp.fft.rfft(frames * bands.window)
    if pitch is None:
        bins = jnp.abs(spectrum[..., bands.first_bin : bands.last_bin])
    else:
        bins = raise_pitch(jnp.abs(spectrum), pitch, first=bands.first_bin, last=bands.last_bin)
    if bands.weights is None:
        return bins.swapaxes(1, 2)
    return jnp.einsum("rb,cfb->crf", bands.weights.toarray(), bins, precision=EXACT)


def raise_pitch(
    magnitudes: Float[Array, "clips frames bins"], pitch: Float[Array, " clips"], *, first: int, last: int
) -> Float[Array, "clips frames {last}-{first}"]:
    """Return bins `first` to `last` − 1 after all frequencies were multiplied by `pitch`; 0 beyond the last bin.

    Each bin is read at its index / pitch, between two bins by distance: a gather of two, which is faster than products
    with matrices of weights per clip, and exact where the pitch is 1.
    """
    source = jnp.arange(first, last) / pitch[:, None]
    below = jnp.floor(source).astype(jnp.int32)
    share = (source - below)[:, None]
    read = jax.vmap(lambda clip, bins: jnp.take(clip, bins, axis=1, mode="fill", fill_value=0))
    return read(magnitudes, below) * (1 - share) + read(magnitudes, below + 1) * share


def pcen_on_device(
    levels: Float[Array, "clips rows frames"], *, frames_per_second: float
) -> Float[Array, "clips rows frames"]:
    """JAX version of `spectrogram.pcen`."""
    scaled = levels * cpu.PCEN_SCALE
    share = cpu.pcen_smoothing(frames_per_second)
    fresh = share * scaled
    fresh = fresh.at[..., 0].add(1 - share)  # the initial running mean is 1
    _, mean = lax.associative_scan(
        lambda one, two: (one[0] * two[0], two[0] * one[1] + two[1]), (jnp.full_like(fresh, 1 - share), fresh), axis=2
    )
    gain = jnp.exp(-cpu.PCEN_GAIN * (math.log(cpu.PCEN_LEAST) + jnp.log1p(mean / cpu.PCEN_LEAST)))
    return cpu.PCEN_BIAS**cpu.PCEN_POWER * jnp.expm1(cpu.PCEN_POWER * jnp.log1p(scaled * gain / cpu.PCEN_BIAS))


def resize_on_device(
    spectrograms: Float[Array, "clips rows frames"], settings: Spectrogram
) -> Float[Array, "clips height width"]:
    """JAX version of `resizing.resize`, without the modes that need random numbers."""
    rows, frames = spectrograms.shape[1:]
    if (rows, frames) == (settings.height, settings.width):
        return spectrograms
    height, width = settings.height, settings.width
    if settings.resize == "crop":
        spectrograms = squeeze_on_device(spectrograms, height=max(rows, height), width=max(frames, width))
        top, left = (spectrograms.shape[1] - height) // 2, (spectrograms.shape[2] - width) // 2
        return spectrograms[:, top : top + height, left : left + width]
    return squeeze_on_device(spectrograms, height=height, width=width)


def squeeze_on_device(
    spectrograms: Float[Array, "clips rows frames"], *, height: int, width: int
) -> Float[Array, "clips {height} {width}"]:
    """JAX version of `resizing.squeeze`: bicubic interpolation as a matrix product along each axis."""
    rows, frames = spectrograms.shape[1:]
    if (rows, frames) == (height, width):
        return spectrograms
    return jnp.clip(
        jnp.einsum(
            "hr,crf,wf->chw", cubic_weights(rows, height), spectrograms, cubic_weights(frames, width), precision=EXACT
        ),
        0,
        1,
    )


def cubic_weights(before: int, after: int) -> Float[np.ndarray, "{after} {before}"]:
    """Return the weights of old pixels in new ones, as `cv2.resize` with INTER_CUBIC and repeated borders."""
    position = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(position).astype(int)
    weights = np.zeros((after, before), np.float32)
    for step in range(-1, 3):
        distance = np.abs(position - first - step)
        near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
        far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
        np.add.at(
            weights,
            (np.arange(after), np.clip(first + step, 0, before - 1)),
            np.where(distance <= 1, near, far).astype(np.float32),
        )
    return weights


def signal_scores(spectrograms: Float[Array, "clips height width"]) -> Float[Array, " clips"]:
    """JAX version of `signal_score.signal_score`."""
    on = (
        (spectrograms >= ABOVE_ROW * medians_along(spectrograms, axis=2))
        & (spectrograms >= ABOVE_COLUMN * medians_along(spectrograms, axis=1))
        & (spectrograms > 0)
    )
    votes = combine_neighbours(
        jnp.pad(on.astype(jnp.int32), BORDER, mode="edge"), jnp.add
    )  # cv2.medianBlur repeats the border
    # cv2.morphologyEx ignores pixels beyond the border
    grown = combine_neighbours(jnp.pad(votes >= 5, BORDER, constant_values=False), jnp.logical_or)
    return combine_neighbours(jnp.pad(grown, BORDER, constant_values=True), jnp.logical_and).mean(axis=(1, 2))


def medians_along(spectrograms: Float[Array, "clips height width"], *, axis: int) -> Float[Array, "clips h w"]:
    """Return the medians along an axis, which stays with length one."""
    ordered, count = jnp.sort(spectrograms, axis=axis), spectrograms.shape[axis]
    low, high = (lax.slice_in_dim(ordered, index, index + 1, axis=axis) for index in ((count - 1) // 2, count // 2))
    return (low + high) / 2


def combine_neighbours(
    pixels: Shaped[Array, "clips h w"], combine: Callable[[Array, Array], Array]
) -> Shaped[Array, "clips h-2 w-2"]:
    """Combine each inner pixel with its eight neighbours."""
    for axis in (1, 2):
        inner = pixels.shape[axis] - 2
        pixels = reduce(combine, [lax.slice_in_dim(pixels, start, start + inner, axis=axis) for start in range(3)])
    return pixels
