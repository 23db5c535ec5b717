#!/usr/bin/env bash
# Trains the runs of a grid on Slurm, divided among the tasks of a job array.
#
#   sbatch --array=0-7 launch/slurm_sweep.sh --study=configs/studies/dmf_busi.py \
#       --workdir=runs/study
#
# The arguments are those of `python -m mlseg.sweep`; the number of a task determines the runs that
# it trains. Number the array from 0 without gaps; there may be fewer tasks than runs. Submit from
# the repository's folder, with the Python environment active. The same arguments print the table of
# the runs that are done:
#
#   python -m mlseg.sweep --study=configs/studies/dmf_busi.py --workdir=runs/study --table
#
# To change, here or by options of sbatch before the script's name, which take precedence:
#   --partition, --account   remove one # below and fill in
#   --gpus                   likewise: the GPUs of one task; without it the runs are on the CPU
#   --array, --time, --cpus-per-task, --mem
#
# Near its time limit a task saves and is queued again, as after a preemption or the loss of its
# node; the runs go on from their last checkpoints. If a task failed, repeat the whole command, since
# the number of tasks counts: sbatch --array=3 is refused. Runs that are done are not trained again.
#
# Environment:
#   PYTHON   the interpreter; python by default
#   PROGRAM  the module to run; mlseg.sweep by default
#
#SBATCH --job-name=mlseg-sweep
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
##SBATCH --gpus=1
##SBATCH --partition=
##SBATCH --account=
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.out
set -euo pipefail

if [[ -z ${SLURM_ARRAY_TASK_ID:-} ]]; then
  if [[ -z ${SLURM_JOB_ID:-} ]]; then
    sed -n '2,/^#SBATCH/{/^#SBATCH/!s/^# \{0,1\}//p;}' "$0"
    if [[ ${1:-} == --help || ${1:-} == -h ]]; then exit 0; fi
  fi
  echo "slurm_sweep.sh: this is not an array of jobs:" \
    "submit it with sbatch --array=0-7 launch/slurm_sweep.sh ARGS" >&2
  exit 2
fi
# shellcheck disable=SC2153 # Slurm sets it
if ((SLURM_ARRAY_TASK_MIN != 0 || SLURM_ARRAY_TASK_MAX != SLURM_ARRAY_TASK_COUNT - 1)); then
  echo "slurm_sweep.sh: --array must count from 0 without gaps, as in 0-7, not" \
    "$SLURM_ARRAY_TASK_MIN-$SLURM_ARRAY_TASK_MAX with $SLURM_ARRAY_TASK_COUNT tasks" >&2
  exit 2
fi

stopped=
# shellcheck disable=SC2329 # the trap calls it
save() {
  trap '' TERM
  stopped=yes
  echo "slurm_sweep.sh: told to stop, by the time limit or by scancel: the run saves"
  kill -TERM "$run" || true # it may have ended
}
trap save TERM

"${PYTHON:-python}" -u -m "${PROGRAM:-mlseg.sweep}" "$@" \
  --task="$SLURM_ARRAY_TASK_ID" --num_tasks="$SLURM_ARRAY_TASK_COUNT" &
run=$!
code=0
wait "$run" || code=$?
if [[ -n $stopped ]]; then # the signal ended the first wait
  code=0
  wait "$run" || code=$?
fi

# Not after scancel, when the job is in another state.
if [[ $code == 0 && -n $stopped && \
  $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
