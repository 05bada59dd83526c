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
from utils.console import info, run, show_grid, show_table
from utils.external.settings import with_external_model
from utils.models.costs import estimate, xla_memory
from utils.models.layer_table import Layer, layers, totals


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
    config = with_external_model(config)
    height, width = config.input_shape
    rows = layers(config.model, classes=flags.classes, shape=config.input_shape)
    parameters, flops = totals(rows)
    title = (
        f"{config.model.name} of {flags.classes} classes, for {height} × {width} values of embeddings, alone"
        if config.external.sha256
        else f"{config.model.name} of {flags.classes} classes, for spectrograms of {height} × {width} pixels "
        f"in {config.model.channels} channel(s)"
    )
    whole = ("all", "", "", "", f"{parameters:,}", f"{flops:,}")
    show_grid(title, ("layer", "kind", "kernel", "output", "parameters", "FLOPs"), [*map(_table_row, rows), whole])
    batch = flags.batch or config.training.batch_size
    _show_costs(rows, config, flags, batch)
    if flags.compile:
        arguments, besides = xla_memory(config.model, classes=flags.classes, shape=config.input_shape, batch=batch)
        info(f"XLA: {_megabytes(arguments)} of weights and images, and {_megabytes(besides)} besides")


def _show_costs(rows: list[Layer], config: Config, flags: TableFlags, batch: int) -> None:
    half = config.training.precision == "bfloat16"
    epochs = flags.epochs or config.training.epochs
    costs = estimate(
        rows, config.training, batch=batch, clips=flags.clips, epochs=epochs, activation_bytes=2 if half else 4
    )
    show_table(
        "Training",
        {
            "weights": _megabytes(costs.weights),
            "gradients": _megabytes(costs.gradients),
            "optimizer": f"{_megabytes(costs.optimizer)} ({config.training.optimizer})",
            "moving average": _megabytes(costs.average),
            "activations": f"{_megabytes(costs.activations)} for {batch} clips, {'bfloat16' if half else 'float32'}",
            "memory": f"about {_megabytes(costs.training)}",
            "a clip": f"{_flops(costs.flops_per_clip)} forward ({costs.flops_per_clip // 2:,} multiply-adds), twice as "
            "many for the gradients",
            "an epoch": f"{_flops(costs.flops_per_epoch)} for {flags.clips:,} clips",
            "in all": f"{_flops(costs.flops_in_all)} for {epochs} epochs",
        },
    )
    show_table("Use", {"float32": f"{_megabytes(costs.float32)} for one clip", "float16": _megabytes(costs.float16)})


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _flops(count: int) -> str:
    power, unit = next(
        (power, unit) for power, unit in ((12, "T"), (9, "G"), (6, "M")) if count >= 10**power or unit == "M"
    )
    return f"{count / 10**power:,.1f} {unit}FLOPs"


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
