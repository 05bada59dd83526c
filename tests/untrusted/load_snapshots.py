"""Read snapshots in a process of their own, for of damaged ones Orbax leaves behind what speaks later; a line of JSON each: its trouble, or a fingerprint."""

import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np

from utils.console import UserError
from utils.models.snapshots import describe, learned_from, load_network, restore_training

TRAINING = {"moments": np.arange(500, dtype=np.float32), "count": np.int32(7)}


def outcome(folder: Path) -> tuple[str | None, str | None]:
    try:
        described = describe(folder)
        learned_from(described)
        trees = load_network(described)[1], restore_training(described, TRAINING)
    except UserError as trouble:
        return str(trouble), None
    return None, hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(trees))).hexdigest()


if __name__ == "__main__":
    for line in sys.stdin.read().splitlines():
        print(json.dumps(outcome(Path(line))), flush=True)
