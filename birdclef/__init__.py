"""birdclef-jax where it is installed: three functions for programs and notebooks, and everything else inside.

    from birdclef import evaluate, predict, spectrogram

These names, what they take and what they return stay as they are; all else may change. Nothing is imported before one
of them is called. In the repository the scripts, `config`, `utils` and `experiments` stand beside this folder;
docs/architecture.md says how they become the package.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from jaxtyping import UInt8

    from utils.scoring.metrics.bootstrap import Interval

__all__ = ["evaluate", "predict", "spectrogram"]


def spectrogram(
    recording: Path | str, *, start: float = 0.0, settings: Path | str | None = None
) -> "UInt8[np.ndarray, 'height width']":
    """Return the spectrogram of one clip of a recording, as networks get it; the last row is the lowest frequency.

    Bird models from files take sound, not spectrograms.

    Parameters
    ----------
    recording : a sound file
    start : where the clip begins, seconds; its length is `clips.length`. What lies beyond the recording is silence
    settings : a TOML file, or the folder of a run or snapshot; None: the defaults

    Raises
    ------
    utils.console.UserError, config.SettingsError
        If the recording cannot be read or is shorter than `start`, or the settings are wrong.

    Examples
    --------
    >>> from birdclef import spectrogram
    >>> pixels = spectrogram("robin.wav", start=2.5, settings="snapshots/mine")  # doctest: +SKIP
    """
    from utils.spectra.single_spectrogram import spectrogram_at

    return spectrogram_at(Path(recording), start=start, settings=None if settings is None else Path(settings))


def predict(
    recordings: Path | str | Sequence[Path | str],
    *,
    snapshot: Path | str | Sequence[Path | str],
    interval: float | None = None,
) -> "pl.DataFrame":
    """Return the scores of all classes in each interval of recordings, as `birdclef predict` finds them.

    Parameters
    ----------
    recordings : a file, a folder with all that is in it, a pattern of names, or several of these
    snapshot : the folder of a run, or one of its snapshots; several: an ensemble of equal weights
    interval : seconds; None: that of the run (`submission.interval`)

    Returns
    -------
    A table with a row for each interval: recording (its path below the folder that holds all), start and end (seconds),
    and one column for each class with its score, 0 to 1. A recording that cannot be read has no rows, and a warning
    names it.

    Raises
    ------
    utils.console.UserError, config.SettingsError
        If there are no recordings or no such snapshot, or a setting is wrong.

    Examples
    --------
    >>> from birdclef import predict
    >>> scores = predict(["/data/card1"], snapshot="snapshots/mine")  # doctest: +SKIP
    """
    from utils.scoring.score_tables import predicted_scores

    places, snapshots = ([given] if isinstance(given, Path | str) else list(given) for given in (recordings, snapshot))
    return predicted_scores([str(one) for one in places], [Path(one) for one in snapshots], interval=interval)


def evaluate(predictions: "pl.DataFrame", truth: "pl.DataFrame", *, min_positives: int = 1) -> "Mapping[str, Interval]":
    """Return the metrics of predictions, each with its 95% interval over recordings.

    Parameters
    ----------
    predictions : scores, as `predict` returns them; of this toolkit or any other
    truth : the same columns, with 1 (or true) where a species is present and else 0. Species that `predictions` do not
        have are species that the model does not know; species that only `predictions` have are absent
    min_positives : class means leave out classes that are present in fewer rows

    Returns
    -------
    By name (mlrap, top1_accuracy, cmap, macro_auroc, …; docs/guide.md): `value`, `low` and `high`, None where a metric
    is not defined.

    Raises
    ------
    ValueError
        If a row of `truth` has no prediction, a row is there twice, a column is missing, or a value is not from 0 to 1.

    Examples
    --------
    >>> import polars as pl
    >>> from birdclef import evaluate
    >>> rows = {"recording": ["a.wav", "a.wav"], "start": [0.0, 5.0], "end": [5.0, 10.0]}
    >>> predictions = pl.DataFrame(rows | {"Parus major": [0.9, 0.2], "Turdus merula": [0.1, 0.1]})
    >>> truth = pl.DataFrame(rows | {"Parus major": [1, 0], "Turdus merula": [0, 1]})
    >>> evaluate(predictions, truth)["mlrap"].value
    0.75
    """
    from utils.scoring.score_tables import metrics_of_tables

    return metrics_of_tables(predictions, truth, min_positives=min_positives)
