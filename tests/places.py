"""A made-up data set whose species differ by place and season, without sounds, and rasters of it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Shaped

from config import Config
from tests.conftest import small_config
from utils.files import json_text, write_text
from utils.recordings.recording import Recording, to_metadata
from utils.recordings.splits import Assignment, split_table, write_split

NORTH, SOUTH = "Altus clarus", "Bassus gravis"
SUMMER = "Cantor brevis"


def write_placed_data(root: Path, recordings: list[Recording], *, held_out: int = 5) -> Config:
    """Write metadata/ and split.parquet; every `held_out`-th recording is in val/. Return settings for the data set."""
    for one in recordings:
        write_text(root / "metadata" / f"{one.name}.json", json_text(to_metadata(one)))
    assignments = [Assignment("train" if index % held_out else "val", None, "") for index in range(len(recordings))]
    table = split_table(
        recordings, assignments, [one.name for one in recordings], [str(one.file) for one in recordings]
    )
    write_split(root, table)
    return with_metadata_settings(small_config(root), iterations=40)


def with_metadata_settings(config: Config, **changes: Any) -> Config:
    return dataclasses.replace(config, metadata=dataclasses.replace(config.metadata, **changes))


def seasonal_recordings(*, per_species: int = 40, seed: int = 0) -> list[Recording]:
    """Two species of the north, of which one is there in June to August only, and one of the south."""
    rng = np.random.default_rng(seed)
    recordings = []
    for index in range(3 * per_species):
        species = (NORTH, SOUTH, SUMMER)[index % 3]
        latitude = float(rng.uniform(-40, -5) if species == SOUTH else rng.uniform(5, 40))
        months = (6, 7, 8) if species == SUMMER else (1, 2, 3, 4, 5, 9, 10, 11, 12)
        recordings.append(
            Recording(
                f"r{index:03d}",
                Path("train", species, f"r{index:03d}.wav"),
                species,
                date=f"2023-{rng.choice(months):02d}-{rng.integers(1, 29):02d}",
                latitude=round(latitude, 3),
                longitude=round(float(rng.uniform(-179, 179)), 3),
                elevation=f"{rng.integers(0, 900)} m",
            )
        )
    return recordings


def write_raster(
    path: Path,
    values: Shaped[np.ndarray, "rows columns"] | Shaped[np.ndarray, "bands rows columns"],
    *,
    bounds: tuple[float, float, float, float] = (-180.0, -90.0, 180.0, 90.0),
    crs: str | None = "EPSG:4326",
    nodata: float | None = None,
) -> Path:
    """Write a GeoTIFF by rasterio; `bounds`: west, south, east, north."""
    import rasterio
    from affine import Affine

    west, south, east, north = bounds
    bands = values if values.ndim == 3 else values[None]
    _, height, width = bands.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = Affine((east - west) / width, 0.0, west, 0.0, (south - north) / height, north)
    place = {"crs": crs, "transform": cells} if crs else {}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=len(bands),
        dtype=str(values.dtype),
        nodata=nodata,
        **place,
    ) as raster:
        raster.write(bands)
    return path


def split_of(config: Config) -> pl.DataFrame:
    return pl.read_parquet(config.dataset.root / "split.parquet")
