#!/usr/bin/env bash
# Starts a Slurm of one node, this machine, for tests: tests/launch/start_slurm.sh DIR
#
# As root, with Debian's slurmctld, slurmd, slurm-client and munge installed. Keys, state, logs and
# slurm.conf are in DIR; SLURM_CONF=DIR/slurm.conf makes sbatch and the others use it. stop_slurm.sh
# DIR ends it. Nothing of the system's own configuration is read or changed.
set -euo pipefail
folder=$(realpath -m "$1")
mkdir -p "$folder/state" "$folder/spool"
host=$(hostname -s)
read -r control daemon < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets: s.bind(("", 0))
print(*(s.getsockname()[1] for s in sockets))')

dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
chmod 400 "$folder/munge.key"
cat >"$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$control
SlurmdPort=$daemon
SlurmUser=root
AuthInfo=socket=$folder/munge.socket
MpiDefault=none
# Neither control groups nor CPU binding: containers seldom allow them.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=5
SchedulerParameters=sched_min_interval=0
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END

export SLURM_CONF=$folder/slurm.conf
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
  --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
slurmctld
slurmd
for _ in $(seq 150); do
  if [[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]]; then exit 0; fi
  sleep 0.2
done
echo "start_slurm.sh: the node was not idle within 30 s; the logs are in $folder" >&2
tail -n 20 "$folder/slurmctld.log" >&2
exit 1
