"""Targets and losses are those computed by hand or by another library."""

from typing import get_args, get_type_hints

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from config import MULTI_LABEL_LOSSES, Distillation, Model, Submission, Training
from utils.learning.distillation import DISTILLATION_LOSSES
from utils.learning.losses import LOSSES, losses, weighted_mean
from utils.learning.targets import Labels, class_weights, targets_of
from utils.models.networks import NETWORKS
from utils.scoring.submissions.formats.registry import FORMATS

LABELS = Labels(np.array([2, 0], np.int32), np.array([[0, 3], [-1, -1]], np.int32), np.array([1.0, 0.5], np.float32))
LOGITS = np.array([[0.5, -1.0, 2.0, 0.0], [1.0, 1.0, -3.0, 0.2]], np.float32)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_of_one_label_or_of_several_as_the_config_says(name: str) -> None:
    settings = Training(loss=name)  # type: ignore[arg-type]
    targets = targets_of(LABELS, 4, settings)
    both = (LOGITS, np.add(LOGITS, [[1.0], [0.0]]))
    moved = [np.asarray(losses(jnp.asarray(logits), targets, settings)) for logits in both]
    # a softmax does not see what all classes of a clip share
    assert np.allclose(*moved, atol=1e-6) == (not settings.multi_label)


def test_the_registries_hold_what_the_config_lists() -> None:
    for registry, section, setting in (
        (LOSSES, Training, "loss"),
        (DISTILLATION_LOSSES, Distillation, "loss"),
        (NETWORKS, Model, "name"),
        (FORMATS, Submission, "format"),
    ):
        assert set(get_args(get_type_hints(section)[setting])) == set(registry)
    assert set(MULTI_LABEL_LOSSES) <= set(LOSSES)


def test_one_label() -> None:
    np.testing.assert_array_equal(targets_of(LABELS, 4, Training()), [[0, 0, 1, 0], [1, 0, 0, 0]])
    smooth = targets_of(LABELS, 4, Training(label_smoothing=0.2))
    np.testing.assert_allclose(smooth, [[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]], rtol=1e-6)


def test_several_labels_have_a_value_each() -> None:
    settings = Training(loss="binary", primary_target=0.995, secondary_target=0.3, absent_target=0.0025)
    np.testing.assert_allclose(
        targets_of(LABELS, 4, settings), [[0.3, 0.0025, 0.995, 0.3], [0.995, 0.0025, 0.0025, 0.0025]], rtol=1e-6
    )
    alone = LABELS._replace(background=np.zeros((2, 0), np.int32))
    np.testing.assert_allclose(targets_of(alone, 4, settings)[0], [0.0025, 0.0025, 0.995, 0.0025], rtol=1e-6)


def test_cross_entropy_is_scikit_learns() -> None:
    targets = targets_of(LABELS, 4, Training())
    found = losses(jnp.asarray(LOGITS), targets, Training())
    expected = [
        log_loss([label], [row], labels=range(4))
        for label, row in zip(LABELS.primary, scipy.special.softmax(LOGITS.astype(float), axis=1), strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_binary_is_scikit_learns() -> None:
    settings = Training(loss="binary")
    targets = np.asarray(targets_of(LABELS, 4, settings))
    scores = scipy.special.expit(LOGITS.astype(float))
    expected = [
        np.mean([log_loss([int(t)], [[1 - p, p]], labels=[0, 1]) for t, p in zip(*row, strict=True)])
        for row in zip(targets, scores, strict=True)
    ]
    np.testing.assert_allclose(losses(jnp.asarray(LOGITS), jnp.asarray(targets), settings), expected, rtol=1e-5)


def test_focal() -> None:
    targets = targets_of(LABELS, 4, Training())
    logits = jnp.asarray(LOGITS)
    np.testing.assert_allclose(
        losses(logits, targets, Training(loss="focal", focal_gamma=0.0)), losses(logits, targets, Training()), rtol=1e-5
    )
    score = float(scipy.special.softmax(LOGITS[0].astype(float))[2])
    found = float(losses(logits, targets, Training(loss="focal", focal_gamma=2.0))[0])
    assert found == pytest.approx(-((1 - score) ** 2) * np.log(score), rel=1e-5)
    sure = losses(jnp.array([[100.0, 0.0]]), jnp.array([[1.0, 0.0]]), Training(loss="focal"))
    assert np.isfinite(sure).all()


def test_the_mean_counts_clips_by_their_weight() -> None:
    targets = targets_of(LABELS, 4, Training())
    logits, weight = jnp.asarray(LOGITS), jnp.asarray(LABELS.weight)
    each = np.asarray(losses(logits, targets, Training()))
    assert float(weighted_mean(losses(logits, targets, Training()), weight)) == pytest.approx(
        (each[0] + each[1] / 2) / 1.5, rel=1e-6
    )
    assert float(weighted_mean(losses(logits, targets, Training()), jnp.zeros(2))) == 0


def test_class_weights_are_scikit_learns() -> None:
    primary = np.array([0, 0, 0, 1, 2, 2], np.int32)
    np.testing.assert_allclose(
        class_weights(primary, 3, Training(class_weights="balanced")),
        compute_class_weight("balanced", classes=np.arange(3), y=primary),
        rtol=1e-6,
    )
    np.testing.assert_array_equal(class_weights(primary, 3, Training()), [1, 1, 1])
