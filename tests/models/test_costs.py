"""Costs are those that one works out by hand; states of the optimizer are those that it keeps."""

import jax
import pytest

from config import Config, Model, Training
from utils.learning.optimizers import optimizer
from utils.models.__main__ import TableFlags, main
from utils.models.costs import BYTES, STATES, estimate
from utils.models.layer_table import Layer, layers, totals
from utils.models.networks import abstract_network, count_parameters

ROWS = [
    Layer("block/0", "Block", (), (8, 8, 4), 100, 2000, True),
    Layer("block/0/conv", "Conv", (3, 3, 1, 4), (8, 8, 4), 92, 2000, False),
    Layer("block/0/norm", "Norm", (), (8, 8, 4), 8, 0, False),
    Layer("output", "Linear", (4, 3), (3,), 15, 24, True),
]


def test_costs_by_hand() -> None:
    found = estimate(ROWS, Training(optimizer="adam", average=0.99), batch=5, clips=70, epochs=11)
    values = 8 * 8 * 4 * 2 + 3  # of convolution, norm and dense layer; the block is no layer of its own
    assert (found.weights, found.gradients, found.optimizer, found.average) == (460, 460, 920, 460)
    assert found.activations == 4 * 5 * values
    assert found.training == 460 * 5 + 4 * 5 * values
    assert found.flops_per_clip == 2024
    assert (found.flops_per_epoch, found.flops_in_all) == (70 * 3 * 2024, 11 * 70 * 3 * 2024)
    assert (found.float32, found.float16) == (4 * (115 + values), 2 * (115 + values))
    half = estimate(ROWS, Training(optimizer="sgd"), batch=5, clips=70, epochs=11, activation_bytes=2)
    assert (half.optimizer, half.average, half.activations) == (0, 0, 2 * 5 * values)


@pytest.mark.parametrize("name", sorted(STATES))
def test_optimizers_keep_so_many_states(name: str) -> None:
    settings = Training(optimizer=name)  # type: ignore[arg-type]
    _, network = abstract_network(Model(name="Pi", dense_units=8), classes=3, shape=(8, 8))
    kept = jax.eval_shape(optimizer(settings).init, network.params)
    found = sum(leaf.size for leaf in jax.tree.leaves(kept) if leaf.ndim)
    assert found == STATES[name] * count_parameters(network)


def test_convnext_tiny_is_as_often_told() -> None:
    """28.6 million parameters, 114 MB, 4.5 thousand million multiply-adds at 224 × 224."""
    rows = layers(Model(name="ConvNeXtTiny", channels=3), classes=1000, shape=(224, 224))
    parameters, flops = totals(rows)
    assert parameters == 28_589_128
    assert flops / 2 == pytest.approx(4.47e9, rel=0.01)
    costs = estimate(rows, Training(optimizer="adamw"), batch=1, clips=6000, epochs=50)
    assert costs.weights == BYTES * parameters == pytest.approx(114e6, rel=0.01)
    assert costs.optimizer == pytest.approx(228e6, rel=0.01)


def test_the_page_of_costs(capsys: pytest.CaptureFixture[str]) -> None:
    flags = TableFlags(classes=3, batch=4, clips=100, epochs=2, compile=True)
    main(Config(model=Model(name="Baseline", filters=(4,))), flags)
    text = capsys.readouterr().out
    for part in ("gradients", "for 4 clips, float32", "for 100 clips", "for 2 epochs", "multiply-adds", "XLA: "):
        assert part in text, part
