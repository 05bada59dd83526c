"""Stages that are killed, run out of disk or are started twice end with the results of undisturbed ones."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.chaos.stages import LIMIT, STAGES, Chain, content, difference, make_chain, run, start, wait_for_work

KILLS = int(os.environ.get("KILLS", "25"))  # of each stage, in `make chaos`
IN_A_ROW = 3  # most kills before the stage may run to its end


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return make_chain(tmp_path_factory.mktemp("chaos"))


def finish(chain: Chain, stage: str, *flags: str) -> None:
    """Run a stage to its end, and compare its results with those of the undisturbed stage."""
    ended = run(chain, stage, *flags)
    assert ended.status == 0, ended.output
    assert "Traceback" not in ended.output
    assert difference(chain.root, chain.after(stage)) == []
    assert all((chain.root / file).is_file() for file in STAGES[stage].makes)


# the others write by the same code as one of these
IN_EVERY_RUN = ("sort_data", "spec", "train", "submission")


@pytest.mark.parametrize(
    "stage", [stage if stage in IN_EVERY_RUN else pytest.param(stage, marks=pytest.mark.chaos) for stage in STAGES]
)
def test_a_stage_killed_at_a_rename(chain: Chain, stage: str) -> None:
    """The last run has two workers, the undisturbed one has one."""
    chain.put_before(stage)
    generator = np.random.default_rng(list(STAGES).index(stage))
    killed = run(
        chain,
        stage,
        rename=int(generator.integers(1, chain.undisturbed[stage].renames + 1)),
        when=str(generator.choice(["before", "after"])),
    )
    assert killed.status == -signal.SIGKILL, killed.output
    finish(chain, stage, "--workers", "2")


@pytest.mark.parametrize(
    "stage", ["spec", *(pytest.param(other, marks=pytest.mark.chaos) for other in STAGES if other != "spec")]
)
def test_a_stage_without_space(chain: Chain, stage: str) -> None:
    chain.put_before(stage)
    stopped = run(chain, stage, full=2)  # the first file is the lock, or the first result
    assert stopped.status == 1, stopped.output
    assert "No space left on device; finished work is kept" in " ".join(stopped.output.split())
    assert "Traceback" not in stopped.output
    finish(chain, stage)


def test_metrics_are_compared(chain: Chain) -> None:
    """The other tests therefore show that the same seed gives the same MLRAP, also after kills and with two workers."""
    chain.put_before("submission")
    metrics = content(chain.after("test") / "snapshots" / "small" / "test" / "metrics.json")
    assert 0 < metrics["mlrap"] <= 1
    assert "seconds" not in metrics
    other = chain.base / "other"
    shutil.copytree(chain.after("test"), other)
    (other / "snapshots" / "small" / "test" / "metrics.json").write_text(
        json.dumps({**metrics, "mlrap": metrics["mlrap"] + 1e-9})
    )
    network = next((other / "snapshots" / "small").glob("epoch_*/net"))
    (other / "spec" / ".left.part").touch()
    assert difference(other, chain.after("test")) == ["spec/.left.part", "snapshots/small/test/metrics.json"]
    shutil.rmtree(network)
    assert network.relative_to(other).as_posix() in difference(other, chain.after("test"))


def test_the_same_seed_gives_the_same_results(chain: Chain) -> None:
    """One worker or two: the same MLRAP; the stages before end with two workers after they are killed, above."""
    chain.put_before("test")
    finish(chain, "test", "--workers", "2")


@pytest.mark.parametrize(
    "stage", ["sort_data", *(pytest.param(later, marks=pytest.mark.chaos) for later in list(STAGES)[1:])]
)
def test_two_at_once(chain: Chain, stage: str) -> None:
    chain.put_before(stage)
    first = start(chain, stage)
    # after the first one, the lock may not be held yet
    wait_for_work(chain, first, opens=2)
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        second = run(chain, stage)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    output, _ = first.communicate(timeout=LIMIT)
    assert first.returncode == 0, output
    assert second.status == 1, second.output
    assert "is running here; wait until it has ended" in " ".join(second.output.split())
    assert difference(chain.root, chain.after(stage)) == []


@contextmanager
def small_disk(root: Path, size: str) -> Iterator[None]:
    """Mount a disk of this size, such as '300k', at `root`, with its files."""
    moved = root.with_name("moved")
    shutil.rmtree(moved, ignore_errors=True)
    root.mkdir(exist_ok=True)
    root.rename(moved)
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(root)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(moved, root, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)
        shutil.rmtree(moved)


def remount(root: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(root)], check=True)


@pytest.mark.chaos
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_a_small_disk_that_becomes_larger(chain: Chain, stage: str, share: float) -> None:
    chain.put_before(stage)
    before, after = disk_usage(chain.root), disk_usage(chain.after(stage))
    with small_disk(chain.root, f"{int(before + share * (after - before)) // 1024 + 4}k"):
        full = run(chain, stage)
        assert full.status == 1, full.output
        last = full.output.strip().splitlines()[-1]
        assert "No space left on device" in last or "MB are free" in last
        # a thread of tensorstore may print one there
        assert "Traceback" not in full.output or stage in {"train", "distill"}
        remount(chain.root, "size=64m")
        finish(chain, stage)


def disk_usage(folder: Path) -> int:
    """Return the bytes of a folder's files in pages of 4 KB, as a disk in memory counts."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@pytest.mark.chaos
@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_that_can_only_be_read(chain: Chain, stage: str) -> None:
    """A read-only disk, because permissions do not stop root."""
    chain.put_before(stage)
    with small_disk(chain.root, "64m"):
        remount(chain.root, "ro")
        refused = run(chain, stage)
        assert refused.status == 1, refused.output
        assert "Read-only file system" in refused.output
        assert "Traceback" not in refused.output
        remount(chain.root, "rw")
        finish(chain, stage)


@pytest.mark.chaos
@pytest.mark.parametrize("stage", STAGES)
def test_files_that_may_not_grow(chain: Chain, stage: str) -> None:
    """Writing fails in the middle of a file, as with a quota."""
    chain.put_before(stage)
    stopped = run(chain, stage, largest=STAGES[stage].largest)
    assert stopped.status == 1, stopped.output
    assert "File too large" in stopped.output
    assert "Traceback" not in stopped.output
    finish(chain, stage)


@pytest.mark.chaos
@pytest.mark.parametrize("stage", STAGES)
def test_many_kills(chain: Chain, stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In turn before or after a random rename, and at a random moment of the work; at most three times in a row."""
    generator = np.random.default_rng((9, list(STAGES).index(stage)))
    chain.put_before(stage)
    undisturbed, kills = chain.undisturbed[stage], []
    while len(kills) < KILLS:
        chain.put_before(stage)
        for _ in range(generator.integers(1, IN_A_ROW + 1)):
            if len(kills) % 2 == 0:  # both kinds in turn, so that few kills have both
                plan = {
                    "rename": int(generator.integers(1, undisturbed.renames + 1)),
                    "when": str(generator.choice(["before", "after"])),
                }
            else:
                plan = {"kill_after": float(generator.uniform(0, undisturbed.seconds))}
            ended = run(chain, stage, **plan)
            if ended.status == 0:  # the rest took less time
                break
            assert ended.status == -signal.SIGKILL, ended.output
            kills.append(plan)
        finish(chain, stage)
    at_renames = sum("rename" in plan for plan in kills)
    assert 0 < at_renames < len(kills)
    with capsys.disabled():
        print(f"\n{stage}: {len(kills)} kills, {at_renames} at one of {undisturbed.renames} renames; same results")
