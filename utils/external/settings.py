"""Settings of an experiment with a bird model from a file: what the file determines, and where the file is."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from config import Augmentation, Clips, Config, External, SettingsError, Spectrogram, Training
from utils.console import UserError, warning
from utils.external.model_files import ClassLayer, ModelFile, file_of, hash_of, open_model_file
from utils.external.recognition import recognise
from utils.settings_checks import check

ON_EMBEDDINGS = ("mixup", "mixup_share")  # augmentations that work on embeddings
TOLERANCE = 1e-3  # of a model's classes, computed from its embedding, relative to the largest


def with_external_model(config: Config) -> Config:
    """Return settings in which everything is filled in that `model.weights` determines, if it is a bird model.

    The length of clips (unless it is set: then it has to be a number of windows), the sample rate, and the section
    `external`; the store keeps embeddings.

    Raises
    ------
    UserError
        If the file cannot be used, or does not go with other settings.
    """
    if config.model.name != "External":
        return config
    _check_settings(config)
    file = open_model_file(Path(config.model.weights or ""))
    external = tried(file, recognise(file, config.external))
    filled = replace(
        config,
        training=_training(config),
        clips=replace(config.clips, keep="embeddings", length=_clip_length(config.clips, external)),
        spectrogram=_spectrogram(config.spectrogram, external),
        external=external,
    )
    try:
        check(filled)
    except SettingsError as error:
        raise UserError(f"{external.file}: {error}") from None
    return filled


def _check_settings(config: Config) -> None:
    """Refuse settings that would be replaced; warn of augmentations of images."""
    if config.clips.keep == "sound":
        raise UserError(
            "clips.keep = sound: model.name = External keeps the embeddings of clips, which cannot be augmented as "
            "sound; leave it out"
        )
    if config.spectrogram.engine == "device":
        raise UserError("spectrogram.engine = device: model.name = External runs its model on the CPU; leave it out")
    unused = [
        field.name
        for field in fields(config.augmentation)
        if field.name not in ON_EMBEDDINGS
        and getattr(config.augmentation, field.name) != getattr(Augmentation(), field.name)
    ]
    if unused:
        warning(f"augmentation.{', '.join(unused)}: no effect on embeddings, of which only mixup makes others")


def _training(config: Config) -> Training:
    """Return how the head learns; without one, an epoch in which nothing changes measures the file's classes."""
    settings = config.training
    if config.model.head != "none":
        return settings
    plain = replace(settings, epochs=1, warm_up=0.0, freeze_epochs=0, schedule="constant", average=0.0)
    return replace(plain, loss="binary")  # the classes of bird models do not exclude each other


def _clip_length(clips: Clips, external: External) -> float:
    """Return the length of clips: one window, or as it is set, a window and some steps more."""
    if clips.length in (Clips().length, external.window):
        return external.window
    steps = (clips.length - external.window) / (external.hop or external.window)
    if steps < 0 or abs(steps - round(steps)) > 1e-6:
        raise UserError(
            f"clips.length = {clips.length:g}: {external.title} takes windows of {external.window:g} s; leave it out, "
            f"or set it to {external.window:g} s and a multiple of {external.hop or external.window:g} s (external.hop)"
        )
    return clips.length


def _spectrogram(settings: Spectrogram, external: External) -> Spectrogram:
    """Return the settings of the spectrograms by which clips are accepted, with the model's sample rate."""
    if settings.rate not in (Spectrogram().rate, external.rate):
        raise UserError(
            f"spectrogram.rate = {settings.rate}: {external.title} takes {external.rate} Hz; leave it out, recordings "
            "are resampled"
        )
    return replace(settings, rate=external.rate, fmax=min(settings.fmax, external.rate / 2))


def tried(file: ModelFile, external: External) -> External:
    """Return settings with the width of the embedding, after the model ran on a window of noise.

    Raises
    ------
    UserError
        If it cannot run, gives NaN or infinity, or an embedding that its classes do not follow from.
    """
    noise = _window_of_noise(external)
    try:
        embedding = file.runner(external.embedding)(noise)
        outputs = file.runner(external.output)(noise) if external.output else None
    # ONNX Runtime and LiteRT raise classes of their own
    except Exception as error:  # noqa: BLE001
        raise UserError(
            f"{file.path}: cannot run on a window of {external.window:g} s at {external.rate} Hz "
            f"({' '.join(str(error).split())[:200]}); fix external.window, rate, embedding or output"
        ) from None
    if not np.isfinite(embedding).all():
        raise UserError(
            f"{file.path}: its tensor {external.embedding} has NaN or infinity; set external.embedding to another one"
        )
    if outputs is not None:
        _check_that_classes_follow(file, external, embedding, outputs)
    return replace(external, width=embedding.shape[1])


def _window_of_noise(external: External) -> Float32[np.ndarray, "1 samples"]:
    samples = round(external.window * external.rate)
    return np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)


def _check_that_classes_follow(file: ModelFile, external: External, embedding: np.ndarray, outputs: np.ndarray) -> None:
    """Check that the classes follow from an embedding that is the input of the last dense layer."""
    layer = file.class_layer()
    if layer is None or layer.embedding.name != external.embedding:
        return
    if not _makes_classes(layer, embedding, outputs):
        raise UserError(
            f"{file.path}: its classes do not follow from the tensor {external.embedding}; set external.embedding to "
            "another one"
        )


def matches_output(logits: np.ndarray, outputs: np.ndarray) -> bool:
    """Tell whether outputs are these logits, their sigmoids, or their softmax."""
    if logits.shape != outputs.shape:
        return False
    shifted = np.exp(logits - logits.max())
    kinds = (logits, 1 / (1 + np.exp(-logits)), shifted / shifted.sum())
    return any(np.abs(kind - outputs).max() <= TOLERANCE * max(np.abs(outputs).max(), TOLERANCE) for kind in kinds)


def located(external: External, places: Sequence[Path]) -> External:
    """Return the settings of a snapshot with the path of its bird model on this machine.

    Parameters
    ----------
    places : where the file may be now, besides where it was

    Raises
    ------
    UserError
        If it is in none of them, or another file is.
    """
    if not external.sha256:
        return external
    for path in (*places, external.file):
        if path is not None and path.is_file() and hash_of(path) == external.sha256:
            return replace(external, file=path)
    missing = external.file is None or not external.file.is_file()
    raise UserError(
        f"{external.file}: {'is not there' if missing else 'is another file'}, but the model needs {external.title} "
        f"(SHA-256 {external.sha256[:16]}…); set external.file to its path"
    )


def _makes_classes(layer: ClassLayer, embedding: np.ndarray, outputs: np.ndarray) -> bool:
    return matches_output(embedding @ layer.weights + layer.bias, outputs)


def _starts_at_embedding(layer: ClassLayer, file: ModelFile, external: External) -> bool:
    """Tell whether a layer makes the model's classes of the tensor that is kept, whatever that is called."""
    if not external.output or layer.embedding.name == external.embedding:  # `tried` has compared the latter
        return layer.embedding.name == external.embedding
    noise = _window_of_noise(external)
    return _makes_classes(layer, *(file.runner(name)(noise) for name in (external.embedding, external.output)))


def class_layer_of(external: External) -> ClassLayer:
    """Return the layer that makes a model's classes of its embedding.

    Raises
    ------
    UserError
        If the file has none that can be read, or it starts at another tensor.
    """
    file = open_model_file(file_of(external))
    layer = file.class_layer()
    if layer is None or len(layer.weights) != external.width or not _starts_at_embedding(layer, file, external):
        raise UserError(
            f"{file.path}: has no dense layer from its embedding to its classes that can be read, which "
            "model.head = file and none need; set model.head = linear"
        )
    return layer
