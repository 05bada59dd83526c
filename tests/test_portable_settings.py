"""Settings that are published, or taken over from somebody, name no file and no machine."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import Cluster, Config, Dataset, Distillation, External, Log, Training
from config import Testing as OfTests
from utils.portable_settings import SUMS, portable
from utils.settings import load, to_toml

PLANTED = "/home/anna/secret"


def with_planted(node: Any, prefix: str = "") -> Any:
    """Put a planted path into every setting that takes one."""
    changes: dict[str, Any] = {}
    for one in dataclasses.fields(node):
        value = getattr(node, one.name)
        if dataclasses.is_dataclass(value):
            changes[one.name] = with_planted(value, f"{prefix}{one.name}.")
        elif "Path" in str(one.type) or "Location" in str(one.type):
            changes[one.name] = (Path(PLANTED),) if "tuple" in str(one.type) else Path(PLANTED)
    return replace(node, **changes)


def test_no_setting_keeps_a_path() -> None:
    planted = with_planted(Config())
    assert to_toml(planted).count(PLANTED) > 25
    found = portable(planted)
    assert "anna" not in to_toml(found.config)
    assert {"dataset.root", "training.pretrained", "testing.models", "external.file"} <= set(found.left_out)


def test_machines_and_addresses_are_left_out() -> None:
    config = Config(
        workers=7,
        dataset=Dataset(archive="s3://private-bucket/birds"),
        cluster=Cluster(address="ray://machine.example:10001"),
        log=Log(file=Path("/etc/passwd")),
    )
    text = to_toml(portable(config).config)
    assert not any(word in text for word in ("bucket", "machine.example", "passwd"))
    assert portable(config).config.workers == 0


@pytest.mark.parametrize(
    ("weights", "published"),
    [
        ("/home/anna/b0.safetensors", "b0.safetensors"),
        (r"C:\Users\anna\b0.safetensors", "b0.safetensors"),
        ("hf:timm/efficientnet_b0.ra_in1k", "hf:timm/efficientnet_b0.ra_in1k"),
    ],
)
def test_weights_keep_their_name(weights: str, published: str) -> None:
    config = Config(model=replace(Config().model, name="EfficientNetB0", weights=weights))
    assert portable(config).config.model.weights == published


def test_what_means_nothing_without_a_path_goes_with_it() -> None:
    config = Config(
        external=External(sha256="0" * 64, file=Path("/x")),
        clips=replace(Config().clips, choose="table", table=Path("/x/peaks.csv")),
        training=Training(noise_folder=Path("/x/rain"), noise_class=True, hard_negatives=0.5),
        testing=OfTests(
            models=(Path("/x/a"), Path("/x/b")), weights=(1.0, 2.0), noise_folder=Path("/x"), max_false_alarms=1
        ),
        distillation=Distillation(teachers=(Path("/x/a"),), weights=(2.0,), unlabelled=(Path("/x"),)),
    )
    found = portable(config).config
    assert found.testing == OfTests()
    assert found.distillation == Distillation()
    assert found.clips.choose == "grid"
    assert found.training == Training(noise_class=True)


def test_what_decides_on_predictions_stays() -> None:
    config = replace(Config(), spectrogram=replace(Config().spectrogram, fmin=300.0, rate=22_050, fmax=9000.0))
    found = portable(replace(config, training=Training(loss="binary"), testing=OfTests(pooling="mean")))
    assert found.config.spectrogram == config.spectrogram
    assert found.config.training.multi_label
    assert found.config.testing.pooling == "mean"
    assert found.left_out == ()


def test_settings_of_a_published_model_name_no_files(tmp_path: Path) -> None:
    """Who loads a model of somebody else must not write where its settings say."""
    planted = replace(Config(), log=Log(file=tmp_path / "log.txt"), dataset=Dataset(root=tmp_path / "root"))
    for folder in (tmp_path, tmp_path / "epoch_001"):
        folder.mkdir(exist_ok=True)
        (folder / "settings.toml").write_text(to_toml(planted))
    assert load(tmp_path / "settings.toml") == planted
    (tmp_path / SUMS).write_text("")
    assert load(tmp_path / "settings.toml").log == Log()
    assert load(tmp_path / "epoch_001" / "settings.toml").dataset == Dataset()
