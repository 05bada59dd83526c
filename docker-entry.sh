#!/bin/sh
# What the container runs: sort, extract, train, test, report. What is done already is skipped, and a stopped stage resumes.
#
#     docker-entry.sh [EXPERIMENT.toml] [--section.setting VALUE ...]
set -eu
cd "$(dirname "$0")"
datasets=${DATASETS:-/datasets}
python=${PYTHON:-python}
links=${TMPDIR:-/tmp}/links-to-recordings

# is_root FOLDER: whether it holds what sort_data.py sorts in place, or has sorted
is_root() {
    for name in split.parquet wav xml train val test train_audio train_short_audio; do
        [ ! -e "$1/$name" ] || return 0
    done
    return 1
}

# is_chosen FLAGS: whether flags or experiment name a folder of recordings other than those that this script finds itself
# (which the settings.toml of an earlier run names)
is_chosen() {
    case " $*" in *" --dataset.archive"* | *" --dataset.root"*) return 0 ;; esac
    grep -Es '^[^#]*archive"? *=' "$experiment" | grep -qvF -e "\"$links\"" -e "\"$datasets/recordings\"" -e "\"$datasets/TrainingSet\""
}

# Links to everything in the folder but the results: otherwise the sorted copies would be read as recordings, too.
link_recordings() {
    echo "$datasets: recordings are read through links in $links and sorted into $datasets/sorted"
    rm -rf "$links"
    mkdir "$links"
    for path in "$datasets"/*; do
        case ${path##*/} in
        sorted | snapshots) ;;
        *) if [ -r "$path" ]; then cp -rs "$path" "$links"; else echo "$path: cannot be read and is left out" >&2; fi ;;
        esac
    done
}

case ${1:-} in
*.toml) experiment=$1 && shift ;;
*) experiment=experiments/birdclef2018.toml ;;
esac
if [ ! -w "$datasets" ]; then
    echo "$datasets: user $(id -u) cannot write here; mount a folder of your own" >&2
    exit 2
fi
[ -z "${WITHOUT_GPU:-}" ] || echo "$WITHOUT_GPU: everything runs on the CPU, many times slower" >&2

root=$datasets archive=
[ ! -d "$datasets/TrainingSet" ] || root=$datasets/TrainingSet
if ! is_root "$root" && ! is_chosen "$@"; then
    archive=$root root=$datasets/sorted
    [ ! -d "$datasets/recordings" ] || archive=$datasets/recordings
    if [ "$archive" = "$datasets" ]; then
        archive=$links
        link_recordings
    fi
fi
set -- "$experiment" ${archive:+--dataset.archive "$archive"} --dataset.root "$root" --snapshots "$datasets/snapshots" "$@"

if [ -f "$root/split.parquet" ]; then
    echo "already sorted: remove $root/split.parquet to sort again"
else
    status=0
    "$python" sort_data.py "$@" || status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 3 ] || exit "$status" # 3: done, but something had to be left out
fi
status=0
"$python" spec.py "$@" || status=$? # does only what is missing
[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || exit "$status" # 3: done, but a recording was damaged
exec "$python" evaluate.py "$@"
