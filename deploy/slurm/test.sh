#!/bin/bash
# Runs the recipe of this folder with a real Slurm on this machine: a controller and two
# node daemons, an array of four shares of the fixture, one of which is killed in the
# middle and another requeued, and the merge. What is merged must be what one process
# measures, byte for byte but for its provenance. Debian, as root, with network access for
# apt-get where slurm-wlm is not there yet.
#
#   deploy/slurm/test.sh [MODELDOCTOR]     the program, by default built from this tree
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../.." && pwd)
model=$tree/fixtures/vit-cifar100/model.onnx
samples=${SAMPLES:-100}
flags=(--granularity module --samples "$samples" "$model")

if ! command -v slurmctld slurmd munged >/dev/null; then
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge
fi

work=$(mktemp -d)
port=$((20000 + $$ % 20000)) # and the two that follow
pids=()
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap stop EXIT
mkdir -p "$work"/{bin,run,state,spool,log}
chmod 0755 "$work"
if [ $# -gt 0 ]; then cp "$1" "$work/bin/modeldoctor"; else (cd "$tree" && go build -o "$work/bin/modeldoctor" ./cmd/modeldoctor); fi
export PATH=$work/bin:$PATH MODELDOCTOR_CONFIG=none

# Authentication, with a key and a socket of its own.
(umask 077 && head -c 1024 /dev/urandom >"$work/run/munge.key")
munged --foreground --force --key-file="$work/run/munge.key" --socket="$work/run/munge.socket" \
  --pid-file="$work/run/munged.pid" --seed-file="$work/run/munge.seed" --log-file="$work/log/munged.log" >/dev/null 2>&1 &
pids+=($!)

export SLURM_CONF=$work/run/slurm.conf
cat >"$SLURM_CONF" <<CONF
ClusterName=modeldoctor
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/run/munge.socket,cred_expire=15
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool/%n
SlurmctldPidFile=$work/run/slurmctld.pid
SlurmdPidFile=$work/run/slurmd-%n.pid
SlurmctldLogFile=$work/log/slurmctld.log
SlurmdLogFile=$work/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5
ReturnToService=2
KillWait=5
MinJobAge=3600
NodeName=md1 NodeHostName=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1 RealMemory=512
NodeName=md2 NodeHostName=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1 RealMemory=512
PartitionName=all Nodes=md[1-2] Default=YES MaxTime=INFINITE State=UP
CONF
mkdir -p "$work"/spool/md{1,2}
for _ in $(seq 50); do [ -S "$work/run/munge.socket" ] && break; sleep 0.2; done
slurmctld -D >/dev/null 2>&1 &
pids+=($!)
sleep 1
slurmd -D -N md1 >/dev/null 2>&1 &
pids+=($!)
slurmd -D -N md2 >/dev/null 2>&1 &
pids+=($!)
for _ in $(seq 100); do
  [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && break
  sleep 0.5
done
sinfo -N

# wait_until SECONDS WHAT COMMAND... fails unless the command succeeds within that time.
wait_until() {
  local limit=$1 what=$2
  shift 2
  for _ in $(seq $((limit * 10))); do
    if "$@"; then return; fi
    sleep 0.1
  done
  echo "FAILED: $what" >&2
  squeue || true
  tail -n 20 "$work"/log/*.log "$work"/*.out >&2 || true
  exit 1
}
state() { scontrol show job "$1" | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p' | sort -u | paste -sd' '; }
is() { [ "$(state "$1")" = "$2" ]; }
restarts() { scontrol show job "$1" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p'; }

cd "$work"
echo "one process:"
time modeldoctor check -q --threads 1 --format json="$work/one.json" "${flags[@]}" || [ $? = 1 ]

export PARTS=$work/parts REPORT=$work/merged.json
began=$(date +%s)
read -r job merge < <("$here/submit.sh" --array=1-4 --cpus-per-task=1 --output="$work/share-%a.out" -- "${flags[@]}")
echo "array $job, merge $merge"

# Task 1 is killed once it has finished a layer, task 2 is requeued as after preemption.
wait_until 300 "task 1 has finished a layer" test -e "$PARTS/part-1-of-4.json.unfinished"
scancel --signal=KILL "${job}_1.0"
echo "task 1 killed"
wait_until 300 "task 2 has finished a layer" test -e "$PARTS/part-2-of-4.json.unfinished"
scontrol requeue "${job}_2"
echo "task 2 requeued"

wait_until 900 "the merge has ended" eval 'case $(state '"$merge"') in COMPLETED|FAILED) true ;; *) false ;; esac'
echo "all done after $(($(date +%s) - began)) s"
echo "restarts: task 1 $(restarts "${job}_1"), task 2 $(restarts "${job}_2")"
[ "$(restarts "${job}_1")" = 1 ] && [ "$(restarts "${job}_2")" = 1 ]
grep -H "as Slurm says\|going on from" share-*.out
grep -q "going on from" share-1.out
grep -q "going on from" share-2.out

# A finished share started again does nothing.
SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_COUNT=4 modeldoctor check -q --shard auto --parts "$PARTS" "${flags[@]}" | grep "nothing to do"

without_provenance() { sed '/^  "provenance": {/,/^  }/d' "$1"; }
cmp <(without_provenance one.json) <(without_provenance merged.json)
echo "PASSED: what was merged is what one process measured"
