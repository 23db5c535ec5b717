#!/usr/bin/env bash
# Trains with several processes on this machine: a rehearsal of a cluster, over the loopback.
#
#   launch/local_processes.sh N [--devices=D] -- ARGS...
#
#   N            processes
#   --devices=D  CPU devices of each process; 1
#   ARGS         what `python -m mlseg.main` takes
#
#   launch/local_processes.sh 2 --devices=2 -- --config=configs/smoke.py --workdir=runs/rehearsal
#
# The processes run on the CPU; on one machine with GPUs, one process uses all of them by itself.
# Each line of output begins with the number of its process. Ctrl-C and SIGTERM are handed on, so
# that the run saves and stops. Where a process fails, the others are ended, and the exit code is
# that of the first that failed.
#
# Environment:
#   PYTHON   the interpreter; python
#   PROGRAM  the module to run; mlseg.main
set -euo pipefail

usage() {
  sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p;}' "$0"
}

wrong() {
  echo "local_processes.sh: $1; --help shows how it is used" >&2
  exit 2
}

devices=1
count=
while (($#)); do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --devices=*) devices=${1#*=} ;;
    --)
      shift
      break
      ;;
    -*) wrong "unknown option '$1'" ;;
    *)
      [[ -z $count ]] || wrong "unexpected argument '$1': the program's arguments follow a --"
      count=$1
      ;;
  esac
  shift
done
[[ $count =~ ^[1-9][0-9]*$ ]] || wrong "N must be a whole number from 1, not '$count'"
[[ $devices =~ ^[1-9][0-9]*$ ]] || wrong "--devices must be a whole number from 1, not '$devices'"
python=${PYTHON:-python}

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
folder=$(mktemp -d)
pids=()
readers=()

start() { # start ID ARGS...: one process, and what puts its number before its lines
  local id=$1 pipe="$folder/$1"
  shift
  mkfifo "$pipe"
  sed -u "s/^/[$id] /" <"$pipe" &
  readers+=($!)
  JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=$devices JAX_COORDINATOR_ADDRESS=127.0.0.1:$port \
    JAX_NUM_PROCESSES=$count JAX_PROCESS_ID=$id PYTHONUNBUFFERED=1 \
    "$python" -m "${PROGRAM:-mlseg.main}" "$@" >"$pipe" 2>&1 </dev/null &
  pids+=($!)
}

hand_on() { # hand_on SIGNAL: to all processes that still run
  local pid
  for pid in "${pids[@]}"; do kill "-$1" "$pid" 2>/dev/null || true; done
}

trap 'hand_on KILL; rm -rf "$folder"' EXIT
trap 'hand_on INT' INT
trap 'hand_on TERM' TERM

# Job control gives each process a group of its own: Ctrl-C then reaches this script alone, which
# hands it on once. A second signal would kill rather than save.
set -m
for ((id = 0; id < count; id++)); do start "$id" "$@"; done
set +m

code=0
deadline=
running=("${pids[@]}")
while ((${#running[@]})); do # quietly: bash reports each process that a signal ended
  left=()
  for pid in "${running[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then
      left+=("$pid")
      continue
    fi
    status=0
    wait "$pid" || status=$?
    if ((status && !code)); then
      code=$status
      deadline=$((SECONDS + 5)) # time for the others to say what they saw
    fi
  done
  running=(${left[@]+"${left[@]}"})
  if [[ -n $deadline ]] && ((SECONDS >= deadline)); then hand_on KILL; fi
  sleep 0.1
done 2>/dev/null
wait "${readers[@]}" 2>/dev/null || true
if ((code)); then echo "local_processes.sh: the first process that failed had exit code $code" >&2; fi
exit "$code"
