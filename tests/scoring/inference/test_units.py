"""Intervals and events: which rows there are, what is true in them, and that their scores are those of clips."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from config import Clips, Config
from tests.conftest import RATE, chirp, small_config
from tests.scoring.inference.test_recordings import snapshot, with_testing
from utils.console import UserError
from utils.models.saved_networks import load_network
from utils.recordings.recording import Event
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring.evaluation.metric_texts import unknown_notes
from utils.scoring.evaluation.recordings import evaluate_predictions
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.onnx_sessions import scores_of
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.inference.predictors import predictor
from utils.scoring.inference.unit_rows import overlapping_species, species_of_intervals
from utils.scoring.inference.units import predict_units, unit_of
from utils.spectra.spectrogram import make_spectrogram, to_pixels

SECONDS = {"long.wav": 12.3, "other.wav": 6.0, "quiet.wav": 4.0, "named.wav": 3.0}
EVENTS = {
    "long": [(4.9, 5.1, "A"), (9.0, 9.0, "B"), (11.0, 12.3, "Ignotus"), (8.7, 9.3, "C")],
    "other": [(0.0, 3.0, "B"), (5.9, 6.0, "A"), (20.0, 21.0, "C")],
}


def split_of(*names: str) -> pl.DataFrame:
    label = {"quiet": "Noise", "named": "A"}
    rows = [
        (
            name,
            f"{name}.wav",
            label.get(name, ""),
            [],
            [
                {"start": start, "end": end, "species": species, "low": None, "high": None}
                for start, end, species in EVENTS.get(name, [])
            ],
            False,
            None,
            "val",
            None,
            name,
            "",
        )
        for name in names
    ]
    return pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("units")
    for index, (name, seconds) in enumerate(SECONDS.items()):
        soundfile.write(root / name, chirp(800.0 + 500 * index, seconds=seconds, seed=index), RATE)
    (root / "broken.wav").write_bytes(b"RIFF, but no more")
    settings = dataclasses.replace(small_config(root), workers=1)
    snapshot(settings, "small", ("A", "B", "C"), seed=1)
    return settings


def member(config: Config) -> Member:
    return Member(snapshot(config, "small", ("A", "B", "C"), seed=1))


def score_at(config: Config, file: str, start: float) -> np.ndarray:
    """Score one clip, cut here, pooled alone."""
    made = member(config).snapshot
    samples, _ = soundfile.read(config.dataset.root / file, dtype="float32")
    first = round(start * RATE)
    length = int(config.clips.length * RATE)
    clip = np.zeros(length, np.float32)
    part = samples[max(0, first) : first + length]
    clip[: len(part)] = part
    graph, network = load_network(made)
    pixels = to_pixels(make_spectrogram(clip, config.spectrogram, seed=0))[None]
    return median_filtered(scores_of(predictor(graph, batch_size=1)(network, pixels).logits, multi_label=False))


def test_an_event_is_in_every_interval_that_it_overlaps() -> None:
    starts = np.arange(4) * 5.0
    ends = np.array([5.0, 10.0, 15.0, 17.5])
    events = [Event(4.9, 10.0, "A"), Event(10.0, 10.0, "B"), Event(16.0, 99.0, "C"), Event(5.0, 6.0, "A")]
    found = [[one["species"] for one in row] for row in species_of_intervals(events, starts, ends)]
    assert found == [["A"], ["A"], ["B"], ["C"]]


def test_background_of_an_event_is_what_overlaps_its_clip() -> None:
    events = [Event(1.0, 1.0, "A"), Event(1.4, 2.0, "B"), Event(1.6, 1.6, "C"), Event(0.0, 9.0, "D")]
    assert overlapping_species(events, length=1.0) == [["D", "B"], ["D", "C"], ["D", "B"], ["A", "B", "C"]]


def test_intervals(config: Config) -> None:
    """A call across a border is in both intervals; the last interval is shorter; nobody sings in noise."""
    recordings = split_of("long", "quiet")
    found = predict_units([member(config)], recordings, config, "interval")
    times = found.rows.select("recording", "start", "end").rows()
    assert times == [
        ("long", 0.0, 5.0),
        ("long", 5.0, 10.0),
        ("long", 10.0, 12.3),
        ("quiet", 0.0, 4.0),
    ]
    evaluation = evaluate_predictions(found.scores, found, background=True)
    assert evaluation.truth.astype(int).tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert evaluation.unknown is not None
    assert evaluation.unknown.tolist() == [0, 0, 1, 0]
    assert (evaluation.headline.without_truth, evaluation.headline.ranked) == (1, 2)
    assert "Ignotus" in unknown_notes(evaluation, "interval")[0]
    assert found.recording_of_row.tolist() == [0, 0, 0, 1]
    assert (found.clips >= 3).all()  # all clips of an interval count
    assert found.times.seconds_per_batch
    assert found.times.clips_per_second
    assert found.failures == []


def test_each_event_is_scored_by_the_clip_around_it(config: Config) -> None:
    found = predict_units([member(config)], split_of("long"), config, "event")
    length = config.clips.length
    assert found.rows["class"].to_list() == ["A", "B", "Ignotus", "C"]
    assert found.rows["background"].to_list() == [[], ["C"], [], ["B"]]
    assert found.clips[:2].tolist() == [1, 1]
    for row, middle in ((0, 5.0), (1, 9.0), (3, 9.0)):
        expected = score_at(config, "long.wav", middle - length / 2)
        np.testing.assert_allclose(found.scores[row], expected, atol=1e-5)


def test_an_event_at_the_end_has_the_last_clip_and_one_after_it_has_none(config: Config) -> None:
    found = predict_units([member(config)], split_of("other"), config, "event")
    assert found.rows["start"].to_list() == [0.0, 5.9, 20.0]
    np.testing.assert_allclose(found.scores[1], score_at(config, "other.wav", 6.0 - config.clips.length), atol=1e-5)
    assert np.isnan(found.scores[2]).all()
    assert found.clips[0] > 1  # longer than a clip
    assert found.clips[2] == 0
    assert "an annotation at 20 s is after its end (6.0 s)" in str(found.failures[0].reason)
    evaluation = evaluate_predictions(found.scores, found, background=True)
    assert evaluation.headline.scored == 2


def test_a_broken_recording_is_one_row_without_scores(config: Config) -> None:
    broken = split_of("long").with_columns(recording=pl.lit("broken"), file=pl.lit("broken.wav"))
    for unit in ("interval", "event"):
        both = pl.concat([split_of("long"), broken])
        found = predict_units([member(config)], both, config, unit)  # type: ignore[arg-type]
        assert [failure.name for failure in found.failures] == ["broken.wav"]
        assert np.isnan(found.scores[-1]).all()
        assert found.rows["start"][-1] is None
        assert len(found.reasons) == len(found.rows) == len(found.scores) == len(found.clips)


def test_recordings_without_times_are_left_out_and_counted(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    recordings = split_of("long", "named", "quiet")
    found = predict_units([member(config)], recordings, config, "interval")
    assert set(found.rows["recording"]) == {"long", "quiet"}
    assert "1 of 3 held-out recordings have no annotations with times" in " ".join(capsys.readouterr().err.split())
    assert set(predict_units([member(config)], recordings, config, "event").rows["recording"]) == {"long"}


def test_the_unit_follows_the_recordings(config: Config) -> None:
    around_events = dataclasses.replace(config, clips=Clips(choose="annotations"))
    assert unit_of(split_of("long", "quiet"), config) == "interval"
    assert unit_of(split_of("long", "quiet"), around_events) == "event"
    assert unit_of(split_of("long", "named"), around_events) == "recording"
    assert unit_of(split_of("quiet"), config) == "recording"
    assert unit_of(split_of("long", "named"), with_testing(config, unit="event")) == "event"
    with pytest.raises(UserError, match=r"no held-out recording has annotations"):
        unit_of(split_of("named"), with_testing(config, unit="interval"))


def test_the_prior_multiplies_all_rows_of_a_recording(config: Config, tmp_path: Path) -> None:
    table = tmp_path / "prior.tsv"
    table.write_text("file\tA\tB\tC\nlong\t0\t-0.5\t-1\n")
    plain = predict_units([member(config)], split_of("long", "other"), config, "interval")
    with_prior = predict_units(
        [member(config)], split_of("long", "other"), with_testing(config, prior=table), "interval"
    )
    rows = plain.recording_of_row == 0
    np.testing.assert_allclose(with_prior.scores[rows], plain.scores[rows] * [1.5, 0.5, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(with_prior.scores[~rows], plain.scores[~rows])


def test_damaged_metadata_are_told_once(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """The metadata say which spans are labelled; without them, all intervals count."""
    folder = config.dataset.root / "metadata"
    folder.mkdir()
    rows = {}
    for content in ('{"labelled": [[0, 5]]}', '{"labelled": [[0, 5]', '{"labelled": 7}'):
        for name in ("long", "other"):
            (folder / f"{name}.json").write_text(content)
        capsys.readouterr()
        predictions = predict_units([member(config)], split_of("long", "other", "quiet"), config, "interval")
        rows[content] = (
            predictions.rows["recording"].value_counts(sort=True)["count"].to_list(),
            capsys.readouterr().err,
        )
    shutil.rmtree(folder)
    (whole, fine), *damaged = rows.values()
    assert (sorted(whole), "damaged" in fine) == ([1, 1, 1], False)
    for counts, told in damaged:
        assert sorted(counts) == [1, 2, 3]
        line = " ".join(told.split())
        assert "long.json: " in line
        assert line.count("(2 of 3 such files are damaged); all intervals of these recordings count as labelled") == 1
