"""The tables of `python -m utils.models`: the layers of a model, and what training and using it costs."""

from config import Training
from utils.console import show_grid, show_table
from utils.models.costs import estimate
from utils.models.layer_table import Layer, totals


def show_layers(title: str, rows: list[Layer]) -> None:
    """Print the layers, and the sums of parameters and FLOPs."""
    parameters, flops = totals(rows)
    whole = ("all", "", "", "", f"{parameters:,}", f"{flops:,}")
    show_grid(title, ("layer", "kind", "kernel", "output", "parameters", "FLOPs"), [*map(_table_row, rows), whole])


def show_costs(rows: list[Layer], training: Training, *, batch: int, clips: int, epochs: int) -> None:
    """Print what training and using the model costs.

    Parameters
    ----------
    batch : clips per training step
    clips : clips per epoch
    """
    half = training.precision == "bfloat16"
    costs = estimate(rows, training, batch=batch, clips=clips, epochs=epochs, activation_bytes=2 if half else 4)
    show_table(
        "Training",
        {
            "weights": megabytes(costs.weights),
            "gradients": megabytes(costs.gradients),
            "optimizer": f"{megabytes(costs.optimizer)} ({training.optimizer})",
            "moving average": megabytes(costs.average),
            "activations": f"{megabytes(costs.activations)} for {batch} clips, {'bfloat16' if half else 'float32'}",
            "memory": f"about {megabytes(costs.training)}",
            "a clip": f"{_flops(costs.flops_per_clip)} forward ({costs.flops_per_clip // 2:,} multiply-adds), twice as "
            "many for the gradients",
            "an epoch": f"{_flops(costs.flops_per_epoch)} for {clips:,} clips",
            "in all": f"{_flops(costs.flops_in_all)} for {epochs} epochs",
        },
    )
    show_table("Use", {"float32": f"{megabytes(costs.float32)} for one clip", "float16": megabytes(costs.float16)})


def megabytes(size: int) -> str:
    """Write a number of bytes for people."""
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


def _shape(lengths: tuple[int, ...]) -> str:
    return "×".join(map(str, lengths))
