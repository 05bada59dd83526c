"""The metadata classifier is blended with models: in tests, submissions, fingerprints; and never on what it learned."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

import train_metadata
from config import Config
from tests.conftest import RATE, chirp, small_config
from tests.places import NORTH, SOUTH, SUMMER, seasonal_recordings, split_of, write_placed_data
from tests.scoring.inference.test_recordings import snapshot
from utils.console import UserError
from utils.scoring.inference import metadata_classifier
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.fingerprints import fingerprint_of_parts, fingerprint_of_scores
from utils.scoring.inference.metadata_blend import Blend, blend_facts, blend_of
from utils.scoring.inference.metadata_classifier import read_classifier
from utils.scoring.inference.metadata_features import digest_of
from utils.scoring.inference.prior_metadata import PlaceAndWeek
from utils.scoring.inference.units import predict_units
from utils.scoring.submissions.postprocessing import postprocessing_of
from utils.scoring.submissions.score_parts import PartScores
from utils.scoring.testing import check_before_training, check_not_trained_on
from utils.spectra.decode import Length

pytest.importorskip("catboost")

CLASSES = (NORTH, SOUTH, "Ignotus alius")  # the classifier does not know the last one


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A data set with a classifier; five of its held-out recordings have sounds."""
    root = tmp_path_factory.mktemp("blend")
    recordings = seasonal_recordings(per_species=20)
    recordings[15] = replace(recordings[15], latitude=None)
    config = write_placed_data(root, recordings)
    trained = train_metadata.main(config)
    for index, file in enumerate(split_of(config).filter(pl.col("split") == "val")["file"][:5]):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / file, chirp(1000.0 + 300 * index, seconds=2.0, seed=index), RATE)
    return with_classifier(config, trained.classifier.folder)


def with_classifier(config: Config, folder: Path | None, weight: float = 0.14) -> Config:
    return replace(config, testing=replace(config.testing, metadata=folder, metadata_weight=weight))


def held_out_rows(config: Config) -> pl.DataFrame:
    return split_of(config).filter(pl.col("split") == "val").head(5)


def test_the_mean_by_weights() -> None:
    blend = Blend(np.array([0.9, np.nan]), 0.5)
    found = blend.blended(np.array([[0.3, 0.3], [np.nan, np.nan]]))
    np.testing.assert_allclose(found, [[(0.3 + 0.45) / 1.5, 0.3], [np.nan, np.nan]])
    unknown = Blend(np.array([np.nan, np.nan]), 0.5)
    scores = np.array([0.1, 0.7], np.float32)
    assert unknown.blended(scores).tobytes() == scores.tobytes()


def test_tests_are_blended(data: Config, capsys: pytest.CaptureFixture[str]) -> None:
    members, plain = [Member(snapshot(data, "one", CLASSES, seed=1))], with_classifier(data, None)
    classes = members[0].snapshot.classes
    recordings = held_out_rows(data)
    alone = predict_units(members, recordings, plain, "recording")
    capsys.readouterr()
    both = predict_units(members, recordings, data, "recording")
    warned = capsys.readouterr().err
    assert "does not know 1 of 3 classes, which keep their scores" in warned
    assert "1 of 5 recordings have no place or no date, and keep their scores" in warned
    classifier = read_classifier(data.testing.metadata or Path(), data.metadata)
    for row, name in enumerate(recordings["recording"]):
        known = json.loads((data.dataset.root / "metadata" / f"{name}.json").read_text())
        assert both.without_metadata is not None
        if name == "r015":
            assert both.scores[row].tobytes() == alone.scores[row].tobytes()
            assert np.isnan(both.without_metadata[row]).all()
            continue
        assert both.without_metadata[row].tobytes() == alone.scores[row].astype(np.float32).tobytes()
        place = PlaceAndWeek(
            known["latitude"],
            known["longitude"],
            None,
            day=date.fromisoformat(known["date"]).timetuple().tm_yday,
            elevation=float(known["elevation"].split()[0]),
        )
        (found,) = classifier.probabilities([place])
        expected = [
            (score + 0.14 * found[classifier.classes.index(label)]) / 1.14 if label in classifier.classes else score
            for label, score in zip(classes, alone.scores[row].tolist(), strict=True)
        ]
        np.testing.assert_allclose(both.scores[row], expected, atol=1e-6)
    assert "r015" in recordings["recording"].to_list()
    assert alone.without_metadata is None


def test_weight_0_changes_no_bit(data: Config) -> None:
    members, off = [Member(snapshot(data, "one", CLASSES, seed=1))], with_classifier(data, data.testing.metadata, 0.0)
    none = with_classifier(data, None)
    found = [
        predict_units(members, held_out_rows(data), config, "recording").scores.tobytes() for config in (off, none)
    ]
    assert found[0] == found[1]
    assert fingerprint_of_scores(members, off) == fingerprint_of_scores(members, none)
    assert blend_facts(off.testing) == {}


def test_a_submission_is_blended_as_a_test(data: Config, tmp_path: Path) -> None:
    """Equal bit for bit, with a prior, too; places come from metadata/."""
    (tmp_path / "prior.csv").write_text(f"species,frequency,latitude,longitude\n{NORTH},12,20,0\n{SOUTH},0,20,0\n")
    members = [Member(snapshot(data, "one", CLASSES, seed=1))]
    recordings, plain = held_out_rows(data), with_classifier(data, None)
    pooled = predict_units(members, recordings, plain, "recording").scores.astype(np.float32)
    for prior in (None, tmp_path / "prior.csv"):
        config = replace(data, testing=replace(data.testing, prior=prior))
        both = predict_units(members, recordings, config, "recording").scores
        made = postprocessing_of(members[0].snapshot.classes, recordings["file"].to_list(), None, config)
        for index in range(len(recordings)):
            part = PartScores(Length(RATE, RATE), pooled[index : index + 1])
            written, uncalibrated = made.scores(part, index=index, scratch_in=tmp_path)
            assert uncalibrated.tobytes() == both[index].astype(np.float32).tobytes()
            assert (written <= 1).all()


def test_places_of_recordings_outside_the_data_set(data: Config, tmp_path: Path) -> None:
    (tmp_path / "places.csv").write_text("site,latitude,longitude\nNOR,30,0\nSUD,-30,0\n")
    config = replace(data, submission=replace(data.submission, places=tmp_path / "places.csv"))
    files = ["NOR_20230710_050000.wav", "SUD_20230710_050000.wav", "ELS_20230710_050000.wav", "NOR_x.wav"]
    made = postprocessing_of((NORTH, SOUTH, SUMMER), files, None, config)
    assert made.blend
    found = [made.blend(index).probabilities for index in range(4)]
    assert [int(one.argmax()) for one in found[:2]] == [2, 1]
    assert np.isnan(found[2:]).all()
    assert made.unused == ()


def test_fingerprints_tell_classifiers_apart(data: Config) -> None:
    member = Member(snapshot(data, "one", CLASSES, seed=1))
    other = train_metadata.main(replace(data, run="other", metadata=replace(data.metadata, iterations=5)))
    configs = [
        with_classifier(data, None),
        data,
        with_classifier(data, data.testing.metadata, 0.2),
        with_classifier(data, other.classifier.folder),
    ]
    assert len({fingerprint_of_scores([member], config) for config in configs}) == 4
    # parts hold the models' scores alone
    assert len({fingerprint_of_parts([member], config, interval=5.0) for config in configs}) == 1


def test_recordings_that_it_learned_are_refused(data: Config) -> None:
    split, member = split_of(data), Member(snapshot(data, "one", CLASSES, seed=1))
    check_not_trained_on(split.filter(pl.col("split") == "val"), [member], data)
    learned = split.filter(pl.col("split") == "train").head(3)
    with pytest.raises(UserError, match=r"small-metadata: .* learned 3 recordings that are now held out \(r\d+, …\)"):
        check_not_trained_on(learned, [member], data)
    turned = split.with_columns(split=pl.col("split").replace({"train": "val", "val": "train"}))
    with pytest.raises(UserError, match=r"leave out testing\.metadata, as for evaluate\.py --folds"):
        check_before_training(turned, data)
    check_before_training(turned, with_classifier(data, data.testing.metadata, 0.0))


def test_what_cannot_be_blended(data: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no metadata classifier there; run train_metadata\.py, or fix testing\.metad"):
        blend_of(held_out_rows(data), CLASSES, with_classifier(small_config(tmp_path), tmp_path))
    with pytest.raises(UserError, match=r"knows none of the 2 classes of the models"):
        blend_of(held_out_rows(data), ("X", "Y"), data)
    monkeypatch.setattr(metadata_classifier, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"testing\.metadata: needs catboost"):
        blend_of(held_out_rows(data), CLASSES, data)


def test_a_missing_classifier_is_told_without_weight(data: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no metadata classifier there; .*fix testing\.metadata"):
        blend_of(held_out_rows(data), CLASSES, with_classifier(data, tmp_path / "nowhere", 0.0))


def copy_of_classifier(data: Config, folder: Path) -> None:
    for file in (data.testing.metadata or Path()).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ("3", "hold|not iterable"),
        ("[null, null, null, null]", "a feature is not a JSON object"),
        ('[{"name": "latitude", "deviation": 0}]', "the mean or deviation of latitude is out of range"),
        ('[{"name": "foo"}]', "'foo' is not a feature, or lacks its raster"),
        ('[{"name": "latitude", "categories": ["1"]}]', "'latitude' is not a feature, or lacks its raster"),
        ('[{"name": "latitude"}]', "hold 3 and 1, not 3 and 4"),
        (str([{"name": "latitude"}] * 4).replace("'", '"'), r"the trees do not fit to features\.json \(.*\); run"),
    ],
)
def test_other_features_cost_a_line(data: Config, tmp_path: Path, features: str, reason: str) -> None:
    """Their digest fits, as that of files that were edited on purpose."""
    copy_of_classifier(data, tmp_path)
    (tmp_path / "features.json").write_text(f'{{"features": {features}}}')
    description = json.loads((tmp_path / "classifier.json").read_text())
    description["sha256"]["features.json"] = digest_of(tmp_path / "features.json", advice="")
    (tmp_path / "classifier.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match=reason) as caught:
        blend_of(held_out_rows(data), CLASSES, with_classifier(data, tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("classifier.json", "{", "is a damaged metadata classifier"),
        ("classifier.json", "[1]", "is a damaged metadata classifier"),
        ("classifier.json", '{"version": 7}', "has version 7, but this program reads version 2"),
        ("classifier.json", '{"version": "2"}', "has version '2', but this program reads version 2"),
        ("features.json", '{"features": 3}', r"features\.json: is damaged; run train_metadata\.py with --fresh"),
        ("classes.txt", f"{SUMMER}\n{SOUTH}\n{NORTH}\n", r"classes\.txt: is damaged"),
        ("learned.txt", "", r"learned\.txt: is damaged"),
        ("model.cbm", "nonsense", r"model\.cbm: is damaged; run train_metadata\.py with --fresh"),
        ("model.cbm", None, r"model\.cbm: is damaged; run train_metadata\.py with --fresh"),
    ],
)
def test_damaged_classifiers_cost_a_line(
    data: Config, tmp_path: Path, name: str, content: str | None, reason: str
) -> None:
    copy_of_classifier(data, tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=reason) as caught:
        blend_of(held_out_rows(data), CLASSES, with_classifier(data, tmp_path))
    assert "\n" not in str(caught.value)
