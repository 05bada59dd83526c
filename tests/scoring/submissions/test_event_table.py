"""Events of a made-up sound, by networks made by hand that follow its energy: start and end are those of the sound."""

import csv
import dataclasses
import json
import zipfile
from pathlib import Path
from typing import get_args, get_type_hints

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from flax import nnx

import submission_monophone
import submission_soundscape
from config import Config, Submission
from tests.conftest import RATE, small_config
from tests.scoring.inference.test_recordings import snapshot, with_testing
from utils import console
from utils.files import write_text
from utils.models.networks import Network, make_module
from utils.models.saved_networks import save_snapshot
from utils.models.snapshots import Snapshot
from utils.recordings.recording import NOISE, Event
from utils.scoring.evaluation.onsets import OnsetEvaluator
from utils.scoring.evaluation.soundscape_truth import Truth
from utils.scoring.inference.frame_events import FrameEvent
from utils.scoring.submissions import score_parts
from utils.scoring.submissions.formats.registry import FORMATS
from utils.scoring.submissions.results import Submitted
from utils.scoring.submissions.score_parts import is_score_part_complete, read_score_part, write_score_part
from utils.spectra.decode import Length

CLASSES = ("A", "B", NOISE)
LOUD = {"a.wav": (2.2, 3.4), "b/c.wav": (5.7, 6.2)}  # start and end of what is heard
SECONDS = {"a.wav": 7.0, "b/c.wav": 6.5, "short.wav": 0.05}
FRAME = 1 / 8  # seconds
HALF_A_CELL = 0.05


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A run whose network hears A, and noise, where it is loud, and recordings that are silent but for a noise."""
    root = tmp_path_factory.mktemp("root")
    for index, (name, seconds) in enumerate(SECONDS.items()):
        start, end = (round(time * RATE) for time in LOUD.get(name, (0.0, 0.0)))
        sound = np.zeros(round(seconds * RATE), np.float32)
        sound[start:end] = np.random.default_rng(index).normal(0, 0.2, end - start)
        (root / "soundscapes" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / "soundscapes" / name, sound, RATE)
    write_text(
        root / "soundscapes" / "annotations.csv",
        "file,start,end,species\na.wav,2.2,3.4,A\na.wav,0.5,1.0,A\nb/c.wav,5.7,6.2,A\nb/c.wav,5.7,6.2,Avis ignota\n",
    )
    plain = small_config(root)
    config = dataclasses.replace(
        plain,
        spectrogram=dataclasses.replace(plain.spectrogram, scale="fixed"),
        model=dataclasses.replace(plain.model, pool="attention", normalize="dataset"),
        training=dataclasses.replace(plain.training, loss="binary"),
        submission=Submission(folder=root / "submissions", min_score=0.5, page_minutes=0.0, events="csv"),
    )
    of_energy(config, "small")
    return config


def of_energy(config: Config, run: str) -> Snapshot:
    """Save a network whose logits of a frame are 40 · (its mean level − 0.3) for A, and for noise; B is never there."""
    made = Snapshot(config.snapshots / run / "epoch_001", dataclasses.replace(config, run=run), CLASSES, 1, None, "")
    module = make_module(config.model, classes=len(CLASSES), shape=config.spectrogram.shape, seed=0)
    for layer in (*(group.convolution for group in module.groups), module.last):
        height, width = layer.kernel.shape[:2]
        layer.kernel[...] = jnp.zeros(layer.kernel.shape).at[:, :, 0, 0].set(1 / (height * width))
    module.output.kernel[...] = jnp.zeros(module.output.kernel.shape).at[0, 0].set(40.0).at[0, 2].set(40.0)
    module.output.bias[...] = jnp.array([-12.0, -40.0, -12.0])
    _, params, rest = nnx.split(module, nnx.Param, ...)
    save_snapshot(made, Network(params, rest), {"count": np.zeros(1)}, recordings=())
    return made


def submitted(config: Config, **changes: object) -> Submitted:
    done = submission_soundscape.main(
        dataclasses.replace(config, submission=dataclasses.replace(config.submission, **changes))
    )
    assert isinstance(done, Submitted)
    assert done.events is not None
    return done


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def check_rows(rows: list[dict[str, str]], *, within: float = FRAME) -> None:
    """Check that there is one event in each loud recording, where it is loud."""
    assert [(row["recording"], row["species"]) for row in rows] == [(file, "A") for file in LOUD]
    for row in rows:
        for found, wanted in zip((row["start"], row["end"]), LOUD[row["recording"]], strict=True):
            assert found == f"{float(found):.1f}"
            assert abs(float(found) - wanted) <= within + HALF_A_CELL
        assert 0.5 <= float(row["score"]) <= 1


def test_events_start_and_end_where_the_sound_does(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = submitted(config)
    assert done.events is not None
    assert done.events.path.name == "small_soundscape_events.csv"
    rows = rows_of(done.events.path)
    check_rows(rows)
    assert done.events.rows == len(rows)
    assert done.metrics is not None
    onsets = done.metrics.onsets
    assert onsets is not None
    assert (onsets.calls, onsets.found) == (3, 2)
    assert onsets.median_error is not None
    assert onsets.median_error <= FRAME + HALF_A_CELL
    saved = json.loads((config.submission.folder / "small_soundscape.json").read_text())["onsets"]
    assert saved == dataclasses.asdict(onsets)
    told = "".join(capsys.readouterr().out.split())  # a narrow terminal folds lines within words
    assert "2of3annotatedcallsfound;medianonseterror0." in told
    assert "small_soundscape_events.csv,2rows" in told
    # neither batches nor clips beside the others change where events are
    for changes in ({"batch_size": 3, "engine": "jax"}, {"shifts": 1}):
        other = submitted(with_testing(config, **changes), folder=tmp_path / next(iter(changes)))
        assert other.events is not None
        found = rows_of(other.events.path)
        check_rows(found)
        if "batch_size" in changes:
            assert [(row["start"], row["end"]) for row in found] == [(row["start"], row["end"]) for row in rows]


def test_other_formats_and_other_networks_together(config: Config, tmp_path: Path) -> None:
    """Two networks, one with frames of half the length; a species that is not on the whitelist has no events."""
    shorter = dataclasses.replace(config.model, filters=(4,), kernel_sizes=(3,), groups=(1,))
    of_energy(dataclasses.replace(config, model=shorter), "shorter")
    longer = dataclasses.replace(config.clips, length=2.0, min_length=2.0)
    of_energy(dataclasses.replace(config, clips=longer), "longer")
    together = with_testing(config, models=tuple(config.snapshots / run for run in ("small", "shorter", "longer")))
    done = submitted(together, folder=tmp_path / "raven", events="raven")
    assert done.events is not None
    table = done.events.path / "a.Table.1.selections.txt"
    (row,) = csv.DictReader(table.read_text().splitlines(), delimiter="\t")
    found = {"recording": "a.wav", "start": row["Begin Time (s)"], "end": row["End Time (s)"]}
    assert all(
        abs(float(found[key]) - wanted) <= 0.3 for key, wanted in zip(("start", "end"), LOUD["a.wav"], strict=True)
    )
    assert (row["Species"], row["Begin File"], row["Selection"]) == ("A", "a.wav", "1")
    write_text(tmp_path / "only.txt", "B\n")
    done = submitted(config, folder=tmp_path / "labels", events="audacity", whitelist=tmp_path / "only.txt")
    assert done.events is not None
    assert [(path.name, path.read_text()) for path in sorted(done.events.path.rglob("*.txt"))] == [
        (name, "") for name in ("a_labels.txt", "c_labels.txt", "short_labels.txt")
    ]


def test_a_stopped_submission_resumes_to_the_same_bytes(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = submitted(config, folder=tmp_path / "whole")
    written: list[Path] = []

    def one_only(path: Path, *args: object, **more: object) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_score_part(path, *args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(score_parts, "write_score_part", one_only)
        submitted(config, folder=tmp_path / "stopped")
    assert not list((tmp_path / "stopped").glob("*.csv"))
    capsys.readouterr()
    again = submitted(config, folder=tmp_path / "stopped")
    assert "1 of 3 recordings were predicted before" in capsys.readouterr().out
    assert again.path.read_bytes() == whole.path.read_bytes()
    assert again.events is not None
    assert whole.events is not None
    assert again.events.path.read_bytes() == whole.events.path.read_bytes()


def test_no_cell_is_kept_higher_than_it_is(tmp_path: Path) -> None:
    """Of float16, 1 is the nearest to 0.9998, and would reach a threshold of 0.9999."""
    path, cells = tmp_path / "x.part", np.array([[0.9998, 0.49992, 0.5, 0.0, 1.0]], np.float32)
    write_score_part(path, Length(100, 1000), [np.zeros((1, 5))], shape=(1, 5), cells=[cells])
    kept = read_score_part(path).cells
    assert kept is not None
    assert (np.asarray(kept, np.float32) <= cells).all()
    np.testing.assert_allclose(kept, cells, atol=1e-3)


def test_a_part_holds_cells_and_is_checked_with_them(tmp_path: Path) -> None:
    path, scores = tmp_path / "x.part", np.array([[0.25, 0.5, 0.9]], np.float32)
    cells = np.array([[0.0, 0.5], [1.0, 0.125]])
    write_score_part(path, Length(250, 1000), [scores], shape=(1, 3), novelty=True, cells=[cells[:1], cells[1:]])
    assert is_score_part_complete(path)
    part = read_score_part(path)
    np.testing.assert_array_equal(part.scores, [[0.25, 0.5]])
    assert part.novelty is not None
    assert part.cells is not None
    np.testing.assert_array_equal(part.cells, cells)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in a cell
    path.write_bytes(content)
    assert not is_score_part_complete(path)
    write_score_part(path, Length(99, 1000), [scores], shape=(1, 3), cells=[])
    part = read_score_part(path)
    assert part.cells is not None
    assert part.cells.shape == (0, 3)


def test_events_of_whole_recordings_and_of_models_without_frames_are_refused(config: Config) -> None:
    with pytest.raises(console.UserError, match=r"^submission\.events = csv: is for submission_soundscape\.py"):
        submission_monophone.main(config)
    plain = dataclasses.replace(config, run="plain", model=dataclasses.replace(config.model, pool="mean"))
    snapshot(plain, "plain", CLASSES, seed=1)
    with pytest.raises(console.UserError, match=r"plain.epoch_001 does not predict frames; .*model\.pool = attention$"):
        submission_soundscape.main(plain)


def test_a_darwin_core_archive_of_events_says_so(config: Config, tmp_path: Path) -> None:
    done = submitted(config, folder=tmp_path, events="darwin-core")
    assert done.events is not None
    with zipfile.ZipFile(done.events.path) as archive:
        assert b"one for each event, in which" in archive.read("eml.xml")
        assert b"start and end of sounds of a species" in archive.read("occurrence.txt")


def test_the_setting_lists_the_formats_of_detections() -> None:
    listed = set(get_args(get_type_hints(Submission)["events"])) - {"none"}
    assert listed == {name for name, form in FORMATS.items() if form.write_detections}


def test_only_annotated_calls_of_known_species_count_for_onsets() -> None:
    events = {
        "x.wav": (Event(1.0, 2.0, "A"), Event(5.0, 6.0, "B"), Event(5.0, 6.0, "Avis ignota")),
        "labelled.wav": (Event(0.0, 5.0, "A"),),
    }
    evaluator = OnsetEvaluator(Truth(events, labelled={"labelled.wav": ((0.0, 5.0),)}), ("A", "B"))
    assert evaluator.metrics() is None
    for file in ("x.wav", "labelled.wav", "other.wav"):
        evaluator.add(file, [FrameEvent(12, 15, 0, 0.9)])
    found = evaluator.metrics()
    assert found is not None
    assert (found.calls, found.found, found.median_error) == (2, 1, pytest.approx(0.2))
