#!/bin/sh
# Sorts, extracts, trains, tests and reports in a container: on the GPU if the engine has one, otherwise on the CPU.
#
#     ./docker-run.sh <path_to_datasets> [EXPERIMENT.toml] [--section.setting VALUE ...]
#
# The folder holds the recordings, or a folder recordings/ or TrainingSet/ with them. Results are written to it as your user;
# the last one is snapshots/<run>/test/report.html. To use an experiment of your own, put it into the folder and give its
# path in the container: /datasets/mine.toml. The engine is Docker if it responds, otherwise Podman; ENGINE=podman chooses
# it. With sudo, results belong to who called it. BUILD_FLAGS are added to its `build` (docs/docker.md).
set -eu
image=birdclef-jax

if [ $# -lt 1 ] || [ ! -d "$1" ]; then
    echo "usage: ./docker-run.sh <path_to_datasets> [EXPERIMENT.toml] [--section.setting VALUE ...]" >&2
    [ $# -lt 1 ] || echo "$1: no such folder" >&2
    exit 2
fi
datasets=$(CDPATH='' cd -- "$1" >/dev/null && pwd)
shift
case $datasets in
*:*) echo "$datasets: a path with a colon cannot be mounted; rename the folder, or use a link without one" >&2 && exit 2 ;;
esac
engine=${ENGINE:-docker}
if ! reason=$("$engine" ps --quiet 2>&1); then
    if [ -n "${ENGINE:-}" ] || ! podman ps --quiet >/dev/null 2>&1; then
        echo "$engine does not respond: $reason" >&2
        exit 2
    fi
    engine=podman
fi
# shellcheck disable=SC2086 # several flags
"$engine" build ${BUILD_FLAGS:-} --tag "$image" "$(dirname "$0")"

user=$(id -u):$(id -g)
[ "$user" != 0:0 ] || user=${SUDO_UID:-0}:${SUDO_GID:-0}
# In front of the image come the options that depend on the engine, the GPU, and where this runs.
set -- "$image" "$@"
without=
case $("$engine" --version) in
*podman*)
    [ "$(id -u)" -eq 0 ] || set -- --userns keep-id "$@" # so that your user is the same inside
    if cat /etc/cdi/* /var/run/cdi/* 2>/dev/null | grep -q nvidia.com/gpu; then
        set -- --device nvidia.com/gpu=all "$@"
    else
        without="Podman knows no NVIDIA GPU"
    fi
    ;;
*)
    case $("$engine" info --format '{{json .Runtimes}}') in
    *nvidia*) set -- --gpus all "$@" ;;
    *) without="Docker has no NVIDIA runtime" ;;
    esac
    ;;
esac
[ -z "$without" ] || set -- --env "WITHOUT_GPU=$without" "$@"
! { [ -t 0 ] && [ -t 1 ]; } || set -- --tty "$@"
# --init: Ctrl-C reaches the stage, which saves and stops; --network none: no stage needs the network; label=disable: where
# SELinux is on, the folder can be used as it is
exec "$engine" run --rm --init --interactive --network none --security-opt label=disable \
    --user "$user" --volume "$datasets:/datasets" "$@"
