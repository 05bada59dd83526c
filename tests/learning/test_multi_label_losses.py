"""Losses of several labels are those computed by hand; that of rankings falls as the ranking gets better."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from config import Config, Distillation, Training
from utils.learning.distillation import LearnFromTeachers
from utils.learning.losses import losses, weighted_mean
from utils.learning.objectives import LearnLabels, Objective, with_frame_loss
from utils.learning.targets import Labels
from utils.learning.teachers import Teachers
from utils.models.architectures.classifier import NetworkOutput


def loss(name: str, logits: object, targets: object) -> np.ndarray:
    settings = Training(loss=name)  # type: ignore[arg-type]
    return np.asarray(losses(jnp.asarray(logits, jnp.float32), jnp.asarray(targets, jnp.float32), settings))


def test_the_asymmetric_loss_of_two_classes() -> None:
    # scores 0.8 and 0.55: the first is present, −log 0.8; the other is absent, and counts as 0.5: −0.5⁴ · log 0.5
    logits = [[np.log(4.0), np.log(11 / 9)]]
    expected = (-np.log(0.8) + 0.5**4 * np.log(2)) / 2
    np.testing.assert_allclose(loss("asymmetric", logits, [[1, 0]]), [expected], rtol=1e-5)
    # half of a label: half of both
    of_present, of_absent = -np.log(0.8), -(0.75**4) * np.log(0.25)
    np.testing.assert_allclose(
        loss("asymmetric", [[np.log(4.0)]], [[0.5]]), [0.5 * of_present + 0.5 * of_absent], rtol=1e-5
    )


def test_absent_classes_below_the_margin_do_not_count() -> None:
    np.testing.assert_array_equal(loss("asymmetric", [[-5.0, -20.0]], [[0, 0]]), [0.0])


def test_soft_auc_of_three_clips() -> None:
    # the first class is in clip 0 alone, the second in clips 0 and 1: two pairs of each
    logits, targets = [[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]], [[1, 1], [0, 1], [0, 0]]
    pairs = np.log1p(np.exp([-(1 - 0), -(1 + 1), -(0 - 1), -(2 - 1)]))
    found = loss("soft_auc", logits, targets)
    np.testing.assert_allclose(found.mean(), pairs.mean(), rtol=1e-5)
    np.testing.assert_allclose(found, 3 * np.array([pairs[:3].sum(), pairs[3], 0.0]) / 4, rtol=1e-5)


def test_without_a_pair_soft_auc_is_0_and_its_gradient_finite() -> None:
    logits = jnp.array([[1.0], [2.0]])
    for targets in (jnp.zeros((2, 1)), jnp.ones((2, 1))):
        value, gradient = jax.value_and_grad(lambda z, t=targets: losses(z, t, Training(loss="soft_auc")).mean())(
            logits
        )
        assert float(value) == 0
        np.testing.assert_array_equal(gradient, 0)


def test_learning_by_soft_auc_ranks_clips() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 8)).astype(np.float32)
    truth = features @ generator.normal(size=(8, 3)) + 0.3 * generator.normal(size=(60, 3)) > 1
    weights, settings = jnp.zeros((8, 3)), Training(loss="soft_auc")
    gradient = jax.jit(
        jax.grad(lambda w: weighted_mean(losses(features @ w, jnp.asarray(truth, jnp.float32), settings), jnp.ones(60)))
    )
    for _ in range(100):
        weights -= gradient(weights)
    assert roc_auc_score(truth, features @ np.asarray(weights)) > 0.95


@pytest.mark.parametrize("name", ["asymmetric", "soft_auc"])
def test_gradients_of_certain_scores_are_finite(name: str) -> None:
    logits = jnp.array([[200.0, -200.0], [-200.0, 200.0], [0.0, 30.0]])
    targets = jnp.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.995]])
    settings = Training(loss=name)  # type: ignore[arg-type]
    assert np.isfinite(jax.grad(lambda z: losses(z, targets, settings).sum())(logits)).all()


FRAMES = jnp.array([[[0.0, 3.0], [2.0, -1.0]], [[-4.0, -3.0], [-2.0, -1.0]]])  # of two clips
OUTPUT = NetworkOutput(jnp.array([[1.0, 0.0], [-3.0, -2.0]]), jnp.zeros((2, 1)), FRAMES)
HIGHEST = jnp.array([[2.0, 3.0], [-2.0, -1.0]])


def test_half_of_the_loss_is_that_of_the_highest_frames() -> None:
    first = lambda logits: logits[:, 0]  # noqa: E731
    np.testing.assert_allclose(with_frame_loss(first, OUTPUT, Training()), [1.5, -2.5])
    np.testing.assert_allclose(with_frame_loss(first, OUTPUT, Training(frame_loss=0.25)), [1.25, -2.75])
    np.testing.assert_allclose(with_frame_loss(first, OUTPUT, Training(frame_loss=0.0)), [1, -3])
    np.testing.assert_allclose(with_frame_loss(first, OUTPUT._replace(frames=None), Training()), [1, -3])


@pytest.mark.parametrize("name", ["cross_entropy", "binary", "asymmetric", "soft_auc"])
def test_labels_and_teachers_teach_frames(name: str) -> None:
    config = Config(
        training=Training(loss=name),  # type: ignore[arg-type]
        distillation=Distillation(loss="cross_entropy" if name == "cross_entropy" else "binary", true_share=1.0),
    )
    labels = Labels(jnp.array([1, 0]), jnp.full((2, 1), -1), jnp.ones(2))
    soft = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    none = Teachers((), (), np.zeros((0, 2), np.int64), (), (), (), config.distillation, mapped=False)
    objectives: list[Objective] = [LearnLabels(config.training, 2), LearnFromTeachers(none, config, 2, cached=True)]
    for objective in objectives:
        targets = objective.targets(labels, soft)
        found = objective.loss_function(targets, jnp.zeros((2, 1, 1)), ())(OUTPUT)
        both = [losses(logits, jnp.asarray(soft), config.training) for logits in (OUTPUT.logits, HIGHEST)]
        np.testing.assert_allclose(found, 0.5 * both[0] + 0.5 * both[1], rtol=1e-5)
