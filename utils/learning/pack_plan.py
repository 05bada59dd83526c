"""Which clip comes where in a pack: it follows from the settings and the clips alone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from config import Config
from utils.learning.examples import Examples
from utils.settings_keys import settings_for_key, short_key
from utils.spectra.pack import PACK_SETTINGS
from utils.spectra.shard_arrays import array_header, at_once
from utils.spectra.store import Store
from utils.spectra.stored_sound import RowFormat
from utils.storage import Storage

FILE_BYTES = 64_000_000  # of a file of a pack, at most
ORDER_STREAM = 5  # of random numbers, besides those of training


@dataclass(frozen=True)
class PlannedFile:
    """A file of a pack: its name without ending, and its clips as rows of the store."""

    name: str
    rows: Int64[np.ndarray, " clips"]


@dataclass(frozen=True)
class PackPlan:
    """What a pack will hold.

    Attributes
    ----------
    key : hash of settings and clips
    clips : number of clips to learn from
    row : what is kept of each clip
    """

    key: str
    clips: int
    row: RowFormat
    files: list[PlannedFile]

    def bytes_of(self, file: PlannedFile) -> int:
        """Return the size of a file."""
        return len(array_header(len(file.rows), self.row)) + len(file.rows) * self.row.bytes


def plan_pack(examples: Examples, store: Store, config: Config) -> PackPlan:
    """Return which clip comes where in a pack; it depends on clips and settings alone."""
    some = examples.clips(examples.rows[:1])
    row = RowFormat(some.shape[1:], some.dtype)
    order = np.random.default_rng((config.training.seed, ORDER_STREAM)).permutation(examples.rows)
    # noise that is learned is in the pack anyway, and training finds it there
    noise = np.setdiff1d(examples.noise_rows, examples.rows)
    groups = {"pack": order, "validation": examples.validation_rows, "noise": noise}
    each = max(FILE_BYTES // row.bytes, 1)
    files = [
        PlannedFile(f"{group}-{index:05d}-of-{-(-len(rows) // each):05d}", rows[start : start + each])
        for group, rows in groups.items()
        for index, start in enumerate(range(0, len(rows), each))
    ]
    shards = store.clips["shard"].gather(np.concatenate(list(groups.values()))).unique().sort().to_list()
    made_from = at_once(store.storage, lambda shard: _key_of_shard(store.storage, shard), shards)
    content = [settings_for_key(config, of=PACK_SETTINGS), examples.fingerprint, noise.tolist(), each, *made_from]
    return PackPlan(short_key(content), len(order), row, files)


def _key_of_shard(storage: Storage, shard: str) -> str:
    try:
        return storage.read(f"shards/{shard}/key.txt").decode()
    except FileNotFoundError:
        return ""
