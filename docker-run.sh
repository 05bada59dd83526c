#!/bin/sh
# Sorts, extracts, trains, tests and reports in a container: on the GPU if Docker has one, otherwise on the CPU.
#
#     ./docker-run.sh <path_to_datasets> [EXPERIMENT.toml] [--section.setting VALUE ...]
#
# The folder holds the recordings, or a folder recordings/ or TrainingSet/ with them. Results are written to it as your user;
# the last one is snapshots/<run>/test/report.html. To use an experiment of your own, put it into the folder and give its
# path in the container: /datasets/mine.toml.
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
*:*) echo "$datasets: docker cannot mount a path with a colon; rename the folder, or use a link without one" >&2 && exit 2 ;;
esac
if ! runtimes=$(docker info --format '{{json .Runtimes}}' 2>&1); then
    echo "docker does not respond: $runtimes" >&2
    exit 2
fi
docker build --tag "$image" "$(dirname "$0")"

terminal=
[ -t 0 ] && [ -t 1 ] && terminal=--tty
gpus=
without=
case $runtimes in
*nvidia*) gpus=all ;;
*) without="Docker has no NVIDIA runtime" ;;
esac
# --init: Ctrl-C reaches the stage, which saves and stops; --network none: no stage needs the network
exec docker run --rm --init --interactive ${terminal:+"$terminal"} ${gpus:+--gpus "$gpus"} ${without:+--env "WITHOUT_GPU=$without"} --network none \
    --user "$(id -u):$(id -g)" --volume "$datasets:/datasets" "$image" "$@"
