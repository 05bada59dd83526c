"""Speed of training on sound that is augmented on the device, compared with PyTorch, and with what notebooks do.

    python benchmarks/waveform.py
    python benchmarks/waveform.py --quick
    python benchmarks/waveform.py --model Baseline --batch 64 --torch OTHER_ENVIRONMENT/bin/python
    python benchmarks/waveform.py --scale 200000

Steps of training are measured on a store of spectrograms, and on a store of sound without and with augmentation: shift,
speed, pitch, gain, pink noise and background, each of half of the clips. Clips are on the device, or read from disk.
PyTorch does the same, batched on the device (torch_waveform.py). Notebooks augment clip by clip with librosa and NumPy
in one worker process per core (notebook_waveform.py); their epoch takes as long as that or as the training steps on
spectrograms (the faster of ours and PyTorch's), whichever takes longer. On a CPU this flatters the notebook, since its
workers and steps would share the cores. Images are not augmented. All are measured in turn. Without a GPU or PyTorch,
it warns and measures what it can. The last line is the ratio of ours with augmentation, with the clips where training
would keep them, to the notebook's epoch.

`--scale` measures instead the time to read the batches of an epoch in random order from stores of sound of 1,000 clips
and more, and what both stores take on disk. The last line is the ratio of reading from the smallest and the largest.
"""

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leaves room for PyTorch on the same device

import jax
import jax.numpy as jnp
from made_up_store import made_up_store
from reading import LEAST, scale
from waveform_peers import ScriptPeer, check_parameters, check_spectrograms, hand_over, torch_can

from config import Augmentation, Clips, Config, Dataset, Model, Training, Waveform
from utils import console
from utils.files import write_json
from utils.learning.batches import ResidentBatches, StreamedBatches
from utils.learning.devices import clips_fit_on_device, compute_dtype, device_mesh, on_accelerator, replicated
from utils.learning.epochs import ChunkSizer, TrainingSetup, run_epoch
from utils.learning.examples import Examples, read_examples
from utils.learning.runs import Progress
from utils.learning.steps import initial_state, make_chunk, make_step
from utils.models.networks import build_network, count_parameters

AUGMENTED = Waveform(
    count=6, probability=0.5, shift=0.3, speed=0.2, pitch=4.0, gain=12.0, pink=(5.0, 20.0), background=(5.0, 20.0)
)
MARGIN = 0.4  # of the length of a clip: shift, and half of speed
CLIPS_OF_CLASS = 80  # at least
PLACES: dict[str, type[ResidentBatches] | type[StreamedBatches]] = {
    "on the device": ResidentBatches,
    "from disk": StreamedBatches,
}
STORED, PLAIN, FULL, TORCH, NOTEBOOK = "spectrograms", "sound", "sound, augmented", "PyTorch", "notebook"
TORCH_NAMES = {  # kinds of torch_waveform.py
    "stored": f"{TORCH}: spectrograms",
    "sound": f"{TORCH}: sound, augmented",
    "torchaudio": f"{TORCH}: the same, by torchaudio",
}


class Ours:
    """Epochs of steps, the same as those of `learn`."""

    def __init__(self, examples: Examples, config: Config, *, place: str) -> None:
        settings = config.training
        mesh = device_mesh(settings.batch_size)
        supply = PLACES[place](examples, batch_size=settings.batch_size, mesh=mesh, loops=on_accelerator())
        noise = jax.device_put(examples.noise, replicated(mesh))
        graph, network = build_network(
            config.model,
            classes=len(examples.classes),
            shape=config.spectrogram.shape,
            seed=settings.seed,
            dtype=compute_dtype(settings),
        )
        self.parameters = count_parameters(network)
        chunk = make_chunk(make_step(graph, config, jnp.ones(len(examples.classes))), supply.batch_at, mesh)
        self._setup = TrainingSetup(examples, config, supply, chunk, noise, ChunkSizer())
        self._state = jax.device_put(initial_state(network, settings), replicated(mesh))
        self.seconds()  # compiles

    def seconds(self) -> float:
        """Run an epoch of steps; return its seconds."""
        passed = console.stopwatch()
        self._state = run_epoch(self._state, Progress(), self._setup, lambda *_, **__: None, lambda: False)
        jax.block_until_ready(self._state)
        return passed()


def settings_of(folder: Path, options: argparse.Namespace) -> dict[str, Config]:
    """Return the settings of each of our ways."""
    training = Training(batch_size=options.batch, validation_share=0.0)
    plain = Config(training=training, model=Model(name=options.model), augmentation=Augmentation(count=0))
    plain = replace(plain, spectrogram=replace(plain.spectrogram, height=options.height, width=options.width))
    stored = replace(plain, clips=clips_of(options, keep="spectrograms"), dataset=Dataset(root=folder / "stored"))
    sound = replace(plain, clips=clips_of(options, keep="sound"), dataset=Dataset(root=folder / "sound"))
    return {STORED: stored, PLAIN: sound, FULL: replace(sound, waveform=AUGMENTED)}


def clips_of(options: argparse.Namespace, *, keep: str) -> Clips:
    """Return the settings of clips of a store."""
    settings = Clips(length=options.length, min_length=options.length, overlap=options.length / 4)
    return replace(settings, keep="sound", margin=MARGIN * options.length) if keep == "sound" else settings


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all ways in turn; print and return the results."""
    gpu = on_accelerator()
    ways = ["eager"] + ([] if options.quick and not gpu else ["network compiled", "all compiled"])
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
        configs = settings_of(folder, options)
        examples = {way: _examples(config, options) for way, config in configs.items()}
        console.info(
            f"{options.model}, batches of {options.batch}: {len(examples[STORED].rows):,} clips of {options.length:g} "
            f"s, {options.height} × {options.width}; {examples[STORED].clip_bytes:,} bytes a spectrogram, "
            f"{examples[PLAIN].clip_bytes:,} a sound"
        )
        hand_over(folder, examples[FULL], examples[STORED], configs[FULL], ways=ways)
        peers = {NOTEBOOK: ScriptPeer("notebook_waveform.py", folder, sys.executable)}
        if torch_can(options.torch, gpu=gpu, model=options.model):
            peers[TORCH] = ScriptPeer("torch_waveform.py", folder, options.torch)
        versions = {key: text for peer in peers.values() for key, text in peer.ask("versions").items()}
        console.show_table("Compared with", versions)
        speeds, chosen = _measured(examples, configs, peers, options, folder=folder)
        for peer in peers.values():
            peer.end()
        resident = clips_fit_on_device(examples[FULL].bytes, configs[FULL].training)
    found = _shown(speeds, where="on the device" if resident else "from disk")
    return found | {"versions": versions, "tried": chosen.get("tried")}


def _examples(config: Config, options: argparse.Namespace) -> Examples:
    """Read the clips; make their store if there is none."""
    if not config.dataset.root.exists():
        classes = max(min(options.classes, options.clips // CLIPS_OF_CLASS), 2)
        made_up_store(config, clips=options.clips, classes=classes)
    return read_examples(config)


def _measured(
    examples: dict[str, Examples],
    configs: dict[str, Config],
    peers: dict[str, ScriptPeer],
    options: argparse.Namespace,
    *,
    folder: Path,
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the clips/s of each way in several measurements, and what PyTorch tried."""
    ours = {
        f"{way}, {place}": Ours(examples[way], config, place=place)
        for way, config in configs.items()
        for place in PLACES
    }
    chosen: dict[str, Any] = {}
    if TORCH in peers:
        check_spectrograms(peers[TORCH], folder, examples[FULL], configs[FULL])
        chosen = peers[TORCH].ask("choose")
        check_parameters(chosen, next(iter(ours.values())).parameters)
        for way, seconds in chosen.get("tried", {}).items():
            console.info(
                f"PyTorch, {way}: {seconds if isinstance(seconds, str) else f'{1000 * seconds:.1f} ms a step'}"
            )
    clips = -(-len(examples[STORED].rows) // options.batch) * options.batch
    speeds: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        for way, epochs in ours.items():
            speeds.setdefault(way, []).append(clips / epochs.seconds())
        for kind, seconds in (peers[TORCH].ask("epochs") if chosen else {}).items():
            speeds.setdefault(TORCH_NAMES[kind], []).append(clips / seconds)
        if loaded := peers[NOTEBOOK].ask("load"):
            speeds.setdefault(f"{NOTEBOOK}: loading", []).append(loaded["clips"] / loaded["seconds"])
    return speeds, chosen


def _shown(speeds: dict[str, list[float]], *, where: str) -> dict[str, Any]:
    """Print the table and what follows from it; return both.

    Parameters
    ----------
    where : training would keep the clips
    """
    medians = {way: statistics.median(runs) for way, runs in speeds.items()}
    rows = [[way, f"{medians[way]:,.1f}", f"{min(runs):,.1f} to {max(runs):,.1f}"] for way, runs in speeds.items()]
    steps = {f"{way}, {place}": medians[f"{STORED}, {place}"] / medians[f"{way}, {place}"]
             for way in (PLAIN, FULL) for place in PLACES}  # fmt: skip
    stepping = max(medians[f"{STORED}, on the device"], medians.get(TORCH_NAMES["stored"], 0))
    ratios = {f"step, {way}": ratio for way, ratio in steps.items()}
    augmented = medians[f"{FULL}, {where}"]
    theirs = [medians[name] for name in (TORCH_NAMES["sound"], TORCH_NAMES["torchaudio"]) if name in medians]
    if theirs:
        ratios["PyTorch"] = medians[f"{FULL}, on the device"] / max(theirs)
    if loading := medians.get(f"{NOTEBOOK}: loading"):
        rows.append([f"{NOTEBOOK}: epoch, at most", f"{min(loading, stepping):,.1f}", "–"])
        ratios[NOTEBOOK] = augmented / min(loading, stepping)
    console.show_grid("Training", ["", "clips/s", "spread"], rows)
    for way, ratio in steps.items():
        console.info(f"a step on {way}: {ratio:.2f} times as long as one on spectrograms")
    if theirs:
        console.info(f"augmented sound on the device: {ratios['PyTorch']:.2f} times as fast as PyTorch")
    return {"ratios": ratios, "rows": rows, "kept": where}


def measure_scale(options: argparse.Namespace) -> dict[str, Any]:
    """Measure reading from stores of sound of several sizes, and of one of spectrograms; print and return both."""
    call = argparse.Namespace(
        scale=options.scale,
        folder=options.folder,
        height=options.height,
        width=options.width,
        batch=[options.batch],
    )
    sound = scale(call, clips_of(options, keep="sound"))
    call.scale = LEAST
    stored = scale(call, clips_of(options, keep="spectrograms"))
    per_minute = 60 / (0.75 * options.length)  # clips, which overlap by a quarter
    megabytes = {}
    for name, found in ((PLAIN, sound), (STORED, stored)):
        megabytes[name] = found["bytes"] * per_minute / 1e6
        console.info(f"store of {name}: {found['bytes']:,.0f} bytes a clip, {megabytes[name]:.2f} MB a minute")
    console.info(f"a minute: of recordings, all of whose {per_minute:.0f} clips are kept; WAV: 5.29 MB at 44.1 kHz")
    return {
        "ratio": sound["ratio"],
        "sound": sound["table"],
        "spectrograms": stored["table"],
        "megabytes_a_minute": megabytes,
    }


def parsed() -> argparse.Namespace:
    """Read the command line; default sizes depend on the device."""
    gpu, quick = on_accelerator(), "--quick" in sys.argv
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes; on a CPU, PyTorch is not compiled")
    parser.add_argument(
        "--scale", type=int, default=0, metavar="CLIPS", help="measure reading, from stores of up to so many clips"
    )
    parser.add_argument("--folder", type=Path, help="folder for the stores; default: that of the system")
    parser.add_argument(
        "--model",
        default="ResNet",
        choices=get_args(get_type_hints(Model)["name"]),
        metavar="NAME",
        help="model.name, ResNet; in PyTorch: ResNet or Baseline",
    )
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON", help="a Python with PyTorch; this one")
    clips, batch, height, width, repeats = (
        (112, 16, 64, 64, 1) if quick else (20_000, 32, 128, 256, 5) if gpu else (256, 32, 64, 128, 3)
    )
    parser.add_argument("--clips", type=int, default=clips, help=f"in the stores, {clips:,}")
    parser.add_argument("--length", type=float, default=1.0, help="of a clip, seconds, 1")
    parser.add_argument("--batch", type=int, default=batch, help=f"clips per step, {batch}")
    parser.add_argument("--height", type=int, default=height, help=f"pixels, {height}")
    parser.add_argument("--width", type=int, default=width, help=f"pixels, {width}")
    parser.add_argument("--repeats", type=int, default=repeats, help=f"epochs of steps to measure, {repeats}")
    parser.add_argument("--classes", type=int, default=100, help="at most, 100")
    return parser.parse_args()


def main() -> None:
    """Measure, print and write."""
    options = parsed()
    device, kind = jax.devices()[0], "gpu" if on_accelerator() else "cpu"
    if kind == "cpu":
        console.warning("JAX sees no accelerator; these are times of the CPU")
    machine = {
        "device": device.device_kind,
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": sys.version.split()[0],
        "jax": jax.__version__,
    }
    console.show_table("Machine", machine)
    results = Path(__file__).parent / "results"
    if options.scale:
        found = measure_scale(options)
        write_json(results / f"waveform-scale-{kind}.json", machine | found)
        print(f"ratio {found['ratio']:.2f}")
        return
    found = compare(options)
    ratio = found["ratios"].get(NOTEBOOK)
    write_json(results / f"waveform-{kind}.json", machine | {"ratio": ratio and round(ratio, 2)} | found)
    print(f"ratio {ratio:.2f}" if ratio else "ratio none")


if __name__ == "__main__":
    main()
