"""Rasters of the made-up continent: climate and land cover that go with the regions of `utils.demo.ranges`.

rasters/warmth.tif     degrees Celsius, colder towards the south and in the west; no data around Isla Verde
rasters/biome.tif      a category, 1 to 3: that of the region in 9 of 10 cells; 0 is no data
rasters/rainfall.tif   millimetres a year, more in the east; in Web Mercator, metres instead of degrees
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

from utils.demo.geotiffs import WEB_MERCATOR, Grid, write_geotiff
from utils.demo.ranges import REGIONS, region_at
from utils.demo.synthesis import SITES

RASTERS = ("warmth", "biome", "rainfall")
_WEST, _EAST, _SOUTH, _NORTH = -85.0, -35.0, -45.0, 15.0  # degrees
_CELL = 0.5  # degrees
_MERCATOR_CELL = 50_000.0  # metres
_RADIUS = 6_378_137.0  # metres, of Web Mercator's sphere
_ISLAND = next(site for site in SITES if site[0] == "Isla Verde")
_AROUND_ISLAND = 1.0  # degrees
_OTHER_BIOMES = 0.1  # share of cells
_MISSING_VALUE, _NO_CATEGORY = -9999.0, 0.0


def write_rasters(folder: Path, *, seed: int) -> None:
    """Write the three rasters; the same seed gives the same bytes."""
    latitudes, longitudes = _cell_centres()
    grid = Grid(_WEST, _NORTH, _CELL)
    rng = np.random.default_rng((seed, 2003))
    warmth = _warmth(latitudes, longitudes) + rng.normal(0.0, 0.5, latitudes.shape)
    near_island = np.hypot(latitudes - _ISLAND[1], longitudes - _ISLAND[2]) < _AROUND_ISLAND
    warmth = np.where(near_island, _MISSING_VALUE, warmth).astype(np.float32)
    write_geotiff(folder / "warmth.tif", warmth, grid, missing=_MISSING_VALUE)
    regions = [REGIONS.index(region_at(*place)) for place in zip(latitudes.flat, longitudes.flat, strict=True)]
    biome = 1 + np.array(regions).reshape(latitudes.shape)
    other = rng.random(biome.shape) < _OTHER_BIOMES
    biome = np.where(other, rng.integers(1, len(REGIONS) + 1, biome.shape), biome).astype(np.uint8)
    write_geotiff(folder / "biome.tif", biome, grid, missing=_NO_CATEGORY)
    _write_rainfall(folder / "rainfall.tif", rng=rng)


def _cell_centres() -> tuple[Float64[np.ndarray, "rows columns"], Float64[np.ndarray, "rows columns"]]:
    """Return latitude and longitude of the centre of each cell, degrees; the first row is the northernmost."""
    south = np.arange(_NORTH - _CELL / 2, _SOUTH, -_CELL)
    east = np.arange(_WEST + _CELL / 2, _EAST, _CELL)
    latitudes, longitudes = np.meshgrid(south, east, indexing="ij")
    return latitudes, longitudes


def _warmth(
    latitudes: Float[np.ndarray, "*cells"], longitudes: Float[np.ndarray, "*cells"]
) -> Float[np.ndarray, "*cells"]:
    mountains = 8.0 * np.exp(-(((longitudes + 74.0) / 4.0) ** 2))
    return 28.0 - 0.4 * np.abs(latitudes) - mountains


def _write_rainfall(path: Path, *, rng: np.random.Generator) -> None:
    west, east = (_RADIUS * np.radians(longitude) for longitude in (_WEST, _EAST))
    north, south = (_RADIUS * np.log(np.tan(np.pi / 4 + np.radians(latitude) / 2)) for latitude in (_NORTH, _SOUTH))
    x = np.arange(west + _MERCATOR_CELL / 2, east, _MERCATOR_CELL)
    rows = len(np.arange(north, south, -_MERCATOR_CELL))
    rain = 1500.0 + 30.0 * (np.degrees(x / _RADIUS) + 60.0) + rng.normal(0.0, 50.0, (rows, len(x)))
    grid = Grid(float(west), float(north), _MERCATOR_CELL, WEB_MERCATOR)
    write_geotiff(path, rain.astype(np.float32), grid, missing=_MISSING_VALUE)
