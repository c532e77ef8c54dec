# Sourced by the templates beside it: runs one bitmill command in a batch job, passes the wish to
# stop on to its ranks, and puts the job back into the queue when that is worth it. Nothing to edit.
# shellcheck shell=bash
#
# Exit status of the job: 0 done; 2 wrong words; 1 failed for good; 75 in the queue again.

cd "$SLURM_SUBMIT_DIR" || exit 1
# shellcheck source-path=SCRIPTDIR source=settings.sh
source ./settings.sh

say() { printf '%(%F %T)T job %s: %s\n' -1 "$job" "$*" >&2; }

# How Slurm calls this job. The plain number of an array's last task would mean the whole array.
job=$SLURM_JOB_ID
if [ -n "${SLURM_ARRAY_JOB_ID-}" ]; then job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID; fi

# Prints "--time-limit TIME" with what is left of this job's time, for bitmill quantize and run: it
# stops ahead of that by itself, should no signal come. Nothing where there is no limit.
time_limit() {
  local left
  left=$(squeue -h -j "$job" -o %L) || return 0
  case $left in *[0-9]:[0-9]*) echo "--time-limit $left" ;; esac
}

# Slurm's signal before the limit reaches this shell only, SIGTERM sometimes everybody.
pass_on() {
  interrupted=1
  asked_to_stop=yes
  say "SIG$1: asking bitmill to commit and stop"
  if [ -n "$command_pid" ]; then kill -USR1 "$command_pid" 2>/dev/null; fi
}

# Runs the words; leaves their exit status in `status`.
run_words() {
  "$@" &
  command_pid=$!
  if [ -n "$asked_to_stop" ]; then kill -USR1 "$command_pid" 2>/dev/null; fi
  interrupted=1
  while [ $interrupted -eq 1 ]; do
    interrupted=0
    wait "$command_pid"
    status=$?
  done
}

# srun returns the highest status of its tasks, which is that of a killed one rather than what the
# others say; and starts that all end with 75, and commit nothing, are a failure. So the folder of
# the run is asked. A run that left no note did not get that far: it was told to stop, or it failed.
judge() {
  case $status in 0 | 1 | 2) return ;; esac
  if [ "$status" -ne 75 ]; then say "the job step ended with $status"; fi
  if [ ! -s "$BITMILL_RUN_NOTE" ]; then
    if [ "$status" -ne 75 ]; then status=1; fi
    if [ -n "$asked_to_stop" ]; then status=75; fi
    return
  fi
  status=0
  "$bin/bitmill" status --work-dir "$(head -n 1 "$BITMILL_RUN_NOTE")" --exit-status >/dev/null || status=$?
  case $status in 0 | 1 | 75) ;; *) status=1 ;; esac
}

# Most sites do not requeue on an exit status. Where RequeueExit=75 is set, Slurm finds the job in
# the queue already, and this makes no second round. A job that Slurm itself is ending (preempted,
# requeued by hand, out of time) is not RUNNING any more: that is Slurm's decision.
requeue() {
  local state
  if [ "${SLURM_RESTART_COUNT-0}" -ge "$max_requeues" ]; then
    say "not done after $max_requeues requeues; submit it again to go on"
    exit 1  # 75 would requeue it where RequeueExit is set
  fi
  state=$(squeue -h -j "$job" -o %T)
  if [ "$state" = RUNNING ]; then
    say "state committed: requeueing (so far ${SLURM_RESTART_COUNT-0} of at most $max_requeues times)"
    scontrol requeue "$job" || say "Slurm does not requeue it; submit it again to go on"
  else
    say "state committed; Slurm is ending this job itself ($state)"
  fi
  exit 75
}

# bitmill_job WORDS...: the whole job. Does not return.
bitmill_job() {
  command_pid='' status='' asked_to_stop=''
  trap 'pass_on USR1' USR1
  trap 'pass_on TERM' TERM
  # Rank 0 runs on this node, so this need not be a shared folder.
  BITMILL_RUN_NOTE=$(mktemp -t bitmill-note.XXXXXX) || exit 1
  export BITMILL_RUN_NOTE
  say "$*"
  run_words "$@"
  judge
  rm -f "$BITMILL_RUN_NOTE"
  if [ "$status" -eq 75 ]; then requeue; fi
  say "ended with $status"
  exit "$status"
}
