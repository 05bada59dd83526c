"""GeoTIFFs written by hand: one band, one strip, north up, so that the demo needs no package for them.

Source: TIFF 6.0; OGC 19-008r4, GeoTIFF 1.1; the tag of missing data is GDAL's.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from utils.files import atomic_file

_SHORT, _LONG, _DOUBLE, _ASCII = 3, 4, 12, 2  # types of values, and how they are packed
_PACKED = {_SHORT: "H", _LONG: "I", _DOUBLE: "d"}
_UNSIGNED, _FLOAT = 1, 3  # kinds of numbers
_HEAD = 8  # bytes before the first values
_Values = tuple[int | float, ...] | bytes
WGS84, WEB_MERCATOR = 4326, 3857  # EPSG codes of coordinate systems


@dataclass(frozen=True)
class Grid:
    """Where the cells of a raster are.

    Attributes
    ----------
    west, north : outer corner of the first cell, in degrees or metres
    cell : width and height of a cell
    epsg : code of the coordinate system: WGS84 (degrees), or a projected one (metres)
    """

    west: float
    north: float
    cell: float
    epsg: int = WGS84


def write_geotiff(
    path: Path,
    values: UInt8[np.ndarray, "rows columns"] | Float32[np.ndarray, "rows columns"],
    grid: Grid,
    *,
    missing: float,
) -> None:
    """Write a raster; it appears whole or not at all.

    Parameters
    ----------
    values : the first row is the northernmost
    missing : the value of cells without data
    """
    rows, columns = values.shape
    kind = _UNSIGNED if values.dtype == np.uint8 else _FLOAT
    content = np.ascontiguousarray(values, "<f4" if kind == _FLOAT else "u1").tobytes()
    no_data = f"{missing:g}\0".encode()
    tags: dict[int, tuple[int, _Values]] = {
        256: (_LONG, (columns,)),
        257: (_LONG, (rows,)),
        258: (_SHORT, (8 * values.dtype.itemsize,)),
        259: (_SHORT, (1,)),  # not compressed
        262: (_SHORT, (1,)),  # high values are bright
        273: (_LONG, (_HEAD,)),  # where the values are
        277: (_SHORT, (1,)),  # bands
        278: (_LONG, (rows,)),  # in one strip
        279: (_LONG, (len(content),)),
        339: (_SHORT, (kind,)),
        33550: (_DOUBLE, (grid.cell, grid.cell, 0.0)),
        33922: (_DOUBLE, (0.0, 0.0, 0.0, grid.west, grid.north, 0.0)),
        34735: (_SHORT, _geo_keys(grid.epsg)),
        42113: (_ASCII, no_data),
    }
    content += b"\0" * (len(content) % 2)
    with atomic_file(path) as stream:
        stream.write(struct.pack("<2sHI", b"II", 42, _HEAD + len(content)) + content)
        stream.write(_directory(tags, start=_HEAD + len(content)))


def _geo_keys(epsg: int) -> tuple[int, ...]:
    """Return the keys that name the coordinate system: version, then key, place, count and value of each."""
    geographic = epsg == WGS84
    return (
        *(1, 1, 0, 3),
        *(1024, 0, 1, 2 if geographic else 1),
        *(1025, 0, 1, 1),  # a value is that of a cell's area
        *(2048 if geographic else 3072, 0, 1, epsg),
    )


def _directory(tags: dict[int, tuple[int, _Values]], *, start: int) -> bytes:
    """Return the table of tags, and behind it the values that do not fit into it."""
    entries, behind = b"", b""
    first_behind = start + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in tags.items():
        packed = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{_PACKED[kind]}", *values)
        count = len(values)
        if len(packed) <= 4:
            field = packed.ljust(4, b"\0")
        else:
            field = struct.pack("<I", first_behind + len(behind))
            behind += packed + b"\0" * (len(packed) % 2)
        entries += struct.pack("<HHI", tag, kind, count) + field
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + behind
