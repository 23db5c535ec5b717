#!/usr/bin/env bash
# Trains on a Cloud TPU slice of any size, with one process on each of its hosts.
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
# The same `run` again goes on from the last checkpoint. Put --workdir on storage that all hosts
# mount (Filestore, or a bucket through gcsfuse): a run can then go on on a new slice too, and a
# slice with SPOT=1 can be taken away at any moment. For a slice of one host its own disk is enough,
# until `delete`. For long runs call this script from a machine that stays connected, for instance
# in tmux.
#
# Environment:
#   NAME     name of the slice; mlseg by default
#   ZONE     required, for instance us-central1-a
#   PROJECT  project of Google Cloud; by default that of gcloud's configuration
#   TYPE     the accelerator; v5litepod-16 by default
#   VERSION  the software of the hosts, which must match TYPE; v2-alpha-tpuv5-lite by default
#   SPOT     1: cheaper, but may be taken away at any moment; 0 by default
#   PROGRAM  the module to run; mlseg.main by default
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
location=(--zone="$ZONE")
if [[ -n ${PROJECT:-} ]]; then location+=(--project="$PROJECT"); fi

tpu() { # tpu VERB ARGS...
  gcloud compute tpus tpu-vm "$@" "${location[@]}"
}

everywhere() { # everywhere COMMAND: runs a shell command on all hosts at once
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
    # The brackets keep the pattern from matching the shell that runs pkill.
    everywhere "pkill -TERM -f '[.]venv/bin/python -u -m ${PROGRAM:-mlseg.main}'"
    ;;
  fetch)
    (($# == 1)) || wrong "fetch needs one argument, the folder"
    tpu scp --recurse "$name:$1" . --worker=0
    ;;
  delete) tpu delete "$name" ;;
esac
