#!/usr/bin/env bash
# A Slurm of its own, with two nodes on this host, for tests:
#
#   tests/slurm/cluster.sh start FOLDER    FOLDER: to be made; everything is kept in it
#   tests/slurm/cluster.sh start-node FOLDER NODE    one whose slurmd was killed
#   tests/slurm/cluster.sh stop FOLDER     works after a crash too; leaves the logs
#   export SLURM_CONF=FOLDER/slurm.conf    for sbatch, squeue, scontrol ...
#
# Nodes n0 and n1 have 4 processors and 2 pretended GPUs each. Partitions: main, and urgent, whose
# jobs push those of main back into the queue. Exit 77: Slurm is not installed or cannot run here.
# Several may run at once. Jobs and daemons carry BITMILL_TEST_CLUSTER=FOLDER in their environment
# (a job if whoever submits it passes that on); that is how stop finds what hangs.
set -euo pipefail

export PATH=$PATH:/usr/sbin:/sbin

say() { printf 'cluster.sh: %s\n' "$*" >&2; }
skip() {
  say "skipped: $*"
  exit 77
}

require_slurm() {
  local program
  for program in slurmctld slurmd munged sbatch srun; do
    command -v $program >/dev/null || skip "no $program here (launch/setup.sh --with-slurm)"
  done
  [ "$(id -u)" -eq 0 ] || skip "the daemons of a private Slurm must be started by root"
}

free_ports() {
  /usr/bin/python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))
PYTHON
}

# write_config HOST CONTROL_PORT N0_PORT N1_PORT. The line RequeueExit, which few sites have, comes
# from the environment: the templates have to get along with it and without it.
write_config() {
  cat >"$folder/slurm.conf" <<CONFIG
ClusterName=test
SlurmctldHost=$1(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# The least it takes; it is also the delay of a requeue.
AuthInfo=socket=$folder/munge/sock,cred_expire=5
CredType=cred/munge
SlurmctldPort=$2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/log/jobcomp.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
MpiDefault=pmix
SwitchType=switch/none
MailProg=/bin/true
# PMIx runs under two slurmds of one host only with a folder for each.
TmpFS=$folder/tmp/%n
# More processors than there are.
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=60
InactiveLimit=0
KillWait=5
MinJobAge=300
JobRequeue=1
${REQUEUE_EXIT_LINE-}
UnkillableStepTimeout=15
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n0 NodeHostname=$1 NodeAddr=127.0.0.1 Port=$3 CPUs=4 RealMemory=2000 Gres=gpu:2 State=UNKNOWN
NodeName=n1 NodeHostname=$1 NodeAddr=127.0.0.1 Port=$4 CPUs=4 RealMemory=2000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONFIG
  local node
  for node in n0 n1; do
    echo "NodeName=$node Name=gpu Count=2 File=$folder/gpu/$node.[0-1] AutoDetect=off"
  done >"$folder/gres.conf"
}

make_folders() {
  local node gpu
  mkdir -p "$folder"/{state,log,run,gpu} "$folder"/{spool,tmp}/{n0,n1}
  mkdir -m 700 "$folder/munge"
  head -c128 /dev/urandom >"$folder/munge/key"
  chmod 400 "$folder/munge/key"
  # Slurm insists on character devices; these are /dev/null.
  for node in n0 n1; do
    for gpu in 0 1; do
      mknod "$folder/gpu/$node.$gpu" c 1 3 2>/dev/null || skip "device files cannot be made in $folder"
    done
  done
}

start_node() { SLURM_CONF=$folder/slurm.conf slurmd -c -N "$1" -f "$folder/slurm.conf"; }

start_daemons() {
  munged --force --num-threads=2 --key-file="$folder/munge/key" --socket="$folder/munge/sock" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" \
    2>"$folder/log/munged.err"
  slurmctld -c -f "$folder/slurm.conf"
  start_node n0
  start_node n1
}

nodes_are_idle() {
  for _ in {1..150}; do
    if [ "$(timeout 5 sinfo -h -p main -t idle -o %D 2>/dev/null)" = 2 ]; then return 0; fi
    sleep 0.2
  done
  return 1
}

start() {
  require_slurm
  [ ! -e "$folder" ] || { say "$folder is there already" && exit 1; }
  [ ${#folder} -le 80 ] || { say "$folder: too long a path for the socket in it" && exit 1; }
  local ports
  make_folders
  read -ra ports < <(free_ports 3)
  write_config "$(cut -d. -f1 /proc/sys/kernel/hostname)" "${ports[@]}"
  export BITMILL_TEST_CLUSTER=$folder SLURM_CONF=$folder/slurm.conf
  if ! start_daemons || ! nodes_are_idle; then
    tail -n 5 "$folder"/log/* >&2
    stop
    skip "Slurm does not come up here"
  fi
}

# Whoever carries this cluster's name. The caller may too: it stays.
members() {
  grep -lszxF "BITMILL_TEST_CLUSTER=$folder" /proc/[0-9]*/environ | cut -d/ -f3 | grep -vx $$ || true
}

stop() {
  local pids pid_file
  # slurmd forgets its steps when it ends, so they are ended first.
  SLURM_CONF=$folder/slurm.conf timeout 10 scancel --full --signal=KILL --state=RUNNING 2>/dev/null || true
  for pid_file in "$folder"/run/*.pid "$folder/munge/pid"; do
    if [ -s "$pid_file" ]; then kill -TERM "$(<"$pid_file")" 2>/dev/null || true; fi
  done
  for _ in {1..50}; do
    mapfile -t pids < <(members)
    if [ ${#pids[@]} -eq 0 ]; then return; fi
    sleep 0.1
  done
  kill -KILL "${pids[@]}" 2>/dev/null || true
}

main() {
  folder=${2-}
  case $folder in /*) ;; *) say "usage: cluster.sh start|stop|start-node ABSOLUTE_FOLDER [NODE]" && exit 2 ;; esac
  case $1 in
    start) start ;;
    stop) stop ;;
    start-node)  # one that was killed
      export BITMILL_TEST_CLUSTER=$folder
      start_node "$3"
      ;;
    *) say "what is $1?" && exit 2 ;;
  esac
}

main "$@"
