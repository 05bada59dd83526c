"""Mean and standard deviation of the clips that a model learns from, by which it scales what it sees."""

import numpy as np
from jaxtyping import Float64, Int64

from config import FILE_HEADS, Config
from utils import console
from utils.learning.examples import Examples
from utils.models.input_scaling import Statistics
from utils.spectra.image_folder import ImageFolder
from utils.spectra.joined_store import JoinedStore
from utils.spectra.pixel_sums import PixelSums
from utils.spectra.store import Store
from utils.spectra.training_sums import sums_over_recordings

EMBEDDINGS_AT_ONCE = 4096  # embeddings that are in memory together
LEAST_OF_MEAN = 0.01  # least deviation of a value of embeddings, as a share of the mean over all values
LEAST_DEVIATION = 1 / 255  # one grey level: a band that is always black is not divided by 0


def input_statistics(examples: Examples, config: Config) -> Statistics | None:
    """Return what a new network is given for `model.normalize` = dataset or bands; None for what needs nothing of it.

    Warns if clips were stretched one by one, so that a mean over them says little.

    Raises
    ------
    UserError
        If the store is damaged.
    """
    if config.model.name == "External":
        return None if config.model.head in FILE_HEADS else _embedding_statistics(examples)
    if config.model.normalize not in ("dataset", "bands"):
        return None
    if config.spectrogram.scale == "clip":
        advice = "" if config.spectrogram.kind == "pcen" else "; spectrogram.scale = fixed keeps that"
        console.warning(
            f"model.normalize = {config.model.normalize} uses one mean and deviation for all clips, but "
            "spectrogram.scale = clip has stretched each clip from its quietest to its loudest point, so that the "
            f"model does not see which clips are louder than others{advice}"
        )
    return training_statistics(examples.store, examples.rows_of_data_set, bands=config.model.normalize == "bands")


def _embedding_statistics(examples: Examples) -> Statistics:
    """Return mean and standard deviation of each value of the embeddings that are learned from."""
    count, sums, squares = 0, np.zeros(()), np.zeros(())
    rows = examples.rows_of_data_set
    for some in np.array_split(rows, -(-len(rows) // EMBEDDINGS_AT_ONCE)):
        values = examples.clips(some).astype(np.float64)
        count += values.shape[0] * values.shape[1]
        sums, squares = sums + values.sum(axis=(0, 1)), squares + (values**2).sum(axis=(0, 1))
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    # a value that hardly varies is not blown up
    least = max(float(deviation.mean()) * LEAST_OF_MEAN, float(np.finfo(np.float32).tiny))
    return Statistics(np.asarray(mean, np.float32), np.asarray(np.maximum(deviation, least), np.float32))


def training_statistics(
    store: Store | ImageFolder | JoinedStore, rows: Int64[np.ndarray, " clips"], *, bands: bool
) -> Statistics:
    """Return mean and standard deviation of the clips that are learned from; see `sums_over_recordings` for which.

    Parameters
    ----------
    rows : rows of `store.clips` that are learned from
    bands : of each row of the spectrograms, (height,), or of all of them together, one number
    """
    return statistics_of(sums_over_recordings(store, rows), bands=bands)


def statistics_of(sums: PixelSums, *, bands: bool) -> Statistics:
    """Return mean and standard deviation, at least LEAST_DEVIATION, of pixels scaled from 0 to 1."""
    if bands:
        return _statistics(sums.pixels, sums.sums.astype(np.float64), sums.squares.astype(np.float64))
    pixels = sums.pixels * len(sums.sums)
    return _statistics(pixels, np.float64(sums.sums.sum()), np.float64(sums.squares.sum()))


def _statistics(
    pixels: int, sums: Float64[np.ndarray, "..."] | np.float64, squares: Float64[np.ndarray, "..."] | np.float64
) -> Statistics:
    mean = sums / pixels
    deviation = np.maximum(np.sqrt(np.maximum(squares / pixels - mean**2, 0)) / 255, LEAST_DEVIATION)
    return Statistics(np.asarray(mean / 255, np.float32), np.asarray(deviation, np.float32))
