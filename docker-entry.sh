#!/bin/sh
# What the container does: sort what is not sorted, extract what is not extracted, train, test, report. Stopped, it goes on where it was.
#
#     docker-entry.sh [EXPERIMENT.toml] [--section.setting VALUE ...]
set -eu
cd "$(dirname "$0")"
datasets=${DATASETS:-/datasets}
python=${PYTHON:-python}

case ${1:-} in
*.toml) experiment=$1 && shift ;;
*) experiment=experiments/birdclef2018.toml ;;
esac
root=$datasets
[ -d "$datasets/TrainingSet" ] && root=$datasets/TrainingSet
if [ ! -w "$datasets" ]; then
    echo "$datasets: may not be written by user $(id -u), whom results would belong to; mount a folder of yours" >&2
    exit 2
fi
set -- "$experiment" --dataset.root "$root" --snapshots "$datasets/snapshots" "$@"

if [ -f "$root/split.parquet" ]; then
    echo "sorted already: $root/split.parquet is there; remove it to sort again"
else
    status=0
    "$python" sort_data.py "$@" || status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 3 ] || exit "$status" # 3: done, but something had to be left out
fi
"$python" spec.py "$@" # does only what is missing
exec "$python" evaluate.py "$@"
