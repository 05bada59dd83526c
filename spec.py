"""Cut the sorted recordings into clips, and write those with signal to the store: their spectrograms or their sound.

    python spec.py experiments/birdclef2018.toml

It runs on all cores; if it is stopped or killed, the same command resumes it. A store that was made with other settings
is not changed unless `--fresh` replaces it. `<root>/spec/overview.html` shows which clips were kept and rejected, and
how many other thresholds would keep. The exit status is 3 if a recording could not be read, or not to its end, or if
rows of `clips.table` could not be used; the others are complete. With `dataset.store = "s3://…"` workers upload whole
shards to a store elsewhere, and the page and other extras are in `<root>/remote_spec` (docs/cluster.md).

    python spec.py experiments/birdclef2018.toml --pack s3://bucket/pack

also writes the training's clips in random order, for `training.packed`.

Source: spec.py of the 2018 BirdCLEF baseline.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from config import Config
from utils import console


@dataclass(frozen=True)
class Flags:
    """Flags of a single call, which are never saved with the settings."""

    # delete the store and extract it again; with --pack: delete the pack there and write it again, and keep the store
    fresh: bool = False
    # also write the clips that train.py learns from, in random order and in large files, to this folder, a path or an
    # address gs://, s3://, az:// or file://; training.packed then reads them from there
    pack: str = ""


@dataclass(frozen=True)
class Extracted:
    """The result of extraction.

    Attributes
    ----------
    folder : the folder of the store; of one elsewhere, that of its tables on this machine
    failures, partial : recordings that could not be read, and those that were read in part
    unused : what could not be used of `clips.table`
    """

    folder: Path
    failures: list[console.Failure]
    partial: list[console.Failure]
    unused: list[console.Failure]

    @property
    def complete(self) -> bool:
        """Whether nothing had to be left out."""
        return not self.failures and not self.partial and not self.unused


def main(config: Config, flags: Flags = Flags()) -> Extracted:
    """Fill the store of `config.dataset`."""
    from utils.external.settings import with_external_model
    from utils.recordings.splits import read_split
    from utils.sound.report import is_partial
    from utils.spectra.bands import warn_of_empty_bands
    from utils.spectra.clip_table import read_clip_table, unused_times
    from utils.spectra.engines import engine_of
    from utils.spectra.image_files import write_images
    from utils.spectra.overview import recordings_with_warnings, summarize_extraction
    from utils.spectra.overview_page import write_overview
    from utils.spectra.remote_store import remote_writer
    from utils.spectra.shards import plan_shards
    from utils.spectra.store import Store
    from utils.spectra.store_writer import fill_store, finish_store, open_store_folder, with_settings_of_store
    from utils.timings import record_time

    elapsed = console.stopwatch()
    config = with_external_model(config)
    warn_of_empty_bands(config.spectrogram)
    split = read_split(config.dataset)
    table = read_clip_table(split, config)
    with console.alone(config.dataset.root, "spec"), remote_writer(config) as remote:
        folder = (remote.open_tables if remote else open_store_folder)(config, fresh=flags.fresh and not flags.pack)
        config = with_settings_of_store(config, folder)
        shards = plan_shards(split, config, folder, times=table.times)
        work, then = engine_of(config)
        if remote:
            remote.fill_shards(shards, config, work=work, then=then)
        else:
            fill_store(shards, config, folder, work=work, then=then)
        recordings = finish_store(shards, split, folder)
        if remote:
            remote.publish(shards)
        store = Store(config.dataset.root, at=config.dataset.store)
        write_images(store, config)
        classes = write_overview(store, config)
        record_time(config.dataset.root, "spec", elapsed())
        if flags.pack:
            from utils.learning.packing import write_pack  # imports JAX, which extraction does without

            write_pack(store, config, flags.pack, fresh=flags.fresh)
    failures = summarize_extraction(classes, recordings, store, config, seconds=elapsed())
    unused = unused_times(table, recordings, rate=config.spectrogram.rate)
    partial = [warning for warning in recordings_with_warnings(recordings) if is_partial(warning.reason)]
    return Extracted(folder, failures, partial, unused)


if __name__ == "__main__":
    sys.exit(
        console.run(
            main,
            doc=__doc__,
            sections=("dataset", "clips", "spectrogram", "external", "cluster", "log"),
            flags=Flags,
            complete=lambda result: result.complete,
        )
    )
