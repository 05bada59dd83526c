"""Which values of the section `model` do not go together, or not with other settings."""

from config import (
    FILE_HEADS,
    MODELS_WITHOUT_POOL,
    MODELS_WITHOUT_WEIGHTS,
    STAGES,
    Clips,
    Config,
    Model,
    Spectrogram,
    Training,
)
from utils.spectrogram_checks import require


def check_model(config: Config) -> None:
    """Refuse values of `model` that do not go together; raises a SettingsError that names the setting."""
    _check_layers(config.model, config.spectrogram)
    _check_weights(config.model, config.training)
    _check_external(config.model, config.clips)
    _check_file_head(config.model)
    _check_pool(config.model, config.training)
    if config.model.name == "External":
        _check_needs_spectrograms(config)


def _check_needs_spectrograms(config: Config) -> None:
    """Refuse what needs spectrograms with a model that takes embeddings."""
    for key, value, used in (
        ("training.images", config.training.images, config.training.images is not None),
        ("spectrogram.images", config.spectrogram.images, config.spectrogram.images),
        ("distillation.teachers", config.distillation.teachers, bool(config.distillation.teachers)),
        ("distillation.rounds", config.distillation.rounds, config.distillation.rounds > 0),
    ):
        require(
            not used,
            key=key,
            value=str(value),
            reason="needs spectrograms, but model.name = External learns on embeddings; leave it out",
        )


def _check_external(model: Model, clips: Clips) -> None:
    require(
        model.name != "External" or model.weights is not None,
        key="model.weights",
        value=None,
        reason="should be the file of a bird model, .onnx or .tflite, for model.name = External",
    )
    require(
        clips.keep != "embeddings" or model.name == "External",
        key="clips.keep",
        value=clips.keep,
        reason="needs model.name = External, whose embeddings are kept",
    )


def _check_weights(model: Model, training: Training) -> None:
    require(
        model.weights is None or model.name not in MODELS_WITHOUT_WEIGHTS,
        key="model.weights",
        value=model.weights,
        reason=f"there are no public weights of {model.name}; set model.name to a backbone such as EfficientNetB0",
    )
    require(
        model.weights is None or training.pretrained is None,
        key="training.pretrained",
        value=training.pretrained,
        reason="model.weights is set, too; a model can start from one of them only",
    )
    _check_stages(model)
    require(
        not training.freeze_epochs or not model.embedding,
        key="training.freeze_epochs",
        value=training.freeze_epochs,
        reason="would leave the layer of model.embedding at random weights; set model.embedding = 0",
    )
    require(
        not training.freeze_epochs or model.weights is None or not model.differs_from_design,
        key="training.freeze_epochs",
        value=training.freeze_epochs,
        reason="would leave the last convolution, which model.stages and model.features make anew, at random weights; "
        "leave it out",
    )
    require(
        model.normalize != "weights" or model.weights is not None,
        key="model.normalize",
        value=model.normalize,
        reason="needs model.weights, whose mean and deviation it takes",
    )


def _check_stages(model: Model) -> None:
    """Refuse more stages than the model has."""
    require(
        not model.frozen_stages or model.name not in MODELS_WITHOUT_WEIGHTS,
        key="model.frozen_stages",
        value=model.frozen_stages,
        reason=f"{model.name} has no stages to freeze; set it to 0, or model.name to a backbone",
    )
    most = next((count for start, count in STAGES.items() if model.name.startswith(start)), 0)
    require(
        model.stages <= most or not model.name.startswith("EfficientNet"),
        key="model.stages",
        value=model.stages,
        reason=f"should be at most {most}, the number of stages of {model.name}; 0: all",
    )
    fewer = model.stages if model.name.startswith("EfficientNet") else 0
    require(
        model.frozen_stages <= (fewer or most),
        key="model.frozen_stages",
        value=model.frozen_stages,
        reason=f"should be at most {fewer}, as model.stages"
        if fewer
        else f"should be at most {most}, the number of stages of {model.name}",
    )


def _check_layers(model: Model, spectrogram: Spectrogram) -> None:
    for name in ("kernel_sizes", "groups"):
        require(
            len(getattr(model, name)) >= len(model.filters),
            key=f"model.{name}",
            value=getattr(model, name),
            reason=f"should have an entry for each of the {len(model.filters)} in model.filters",
        )
    odd = all(size % 2 for size in model.kernel_sizes)
    require(odd, key="model.kernel_sizes", value=model.kernel_sizes, reason="should be odd numbers")
    previous = model.filters[0]
    for filters, groups in zip(model.filters, model.groups, strict=False):
        require(
            filters % groups == 0 and (previous % groups == 0 or groups == 1),
            key="model.groups",
            value=model.groups,
            reason=f"{groups} does not divide the channels {previous} and {filters}",
        )
        previous = filters
    most = min(spectrogram.shape).bit_length() - 1
    size = f"{spectrogram.height} × {spectrogram.width} pixels (spectrogram.height, spectrogram.width)"
    require(
        min(spectrogram.shape) >= 2 ** len(model.filters),
        key="model.filters",
        value=model.filters,
        reason=f"should be at most {most} entries: each of them halves a spectrogram of {size}",
    )


def _check_file_head(model: Model) -> None:
    plain = not model.embedding and model.distance == "euclidean"
    require(
        model.name != "External" or model.head not in FILE_HEADS or plain,
        key="model.head",
        value=model.head,
        reason="needs model.embedding = 0 and model.distance = euclidean: the layer of the file takes nothing else",
    )


def _check_pool(model: Model, training: Training) -> None:
    require(
        model.pool == "mean" or model.name not in MODELS_WITHOUT_POOL,
        key="model.pool",
        value=model.pool,
        reason=f"{model.name} has no feature maps at its end; set it to mean, or model.name to another model",
    )
    require(
        model.pool != "attention" or not training.compares_clips,
        key="model.pool",
        value=model.pool,
        reason=f"does not go with training.loss = {training.loss}, which compares clips by one embedding each; set it "
        "to mean or gem",
    )
    require(
        model.pool == "attention" or training.frame_loss == Training.frame_loss,
        key="training.frame_loss",
        value=training.frame_loss,
        reason="needs model.pool = attention: without it there are no frames",
    )
