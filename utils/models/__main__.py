"""Show the layers of a model, shapes of their outputs, parameters and FLOPs; and what training and using it costs.

    python -m utils.models EfficientNetB0
    python -m utils.models Pi experiments/demo.toml --model.dense_units 64 --classes 20
    python -m utils.models ConvNeXtTiny --batch 64 --clips 6000 --epochs 50

Without a name, it is the model of the experiment. FLOPs are two per multiply-add of convolutions and dense layers.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from config import Config, Count, CountOrNone
from utils.console import info, run


@dataclass(frozen=True)
class TableFlags:
    """Flags of a single call."""

    classes: Count = 1500  # number of classes; BirdCLEF 2018 had 1500
    batch: CountOrNone = 0  # clips per training step; 0: training.batch_size
    clips: Count = 10_000  # clips per epoch
    epochs: CountOrNone = 0  # epochs of the training; 0: training.epochs
    compile: bool = False  # also compile a training step and say what memory it needs; takes a minute or more


def main(config: Config, flags: TableFlags) -> None:
    """Print the table."""
    from utils.external.settings import with_external_model
    from utils.models.cost_tables import megabytes, show_costs, show_layers
    from utils.models.costs import xla_memory
    from utils.models.layer_table import layers

    config = with_external_model(config)
    height, width = config.input_shape
    rows = layers(config.model, classes=flags.classes, shape=config.input_shape)
    title = (
        f"{config.model.name} of {flags.classes} classes, for {height} × {width} values of embeddings, alone"
        if config.external.sha256
        else f"{config.model.name} of {flags.classes} classes, for spectrograms of {height} × {width} pixels "
        f"in {config.model.channels} channel(s)"
    )
    show_layers(title, rows)
    batch, epochs = flags.batch or config.training.batch_size, flags.epochs or config.training.epochs
    show_costs(rows, config.training, batch=batch, clips=flags.clips, epochs=epochs)
    if flags.compile:
        arguments, besides = xla_memory(config.model, classes=flags.classes, shape=config.input_shape, batch=batch)
        info(f"XLA: {megabytes(arguments)} of weights and images, and {megabytes(besides)} besides")


def in_order(words: Sequence[str]) -> list[str]:
    """Turn the model's name, which comes first, into a flag behind the experiment's file."""
    if not words or words[0].startswith("-") or words[0].endswith(".toml"):
        return list(words)
    name, *rest = words
    file = rest[:1] if rest and not rest[0].startswith("-") else []
    return [*file, "--model.name", name, *rest[len(file) :]]


if __name__ == "__main__":
    sys.exit(run(main, doc=__doc__, flags=TableFlags, script="-m utils.models", arguments=in_order(sys.argv[1:])))
