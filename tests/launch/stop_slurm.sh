#!/usr/bin/env bash
# Ends the Slurm that start_slurm.sh started: tests/launch/stop_slurm.sh DIR
set -euo pipefail
for name in slurmd slurmctld munged; do
  file=$1/$name.pid
  if [[ -f $file ]]; then kill "$(cat "$file")" 2>/dev/null || true; fi
done
for _ in $(seq 50); do
  alive=
  for name in slurmd slurmctld munged; do
    file=$1/$name.pid
    if [[ -f $file ]] && kill -0 "$(cat "$file")" 2>/dev/null; then alive=yes; fi
  done
  if [[ -z $alive ]]; then exit 0; fi
  sleep 0.1
done
echo "stop_slurm.sh: a daemon of $1 did not end" >&2
exit 1
