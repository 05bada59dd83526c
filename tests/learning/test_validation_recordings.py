"""Recordings with a class are drawn as ever; long ones whole, by their events, and every class can be learned."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config import Config, Training
from utils.learning.validation_recordings import choose_validation_recordings
from utils.recordings.splits import SPLIT_SCHEMA, draw_names, quotas

Rows = Mapping[str, Sequence[str]]  # species of the events of each long recording


def config_with(share: float = 0.2, seed: int = 1) -> Config:
    return Config(training=Training(validation_share=share, seed=seed))


def split_of(
    long: Rows, classed: Mapping[str, int] | None = None, groups: Mapping[str, str] | None = None
) -> pl.DataFrame:
    names = [(f"{label}/{index}", label) for label, count in (classed or {}).items() for index in range(count)]
    rows = [(name, "", species) for name, species in long.items()] + [(name, label, ()) for name, label in names]
    return pl.DataFrame(
        [
            {
                "recording": name,
                "file": f"train/{name}.wav",
                "class": label,
                "background": [],
                "events": [
                    {"start": float(index), "end": index + 1.0, "species": name_of, "low": None, "high": None}
                    for index, name_of in enumerate(species)
                ],
                "unsure": False,
                "quality": None,
                "split": "train",
                "fold": None,
                "group": (groups or {}).get(name, name),
                "reason": "",
            }
            for name, label, species in rows
        ],
        schema=SPLIT_SCHEMA,
    ).sort("class", "recording")


def clips_of(split: pl.DataFrame) -> pl.DataFrame:
    """Return one clip for each event, and one for each recording with a class."""
    events = split.explode("events").with_columns(
        pl.when(pl.col("class") == "")
        .then(pl.col("events").struct.field("species"))
        .otherwise(pl.col("class"))
        .alias("class")
    )
    return events.select("recording", "class").drop_nulls()


def draw(split: pl.DataFrame, config: Config, clips: pl.DataFrame | None = None) -> set[str]:
    return choose_validation_recordings(split, clips_of(split) if clips is None else clips, config)


def soundscapes(recordings: int, species: int, *, events: int = 20, seed: int = 0) -> dict[str, list[str]]:
    generator = np.random.default_rng(seed)
    return {
        f"tape{index:02d}": [f"s{int(species * value**2)}" for value in generator.random(generator.integers(2, events))]
        for index in range(recordings)
    }


@pytest.mark.parametrize("long", [{}, soundscapes(9, 3)])
def test_recordings_with_a_class_are_drawn_as_by_earlier_versions(long: dict[str, list[str]]) -> None:
    split, config = split_of(long, {"a": 7, "b": 12, "c": 2}), config_with()
    classes = split.group_by("class", maintain_order=True).agg("recording")
    counts = quotas(classes["recording"].list.len().to_list(), share=0.2, least=3, seed=1)
    expected = {
        name
        for (label, names), count in zip(classes.iter_rows(), counts, strict=True)
        for name in draw_names(names, count, seed=1, label=label)
        if label
    }
    assert len(expected) >= 3
    assert {name for name in draw(split, config) if "/" in name} == expected


def test_recordings_that_nothing_labels_are_drawn_as_by_earlier_versions() -> None:
    split = split_of({f"tape{index}": () for index in range(10)}, {"a": 5})
    found = {name for name in draw(split, config_with()) if name.startswith("tape")}
    assert found == draw_names([f"tape{index}" for index in range(10)], 2, seed=1, label="")


def test_val_is_used_if_there_is_a_test() -> None:
    split = split_of(soundscapes(6, 3))
    split = split.with_columns(split=pl.Series(["val", "test", "train", "val", "train", "train"]))
    assert draw(split, config_with()) == {"tape00", "tape03"}


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_long_recordings_are_drawn_by_their_events(share: float) -> None:
    split = split_of(soundscapes(60, 20))
    found = draw(split, config_with(share))
    clips = clips_of(split)
    validation = clips.filter(pl.col("recording").is_in(list(found)))
    assert 0.5 * share * len(clips) <= len(validation) <= 1.5 * share * len(clips)
    assert set(clips.filter(~pl.col("recording").is_in(list(found)))["class"]) == set(clips["class"])
    assert found == draw(
        split.sample(fraction=1.0, shuffle=True, seed=3).sort("class", "recording"), config_with(share)
    )
    assert len({frozenset(draw(split, config_with(share, seed))) for seed in range(4)}) > 1
    # a random draw of as many recordings has fewer species
    generator, names = np.random.default_rng(1), sorted(split["recording"])
    drawn = [generator.choice(names, len(found), replace=False).tolist() for _ in range(200)]
    species = [clips.filter(pl.col("recording").is_in(some))["class"].n_unique() for some in drawn]
    assert validation["class"].n_unique() >= np.median(species)


def test_of_six_long_recordings_one_is_set_apart() -> None:
    species = {f"tape{index}": ["a", "b"] * (10 + index) for index in range(6)}
    for seed in range(5):
        assert len(draw(split_of(species), config_with(0.05, seed))) == 1


def test_no_group_of_the_split_is_separated_unless_none_could_be_drawn() -> None:
    long = soundscapes(24, 4)
    groups = {name: f"site {index % 6}" for index, name in enumerate(long)}
    found = draw(split_of(long, groups=groups), config_with())
    assert len(found) == 4
    assert len({groups[name] for name in found}) == 1
    # all at one site
    found = draw(split_of(long, groups=dict.fromkeys(long, "site")), config_with())
    assert 2 <= len(found) <= 8


def test_of_recordings_with_one_event_no_more_than_the_share_are_drawn() -> None:
    long = {f"tape{index:03d}": [f"s{index % 50}"] for index in range(200)}
    assert len(draw(split_of(long), config_with(0.05))) == 10


@pytest.mark.parametrize("recordings", [1, 2])
def test_too_few_long_recordings_bring_a_warning(recordings: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw(split_of({f"tape{index}": ["a", "b"] for index in range(recordings)}), config_with()) == set()
    told = capsys.readouterr().err
    assert (
        f"no long recording of train/ is set apart for validation ({recordings} in all: at least 3 are needed)" in told
    )
    assert len(told.splitlines()) == 1


def test_species_of_one_recording_stay_in_train(capsys: pytest.CaptureFixture[str]) -> None:
    own = {f"tape{index}": ["a", f"s{index}"] for index in range(5)}
    assert draw(split_of(own), config_with()) == set()
    assert "(5 in all: each is the only one with clips of some species)" in capsys.readouterr().err
    assert draw(split_of({**own, "tape5": ["a", "a"]}), config_with()) == {"tape5"}
    assert draw(split_of(own), config_with(0.0)) == set()
    assert not capsys.readouterr().err


def test_a_class_with_clips_of_one_recording_alone_stays_in_train() -> None:
    """Events whose clips were all rejected do not help to learn a class."""
    split = split_of({f"tape{index}": ["a", "b"] for index in range(5)})
    (drawn,) = draw(split, config_with())
    clips = clips_of(split).filter((pl.col("class") == "a") | (pl.col("recording") == drawn))
    assert draw(split, config_with(), clips) == set()
    elsewhere = pl.DataFrame({"recording": ["x"], "class": ["b"]})
    assert draw(split, config_with(), pl.concat([clips, elsewhere])) == {drawn}


@hypothesis_settings(max_examples=25)
@given(
    st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), min_size=1, max_size=8),
    st.sampled_from([0.0, 0.05, 0.3, 0.9]),
    st.integers(0, 3),
)
def test_every_class_can_be_learned(species: list[list[str]], share: float, seed: int) -> None:
    split = split_of({f"tape{index}": row for index, row in enumerate(species)}, {"g": 4})
    found = draw(split, config_with(share, seed))
    clips = clips_of(split)
    assert found <= set(split["recording"])
    assert set(clips.filter(~pl.col("recording").is_in(list(found)))["class"]) == set(clips["class"])


def test_the_settings_of_the_split_do_not_matter() -> None:
    split, config = split_of(soundscapes(20, 5)), config_with()
    blocked = dataclasses.replace(config.dataset, split="blocked", folds=5, test_share=0.3, seed=9)
    assert draw(split, dataclasses.replace(config, dataset=blocked)) == draw(split, config)
