#!/bin/sh
# Sorts, extracts, trains, tests and reports in a container: on the GPU where Docker reaches one, else on the CPU.
#
#     ./docker-run.sh <path_to_datasets> [EXPERIMENT.toml] [--section.setting VALUE ...]
#
# The folder holds the recordings, or a folder recordings or TrainingSet with them; all that is made of them lands in it and belongs to you:
# snapshots/<run>/test/report.html at the end. An experiment of your own lies in it, too, and is called by its name inside: /datasets/mine.toml.
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
*:*) echo "$datasets: docker would take the path for two at its colon; rename the folder, or name a link to it that has none" >&2 && exit 2 ;;
esac
if ! runtimes=$(docker info --format '{{json .Runtimes}}' 2>&1); then
    echo "docker does not answer: $runtimes" >&2
    exit 2
fi
docker build --tag "$image" "$(dirname "$0")"

terminal=
[ -t 0 ] && [ -t 1 ] && terminal=--tty
gpus=
without=
case $runtimes in
*nvidia*) gpus=all ;;
*) without="Docker knows no NVIDIA runtime" ;;
esac
# --init: Ctrl-C reaches the stage, which saves and stops; --network none: nothing needs one
exec docker run --rm --init --interactive ${terminal:+"$terminal"} ${gpus:+--gpus "$gpus"} ${without:+--env "WITHOUT_GPU=$without"} --network none \
    --user "$(id -u):$(id -g)" --volume "$datasets:/datasets" "$image" "$@"
