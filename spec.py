"""Turn the sorted recordings into pictures of one second, reject the empty ones, and keep the rest in the spectrogram store.

    python spec.py experiments/birdclef2018.toml

Runs on all cores; stopped or killed, it goes on where it was. Settings that change the pictures are refused for a store
that is there, unless `--fresh` makes it anew. `<root>/spec/overview.html` shows what was kept and rejected, and what
other thresholds would keep. The exit status is 3 where a recording could not be used, or only a part of it could be
read; all others are done.

Source: spec.py of the 2018 BirdCLEF baseline.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console
from utils.recordings.splits import read_split
from utils.sound.report import is_partial
from utils.spectra.engines import engine_of
from utils.spectra.filling import fill, finish, open_folder, plan
from utils.spectra.image_files import write_pictures
from utils.spectra.overview import summarize, warned
from utils.spectra.overview_page import write_overview
from utils.spectra.store import Store
from utils.timings import note_time


@dataclass(frozen=True)
class Flags:
    """What this call may ask for."""

    fresh: bool = False  # throw the store away and make it anew


@dataclass(frozen=True)
class Extracted:
    """What extraction left: the store's folder, the recordings that could not be used, and those of which only a part could be read."""

    folder: Path
    failures: list[console.Failure]
    partial: list[console.Failure]


def main(config: Config, flags: Flags = Flags()) -> Extracted:
    """Fill the spectrogram store of `config.dataset.root`."""
    passed = console.stopwatch()
    split = read_split(config.dataset)
    with console.alone(config.dataset.root, "spec"):
        folder = open_folder(config, fresh=flags.fresh)
        shards = plan(split, config, folder)
        work, then = engine_of(config)
        fill(shards, config, folder, work=work, then=then)
        recordings = finish(shards, split, folder)
        store = Store(config.dataset.root)
        write_pictures(store, config)
        classes = write_overview(store, config)
        note_time(config.dataset.root, "spec", passed())
    failures = summarize(classes, recordings, store, config, seconds=passed())
    return Extracted(folder, failures, [warning for warning in warned(recordings) if is_partial(warning.reason)])


if __name__ == "__main__":
    sys.exit(
        console.run(main, doc=__doc__, flags=Flags, complete=lambda result: not result.failures and not result.partial)
    )
