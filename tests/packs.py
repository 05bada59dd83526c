"""A small training from a pack, for tests."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import sort_data
import spec
from config import Config
from tests.conftest import small_config, write_folders
from utils.learning import pack_plan, packing

CLIPS_PER_FILE = 6


@contextmanager
def small_files() -> Iterator[None]:
    """Let packs have small files, and save what is done of them after each shard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_plan, "FILE_BYTES", CLIPS_PER_FILE * 16 * 32)
        patch.setattr(packing, "READ_BYTES", 4 * 16 * 32)
        patch.setattr(packing, "SHARDS_PER_SAVE", 1)
        yield


def training_from_pack(folder: Path) -> Config:
    """Let spec.py write a pack; return the settings of a training from it."""
    write_folders(folder / "archive", recordings=6)
    config = small_config(folder / "root", folder / "archive")
    clips = dataclasses.replace(config.clips, noise_share=1.0, signal_threshold=0.06)
    config = dataclasses.replace(config, clips=clips)
    sort_data.main(config)
    spec.main(config, spec.Flags(pack=str(folder / "pack")))
    return with_training(config, packed=folder / "pack", buffer=10)


def with_training(config: Config, **training: object) -> Config:
    """Change settings of training."""
    return dataclasses.replace(config, training=dataclasses.replace(config.training, **training))
