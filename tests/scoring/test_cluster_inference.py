"""On a cluster, workers run the models: in groups of recordings, with the same results, byte for byte."""

import dataclasses
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

import submission_soundscape
from config import Cluster, Config, Submission
from tests.conftest import RATE, chirp, small_config
from tests.scoring.inference.test_intervals import one_by_one
from tests.scoring.inference.test_recordings import snapshot, with_testing
from tests.scoring.inference.test_units import split_of
from tests.workers import environment
from utils import console
from utils.console import Failure, UserError
from utils.scoring.inference import clip_workers, ensembles, recording_groups
from utils.scoring.inference.engines import engine_text
from utils.scoring.inference.ensembles import assemble, chosen_members
from utils.scoring.inference.recording_groups import (
    GROUP_BYTES,
    GROUP_TIME_LIMIT,
    RecordingGroup,
    predict_group,
    predict_on_workers,
    rows_of_groups,
)
from utils.scoring.inference.recordings import Predictions
from utils.scoring.inference.units import predict_units
from utils.scoring.submissions import score_parts
from utils.scoring.submissions.results import Submitted
from utils.scoring.submissions.score_parts import wait_for_parts
from utils.scoring.submissions.task import prepare_submission
from utils.scoring.submitting import predict_missing
from utils.workers import fanout
from utils.workers.fanout import fan_out

SECONDS = {"long": 12.3, "other": 7.0, "quiet": 6.0, "named": 2.0}
CLASSES = ("A", "B", "C")
ON_CLUSTER = Cluster("auto")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two models of different clips, and recordings of which one is broken."""
    root = tmp_path_factory.mktemp("data set")
    for index, (name, seconds) in enumerate(SECONDS.items()):
        soundfile.write(root / f"{name}.wav", chirp(800.0 + 500 * index, seconds=seconds, seed=index), RATE)
    (root / "broken.wav").write_bytes(b"RIFF, but no more")
    config = small_config(root)
    other = dataclasses.replace(config, clips=dataclasses.replace(config.clips, overlap=0.5))
    members = [snapshot(config, "small", CLASSES, seed=1).folder, snapshot(other, "other", CLASSES[:2], seed=2).folder]
    submission = Submission(recordings=root, folder=root / "submissions", page_minutes=0.0)
    config = with_testing(config, models=tuple(members), weights=(1.0, 3.0), batch_size=5, interval=2.0)
    return dataclasses.replace(config, submission=submission)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in this process where worker processes of this machine would: starting one takes seconds."""

    def here(*work: object, threads: int, **more: object) -> Iterator[tuple[object, object]]:
        return fan_out(*work, threads=threads, **more) if threads else one_by_one(*work)

    monkeypatch.setattr(clip_workers, "fan_out", here)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[RecordingGroup]:
    """Work on groups of up to three recordings in this process, and note them; what travels is pickled."""
    found: list[RecordingGroup] = []

    def engine(
        function: Callable[[object], object], items: Sequence[RecordingGroup], **_: object
    ) -> Iterator[tuple[RecordingGroup, object]]:
        assert function is predict_group
        for item in items:
            found.append(item)
            yield item, pickle.loads(pickle.dumps(function(pickle.loads(pickle.dumps(item)))))

    monkeypatch.setattr(fanout, "run_on_ray", engine)
    monkeypatch.setattr(recording_groups, "FEWEST_GROUPS", 1)
    monkeypatch.setattr(recording_groups, "MOST_RECORDINGS", 3)
    recording_groups._loaded_ensemble.cache_clear()
    return found


def on(config: Config, cluster: Cluster, folder: str = "cluster") -> Config:
    submission = dataclasses.replace(config.submission, folder=config.dataset.root.with_name(f"{folder}.submissions"))
    return dataclasses.replace(config, cluster=cluster, submission=submission)


def units(config: Config, unit: str) -> Predictions:
    recordings = split_of("long", "other", "quiet", "broken") if unit != "event" else split_of("long", "broken")
    return predict_units(chosen_members(config), recordings, config, unit)


def parts_of(config: Config, kind: str) -> dict[str, bytes]:
    """Predict the parts of a submission, and return them without writing it."""
    task = prepare_submission(config, kind)
    result = predict_missing(task, config)
    assert [task.layout.files[index] for index in result.failures] == ["broken.wav"]
    return {target.name: target.read_bytes() for target in task.targets if target.exists()}


def names_in(groups: Sequence[RecordingGroup]) -> list[str]:
    return [Path(sound).stem for group in groups for sound in group.sounds]


@pytest.mark.parametrize("kind", ["soundscape", "monophone"])
def test_parts_are_those_of_one_process(
    alone: Config, groups: list[RecordingGroup], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = parts_of(alone, kind)
    assert len(expected) == 4
    loads: list[object] = []
    load = ensembles.snapshot_predictor
    monkeypatch.setattr(
        ensembles, "snapshot_predictor", lambda *one, **more: (loads.append(one), load(*one, **more))[1]
    )
    assert parts_of(on(alone, ON_CLUSTER, kind), kind) == expected
    assert [len(group.rows) for group in groups] == [3, 2]
    assert len(loads) == 2  # once for each model, not for each group
    assert not list(alone.dataset.root.with_name(f"{kind}.submissions").rglob(".spectrograms-*"))


@pytest.mark.parametrize("unit", ["recording", "interval", "event"])
def test_scores_of_a_test_are_those_of_one_process(alone: Config, groups: list[RecordingGroup], unit: str) -> None:
    expected, found = units(alone, unit), units(on(alone, Cluster("auto", cpus=2.0)), unit)
    assert len(groups) == (1 if unit == "event" else 2)
    assert np.isfinite(expected.scores).any()
    assert found.scores.tobytes() == expected.scores.tobytes()
    assert found.rows.equals(expected.rows)
    assert (found.clips.tolist(), found.reasons) == (expected.clips.tolist(), expected.reasons)
    assert found.times.seconds_per_batch > 0


def test_a_worker_that_dies_costs_one_recording(
    alone: Config, groups: list[RecordingGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = fanout.run_on_ray

    def deadly(function: object, items: Sequence[RecordingGroup], **more: object) -> Iterator[tuple[object, object]]:
        for item in items:
            if "other" in names_in([item]):
                groups.append(item)
                yield item, Failure("", "the worker process died", transient=True)
            else:
                yield from usual(function, [item], **more)

    monkeypatch.setattr(fanout, "run_on_ray", deadly)
    expected, found = units(alone, "recording"), units(on(alone, ON_CLUSTER), "recording")
    assert names_in(groups[:1]) == ["long", "other", "quiet"]
    assert sorted(names_in(groups[1:])) == ["broken", "long", "other", "quiet"]
    assert found.reasons[1] == "the worker process died"
    assert found.reasons[3] == expected.reasons[3]
    for row in (0, 2):
        assert found.scores[row].tobytes() == expected.scores[row].tobytes()
    assert np.isnan(found.scores[1]).all()


def test_a_damaged_model_ends_the_stage(
    alone: Config, groups: list[RecordingGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_: object, **_named: object) -> None:
        raise UserError("damaged")

    with monkeypatch.context() as patched, pytest.raises(UserError, match=r"^damaged$"):
        patched.setattr(recording_groups, "assemble", damaged)
        units(on(alone, ON_CLUSTER), "recording")
    assert len(groups) == 1


def test_what_was_predicted_before_a_kill_is_not_predicted_again(
    alone: Config, groups: list[RecordingGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = fanout.run_on_ray

    def killed(*work: object, **more: object) -> Iterator[tuple[object, object]]:
        yield next(iter(usual(*work, **more)))
        raise KeyboardInterrupt

    config = on(alone, ON_CLUSTER, "killed")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fanout, "run_on_ray", killed)
        submission_soundscape.main(config)
    first = names_in(groups)
    assert len(first) == 3
    groups.clear()
    resumed = submission_soundscape.main(config)
    assert set(names_in(groups)) == {*SECONDS, "broken"} - set(first)
    undisturbed = submission_soundscape.main(on(alone, Cluster(), "undisturbed"))
    assert same_files(resumed, undisturbed)


def same_files(one: object, other: object) -> bool:
    assert isinstance(one, Submitted)
    assert isinstance(other, Submitted)
    assert one.intervals == other.intervals > 0
    return one.path.read_bytes() == other.path.read_bytes()


def test_workers_of_a_cluster(alone: Config) -> None:
    pytest.importorskip("ray")
    local = dataclasses.replace(on(alone, Cluster("local"), "ray"), workers=2)
    assert same_files(submission_soundscape.main(local), submission_soundscape.main(on(alone, Cluster(), "here")))


def test_each_item_gets_a_gpu_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"GPU": 1}')  # Ray believes it
    names = ["CUDA_VISIBLE_DEVICES", "NPROC", "OMP_NUM_THREADS"]
    settings = {"workers": 1, "name": str, "cluster": Cluster("local")}
    assert dict(fan_out(environment, names, gpus=1, **settings)) == dict(zip(names, ["0", "1", "1"], strict=True))


def test_a_failed_item_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(_: object, items: Sequence[str], **__: object) -> Iterator[tuple[str, object]]:
        yield from ((item, Failure(item, "stopped") if "c" in item else item.upper()) for item in items)

    monkeypatch.setattr(fanout, "run_on_ray", engine)
    found = list(fan_out(environment, ["ab", "cd", "c"], workers=2, name=str, cluster=ON_CLUSTER, split=list))
    assert found == [("ab", "AB"), ("c", Failure("c", "stopped")), ("c", Failure("c", "stopped")), ("d", "D")]


def test_threads_of_a_worker() -> None:
    tries: list[str] = []

    in_hand: list[int] = []
    done: list[str] = []

    def work(item: str) -> str:
        tries.append(item)
        in_hand.append(len(set(tries)) - len(done))
        if item == "unusable":
            raise UserError("cannot be used")
        if item == "wrong" or (item == "once" and tries.count("once") == 1):
            raise ValueError("wrong")
        time.sleep(0.01)
        return item.upper()

    items = ["a", "unusable", "wrong", "once", "b"]
    more = [str(index) for index in range(40)]
    found = {}
    coming = fan_out(work, items + more, workers=0, name=str.title, threads=2, ahead=3)
    for item, outcome in coming:
        found[item] = outcome
        time.sleep(0.02)
        done.append(item)
    assert list(found) == items + more
    assert max(in_hand) <= 6
    assert (found["a"], found["b"], found["once"]) == ("A", "B", "ONCE")
    assert found["unusable"] == Failure("Unusable", "cannot be used")
    assert found["wrong"] == Failure("Wrong", "ValueError: wrong", transient=True)
    assert [tries.count(item) for item in items] == [1, 1, 2, 2, 1]


def test_a_large_file_lets_no_other_group_hang_longer(alone: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: dict[tuple[int, ...], float] = {}

    def note(_: object, items: Sequence[RecordingGroup], *, time_limit: Callable, **__: object) -> Iterator[object]:
        limits.update({tuple(item.rows): time_limit(item) for item in items})
        yield from ()

    monkeypatch.setattr(recording_groups, "fan_out", note)
    monkeypatch.setattr(recording_groups, "FEWEST_GROUPS", 1)
    monkeypatch.setattr(recording_groups, "sizes_and_times", lambda _: [(5, 0), (3 * GROUP_BYTES, 0), (-1, 0)])
    files = [Path(name) for name in "abc"]
    ensemble, config = assemble(chosen_members(alone)), on(alone, ON_CLUSTER)
    assert not list(predict_on_workers(lambda _: iter, files, ensemble, config))
    assert limits == {(1,): 3 * GROUP_TIME_LIMIT, (0, 2): GROUP_TIME_LIMIT}


def test_finished_parts_of_a_lost_group_are_kept(
    alone: Config, groups: list[RecordingGroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, usual, decoded = parts_of(alone, "soundscape"), fanout.run_on_ray, list[str]()

    def late(function: object, items: Sequence[RecordingGroup], **more: object) -> Iterator[tuple[object, object]]:
        for item in items:
            outcomes = list(usual(function, [item], **more))
            if len(item.rows) > 1:  # it wrote its parts, and then its machine was lost
                yield item, Failure("", "its machine was lost", transient=True)
            else:
                yield from outcomes

    monkeypatch.setattr(fanout, "run_on_ray", late)
    work = clip_workers.interval_spectrograms
    monkeypatch.setattr(
        clip_workers, "interval_spectrograms", lambda job: (decoded.append(Path(job.name).stem), work(job))[1]
    )
    assert parts_of(on(alone, ON_CLUSTER, "kept"), "soundscape") == expected
    assert len(groups) == 2 + 5
    assert all(decoded.count(name) == 2 for name in SECONDS)  # once for each model
    assert decoded.count("broken") == 4


def test_what_workers_warn_of_is_printed_once(
    alone: Config, groups: list[RecordingGroup], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load = ensembles.snapshot_predictor

    def complaining(*one: object, **more: object) -> object:
        console.warning("this model is odd")
        return load(*one, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ensembles, "snapshot_predictor", complaining)
    # this process is the worker, too: what it prints there is what nobody sees
    with caplog.at_level("INFO"):
        units(on(alone, ON_CLUSTER), "recording")
    texts = [record.getMessage() for record in caplog.records]
    assert len(groups) == 2
    assert texts.count("this model is odd") == 2 + 1  # two models are loaded
    assert texts.count(f"models run in workers of the cluster, by {engine_text(alone.testing)}") == 1


def test_groups_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(rows_of_groups([])) == []
    assert list(rows_of_groups([1, 3, 2])) == [[1], [2], [0]]
    assert [len(rows) for rows in rows_of_groups([1] * 513)] == [8] * 64 + [1]
    monkeypatch.setattr(recording_groups, "FEWEST_GROUPS", 1)
    third = GROUP_BYTES // 3
    assert list(rows_of_groups([third, 5 * third, third, third, third])) == [[1], [0, 2, 3], [4]]


def test_a_part_that_is_not_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_parts, "SEEN_SECONDS", 0.0)
    (tmp_path / "a.part").touch()
    wait_for_parts([tmp_path / "a.part"])
    with pytest.raises(UserError, match=r"b\.part: was written by a machine of the cluster, but is not here"):
        wait_for_parts([tmp_path / "a.part", tmp_path / "b.part"])
