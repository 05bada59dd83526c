"""Reads snapshots in a separate process, because Orbax prints errors of damaged ones later, from other threads.

Prints one line of JSON per snapshot: its error, or a hash of its arrays.
"""

import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np

from utils.console import UserError
from utils.models.saved_networks import load_network, restore_training_state
from utils.models.snapshots import read_snapshot, recordings_used, validation_recordings_of

TRAINING = {"moments": np.arange(500, dtype=np.float32), "count": np.int32(7)}


def outcome(folder: Path) -> tuple[str | None, str | None]:
    try:
        described = read_snapshot(folder)
        recordings_used(described)
        validation_recordings_of(described)
        trees = load_network(described)[1], restore_training_state(described, TRAINING)
    except UserError as error:
        return str(error), None
    return None, hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(trees))).hexdigest()


if __name__ == "__main__":
    for line in sys.stdin.read().splitlines():
        print(json.dumps(outcome(Path(line))), flush=True)
