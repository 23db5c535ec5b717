#!/usr/bin/env bash
# Trains on a Cloud TPU, a slice of any size, with one process on each of its hosts.
#
#   launch/tpu.sh create            make the slice
#   launch/tpu.sh install           copy this repository there and install it
#   launch/tpu.sh run ARGS...       train; ARGS are those of `python -m mlseg.main`
#   launch/tpu.sh stop              tell the run to save and stop
#   launch/tpu.sh fetch DIR         copy the folder DIR of host 0 here
#   launch/tpu.sh delete            delete the slice, with its disks
#
#   launch/tpu.sh run --config=configs/dmf_busi.py --workdir=/mnt/runs/busi
#
# The same `run` again goes on from the last checkpoint, also on a slice that was made anew if
# --workdir is on storage that all hosts mount and that outlives the slice (Filestore, or a bucket
# through gcsfuse); a slice with SPOT=1 can be taken away at any moment. With a slice of one host
# its own disk does, until `delete`. Ctrl-C leaves the run to itself only if the connection holds:
# for long runs call this from a machine that stays on, for instance in tmux.
#
# Environment:
#   NAME     of the slice; mlseg
#   ZONE     needed, for instance us-central1-a
#   PROJECT  of Google Cloud; that of gcloud's configuration
#   TYPE     the accelerator; v5litepod-16
#   VERSION  the software of the hosts, which has to fit TYPE; v2-alpha-tpuv5-lite
#   SPOT     1: cheaper, and may be taken away; 0
#   PROGRAM  the module to run; mlseg.main
set -euo pipefail

usage() {
  sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p;}' "$0"
}

wrong() {
  echo "tpu.sh: $1; --help shows how it is used" >&2
  exit 2
}

action=${1:-}
case $action in
  --help | -h)
    usage
    exit 0
    ;;
  create | install | run | stop | fetch | delete) shift ;;
  *) wrong "the first argument must be create, install, run, stop, fetch or delete, not '$action'" ;;
esac

name=${NAME:-mlseg}
[[ -n ${ZONE:-} ]] || wrong "the environment variable ZONE must be set, for instance us-central1-a"
place=(--zone="$ZONE")
if [[ -n ${PROJECT:-} ]]; then place+=(--project="$PROJECT"); fi

tpu() { # tpu VERB ARGS...
  gcloud compute tpus tpu-vm "$@" "${place[@]}"
}

everywhere() { # everywhere COMMAND: a shell command on all hosts at once
  tpu ssh "$name" --worker=all --command="$1"
}

case $action in
  create)
    options=(--accelerator-type="${TYPE:-v5litepod-16}")
    options+=(--version="${VERSION:-v2-alpha-tpuv5-lite}")
    if [[ ${SPOT:-0} == 1 ]]; then options+=(--spot); fi
    tpu create "$name" "${options[@]}"
    ;;
  install)
    root=$(cd "$(dirname "$0")/.." && pwd)
    archive=$(mktemp -d)
    trap 'rm -rf "$archive"' EXIT
    git -C "$root" ls-files -z --cached --others --exclude-standard |
      tar -C "$root" --null --files-from=- -czf "$archive/mlseg.tar.gz"
    tpu scp "$archive/mlseg.tar.gz" "$name:mlseg.tar.gz" --worker=all
    everywhere "mkdir -p mlseg && tar -C mlseg -xzf mlseg.tar.gz && python3 -m venv mlseg/.venv \
&& mlseg/.venv/bin/pip install --quiet -e mlseg 'jax[tpu]'"
    ;;
  run)
    (($#)) || wrong "run needs arguments, for instance --config=configs/dmf_busi.py"
    everywhere "cd mlseg && .venv/bin/python -u -m ${PROGRAM:-mlseg.main}$(printf ' %q' "$@")"
    ;;
  stop)
    # In brackets, for the pattern would else match the shell that searches.
    everywhere "pkill -TERM -f '[.]venv/bin/python -u -m ${PROGRAM:-mlseg.main}'"
    ;;
  fetch)
    (($# == 1)) || wrong "fetch needs one argument, the folder"
    tpu scp --recurse "$name:$1" . --worker=0
    ;;
  delete) tpu delete "$name" ;;
esac
