"""Preprocessing and frames of many clips in JAX: each function is the JAX version of one in `waveform.py`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from config import Spectrogram
from utils.spectra import waveform

EXACT = lax.Precision.HIGHEST  # otherwise accelerators round the factors of matrix products to 10 or 8 bits


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
