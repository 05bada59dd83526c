"""The space of a search: what it may have, and that every corner is checked before the first trial."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import Clips, Config, SettingsError, Training, Tuning
from utils.command_line import from_command_line
from utils.learning.tuning.space import MOST_CORNERS, Dimension, corners, read_space, types_of_setting, with_values
from utils.settings import load, to_toml

RATE = {"low": 1e-4, "high": 3e-3, "log": True}


def with_space(space: dict[str, Any], config: Config | None = None) -> Config:
    config = config or Config()
    return replace(config, tuning=Tuning(space=space, folds=config.tuning.folds))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, r'tuning\.space: is empty, .* add for example "training\.learning_rate" = \{ low = 1e-4'),
        ({"training.learning_rat": RATE}, r"no such setting; did you mean training\.learning_rate\?"),
        ({"training.val_share": [0.1, 0.2]}, r"is now called training\.validation_share"),
        ({"training.epochs": {"low": 0.5, "high": 3}}, "should have integers as low, high and step"),
        ({"training.epochs": {"low": 0, "high": 3}}, r"training\.epochs = 0: should be greater than or equal to 1"),
        ({"training.epochs": {"low": 1, "high": 10**400}}, "finite numbers; as integers, of at most 2147483647"),
        ({"training.epochs": {"low": 1, "high": 10**30}}, "finite numbers; as integers, of at most 2147483647"),
        ({"training.epochs": [1, 10**400]}, "integers should be at most 2147483647"),
        ({"training": {"l2": [0.0, 0.1]}, "training.l2": [0.0, 0.2]}, r'"training\.l2": is there twice; remove one'),
        ({"model.filters": [[8], [16]], "model.filters.0": [8, 16]}, r"is a part of model\.filters, which is there"),
        ({"model.filters.01": [8, 16]}, "has no value with this index"),
        ({"training.l2": {"low": 0.0, "high": 1e300, "step": 1e-300}}, "lead from low to high exactly"),
        ({"training.epochs": {"low": 3, "high": 3}}, "low should be below high"),
        ({"training.epochs": {"low": True, "high": 3}}, "should be finite numbers"),
        ({"training.epochs": {"low": 1}}, "a range needs low and high; it takes low and high, and step or log"),
        ({"training.epochs": {"low": 1, "hi": 3}}, "a range has no key hi"),
        ({"training.epochs": 3}, r"should be a list of values, or a range such as \{ low"),
        ({"training.epochs": [3]}, "should be a list of two or more different values"),
        ({"training.epochs": [3, 3]}, "should be a list of two or more different values"),
        ({"training.epochs": {"low": 1, "high": 4, "step": 2}}, "should be above 0 and lead from low to high exactly"),
        ({"training.epochs": {"low": 1, "high": 4, "step": 0}}, "should be above 0"),
        ({"training.epochs": {"low": 1, "high": 4, "step": 1, "log": True}}, "log goes without step"),
        ({"training.l2": {"low": 0.0, "high": 0.1, "log": True}}, "log needs a low above 0"),
        ({"training.l2": {"low": 0.0, "high": float("inf")}}, "should be finite numbers"),
        ({"training.l2": {"low": 0.1, "high": 0.2, "log": 1}}, "log should be true or false"),
        ({"training.learning_rate": ["a", 0.1]}, r'training\.learning_rate = "a": should be a valid number'),
        (
            {"training.learning_rate": {"low": 1e-7, "high": 1e-3}},
            r"training\.learning_rate_end = 1e-06: should be at most training\.learning_rate \(1e-07\)"
            r" \(in a trial with training\.learning_rate = 1e-07\); change tuning\.space",
        ),
        (
            {"training.warm_up": [0.0, 5.0], "training.epochs": [3, 9]},
            r"warm_up = 5\.0: should be at most training\.epochs \(3\) \(in a trial with training\.epochs = 3\)",
        ),
        ({"model.name": ["Baseline", "Resnet"]}, r'model\.name = "Resnet": should be'),
        ({"model.name": {"low": 1, "high": 2}}, "does not take numbers; list its values"),
        ({"model.filters.9": [8, 16]}, r"has no value with this index; model\.filters is \[16, 32, 64, 128\]"),
        ({"model.dropout": {"low": 0.0, "high": 1.0}}, r"model\.dropout = 1\.0: should be less than 1"),
        ({"model.drop_path": [0.0, 0.2]}, "has no effect on ResNet; it is for EfficientNet, .*; remove it"),
        (
            {"model.filters.0": [8, 16], "model.name": ["ConvNeXtAtto", "ResNeSt50"]},
            "has no effect on ConvNeXtAtto and ResNeSt50; it is for Baseline, ResNet, Pi, Dilated; remove it",
        ),
        ({"clips.length": [1.0, 2.0]}, r"decides what the store holds; choose it first, and run spec\.py"),
        ({"spectrogram.height": [64, 128]}, r'make a store of sound first \(clips\.keep = "sound", spec\.py\)'),
        ({"dataset.seed": [1, 2]}, r"choose it first, and run sort_data\.py"),
        ({"training.monitor": ["mlrap", "loss"]}, "decides what trials are compared by"),
        ({"training.seed": [1, 2]}, "decides what trials are compared on"),
        ({"testing.held_out": ["val", "test"]}, r"does not change scores.*testing\.weights"),
        ({"testing.pooling": ["max", "mean"], "training.l2": [0.0, 0.1]}, r"has no effect.*or set tuning\.folds"),
        ({"testing.postprocessing.smoothing": {"low": 0.0, "high": 0.7}}, r"smoothing.*should be less than 0\.5"),
        ({"run": ["a", "b"]}, "neither changes a training nor a test; remove it"),
        ({"tuning.seed": [1, 2]}, "neither changes a training nor a test; remove it"),
    ],
)
def test_a_wrong_space_is_refused_in_one_line(space: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read_space(with_space(space))
    assert str(caught.value).startswith("tuning.space")
    assert "\n" not in str(caught.value)


def test_a_space_is_read() -> None:
    space = read_space(
        with_space(
            {
                "training.learning_rate": RATE,
                "model.resnet_k": {"low": 1, "high": 7, "step": 2},
                "model.dropout": [0.0, 0.5],
            }
        )
    )
    assert space == (
        Dimension("model.dropout", choices=(0.0, 0.5)),
        Dimension("model.resnet_k", low=1, high=7, step=2),
        Dimension("training.learning_rate", low=1e-4, high=3e-3, log=True),
    )
    assert [dimension.integer for dimension in space] == [False, True, False]
    assert space[2].holds(1e-3)
    assert not space[2].holds(1.0)
    assert not space[1].holds(2.5)
    assert space[1].holds(1)
    assert not space[1].holds(True)
    assert not Dimension("model.filters.0", choices=(1, 8)).holds(True)


def test_names_without_quotes_mean_the_same(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        "[tuning.space]\ntraining.l2 = { low = 0.0, high = 0.1 }\nmodel.dropout = [0.0, 0.1]\n"
    )
    found = read_space(load(tmp_path / "x.toml"))
    assert [dimension.name for dimension in found] == ["model.dropout", "training.l2"]


def test_integers_are_floats_where_a_setting_takes_floats() -> None:
    (dimension,) = read_space(with_space({"training.l2": {"low": 0, "high": 1}}))
    assert (type(dimension.low), dimension.integer) == (float, False)


def test_what_can_be_searched_depends_on_store_and_folds() -> None:
    sound = Config(clips=Clips(keep="sound"))
    kinds = {"spectrogram.kind": ["mel", "linear"]}
    assert read_space(with_space(kinds, sound))
    with pytest.raises(SettingsError, match="store of sound first"):
        read_space(with_space(kinds, replace(sound, training=Training(images=Path("images")))))
    with pytest.raises(SettingsError, match="changes the sound in the store"):
        read_space(with_space({"spectrogram.rate": [32_000, 44_100]}, sound))
    both = {"testing.pooling": ["max", "mean"], "training.l2": [0.0, 0.1]}
    assert read_space(with_space(both, Config(tuning=Tuning(folds=True))))
    blend = Config(testing=replace(Config().testing, models=(Path("a"), Path("b")), weights=(1.0, 1.0)))
    assert read_space(with_space({"testing.weights.1": {"low": 0.1, "high": 2.0}}, blend))
    rules = {"testing.postprocessing.smoothing": {"low": 0.0, "high": 0.3}}
    assert read_space(with_space({**rules, "testing.shifts": [0, 1], "testing.postprocessing.top_intervals": [0, 2]}))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("training.epochs", {int}),
        ("training.learning_rate", {float}),
        ("clips.peak_distance", {float, type(None)}),
        ("augmentation.chances.flip", {float, type(None)}),
        ("model.name", {str}),
        ("spectrogram.channel", {str, int}),
        ("model.filters.1", {int}),
        ("waveform.pink.0", {float}),
        ("training.deterministic", {bool}),
    ],
)
def test_kinds_of_settings(name: str, kinds: set[type]) -> None:
    assert types_of_setting(name) == kinds


def test_values_are_put_where_they_belong() -> None:
    config = with_values(Config(), {"model.filters.1": 8, "augmentation.chances.roll_v": 0.25, "training.l2": 0.1})
    assert config.model.filters == (16, 8, 64, 128)
    assert (config.augmentation.chances.roll_v, config.training.l2) == (0.25, 0.1)
    with pytest.raises(SettingsError, match=r"training\.l2 = -1"):
        with_values(Config(), {"training.l2": -1})


def test_corners_are_all_or_hold_each_extreme() -> None:
    few = (Dimension("a", choices=(1, 2, 3)), Dimension("b", low=0.0, high=1.0))
    assert len(corners(few)) == 6
    many = tuple(Dimension(f"{index}", choices=tuple(range(5))) for index in range(6))
    drawn = corners(many)
    assert len(drawn) == MOST_CORNERS
    assert all({values[one.name] for values in drawn} == set(one.choices) for one in many)


def test_a_space_is_saved_and_is_one_flag(tmp_path: Path) -> None:
    config = with_space({"training.learning_rate": RATE, "model.filters": [[8, 8], [4, 4]]})
    (tmp_path / "x.toml").write_text(to_toml(config))
    assert load(tmp_path / "x.toml") == config
    flag = ["--tuning.space", '{"training.l2": [0.0, 0.5]}']
    found, _ = from_command_line([str(tmp_path / "x.toml"), *flag], doc="", script="x.py")
    assert found.tuning.space == {"training.l2": [0.0, 0.5]}
    with pytest.raises(SettingsError, match=r"tuning\.space = .*should be"):
        from_command_line(["--tuning.space", "{oops"], doc="", script="x.py")
