"""Predictions for intervals are those for their clips alone, whatever came before, beside or in between."""

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import submission_monophone
import submission_soundscape
from config import Config, Submission
from tests.conftest import RATE, chirp, small_config
from tests.scoring.inference.test_recordings import snapshot, table, with_testing
from utils import console
from utils.files import write_text
from utils.models.saved_networks import load_network
from utils.scoring import submitting
from utils.scoring.inference import clip_workers, intervals
from utils.scoring.inference.ensembles import Member, chosen_members
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.intervals import IntervalScores
from utils.scoring.inference.onnx_sessions import scores_of
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.inference.predictors import predictor
from utils.scoring.inference.recordings import predict_recordings
from utils.scoring.metrics.thresholds import Thresholds, write_thresholds
from utils.scoring.submissions import postprocessing, score_parts, task
from utils.scoring.submissions.postprocessing import recording_names
from utils.spectra import recording_spectrograms
from utils.spectra.extraction import Job
from utils.spectra.spectrogram import make_spectrogram, to_pixels

SECONDS = {"a.wav": 12.3, "b/c;ü.flac": 5.0, "b/short.wav": 0.4, "z.ogg": 21.0}
CLASSES = ("A", "B", "C")
# flat: no score differs from another
STEPS = '{"x": [0.0, 1.0], "y": [0.25, 0.25], "made_from": "a test", "method": "isotonic"}'


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Settings of a run with a snapshot, and recordings: four that can be used, two that cannot, and a table."""
    root = tmp_path_factory.mktemp("root")
    scapes = root / "soundscapes"
    for index, (name, seconds) in enumerate(SECONDS.items()):
        (scapes / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(scapes / name, chirp(900.0 + 500 * index, seconds=seconds, seed=index), RATE)
    (scapes / "broken.wav").write_bytes(b"RIFF, but no more")
    (scapes / "phone.m4a").write_bytes(b"sound of another kind")
    (scapes / "annotations.csv").write_text("file,start,end,species\n")
    settings = small_config(root)
    snapshot(settings, "small", CLASSES, seed=1)
    return dataclasses.replace(
        settings, submission=Submission(folder=root / "submissions", min_score=0.0, page_minutes=0.0)
    )


@pytest.fixture(autouse=True)
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in this process unless a test is about workers: starting one takes seconds."""
    if "workers" not in request.fixturenames:
        monkeypatch.setattr(clip_workers, "fan_out", one_by_one)


def one_by_one(work: Callable[[Job], object], jobs: Sequence[Job], **_: object) -> Iterator[tuple[Job, object]]:
    for job in jobs:
        try:
            yield job, work(job)
        except console.UserError as error:
            yield job, console.Failure(job.name, str(error))


def changed(config: Config, **changes: object) -> Config:
    submission = dataclasses.replace(config.submission, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(config, submission=submission)


def written(
    config: Config, monkeypatch: pytest.MonkeyPatch, *, script: object = submission_soundscape
) -> dict[str, IntervalScores]:
    """Run a script, and return what it hands to the format, by file."""
    found: list[IntervalScores] = []

    def collect(path: Path, results: Iterable[IntervalScores], layout: object) -> int:
        found.extend(
            dataclasses.replace(result, scores=np.array(result.scores), uncalibrated=np.array(result.uncalibrated))
            for result in results
        )
        return 0

    with monkeypatch.context() as patched:
        patched.setattr(submitting, "write_rows", collect)
        script.main(config)  # type: ignore[attr-defined]
    assert not list(config.submission.folder.glob("*.parts"))
    return {result.file: result for result in found}


def scores_alone(config: Config, file: str, spans: Sequence[tuple[float, float]], name: str = "small") -> np.ndarray:
    """Score clips of one recording, by their start and end in seconds; outside of it is silence."""
    made = snapshot(config, name, CLASSES, seed=1)
    samples, _ = soundfile.read(config.dataset.root / "soundscapes" / file, dtype="float32")
    around = np.pad(samples, 10 * RATE)
    clips = [around[round((start + 10) * RATE) : round((end + 10) * RATE)] for start, end in spans]
    spectrograms = np.stack([to_pixels(make_spectrogram(clip, made.config.spectrogram)) for clip in clips])
    graph, network = load_network(made)
    return scores_of(
        predictor(graph, batch_size=64)(network, spectrograms).logits, multi_label=made.config.training.multi_label
    )


def test_intervals_are_those_of_their_clips(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of 1 s overlap by a quarter; the last interval, of 2.3 s, has as many as fit and one that ends with it."""
    found = written(config, monkeypatch)
    assert list(found) == ["a.wav", "b/c;ü.flac", "b/short.wav", "broken.wav", "phone.m4a", "z.ogg"]
    one = found["a.wav"]
    assert (one.recording, one.reason) == ("a", None)
    assert one.starts.tolist() == [0.0, 5.0, 10.0]
    assert one.ends.tolist() == [5.0, 10.0, 12.3]
    for index, starts in enumerate(
        [[0, 0.75, 1.5, 2.25, 3, 3.75, 4], [5, 5.75, 6.5, 7.25, 8, 8.75, 9], [10, 10.75, 11.3]]
    ):
        alone = scores_alone(config, "a.wav", [(start, start + 1) for start in starts])
        np.testing.assert_allclose(one.scores[index], median_filtered(alone), atol=1e-5)
    np.testing.assert_allclose(
        found["b/short.wav"].scores[0], median_filtered(scores_alone(config, "b/short.wav", [(-0.3, 0.7)])), atol=1e-5
    )
    assert found["b/short.wav"].ends.tolist() == [0.4]
    assert {len(result.starts) for result in (found["broken.wav"], found["phone.m4a"])} == {0}
    assert found["broken.wav"].scores.shape == (0, 3)
    assert "convert it" in (found["phone.m4a"].reason or "")


def test_clips_longer_than_an_interval_have_real_sound_on_both_sides(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = dataclasses.replace(
        config, run="longer", clips=dataclasses.replace(config.clips, length=3.0, overlap=1.0, min_length=3.0)
    )
    snapshot(longer, "longer", CLASSES, seed=1)
    found = written(changed(longer, interval=2.0), monkeypatch)["a.wav"]
    assert found.ends[-1] == 12.3
    spans = [(2.0 * index - 0.5, 2.0 * index + 2.5) for index in range(6)] + [(12.15 - 1.5, 12.15 + 1.5)]
    for scores, span in zip(found.scores, spans, strict=True):
        np.testing.assert_allclose(scores, median_filtered(scores_alone(longer, "a.wav", [span], "longer")), atol=1e-5)


def test_clips_overlap_as_set(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    found = written(changed(config, overlap=0.0), monkeypatch)["a.wav"]
    np.testing.assert_allclose(
        found.scores[1],
        median_filtered(scores_alone(config, "a.wav", [(start, start + 1) for start in range(5, 10)])),
        atol=1e-5,
    )
    with pytest.raises(
        console.UserError, match=r"submission\.overlap = 1: should be less than the clips of all models, 1 s"
    ):
        submission_soundscape.main(changed(config, overlap=1.0))


@pytest.mark.parametrize("batch_size", [3, 7])
def test_rows_do_not_depend_on_batches_or_memory(
    config: Config, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    submission_soundscape.main(config)
    whole = (config.submission.folder / "small_soundscape.csv").read_bytes()
    monkeypatch.setattr(recording_spectrograms, "MAX_PASSED_IN_MEMORY", 2 * 16 * 32)
    monkeypatch.setattr(intervals, "POOLED_IN_MEMORY", 10)
    monkeypatch.setattr(intervals, "SCORES_JOINED_AT_ONCE", 4)
    monkeypatch.setattr(postprocessing, "TABLE_IN_MEMORY", 10)
    monkeypatch.setattr(postprocessing, "SCORES_AT_ONCE", 4)
    submitted = submission_soundscape.main(with_testing(config, batch_size=batch_size))
    assert (config.submission.folder / "small_soundscape.csv").read_bytes() == whole
    assert (submitted.recordings, submitted.intervals, len(submitted.failures)) == (4, 10, 2)


@pytest.mark.parametrize("workers", [2])
def test_rows_do_not_depend_on_workers_or_order(config: Config, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Also where the recordings are finished in another order."""
    submission_soundscape.main(dataclasses.replace(config, workers=workers))
    whole = (config.submission.folder / "small_soundscape.csv").read_bytes()
    monkeypatch.setattr(clip_workers, "fan_out", lambda work, jobs, **_: one_by_one(work, jobs[::-1]))
    submission_soundscape.main(config)
    assert (config.submission.folder / "small_soundscape.csv").read_bytes() == whole


def test_whole_recordings_are_predicted_as_in_a_test(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of which not all clips are scored; those that are too short for a test have predictions here."""
    few = with_testing(config, max_clips=4)
    found = written(few, monkeypatch, script=submission_monophone)
    files = [file for file in SECONDS if "short" not in file]
    scapes = dataclasses.replace(few, dataset=dataclasses.replace(few.dataset, root=few.dataset.root / "soundscapes"))
    tested = predict_recordings([Member(snapshot(config, "small", CLASSES, seed=1))], table(files), scapes)
    for row, file in enumerate(files):
        np.testing.assert_allclose(found[file].scores[0], tested.scores[row], atol=1e-6)
        assert found[file].ends.tolist() == [SECONDS[file]]
    np.testing.assert_allclose(
        found["b/short.wav"].scores[0], median_filtered(scores_alone(config, "b/short.wav", [(-0.3, 0.7)])), atol=1e-5
    )


def test_with_a_prior_the_predictions_are_bit_for_bit_those_of_a_test(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [file for file in SECONDS if "short" not in file]
    (config.dataset.root / "priors.tsv").write_text(
        "file\tA\tB\tC\n" + "".join(f"{Path(file).name}\t1\t-0.7\t0\n" for file in files)
    )
    expected = with_testing(config, prior=config.dataset.root / "priors.tsv", pooling="log_mean_exp")
    found = written(expected, monkeypatch, script=submission_monophone)
    scapes = dataclasses.replace(
        expected, dataset=dataclasses.replace(expected.dataset, root=expected.dataset.root / "soundscapes")
    )
    tested = predict_recordings(chosen_members(config), table(files), scapes)
    for row, file in enumerate(files):
        np.testing.assert_array_equal(found[file].uncalibrated[0], tested.scores[row])
    write_thresholds(
        config.dataset.root / "tested.json",
        Thresholds(CLASSES, (1.2,) * 3, (True,) * 3, None, "f1", None, 1, "a test", tested.fingerprint),
    )
    task.prepare_submission(changed(expected, thresholds=config.dataset.root / "tested.json"), "monophone")
    assert "made by a test with other" not in capsys.readouterr().err


def test_models_of_other_clips_and_spectrograms_are_joined_by_interval(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(
        config,
        clips=dataclasses.replace(config.clips, length=7.0, overlap=0.5, min_length=1.0),
        spectrogram=dataclasses.replace(config.spectrogram, rate=6000, fmax=2900.0, height=24, width=40),
    )
    models = (snapshot(config, "small", CLASSES, seed=1).folder, snapshot(other, "other", ("B", "D"), seed=3).folder)
    together = written(with_testing(config, models=models, weights=(1.0, 3.0)), monkeypatch)["a.wav"]
    one, two = (written(with_testing(config, models=(model,)), monkeypatch)["a.wav"].scores for model in models)
    expected = np.stack([one[:, 0], (one[:, 1] + 3 * two[:, 0]) / 4, one[:, 2], two[:, 1]], axis=1)
    np.testing.assert_allclose(together.scores, expected, atol=1e-6)
    assert (together.ends == [5.0, 10.0, 12.3]).all()


def test_prior_whitelist_and_calibration(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = written(config, monkeypatch)
    prior, species = config.dataset.root / "prior.tsv", config.dataset.root / "species.txt"
    prior.write_text("file\tA\tB\tC\na.wav\t1\t-0.5\t0\n")
    species.write_text("B\nC\n")
    (config.run_folder / "test").mkdir(exist_ok=True)
    (config.run_folder / "test" / "calibration.json").write_text(
        '{"slope": 2.0, "intercept": 0.5, "made_from": "a test", "method": "platt"}'
    )
    found = written(changed(with_testing(config, prior=prior), whitelist=species), monkeypatch)
    np.testing.assert_allclose(found["a.wav"].scores, (plain["a.wav"].scores * [0, 0.5, 1.5]).clip(0, 1), atol=1e-6)
    np.testing.assert_allclose(
        found["a.wav"].uncalibrated, plain["a.wav"].scores * [0, 0.5, 1.5] + [-1, 0, 0], atol=1e-6
    )
    np.testing.assert_allclose(found["z.ogg"].scores, plain["z.ogg"].scores * [0, 1, 1], atol=1e-6)
    calibrated = written(with_testing(config, calibration="platt"), monkeypatch)["z.ogg"].scores
    odds = np.clip(plain["z.ogg"].scores, 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(calibrated, 1 / (1 + np.exp(-0.5) * ((1 - odds) / odds) ** 2), atol=1e-5)
    filtered = written(changed(with_testing(config, calibration="platt"), whitelist=species), monkeypatch)["z.ogg"]
    assert (filtered.scores[:, 0] == 0).all()
    species.write_text("Avis ignota\n")
    with pytest.raises(console.UserError, match="names none of the 3 classes"):
        submission_soundscape.main(changed(config, whitelist=species))


def test_thresholds_are_those_of_uncalibrated_scores(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """With a prior they may lie above 1; a class without one is never detected."""
    assert task.prepare_submission(config, "soundscape").layout.class_thresholds is None
    assert "there are no thresholds per class; run test.py to choose them" in capsys.readouterr().err
    found = Thresholds(CLASSES, (0.2, None, 1.2), (True, True, False), 0.3, "f1", None, 1, "a test")
    write_thresholds(config.dataset.root / "other.json", found)
    named = changed(config, thresholds=config.dataset.root / "other.json")
    with pytest.raises(console.UserError, match=r"other\.json: the threshold of C is 1\.2, .* without testing\.prior"):
        task.prepare_submission(named, "soundscape")
    (config.dataset.root / "values.tsv").write_text("file\tA\tB\tC\na.wav\t1\t1\t1\n")
    named = with_testing(named, prior=config.dataset.root / "values.tsv")
    write_text(config.run_folder / "test" / "calibration.json", STEPS)
    for settings in (named, with_testing(named, calibration="isotonic")):
        loaded = task.prepare_submission(settings, "soundscape").layout.class_thresholds
        assert loaded.tolist() == [0.2, np.inf, 1.2]  # type: ignore[union-attr]
    high = changed(config, thresholds=config.dataset.root / "high.json")
    write_thresholds(config.dataset.root / "high.json", dataclasses.replace(found, values=(None, 0.0, None)))
    assert submission_soundscape.main(high).species == 1


@pytest.mark.parametrize("fingerprint", [None, "0123abcd"])
def test_results_of_a_test_with_other_networks_or_settings_are_used_with_one_warning(
    config: Config, capsys: pytest.CaptureFixture[str], fingerprint: str | None
) -> None:
    """Also those of an earlier version, which has no fingerprint."""
    write_thresholds(
        config.dataset.root / "others.json",
        Thresholds(CLASSES, (0.2,) * 3, (True,) * 3, None, "f1", None, 1, "a test", fingerprint),
    )
    write_text(config.run_folder / "test" / "calibration.json", STEPS)
    settings = with_testing(changed(config, thresholds=config.dataset.root / "others.json"), calibration="isotonic")
    loaded = task.prepare_submission(settings, "soundscape").layout.class_thresholds
    assert loaded.tolist() == [0.2] * 3  # type: ignore[union-attr]
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(
        r"others\.json and .*calibration\.json: made by a test with other networks, .*; "
        r"run test\.py again with the same testing settings",
        line,
    )


def test_thresholds_that_were_chosen_on_other_rows_are_used_with_one_warning(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config.dataset.root / "rows.json"
    fingerprint = fingerprint_of_scores(chosen_members(config), config)
    found = Thresholds(CLASSES, (0.2,) * 3, (True,) * 3, None, "f1", None, 1, "a test", fingerprint)
    of_rows = {None: found, 0.0: dataclasses.replace(found, unit="recording")}
    of_rows |= {length: dataclasses.replace(found, unit="interval", interval=length) for length in (3.0, 5.0)}
    warned = []
    for length, thresholds in of_rows.items():
        write_thresholds(path, thresholds)
        for kind in ("monophone", "soundscape"):
            capsys.readouterr()
            loaded = task.prepare_submission(changed(config, thresholds=path), kind).layout.class_thresholds
            assert loaded.tolist() == [0.2] * 3  # type: ignore[union-attr]
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) <= 1
            assert all("rows.json: chosen on " in line for line in lines)
            warned += [(length, kind)] * len(lines)
    assert warned == [(0.0, "soundscape"), (3.0, "monophone"), (3.0, "soundscape"), (5.0, "monophone")]


def test_thresholds_of_no_class_detect_nothing(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    path = config.dataset.root / "none.json"
    fingerprint = fingerprint_of_scores(chosen_members(config), config)
    found = Thresholds(CLASSES, (None,) * 3, (True,) * 3, None, "precision", 0.9, 1, "a test", fingerprint)
    write_thresholds(path, dataclasses.replace(found, unit="event"))
    assert submission_soundscape.main(changed(config, thresholds=path)).species == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "none.json" in line]
    assert "none.json: no class has a threshold, so that nothing is detected; " in line


@pytest.mark.parametrize(
    "calibration", [STEPS, '{"slope": 0.7, "intercept": -1.1, "made_from": "a test", "method": "platt"}']
)
def test_a_calibration_changes_no_decision(config: Config, monkeypatch: pytest.MonkeyPatch, calibration: str) -> None:
    """Thresholds are scores themselves, as a test finds them, and the calibration makes neighbouring scores equal."""
    config = with_testing(config, pooling="mean")
    plain = written(config, monkeypatch)["z.ogg"].uncalibrated
    limits = np.median(plain, axis=0).tolist()
    chosen = Thresholds(CLASSES, tuple(limits), (True,) * 3, None, "f1", None, 1, "a test")
    write_thresholds(config.dataset.root / "chosen.json", chosen)
    write_text(config.run_folder / "test" / "calibration.json", calibration)
    named = changed(config, thresholds=config.dataset.root / "chosen.json")
    tables = []
    for settings in (named, with_testing(named, calibration="platt")):
        submission_soundscape.main(settings)
        tables.append(pl.read_csv(config.submission.folder / "small_soundscape.csv"))
    assert tables[0].drop("score").equals(tables[1].drop("score"))
    assert not tables[0]["score"].equals(tables[1]["score"])
    assert tables[0].filter(recording="z.ogg").height == (plain >= limits).sum() < plain.size


def test_finished_recordings_are_not_predicted_again(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = written(config, monkeypatch)
    job = task.prepare_submission(config, "soundscape")
    submitting.predict_missing(job, config)
    assert [target.is_file() for target in job.targets] == [True, True, True, False, False, True]
    damaged = job.targets[0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert [score_parts.is_score_part_complete(target) for target in job.targets] == [
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    result = submitting.predict_missing(task.prepare_submission(config, "soundscape"), config)
    assert result.seconds == 12.3
    assert "3 of 6 recordings were predicted before" in capsys.readouterr().out
    other = task.prepare_submission(with_testing(config, pooling="mean"), "soundscape")
    assert not any(score_parts.is_score_part_complete(target) for target in other.targets)
    submitting.predict_missing(dataclasses.replace(other, files=other.files[:1], targets=other.targets[:1]), config)
    assert "4 recordings in" in capsys.readouterr().out
    again = written(config, monkeypatch)
    assert all(np.array_equal(again[file].scores, whole[file].scores) for file in whole)


def test_a_recording_that_changed_is_predicted_again(config: Config) -> None:
    job = task.prepare_submission(config, "soundscape")
    file = job.files[0]
    stamp = file.stat()
    file.touch()
    assert [
        one == other
        for one, other in zip(job.targets, task.prepare_submission(config, "soundscape").targets, strict=True)
    ] == [False] + [True] * 5
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert task.prepare_submission(config, "soundscape").targets == job.targets


def test_recordings_are_named_by_their_stem_unless_two_have_it() -> None:
    assert recording_names(["a/x.wav", "b/x.flac", "b/y.wav"]) == ["a/x", "b/x", "y"]


def test_no_recordings_are_reported_in_one_line(config: Config, tmp_path: Path) -> None:
    with pytest.raises(console.UserError, match=r"submission\.recordings = .*gone: no such folder"):
        submission_soundscape.main(changed(config, recordings=tmp_path / "gone"))
    with pytest.raises(console.UserError, match=r"no recordings in .*test.* or .*soundscapes"):
        submission_monophone.main(
            dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, root=tmp_path))
        )


def test_the_csv_holds_every_interval_and_class(config: Config) -> None:
    submission_soundscape.main(config)
    rows = pl.read_csv(config.submission.folder / "small_soundscape.csv")
    assert rows.height == 10 * 3
    assert rows["start"].min() == 0.0
    assert rows.filter(pl.col("recording") == "a.wav")["end"].max() == 12.3
