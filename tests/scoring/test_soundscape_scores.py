"""Answers to annotated recordings: figures that can be worked out by hand, and annotations in the forms that people keep."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import average_precision_score, f1_score

from config import Dataset
from tests.conftest import chirp
from tests.scoring.sheets import CLASSES, scores_of, sheet_of, unreadable
from utils.recordings.recording import Event
from utils.scoring.soundscape_scores import SoundscapeScores, show_figures, write_figures
from utils.scoring.soundscape_truth import Truth, read_truth, truth_of_intervals


def test_an_event_belongs_to_every_interval_that_it_touches() -> None:
    starts, ends = np.arange(4) * 5.0, np.array([5.0, 10.0, 15.0, 17.5])
    events = (
        Event(4.9, 10.0, "Altus clarus"),  # ends where the third begins
        Event(10.0, 10.0, "Bassus gravis"),  # a point in time
        Event(16.0, 99.0, "Solus unicus"),
        Event(0.0, 17.0, "Ignotus"),
    )
    truth = truth_of_intervals(events, starts, ends, CLASSES)
    assert truth.astype(int).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_figures_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = Truth({"a.wav": (Event(0.0, 5.0, "Altus clarus"), Event(5.0, 9.0, "Bassus gravis"), Event(1.0, 2.0, "Ignotus")), "broken.wav": ()}, doubtful=2)
    sheet = sheet_of(tmp_path, ("a.wav", "b.wav", "broken.wav"), min_score=0.5)
    results = [
        scores_of("a.wav", [[0.9, 0.6, 0.1], [0.3, 0.2, 0.1], [0.4, 0.4, 0.4]], seconds=15.0),  # right and one too many; missed; rightly nobody
        scores_of("b.wav", [[1.0, 1.0, 1.0]], seconds=5.0),  # nobody listened
        unreadable("broken.wav"),
    ]
    scores = SoundscapeScores(truth, sheet)
    assert [one.file for one in scores.through(results)] == ["a.wav", "b.wav", "broken.wav"]
    found = scores.finish()
    assert found is not None
    assert (found.recordings, found.intervals, found.with_birds, found.species) == (1, 3, 2, 2)
    assert found.row_f1 == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert found.cmap == pytest.approx((1 + 1 / 3) / 2)
    assert found.mlrap == pytest.approx((1 + 1 / 2) / 2)
    assert found.unknown == ("Ignotus",)
    show_figures(found)
    assert "the net does not know Ignotus" in capsys.readouterr().err
    write_figures(tmp_path / "scores.json", found)
    assert json.loads((tmp_path / "scores.json").read_text())["row_f1"] == pytest.approx(5 / 9)


def test_figures_are_scikit_learns(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = rng.uniform(0, 1, (60, 3)).round(2)
    truth = rng.uniform(0, 1, rows.shape) < 0.3
    events = tuple(Event(5.0 * row, 5.0 * row + 5.0, CLASSES[number]) for row, number in np.argwhere(truth).tolist())
    scores = SoundscapeScores(Truth({"a.wav": events}), sheet_of(tmp_path, ("a.wav",), chosen=[0.5, 0.7, np.inf]))
    scores.add(scores_of("a.wav", rows.tolist(), seconds=300.0))
    found = scores.finish()
    assert found is not None
    assert found.cmap == pytest.approx(average_precision_score(truth, rows.astype(np.float32), average="macro"))
    called = rows >= np.array([0.5, 0.7, np.inf])
    both = [np.column_stack([part, ~part.any(axis=1)]) for part in (truth, called)]  # nocall as one more class
    assert found.row_f1 == pytest.approx(f1_score(*both, average="samples"))


def test_only_what_humans_marked_counts(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        soundfile.write(tmp_path / name, chirp(1000.0, seconds=1.0, seed=0), 8000)
    assert read_truth(tmp_path, Dataset()) is None
    rows = ["a.wav,0.5,1,Altus clarus,1,2,human", "a.wav,0,1,Solus unicus,,,window", "b.wav,0,1,Solus unicus,,,window"]
    (tmp_path / "annotations.csv").write_text("\n".join(["file,start,end,label,low_khz,high_khz,kind", *rows]) + "\n")
    truth = read_truth(tmp_path, Dataset())
    assert truth == Truth({"a.wav": (Event(0.5, 1.0, "Altus clarus", 1000.0, 2000.0),)}, None, 2)
    (tmp_path / "annotations.csv").write_text('file,start,end,label,kind\na.wav,0,1,altcla,"human, target species only"\nb.wav,0,1,nocall,human\n')
    (tmp_path / "species.csv").write_text("species_code,scientific_name\naltcla,Altus clarus\n")
    truth = read_truth(tmp_path, Dataset())
    assert truth == Truth({"a.wav": (Event(0.0, 1.0, "Altus clarus"),), "b.wav": ()}, frozenset({"Altus clarus"}), 0)
    scores = SoundscapeScores(truth, sheet_of(tmp_path, ("a.wav", "b.wav"), min_score=0.5))
    scores.add(scores_of("a.wav", [[0.2, 0.9, 0.9]], seconds=1.0))  # others may well sing, too
    found = scores.finish()
    assert found is not None
    assert (found.only, found.mlrap, found.row_f1) == (True, 1.0, 0.0)


def test_the_real_annotated_sets(birds: Path) -> None:
    truth = read_truth(birds / "soundscapes", Dataset())
    assert truth is not None
    assert (sum(map(len, truth.events.values())), truth.doubtful) == (70, 24)  # 52 + 18 boxes, of its README
    assert truth.species == {"Basileuterus culicivorus", "SP", "CRER"}
    mixed = read_truth(birds / "mixed_soundscapes", Dataset())
    assert mixed is not None
    assert (len(mixed.events), mixed.species, mixed.doubtful) == (8, None, 0)
