"""Speed of soundscapes from files to rows: submission_soundscape.py, the 2018 scripts' way, and decoding alone.

    python benchmarks/submission.py
    python benchmarks/submission.py --quick
    python benchmarks/submission.py --minutes 60 --recordings 1000

Measured on one long recording and on many short ones (FLAC, made up, 44.1 kHz), in hours of sound per minute. Both ways
have the same clips and the same default ResNet, which is not trained. The 2018 scripts read a recording into memory,
made one spectrogram at a time (here with today's librosa), and predicted five clips at a time (here with XLA). All ways
run in processes of their own, in turn. Ours is also measured on a third of the sound: its memory should not grow. The
last line is the speed of ours divided by that of the 2018 way, over both.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from file_to_predictions import Sizes, measure_sizes, parsed, show_machine, write_results


def main() -> None:
    """Measure, print and write."""
    options = parsed(__doc__, full=Sizes(30, 100, 3), quick=Sizes(2, 6, 1))
    versions = show_machine("jax", "onnxruntime", "librosa")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        measured = measure_sizes(options, Path(name), ways=["ours", "2018"], script="submission_ways.py")
    write_results(
        "submission", measured, options, ratio=measured.seconds["2018"] / measured.seconds["ours"], versions=versions
    )


if __name__ == "__main__":
    main()
