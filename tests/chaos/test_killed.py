"""Every stage, killed, starved and started twice, leaves in the end what an undisturbed one leaves; `make chaos` does it many times."""

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
IN_A_ROW = 3  # at most so many kills before the stage is let run to its end


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return make_chain(tmp_path_factory.mktemp("chaos"))


def finish(chain: Chain, stage: str, *flags: str) -> None:
    """Run a stage to its end, and compare what it left with what it leaves undisturbed."""
    ended = run(chain, stage, *flags)
    assert ended.status == 0, ended.told
    assert "Traceback" not in ended.told
    assert difference(chain.root, chain.after(stage)) == []
    assert all((chain.root / file).is_file() for file in STAGES[stage].makes)


@pytest.mark.parametrize("stage", [*list(STAGES)[:-1], pytest.param("distill", marks=pytest.mark.chaos)])
def test_a_stage_killed_at_a_rename(chain: Chain, stage: str) -> None:
    """The last run has two workers, the undisturbed one had one."""
    chain.put_before(stage)
    generator = np.random.default_rng(list(STAGES).index(stage))
    killed = run(
        chain,
        stage,
        rename=int(generator.integers(1, chain.spent[stage].renames + 1)),
        when=str(generator.choice(["before", "after"])),
    )
    assert killed.status == -signal.SIGKILL, killed.told
    finish(chain, stage, "--workers", "2")


@pytest.mark.parametrize(
    "stage", ["spec", *(pytest.param(other, marks=pytest.mark.chaos) for other in STAGES if other != "spec")]
)
def test_a_stage_without_space(chain: Chain, stage: str) -> None:
    chain.put_before(stage)
    starved = run(chain, stage, full=2)  # the first file is the lock, or the first result
    assert starved.status == 1, starved.told
    assert "No space left on device; what was finished is kept" in " ".join(starved.told.split())
    assert "Traceback" not in starved.told
    finish(chain, stage)


def test_figures_are_among_what_is_compared(chain: Chain) -> None:
    """So that the same seed gives the same MLRAP: twice, with one worker and with two, undisturbed and with every stage killed and resumed."""
    chain.put_before("submission")
    figures = content(chain.after("test") / "snapshots" / "small" / "test" / "metrics.json")
    assert 0 < figures["mlrap"] <= 1
    assert "seconds" not in figures
    other = chain.base / "other"
    shutil.copytree(chain.after("test"), other)
    (other / "snapshots" / "small" / "test" / "metrics.json").write_text(
        json.dumps({**figures, "mlrap": figures["mlrap"] + 1e-9})
    )
    net = next((other / "snapshots" / "small").glob("epoch_*/net"))
    (other / "spec" / ".left.part").touch()
    assert difference(other, chain.after("test")) == ["spec/.left.part", "snapshots/small/test/metrics.json"]
    shutil.rmtree(net)
    assert net.relative_to(other).as_posix() in difference(other, chain.after("test"))


def test_the_same_seed_gives_the_same_answer(chain: Chain) -> None:
    """Undisturbed, once with one worker and once with two: the same store, split, weights and MLRAP."""
    chain.put_before("submission")
    chain.put_before("sort_data")
    for stage in ("sort_data", "spec", "train", "test"):
        ended = run(chain, stage, "--workers", "2")
        assert ended.status == 0, ended.told
    assert difference(chain.root, chain.after("test")) == []


@pytest.mark.parametrize(
    "stage", ["sort_data", *(pytest.param(later, marks=pytest.mark.chaos) for later in list(STAGES)[1:])]
)
def test_two_at_once(chain: Chain, stage: str) -> None:
    chain.put_before(stage)
    first = start(chain, stage)
    # when the first is noted, it is just being opened: the lock may not be held yet
    wait_for_work(chain, first, opens=2)
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        second = run(chain, stage)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    told, _ = first.communicate(timeout=LIMIT)
    assert first.returncode == 0, told
    if STAGES[stage].locked:
        assert second.status == 1, second.told
        assert "is working here; wait until it has ended" in " ".join(second.told.split())
    else:
        assert second.status == 0, second.told
    assert difference(chain.root, chain.after(stage)) == []


@contextmanager
def small_disk(root: Path, size: str) -> Iterator[None]:
    """Mount a disk of so many bytes, such as '300k', at `root`, with what is there."""
    kept = root.with_name("kept")
    shutil.rmtree(kept, ignore_errors=True)
    root.mkdir(exist_ok=True)
    root.rename(kept)
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(root)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(kept, root, symlinks=True, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)
        shutil.rmtree(kept)


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
        assert full.status == 1, full.told
        last = full.told.strip().splitlines()[-1]
        assert "No space left on device" in last or "MB are free" in last
        # there a thread of tensorstore's may speak, too
        assert "Traceback" not in full.told or stage in {"train", "distill"}
        remount(chain.root, "size=64m")
        finish(chain, stage)


def disk_usage(folder: Path) -> int:
    """Return how many bytes a folder's files take in pages of 4 KB, as a disk in memory counts."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@pytest.mark.chaos
@pytest.mark.parametrize("stage", STAGES)
def test_a_folder_that_can_only_be_read(chain: Chain, stage: str) -> None:
    """Root may write where permissions forbid it, so that the folder is a disk which can only be read."""
    chain.put_before(stage)
    with small_disk(chain.root, "64m"):
        remount(chain.root, "ro")
        refused = run(chain, stage)
        assert refused.status == 1, refused.told
        assert "Read-only file system" in refused.told
        assert "Traceback" not in refused.told
        remount(chain.root, "rw")
        finish(chain, stage)


@pytest.mark.chaos
@pytest.mark.parametrize("stage", STAGES)
def test_files_that_may_not_grow(chain: Chain, stage: str) -> None:
    """Writing ends in the midst of a file, as with a quota."""
    chain.put_before(stage)
    stopped = run(chain, stage, largest=STAGES[stage].largest)
    assert stopped.status == 1, stopped.told
    assert "File too large" in stopped.told
    assert "Traceback" not in stopped.told
    finish(chain, stage)


@pytest.mark.chaos
@pytest.mark.parametrize("stage", STAGES)
def test_many_kills(chain: Chain, stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By turns at a random moment of the working time, and right before or after a random rename; at most three in a row."""
    generator = np.random.default_rng((9, list(STAGES).index(stage)))
    chain.put_before(stage)
    spent, kills = chain.spent[stage], []
    while len(kills) < KILLS:
        chain.put_before(stage)
        for _ in range(generator.integers(1, IN_A_ROW + 1)):
            if generator.random() < 0.5:
                plan = {
                    "rename": int(generator.integers(1, spent.renames + 1)),
                    "when": str(generator.choice(["before", "after"])),
                }
            else:
                plan = {"kill_after": float(generator.uniform(0, spent.seconds))}
            ended = run(chain, stage, **plan)
            if ended.status == 0:  # what was left to do ended before
                break
            assert ended.status == -signal.SIGKILL, ended.told
            kills.append(plan)
        finish(chain, stage)
    at_renames = sum("rename" in plan for plan in kills)
    assert 0 < at_renames < len(kills)
    with capsys.disabled():
        print(
            f"\n{stage}: {len(kills)} kills, {at_renames} of them at one of {spent.renames} renames; all ended as undisturbed"
        )
