"""Publish a trained model: a folder with model card, snapshot and exports, ready for the Hugging Face Hub.

    python card.py snapshots/mine --license cc-by-4.0 --author "Anna Alder" --description about.md
    python card.py snapshots/mine --formats onnx onnx-int8 openvino
    python card.py snapshots/mine-published --upload anna/garden-birds

The model card says what the model is, what it was trained on and how good it is, from what the run, its data set and
test.py know, and which limits follow. What only its author knows is marked, and the end lists it. No path of this
machine is in the folder. `--snapshot` of predict.py takes the folder, and hf:OWNER/NAME once it is uploaded. An upload
is private unless --public is given; the token is that of `hf auth login`.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from config import Config
from utils import console
from utils.publishing.call import CardFlags, split_card_call

if TYPE_CHECKING:
    from utils.publishing.publishing import PublishedModel


def main(places: Sequence[str], config: Config, flags: CardFlags) -> "PublishedModel":
    """Write the folder of the run or snapshot at a place, and upload it if that is asked for."""
    from utils.publishing.publishing import prepare_card, report_card, upload_card, write_card

    elapsed = console.stopwatch()
    with prepare_card(places, config, flags) as task:
        published = upload_card(write_card(task, flags), flags)
        return report_card(published, flags, seconds=elapsed())


def command(arguments: Sequence[str]) -> int:
    """Run the command line `RUN_OR_SNAPSHOT [EXPERIMENT.toml] [--flag VALUE …]`; return the exit status."""
    places, words = split_card_call(arguments)
    return console.run(
        partial(main, places),
        doc=__doc__,
        sections=("testing", "log"),
        flags=CardFlags,
        arguments=words,
        script="card.py RUN_OR_SNAPSHOT",
    )


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
