"""Build the image without a registry of images, and run the demo in it as a user does, with Podman.

    make check-container                             # as root
    python -m install.container --extras export  # a smaller image

The base image is replaced by Debian of `debootstrap` with its own Python. It needs root, the network, half an hour, and
20 GB in the folder for temporary files (6 with `--extras export`). What it cannot prove, it says at the end.
"""

import argparse
import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

REPOSITORY = Path(__file__).parents[1]
PROGRAMS = ("debootstrap", "podman")
SUITE = "trixie"  # of Debian; its Python is 3.13
STAND_IN = "localhost/birdclef-stand-in"
IMAGE = "birdclef-jax"
USER = 1234  # neither root nor the image's own user
LIMIT = 1024  # of open files and of processes; a root without CAP_SYS_RESOURCE may not raise its own
HYBRID = Path("/sys/fs/cgroup/unified")  # version 2 of control groups beside version 1, which crun refuses
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "cert")
RUN = (str(REPOSITORY / "docker-run.sh"),)
EXPERIMENT = "experiments/demo.toml"
FLAGS = ("--training.epochs", "8", "--testing.no-ridge")  # fewer epochs, and no second reading
LOG = "snapshots/demo/log.csv"
REPORT = "snapshots/demo/test/report.html"
PODMAN_FILES: Mapping[str, str] = MappingProxyType(
    {"CONTAINERS_STORAGE_CONF": "storage.conf", "CONTAINERS_CONF": "containers.conf"}
)
STOPPED = 130
UNPROVED = "not proved: the base image of the Dockerfile, Docker, SELinux, a GPU"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and do the checks; the first that fails ends the program with its call and its error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", help="extras in the image, with commas; without this, those of the Dockerfile")
    parser.add_argument("--driver", default="overlay", help="Podman's storage: overlay, or vfs, which needs much space")
    words = parser.parse_args(arguments)
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing or os.getuid():
        print(f"needs root and {' '.join(PROGRAMS)}; missing: {' '.join(missing) or 'root'}", file=sys.stderr)
        return 2
    if HYBRID.is_mount():  # again, where it is not mounted
        without = f'umount {HYBRID} && exec "$@"'
        again = [sys.executable, "-m", "install.container", *(sys.argv[1:] if arguments is None else arguments)]
        os.execvp("unshare", ["unshare", "--mount", "sh", "-c", without, "sh", *again])  # noqa: S606, S607
    home = Path(tempfile.mkdtemp(prefix="check-container"))
    configure_podman(home, words.driver)  # so that no other containers are touched
    try:
        check(home, words.extras)
    finally:
        clean_up(home)
    print(UNPROVED)
    return 0


def clean_up(home: Path) -> None:
    """Remove all that was made, but nothing of what may still be mounted there, such as /proc."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    inside = [path for path in reversed(mounted) if Path(path).is_relative_to(home)]
    commands = (["podman", "rm", "--all", "--force"], *(["umount", "--lazy", path] for path in inside))
    for words in (*commands, ["rm", "--recursive", "--force", "--one-file-system", str(home)]):
        subprocess.run(words, capture_output=True, check=False)  # noqa: S603


def check(home: Path, extras: str | None) -> None:
    """Do all checks, each of which says what it proves."""
    step("a stand-in for the base image", lambda: make_stand_in(home))
    os.environ |= {"ENGINE": "podman", "SUDO_UID": str(USER), "SUDO_GID": str(USER)}
    os.environ["BUILD_FLAGS"] = " ".join(build_flags(home, extras))
    step("the Dockerfile is built; a folder that is not the user's is refused", lambda: check_refusal(home))
    datasets = home / "datasets"
    datasets.mkdir()
    os.chown(datasets, USER, USER)
    step("the demo's recordings are made by the user", lambda: make_demo(datasets))
    before = contents(datasets)
    step("Ctrl-C on a terminal stops a training, which is saved", lambda: check_interrupt(datasets))
    step("`stop` does so, too", lambda: check_stop(datasets))
    step("it resumes, and runs to its report", lambda: check_demo(datasets, "resuming"))
    step("what is done is not done again", lambda: check_demo(datasets, "already sorted"))
    must(contents(datasets, only=before) == before, "the recordings are unchanged", "")


def check_refusal(home: Path) -> None:
    """Start it on a folder of root's."""
    folder = home / "of-root"
    folder.mkdir()
    output = call(*RUN, folder, EXPERIMENT, expected=(2,))
    must("cannot write here" in output, "the folder is named as one that cannot be written", output)


def make_demo(datasets: Path) -> None:
    """Write the demo's recordings as the user, and let them be root's, so that the user can only read them."""
    mounted = ("--user", f"{USER}:{USER}", "--volume", f"{datasets}:/datasets", "--entrypoint", "python")
    call("podman", "run", "--rm", "--network", "none", *mounted, IMAGE, "-m", "utils.demo", "/datasets")
    for path in datasets.rglob("*"):
        must(path.stat().st_uid == USER, f"{path} belongs to the user", "")
        os.chown(path, 0, 0)


def contents(datasets: Path, only: Collection[Path] = ()) -> dict[Path, str]:
    """Return the hash of each file in a folder, or of some."""
    paths = only or [path for path in datasets.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def check_interrupt(datasets: Path) -> None:
    """Press Ctrl-C in an epoch."""
    process, terminal = pty.fork()
    if not process:
        os.execv(RUN[0], [*RUN, str(datasets), EXPERIMENT, *FLAGS])  # noqa: S606
    output = ""
    while True:
        try:
            output += os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # the program has closed it
            break
        if (datasets / LOG).is_file() and "\x03" not in output:
            os.write(terminal, b"\x03")
            output += "\x03"
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    must(status == STOPPED and "stopped" in output, f"stopped, not with exit status {status}", output)


def check_stop(datasets: Path) -> None:
    """Stop the container in an epoch, without a terminal."""
    rows = len((datasets / LOG).read_text().splitlines())
    words = [*RUN, str(datasets), EXPERIMENT, *FLAGS]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # noqa: S603
        while process.poll() is None and len((datasets / LOG).read_text().splitlines()) == rows:
            time.sleep(1)
        call("podman", "stop", "--time", "60", "--latest")
        output = process.communicate()[0]
    must(process.returncode == STOPPED and "stopped" in output, f"not with exit status {process.returncode}", output)


def check_demo(datasets: Path, printed: str) -> None:
    """Run all stages; see that something is printed, the report is there, and all that was made belongs to the user."""
    output = call(*RUN, datasets, EXPERIMENT, *FLAGS, expected=(0, 3))  # 3: done, but broken files were left out
    must(printed in output, f"{printed!r} is printed", output)
    must((datasets / REPORT).is_file(), f"{REPORT} is there", output)
    strange = [path for path in (datasets / "snapshots").rglob("*") if path.stat().st_uid != USER]
    must(not strange, f"all belongs to the user, not {strange[:3]}", output)


def step(what: str, do: Callable[[], object]) -> None:
    """Do one check; say what it proves, and how long it took."""
    print(what, end=" … ", flush=True)
    started = time.monotonic()
    do()
    print(f"proved in {time.monotonic() - started:.0f} s", flush=True)


def call(*words: str | Path, expected: Collection[int] = (0,)) -> str:
    """Run a program; return its output, or end with the call and its output if its exit status is another."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603
    if done.returncode not in expected:
        raise SystemExit(
            f"refused\n$ {' '.join(map(str, words))}\n{done.stdout[-5000:]}\nexit status {done.returncode}\n{UNPROVED}"
        )
    return done.stdout


def must(true: bool, what: str, output: str) -> None:
    """End with what was found instead, and the output of the program, if something is not as it should be."""
    if not true:
        raise SystemExit(f"no: {what}\n{output[-5000:]}")


def configure_podman(home: Path, driver: str) -> None:
    """Let Podman keep all that it makes in `home`, and ask for no more than this root may give."""
    storage = {"driver": driver, "graphroot": str(home / "images"), "runroot": str(home / "run")}
    lines = ["[storage]", *(f"{key} = {json.dumps(value)}" for key, value in storage.items())]
    (home / "storage.conf").write_text("\n".join(lines))
    limits = [f"{name}={LIMIT}:{LIMIT}" for name in ("nofile", "nproc")]
    (home / "containers.conf").write_text(f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n")
    os.environ |= {name: str(home / file) for name, file in PODMAN_FILES.items()} | {"TMPDIR": str(home)}


def make_stand_in(home: Path) -> None:
    """Make the image that stands for Python's: Debian, with `python` and `pip` in /usr/local/bin."""
    root = home / "root"
    packages = "--include=python3,python3-venv,ca-certificates"
    call("debootstrap", "--variant=minbase", packages, SUITE, root)
    call("chroot", root, "python3", "-m", "venv", "/usr/local")
    call("tar", "--directory", root, "--create", "--file", home / "root.tar", ".")
    call("podman", "import", home / "root.tar", STAND_IN)
    (home / "root.tar").unlink()
    shutil.rmtree(root)


def build_flags(home: Path, extras: str | None) -> list[str]:
    """Return the flags of `podman build`: the base image, the extras, and how pip reaches its packages from here.

    pip's settings are mounted while the image is built; nothing of them stays in it.
    """
    flags = ["--network", "host", "--build-arg", f"BASE={STAND_IN}"]
    if extras is not None:
        flags += ["--build-arg", f"EXTRAS={extras}"]
    settings = pip_settings()
    lines = [f"{key} = {value}" for key, value in settings.items()]
    (home / "pip.conf").write_text("\n".join(["[global]", *lines]))
    mounted = {str(home / "pip.conf"): "/etc/pip.conf"}
    if "cert" in settings:
        mounted[settings["cert"]] = settings["cert"]
    return [*flags, *(word for one, at in mounted.items() for word in ("--volume", f"{one}:{at}:ro"))]


def pip_settings() -> dict[str, str]:
    """Return how this machine's pip reaches its packages, without folders of this machine."""
    lines = call(sys.executable, "-m", "pip", "config", "list").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    named = {key: found.get(f":env:.{key}", found.get(f"global.{key}", "")).strip("'") for key in PIP_KEYS}
    return {key: value for key, value in named.items() if value and "file:" not in value}


if __name__ == "__main__":
    sys.exit(main())
