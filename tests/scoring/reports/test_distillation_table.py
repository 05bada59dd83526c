"""The saved table of a distillation, also as earlier versions wrote it."""

import dataclasses
import json
from pathlib import Path

import pytest

from config import Config
from utils.console import UserError
from utils.files import write_json
from utils.scoring.reports.distillation_table import NetworkRow, read_table_of, row_texts
from utils.settings_keys import settings_for_key

STUDENT = NetworkRow("student", 1200, 3_500_000, 9_000, 812.6, 0.5, 0.4, 0.625, None, None, None)
TEACHER = NetworkRow("large", 12_000, 35_000_000, 90_000, 81.0, 0.625, 0.5, 0.75, 0.125, -0.125, 0.25)
OLD_NAMES = {"networks": "nets", "difference": "ahead", "difference_low": "ahead_low", "difference_high": "ahead_high"}


def saved(folder: Path, *, renamed: dict[str, str] | None = None) -> Config:
    config = dataclasses.replace(Config(), snapshots=folder, run="small")
    rows = [
        {(renamed or {}).get(name, name): value for name, value in dataclasses.asdict(row).items()}
        for row in (TEACHER, STUDENT)
    ]
    table = {"testing": settings_for_key(config, of=("testing.",)), (renamed or {}).get("networks", "networks"): rows}
    (config.run_folder / "test").mkdir(parents=True)
    write_json(config.run_folder / "test" / "distillation.json", table)
    return config


@pytest.mark.parametrize("renamed", [None, OLD_NAMES], ids=["as now", "of an earlier version"])
def test_the_table_is_read(tmp_path: Path, renamed: dict[str, str] | None) -> None:
    assert read_table_of(saved(tmp_path, renamed=renamed)) == (TEACHER, STUDENT)


def test_other_settings_and_damaged_files(tmp_path: Path) -> None:
    assert read_table_of(dataclasses.replace(Config(), snapshots=tmp_path)) == ()
    config = saved(tmp_path)
    other = dataclasses.replace(config, testing=dataclasses.replace(config.testing, pooling="mean"))
    assert read_table_of(other) == ()
    path = config.run_folder / "test" / "distillation.json"
    content = json.loads(path.read_text())
    del content["networks"][0]["flops"]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"distillation\.json: networks\.0\.flops: .*; run distill\.py again$"):
        read_table_of(config)


def test_rows_for_people() -> None:
    assert row_texts(TEACHER) == [
        "large",
        "12,000",
        "35.00",
        "0.09",
        "81",
        "0.625 (0.500 to 0.750)",
        "+0.125 (−0.125 to +0.250)",
    ]
    assert row_texts(STUDENT)[-1] == ""
