"""Every fold is trained and tested, and all recordings are predicted by models that did not learn from them."""

import dataclasses
import errno
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import label_ranking_average_precision_score

import evaluate
import sort_data
import spec
import test
from config import Config
from tests.conftest import small_config, write_folders
from tests.scoring.inference.test_recordings import with_testing
from utils.console import UserError, alone
from utils.learning import fold_training
from utils.learning.fold_training import is_trained, read_fold_examples
from utils.models.snapshots import Snapshot, find_snapshot, recordings_used
from utils.recordings.splits import read_split
from utils.scoring import cross_validation
from utils.scoring.cross_validation import FoldRun, TestedFold, check_fold_flags, evaluate_fold, plan_runs, read_folds
from utils.scoring.fold_results import CrossValidated, ensemble_of
from utils.scoring.inference.ensembles import assemble, chosen_members
from utils.scoring.inference.fingerprints import fingerprint_of_scores
from utils.scoring.inference.recordings import Predictions
from utils.scoring.submissions.results_of_test import read_test_results
from utils.settings import load

pytestmark = pytest.mark.usefixtures("undrawn")

FLAGS = evaluate.Flags(folds=True, seeds=(1, 2))
RUNS = [f"small-fold{fold}-seed{seed}" for fold in (0, 1) for seed in (1, 2)]


@pytest.fixture(scope="module", autouse=True)
def no_plots() -> Iterator[None]:
    """Leave out plots, and the pages of test.py: they have tests of their own and take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "result_files.draw_report",
            "result_files.draw_reliability",
            "threshold_files.draw_threshold_search",
        ):
            patch.setattr(f"utils.scoring.evaluation.{name}", lambda *_, **__: None)
        for name in ("report_of", "write_report"):
            patch.setattr(f"utils.scoring.testing.{name}", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, CrossValidated]:
    """Cross-validate a tiny data set: two folds with two seeds, and test/."""
    folder = tmp_path_factory.mktemp("crossed")
    write_folders(folder / "archive", recordings=6)
    base = small_config(folder / "root", folder / "archive")
    config = replace(
        base,
        dataset=replace(base.dataset, folds=2, test_share=0.2),
        training=replace(base.training, epochs=2),
        testing=replace(base.testing, calibration="platt"),
    )
    sort_data.main(config)
    spec.main(config)
    result = evaluate.main(config, FLAGS)
    assert isinstance(result, CrossValidated)
    return config, result


def oof_scores(result: CrossValidated) -> pl.DataFrame:
    return pl.read_parquet(result.folder / "test" / "scores.parquet")


def matrix(table: pl.DataFrame, column: str) -> np.ndarray:
    wide = table.sort("recording", "class").pivot(on="class", index="recording", values=column, maintain_order=True)
    return wide.drop("recording").to_numpy()


def test_every_recording_outside_test_is_predicted_once(crossed: tuple[Config, CrossValidated]) -> None:
    config, result = crossed
    split = read_split(config.dataset)
    held_out = split.filter(pl.col("fold").is_not_null())["recording"].to_list()
    predictions = pl.read_csv(result.folder / "test" / "predictions.csv")
    assert predictions["recording"].to_list() == held_out  # in the order of the split
    assert len(held_out) == len(set(held_out)) == 10
    assert set(split.filter(split="test")["recording"]).isdisjoint(held_out)
    metrics = json.loads((result.folder / "test" / "metrics.json").read_text())
    assert metrics["recordings"] == metrics["scored"] == 10
    assert metrics["not_predicted"] == 1  # the only recording of its class is in no fold
    assert result.complete


def test_no_model_learned_from_what_it_predicts(crossed: tuple[Config, CrossValidated]) -> None:
    config, _ = crossed
    split = read_split(config.dataset)
    for name in RUNS:
        snapshot = find_snapshot(config.snapshots / name, "best")
        assert snapshot
        used, fold = recordings_used(snapshot), snapshot.config.dataset.fold
        assert snapshot.mlrap is not None  # its best epoch was chosen by recordings of other folds
        predicted = set(pl.read_csv(config.snapshots / name / "test" / "predictions.csv")["recording"])
        assert predicted == set(split.filter(fold=fold)["recording"])
        assert used == set(split.filter(pl.col("split") != "test")["recording"]) - predicted


def test_scores_are_means_over_seeds_and_metrics_those_of_scikit_learn(crossed: tuple[Config, CrossValidated]) -> None:
    config, result = crossed
    tables = [pl.read_parquet(config.snapshots / name / "test" / "scores.parquet") for name in RUNS]
    expected = pl.concat(tables).group_by("recording", "class").agg(pl.col("score").mean(), pl.col("right").first())
    found = oof_scores(result)
    np.testing.assert_allclose(matrix(found, "score"), matrix(expected, "score"), atol=1e-6)
    assert (matrix(found, "right") == matrix(expected, "right")).all()
    lrap = label_ranking_average_precision_score(matrix(found, "right"), matrix(found, "score"))
    metrics = json.loads((result.folder / "test" / "metrics.json").read_text())
    assert metrics["mlrap"] == metrics["metrics"]["mlrap"]["value"] == pytest.approx(lrap, abs=1e-12)
    assert metrics["metrics"]["mlrap"]["low"] <= lrap <= metrics["metrics"]["mlrap"]["high"]
    of_runs = [json.loads((config.snapshots / name / "test" / "metrics.json").read_text())["mlrap"] for name in RUNS]
    by_fold = np.reshape(of_runs, (2, 2)).mean(axis=1)
    assert metrics["folds"]["mlrap"] == {
        "mean": pytest.approx(by_fold.mean()),
        "deviation": pytest.approx(by_fold.std(ddof=1)),
        "folds": 2,
    }


def test_the_table_and_the_page_show_the_folds(crossed: tuple[Config, CrossValidated]) -> None:
    _, result = crossed
    folds = pl.read_csv(result.folder / "folds.csv")
    assert folds["run"].to_list() == RUNS
    assert folds["fold"].to_list() == [0, 0, 1, 1]
    assert folds["seed"].to_list() == [1, 2, 1, 2]
    assert folds["recordings"].to_list() == [5] * 4
    assert folds["best_epoch"].is_between(1, 2).all()
    assert (folds["training_seconds"] > 0).all()
    assert folds["mlrap"].is_between(0, 1).all()
    page = (result.folder / "test" / "report.html").read_text()
    for text in ("<h1>small-folds</h1>", "mean ± deviation of folds", ">Folds<", "1 recording is in no fold"):
        assert text in page


def test_the_ensemble_has_the_best_model_of_each_fold(
    crossed: tuple[Config, CrossValidated], capsys: pytest.CaptureFixture[str]
) -> None:
    config, result = crossed
    ensemble = load(result.ensemble)
    folds = pl.read_csv(result.folder / "folds.csv")
    best = [
        of_fold.sort("mlrap", descending=True, maintain_order=True)["run"][0]
        for _, of_fold in folds.group_by("fold", maintain_order=True)
    ]
    assert [path.name for path in ensemble.testing.models] == best
    assert replace(ensemble, run=config.run, testing=config.testing, submission=config.submission) == config
    members = chosen_members(ensemble)
    assert [member.snapshot.config.dataset.fold for member in members] == [0, 1]
    capsys.readouterr()
    found = read_test_results(assemble(members).classes, ensemble, fingerprint=fingerprint_of_scores(members, ensemble))
    assert found.thresholds is not None
    assert found.calibration is not None
    assert "warning" not in capsys.readouterr().err  # thresholds and calibration are known to be of these models
    for interval, warnings in ((0.0, 0), (5.0, 1)):  # whole recordings, as in the test; intervals of 5 s
        fingerprint = fingerprint_of_scores(members, ensemble)
        read_test_results(assemble(members).classes, ensemble, fingerprint=fingerprint, interval=interval)
        assert capsys.readouterr().err.count("thresholds.json: chosen on whole recordings") == warnings
    assert test.main(ensemble).complete  # on test/, from which no fold learned
    on_val = replace(ensemble, testing=replace(ensemble.testing, held_out="val"))
    with pytest.raises(UserError, match=r"dataset\.test_share.*submission_soundscape\.py.*evaluate\.py --folds"):
        test.main(on_val)


@pytest.mark.parametrize("soup", [False, True])
def test_an_ensemble_of_soups_averages_their_scores(tmp_path: Path, soup: bool) -> None:
    """The soups of the folds are named as what was tested; folds themselves are never mixed to a soup."""
    config = with_testing(small_config(tmp_path), soup=soup)
    nothing = Predictions(pl.DataFrame(), ("A",), np.empty((0, 1), np.float32), np.empty(0, np.int64), [])
    folds = {}
    for fold in (0, 1):
        run = replace(config, run=f"small-fold-{fold}")
        tested = Snapshot(run.run_folder / "soup_x", run, ("A",), 3, None, "")
        folds[fold] = [TestedFold(FoldRun(fold, run), tested, nothing, {"mlrap": 0.5}, 3, 1.0, 1.0)]
    ensemble, members = ensemble_of(folds, config, models_per_fold=1)
    assert not ensemble.testing.soup
    names = [one.relative_to(config.snapshots).as_posix() for one in ensemble.testing.models]
    assert names == [f"small-fold-{fold}{'/soup_x' if soup else ''}" for fold in (0, 1)]
    assert [member.snapshot.folder.name for member in members] == ["soup_x", "soup_x"]


@pytest.mark.parametrize("lost", ["part", "run"])
def test_only_what_is_missing_is_done_again(
    crossed: tuple[Config, CrossValidated], monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """As after a kill: before the last test was saved, or before the last training."""
    config, result = crossed
    before = {path: path.read_bytes() for path in sorted(result.folder.rglob("*.parquet"))}
    part = result.folder / "parts" / f"{RUNS[-1]}.json"
    if lost == "part":
        part.unlink()
    else:
        shutil.rmtree(config.snapshots / RUNS[-1])
        (result.folder / "test" / "scores.parquet").unlink()
    predicted = []
    original = cross_validation.predict_units
    monkeypatch.setattr(
        cross_validation,
        "predict_units",
        lambda members, *rest: (predicted.append(members[0].snapshot.folder.parent.name), original(members, *rest))[1],
    )
    again = evaluate.main(config, FLAGS)
    assert isinstance(again, CrossValidated)
    assert predicted == RUNS[-1:]
    assert {path: path.read_bytes() for path in sorted(result.folder.rglob("*.parquet"))} == before
    assert again.metrics == result.metrics
    assert again.spread == result.spread


def test_other_settings_of_the_test_test_again(
    crossed: tuple[Config, CrossValidated], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = crossed
    split = read_folds(config)
    run = plan_runs(split, config, seeds=FLAGS.seeds)[-1]
    monkeypatch.setattr(cross_validation, "predict_units", lambda *_: pytest.fail("predicted again"))
    assert evaluate_fold(run, split, config).predictions.scores.shape == (5, 3)
    pooled = replace(run, config=replace(run.config, testing=replace(run.config.testing, pooling="max")))
    relabelled = split.with_columns(pl.col("class").replace("Altus clarus", "Bassus gravis"))
    for other, of_split in ((pooled, split), (run, relabelled)):
        with pytest.raises(pytest.fail.Exception, match="predicted again"):
            evaluate_fold(other, of_split, config)


@pytest.fixture
def unreadable(crossed: tuple[Config, CrossValidated]) -> Iterator[str]:
    """Damage a recording for one test."""
    config, _ = crossed
    name, file = read_split(config.dataset).filter(fold=1).select("recording", "file").row(0)
    path = config.dataset.root / file
    content = path.read_bytes()
    path.write_bytes(b"no sound")
    yield name
    path.write_bytes(content)


def test_a_recording_that_cannot_be_read_is_named(
    crossed: tuple[Config, CrossValidated], unreadable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = crossed
    result = evaluate.main(config, FLAGS)
    assert isinstance(result, CrossValidated)
    assert not result.complete
    predictions = pl.read_csv(result.folder / "test" / "predictions.csv")
    assert predictions.filter(pl.col("reason").is_not_null())["recording"].to_list() == [unreadable]
    assert unreadable not in oof_scores(result)["recording"]
    assert unreadable in capsys.readouterr().err


def test_an_error_names_the_fold(crossed: tuple[Config, CrossValidated], monkeypatch: pytest.MonkeyPatch) -> None:
    config, _ = crossed

    def diverge(_: object, settings: Config) -> None:
        raise UserError(f"the loss of {settings.dataset.fold} is NaN")

    monkeypatch.setattr(fold_training, "learn", diverge)
    with pytest.raises(UserError, match=r"^fold 0 \(small-fold0\): the loss of 0 is NaN; finished folds are kept"):
        evaluate.main(config, evaluate.Flags(folds=True))


def test_a_full_disk_names_the_fold_and_the_file(
    crossed: tuple[Config, CrossValidated], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = crossed

    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "epoch_001")

    monkeypatch.setattr(cross_validation, "predict_units", fill)
    monkeypatch.setattr(cross_validation, "read_predictions", lambda *_, **__: None)
    with pytest.raises(OSError, match="epoch_001") as caught:
        evaluate.main(config, FLAGS)
    assert caught.value.strerror == "No space left on device (fold 0: small-fold0-seed1)"


def test_only_finished_runs_are_not_trained_again(crossed: tuple[Config, CrossValidated]) -> None:
    config, _ = crossed
    run = plan_runs(read_folds(config), config, seeds=FLAGS.seeds)[0].config
    examples = read_fold_examples(run)
    assert is_trained(examples, run)
    assert not is_trained(examples, replace(run, training=replace(run.training, epochs=3)))
    assert is_trained(examples, replace(run, training=replace(run.training, epochs=1)))
    assert not is_trained(replace(examples, classes=(*examples.classes, "Zeta nova")), run)
    assert not is_trained(examples, replace(run, run="another"))


def test_only_one_call_at_a_time(crossed: tuple[Config, CrossValidated]) -> None:
    config, _ = crossed
    with (
        alone(config.snapshots, f"cross-validation of {config.run}"),
        pytest.raises(UserError, match="another cross-validation of small is running here"),
    ):
        evaluate.main(config, FLAGS)


def test_a_run_of_the_same_name_is_not_disturbed(crossed: tuple[Config, CrossValidated]) -> None:
    config, result = crossed
    settings = (result.folder / "settings.toml").read_bytes()
    assert not config.run_folder.exists()
    evaluate.main(replace(config, training=replace(config.training, epochs=1)), evaluate.Flags(fresh=True))
    assert (config.run_folder / "epoch_001").is_dir()
    assert (result.folder / "settings.toml").read_bytes() == settings


def test_images_of_the_fold_are_not_learned_from(tmp_path: Path, archive: Path) -> None:
    base = small_config(tmp_path / "root", archive)
    config = replace(
        base,
        dataset=replace(base.dataset, folds=2, test_share=0.25, fold=1),
        spectrogram=replace(base.spectrogram, images=True),
    )
    sort_data.main(config)
    spec.main(config)
    folder = next(path.parent.parent for path in sorted((tmp_path / "root" / "spec").rglob("*.png")))
    images = replace(config, training=replace(config.training, images=folder))
    split = read_split(config.dataset)
    examples = read_fold_examples(images)
    assert set(examples.recordings) == set(split.filter(split="train")["recording"])
    assert sorted(examples.recordings) == sorted(read_fold_examples(config).recordings)
    elsewhere = tmp_path / "elsewhere"
    for path in sorted(folder.rglob("*.png")):
        target = elsewhere / path.parent.name / path.name.replace("_A", "_X").replace("_B", "_Y").replace("_S", "_Z")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"has no images of the recordings in .*split\.parquet.*fix training\.images"):
        read_fold_examples(replace(images, training=replace(images.training, images=elsewhere)))


def test_a_data_set_without_folds_is_refused(tmp_path: Path, archive: Path) -> None:
    config = small_config(tmp_path / "root", archive)
    sort_data.main(config)
    with pytest.raises(UserError, match=r"split\.parquet: has no folds.*set dataset\.folds.*run sort_data\.py"):
        evaluate.main(config, evaluate.Flags(folds=True))
    three = replace(config, dataset=dataclasses.replace(config.dataset, folds=3))
    sort_data.main(three)
    assert len(read_folds(config)) == 9  # dataset.folds may have been a flag of sort_data.py only
    with pytest.raises(UserError, match=r"has 3 folds, but dataset\.folds = 2; run sort_data\.py"):
        read_folds(replace(config, dataset=replace(config.dataset, folds=2)))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"folds": False, "seeds": (1,)}, "--seeds has no effect without --folds"),
        ({"folds": False, "models_per_fold": 2}, "--models_per_fold has no effect without --folds"),
        ({"seeds": (1, 2, 1)}, "--seeds 1 2 1: names a seed twice"),
        ({"seeds": (-1,)}, "--seeds -1: should be at least 0"),
        ({"seeds": (1, 2), "models_per_fold": 3}, "--models_per_fold 3: should be at least 1, and at most"),
        ({"models_per_fold": 0}, "--models_per_fold 0: should be at least 1"),
    ],
)
def test_flags_that_do_not_go_together(flags: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_fold_flags(**{"folds": True, "seeds": (), "models_per_fold": 1, **flags})  # type: ignore[arg-type]
    check_fold_flags(folds=True, seeds=(3, 0), models_per_fold=2)
    check_fold_flags(folds=False, seeds=(), models_per_fold=1)
