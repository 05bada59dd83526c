"""Post-processing by intervals: each rule is its formula, and tests and submissions have the same scores."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import submission_monophone
from config import Config, IntervalRules, Submission
from tests.conftest import RATE, chirp, small_config
from tests.scoring.inference.test_intervals import one_by_one, written
from tests.scoring.inference.test_recordings import snapshot, with_testing
from tests.scoring.inference.test_units import split_of
from utils.scoring import submitting
from utils.scoring.inference import clip_workers
from utils.scoring.inference.ensembles import Member, chosen_members
from utils.scoring.inference.fingerprints import fingerprint_of_parts, fingerprint_of_scores
from utils.scoring.inference.interval_rules import (
    NO_RULES,
    class_factors,
    for_unit,
    rules_facts,
    rules_text,
    smoothed,
    with_rules,
)
from utils.scoring.inference.noise_folder import predict_noise
from utils.scoring.inference.units import predict_units
from utils.scoring.metrics.thresholds import Thresholds, write_thresholds
from utils.scoring.submissions import task

CLASSES = ("A", "B", "C")
SCORES = np.array([[0.2, 0.0], [0.8, 0.5], [0.4, 0.0]], np.float32)
ALL_RULES = IntervalRules(top_intervals=2, maximum_power=0.5, smoothing=0.1)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run with a snapshot, and soundscapes of the data set: of three, of two intervals, and of one."""
    root = tmp_path_factory.mktemp("rules")
    (root / "soundscapes").mkdir()
    for index, (name, seconds) in enumerate({"long": 12.3, "other": 6.0, "quiet": 4.0}.items()):
        sound = chirp(800.0 + 500 * index, seconds=seconds, seed=index)
        soundfile.write(root / "soundscapes" / f"{name}.wav", sound, RATE)
    settings = small_config(root)
    snapshot(settings, "small", CLASSES, seed=1)
    submission = Submission(folder=root / "submissions", min_score=0.0, page_minutes=0.0)
    return with_testing(dataclasses.replace(settings, submission=submission), pooling="mean")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_workers, "fan_out", one_by_one)


def joined(scores: np.ndarray, rules: IntervalRules, *, at_once: int = 100) -> np.ndarray:
    return np.concatenate(list(with_rules(scores, rules, at_once=at_once)))


def test_the_highest_intervals_scale_a_class() -> None:
    """Mean of 0.8 and 0.4, and of 0.5 and 0; of all three, if more are asked for."""
    assert class_factors(SCORES, IntervalRules(top_intervals=2)) == pytest.approx([0.6, 0.25])
    np.testing.assert_allclose(
        joined(SCORES, IntervalRules(top_intervals=2)), [[0.12, 0.0], [0.48, 0.125], [0.24, 0.0]], rtol=1e-6
    )
    assert class_factors(SCORES, IntervalRules(top_intervals=9)) == pytest.approx([1.4 / 3, 0.5 / 3])


def test_the_maximum_to_a_power_scales_a_class() -> None:
    np.testing.assert_allclose(
        joined(SCORES, IntervalRules(maximum_power=2.0)), SCORES * np.array([0.64, 0.25]), rtol=1e-6
    )
    assert class_factors(np.zeros((3, 1), np.float32), IntervalRules(maximum_power=0.5)).tolist() == [0.0]


def test_neighbours_have_their_share() -> None:
    """At the ends, the interval itself has the share of the neighbour that is missing: the weights sum to 1."""
    found = joined(SCORES, IntervalRules(smoothing=0.25))
    np.testing.assert_allclose(found[:, 0], [0.75 * 0.2 + 0.25 * 0.8, 0.5 * 0.8 + 0.25 * 0.6, 0.75 * 0.4 + 0.25 * 0.8])
    np.testing.assert_allclose(smoothed(SCORES, 0.1, first=1, last=2), [[0.8 * 0.8 + 0.1 * 0.6, 0.4]], rtol=1e-6)
    np.testing.assert_allclose(joined(SCORES[:1], IntervalRules(smoothing=0.25)), SCORES[:1])


def test_rules_together_use_factors_of_the_scores_before_smoothing() -> None:
    factors = np.array([0.6 * 0.8**0.5, 0.25 * 0.5**0.5])
    smooth = [[0.9 * 0.2 + 0.1 * 0.8, 0.05], [0.8 * 0.8 + 0.1 * 0.6, 0.4], [0.9 * 0.4 + 0.1 * 0.8, 0.05]]
    np.testing.assert_allclose(joined(SCORES, ALL_RULES), smooth * factors, rtol=1e-6)


def test_without_rules_scores_stay_as_they_are() -> None:
    np.testing.assert_array_equal(joined(SCORES, NO_RULES), SCORES)
    assert list(with_rules(np.zeros((0, 2), np.float32), ALL_RULES)) == []


@given(
    scores=arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 3)), elements=st.floats(0, 1, width=32)),
    top=st.integers(0, 5),
    power=st.floats(0, 10),
    share=st.floats(0, 0.4999),
    at_once=st.integers(1, 40),
)
def test_scores_stay_probabilities_however_many_are_in_memory(
    scores: np.ndarray, top: int, power: float, share: float, at_once: int
) -> None:
    rules = IntervalRules(top_intervals=top, maximum_power=power, smoothing=share)
    found = joined(scores, rules, at_once=at_once)
    assert found.shape == scores.shape
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert (found <= 1).all()
    np.testing.assert_array_equal(found, joined(scores, rules, at_once=10_000))


def test_only_intervals_have_rules() -> None:
    config = with_testing(Config(), postprocessing=ALL_RULES, shifts=2)
    assert for_unit(config, "interval") == config
    assert for_unit(config, "event") == for_unit(config, "recording") == Config()
    assert rules_facts(config.testing, "interval") == {
        "postprocessing": {"maximum_power": 0.5, "smoothing": 0.1, "top_intervals": 2, "shifts": 2}
    }
    text = "maximum_power 0.5, smoothing 0.1, top_intervals 2, shifts 2"
    assert rules_text(config.testing, "interval") == {"post-processing": text}
    assert rules_text(config.testing, "event") == rules_text(Config().testing, "interval") == {}


def held_out(config: Config) -> Config:
    return dataclasses.replace(
        config, dataset=dataclasses.replace(config.dataset, root=config.dataset.root / "soundscapes")
    )


@pytest.mark.parametrize("shifts", [0, 1])
def test_a_test_and_a_submission_have_the_same_scores(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shifts: int
) -> None:
    """Bit for bit, with a prior, which comes afterwards; recordings of one interval have scores, too."""
    (tmp_path / "prior.tsv").write_text("file\tA\tB\tC\nlong\t1\t-0.5\t0\nother\t0\t0\t0\nquiet\t0\t0\t0\n")
    plain = predict_units([member(config)], split_of("long", "other", "quiet"), held_out(config), "interval")
    ruled = with_testing(config, postprocessing=ALL_RULES, shifts=shifts, prior=tmp_path / "prior.tsv")
    tested = predict_units([member(config)], split_of("long", "other", "quiet"), held_out(ruled), "interval")
    found = written(ruled, monkeypatch)
    names = tested.rows["recording"].to_list()
    assert names == ["long"] * 3 + ["other"] * 2 + ["quiet"]
    for row, name in enumerate(names):
        np.testing.assert_array_equal(tested.scores[row], found[f"{name}.wav"].uncalibrated[row - names.index(name)])
    if not shifts:
        factors = np.array([[1.5, 0.5, 1.5]] * 3)
        np.testing.assert_allclose(tested.scores[:3], joined(plain.scores[:3], ALL_RULES) * factors, rtol=1e-6)
        np.testing.assert_allclose(tested.scores[5:], joined(plain.scores[5:], ALL_RULES) * 1.5, rtol=1e-6)
    assert np.isfinite(tested.scores).all()
    assert (tested.clips >= plain.clips * (2 if shifts else 1)).all()


def member(config: Config) -> Member:
    return Member(snapshot(config, "small", CLASSES, seed=1))


def test_labelled_intervals_are_post_processed_among_all(config: Config) -> None:
    """Intervals that nobody labelled have no row, but are neighbours of those that have."""
    folder = config.dataset.root / "soundscapes" / "metadata"
    folder.mkdir()
    ruled = held_out(with_testing(config, postprocessing=ALL_RULES))
    whole = predict_units([member(config)], split_of("long"), ruled, "interval")
    (folder / "long.json").write_text('{"labelled": [[5, 10]]}')
    try:
        part = predict_units([member(config)], split_of("long"), ruled, "interval")
    finally:
        (folder / "long.json").unlink()
        folder.rmdir()
    assert part.rows["start"].to_list() == [5.0]
    np.testing.assert_array_equal(part.scores, whole.scores[1:2])


def test_a_submission_in_parts_is_that_of_one_call(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts hold pooled scores: other rules use them again; shifted clips are other parts."""
    ruled = with_testing(config, postprocessing=ALL_RULES, shifts=1)
    whole = written(ruled, monkeypatch)
    job = task.prepare_submission(ruled, "soundscape")
    submitting.predict_missing(dataclasses.replace(job, files=job.files[:1], targets=job.targets[:1]), ruled)
    assert [target.is_file() for target in job.targets] == [True, False, False]
    assert task.prepare_submission(with_testing(ruled, postprocessing=NO_RULES), "soundscape").targets == job.targets
    assert task.prepare_submission(with_testing(ruled, shifts=0), "soundscape").targets != job.targets
    again = written(ruled, monkeypatch)
    for file, one in whole.items():
        np.testing.assert_array_equal(again[file].scores, one.scores)
        np.testing.assert_array_equal(again[file].uncalibrated, one.uncalibrated)


def test_whole_recordings_have_no_rules_but_a_warning(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ruled = with_testing(config, postprocessing=IntervalRules(smoothing=0.1), shifts=1)
    plain = written(config, monkeypatch, script=submission_monophone)
    tested = predict_units([member(config)], split_of("long"), held_out(config), "recording")
    capsys.readouterr()
    found = written(ruled, monkeypatch, script=submission_monophone)
    again = predict_units([member(config)], split_of("long"), held_out(ruled), "recording")
    lines = " ".join(capsys.readouterr().err.split())
    sentence = "testing.postprocessing.smoothing, testing.shifts are for intervals, and are not used for recordings"
    assert lines.count(sentence) == 2
    assert all(np.array_equal(found[file].scores, plain[file].scores) for file in plain)
    np.testing.assert_array_equal(again.scores, tested.scores)
    assert again.fingerprint == tested.fingerprint


def test_thresholds_of_other_rules_are_told(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    ruled = with_testing(config, postprocessing=ALL_RULES)
    members = chosen_members(config)
    made = fingerprint_of_scores(members, ruled)
    assert made == predict_units(members, split_of("other"), held_out(ruled), "interval").fingerprint
    path = config.dataset.root / "ruled.json"
    found = Thresholds(CLASSES, (0.2,) * 3, (True,) * 3, None, "f1", None, 1, "a test", made)
    write_thresholds(path, dataclasses.replace(found, unit="interval", interval=5.0))
    for settings, warned in ((ruled, False), (config, True), (with_testing(ruled, shifts=1), True)):
        submission = dataclasses.replace(settings.submission, thresholds=path)
        capsys.readouterr()
        task.prepare_submission(dataclasses.replace(settings, submission=submission), "soundscape")
        told = " ".join(capsys.readouterr().err.split())
        assert ("made by a test with other networks, weights, pooling, sharpness, post-processing" in told) == warned


def test_fingerprints_are_those_of_before_where_nothing_is_set(config: Config) -> None:
    members = chosen_members(config)
    off = with_testing(config, postprocessing=IntervalRules(), shifts=0)
    assert fingerprint_of_scores(members, off) == fingerprint_of_scores(members, config)
    kinds = [
        *(IntervalRules(top_intervals=count) for count in (0, 1, 2)),
        IntervalRules(maximum_power=0.5),
        IntervalRules(smoothing=0.1),
    ]
    found = {fingerprint_of_scores(members, with_testing(config, postprocessing=rules)) for rules in kinds}
    assert len(found | {fingerprint_of_scores(members, with_testing(config, shifts=1))}) == 6
    shifted = with_testing(config, shifts=1)
    assert fingerprint_of_parts(members, shifted, interval=5.0) != fingerprint_of_parts(members, config, interval=5.0)
    assert fingerprint_of_parts(members, shifted, interval=0.0) == fingerprint_of_parts(members, config, interval=0.0)


def test_noise_is_post_processed_as_what_it_is_compared_with(config: Config, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "rain.wav", chirp(700.0, seconds=12.5, seed=9), RATE)
    plain = with_testing(config, noise_folder=tmp_path, interval=2.5)
    ruled = with_testing(plain, postprocessing=IntervalRules(top_intervals=2), shifts=0)
    found: dict[tuple[str, bool], np.ndarray] = {}
    for unit in ("interval", "recording"):
        for settings in (plain, ruled):
            noise = predict_noise([member(config)], split_of("long"), settings, unit)
            assert noise is not None
            found[unit, settings is ruled] = noise.scores
    expected = joined(found["interval", False], IntervalRules(top_intervals=2))
    np.testing.assert_allclose(found["interval", True], expected, rtol=1e-6)
    np.testing.assert_array_equal(found["recording", True], found["recording", False])
