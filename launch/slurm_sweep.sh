#!/usr/bin/env bash
# Trains a grid of runs on Slurm, as an array of jobs that share the work.
#
#   sbatch --array=0-7 launch/slurm_sweep.sh --study=configs/studies/dmf_busi.py \
#       --workdir=runs/study
#
# The arguments are those of `python -m mlseg.sweep`; which runs a task trains follows from its
# number. Number the array from 0 without gaps; there may be fewer tasks than runs. Submit from the
# repository's folder, with the Python environment active. When all are done, or earlier for what
# is there, the same arguments print the table:
#
#   python -m mlseg.sweep --study=configs/studies/dmf_busi.py --workdir=runs/study --table
#
# To change, here or by options of sbatch before the script's name, which win:
#   --partition, --account   remove one # below and fill in
#   --gpus                   likewise: the GPUs of one task; without it the runs are on the CPU
#   --array, --time, --cpus-per-task, --mem
#
# Near its time limit a task saves and is queued again, as it is after a preemption or the loss of
# its node; the runs go on from their last checkpoints. A task that failed can be repeated with the
# same command: sbatch --array=3 does not do, since the others count too; what is done is not
# trained again.
#
# Environment:
#   PYTHON   the interpreter; python
#   PROGRAM  the module to run; mlseg.sweep
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

# Not after scancel, which leaves the job in another state.
if [[ $code == 0 && -n $stopped && \
  $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
