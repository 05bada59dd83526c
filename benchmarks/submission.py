"""How fast soundscapes are answered, from files to rows: by submission_soundscape.py, beside the way of the 2018 scripts, and beside decoding alone.

    python benchmarks/submission.py
    python benchmarks/submission.py --quick
    python benchmarks/submission.py --minutes 60 --recordings 1000

Measured on one long recording and on many short ones (FLAC, made up, 44.1 kHz), in hours of sound per minute. Both ways have the same clips and the same
default ResNet, which is not trained. The 2018 scripts read a recording into memory, made one picture at a time (here by today's librosa), and answered five
clips at a time (here by XLA). All ways run in processes of their own, in turn. Ours is also measured on a third of the sound: its memory should not grow.
The last line is how many times as fast as the 2018 way ours is, over both.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parent)])  # workers look there, too

import jax
from inference import LARGER, make_recordings, measure, run_way, version_of

from utils import console
from utils.files import write_json

WAYS = ["ours", "2018"]
SCRIPT = "submission_ways.py"


def parsed() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a long recording of two minutes, six short ones, once")
    minutes, recordings, repeats = (2, 6, 1) if "--quick" in sys.argv else (30, 100, 3)
    parser.add_argument("--minutes", type=float, default=minutes, help=f"length of the long recording, {minutes}")
    parser.add_argument("--recordings", type=int, default=recordings, help=f"short ones, {recordings}")
    parser.add_argument("--seconds", type=float, default=20, help="length of a short recording, 20")
    parser.add_argument("--repeats", type=int, default=repeats, help=f"times that each way is measured, {repeats}")
    parser.add_argument("--folder", type=Path, help="where recordings are made; default: the system's folder for temporary files")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write."""
    options = parsed()
    device = jax.devices()[0]
    versions = {name: version_of(name) for name in ("jax", "onnxruntime", "librosa")}
    console.show_table("Machine", {"device": device.device_kind, "cores": str(os.cpu_count()), "python": sys.version.split()[0], **versions})
    table, memory, total = {}, {}, dict.fromkeys([*WAYS, "decoding alone"], 0.0)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        sizes = {"one long recording": (1, 60 * options.minutes), "short recordings": (options.recordings, options.seconds)}
        for what, (count, seconds) in sizes.items():
            folder = make_recordings(Path(name) / what.replace(" ", "-"), count=count, seconds=seconds)
            table[what], found = measure(folder, hours=count * seconds / 3600, ways=WAYS, repeats=options.repeats, script=SCRIPT)
            headings = ["", "hours a minute", "spread", "seconds", "clips", "peak, MB"]
            console.show_grid(f"{what.capitalize()}: {count:,} of {seconds:g} s", headings, table[what])
            total = {way: total[way] + found[way] for way in total}
            less = (count, seconds / LARGER) if count == 1 else (max(1, count // LARGER), seconds)
            smaller = run_way("ours", make_recordings(Path(name) / f"less-{count}", count=less[0], seconds=less[1]), script=SCRIPT)
            memory[what] = {"a third": round(smaller["peak"]), "all": int(table[what][0][-1])}
            console.say(f"our peak memory, all processes: {memory[what]['a third']} MB for a third of the sound, {memory[what]['all']} MB for all")
    ratio = total["2018"] / total["ours"]
    console.say(f"decoding alone would take {total['decoding alone'] / total['ours']:.0%} of our time")
    kind = "cpu" if device.platform == "cpu" else "gpu"
    content = {"device": device.device_kind, "ratio": round(ratio, 2), "table": table, "peak_mb": memory}
    sizes_of = {"minutes": options.minutes, "recordings": options.recordings, "repeats": options.repeats}
    write_json(Path(__file__).parent / "results" / f"submission-{kind}.json", content | sizes_of | {"versions": versions, "cores": os.cpu_count()})
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
