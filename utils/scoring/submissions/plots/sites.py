"""The map of sites: where how many species were detected. It has axes of degrees, and nothing from the network."""

from math import cos, pi, radians, sqrt
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter

from utils.plotting import new_figure, tick_name, write_figure
from utils.scoring.submissions.plots.counts import PlotTables

LABELLED = 40  # sites, those with most species
SAME_PLACE = 3  # decimals of degrees, about a hundred metres, by which recordings without a site are told apart
LARGEST_DOT, SMALLEST_DOT = 900.0, 25.0  # points²
LEAST_SPAN = 0.002  # degrees of latitude on the map
ROOM = 0.65  # from the middle to each edge, as a share of the span of all sites
MAP_SHAPE = 1.25  # width of the map as a multiple of its height
COLOUR = "#0072b2"


def site_table(tables: PlotTables) -> pl.DataFrame:
    """Return site (name; '' if it has none), latitude, longitude (medians of its recordings), recordings and species.

    Sites without a place are left out. Those with most species come first.
    """
    names = pl.Series([*tables.sites, ""], dtype=pl.String)  # -1: none
    named = tables.recordings.with_row_index("recording").with_columns(
        pl.col("recording").cast(pl.Int64), name=names.gather(tables.recordings["site"].to_numpy())
    )
    unnamed = pl.col("name") == ""
    place = (pl.when(unnamed).then(pl.col(axis).round(SAME_PLACE)).otherwise(0.0).alias(f"_{axis}") for axis in _AXES)
    placed = named.filter(pl.col("latitude").is_not_nan()).with_columns(*place)
    if not len(placed):
        return pl.DataFrame(schema={"site": pl.String, "latitude": pl.Float64, "longitude": pl.Float64})
    key = ["name", *(f"_{axis}" for axis in _AXES)]
    sites = placed.group_by(key).agg(pl.col(*_AXES).median(), recordings=pl.len())
    species = placed.join(tables.species, on="recording").group_by(key).agg(species=pl.col("class").n_unique())
    joined = sites.join(species, on=key, how="left").with_columns(pl.col("species").fill_null(0))
    return joined.select(pl.col("name").alias("site"), *_AXES, "recordings", "species").sort(
        "species", "site", *_AXES, descending=[True, False, False, False]
    )


_AXES = ("latitude", "longitude")


def draw_sites(path: Path, sites: pl.DataFrame) -> None:
    """Draw a dot for each site, whose area grows with its number of species; a degree is as long east as north."""
    sites = sites.with_columns(longitude=_unwrapped(sites["longitude"].to_numpy()))
    figure = new_figure(8.0, 6.5)
    axes = figure.add_subplot()
    most = max(1, *sites["species"])
    areas = [_area(species, most) for species in sites["species"]]
    axes.scatter(
        sites["longitude"], sites["latitude"], s=areas, color=COLOUR, alpha=0.45, edgecolors="black", linewidths=0.7
    )
    for name, latitude, longitude, _, species in sites.head(LABELLED).iter_rows():
        text = f"{tick_name(name)}: {species:,}" if name else f"{species:,}"
        axes.annotate(
            text,
            (longitude, latitude),
            xytext=(0, sqrt(_area(species, most) / pi) + 2),  # above the dot
            textcoords="offset points",
            fontsize=8,
            ha="center",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    _set_extent(axes, sites)
    axes.set(xlabel="longitude, degrees", ylabel="latitude, degrees")
    axes.grid(alpha=0.3)
    some = f", the {LABELLED} with most species labelled" if len(sites) > LABELLED else ""
    axes.set_title(f"species detected at {_count_sites(len(sites))}{some}", loc="left")
    write_figure(path, figure)


def _unwrapped(longitudes: Float[np.ndarray, " sites"]) -> Float[np.ndarray, " sites"]:
    """Return longitudes within half a turn of their circular mean: sites on both sides of the date line are near."""
    middle = np.degrees(np.angle(np.exp(1j * np.radians(longitudes)).mean()))
    return middle + (longitudes - middle + 180) % 360 - 180


def _degrees_text(longitude: float, _: int) -> str:
    return f"{(longitude + 180) % 360 - 180:.6g}"


def _area(species: int, most: int) -> float:
    return SMALLEST_DOT + (LARGEST_DOT - SMALLEST_DOT) * species / most


def _count_sites(count: int) -> str:
    return "1 site" if count == 1 else f"{count:,} sites"


def _set_extent(axes: Axes, sites: pl.DataFrame) -> None:
    """Leave room around the dots; a degree of longitude is shorter than one of latitude by the cosine."""
    north, east = sites["latitude"].to_numpy(), sites["longitude"].to_numpy()
    stretch = 1 / max(cos(radians(float(north.mean()))), 0.01)
    half = ROOM * max(float(np.ptp(north)), float(np.ptp(east)) / stretch / MAP_SHAPE, LEAST_SPAN)
    for which, values, span in (("y", north, half), ("x", east, half * stretch * MAP_SHAPE)):
        middle = (values.min() + values.max()) / 2
        axes.set(**{f"{which}lim": (middle - span, middle + span)})
    axes.set_aspect(stretch)
    for axis, form in ((axes.xaxis, FuncFormatter(_degrees_text)), (axes.yaxis, StrMethodFormatter("{x:.6g}"))):
        axis.set_major_locator(MaxNLocator(6))
        axis.set_major_formatter(form)
