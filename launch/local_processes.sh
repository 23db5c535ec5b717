#!/usr/bin/env bash
# Trains with several processes on this machine, as a rehearsal of a cluster.
#
#   launch/local_processes.sh N [--devices=D] -- ARGS...
#
#   N            number of processes
#   --devices=D  number of CPU devices of each process; 1 by default
#   ARGS         the arguments of `python -m mlseg.main`
#
#   launch/local_processes.sh 2 --devices=2 -- --config=configs/smoke.py --workdir=runs/rehearsal
#
# The processes run on the CPU; the GPUs of a single machine need only one process. Each line of
# output begins with the number of its process. Ctrl-C and SIGTERM are passed on, so that the run
# saves and stops. If a process fails, the others are ended, and the exit code is that of the first
# that failed.
#
# Environment:
#   PYTHON   the interpreter; python by default
#   PROGRAM  the module to run; mlseg.main by default
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

start() { # start ID ARGS...: starts one process, and a reader that puts its number before its lines
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

pass_on() { # pass_on SIGNAL: sends a signal to all processes that still run
  local pid
  for pid in "${pids[@]}"; do kill "-$1" "$pid" 2>/dev/null || true; done
}

trap 'pass_on KILL; rm -rf "$folder"' EXIT
trap 'pass_on INT' INT
trap 'pass_on TERM' TERM

# With job control each process has its own group. Ctrl-C then reaches only this script, which
# passes it on once; a second signal would kill the processes before they have saved.
set -m
for ((id = 0; id < count; id++)); do start "$id" "$@"; done
set +m

code=0
deadline=
running=("${pids[@]}")
while ((${#running[@]})); do # without stderr, where bash reports each process that a signal ended
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
      deadline=$((SECONDS + 5)) # time for the others to print their errors
    fi
  done
  running=(${left[@]+"${left[@]}"})
  if [[ -n $deadline ]] && ((SECONDS >= deadline)); then pass_on KILL; fi
  sleep 0.1
done 2>/dev/null
wait "${readers[@]}" 2>/dev/null || true
if ((code)); then echo "local_processes.sh: the first process that failed had exit code $code" >&2; fi
exit "$code"
