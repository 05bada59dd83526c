"""Validation after each epoch: metrics on the validation recordings, which `validation_recordings.py` chooses.

It uses their accepted clips in the store. Their scores are always pooled by the median-filtered mean, whatever
`testing.pooling` says.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Bool, Float, Int, Shaped

from config import Training
from utils.console import warning
from utils.learning.batches import put_on_device
from utils.learning.devices import as_local_arrays, replicated
from utils.learning.examples import Examples
from utils.learning.losses import losses
from utils.learning.targets import Labels, targets_of
from utils.models.monitor import ALWAYS_BY_CLIP, F1_METRICS, Monitored, MonitorUnit
from utils.models.networks import Network
from utils.models.onnx.interface import FurtherOutput
from utils.scoring.inference.onnx_sessions import scores_of
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.inference.predictors import predictor
from utils.scoring.metrics.detection_metrics import count_top_classes, macro, weighted
from utils.scoring.metrics.ranking import average_precision, class_mean, lrap, mean_of_defined
from utils.spectra.stored_sound import ModelInput

CLIPS_IN_MEMORY = 1024  # validation clips that are read into memory together
VALIDATION_BATCH = 256  # clips that the network predicts together
MOSTLY = 0.5  # share of validation recordings with a primary label, below which metrics are over clips


@dataclass(frozen=True)
class Validation:
    """Metrics on the validation clips; None if there are none.

    Attributes
    ----------
    loss, accuracy : mean loss of the clips, and the share of clips whose class has the highest score
    mlrap : over recordings, of the pooled scores of their clips, background species included
    macro_f1, weighted_f1 : over recordings or clips, of the class with the highest score, against the primary label;
        rows without one are left out
    cmap : over the same rows, background species included
    recall_at_1 : if training compares clips, the share of clips whose nearest clip of another recording has their
        class; of classes with several recordings
    monitored : the metric by which the best epoch is chosen
    """

    loss: float | None = None
    accuracy: float | None = None
    mlrap: float | None = None
    macro_f1: float | None = None
    weighted_f1: float | None = None
    cmap: float | None = None
    monitored: Monitored = field(default_factory=Monitored)
    recall_at_1: float | None = None


def monitored_unit(examples: Examples, settings: Training) -> MonitorUnit:
    """Return what the monitored metric is a mean over, by `training.monitor_unit`.

    By itself, clips if most validation recordings have no primary label. F1 by recording is not defined if none has
    one: then it is by clip, with a warning.
    """
    labelled = examples.validation_primary >= 0
    if settings.monitor in ALWAYS_BY_CLIP or settings.monitor_unit == "clip":
        return "clip"
    if settings.monitor_unit == "auto":
        return "clip" if len(labelled) and labelled.mean() < MOSTLY else "recording"
    if settings.monitor in F1_METRICS and len(labelled) and not labelled.any():
        warning(
            f"training.monitor = {settings.monitor} needs recordings with a primary label, but annotations alone label "
            "the validation recordings; it is computed over clips"
        )
        return "clip"
    return "recording"


def make_validation(
    graph: nnx.GraphDef, examples: Examples, settings: Training, mesh: Mesh, *, unit: MonitorUnit, resident: bool
) -> Callable[[Network], Validation]:
    """Return a function that validates a network.

    Parameters
    ----------
    unit : what the monitored metric is a mean over, from `monitored_unit`
    resident : whether the clips are kept on the device
    """
    count = len(examples.validation_rows)
    if count == 0:
        return lambda _: Validation(monitored=Monitored(settings.monitor, unit))
    further: tuple[FurtherOutput, ...] = ("embeddings",) if settings.compares_clips else ()
    predict = predictor(graph, batch_size=min(VALIDATION_BATCH, count), further=further)
    parts = np.array_split(np.arange(count), -(-count // CLIPS_IN_MEMORY))
    pixels = _kept_spectrograms(examples, mesh, resident=resident)
    by_recording = np.split(
        np.argsort(examples.validation_recording, kind="stable"),
        np.cumsum(np.bincount(examples.validation_recording))[:-1],
    )
    by_clip = unit == "clip"
    truth = _truth_of_clips(examples) if by_clip else examples.validation_truth
    primary = examples.validation_labels.primary if by_clip else examples.validation_primary

    @jax.jit
    def loss_of(logits: jax.Array, labels: Labels) -> jax.Array:
        return losses(logits, targets_of(labels, logits.shape[1], settings), settings)

    def pixels_of(part: np.ndarray) -> jax.Array | np.ndarray:
        return examples.store.spectrograms(examples.validation_rows[part]) if pixels is None else pixels[part]

    def validate(network: Network) -> Validation:
        here = as_local_arrays(network)
        outputs = [predict(here, pixels_of(part)) for part in parts]
        logits = np.concatenate([one.logits for one in outputs])
        scores = scores_of(logits, multi_label=settings.multi_label)
        pooled = np.stack([median_filtered(scores[clips]) for clips in by_recording])
        loss = [
            loss_of(
                jnp.asarray(logits[part]), jax.tree.map(lambda leaf, part=part: leaf[part], examples.validation_labels)
            )
            for part in parts
        ]
        top = logits.argmax(axis=1)
        counts = count_top_classes(top if by_clip else pooled.argmax(axis=1), primary, classes=logits.shape[1])
        metrics = {
            "loss": float(np.concatenate(loss).mean()),
            "accuracy": float((top == examples.validation_labels.primary).mean()),
            "mlrap": mean_of_defined(lrap(pooled, examples.validation_truth)),
            "macro_f1": macro(counts).f1,
            "weighted_f1": weighted(counts).f1,
            "cmap": _cmap(scores if by_clip else pooled, truth),
        }
        if settings.compares_clips:
            embeddings = np.concatenate([one.embeddings for one in outputs if one.embeddings is not None])
            recall = recall_at_1(embeddings, examples.validation_labels.primary, examples.validation_recording)
            metrics["recall_at_1"] = recall
        mlrap_by_clip = settings.monitor == "mlrap" and by_clip
        value = mean_of_defined(lrap(scores, truth)) if mlrap_by_clip else metrics[settings.monitor]
        return Validation(**metrics, monitored=Monitored(settings.monitor, unit, value))

    return validate


def recall_at_1(
    embeddings: Float[np.ndarray, "clips features"],
    classes: Int[np.ndarray, " clips"],
    recordings: Int[np.ndarray, " clips"],
) -> float | None:
    """Return the share of clips whose nearest clip of another recording has their class.

    Clips whose class has no other recording are left out; None if there are no others.
    """
    found: list[bool] = []
    squares = (embeddings**2).sum(axis=1)
    for part in np.array_split(np.arange(len(classes)), -(-len(classes) // CLIPS_IN_MEMORY)):
        distances = squares - 2 * embeddings[part] @ embeddings.T
        others = recordings[part][:, None] != recordings
        same = classes[part][:, None] == classes
        nearest = np.where(others, distances, np.inf).argmin(axis=1)
        found += (classes[nearest] == classes[part])[(same & others).any(axis=1)].tolist()
    return float(np.mean(found)) if found else None


def _kept_spectrograms(
    examples: Examples, mesh: Mesh, *, resident: bool
) -> Shaped[jax.Array, "clips height width"] | ModelInput | None:
    """Return the spectrograms for validation, if they are kept: on the device, or because each would be computed anew.

    None: they are read from disk for each validation.
    """
    rows, read = examples.validation_rows, examples.store.spectrograms
    if resident:
        return put_on_device(read, rows, replicated(mesh.local_mesh))
    return read(rows) if examples.store.keeps_sound else None


def _truth_of_clips(examples: Examples) -> Bool[np.ndarray, "clips classes"]:
    labels, classes = examples.validation_labels, len(examples.classes)
    truth = np.zeros((len(labels.primary), classes + 1), bool)  # the padding −1 is the last column
    truth[np.arange(len(truth)), labels.primary] = True
    truth[np.arange(len(truth))[:, None], labels.background] = True
    return truth[:, :classes]


def _cmap(scores: Float[np.ndarray, "rows classes"], truth: Bool[np.ndarray, "rows classes"]) -> float | None:
    present = truth.any(axis=0)
    return class_mean(average_precision(scores[:, present], truth[:, present]), truth[:, present])
