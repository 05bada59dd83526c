"""Pictures and signal scores of many clips as one jitted function for accelerators, equal to those of `spectrogram.py` and `signal_score.py`.

The only file of this folder that imports JAX: workers import none of it. Each function below is the twin of one on the
CPU, whose constants it shares.
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
from utils.spectra.bands import bands_of, drawn_size, hop_of
from utils.spectra.signal_score import ABOVE_COLUMN, ABOVE_ROW

EXACT = lax.Precision.HIGHEST  # accelerators would round the factors of matrix products to 10 or 8 bits
BORDER = ((0, 0), (1, 1), (1, 1))  # one pixel around each picture
CUBIC = -0.75  # OpenCV's slope of cubic interpolation


def refusal(settings: Spectrogram, *, samples: int) -> str:
    """Say why clips of so many samples must be drawn by the CPU; empty where the device can."""
    resized = drawn_size(settings, samples=samples) != (settings.height, settings.width)
    if resized and settings.resize in {"crop_random", "fill"}:
        return f"spectrogram.resize = {settings.resize} draws random numbers, which NumPy and JAX draw differently"
    return ""


@partial(jax.jit, static_argnames="settings")
def make_pictures(
    clips: Float[Array, "clips samples"], settings: Spectrogram
) -> tuple[UInt8[Array, "clips {settings.height} {settings.width}"], Float[Array, " clips"]]:
    """Return the pictures of clips, rounded to grey levels, and their signal scores, taken before.

    Parameters
    ----------
    clips : float32, at `settings.rate`
    settings : how sound becomes a picture; each and each length of clips is compiled anew

    Raises
    ------
    ValueError
        If the settings are such that `refusal` says why not.
    """
    if reason := refusal(settings, samples=clips.shape[1]):
        raise ValueError(reason)
    levels = amplitudes(prepare(clips, settings), settings)
    if settings.kind == "pcen":
        levels = pcen(levels, frames_per_second=settings.rate / hop_of(settings, samples=clips.shape[1]))
    else:
        levels = 20 * jnp.log10(jnp.maximum(levels, cpu.FLOOR))
        levels = jnp.maximum(levels, levels.max(axis=(1, 2), keepdims=True) - cpu.RANGE_DB)
    levels = levels[:, ::-1, : None if settings.hop else settings.width]
    low, high = levels.min(axis=(1, 2), keepdims=True), levels.max(axis=(1, 2), keepdims=True)
    pictures = jnp.where(high > low, (levels - low) / jnp.where(high > low, high - low, 1), 0)
    pictures = resize(pictures, settings)
    return jnp.rint(pictures * 255).astype(jnp.uint8), signal_scores(pictures)


def prepare(clips: Float[Array, "clips samples"], settings: Spectrogram) -> Float[Array, "clips samples"]:
    """Twin of `waveform.prepare`."""
    if settings.high_pass:
        clips = without_low(clips, settings)
    if settings.noise_reduction:
        clips = without_noise(clips, settings)
    if settings.normalize == "peak":
        return clips / jnp.maximum(jnp.abs(clips).max(axis=1, keepdims=True), waveform.QUIETEST)
    if settings.normalize == "rms":
        return clips * (
            waveform.LOUDNESS / jnp.maximum(jnp.sqrt(jnp.mean(clips**2, axis=1, keepdims=True)), waveform.QUIETEST)
        )
    return clips


def without_low(clips: Float[Array, "clips samples"], settings: Spectrogram) -> Float[Array, "clips samples"]:
    """Twin of `waveform.without_low`."""
    samples = clips.shape[1]
    beyond, length, gains = waveform.high_pass(settings, samples=samples)
    before = 2 * clips[:, :1] - clips[:, 1 : beyond + 1][:, ::-1]
    after = 2 * clips[:, -1:] - clips[:, samples - 1 - beyond : -1][:, ::-1]
    spectrum = jnp.fft.rfft(jnp.concatenate([before, clips, after], axis=1), length)
    return jnp.fft.irfft(spectrum * gains, length)[:, beyond : beyond + samples]


def without_noise(clips: Float[Array, "clips samples"], settings: Spectrogram) -> Float[Array, "clips samples"]:
    """Twin of `waveform.without_noise`."""
    samples = clips.shape[1]
    gate = waveform.noise_gate(settings, samples=samples)
    n_fft = len(gate.window)
    padded = jnp.pad(clips, ((0, 0), (n_fft, gate.padded - n_fft - samples)))
    spectrum = jnp.fft.rfft(frames_of(padded, n_fft=n_fft, hop=gate.hop) * gate.window)
    level = 20 * jnp.log10(jnp.maximum(jnp.abs(spectrum), waveform.QUIETEST))
    known = level[:, gate.inside]
    known = jnp.maximum(known, known.max(axis=1, keepdims=True) - waveform.GATE_RANGE)
    louder = level > known.mean(axis=1, keepdims=True) + waveform.GATE_ABOVE * known.std(axis=1, keepdims=True)
    openness = blur(louder.astype(jnp.float32), *gate.blur)
    spectrum *= 1 - settings.noise_reduction * (1 - openness)
    frames = (jnp.fft.irfft(spectrum) * gate.window).reshape(len(clips), -1, waveform.GATE_OVERLAP, gate.hop)
    count = frames.shape[1]
    sound = jnp.zeros((len(clips), count + waveform.GATE_OVERLAP - 1, gate.hop))
    for step in range(waveform.GATE_OVERLAP):
        sound = sound.at[:, step : step + count].add(frames[:, :, step])
    return sound.reshape(len(clips), -1)[:, n_fft : n_fft + samples] / waveform.GATE_WHOLE


def blur(
    pictures: Float[Array, "clips rows columns"], across: Float[np.ndarray, " a"], down: Float[np.ndarray, " b"]
) -> Float[Array, "clips rows columns"]:
    """Twin of `cv2.sepFilter2D` with the borders repeated: weighted sums along each row, and down each column."""
    reach = ((0, 0), (len(down) // 2,) * 2, (len(across) // 2,) * 2)
    padded = jnp.pad(pictures, reach, mode="edge")[:, None]
    once = lax.conv(padded, jnp.asarray(across)[None, None, None], (1, 1), "VALID", precision=EXACT)
    return lax.conv(once, jnp.asarray(down)[None, None, :, None], (1, 1), "VALID", precision=EXACT)[:, 0]


def frames_of(padded: Float[Array, "clips samples"], *, n_fft: int, hop: int) -> Float[Array, "clips frames n_fft"]:
    """Cut sound into overlapping frames."""
    starts = jnp.arange(0, padded.shape[1] - n_fft + 1, hop)
    return jax.vmap(lambda start: lax.dynamic_slice_in_dim(padded, start, n_fft, axis=1), out_axes=1)(starts)


def amplitudes(clips: Float[Array, "clips samples"], settings: Spectrogram) -> Float[Array, "clips rows frames"]:
    """Twin of `spectrogram.amplitudes`."""
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


def pcen(levels: Float[Array, "clips rows frames"], *, frames_per_second: float) -> Float[Array, "clips rows frames"]:
    """Twin of `spectrogram.pcen`."""
    scaled = levels * cpu.PCEN_SCALE
    share = cpu.smoothing(frames_per_second)
    fresh = share * scaled
    fresh = fresh.at[..., 0].add(1 - share)  # the mean begins at 1
    _, mean = lax.associative_scan(
        lambda one, two: (one[0] * two[0], two[0] * one[1] + two[1]), (jnp.full_like(fresh, 1 - share), fresh), axis=2
    )
    gain = jnp.exp(-cpu.PCEN_GAIN * (math.log(cpu.PCEN_LEAST) + jnp.log1p(mean / cpu.PCEN_LEAST)))
    return cpu.PCEN_BIAS**cpu.PCEN_POWER * jnp.expm1(cpu.PCEN_POWER * jnp.log1p(scaled * gain / cpu.PCEN_BIAS))


def resize(pictures: Float[Array, "clips rows frames"], settings: Spectrogram) -> Float[Array, "clips height width"]:
    """Twin of `resizing.resize`, without the modes that draw random numbers."""
    rows, frames = pictures.shape[1:]
    if (rows, frames) == (settings.height, settings.width):
        return pictures
    height, width = settings.height, settings.width
    if settings.resize == "crop":
        pictures = squeeze(pictures, height=max(rows, height), width=max(frames, width))
        top, left = (pictures.shape[1] - height) // 2, (pictures.shape[2] - width) // 2
        return pictures[:, top : top + height, left : left + width]
    return squeeze(pictures, height=height, width=width)


def squeeze(
    pictures: Float[Array, "clips rows frames"], *, height: int, width: int
) -> Float[Array, "clips {height} {width}"]:
    """Twin of `resizing.squeeze`: cubic interpolation as a product with a matrix on each side."""
    rows, frames = pictures.shape[1:]
    if (rows, frames) == (height, width):
        return pictures
    return jnp.clip(
        jnp.einsum("hr,crf,wf->chw", cubic(rows, height), pictures, cubic(frames, width), precision=EXACT), 0, 1
    )


def cubic(before: int, after: int) -> Float[np.ndarray, "{after} {before}"]:
    """Return the shares of the old pixels of a side in each new one, as `cv2.resize` with INTER_CUBIC takes them; pixels beyond the ends are the last ones."""
    place = (np.arange(after) + 0.5) * (before / after) - 0.5
    first = np.floor(place).astype(int)
    weights = np.zeros((after, before), np.float32)
    for step in range(-1, 3):
        distance = np.abs(place - first - step)
        near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
        far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
        np.add.at(
            weights,
            (np.arange(after), np.clip(first + step, 0, before - 1)),
            np.where(distance <= 1, near, far).astype(np.float32),
        )
    return weights


def signal_scores(pictures: Float[Array, "clips height width"]) -> Float[Array, " clips"]:
    """Twin of `signal_score.signal_score`."""
    on = (
        (pictures >= ABOVE_ROW * median(pictures, axis=2))
        & (pictures >= ABOVE_COLUMN * median(pictures, axis=1))
        & (pictures > 0)
    )
    votes = over_box(jnp.pad(on.astype(jnp.int32), BORDER, mode="edge"), jnp.add)  # cv2.medianBlur repeats the border
    # cv2.morphologyEx sees nothing beyond it
    grown = over_box(jnp.pad(votes >= 5, BORDER, constant_values=False), jnp.logical_or)
    return over_box(jnp.pad(grown, BORDER, constant_values=True), jnp.logical_and).mean(axis=(1, 2))


def median(pictures: Float[Array, "clips height width"], *, axis: int) -> Float[Array, "clips h w"]:
    """Return the medians along an axis, which stays with one entry."""
    ordered, count = jnp.sort(pictures, axis=axis), pictures.shape[axis]
    low, high = (lax.slice_in_dim(ordered, place, place + 1, axis=axis) for place in ((count - 1) // 2, count // 2))
    return (low + high) / 2


def over_box(
    pixels: Shaped[Array, "clips h w"], combine: Callable[[Array, Array], Array]
) -> Shaped[Array, "clips h-2 w-2"]:
    """Combine each pixel that has neighbours on all sides with the eight of them."""
    for axis in (1, 2):
        inner = pixels.shape[axis] - 2
        pixels = reduce(combine, [lax.slice_in_dim(pixels, start, start + inner, axis=axis) for start in range(3)])
    return pixels
