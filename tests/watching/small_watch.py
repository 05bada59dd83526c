"""A small run with an untrained network, a folder of recordings, and a predictor that needs no network."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import soundfile

from config import Config, Submission
from tests.conftest import RATE, small_config
from tests.scoring.inference.test_recordings import snapshot
from utils.console import Failure
from utils.files import write_text
from utils.settings import to_toml
from utils.watching.arrivals import Arrivals
from utils.watching.call import WatchFlags
from utils.watching.live import Live
from utils.watching.prediction import NamedDetection, PredictedRecording
from utils.watching.state import WatchState
from utils.watching.tables import append_rows
from utils.watching.watcher import Watcher
from utils.watching.webhook import Webhook

CLASSES = ("Parus major", "Turdus <b>merula</b>", "Sitta europaea")
HEADER = "recording,start,end,species,score\n"
ONCE = WatchFlags(once=True, settle=0.0, every=0.1, patience=0.0)


def small_run(root: Path) -> Config:
    """Write an untrained run named mine, whose settings are beside its snapshot."""
    plain = small_config(root)
    made = dataclasses.replace(
        plain,
        run="mine",
        testing=dataclasses.replace(plain.testing, pooling="mean"),
        submission=Submission(interval=1.0, folder=root / "submissions"),
    )
    snapshot(made, "mine", CLASSES, seed=1)
    write_text(made.run_folder / "settings.toml", to_toml(made))
    return made


def write_recording(path: Path, *, seconds: float = 2.2, seed: int = 0) -> Path:
    """Write a recording of noise, an hour old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
    soundfile.write(path, sound, RATE)
    os.utime(path, (1.7e9 + seed, 1.7e9 + seed))
    return path


class MadeUp:
    """Predicts two detections in each recording, without reading it; `bad` ones fail, `cut` ones are cut off."""

    header = HEADER
    settings = Config()
    facts: dict[str, str] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self.predicted: list[str] = []

    def predict(self, path: str) -> PredictedRecording | Failure:
        self.predicted.append(path)
        if "bad" in path:
            return Failure(path, "is bad")
        found = tuple(NamedDetection(species, 0.0, 1.0, 0.5) for species in CLASSES[:2])
        lines = "".join(f"{path},0,1,{one.species},0.5\n" for one in found)
        odd = ("2.0 of 3.0 s are there and are used",) if "cut" in path else ()
        return PredictedRecording(lines, found, 1.0, odd)


def watcher_of(
    folder: Path, out: Path, predictor: MadeUp, flags: WatchFlags = ONCE, *, address: str = ""
) -> tuple[Watcher, WatchState, Webhook | None]:
    """Return a watcher as `open_watch` makes it, without a model."""
    (out / "detections").mkdir(parents=True, exist_ok=True)
    state = WatchState(out)
    for rows in state.unwritten():
        append_rows(out / "detections", rows)
    arrivals = Arrivals(folder, state.known, without=out, settle=flags.settle)
    live = Live(done=state.count("done"), failed=state.count("failed"))
    webhook = Webhook(address, state, first_wait=0.01) if address else None
    made = Watcher(arrivals, predictor, state, out / "detections", live, flags, webhook=webhook)
    return made, state, webhook


def rows_of(out: Path) -> list[str]:
    """Return the rows of all tables, without headers."""
    lines = [line for path in sorted((out / "detections").glob("*.csv")) for line in path.read_text().splitlines()]
    return [line for line in lines if line != HEADER.strip()]
