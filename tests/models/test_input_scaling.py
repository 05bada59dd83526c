"""Mean and deviation of what a model sees are a part of it, and stay what they were when it is saved and loaded."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from config import Model
from tests.conftest import small_config
from utils.models.input_scaling import Statistics, with_statistics
from utils.models.networks import apply, build_network
from utils.models.saved_networks import load_network, save_snapshot
from utils.models.snapshots import Snapshot

SHAPE = (16, 32)
BANDS = Statistics(np.linspace(0.1, 0.9, 16, dtype=np.float32), np.linspace(0.2, 0.4, 16, dtype=np.float32))
WHOLE = Statistics(np.array(0.3, np.float32), np.array(0.5, np.float32))


@pytest.mark.parametrize(("normalize", "statistics"), [("bands", BANDS), ("dataset", WHOLE)])
def test_statistics_survive_saving_and_loading(tmp_path: Path, normalize: str, statistics: Statistics) -> None:
    model = Model(name="Baseline", filters=(4, 8), normalize=normalize)  # type: ignore[arg-type]
    graph, network = build_network(model, classes=3, shape=SHAPE, seed=0)
    scaled = network._replace(rest=with_statistics(network.rest, statistics))
    snapshot = Snapshot(
        tmp_path / "epoch_001", replace(small_config(tmp_path), model=model), ("A a", "B b", "C c"), 1, 0.5, "abc"
    )
    save_snapshot(snapshot, scaled, {"count": np.zeros(1, np.float32)}, recordings=["A/a"])
    loaded_graph, loaded = load_network(snapshot)
    np.testing.assert_array_equal(loaded.rest["scaling"]["mean"][...], statistics.mean)
    np.testing.assert_array_equal(loaded.rest["scaling"]["deviation"][...], statistics.deviation)

    images = jax.random.uniform(jax.random.key(0), (2, *SHAPE))
    axes = (slice(None), None) if normalize == "bands" else ()
    by_hand = (images - statistics.mean[axes]) / statistics.deviation[axes]
    expected, _ = apply(graph, network, by_hand)  # whose mean and deviation are 0 and 1
    found, rest = apply(loaded_graph, loaded, images, train=True)
    np.testing.assert_allclose(apply(loaded_graph, loaded, images)[0], expected, rtol=1e-4, atol=1e-5)
    assert jnp.isfinite(found).all()
    np.testing.assert_array_equal(rest["scaling"]["mean"][...], statistics.mean)  # training does not change them
