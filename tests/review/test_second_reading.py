"""A second reviewer: who is shown what, and agreement by hand and against scikit-learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics

from utils.review.detections import DetectionKey
from utils.review.second_reading import agreement_table, agreements, disagreement_table, to_be_read_again
from utils.review.session import ReviewRules
from utils.review.verdicts import RANDOM, Verdict, VerdictFile, Verdicts, read_verdicts


def key(index: int, species: str = "Parus major") -> DetectionKey:
    return f"{index}.wav", 0.0, 5.0, species


def verdicts_of(*rows: tuple[str, str], species: str = "Parus major") -> Verdicts:
    """Return what two reviewers found of one detection after the other; '' for nothing."""
    verdicts = Verdicts()
    for index, kinds in enumerate(rows):
        for reviewer, kind in zip(("anna", "ben"), kinds, strict=True):
            if kind:
                found = Verdict(reviewer, kind, score=0.5)  # type: ignore[arg-type]
                verdicts.take(key(index, species), found, reviewer=reviewer)
    return verdicts


def test_agreement_by_hand() -> None:
    """Cohen's example of 1960 in two classes: 20 and 15 agree of 50, 5 and 10 do not; kappa is 0.4."""
    rows = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("other", "yes")] * 10 + [("no", "other")] * 15
    verdicts = verdicts_of(*rows, ("unsure", "no"), ("yes", ""))
    overall, of_species = agreements(verdicts)
    assert (overall.species, of_species.species) == ("", "Parus major")
    assert overall.counts == (20, 5, 10, 15)
    assert overall.share.value == pytest.approx(0.7)
    kappa = overall.kappa
    assert kappa is not None
    assert kappa.value == pytest.approx(0.4)
    assert (0.05 < kappa.low < 0.25, 0.55 < kappa.high < 0.7) == (True, True)
    table = agreement_table([overall])
    assert table.row(0)[:8] == ("anna", "ben", "", 50, 20, 5, 10, 15)
    assert len(disagreement_table(verdicts)) == 5 + 10 + 15  # not correct for both, but one names another species


def test_kappa_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    first = random.random(200) < 0.7
    second = np.where(random.random(200) < 0.8, first, ~first)
    kinds = np.array(["no", "yes"])
    rows = zip(kinds[first.astype(int)].tolist(), kinds[second.astype(int)].tolist(), strict=True)
    kappa = agreements(verdicts_of(*rows))[0].kappa
    assert kappa is not None
    assert kappa.value == pytest.approx(sklearn.metrics.cohen_kappa_score(first, second))


def test_who_always_agrees_is_not_certain_and_without_two_kinds_there_is_no_kappa() -> None:
    both, _ = agreements(verdicts_of(*[("yes", "yes")] * 10, *[("no", "no")] * 10))
    assert both.kappa is not None
    assert (both.kappa.value, both.kappa.high, both.kappa.low < 0.95) == (1, 1, True)
    same = agreements(verdicts_of(*[("yes", "yes")] * 4))
    assert [(one.species, one.kappa) for one in same] == [("", None)]  # of the species there are too few
    assert agreements(verdicts_of(("yes", ""), ("", "no"))) == []
    assert len(disagreement_table(Verdicts())) == 0


def test_the_interval_of_kappa_holds_the_truth() -> None:
    random, held, tables = np.random.default_rng(5), 0, 60
    cells = np.array([0.4, 0.1, 0.1, 0.4])  # kappa 0.6
    names = [("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")]
    for _ in range(tables):
        drawn = random.choice(4, 80, p=cells)
        kappa = agreements(verdicts_of(*[names[which] for which in drawn.tolist()]))[0].kappa
        assert kappa is not None
        held += kappa.low <= 0.6 <= kappa.high
    assert 0.85 * tables <= held


def test_a_seeded_share_is_read_again_and_grows_with_the_verdicts() -> None:
    verdicts, rules = verdicts_of(*[("yes", "")] * 40, ("", "no")), ReviewRules(second=0.25)
    chosen = to_be_read_again(verdicts, rules, reviewer="ben")
    assert len(chosen) == 10
    assert key(40) not in chosen  # nobody else read it
    assert chosen == to_be_read_again(verdicts, rules, reviewer="ben")
    assert chosen != to_be_read_again(verdicts, replace(rules, seed=2), reviewer="ben")
    verdicts.take(chosen[0], Verdict("ben", "no"), reviewer="ben")
    assert to_be_read_again(verdicts, rules, reviewer="ben") == chosen  # also when it was read
    fewer = to_be_read_again(verdicts, replace(rules, second=0.1), reviewer="ben")
    assert fewer == chosen[: len(fewer)]


def test_a_second_reading_leaves_a_random_verdict_random(tmp_path: Path) -> None:
    for reviewer, shown in (("anna", RANDOM), ("ben", "second"), ("carla", "similar")):
        file = VerdictFile(tmp_path, reviewer)
        file.append(key(0), Verdict(reviewer, "yes", score=0.5, shown=shown))  # type: ignore[arg-type]
        file.append(key(1), Verdict(reviewer, "no", score=0.5, shown="cluster"))
        file.close()
    verdicts = read_verdicts(tmp_path)
    first, second = verdicts.of(key(0)), verdicts.of(key(1))
    assert first is not None
    assert second is not None
    assert (first.random, second.random) == (True, False)
    assert {one.shown for one in verdicts.given[key(0)].values()} == {RANDOM, "second", "similar"}
