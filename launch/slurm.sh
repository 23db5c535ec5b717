#!/usr/bin/env bash
# Trains on Slurm, with one process on each node, which uses all GPUs of its node.
#
#   sbatch launch/slurm.sh --config=configs/dmf_busi.py --workdir=runs/busi
#
# The arguments are those of `python -m mlseg.main`. Submit from the repository's folder, with the
# Python environment active; the job inherits both. The folder of --workdir must be shared by all
# nodes.
#
# To change, here or by options of sbatch before the script's name, which take precedence
# (sbatch --partition=gpu --account=me --nodes=4 launch/slurm.sh ...):
#   --partition, --account   remove one # below and fill in
#   --gpus-per-node          likewise; without it the run is on the CPU
#   --nodes, --time, --cpus-per-task, --mem
# Several processes on a node (--ntasks-per-node) work too: they share its GPUs evenly.
#
# Two minutes before the time limit the run saves and stops, and the job is queued again, as after a
# preemption or the loss of a node. It goes on from its last checkpoint, and appends to its output.
# scancel makes the run save and ends the job. The last line of a failed job's output says so.
#
# Environment:
#   PYTHON   the interpreter, the same on all nodes; python by default
#   PROGRAM  the module to run; mlseg.main by default
#
#SBATCH --job-name=mlseg
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
##SBATCH --gpus-per-node=4
##SBATCH --partition=
##SBATCH --account=
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out
set -euo pipefail

if [[ -z ${SLURM_JOB_ID:-} ]]; then
  sed -n '2,/^#SBATCH/{/^#SBATCH/!s/^# \{0,1\}//p;}' "$0"
  if [[ ${1:-} == --help || ${1:-} == -h ]]; then exit 0; fi
  echo "slurm.sh: this is not a Slurm job: submit it with sbatch launch/slurm.sh ARGS" >&2
  exit 2
fi

# `--signal=B:` sends SIGTERM to this shell alone, which passes it on to the processes and waits
# until they end. An exit code of 0 means that a run is done, or that it has saved and stopped.
stopped=
# shellcheck disable=SC2329 # the trap calls it
save() {
  trap '' TERM
  stopped=yes
  echo "slurm.sh: told to stop, by the time limit or by scancel: the run saves"
  scancel --signal=TERM "$SLURM_JOB_ID" 2>/dev/null || true # scancel may have done it
}
trap save TERM

# Since Slurm 22.05 srun no longer takes the number of CPUs from the job.
srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  "${PYTHON:-python}" -u -m "${PROGRAM:-mlseg.main}" "$@" &
step=$!
code=0
wait "$step" || code=$?
if [[ -n $stopped ]]; then # the signal ended the first wait
  code=0
  wait "$step" || code=$?
fi

if ((code)); then
  echo "slurm.sh: a process ended with code $code, and with it the job; its output is above." \
    "After a loss the same sbatch command goes on from the last checkpoint." >&2
elif [[ -n $stopped && $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]]; then
  scontrol requeue "$SLURM_JOB_ID" # not after scancel, when the job is in another state
fi
exit "$code"
