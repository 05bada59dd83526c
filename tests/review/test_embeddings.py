"""Embeddings of detections: by hand, by a network on real clips, after a kill, and what is chosen by them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from tests.conftest import RATE, small_config
from tests.scoring.inference.test_recordings import snapshot
from utils.console import UserError
from utils.files import write_text
from utils.models.onnx.interface import can_export
from utils.models.prototypes import unit_length
from utils.models.snapshots import Snapshot
from utils.review import embedding_files, embedding_map
from utils.review.detections import Detections, read_detections
from utils.review.diversity import FarthestFirst
from utils.review.embedding_files import embeddings_of
from utils.review.embedding_map import chosen_evenly, in_cluster, make_map, map_of
from utils.review.embeddings import SoundEmbeddings, span_index, spans_of
from utils.scoring.inference.ensembles import outputs_of
from utils.spectra.single_spectrogram import spectrogram_at


def embeddings(*rows: list[float], span_of: list[int] | None = None) -> SoundEmbeddings:
    found = unit_length(np.array(rows, np.float32)).astype(np.float16)
    return SoundEmbeddings(found, np.array(range(len(rows)) if span_of is None else span_of, np.int64))


def test_what_is_most_similar_by_hand() -> None:
    some = embeddings([1, 0], [1, 1], [0, 1], [1, 0.1], [0, 0], span_of=[0, 1, 1, 2, 3, 4])
    species, scores = np.array([0, 1, 0, 0, 1, 0]), np.array([0.5, 0.9, 0.2, 0.5, 0.5, 0.5])
    every = np.ones(6, bool)
    found = some.most_similar(0, count=9, allowed=every, species=species, scores=scores)
    assert [index for index, _ in found] == [4, 2, 3]  # of span 1, the detection of the same species; span 4 is unknown
    assert [value for _, value in found] == pytest.approx([0.995, 0.707, 0.0], abs=1e-3)
    fewer = every & (np.arange(6) != 2)  # that one has a verdict: the other of its span is left
    assert [index for index, _ in some.most_similar(0, count=2, allowed=fewer, species=species, scores=scores)] == [
        4,
        1,
    ]
    assert some.most_similar(5, count=2, allowed=every, species=species, scores=scores) == []
    assert some.most_similar(0, count=2, allowed=~every, species=species, scores=scores) == []


def test_uncertain_detections_that_are_unlike_come_first() -> None:
    """Four detections of one singer and one of another: the second verdict is on the other, though it is surer."""
    chooser = FarthestFirst(embeddings([1, 0], [1, 0.1], [1, 0.3], [0, 1]))
    scores, species, seen = np.array([0.5, 0.51, 0.52, 0.7]), np.zeros(4, np.int64), np.zeros(4, bool)
    shown = []
    while (index := chooser.next(scores, species, seen)) is not None:
        seen[index] = True
        shown.append(index)
    assert shown == [0, 3, 2, 1]
    seen[3] = False  # its verdict was withdrawn
    assert chooser.next(scores, species, seen) == 3
    rare = np.array([0, 0, 0, 1])
    assert chooser.next(scores, rare, np.array([True, False, False, False])) == 3  # of a species without verdicts


def test_rare_kinds_are_chosen_as_well() -> None:
    kinds = np.array([0] * 50 + [1] * 3 + [2] * 7)
    chosen = chosen_evenly(kinds, 12, seed=1)
    assert np.bincount(kinds[chosen]).tolist() == [5, 3, 4]
    assert chosen_evenly(kinds, 100, seed=1).tolist() == list(range(60))


@pytest.fixture
def blobs() -> tuple[SoundEmbeddings, np.ndarray]:
    """Three kinds of sounds, twenty of each, and one that could not be read."""
    random = np.random.default_rng(1)
    kinds = np.repeat([0, 1, 2], 20)
    rows = 4 * np.eye(3, 16)[kinds] + random.normal(0, 0.2, (60, 16))
    return embeddings(*rows.tolist(), [0.0] * 16), np.append(kinds, 0)


def test_like_sounds_are_near_on_the_map(
    blobs: tuple[SoundEmbeddings, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, kinds = blobs
    monkeypatch.setattr(embedding_map, "PLACED_BY_TSNE", 40)  # the others are placed between their neighbours
    found = make_map(some, kinds)
    assert np.isnan(found.positions[-1]).all()
    assert found.clusters[-1] == -1
    assert (found.positions[:-1].min(), found.positions[:-1].max()) == (0, 1)
    apart = np.linalg.norm(found.positions[:-1, None] - found.positions[None, :-1], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (kinds[apart.argmin(axis=1)] == kinds[:-1]).all()
    for cluster in range(found.clusters.max() + 1):
        assert len(set(kinds[found.clusters == cluster])) == 1
    saved = map_of(replace(some, path=tmp_path / "rows.npy"), kinds)
    np.testing.assert_array_equal(saved.positions, found.positions)
    monkeypatch.setattr(embedding_map, "make_map", None)  # it is read
    again = map_of(replace(some, path=tmp_path / "rows.npy"), kinds)
    np.testing.assert_array_equal(again.clusters, found.clusters)
    (tmp_path / "rows.map.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"rows\.map\.safetensors: cannot be used"):
        map_of(replace(some, path=tmp_path / "rows.npy"), kinds)
    allowed = np.ones(61, bool)
    allowed[0] = False
    assert set(in_cluster(found, some, 0, allowed)) == set(np.flatnonzero(found.clusters == found.clusters[0])) - {0}
    assert in_cluster(found, some, 60, allowed) == []


def test_few_sounds_have_a_map() -> None:
    for count in (1, 2, 4):
        found = make_map(embeddings(*np.eye(count, 5).tolist()), np.zeros(count, np.int64))
        assert np.isfinite(found.positions).all()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    config = small_config(tmp_path_factory.mktemp("run"))
    return snapshot(config, "mine", ("Parus major", "Turdus merula"), seed=1)


@pytest.fixture
def detections(tmp_path: Path) -> Detections:
    """Two recordings of four seconds; detections of a second, and one after the end of its recording."""
    for index, name in enumerate(("a.wav", "card/b.wav")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        sound = np.random.default_rng(index).normal(0, 0.1, 4 * RATE).astype(np.float32)
        soundfile.write(tmp_path / name, sound, RATE)
    rows = [f"{name},{start},{start + 1},Parus major,0.5\n" for name in ("card/b.wav", "a.wav") for start in range(3)]
    rows += ["a.wav,2,3,Turdus merula,0.4\n", "a.wav,9,10,Turdus merula,0.4\n"]
    write_text(tmp_path / "found.csv", "".join(["recording,start,end,species,score\n", *rows]))
    return read_detections(tmp_path / "found.csv", tmp_path)


@pytest.mark.skipif(not can_export(), reason="needs the extra export")
def test_embeddings_are_those_of_the_network(made: Snapshot, detections: Detections, tmp_path: Path) -> None:
    some = embeddings_of(detections, made, made.config, tmp_path / "review")
    assert (some.rows.dtype, len(some.rows), some.known.tolist()) == (np.float16, 7, [True] * 3 + [False] + [True] * 3)
    spans = spans_of(detections)
    assert spans[some.span_of].equals(detections.table.select(spans.columns))
    np.testing.assert_array_equal(span_index(detections, spans), some.span_of)
    network = outputs_of(made, made.config.testing, further=("embeddings",))
    settings = tmp_path / "settings.toml"
    write_text(settings, (made.folder / "settings.toml").read_text())
    for index in (0, 5):
        recording, start, _, _ = detections.key(index)
        pixels = spectrogram_at(tmp_path / recording, start=start, settings=settings)
        expected = network(pixels[None]).embeddings
        assert expected is not None
        assert float((some.of([index]) @ unit_length(expected).T).item()) == pytest.approx(1, abs=2e-3)
    assert some.path.parent == tmp_path / "review" / "embeddings"
    assert list((tmp_path / "review" / "embeddings").glob("parts*")) == []


@pytest.mark.skipif(not can_export(), reason="needs the extra export")
def test_a_stopped_call_resumes_and_a_damaged_file_is_named(
    made: Snapshot, detections: Detections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, whole = tmp_path / "review", embeddings_of(detections, made, made.config, tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        written = embedding_files.atomic_file
        times = iter([written])  # the second recording's file is never written

        def killed(path: Path) -> object:
            return next(times)(path)

        patch.setattr(embedding_files, "atomic_file", killed)
        with pytest.raises(StopIteration):
            embeddings_of(detections, made, made.config, home)
    assert len(list((home / "embeddings" / "parts").glob("*.npy"))) == 1
    assert list((home / "embeddings").glob("*.npy")) == []
    (part,) = (home / "embeddings" / "parts").glob("*.npy")
    whole_part = part.read_bytes()
    computed = []
    real = embedding_files.event_spectrograms
    monkeypatch.setattr(embedding_files, "event_spectrograms", lambda job: computed.append(job.name) or real(job))
    monkeypatch.setattr(embedding_files, "fan_out", lambda function, jobs, **_: ((job, function(job)) for job in jobs))
    resumed = embeddings_of(detections, made, made.config, home)
    assert len(computed) == 1
    np.testing.assert_array_equal(resumed.rows, whole.rows)
    for damaged in (b"", whole_part[:-10], whole_part[:20]):
        resumed.path.unlink()
        part.parent.mkdir()
        part.write_bytes(damaged)
        computed.clear()
        resumed = embeddings_of(detections, made, made.config, home)
        assert len(computed) == len({*detections.table["recording"]})
        np.testing.assert_array_equal(resumed.rows, whole.rows)
    for content in (resumed.path.read_bytes()[:-10], b""):
        resumed.path.write_bytes(content)
        with pytest.raises(UserError, match="cannot be used"):
            embeddings_of(detections, made, made.config, home)


@pytest.mark.skipif(not can_export(), reason="needs the extra export")
def test_a_recording_that_cannot_be_read_costs_nothing_else(
    made: Snapshot, detections: Detections, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    some = embeddings_of(detections, made, made.config, tmp_path / "review")
    assert some.known.tolist() == [False] * 4 + [True] * 3
    printed = "".join(capsys.readouterr())
    assert "a.wav" in printed
    assert "have no embeddings" in printed
    (tmp_path / "card" / "b.wav").write_bytes(b"nor this")
    with pytest.raises(UserError, match="no recording of the table can be read"):
        embeddings_of(detections, made, made.config, tmp_path / "review")


def test_a_large_search_reads_every_row_once() -> None:
    rows = unit_length(np.random.default_rng(1).normal(size=(20_000, 32))).astype(np.float16)
    some = SoundEmbeddings(rows, np.arange(20_000))
    everything = np.ones(20_000, bool)
    found = some.most_similar(
        7, count=5, allowed=everything, species=np.zeros(20_000, np.int64), scores=np.ones(20_000)
    )
    expected = rows.astype(np.float32) @ rows[7].astype(np.float32)
    assert [index for index, _ in found] == np.argsort(-expected)[1:6].tolist()


def test_spans_of_many_species_are_there_once() -> None:
    table = pl.DataFrame(
        {
            "recording": ["b", "a", "a"],
            "start": [0.0, 5, 5],
            "end": [5.0, 10, 10],
            "species": ["x", "x", "y"],
            "score": 0.5,
        }
    )
    some = Detections(Path("t.csv"), Path(), table, ("x", "y"))
    assert spans_of(some).rows() == [("a", 5, 10), ("b", 0, 5)]
    assert span_index(some, spans_of(some)).tolist() == [1, 0, 0]
