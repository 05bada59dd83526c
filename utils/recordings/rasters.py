"""Values of GeoTIFFs, such as climate, land cover or elevation, at the places of recordings.

Reading needs the package rasterio, of the extra `places`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from utils import console

DEGREES = "EPSG:4326"  # longitude and latitude
LARGEST = float(np.finfo(np.float32).max)  # of the values that a classifier can learn from
ON_EDGE = 1e-6  # cells; the outer edge of a raster, such as 180 degrees east or the pole, belongs to its last cells


def check_can_read_rasters(setting: str) -> None:
    """Refuse to read rasters without the package for it.

    Raises
    ------
    UserError
        That names the setting and the extra to install.
    """
    if not find_spec("rasterio"):
        raise console.UserError(f"{setting}: needs rasterio, which is not installed (pip install '.[places]')")


def check_raster(path: Path) -> None:
    """Refuse a file that is not a GeoTIFF with a known place; warn of bands that are not used.

    Raises
    ------
    UserError
        As `raster_values` does.
    """
    with _opened(path) as raster:
        if raster.count > 1:
            console.warning(f"{path}: has {raster.count} bands; the first is used")


def raster_values(
    path: Path, latitudes: Float[np.ndarray, " points"], longitudes: Float[np.ndarray, " points"]
) -> Float64[np.ndarray, " points"]:
    """Return the value of a GeoTIFF's first band at each point; NaN outside of it, and where it has no data.

    Parameters
    ----------
    latitudes, longitudes : degrees (WGS 84); NaN if not known

    Raises
    ------
    UserError
        If the file cannot be read as a GeoTIFF, does not tell where on earth it is, or has a value that is too large.
    """
    values, known = np.full(len(latitudes), np.nan), ~(np.isnan(latitudes) | np.isnan(longitudes))
    with _opened(path) as raster:
        columns, rows = _cells(raster, latitudes[known], longitudes[known])
        values[known] = _values_of_cells(raster, columns, rows)
    too_large = values[np.abs(values) > LARGEST]
    if len(too_large):
        raise console.UserError(
            f"{path}: has the value {too_large[0]:g} at a recording, too large to learn from; if it means no data, "
            "gdal_edit.py -a_nodata VALUE says so"
        )
    return values


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a GeoTIFF; whatever goes wrong until it is closed is told in one line."""
    check_can_read_rasters("metadata.rasters")
    import rasterio

    if not path.is_file():  # GDAL would also open addresses
        raise console.UserError(f"{path}: no such file; fix metadata.rasters")
    try:
        with (
            warnings.catch_warnings(),
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),  # no files beside it
        ):
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path.resolve(), driver="GTiff") as raster:
                _check_raster(raster, path)
                yield raster
    except (rasterio.errors.RasterioError, OSError) as error:
        cause = " ".join(str(error.__cause__ or error).split())[:200]
        raise console.UserError(
            f"{path}: cannot be read as a GeoTIFF ({cause}); it may be cut off or of another format: get it again, or "
            "convert it with gdal_translate -co TILED=YES"
        ) from None


def _check_raster(raster: Any, path: Path) -> None:
    if not raster.crs or raster.transform.is_identity or raster.transform.is_degenerate:
        raise console.UserError(
            f"{path}: does not tell where on earth it is (no coordinate system or no position); "
            "gdal_translate -a_srs EPSG:4326 -a_ullr WEST NORTH EAST SOUTH adds both"
        )
    if not (raster.crs.is_geographic or raster.crs.is_projected):
        raise console.UserError(
            f"{path}: its coordinate system is a local one, of which nobody knows where on earth it is; "
            "gdal_edit.py -a_srs NAME names the right one, such as EPSG:32633"
        )
    if np.dtype(raster.dtypes[0]).kind not in "iuf":
        raise console.UserError(f"{path}: its values are of the type {raster.dtypes[0]}; they should be numbers")


def _cells(
    raster: Any, latitudes: Float[np.ndarray, " points"], longitudes: Float[np.ndarray, " points"]
) -> tuple[Int64[np.ndarray, " points"], Int64[np.ndarray, " points"]]:
    """Return column and row of the cell of each point; −1 outside of the raster."""
    if raster.crs.is_geographic:
        # rasters may be from −180 to 180 degrees or from 0 to 360
        turns = [_to_cells(raster, *_project(raster, latitudes, longitudes + turn)) for turn in (0.0, 360.0, -360.0)]
        columns, rows = turns[0]
        for more_columns, more_rows in turns[1:]:
            outside = columns < 0
            columns, rows = np.where(outside, more_columns, columns), np.where(outside, more_rows, rows)
        return columns, rows
    return _to_cells(raster, *_project(raster, latitudes, longitudes))


def _to_cells(
    raster: Any, x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]
) -> tuple[Int64[np.ndarray, " points"], Int64[np.ndarray, " points"]]:
    inverse = ~raster.transform
    with np.errstate(invalid="ignore"):  # infinite coordinates
        columns = inverse.a * x + inverse.b * y + inverse.c
        rows = inverse.d * x + inverse.e * y + inverse.f
    within = _within(columns, raster.width) & _within(rows, raster.height)
    return _cell_index(columns, within, raster.width), _cell_index(rows, within, raster.height)


def _within(position: Float[np.ndarray, " points"], size: int) -> Bool[np.ndarray, " points"]:
    return (position >= -ON_EDGE) & (position <= size + ON_EDGE)


def _cell_index(
    position: Float[np.ndarray, " points"], within: Bool[np.ndarray, " points"], size: int
) -> Int64[np.ndarray, " points"]:
    index = np.floor(np.where(within, position, 0.0)).clip(0, size - 1).astype(np.int64)
    return np.where(within, index, -1)


def _project(
    raster: Any, latitudes: Float[np.ndarray, " points"], longitudes: Float[np.ndarray, " points"]
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """Return the points in the raster's coordinates; infinite where its projection does not reach, as at a pole."""
    if raster.crs == DEGREES:
        return longitudes.astype(np.float64), latitudes.astype(np.float64)
    points = list(zip(longitudes.tolist(), latitudes.tolist(), strict=True))
    pairs = _projected_together(points, raster.crs) or [_projected_alone(point, raster.crs) for point in points]
    x, y = np.array(pairs, np.float64).reshape(-1, 2).T
    return x, y


def _projected_together(points: list[tuple[float, float]], crs: Any) -> list[tuple[float, float]] | None:
    """Return all points in another coordinate system; None if one of them cannot be."""
    from rasterio._err import CPLE_BaseError  # has no public name
    from rasterio.warp import transform

    try:
        return list(zip(*transform(DEGREES, crs, *zip(*points, strict=True)), strict=True)) if points else []
    except CPLE_BaseError:
        return None


def _projected_alone(point: tuple[float, float], crs: Any) -> tuple[float, float]:
    (projected,) = _projected_together([point], crs) or [(np.inf, np.inf)]
    return projected


def _values_of_cells(
    raster: Any, columns: Int64[np.ndarray, " points"], rows: Int64[np.ndarray, " points"]
) -> Float64[np.ndarray, " points"]:
    """Read cells one by one, in the order in which they lie in the file: GDAL keeps the last blocks."""
    from rasterio.windows import Window

    cells, index = np.unique(np.stack([rows, columns], axis=1), axis=0, return_inverse=True)
    found = np.full(len(cells), np.nan)
    for cell, (row, column) in enumerate(cells.tolist()):
        if row >= 0:
            value = raster.read(1, window=Window(column, row, 1, 1), masked=True)[0, 0]
            found[cell] = np.nan if np.ma.is_masked(value) or not np.isfinite(value) else float(value)
    return found[index.reshape(-1)]
