"""Show what a net is made of: layers, shapes of their outputs, parameters, and FLOPs per clip.

    python -m utils.models ResNet
    python -m utils.models Pi experiments/demo.toml --model.dense_units 64 --classes 20

The net's name may be left out: then it is that of the experiment. FLOPs are two for each multiply-add of convolutions
and dense layers.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from config import Config, Count
from utils.console import run, show_grid
from utils.models.layer_table import Layer, layers, totals


@dataclass(frozen=True)
class Call:
    """What this call asks for, besides the settings."""

    classes: Count = 1500  # how many classes the net answers; BirdCLEF 2018 had 1500


def main(config: Config, call: Call) -> None:
    """Print the table."""
    height, width = config.spectrogram.shape
    rows = layers(config.model, classes=call.classes, shape=config.spectrogram.shape)
    parameters, flops = totals(rows)
    title = f"{config.model.name} of {call.classes} classes, for pictures of {height} × {width} pixels in {config.model.channels} channel(s)"
    whole = ("all", "", "", "", f"{parameters:,}", f"{flops:,}")
    show_grid(title, ("layer", "kind", "kernel", "output", "parameters", "FLOPs"), [*map(_row, rows), whole])


def _row(layer: Layer) -> tuple[str, ...]:
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
    """Put the net's name, which comes first, where a script takes it: behind the experiment's file."""
    if not words or words[0].startswith("-") or words[0].endswith(".toml"):
        return list(words)
    name, *rest = words
    file = rest[:1] if rest and not rest[0].startswith("-") else []
    return [*file, "--model.name", name, *rest[len(file) :]]


if __name__ == "__main__":
    sys.exit(run(main, doc=__doc__, flags=Call, script="-m utils.models", arguments=in_order(sys.argv[1:])))
