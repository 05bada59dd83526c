"""What a submission uses of a test: thresholds and calibration, with warnings if they are of other rows or networks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from config import Config
from utils import console
from utils.scoring.inference.prior import EXPECTED
from utils.scoring.metrics.calibration import Calibration, read_calibration
from utils.scoring.metrics.thresholds import read_thresholds
from utils.scoring.submissions.threshold_warnings import calibration_warning, warning_about


@dataclass(frozen=True)
class TestResults:
    """What a submission uses of a test.

    Attributes
    ----------
    thresholds : the uncalibrated score from which each class is detected; infinite: never. None if there are none
    calibration : from scores to probabilities, if it is asked for
    """

    __test__ = False  # not a class of tests

    thresholds: Float[np.ndarray, " classes"] | None
    calibration: Calibration | None


def read_test_results(
    classes: tuple[str, ...],
    config: Config,
    *,
    fingerprint: str,
    interval: float | None = None,
    given_thresholds: bool = False,
) -> TestResults:
    """Read thresholds and calibration; warn, in one line each, if they come from other networks or other rows.

    Parameters
    ----------
    classes : of the ensemble
    fingerprint : of its scores, from `fingerprint_of_scores`
    interval : length of the rows of the submission, seconds; 0: whole recordings. None: it does not matter what
        thresholds and calibration were made on
    given_thresholds : the user gave a threshold, so that those of the test are not wanted

    Raises
    ------
    UserError
        If the thresholds or the calibration cannot be read, or are of other classes.
    """
    tested, chosen, fingerprints = config.run_folder / "test", None, dict[Path, str | None]()
    path = config.submission.thresholds or tested / "thresholds.json"
    if given_thresholds or (config.submission.thresholds is None and not path.is_file()):
        if config.submission.dynamic != "share" and not given_thresholds:
            console.warning(
                f"{path}: no such file, so there are no thresholds per class; "
                "run test.py to choose them, or set submission.thresholds to a file"
            )
    else:
        thresholds = read_thresholds(path, classes, highest=EXPECTED if config.testing.prior else 1.0)
        chosen = np.array([np.inf if value is None else value for value in thresholds.values])
        replaced = config.submission.dynamic == "share"
        if warning := warning_about(thresholds, path, interval=interval, replaced=replaced):
            console.warning(warning)
        fingerprints[path] = thresholds.fingerprint
    calibration = read_calibration(tested / "calibration.json") if config.testing.calibration != "none" else None
    if calibration:
        fingerprints[tested / "calibration.json"] = calibration.fingerprint
        if warning := calibration_warning(calibration, tested / "calibration.json", interval=interval):
            console.warning(warning)
    others = [console.printable(file) for file, found in fingerprints.items() if found != fingerprint]
    if others:
        console.warning(
            f"{' and '.join(others)}: made by a test with other networks, weights, pooling, sharpness, "
            "post-processing, prior or metadata, or by an earlier version; run test.py again with the same testing "
            "settings"
        )
    return TestResults(chosen, calibration)
