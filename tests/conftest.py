"""What tests share: checks of shapes (jaxtyping, beartype), data of ../shared if it exists, and small archives."""

import atexit
import gc
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

# Tests, the scripts that they start and the workers of pytest share what JAX has compiled. The networks are so small
# that XLA's optimisations take longer than they save.
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.mkdtemp(prefix="compiled")
    atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": CACHE,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }

from tests.type_checks import check_types_in

if "WITHOUT_CHECKS" not in os.environ:  # as in processes that tests start: checks take seconds to prepare
    check_types_in("utils")

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from config import Clips, Config, Dataset, Model, Spectrogram, Training
from tests.one_process import no_processes
from utils.recordings.recording import Contents
from utils.workers import fanout, local_processes

# after every 700 objects, as by default, looking for garbage takes a tenth of the time of all tests
gc.set_threshold(50_000, 20, 20)

# the same examples in every run; --hypothesis-profile random looks for others
settings.register_profile("any machine", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile("any machine")

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"
RATE = 8000
# started first, so that all workers end at about the same time
SLOW = (
    "test_scripts.py",
    "test_demo_forms.py",
    "test_distill.py",
    "test_killed.py",
    "test_untrusted_files.py",
    "test_steps.py",
    "test_systems.py",
    "test_fanout.py",
    "test_cross_validation.py",
    "test_backbone_training.py",
    "test_hosts.py",
    "test_loop.py",
    "test_search.py",
    "test_snapshots.py",
    "test_sounds.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in SLOW)


def pytest_collection_finish() -> None:
    gc.freeze()  # what is imported is no garbage


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    """Start no workers, but where a test asks for `processes`, and do not wait for disks; scripts do as for users."""
    with no_processes(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # no test cuts the power
        yield


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start workers as for users: where they are what is tested, or may die."""
    monkeypatch.setattr(fanout, "run_in_processes", local_processes.run_in_processes)


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Save plots without drawing them, which takes long; they have tests of their own."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda _, stream, **__: stream.write(b"\x89PNG"))
        yield


@pytest.fixture
def optimised() -> Iterator[None]:
    """Let XLA optimise as it does for users: where that is what is tested, or saves more than it takes."""
    import jax

    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session")
def golden() -> Path:
    if not (SHARED / "golden").is_dir():
        pytest.skip("no ../shared/golden beside the repository")
    return SHARED / "golden"


@pytest.fixture(scope="session")
def birds() -> Path:
    if not (SHARED / "birds").is_dir():
        pytest.skip("no ../shared/birds beside the repository")
    return SHARED / "birds"


def reasons(contents: Contents) -> dict[str, str]:
    """Return why each part of an archive was refused, and check that each reason is one short line."""
    found = {failure.name: failure.reason for failure in contents.failures}
    assert len(found) == len(contents.failures)
    assert all("\n" not in name + reason and len(reason) < 250 for name, reason in found.items())
    return found


def names(contents: Contents) -> list[str]:
    """Return the names of the recordings that were read."""
    return [recording.name for recording in contents.recordings]


def write_tables(archive: Path, tables: Mapping[str, str | bytes], *sounds: str) -> Path:
    """Write an archive from its tables and the names of its sounds."""
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in tables.items()}
    for name, content in {**contents, **dict.fromkeys(sounds, b"sound")}.items():
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        (archive / name).write_bytes(content)
    return archive


def chirp(pitch: float, *, seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Make short calls of one pitch (Hz), three a second, in a little noise."""
    time = np.arange(int(seconds * rate)) / rate
    calls = np.sin(2 * np.pi * 3 * time) > 0.3
    noise = np.random.default_rng(seed).normal(0, 0.003, len(time))
    return (0.3 * calls * np.sin(2 * np.pi * pitch * time) + noise).astype(np.float32)


def write_folders(archive: Path, *, recordings: int = 4, seconds: float = 3.0) -> None:
    """Write an archive of two species whose calls differ in pitch, and one recording of a third species."""
    pitches = {"Altus clarus": 3000.0, "Bassus gravis": 1000.0}
    for index, (species, pitch) in enumerate(pitches.items()):
        for recording in range(recordings):
            folder = archive / species
            folder.mkdir(parents=True, exist_ok=True)
            sound = chirp(
                pitch * (1 + 0.02 * recording), seconds=seconds + 0.3 * recording, seed=10 * index + recording
            )
            soundfile.write(folder / f"{species[0]}{recording}.wav", sound, RATE)
    (archive / "Solus unicus").mkdir(exist_ok=True)
    soundfile.write(archive / "Solus unicus" / "S0.flac", chirp(2000.0, seconds=seconds, seed=99), RATE)


def small_config(root: Path, archive: Path | None = None) -> Config:
    """Return settings with which the whole chain takes seconds."""
    return Config(
        run="small",
        snapshots=root / "snapshots",
        workers=1,
        dataset=Dataset(root=root, archive=archive, val_share=0.25),
        clips=Clips(max_per_class=0, signal_threshold=0.0005),
        spectrogram=Spectrogram(rate=RATE, fmin=500, fmax=3800, height=16, width=32),
        model=Model(name="Baseline", filters=(4, 8)),
        training=Training(
            epochs=3, batch_size=8, validation_share=0.25, signal_interval=(0.0, 1.0), learning_rate=0.01
        ),
    )


def extracted(folder: Path, *, recordings: int = 6) -> Config:
    """Sort and extract a small archive in a folder; return its settings."""
    import sort_data
    import spec

    write_folders(folder / "archive", recordings=recordings)
    config = small_config(folder / "root", folder / "archive")
    sort_data.main(config)
    spec.main(config)
    return config


def free_port() -> int:
    """Return a port of this machine that no program uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    write_folders(folder)
    return folder
