"""The scripts around the container, with substitutes for Python and Docker that record how they were called."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import Dataset
from utils.recordings.splits import read_split

HOME = Path(__file__).parents[1]
RECORDER = '#!/bin/sh\nprintf "%s|" "$@" >> "$CALLS"; echo >> "$CALLS"\n'


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


def program(path: Path, then: str = "") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(RECORDER + then)
    path.chmod(0o755)
    return path


def enter(
    calls: Path, datasets: Path, *words: str, then: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    python = program(calls.parent / "bin" / "python", then)
    inside = {"CALLS": str(calls), "DATASETS": str(datasets), "PYTHON": str(python), "TMPDIR": str(calls.parent)}
    return subprocess.run(
        [HOME / "docker-entry.sh", *words], env={**os.environ, **inside, **variables}, capture_output=True, text=True
    )


def called(calls: Path) -> list[list[str]]:
    return [line.split("|")[:-1] for line in calls.read_text().splitlines()]


def test_stages_follow_each_other(calls: Path, tmp_path: Path) -> None:
    datasets = tmp_path / "my data"
    (datasets / "TrainingSet" / "wav").mkdir(parents=True)
    done = enter(calls, datasets, "mine.toml", "--training.epochs", "3", then='[ "$1" = evaluate.py ] || exit 3\n')
    assert done.returncode == 0, done.stderr
    settings = [
        "mine.toml",
        "--dataset.root",
        f"{datasets}/TrainingSet",
        "--snapshots",
        f"{datasets}/snapshots",
        "--training.epochs",
        "3",
    ]
    assert called(calls) == [[stage, *settings] for stage in ("sort_data.py", "spec.py", "evaluate.py")]


def test_sorted_recordings_are_not_sorted_again(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "split.parquet").touch()
    done = enter(calls, tmp_path)
    assert "already sorted" in done.stdout
    assert [words[:4] for words in called(calls)] == [
        [stage, "experiments/birdclef2018.toml", "--dataset.root", str(tmp_path)]
        for stage in ("spec.py", "evaluate.py")
    ]


@pytest.mark.parametrize("stage", ["sort_data.py", "spec.py", "evaluate.py"])
def test_a_stage_that_fails_ends_it(stage: str, calls: Path, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    done = enter(calls, tmp_path, then=f'[ "$1" != {stage} ] || exit 2\n')
    assert done.returncode == 2
    assert called(calls)[-1][0] == stage


def test_a_folder_that_cannot_be_written_is_reported_in_one_line(calls: Path, tmp_path: Path) -> None:
    done = enter(calls, tmp_path / "none")  # root may write to every existing folder
    assert f"user {os.getuid()} cannot write here" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not calls.exists()


def folders_of(calls: Path) -> dict[str, str]:
    """Return the folders that the first stage got: of the archive, and of the sorted recordings."""
    words = called(calls)[0]
    return {
        flag.removeprefix("--dataset."): words[words.index(flag) + 1]
        for flag in ("--dataset.archive", "--dataset.root")
        if flag in words
    }


def with_folders(datasets: Path, *names: str) -> Path:
    for name in names:
        (datasets / name).mkdir(parents=True)
        (datasets / name / "1.wav").touch()
    return datasets


@pytest.mark.parametrize(
    "own", [("wav", "xml"), ("train", "val"), ("train", "test"), ("train", "recordings"), ("train_audio",)]
)
def test_a_root_is_sorted_in_place(own: tuple[str, ...], calls: Path, tmp_path: Path) -> None:
    datasets = with_folders(tmp_path / "data", *own)
    enter(calls, datasets)
    assert folders_of(calls) == {"root": str(datasets)}


@pytest.mark.parametrize("name", ["recordings", "TrainingSet"])
def test_a_folder_of_recordings_is_sorted_beside_it(name: str, calls: Path, tmp_path: Path) -> None:
    datasets = with_folders(tmp_path / "data", f"{name}/Turdus merula", "notes")
    enter(calls, datasets)
    assert folders_of(calls) == {"archive": f"{datasets}/{name}", "root": f"{datasets}/sorted"}


def test_species_in_the_folder_itself_are_linked(calls: Path, tmp_path: Path) -> None:
    datasets = with_folders(
        tmp_path / "my data", "Turdus merula/deep", "-x", "sorted/train/Turdus merula", "snapshots/mine"
    )
    (datasets / "metadata.csv").touch()
    for _ in range(2):
        done = enter(calls, datasets)
        assert done.returncode == 0, done.stderr
        links = tmp_path / "links-to-recordings"
        assert folders_of(calls) == {"archive": str(links), "root": f"{datasets}/sorted"}
        files = sorted(path.relative_to(links).as_posix() for path in links.rglob("*") if path.is_file())
        assert files == ["-x/1.wav", "Turdus merula/deep/1.wav", "metadata.csv"]
        assert (links / "-x" / "1.wav").resolve() == (datasets / "-x" / "1.wav").resolve()
    shutil.rmtree(datasets / "-x")
    enter(calls, datasets)
    assert not (links / "-x").exists()


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
def test_sorted_copies_are_not_read_as_recordings(mode: str, calls: Path, archive: Path) -> None:
    really = f'[ "$1" != sort_data.py ] || exec {sys.executable} "$@"\n'
    splits = []
    for _ in range(2):
        done = enter(calls, archive, "--dataset.sort_mode", mode, "--workers", "1", then=really)
        assert done.returncode == 0, done.stderr
        split = read_split(Dataset(root=archive / "sorted"))
        assert all((archive / "sorted" / file).is_file() for file in split["file"])
        splits.append(split)
        (archive / "sorted" / "split.parquet").unlink()
        (archive / "snapshots" / "mine").mkdir(parents=True, exist_ok=True)
        # looks like annotations
        (archive / "snapshots" / "mine" / "diverged.csv").write_text("recording,start,class\nA0,0.0,Altus clarus\n")
    assert splits[0].equals(splits[1])
    assert set(splits[0]["class"]) == {folder.name for folder in archive.iterdir()} - {"sorted", "snapshots"}


@pytest.mark.parametrize(
    "words", [["mine.toml"], ["--dataset.archive", "/datasets/birds"], ["--dataset.root=/elsewhere"]]
)
def test_folders_in_flags_and_experiments_take_precedence(words: list[str], calls: Path, tmp_path: Path) -> None:
    datasets = with_folders(tmp_path / "data", "birds/Turdus merula")
    (datasets / "mine.toml").write_text('[dataset]\narchive = "/datasets/birds"  # mine\n')
    enter(calls, datasets, *[str(datasets / word) if word == "mine.toml" else word for word in words])
    assert f"--dataset.root|{datasets}|" in calls.read_text()
    assert str(tmp_path / "links-to-recordings") not in calls.read_text()


def test_settings_of_a_run_lead_to_the_same_folders(calls: Path, tmp_path: Path) -> None:
    datasets = with_folders(tmp_path / "data", "Turdus merula")
    links = tmp_path / "links-to-recordings"
    (datasets / "settings.toml").write_text(f'[dataset]\narchive = "{links}"\n')
    enter(calls, datasets, str(datasets / "settings.toml"))
    assert folders_of(calls) == {"archive": str(links), "root": f"{datasets}/sorted"}


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_named_and_left_out(calls: Path, tmp_path: Path) -> None:
    datasets = with_folders(tmp_path / "data", "Turdus merula", "lost+found")
    (datasets / "lost+found").chmod(0)
    done = enter(calls, datasets)
    (datasets / "lost+found").chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "lost+found: cannot be read and is left out" in done.stderr


def test_the_cpu_is_named_with_the_reason(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    assert "CPU" not in enter(calls, tmp_path).stderr
    assert "because: everything runs on the CPU" in enter(calls, tmp_path, WITHOUT_GPU="because").stderr


# what engines say when they are asked what they are, whether they respond, and which runtimes they know
DOCKER = """case $1 in
--version) echo "Docker version 28.2.2" ;;
info) echo '{"runc":{}}' ;;
esac
"""
DOCKER_WITH_GPU = DOCKER.replace('"runc"', '"nvidia":{},"runc"')
PODMAN = '[ "$1" != --version ] || echo "podman version 4.3.1"\n'
GONE = "echo 'Cannot connect'; exit 1\n"


def start(
    calls: Path, *words: str, docker: str = DOCKER, podman: str = GONE, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    for name, then in (("docker", docker), ("podman", podman)):
        program(calls.parent / "bin" / name, then)
    environment = {
        **os.environ,
        "CALLS": str(calls),
        "PATH": f"{calls.parent / 'bin'}:{os.environ['PATH']}",
        **variables,
    }
    return subprocess.run([HOME / "docker-run.sh", *words], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("gpu", [True, False])
def test_the_gpu_is_used_if_docker_has_one(gpu: bool, calls: Path, tmp_path: Path) -> None:
    datasets = tmp_path / "a folder; with $HOME"
    datasets.mkdir()
    done = start(calls, str(datasets), "mine.toml", docker=DOCKER_WITH_GPU if gpu else DOCKER)
    assert done.returncode == 0, done.stderr
    words = called(calls)[-1]
    assert words[:3] == ["run", "--rm", "--init"]
    assert ("--gpus" in words) == gpu
    assert ("WITHOUT_GPU=Docker has no NVIDIA runtime" in words) == (not gpu)
    assert "--userns" not in words  # a flag of Podman
    assert words[words.index("--volume") + 1] == f"{datasets}:/datasets"
    assert words[words.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert words[-2:] == ["birdclef-jax", "mine.toml"]


@pytest.mark.parametrize("wanted", ["", "podman"])
def test_podman_runs_it_if_docker_does_not_respond_or_podman_is_wanted(
    wanted: str, calls: Path, tmp_path: Path
) -> None:
    done = start(calls, str(tmp_path), docker=DOCKER if wanted else GONE, podman=PODMAN, ENGINE=wanted)
    assert done.returncode == 0, done.stderr
    words = called(calls)[-1]
    assert words[0] == "run"
    assert words[-1] == "birdclef-jax"
    assert "--gpus" not in words  # a flag of Docker
    assert ("--userns" in words) == (os.getuid() != 0)
    devices = [file for folder in ("/etc/cdi", "/var/run/cdi") for file in Path(folder).glob("*")]
    known = any("nvidia.com/gpu" in file.read_text() for file in devices)
    assert ("nvidia.com/gpu=all" in words) == known
    assert ("WITHOUT_GPU=Podman knows no NVIDIA GPU" in words) == (not known)


@pytest.mark.skipif(os.getuid() != 0, reason="sudo makes its caller root")
def test_with_sudo_results_belong_to_its_caller(calls: Path, tmp_path: Path) -> None:
    start(calls, str(tmp_path), SUDO_UID="1234", SUDO_GID="1235")
    words = called(calls)[-1]
    assert words[words.index("--user") + 1] == "1234:1235"


def test_flags_for_the_build_are_passed_on(calls: Path, tmp_path: Path) -> None:
    start(calls, str(tmp_path), BUILD_FLAGS="--build-arg EXTRAS=export")
    (build,) = [words for words in called(calls) if words[0] == "build"]
    assert build[1:-1] == ["--build-arg", "EXTRAS=export", "--tag", "birdclef-jax"]


@pytest.mark.parametrize("name", ["birds", "-x"])
def test_any_name_of_a_folder_is_mounted(name: str, calls: Path, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "other" / "birds").mkdir(parents=True)
    done = start(calls, name, folder=tmp_path, CDPATH=".:other")
    assert done.returncode == 0, done.stderr
    words = called(calls)[-1]
    assert words[words.index("--volume") + 1] == f"{tmp_path / name}:/datasets"


def test_a_link_to_a_folder_is_mounted_by_the_links_name(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    (tmp_path / "link").symlink_to("a:b")
    start(calls, str(tmp_path / "link"))
    assert f"--volume|{tmp_path / 'link'}:/datasets|" in calls.read_text()


def test_a_colon_in_the_path_is_reported_in_one_line(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    done = start(calls, str(tmp_path / "a:b"))
    assert done.returncode == 2
    assert f"{tmp_path}/a:b: a path with a colon cannot be mounted" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not calls.exists()


def test_wrong_calls_are_explained(calls: Path, tmp_path: Path) -> None:
    assert "usage" in start(calls).stderr
    assert "no such folder" in start(calls, str(tmp_path / "none")).stderr
    gone = start(calls, str(tmp_path), docker=GONE)
    assert gone.returncode == 2
    assert "docker does not respond: Cannot connect" in gone.stderr


def service(name: str) -> dict[str, Any]:
    composed = yaml.safe_load((HOME / "compose.yaml").read_text(encoding="utf-8"))
    assert sorted(composed["services"]) == ["cpu", "gpu"]
    return composed["services"][name]


@pytest.mark.parametrize("gpu", [True, False])
def test_compose_does_what_the_script_does(gpu: bool, calls: Path, tmp_path: Path) -> None:
    start(calls, str(tmp_path), docker=DOCKER_WITH_GPU if gpu else DOCKER)
    words = called(calls)[-1]
    composed = service("gpu" if gpu else "cpu")
    values = {"DATASETS": str(tmp_path), "USER_ID": str(os.getuid()), "GROUP_ID": str(os.getgid())}

    def filled(text: str) -> str:
        return re.sub(r"\$\{(\w+):[^}]*\}", lambda found: values[found[1]], text)

    assert composed["image"] == words[-1]
    assert [filled(volume) for volume in composed["volumes"]] == [words[words.index("--volume") + 1]]
    assert filled(composed["user"]) == words[words.index("--user") + 1]
    assert composed["network_mode"] == words[words.index("--network") + 1]
    assert composed["init"] == ("--init" in words)
    assert composed["security_opt"] == [words[words.index("--security-opt") + 1].replace("=", ":")]
    assert ("deploy" in composed) == ("--gpus" in words)
    assert ("WITHOUT_GPU" in composed.get("environment", {})) == ("--env" in words)
    assert (HOME / composed["build"] / "Dockerfile").is_file()


def test_the_image_is_readable_for_every_user(tmp_path: Path) -> None:
    last = (HOME / "Dockerfile").read_text(encoding="utf-8").partition("COPY . .\n")[2]
    command = re.search(r"chmod [^\\\n]*/app", last)
    assert command, "the Dockerfile should make files readable after umask 077"
    folder = tmp_path / "app" / "utils"
    folder.mkdir(mode=0o700, parents=True)
    for name, mode in (("config.py", 0o600), ("docker-entry.sh", 0o700)):
        (folder / name).touch()
        (folder / name).chmod(mode)
    subprocess.run(["sh", "-c", command[0].replace("/app", str(tmp_path / "app"))], check=True)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "config.py", folder / "docker-entry.sh")] == [
        0o755,
        0o644,
        0o755,
    ]


def test_the_check_of_the_container_says_what_it_needs(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "install.container"]
    done = subprocess.run(words, cwd=HOME, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("needs root and debootstrap podman; missing: debootstrap podman")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", ["docker-run.sh", "docker-entry.sh", ".ci/run"])
def test_shellcheck_finds_nothing(script: str) -> None:
    done = subprocess.run(["shellcheck", HOME / script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
