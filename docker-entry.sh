#!/bin/sh
# What the container does: sort what is not sorted, extract what is not extracted, train, test, report. Stopped, it goes on where it was.
#
#     docker-entry.sh [EXPERIMENT.toml] [--section.setting VALUE ...]
set -eu
cd "$(dirname "$0")"
datasets=${DATASETS:-/datasets}
python=${PYTHON:-python}
links=${TMPDIR:-/tmp}/links-to-recordings

# is_root FOLDER: sort_data.py takes it as it is, or has sorted it already
is_root() {
    for name in split.parquet wav xml train val test train_audio train_short_audio; do
        [ ! -e "$1/$name" ] || return 0
    done
    return 1
}

# is_chosen FLAGS: they or the experiment say where the recordings are, and it is not where this script looks for them (a run's settings.toml says that)
is_chosen() {
    case " $*" in *" --dataset.archive"* | *" --dataset.root"*) return 0 ;; esac
    grep -Es '^[^#]*archive"? *=' "$experiment" | grep -qvF -e "\"$links\"" -e "\"$datasets/recordings\"" -e "\"$datasets/TrainingSet\""
}

# Links to all that lies in the folder but for what was made: an archive in which copies cannot be taken for more recordings.
link_recordings() {
    echo "$datasets: its recordings are read by links in $links, and sorted into $datasets/sorted"
    rm -rf "$links"
    mkdir "$links"
    for path in "$datasets"/*; do
        case ${path##*/} in
        sorted | snapshots) ;;
        *) if [ -r "$path" ]; then cp -rs "$path" "$links"; else echo "$path: may not be read, and is left out" >&2; fi ;;
        esac
    done
}

case ${1:-} in
*.toml) experiment=$1 && shift ;;
*) experiment=experiments/birdclef2018.toml ;;
esac
if [ ! -w "$datasets" ]; then
    echo "$datasets: may not be written by user $(id -u), whom results would belong to; mount a folder of yours" >&2
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
    echo "sorted already: $root/split.parquet is there; remove it to sort again"
else
    status=0
    "$python" sort_data.py "$@" || status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 3 ] || exit "$status" # 3: done, but something had to be left out
fi
status=0
"$python" spec.py "$@" || status=$? # does only what is missing
[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || exit "$status" # 3: done, but a recording was damaged
exec "$python" evaluate.py "$@"
