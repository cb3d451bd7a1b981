#!/usr/bin/env bash
# A study on a real Slurm, one node on loopback, gives the same parameters, hash for hash, as
# trained here. Needs root and a Debian with slurm-wlm and munge; starts its own daemons with a
# configuration of its own and stops them again. trainer is taken from $1 (default target/debug).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
trainer=$(realpath "${1:-$root/target/debug}")/trainer
work=$(mktemp -d)
host=$(hostname -s)
chmod 755 "$work"
trap 'pkill -F "$work/slurmd.pid" || true; pkill -F "$work/slurmctld.pid" || true; pkill -F "$work/munged.pid" || true; sleep 1; rm -rf "$work"' EXIT

head -c 1024 /dev/urandom >"$work/munge.key"
chmod 400 "$work/munge.key"
munged --force --key-file="$work/munge.key" --socket="$work/munge.socket" --pid-file="$work/munged.pid" \
    --log-file="$work/munged.log" --seed-file="$work/munge.seed"
mkdir "$work/state" "$work/spool"
cat >"$work/slurm.conf" <<EOF
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
EOF
export SLURM_CONF=$work/slurm.conf
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in $(seq 60); do
    sinfo -h -o %T 2>/dev/null | grep -q idle && break
    sleep 1
done
sinfo

study() {
    mkdir -p "$work/$1"
    cd "$work/$1"
    cat >study.yaml <<EOF
name: batch
title: Batch size
base: $root/studies/base-mnist.yaml
set: {epochs: 1, split.train: 1000, split.validation: 1000}
seeds: [1, 2]
axes:
- {knob: batch size, field: batch_size, values: [32, 64]}
EOF
}
study here
"$trainer" study study.yaml --datasets "$root/datasets" 2>/dev/null
study cluster
sbatch --wait "$("$trainer" study study.yaml --datasets "$root/datasets" --plan slurm 2>/dev/null)"
"$trainer" study collect study.yaml --datasets "$root/datasets"
hashes() { cut -d, -f2,3,10 "$work/$1/batch/results.csv"; }
hashes here
diff <(hashes here) <(hashes cluster)
echo "Slurm and here: the same accuracies and parameters, hash for hash"
