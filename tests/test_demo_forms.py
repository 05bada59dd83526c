"""The forms of the demo as their experiments use them, with a small network, from sorting to metrics."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import sort_data
import spec
import submission_soundscape
import test
import train
from config import Config
from tests.small_experiments import small_experiment
from utils.demo.annotated import make_annotated
from utils.demo.kaggle2021 import make_kaggle2021
from utils.recordings.recording import event_overlaps
from utils.scoring import testing as test_stage
from utils.scoring.submissions.results import Submitted

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Make the form kaggle2021, and train on it."""
    folder = tmp_path_factory.mktemp("kaggle")
    config = small_experiment("demo-kaggle2021", folder)
    make_kaggle2021(config.dataset.root, per_species=4, soundscape_seconds=30)
    sort_data.main(config)
    spec.main(config)
    train.main(config)
    return config


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Make the form annotations, and train on it."""
    folder = tmp_path_factory.mktemp("annotated")
    config = small_experiment("demo-annotations", folder)
    assert config.dataset.archive
    made = make_annotated(config.dataset.archive, seconds=60)
    assert made.recordings == 12
    sort_data.main(config)
    spec.main(config)
    train.main(config)
    return config


def metrics_in(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))


def split_of(config: Config) -> pl.DataFrame:
    return pl.read_parquet(config.dataset.root / "split.parquet")


def test_labelled_soundscapes_are_left_out_of_learning(kaggle: Config) -> None:
    split = split_of(kaggle)
    table = pl.read_csv(kaggle.dataset.root / "train_metadata.csv")
    assert len(split) == len(table) == 35
    assert set(split["recording"]) == {Path(name).stem for name in table["filename"]}
    assert set(split["split"]) == {"train", "val"}
    clips = pl.read_parquet(kaggle.dataset.root / "spec" / "clips.parquet")
    assert not clips["recording"].str.contains("_").any()


def test_kaggle2021_is_tested_by_recording(kaggle: Config) -> None:
    tested = test.main(kaggle)
    assert tested.complete
    assert metrics_in(tested.folder / "metrics.json")["unit"] == "recording"
    assert tested.headline.recordings == split_of(kaggle).filter(split="val").height


def test_labelled_soundscapes_are_judged_by_submission_soundscape(kaggle: Config) -> None:
    submitted = submission_soundscape.main(kaggle)
    assert isinstance(submitted, Submitted)
    assert submitted.complete
    labels = pl.read_csv(kaggle.dataset.root / "train_soundscape_labels.csv")
    written = pl.read_csv(kaggle.submission.folder / "demo-kaggle2021_soundscape_kaggle2021.csv")
    assert written.columns == ["row_id", "birds"]
    assert set(written["row_id"]) == set(labels["row_id"])
    metrics = metrics_in(kaggle.submission.folder / "demo-kaggle2021_soundscape.json")
    assert metrics["intervals"] == len(labels) == 36
    both = written.join(labels, on="row_id", suffix="_true")
    scores = [row_f1(row["birds"].split(), row["birds_true"].split()) for row in both.to_dicts()]
    assert metrics["row_f1"] == pytest.approx(sum(scores) / len(scores), abs=1e-6)


def row_f1(predicted: list[str], true: list[str]) -> float:
    """Return the F1 of one row as the challenge of 2021 computed it; nocall counts as a label."""
    return 2 * len(set(predicted) & set(true)) / (len(predicted) + len(true))


def test_unlabelled_soundscapes_follow_the_sample_submission(kaggle: Config) -> None:
    root = kaggle.dataset.root
    changes = {
        "submission.recordings": str(root / "test_soundscapes"),
        "submission.sample": str(root / "sample_submission.csv"),
        "submission.folder": str(root / "hidden"),
        "submission.page_minutes": 0.0,
    }
    submitted = submission_soundscape.main(small_experiment("demo-kaggle2021", root.parent, **changes))
    assert isinstance(submitted, Submitted)
    assert submitted.complete
    written = pl.read_csv(root / "hidden" / "demo-kaggle2021_soundscape_kaggle2021.csv")
    sample = pl.read_csv(root / "sample_submission.csv")
    assert (
        written["row_id"].to_list() == sample["row_id"].to_list() == pl.read_csv(root / "test.csv")["row_id"].to_list()
    )


def test_a_day_at_a_site_is_in_one_split(annotated: Config) -> None:
    split = split_of(annotated)
    assert len(split) == 12
    assert set(split["split"]) == {"train", "val"}
    metadata = [metrics_in(file) for file in sorted((annotated.dataset.root / "metadata").glob("*_*.json"))]
    assert len(metadata) == 12
    table = pl.read_csv(annotated.dataset.archive / "recordings.csv").sort("file")  # type: ignore[operator]
    for one, row in zip(sorted(metadata, key=lambda one: one["filename"]), table.to_dicts(), strict=True):
        assert (one["author"], one["locality"]) == (row["author"], row["site"])
        assert (one["latitude"], one["longitude"]) == (row["latitude"], row["longitude"])
        assert (one["date"], one["elevation"]) == (row["date"], str(row["elevation"]))


def events_of(config: Config, split: str) -> list[tuple[str, float, float, str]]:
    """Return the annotated calls of a split: recording, start, end and species."""
    return [
        (name, event["start"], event["end"], event["species"])
        for name in split_of(config).filter(split=split)["recording"]
        for event in metrics_in(config.dataset.root / "metadata" / f"{name}.json")["events"]
    ]


def test_clips_are_around_annotated_calls(annotated: Config) -> None:
    clips = pl.read_parquet(annotated.dataset.root / "spec" / "clips.parquet").filter("accepted")
    calls = events_of(annotated, "train") + events_of(annotated, "val")
    assert {name for name, *_ in calls} == set(clips["recording"])
    length = annotated.clips.length
    for name, start, species in clips.select("recording", "start", "class").iter_rows():
        assert any(
            (name, species) == (other, label) and event_overlaps((first, last), start, start + length)
            for other, first, last, label in calls
        )


def test_the_best_epoch_is_chosen_by_macro_f1(annotated: Config) -> None:
    log = pl.read_csv(annotated.run_folder / "log.csv")
    best = log.sort("validation_macro_f1", "epoch", descending=[True, False]).row(0, named=True)
    assert log["validation_macro_f1"].n_unique() > 1
    assert (annotated.run_folder / f"epoch_{best['epoch']:03d}").is_dir()
    assert set(log["monitor_unit"]) == {"clip"}


def test_calls_say_what_whole_recordings_hide(annotated: Config) -> None:
    by_call = test.main(annotated)
    metrics = metrics_in(by_call.folder / "metrics.json")
    assert metrics["unit"] == "event"
    assert by_call.headline.recordings == len(events_of(annotated, "val"))
    by_recording = results_by(annotated, "recording")
    assert by_recording.headline.recordings == split_of(annotated).filter(split="val").height
    # several species sing in every recording, so that ranking them says little about single calls
    assert 0.0 < metrics["metrics"]["argmax_macro_f1"]["value"] < by_recording.headline.mlrap - 0.2
    assert "argmax_macro_f1" not in metrics_in(by_recording.folder / "metrics.json")["metrics"]


def results_by(config: Config, unit: str) -> test_stage.Tested:
    archive = config.dataset.archive
    assert archive
    return test.main(small_experiment("demo-annotations", archive.parent, **{"testing.unit": unit}))


def test_intervals_cover_the_recordings(annotated: Config) -> None:
    tested = results_by(annotated, "interval")
    rows = pl.read_csv(tested.folder / "predictions.csv")
    held_out = split_of(annotated).filter(split="val").height
    assert len(rows) == held_out * 60 / 5
    assert metrics_in(tested.folder / "metrics.json")["unit"] == "interval"


def test_annotated_recordings_are_judged_by_submission_soundscape(annotated: Config) -> None:
    """The tables lie in the folder above the recordings."""
    submitted = submission_soundscape.main(annotated)
    assert isinstance(submitted, Submitted)
    assert submitted.complete
    metrics = metrics_in(annotated.submission.folder / "demo-annotations_soundscape.json")
    assert (metrics["recordings"], metrics["annotated"], metrics["intervals"]) == (12, 12, 12 * 60 / 5)
    archive = annotated.dataset.archive
    assert archive
    calls = sum(len(pl.read_csv(archive / name)) for name in ("annotations.csv", "points.csv"))
    assert metrics["annotations"] == metrics["annotations_used"] == calls
    assert metrics["metrics"]["cmap"]["value"] > 0
