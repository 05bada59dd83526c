"""The models are those of docs/baseline.md: shapes, parameters and FLOPs, computed by hand from its text."""

from itertools import pairwise

import jax
import pytest

from config import Config, Model, SettingsError
from utils.command_line import from_command_line
from utils.models.__main__ import TableFlags, in_order, main
from utils.models.layer_table import flops, layers, totals
from utils.models.networks import build_network, count_parameters

SMALL = {"filters": (4, 6), "kernel_sizes": (3, 5), "groups": (1, 1), "dense_units": 7}
Stage = tuple[tuple[int, ...], int, int]  # shape of the output, parameters, multiply-adds

# Stride 2 with (k - 1) / 2 zeros on each side gives ceil(side / 2): 17 × 23 becomes 9 × 12, then 5 × 6. Maxima give
# floor(side / 2): 8 × 11, then 4 × 5.
# Parameters of a norm: a scale and a shift for each channel. Convolutions have biases where no norm follows, and at the
# end of a ResNet's block.
DENSE_OF_12: Stage = ((3,), 12 * 3 + 3, 12 * 3)
BY_HAND: dict[str, tuple[Model, tuple[int, int], list[Stage]]] = {
    "Baseline": (
        Model(name="Baseline", **SMALL),
        (16, 32),
        [
            ((8, 16, 4), 3 * 3 * 1 * 4 + 2 * 4, 8 * 16 * 4 * (3 * 3 * 1)),
            ((4, 8, 6), 5 * 5 * 4 * 6 + 2 * 6, 4 * 8 * 6 * (5 * 5 * 4)),
            ((4, 8, 12), 1 * 1 * 6 * 12, 4 * 8 * 12 * 6),  # to twice the last filters
            ((4, 8, 12), 2 * 12, 0),  # its norm
            DENSE_OF_12,
        ],
    ),
    "Baseline, maxima, no norm, 2 parts, 3 channels, odd sides": (
        Model(name="Baseline", **(SMALL | {"groups": (2, 2)}), max_pooling=True, batch_norm=False, channels=3),
        (17, 23),
        [
            # the first convolution is never cut into parts; it computes before the maxima
            ((8, 11, 4), 3 * 3 * 3 * 4 + 4, 17 * 23 * 4 * (3 * 3 * 3)),
            ((4, 5, 6), 5 * 5 * (4 // 2) * 6 + 6, 8 * 11 * 6 * (5 * 5 * 4 // 2)),
            ((4, 5, 12), 6 * 12 + 12, 4 * 5 * 12 * 6),
            DENSE_OF_12,
        ],
    ),
    "ResNet, odd sides": (
        Model(name="ResNet", **SMALL),
        (17, 23),
        [
            ((17, 23, 4), 9 * 1 * 4, 17 * 23 * 4 * 9),
            # norm, conv, norm, conv, shortcut
            ((9, 12, 8), 2 * 4 + 9 * 4 * 8 + 2 * 8 + (9 * 8 * 8 + 8) + 4 * 8, 9 * 12 * 8 * (9 * 4 + 9 * 8 + 4)),
            ((9, 12, 8), 2 * 8 + 9 * 8 * 8 + 2 * 8 + (9 * 8 * 8 + 8), 9 * 12 * 8 * (9 * 8 + 9 * 8)),
            (
                (5, 6, 12),
                2 * 8 + 25 * 8 * 12 + 2 * 12 + (25 * 12 * 12 + 12) + 8 * 12,
                5 * 6 * 12 * (25 * 8 + 25 * 12 + 8),
            ),
            ((5, 6, 12), 2 * 12 + 25 * 12 * 12 + 2 * 12 + (25 * 12 * 12 + 12), 5 * 6 * 12 * (25 * 12 + 25 * 12)),
            ((5, 6, 12), 2 * 12, 0),
            DENSE_OF_12,
        ],
    ),
    "ResNet, maxima, wider, shallower, 3 channels, odd sides": (
        Model(name="ResNet", **SMALL, max_pooling=True, channels=3, resnet_k=3, resnet_n=1),
        (17, 23),
        [
            ((17, 23, 4), 9 * 3 * 4, 17 * 23 * 4 * 27),
            # maxima stand between the block's convolutions, and before its shortcut's
            (
                (8, 11, 12),
                2 * 4 + 9 * 4 * 12 + 2 * 12 + (9 * 12 * 12 + 12) + 4 * 12,
                17 * 23 * 12 * (9 * 4) + 8 * 11 * 12 * (9 * 12 + 4),
            ),
            (
                (4, 5, 18),
                2 * 12 + 25 * 12 * 18 + 2 * 18 + (25 * 18 * 18 + 18) + 12 * 18,
                8 * 11 * 18 * (25 * 12) + 4 * 5 * 18 * (25 * 18 + 12),
            ),
            ((4, 5, 18), 2 * 18, 0),
            ((3,), 18 * 3 + 3, 18 * 3),
        ],
    ),
    "ResNet, 2 parts, no norm": (
        Model(name="ResNet", **(SMALL | {"groups": (2, 2)}), batch_norm=False, resnet_n=1),
        (16, 32),
        [
            ((16, 32, 4), 9 * 4 + 4, 16 * 32 * 4 * 9),
            # shortcuts are not cut into parts
            ((8, 16, 8), (9 * 2 * 8 + 8) + (9 * 4 * 8 + 8) + 4 * 8, 8 * 16 * 8 * (9 * 2 + 9 * 4 + 4)),
            ((4, 8, 12), (25 * 4 * 12 + 12) + (25 * 6 * 12 + 12) + 8 * 12, 4 * 8 * 12 * (25 * 4 + 25 * 6 + 8)),
            DENSE_OF_12,
        ],
    ),
    "Pi, odd sides": (
        Model(name="Pi", **SMALL),
        (17, 23),
        [
            ((9, 12, 4), 9 * 1 * 4 + 2 * 4, 9 * 12 * 4 * 9),
            ((5, 6, 6), 25 * 4 * 6 + 2 * 6, 5 * 6 * 6 * (25 * 4)),
            ((7,), (5 * 6 * 6) * 7 + 7, (5 * 6 * 6) * 7),
            ((7,), 7 * 7 + 7, 7 * 7),
            ((3,), 7 * 3 + 3, 7 * 3),
        ],
    ),
    "Pi, maxima, no norm, 2 parts, 3 channels, odd sides": (
        Model(name="Pi", **(SMALL | {"groups": (1, 2)}), max_pooling=True, batch_norm=False, channels=3),
        (17, 23),
        [
            ((8, 11, 4), 9 * 3 * 4 + 4, 17 * 23 * 4 * 27),
            ((4, 5, 6), 25 * 2 * 6 + 6, 8 * 11 * 6 * (25 * 2)),
            ((7,), (4 * 5 * 6) * 7 + 7, (4 * 5 * 6) * 7),
            ((7,), 7 * 7 + 7, 7 * 7),
            ((3,), 7 * 3 + 3, 7 * 3),
        ],
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_every_stage_is_as_by_hand(case: str) -> None:
    settings, shape, stages = BY_HAND[case]
    rows = layers(settings, classes=3, shape=shape)
    assert [(row.output, row.parameters, row.flops) for row in rows if row.whole] == [
        (output, count, 2 * adds) for output, count, adds in stages
    ]
    assert totals(rows) == (sum(count for _, count, _ in stages), 2 * sum(adds for _, _, adds in stages))
    assert flops(settings, classes=3, shape=shape) == totals(rows)[1]
    network = jax.eval_shape(lambda: build_network(settings, classes=3, shape=shape, seed=0)[1])
    assert count_parameters(network) == sum(count for _, count, _ in stages)


def test_the_default_net_of_2018() -> None:
    def block(before: int, width: int, *, first: bool) -> int:
        return (
            2 * before + 9 * before * width + 2 * width + 9 * width * width + width + (before * width if first else 0)
        )

    widths = [16, 32, 64, 128, 256]  # the first convolution's, then twice the filters
    stacks = sum(block(a, b, first=True) + block(b, b, first=False) for a, b in pairwise(widths))
    count, _ = totals(layers(Model(), classes=1500, shape=(128, 256)))
    assert count == 9 * 16 + stacks + 2 * 256 + (256 * 1500 + 1500)


def test_parts_add_up_to_their_stage() -> None:
    rows = layers(Model(**SMALL), classes=3, shape=(16, 32))
    block, parts = rows[1], rows[2:7]
    assert [part.name.removeprefix("blocks/0/") for part in parts] == [
        "norm_in",
        "convolution_in",
        "norm_out",
        "convolution_out",
        "shortcut",
    ]
    assert (block.name, block.parameters, block.flops) == (
        "blocks/0",
        sum(part.parameters for part in parts),
        sum(part.flops for part in parts),
    )
    assert parts[1].kernel == (3, 3, 4, 8)
    assert parts[0].output == (16, 32, 4)


def test_the_table_needs_no_weights() -> None:
    huge = Model(name="Pi", filters=(256,), dense_units=100_000)  # 209 billion weights
    assert totals(layers(huge, classes=3, shape=(256, 128)))[0] > 128 * 64 * 256 * 100_000


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main(Config(model=Model(name="Pi")), TableFlags(classes=20))
    text = capsys.readouterr().out
    # groups: 160 + 4,672 + 18,560 + 73,984 with norms' scales; dense: 8 · 16 · 128 values
    count = (
        (9 * 16 + 32)
        + (9 * 16 * 32 + 64)
        + (9 * 32 * 64 + 128)
        + (9 * 64 * 128 + 256)
        + (8 * 16 * 128 * 512 + 512)
        + (512 * 512 + 512)
        + (512 * 20 + 20)
    )
    assert any(line.startswith("all ") and f" {count:,} " in line for line in text.splitlines())
    assert "3×3×16×32" in text
    assert "8×16×128" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        (["Pi"], ["--model.name", "Pi"]),
        (["Pi", "--model.dense_units", "64"], ["--model.name", "Pi", "--model.dense_units", "64"]),
        (["Pi", "x.toml", "--classes", "9"], ["x.toml", "--model.name", "Pi", "--classes", "9"]),
        (["x.toml", "--classes", "9"], ["x.toml", "--classes", "9"]),
        (["--classes", "9"], ["--classes", "9"]),
        ([], []),
    ],
)
def test_the_nets_name_goes_behind_the_file(words: list[str], ordered: list[str]) -> None:
    assert in_order(words) == ordered


def test_a_net_that_is_none_is_named() -> None:
    with pytest.raises(SettingsError, match=r"""model\.name = "Resnet": should be 'Baseline', .*'Pi'"""):
        from_command_line(in_order(["Resnet"]), doc="", script="-m utils.models", flags=TableFlags)
