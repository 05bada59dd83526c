"""Show the layers of a model: shapes of their outputs, parameters, and FLOPs per clip.

    python -m utils.models ResNet
    python -m utils.models Pi experiments/demo.toml --model.dense_units 64 --classes 20

Without a name, it is the model of the experiment. FLOPs are two per multiply-add of convolutions and dense layers.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from config import Config, Count
from utils.console import run, show_grid
from utils.models.layer_table import Layer, layers, totals


@dataclass(frozen=True)
class TableFlags:
    """Flags of a single call."""

    classes: Count = 1500  # number of classes; BirdCLEF 2018 had 1500


def main(config: Config, flags: TableFlags) -> None:
    """Print the table."""
    height, width = config.spectrogram.shape
    rows = layers(config.model, classes=flags.classes, shape=config.spectrogram.shape)
    parameters, flops = totals(rows)
    title = (
        f"{config.model.name} of {flags.classes} classes, for spectrograms of {height} × {width} pixels "
        f"in {config.model.channels} channel(s)"
    )
    whole = ("all", "", "", "", f"{parameters:,}", f"{flops:,}")
    show_grid(title, ("layer", "kind", "kernel", "output", "parameters", "FLOPs"), [*map(_table_row, rows), whole])


def _table_row(layer: Layer) -> tuple[str, ...]:
    name = layer.name if layer.whole else f"  {layer.name.split('/')[-1]}"
    return (
        name,
        layer.kind,
        _shape(layer.kernel),
        _shape(layer.output),
        f"{layer.parameters:,}",
        f"{layer.flops:,}" if layer.flops else "",
    )


def _shape(sides: tuple[int, ...]) -> str:
    return "×".join(map(str, sides))


def in_order(words: Sequence[str]) -> list[str]:
    """Turn the model's name, which comes first, into a flag behind the experiment's file."""
    if not words or words[0].startswith("-") or words[0].endswith(".toml"):
        return list(words)
    name, *rest = words
    file = rest[:1] if rest and not rest[0].startswith("-") else []
    return [*file, "--model.name", name, *rest[len(file) :]]


if __name__ == "__main__":
    sys.exit(run(main, doc=__doc__, flags=TableFlags, script="-m utils.models", arguments=in_order(sys.argv[1:])))
