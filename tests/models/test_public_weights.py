"""Public weights: every tensor in its place, and one clear line for every file that is of no use."""

import json
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from config import Model
from tests.models.small_backbones import TINY, make_small, split
from utils.console import UserError
from utils.models.architectures.efficientnet import DESIGNS, Design, EfficientNet
from utils.models.array_trees import named_leaves
from utils.models.networks import Network
from utils.models.public_weights import find_weights, read_tensors, start_from_weights, timm_name

SMALL = Design(DESIGNS["EfficientNetB0"].stages[:2], width=0.25, depth=0.1)
SHAPE = (16, 24)


def settings_of(weights: Path | str | None = None, **options: object) -> Model:
    file = None if weights is None else str(weights)
    return Model(name="EfficientNetB0", weights=file, **options)  # type: ignore[arg-type]


def network_of(settings: Model, *, seed: int = 0) -> Network:
    module = EfficientNet(settings, classes=3, shape=SHAPE, dtype=jnp.float32, rngs=nnx.Rngs(seed), design=SMALL)
    _, params, rest = nnx.split(module, nnx.Param, ...)
    return Network(params, rest)


def tensors_of(network: Network) -> dict[str, np.ndarray]:
    """Return a network's variables as timm would save them."""
    tensors = {}
    for name, leaf in named_leaves(network).items():
        if "/scaling/" not in name:
            array = np.asarray(leaf)
            axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim)
            tensors[timm_name(name).replace("output", "classifier")] = np.ascontiguousarray(
                array.transpose(axes) if axes else array
            )
    tensors["bn1.num_batches_tracked"] = np.array(7)
    return tensors


def random_statistics(network: Network) -> Network:
    generator = np.random.default_rng(3)
    rest = jax.tree.map(lambda leaf: jnp.asarray(generator.uniform(0.5, 2, leaf.shape), jnp.float32), network.rest)
    return network._replace(rest=rest)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Network]:
    network = random_statistics(network_of(settings_of(channels=3), seed=1))
    save_file(tensors_of(network), tmp_path / "b0.safetensors")
    return tmp_path / "b0.safetensors", network


def test_every_tensor_finds_its_place(saved: tuple[Path, Network]) -> None:
    path, expected = saved
    settings = settings_of(path, channels=3)
    fresh = network_of(settings)
    loaded, summary = start_from_weights(fresh, settings)
    assert summary.startswith(f"starting from {path}: ")
    assert summary.endswith("without classifier.bias, classifier.weight; the output layer is new")
    for name, leaf in named_leaves(loaded).items():
        source = fresh if "/output/" in name else expected
        np.testing.assert_array_equal(leaf, named_leaves(source)[name], err_msg=name)


@pytest.mark.parametrize(("stages", "features", "left_out"), [(1, 0, "blocks.1."), (0, 24, "conv_head"), (1, 8, "bn2")])
def test_a_smaller_model_takes_what_it_has(
    saved: tuple[Path, Network], stages: int, features: int, left_out: str
) -> None:
    path, expected = saved
    settings = settings_of(path, channels=3, stages=stages, features=features)
    fresh = network_of(settings)
    assert fresh.params["conv_head"]["kernel"].shape[-1] == features or not features
    loaded, summary = start_from_weights(fresh, settings)
    assert summary.endswith("the last convolution and the output layer are new")
    leaves, whole = named_leaves(loaded), named_leaves(expected)
    assert len(leaves) == len(whole) - (sum("/blocks/1/" in name for name in whole) if stages else 0)
    assert any(timm_name(name).startswith(left_out) for name in whole)
    for name, leaf in leaves.items():
        new = name.split("/")[1] in ("output", "conv_head", "bn2")
        np.testing.assert_array_equal(leaf, named_leaves(fresh)[name] if new else whole[name], err_msg=name)


def test_a_setting_for_other_models_drops_no_weights(tmp_path: Path) -> None:
    """MobileNet has a layer of the same name, but no `model.features`; a width as designed fits the file."""
    file = tmp_path / "weights.safetensors"
    for name in ("MobileNetV4Small", "EfficientNetB0"):
        network = random_statistics(split(make_small(Model(name=name, channels=3), TINY))[1])
        save_file(tensors_of(network), file)
        settings = Model(name=name, channels=3, features=TINY[name].features, weights=str(file))
        loaded, summary = start_from_weights(split(make_small(settings, TINY))[1], settings)
        assert summary.endswith("; the output layer is new")
        (found, wanted) = (named_leaves(one)["params/conv_head/kernel"] for one in (loaded, network))
        np.testing.assert_array_equal(found, wanted, err_msg=name)


def test_one_channel_gets_the_sum_of_three(saved: tuple[Path, Network]) -> None:
    path, expected = saved
    settings = settings_of(path, channels=1)
    loaded, _ = start_from_weights(network_of(settings), settings)
    kernel = expected.params["conv_stem"]["kernel"][...]
    np.testing.assert_allclose(loaded.params["conv_stem"]["kernel"][...], kernel.sum(axis=2, keepdims=True), rtol=1e-6)


def test_the_mean_of_the_file_comes_along(saved: tuple[Path, Network]) -> None:
    path, _ = saved
    facts = {"architecture": "efficientnet_b0", "pretrained_cfg": {"mean": [0.1, 0.2, 0.6], "std": [0.2, 0.2, 0.5]}}
    path.with_name("config.json").write_text(json.dumps(facts))
    for channels, mean, deviation in ((3, [0.1, 0.2, 0.6], [0.2, 0.2, 0.5]), (1, [0.3], [0.3])):
        settings = settings_of(path, channels=channels, normalize="weights")
        loaded, _ = start_from_weights(network_of(settings), settings)
        np.testing.assert_allclose(loaded.rest["scaling"]["mean"][...], mean, rtol=1e-6)
        np.testing.assert_allclose(loaded.rest["scaling"]["deviation"][...], deviation, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "padding", "mean"),
    [("EfficientNetB0", "same", 0.485), ("EfficientNetLite0", "same", 0.5), ("EfficientNetLite0", "symmetric", 0.485)],
)
def test_without_a_description_the_family_tells_the_mean(
    saved: tuple[Path, Network], name: str, padding: str, mean: float
) -> None:
    path, _ = saved
    options = {"normalize": "weights", "padding": padding, "channels": 3}
    settings = Model(name=name, weights=str(path), **options)  # type: ignore[arg-type]
    loaded, _ = start_from_weights(network_of(settings), settings)
    assert float(loaded.rest["scaling"]["mean"][0]) == pytest.approx(mean)


def test_padding_of_another_kind_is_refused(saved: tuple[Path, Network]) -> None:
    path, _ = saved
    path.with_name("config.json").write_text(json.dumps({"architecture": "tf_efficientnet_b0"}))
    settings = settings_of(path)
    with pytest.raises(UserError, match=r"is of tf_efficientnet_b0, .*set model\.padding = same"):
        start_from_weights(network_of(settings), settings)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_read(tmp_path: Path, kind: type) -> None:
    save_file({"a": np.array([1.5, -2.0]).astype(kind)}, tmp_path / "half.safetensors")
    found = read_tensors(tmp_path / "half.safetensors")["a"]
    assert found.dtype == np.float32
    assert found.tolist() == [1.5, -2.0]


def changed(tensors: dict[str, np.ndarray], how: str) -> dict[str, np.ndarray]:
    if how == "missing":
        del tensors["blocks.0.0.conv_dw.weight"]
    elif how == "extra":
        tensors["blocks.9.0.conv_pw.weight"] = np.ones((2, 2, 1, 1), np.float32)
    elif how == "shape":
        tensors["conv_head.weight"] = np.ones((7, 8, 1, 1), np.float32)
    elif how == "nan":
        tensors["bn1.weight"] = np.full_like(tensors["bn1.weight"], np.nan)
    return tensors


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"are not the weights of EfficientNetB0: has no blocks\.0\.0\.conv_dw\.weight; set model\.name"),
        ("extra", r"are not the weights of EfficientNetB0: has blocks\.9\.0\.conv_pw\.weight, which"),
        ("shape", r"conv_head\.weight has the shape \(7, 8, 1, 1\), should be \(1, 1, .*set model\.name"),
        ("nan", r"bn1\.weight has NaN or infinite values; download it again"),
    ],
)
def test_another_model_or_damaged_values_are_one_line(
    saved: tuple[Path, Network], tmp_path: Path, how: str, message: str
) -> None:
    _, network = saved
    path = tmp_path / "other.safetensors"
    save_file(changed(tensors_of(network), how), path)
    settings = settings_of(path, channels=3)
    with pytest.raises(UserError, match=message) as refused:
        start_from_weights(network_of(settings), settings)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff" * 100, b"\x10" + b"\0" * 7 + b"{" * 16])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a usable safetensors file .*download it again"):
        read_tensors(path)


def test_a_cut_file_is_one_line(saved: tuple[Path, Network]) -> None:
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="is not a usable safetensors file"):
        read_tensors(path)


def test_pickles_are_refused_with_the_line_that_converts_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a pickle.*torch\.load\('b0\.pth', weights_only=True\), 'b0\.safetensors'"):
        find_weights(str(tmp_path / "b0.pth"))


@pytest.mark.parametrize(
    "description", ["{", "[1]", '{"mean": [1, 2], "std": [1, 1]}', '{"mean": [0, 0, 0], "std": [0, 1, 1]}']
)
def test_a_damaged_description_is_one_line(saved: tuple[Path, Network], description: str) -> None:
    path, _ = saved
    path.with_name("config.json").write_text(description)
    with pytest.raises(UserError, match=r"config\.json: cannot be read"):
        find_weights(str(path))


def test_a_folder_holds_the_file_of_the_hub(saved: tuple[Path, Network]) -> None:
    path, _ = saved
    folder = path.parent / "tf_efficientnet_b0.in1k"
    folder.mkdir()
    path.rename(folder / "model.safetensors")
    assert find_weights(str(folder)).path == folder / "model.safetensors"
    with pytest.raises(UserError, match=r"there is no such file; set model\.weights"):
        find_weights(str(path))


@pytest.fixture
def hub(saved: tuple[Path, Network], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Stand in for the hub: one repository, whose files lie in a folder; return what was asked for."""
    path, _ = saved
    folder = path.with_name("hub")
    folder.mkdir()
    path.rename(folder / "model.safetensors")
    (folder / "config.json").write_text(
        '{"architecture": "efficientnet_b0", "mean": [0.1, 0.1, 0.1], "std": [1, 1, 1]}'
    )
    asked: list[tuple[str, str]] = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        if repository != "timm/efficientnet_b0.ra_in1k":
            raise ConnectionError("cannot reach the hub\nmore lines")
        return str(folder / name)

    stub = types.ModuleType("huggingface_hub")
    stub.hf_hub_download = download  # type: ignore[attr-defined]
    stub.__spec__ = types.SimpleNamespace(name="huggingface_hub")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "huggingface_hub", stub)
    return asked


def test_weights_of_the_hub(hub: list[tuple[str, str]]) -> None:
    settings = settings_of("hf:timm/efficientnet_b0.ra_in1k", channels=3, normalize="weights")
    loaded, _ = start_from_weights(network_of(settings), settings)
    assert hub == [("timm/efficientnet_b0.ra_in1k", name) for name in ("model.safetensors", "config.json")]
    np.testing.assert_allclose(loaded.rest["scaling"]["mean"][...], 0.1, rtol=1e-6)


@pytest.mark.usefixtures("hub")
def test_without_a_connection_a_line_says_what_to_download() -> None:
    with pytest.raises(
        UserError,
        match=r"hf:timm/other: cannot be downloaded \(ConnectionError: cannot reach the hub\); .*"
        r"model\.safetensors and config\.json of timm/other .*set model\.weights = other/model\.safetensors",
    ):
        find_weights("hf:timm/other")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["hf:", "hf:timm", "hf:timm/../x", "hf:a/b/c", "hf:a b/c"])
def test_a_wrong_name_of_the_hub_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match="should be hf:OWNER/NAME"):
        find_weights(name)


def test_without_the_extra_a_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.models.public_weights.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[hub\]'"):
        find_weights("hf:timm/efficientnet_b0.ra_in1k")
