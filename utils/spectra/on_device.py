"""Spectrograms and signal scores of many clips as one jitted function for accelerators, equal to those on the CPU.

This is the only module here that imports JAX; workers do not import it. Each function is the JAX version of one in
`spectrogram.py`, `waveform.py`, `resizing.py` or `signal_score.py`, with the same constants.
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
from utils.spectra import waveform
from utils.spectra.bands import bands_of, fixed_range, hop_of, size_before_resizing
from utils.spectra.signal_score import ABOVE_COLUMN, ABOVE_ROW

EXACT = lax.Precision.HIGHEST  # otherwise accelerators round the factors of matrix products to 10 or 8 bits
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
    if reason := reason_against_device(settings, samples=clips.shape[1]):
        raise ValueError(reason)
    levels = amplitudes_on_device(preprocess_on_device(clips, settings), settings)
    if settings.kind == "pcen":
        levels = pcen_on_device(levels, frames_per_second=settings.rate / hop_of(settings, samples=clips.shape[1]))
    else:
        levels = 20 * jnp.log10(jnp.maximum(levels, cpu.MIN_AMPLITUDE))
    stretched = resize_on_device(stretch_on_device(levels, settings), settings)
    spectrograms = stretched
    if settings.scale == "fixed":
        spectrograms = resize_on_device(scale_to_range_on_device(levels, settings), settings)
    return jnp.rint(spectrograms * 255).astype(jnp.uint8), signal_scores(stretched)


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


def preprocess_on_device(clips: Float[Array, "clips samples"], settings: Spectrogram) -> Float[Array, "clips samples"]:
    """JAX version of `waveform.preprocess`."""
    if settings.high_pass:
        clips = apply_high_pass_on_device(clips, settings)
    if settings.noise_reduction:
        clips = reduce_noise_on_device(clips, settings)
    if settings.normalize == "peak":
        return clips / jnp.maximum(jnp.abs(clips).max(axis=1, keepdims=True), waveform.QUIETEST)
    if settings.normalize == "rms":
        return clips * (
            waveform.LOUDNESS / jnp.maximum(jnp.sqrt(jnp.mean(clips**2, axis=1, keepdims=True)), waveform.QUIETEST)
        )
    return clips


def apply_high_pass_on_device(
    clips: Float[Array, "clips samples"], settings: Spectrogram
) -> Float[Array, "clips samples"]:
    """JAX version of `waveform.apply_high_pass`."""
    samples = clips.shape[1]
    beyond, length, gains = waveform.high_pass_filter(settings, samples=samples)
    before = 2 * clips[:, :1] - clips[:, 1 : beyond + 1][:, ::-1]
    after = 2 * clips[:, -1:] - clips[:, samples - 1 - beyond : -1][:, ::-1]
    spectrum = jnp.fft.rfft(jnp.concatenate([before, clips, after], axis=1), length)
    return jnp.fft.irfft(spectrum * gains, length)[:, beyond : beyond + samples]


def reduce_noise_on_device(
    clips: Float[Array, "clips samples"], settings: Spectrogram
) -> Float[Array, "clips samples"]:
    """JAX version of `waveform.reduce_noise`."""
    samples = clips.shape[1]
    gate = waveform.noise_gate(settings, samples=samples)
    n_fft = len(gate.window)
    padded = jnp.pad(clips, ((0, 0), (n_fft, gate.padded - n_fft - samples)))
    spectrum = jnp.fft.rfft(frames_of(padded, n_fft=n_fft, hop=gate.hop) * gate.window)
    level = 20 * jnp.log10(jnp.maximum(jnp.abs(spectrum), waveform.QUIETEST))
    known = level[:, gate.inside]
    known = jnp.maximum(known, known.max(axis=1, keepdims=True) - waveform.GATE_RANGE)
    louder = level > known.mean(axis=1, keepdims=True) + waveform.GATE_ABOVE * known.std(axis=1, keepdims=True)
    openness = blur_on_device(louder.astype(jnp.float32), *gate.blur)
    spectrum *= 1 - settings.noise_reduction * (1 - openness)
    frames = (jnp.fft.irfft(spectrum) * gate.window).reshape(len(clips), -1, waveform.GATE_OVERLAP, gate.hop)
    count = frames.shape[1]
    sound = jnp.zeros((len(clips), count + waveform.GATE_OVERLAP - 1, gate.hop))
    for step in range(waveform.GATE_OVERLAP):
        sound = sound.at[:, step : step + count].add(frames[:, :, step])
    return sound.reshape(len(clips), -1)[:, n_fft : n_fft + samples] / waveform.GATE_WHOLE


def blur_on_device(
    spectrograms: Float[Array, "clips rows columns"], across: Float[np.ndarray, " a"], down: Float[np.ndarray, " b"]
) -> Float[Array, "clips rows columns"]:
    """JAX version of `cv2.sepFilter2D` with BORDER_REPLICATE: weighted sums along each row, and along each column."""
    reach = ((0, 0), (len(down) // 2,) * 2, (len(across) // 2,) * 2)
    padded = jnp.pad(spectrograms, reach, mode="edge")[:, None]
    once = lax.conv(padded, jnp.asarray(across)[None, None, None], (1, 1), "VALID", precision=EXACT)
    return lax.conv(once, jnp.asarray(down)[None, None, :, None], (1, 1), "VALID", precision=EXACT)[:, 0]


def frames_of(padded: Float[Array, "clips samples"], *, n_fft: int, hop: int) -> Float[Array, "clips frames n_fft"]:
    """Cut samples into overlapping frames."""
    starts = jnp.arange(0, padded.shape[1] - n_fft + 1, hop)
    return jax.vmap(lambda start: lax.dynamic_slice_in_dim(padded, start, n_fft, axis=1), out_axes=1)(starts)


def amplitudes_on_device(
    clips: Float[Array, "clips samples"], settings: Spectrogram
) -> Float[Array, "clips rows frames"]:
    """JAX version of `spectrogram.amplitudes`."""
    bands = bands_of(settings)
    n_fft = len(bands.window)
    if settings.pre_emphasis and settings.kind != "linear":
        clips = clips.at[:, 1:].add(-settings.pre_emphasis * clips[:, :-1])
    frames = frames_of(
        jnp.pad(clips, ((0, 0), (n_fft // 2, n_fft // 2))), n_fft=n_fft, hop=hop_of(settings, samples=clips.shape[1])
    )
    bins = jnp.abs(jnp.fft.rfft(frames * bands.window)[..., bands.first_bin : bands.last_bin])
    if bands.weights is None:
        return bins.swapaxes(1, 2)
    return jnp.einsum("rb,cfb->crf", bands.weights.toarray(), bins, precision=EXACT)


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
