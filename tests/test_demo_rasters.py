"""The rasters of the demo: written without rasterio, read back by it, and tied to where species live."""

from pathlib import Path

import numpy as np
import pytest

from utils.demo.geotiffs import WEB_MERCATOR, Grid, write_geotiff
from utils.demo.ranges import REGIONS, region_of
from utils.demo.surroundings import RASTERS, write_rasters
from utils.demo.synthesis import SITES
from utils.recordings.rasters import raster_values

rasterio = pytest.importorskip("rasterio")


@pytest.mark.parametrize(
    ("values", "grid"),
    [
        (np.arange(6, dtype=np.uint8).reshape(2, 3), Grid(-10.0, 50.0, 0.25)),
        (np.linspace(0, 1, 15, dtype=np.float32).reshape(3, 5), Grid(1000.0, 2000.0, 500.0, WEB_MERCATOR)),
    ],
)
def test_a_geotiff_is_read_back(tmp_path: Path, values: np.ndarray, grid: Grid) -> None:
    write_geotiff(tmp_path / "a.tif", values, grid, missing=-1.5 if values.dtype == np.float32 else 0.0)
    with rasterio.open(tmp_path / "a.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), values)
        assert raster.crs.to_epsg() == grid.epsg
        assert raster.bounds.left == grid.west
        assert raster.bounds.top == grid.north
        assert raster.res == (grid.cell, grid.cell)
        assert raster.nodata == (-1.5 if values.dtype == np.float32 else 0.0)


def test_rasters_tell_where_species_live(tmp_path: Path) -> None:
    write_rasters(tmp_path / "one", seed=0)
    write_rasters(tmp_path / "two", seed=0)
    latitudes, longitudes = (np.array([site[index] for site in SITES]) for index in (1, 2))
    found = {}
    for name in RASTERS:
        assert (tmp_path / "one" / f"{name}.tif").read_bytes() == (tmp_path / "two" / f"{name}.tif").read_bytes()
        found[name] = raster_values(tmp_path / "one" / f"{name}.tif", latitudes, longitudes)
    regions = np.array([1 + REGIONS.index(region_of(place)) for place in range(len(SITES))])
    assert (found["biome"] == regions).mean() >= 0.8
    assert np.isnan(found["warmth"]).tolist() == [site[0] == "Isla Verde" for site in SITES]
    assert np.corrcoef(found["rainfall"], longitudes)[0, 1] > 0.9
