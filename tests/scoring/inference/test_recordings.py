"""Predictions of one model or several do not depend on batches, and are what the formulas say."""

import dataclasses
import doctest
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from config import Clips, Config
from tests.conftest import RATE, chirp, small_config
from utils.console import Failure, UserError
from utils.files import try_lock
from utils.models.networks import build_network
from utils.models.saved_networks import load_network, save_snapshot
from utils.models.snapshots import Snapshot
from utils.recordings.splits import SPLIT_SCHEMA
from utils.scoring.evaluation.false_detections import false_detections, share_of_noise_detected
from utils.scoring.held_out import held_out_recordings
from utils.scoring.inference.batching import FullBatches
from utils.scoring.inference.clip_workers import SCRATCH, ClipSpectrograms, spectrograms_of_recordings
from utils.scoring.inference.ensembles import GroupScores, Member, assemble, chosen_members
from utils.scoring.inference.onnx_sessions import ClipOutputs, scores_of
from utils.scoring.inference.pooling import median_filtered
from utils.scoring.inference.predictors import predictor
from utils.scoring.inference.recordings import iter_predictions, predict_file, predict_recordings
from utils.scoring.metrics.thresholds import Thresholds
from utils.scoring.testing import check_not_trained_on
from utils.scratch import SCRATCH_LOCK
from utils.spectra import recording_spectrograms
from utils.spectra.decode import AudioError
from utils.spectra.extraction import Job
from utils.spectra.recording_spectrograms import first_spectrograms

SECONDS = (1.0, 3.3, 2.0, 7.1, 1.4)


def table(files: Sequence[str], classes: Sequence[str] = ()) -> pl.DataFrame:
    labels = classes or ["A"] * len(files)
    rows = [
        (Path(file).stem, file, label, [], [], False, None, "val", None, file, "")
        for file, label in zip(files, labels, strict=True)
    ]
    return pl.DataFrame(rows, schema=SPLIT_SCHEMA, orient="row")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    for index, seconds in enumerate(SECONDS):
        soundfile.write(folder / f"r{index}.wav", chirp(1000.0 + 400 * index, seconds=seconds, seed=index), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF, but no more")
    soundfile.write(folder / "short.wav", np.zeros(100), RATE)
    return folder


@pytest.fixture(scope="module")
def config(root: Path) -> Config:
    return small_config(root)


def snapshot(
    config: Config, name: str, classes: tuple[str, ...], *, seed: int, recordings: Sequence[str] = ()
) -> Snapshot:
    made = Snapshot(config.snapshots / name / "epoch_001", config, classes, 1, None, "")
    if not made.folder.exists():
        save_snapshot(
            made,
            build_network(config.model, classes=len(classes), shape=config.spectrogram.shape, seed=seed)[1],
            {"count": np.zeros(1)},
            recordings=recordings,
        )
    return made


def with_testing(config: Config, **changes: object) -> Config:
    return dataclasses.replace(config, testing=dataclasses.replace(config.testing, **changes))  # type: ignore[arg-type]


def clip_scores(made: Snapshot, file: Path, max_clips: int = 128) -> np.ndarray:
    """Score the clips of one recording alone."""
    clips = first_spectrograms(Job(file.stem, file, max_clips, made.config.clips, made.config.spectrogram))
    assert clips.pixels is not None
    graph, network = load_network(made)
    return scores_of(
        predictor(graph, batch_size=64)(network, clips.pixels).logits, multi_label=made.config.training.multi_label
    )


FILES = [f"r{index}.wav" for index in range(len(SECONDS))]


@pytest.mark.parametrize(("batch_size", "workers"), [(3, 1), (7, 2), (64, 1)])
def test_predictions_are_those_of_each_recording_alone(
    config: Config, root: Path, batch_size: int, workers: int, request: pytest.FixtureRequest
) -> None:
    if workers > 1:
        request.getfixturevalue("processes")
    made = snapshot(config, "one", ("A", "B", "C"), seed=1)
    settings = dataclasses.replace(with_testing(config, batch_size=batch_size, max_clips=5), workers=workers)
    files = [*FILES[:2], "broken.wav", *FILES[2:], "short.wav", "gone.wav"]
    predictions = predict_recordings([Member(made)], table(files), settings, clips_of=["r1"])
    assert predictions.classes == ("A", "B", "C")
    for row, file in enumerate(files):
        if file in FILES:
            np.testing.assert_allclose(
                predictions.scores[row], median_filtered(clip_scores(made, root / file, 5)), atol=1e-6
            )
    assert predictions.clips.tolist() == [1, 4, 0, 2, 5, 1, 0, 0]
    reasons = dict(zip(files, predictions.reasons, strict=True))
    assert (
        {file for file, reason in reasons.items() if reason}
        == {"broken.wav", "short.wav", "gone.wav"}
        == {failure.name for failure in predictions.failures}
    )
    assert "shorter than a clip" in (reasons["short.wav"] or "")
    assert np.isnan(predictions.scores[[2, 6, 7]]).all()
    assert list(predictions.clip_scores) == ["r1"]
    np.testing.assert_allclose(
        predictions.clip_scores["r1"][0].scores, clip_scores(made, root / "r1.wav", 5), atol=1e-6
    )
    assert predictions.clip_scores["r1"][0].starts.tolist() == [0.0, 0.75, 1.5, 2.25]
    assert not list(config.run_folder.glob(f"{SCRATCH}*"))


def test_one_file_has_the_scores_of_a_test(config: Config, root: Path) -> None:
    made, settings = snapshot(config, "one", ("A", "B", "C"), seed=1), with_testing(config, batch_size=3, max_clips=5)
    (expected,) = predict_recordings([Member(made)], table(["r3.wav"]), settings).scores
    scores = predict_file(made, root / "r3.wav", settings.testing)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert [np.float32(scores[label]) for label in ("A", "B", "C")] == expected.tolist()
    with pytest.raises(AudioError):
        predict_file(made, root / "broken.wav")


def test_the_example_of_one_file_runs(config: Config, root: Path) -> None:
    made = snapshot(config, "one", ("A", "B", "C"), seed=1)
    names = {"predict_file": predict_file, "run_folder": made.folder.parent, "sound_file": root / "r3.wav"}
    (example,) = doctest.DocTestFinder().find(predict_file, "predict_file", globs=names)
    assert doctest.DocTestRunner().run(example) == (0, 5)


def test_long_recordings_go_through_files(config: Config, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their spectrograms are the same, one block is in memory at a time, and nothing is left behind."""
    job = Job("r3", root / "r3.wav", 0, config.clips, config.spectrogram, part=root / "handed over")
    together = first_spectrograms(job)
    assert together.pixels is not None
    monkeypatch.setattr(recording_spectrograms, "MAX_PASSED_IN_MEMORY", 2 * 16 * 32)
    apart = first_spectrograms(job)
    assert (apart.pixels, apart.file, apart.count) == (None, root / "handed over", len(together.pixels))
    blocks = list(apart.blocks(4))
    assert [len(block) for block in blocks] == [4, 4, 1]
    assert np.array_equal(np.concatenate(blocks), together.pixels)
    assert not apart.file.exists()


def test_a_recording_of_thousands_of_clips_is_predicted_like_others(config: Config, root: Path) -> None:
    dense = dataclasses.replace(
        config,
        clips=Clips(overlap=0.9985),  # a clip every 11 samples
        spectrogram=dataclasses.replace(config.spectrogram, height=64, width=128),
        testing=dataclasses.replace(config.testing, max_clips=0),
    )
    made = snapshot(dense, "dense", ("A", "B"), seed=4)
    predictions = predict_recordings([Member(made)], table(["r1.wav", "r0.wav"]), dense, clips_of=["r1"])
    assert predictions.clips.tolist() == [1673, 1]
    assert recording_spectrograms.MAX_PASSED_IN_MEMORY < 1673 * 64 * 128
    assert predictions.reasons == [None, None]
    few = predict_recordings([Member(made)], table(["r1.wav"]), with_testing(dense, max_clips=40), clips_of=["r1"])
    np.testing.assert_allclose(predictions.clip_scores["r1"][0].scores[:40], few.clip_scores["r1"][0].scores, atol=1e-6)
    np.testing.assert_allclose(
        predictions.scores[0], median_filtered(predictions.clip_scores["r1"][0].scores), atol=1e-6
    )


def test_models_of_the_same_spectrograms_are_averaged_clip_by_clip(
    config: Config, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If one does not know a class, the score is that of the other alone; one line warns of it."""
    one, other = snapshot(config, "one", ("A", "B", "C"), seed=1), snapshot(config, "other", ("B", "C", "D"), seed=2)
    predictions = predict_recordings([Member(one, 1.0), Member(other, 3.0)], table(["r1.wav"]), config)
    warned = [line for line in capsys.readouterr().err.splitlines() if "not known to all" in line]
    assert len(warned) == 1
    assert "2 of 4 classes are not known to all 2 models (A, D)" in warned[0]
    first, second = clip_scores(one, root / "r1.wav"), clip_scores(other, root / "r1.wav")
    both = (first[:, 1:] + 3 * second[:, :2]) / 4
    expected = np.stack([first[:, 0], both[:, 0], both[:, 1], second[:, 2]], axis=1)
    assert predictions.classes == ("A", "B", "C", "D")
    np.testing.assert_allclose(predictions.scores[0], median_filtered(expected), atol=1e-6)


def test_models_of_other_networks_and_spectrograms_are_pooled_first(config: Config, root: Path) -> None:
    larger = dataclasses.replace(
        config,
        clips=dataclasses.replace(config.clips, length=2.0, overlap=0.5),
        spectrogram=dataclasses.replace(
            config.spectrogram, height=24, width=40, kind="linear", fmin=500.0, fmax=3800.0
        ),
        model=dataclasses.replace(config.model, name="ResNet", resnet_n=1, resnet_k=1),
        training=dataclasses.replace(config.training, loss="binary"),
    )
    one, other = snapshot(config, "one", ("A", "B", "C"), seed=1), snapshot(larger, "larger", ("C", "D"), seed=3)
    members = [Member(one), Member(other, 2.0)]
    assert [group.clips.length for group in assemble([*members, Member(one)]).groups] == [1.0, 2.0]
    predictions = predict_recordings(
        members, table(["r1.wav", "r2.wav", "broken.wav"]), with_testing(config, batch_size=5), clips_of=["r1"]
    )
    pooled = [median_filtered(clip_scores(made, root / "r1.wav")) for made in (one, other)]
    expected = [pooled[0][0], pooled[0][1], (pooled[0][2] + 2 * pooled[1][0]) / 3, pooled[1][1]]
    np.testing.assert_allclose(predictions.scores[0], expected, atol=1e-6)
    assert predictions.clips.tolist() == [4, 2, 0]
    assert [(part.length, part.scores.shape) for part in predictions.clip_scores["r1"]] == [
        (1.0, (4, 4)),
        (2.0, (2, 4)),
    ]
    assert np.isnan(predictions.clip_scores["r1"][0].scores[:, 3]).all()


def test_each_clip_alone_is_predicted_by_all_models(config: Config, root: Path) -> None:
    longer = dataclasses.replace(config, clips=dataclasses.replace(config.clips, length=2.0, overlap=0.5))
    one, other = snapshot(config, "one", ("A", "B", "C"), seed=1), snapshot(longer, "rarer", ("C", "D"), seed=3)
    (alone,) = iter_predictions(assemble([Member(one)]), table(["r1.wav"]), config, ["r1"])
    scores = clip_scores(one, root / "r1.wav")  # start at 0, 0.75, 1.5 and 2.25 s
    np.testing.assert_allclose(alone.alone, [median_filtered(clip[None]) for clip in scores], atol=1e-6)
    for members in ([Member(one), Member(other, 2.0)], [Member(other, 2.0), Member(one)]):
        (both,) = iter_predictions(assemble(members), table(["r1.wav"]), config, ["r1"])
        # within the steps of 1.5 s of the longer clips
        first = [median_filtered(scores[:2]), median_filtered(scores[2:4])]
        second = [median_filtered(clip[None]) for clip in clip_scores(other, root / "r1.wav")]
        expected = [[f[0], f[1], (f[2] + 2 * s[0]) / 3, s[1]] for f, s in zip(first, second, strict=True)]
        np.testing.assert_allclose(both.alone, expected, atol=1e-6)


def test_a_recording_too_short_for_one_model_has_no_prediction(config: Config) -> None:
    longer = dataclasses.replace(config, clips=dataclasses.replace(config.clips, length=3.0, min_length=3.0))
    members = [
        Member(snapshot(config, "one", ("A", "B", "C"), seed=1)),
        Member(snapshot(longer, "longer", ("A", "B", "C"), seed=5)),
    ]
    predictions = predict_recordings(members, table(["r0.wav", "r3.wav"]), config)
    assert "shorter than a clip" in (predictions.reasons[0] or "")
    assert predictions.reasons[1] is None
    assert np.isnan(predictions.scores).all(axis=1).tolist() == [True, False]


def test_noise_gets_the_lowest_score_and_is_not_predicted(config: Config, root: Path) -> None:
    made = snapshot(config, "noisy", ("A", "B", "Noise"), seed=6)
    predictions = predict_recordings([Member(made)], table(["r3.wav"]), config)
    scores = clip_scores(made, root / "r3.wav")
    scores[:, 2] = scores.min(axis=1)
    assert predictions.classes == ("A", "B")
    np.testing.assert_allclose(predictions.scores[0], median_filtered(scores)[:2], atol=1e-6)


def test_every_model_is_checked_for_leaks(config: Config) -> None:
    clean, leaky = (
        snapshot(config, "one", ("A", "B", "C"), seed=1),
        snapshot(config, "leaky", ("A", "B", "C"), seed=1, recordings=["r1"]),
    )
    check_not_trained_on(table(FILES), [Member(clean)])
    with pytest.raises(UserError, match=r"leaky/epoch_001: was trained on 1 recordings"):
        check_not_trained_on(table(FILES), [Member(clean), Member(leaky)])


def test_models_by_runs_and_snapshots(config: Config) -> None:
    run, single = snapshot(config, "one", ("A", "B", "C"), seed=1), snapshot(config, "other", ("B", "C", "D"), seed=2)
    chosen = chosen_members(with_testing(config, models=(config.snapshots / "one", single.folder), weights=(1.0, 0.5)))
    assert chosen == [Member(run, 1.0), Member(single, 0.5)]
    with pytest.raises(UserError, match=r"nothing: neither a snapshot nor the folder of a run"):
        chosen_members(with_testing(config, models=(config.snapshots / "nothing",)))


def test_recordings_are_drawn_by_class_and_by_number(config: Config) -> None:
    recordings = table(
        [f"{label}{index}.wav" for label in "AB" for index in range(6)] + ["tape.wav"], [*"AAAAAABBBBBB", ""]
    )
    assert held_out_recordings(recordings, config).equals(recordings)
    few = held_out_recordings(recordings, with_testing(config, max_per_class=2))
    assert few["class"].to_list() == ["A", "A", "B", "B", ""]
    assert few.equals(held_out_recordings(recordings.reverse(), with_testing(config, max_per_class=2)).reverse())
    drawn = {
        tuple(held_out_recordings(recordings, with_testing(config, max_recordings=3, seed=seed))["recording"])
        for seed in range(5)
    }
    assert {len(names) for names in drawn} == {3}
    assert len(drawn) > 1


def test_batches_are_full(config: Config) -> None:
    sizes = []

    def brightness(pixels: np.ndarray) -> GroupScores:
        sizes.append(len(pixels))
        return GroupScores(pixels[:, 0, :1].astype(np.float32), frames=np.repeat(pixels, 2, axis=1).astype(np.float32))

    with ThreadPoolExecutor(1) as executor:
        batches = FullBatches(brightness, size=8, executor=executor)
        found: dict[int, list[float]] = {}
        scored = []
        for row, count in enumerate((3, 20, 1, 7)):
            source = ClipSpectrograms(row, 0, Failure("stands for spectrograms", ""))
            scored += batches.add(source, np.full((count, 1, 1), row, np.uint8))
        scored += batches.finish()
    for source, scores, frames in scored:
        found.setdefault(source.row, []).extend(scores[:, 0].tolist())
        assert frames is not None
        np.testing.assert_array_equal(frames[:, :, 0], np.repeat(scores, 2, axis=1))
    assert sizes == [8, 8, 8, 7]
    assert found == {0: [0] * 3, 1: [1] * 20, 2: [2], 3: [3] * 7}


def test_what_a_killed_test_left_is_removed(config: Config) -> None:
    made = snapshot(config, "one", ("A", "B", "C"), seed=1)
    left, used = config.run_folder / f"{SCRATCH}left", config.run_folder / f"{SCRATCH}used"
    for folder in (left, used):
        folder.mkdir(parents=True)
        (folder / "0-0").write_bytes(b"spectrograms")
        (folder / f".{SCRATCH_LOCK}.lock").touch()
    with try_lock(used, SCRATCH_LOCK):
        assert len(list(spectrograms_of_recordings(assemble([Member(made)]), table(["r0.wav"]), config))) == 1
    assert (left.exists(), used.exists()) == (os.name != "posix", True)


def test_a_damaged_network_is_an_error(config: Config, root: Path) -> None:
    made = snapshot(config, "one", ("A", "B", "C"), seed=1)
    group = assemble([Member(made)]).groups[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "utils.scoring.inference.ensembles.snapshot_predictor",
            lambda *_, **__: lambda pixels: ClipOutputs(np.full((len(pixels), 3), np.nan, np.float32)),
        )
        with pytest.raises(UserError, match="output is NaN or infinite"):
            group.scorer(dataclasses.replace(Config().testing, batch_size=4))(np.zeros((2, 16, 32), np.uint8))


def test_noise_is_detected_if_a_clip_reaches_a_threshold(config: Config, root: Path) -> None:
    one, longer = (
        snapshot(config, "one", ("A", "B", "C"), seed=1),
        dataclasses.replace(config, clips=dataclasses.replace(config.clips, length=2.0)),
    )
    members = [Member(one), Member(snapshot(longer, "slower", ("A", "B", "C"), seed=4), 3.0)]
    noise = table(["r1.wav", "r3.wav"])
    alone = np.concatenate(
        [found.alone for found in iter_predictions(assemble(members), noise, config, noise["recording"].to_list())]
    )
    least = float(np.median(alone.max(axis=1)))
    thresholds = Thresholds(("A", "B", "C"), (least,) * 3, (False,) * 3, least, "f1", None, 5, "x")
    for order in (members, members[::-1]):
        found = share_of_noise_detected(false_detections(order, noise, thresholds, config), seed=1)
        assert found.value == pytest.approx((alone >= least).any(axis=1).mean())
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= found.value <= found.high <= 1
