"""Values of GeoTIFFs at points: edges, missing data, other projections, and files that cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from tests.places import write_raster
from utils.console import UserError
from utils.recordings import rasters
from utils.recordings.rasters import check_raster, raster_values

pytest.importorskip("rasterio")

# 90 degrees a cell: the first row is the north
WORLD = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


def at(path: Path, *points: tuple[float, float]) -> list[float]:
    """Return the values at points of latitude and longitude."""
    latitudes, longitudes = np.array(points, np.float64).T
    return raster_values(path, latitudes, longitudes).tolist()


def test_a_point_takes_the_value_of_its_cell(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", WORLD)
    assert at(path, (45.0, -135.0), (0.1, 0.1), (-0.1, 0.1), (-80.0, 170.0)) == [1, 3, 7, 8]


def test_the_date_line_and_the_poles_belong_to_the_last_cells(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", WORLD)
    assert at(path, (10.0, 180.0), (10.0, -180.0), (90.0, 10.0), (-90.0, 10.0), (-90.0, 180.0)) == [4, 1, 3, 7, 8]


def test_rasters_from_0_to_360_degrees(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", WORLD, bounds=(0.0, -90.0, 360.0, 90.0))
    assert at(path, (10.0, 10.0), (10.0, -10.0), (10.0, 180.0), (10.0, -180.0)) == [1, 4, 3, 3]


def test_outside_and_without_data_are_missing(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", WORLD[:1, :2], bounds=(0.0, 0.0, 20.0, 10.0), nodata=2)
    found = at(path, (5.0, 5.0), (5.0, 15.0), (5.0, 25.0), (-5.0, 5.0), (np.nan, 5.0))
    np.testing.assert_equal(found, [1, np.nan, np.nan, np.nan, np.nan])
    holes = write_raster(tmp_path / "b.tif", np.array([[np.nan, np.inf]], np.float32))
    assert np.isnan(at(holes, (0.0, -90.0), (0.0, 90.0))).all()


@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:32631", "EPSG:3035"])
def test_points_are_projected(tmp_path: Path, crs: str) -> None:
    """Each cell holds its longitude, computed by the inverse projection; poles and the date line are out of reach."""
    from rasterio.warp import transform, transform_bounds

    bounds = west, south, east, north = transform_bounds("EPSG:4326", crs, 1.0, 45.0, 9.0, 50.0)
    x, y = np.meshgrid(
        west + (np.arange(40) + 0.5) * (east - west) / 40, north - (np.arange(30) + 0.5) * (north - south) / 30
    )
    longitudes, _ = transform(crs, "EPSG:4326", x.ravel().tolist(), y.ravel().tolist())
    path = write_raster(tmp_path / "a.tif", np.array(longitudes, np.float32).reshape(30, 40), bounds=bounds, crs=crs)
    points = [(46.0, 3.0), (48.5, 6.25), (90.0, 0.0), (-90.0, 3.0), (47.0, 180.0), (47.0, -177.0)]
    found = at(path, *points)
    np.testing.assert_allclose(found[:2], [3.0, 6.25], atol=0.3)
    assert np.isnan(found[2:]).all()


def test_the_first_of_several_bands_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_raster(tmp_path / "a.tif", np.stack([WORLD, 10 * WORLD]))
    assert at(path, (45.0, -135.0)) == [1]
    assert capsys.readouterr().err == ""  # told once, before all reading
    check_raster(path)
    assert "a.tif: has 2 bands; the first is used" in capsys.readouterr().err


def test_no_points(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", WORLD, crs="EPSG:3857", bounds=(0.0, 0.0, 1e6, 1e6))
    assert raster_values(path, np.zeros(0), np.zeros(0)).tolist() == []


def broken(path: Path, kind: str) -> Path:
    import rasterio
    from affine import Affine

    if kind == "text":
        path.write_text("hello")
    elif kind == "header":
        path.write_bytes(b"II*\0" + b"x" * 500)
    elif kind == "cut":
        write_raster(path, np.arange(10_000, dtype=np.float32).reshape(100, 100))
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "nowhere":
        write_raster(path, WORLD, crs=None)
    elif kind == "complex":
        write_raster(path, WORLD.astype(np.complex64))
    elif kind == "degenerate":
        cells = {"crs": "EPSG:4326", "transform": Affine(1.0, 1.0, -180.0, 1.0, 1.0, 90.0)}
        with rasterio.open(path, "w", driver="GTiff", width=4, height=2, count=1, dtype="float32", **cells) as raster:
            raster.write(WORLD[None])
    elif kind == "local":
        write_raster(path, WORLD, crs='LOCAL_CS["site",UNIT["metre",1]]')
    elif kind == "undeclared":
        write_raster(path, np.full((2, 4), -1.7e308))
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("text", "cannot be read as a GeoTIFF"),
        ("header", "cannot be read as a GeoTIFF"),
        ("cut", r"cannot be read as a GeoTIFF \(.*TIFFRead.* failed.*; it may be cut off .*gdal_translate"),
        ("degenerate", "does not tell where on earth it is"),
        ("local", "its coordinate system is a local one"),
        ("undeclared", r"has the value -1\.7e\+308 at a recording, too large .*-a_nodata"),
        ("gone", "no such file; fix metadata.rasters"),
        ("nowhere", "does not tell where on earth it is"),
        ("complex", "its values are of the type complex64"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # of writing
def test_files_that_cannot_be_used_cost_a_line(tmp_path: Path, kind: str, reason: str) -> None:
    path = broken(tmp_path / "a.tif", kind)
    with pytest.raises(UserError, match=reason) as caught:
        at(path, (45.0, -135.0), (-80.0, 170.0))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"metadata\.rasters: needs rasterio.*pip install '\.\[places\]'"):
        at(tmp_path / "a.tif", (0.0, 0.0))
