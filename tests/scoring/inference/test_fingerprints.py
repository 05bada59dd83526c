"""Other networks or settings have another fingerprint; what does not change scores does not change it."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from config import Config
from tests.conftest import small_config
from tests.scoring.inference.test_recordings import snapshot, with_testing
from utils.console import UserError
from utils.models.snapshots import read_snapshot
from utils.scoring.inference.ensembles import Member
from utils.scoring.inference.fingerprints import fingerprint_of_parts, fingerprint_of_scores


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "prior.tsv").write_text("file\tA\tB\na.wav\t1\t-0.5\n")
    return small_config(tmp_path)


def test_scores_of_other_networks_or_settings(config: Config, tmp_path: Path) -> None:
    one, other = (Member(snapshot(config, name, ("A", "B"), seed=seed)) for name, seed in (("one", 1), ("other", 2)))
    prior = with_testing(config, prior=tmp_path / "prior.tsv")
    found = [
        fingerprint_of_scores(members, settings)
        for members, settings in [
            ([one], config),
            ([other], config),
            ([one, other], config),
            ([one, replace(other, weight=2.0)], config),
            ([one], with_testing(config, pooling="mean")),
            ([one], with_testing(config, sharpness=2.0)),
            ([one], prior),
            ([one], with_testing(prior, prior_unreported=0.1)),
        ]
    ]
    assert len(set(found)) == len(found)
    (tmp_path / "prior.tsv").write_text("file\tA\tB\na.wav\t1\t0.5\n")
    assert fingerprint_of_scores([one], prior) not in found


def test_what_changes_no_score(config: Config, tmp_path: Path) -> None:
    one = Member(read_snapshot(snapshot(config, "one", ("A", "B"), seed=1).folder))
    expected = fingerprint_of_scores([one], with_testing(config, prior=tmp_path / "prior.tsv"))
    shutil.copytree(one.snapshot.folder, tmp_path / "elsewhere")
    shutil.copy(tmp_path / "prior.tsv", tmp_path / "copy.tsv")
    moved = with_testing(
        config,
        prior=tmp_path / "copy.tsv",
        batch_size=3,
        engine="jax",
        calibration="platt",
        thresholds="per_class",
        max_clips=7,
    )
    assert fingerprint_of_scores([Member(read_snapshot(tmp_path / "elsewhere"))], moved) == expected


def test_parts_of_a_submission_depend_on_its_clips_but_not_on_the_prior(config: Config, tmp_path: Path) -> None:
    members = [Member(snapshot(config, "one", ("A", "B"), seed=1))]
    changed = with_testing(config, max_clips=7, prior=tmp_path / "prior.tsv")
    assert fingerprint_of_parts(members, changed, interval=5.0) == fingerprint_of_parts(members, config, interval=5.0)
    assert fingerprint_of_parts(members, changed, interval=0.0) != fingerprint_of_parts(members, config, interval=0.0)


def test_a_prior_that_cannot_be_read_is_reported(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.tsv: cannot be read"):
        fingerprint_of_scores([], with_testing(config, prior=tmp_path / "gone.tsv"))
