#!/usr/bin/env bash
#SBATCH --job-name=mergelaw-head
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --output=mergelaw-head-%j.log
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#
# Snakemake's head process as a job of its own, in the folder where this is called:
#
#   sbatch [options of sbatch] profiles/slurm/submit.sh [arguments of snakemake]
#
# The profile is profiles/slurm, or what SNAKEMAKE_PROFILE or --profile names. One head runs in a
# folder; a second one names the first and ends with status 3. What a dead head left, its jobs and
# its lock, is removed first. Before its time limit (`--signal` says how long before) it submits no
# more jobs, cancels what still runs, and queues itself again until the study is finished.
# `scancel HEAD` ends its jobs with it. The exit status is Snakemake's.
set -euo pipefail

HERE=$(pwd -P)
HEAD=${SLURM_JOB_ID:-}
RECORD=.snakemake/head
export HERE SNAKEMAKE_PROFILE="${SNAKEMAKE_PROFILE:-profiles/slurm}"
LOOK=${MERGELAW_HEAD_LOOK:-60} # seconds between two looks at the queue
snakemake= timer= resume= anew=

say() { printf '%s head %s: %s\n' "$(date '+%F %T')" "$HEAD" "$*" >&2; }

die() {
    say "$2"
    exit "$1"
}

# squeue, until the controller answers: no answer must not be taken for "no such job".
queue() {
    until squeue --noheader "$@"; do
        say "squeue does not answer; asked again in 10 s"
        sleep 10
    done
}

state_of() { queue --format='%A %T' | awk -v job="$1" '$1 == job { print $2 }'; }

# Jobs of a head: its number is in their names, and they run in this folder.
jobs_of() {
    local head=$1
    shift
    queue --me --format='%A|%j|%Z' "$@" |
        awk -F'|' -v name="mergelaw-${head}_" \
            'index($2, name) == 1 && $3 == ENVIRON["HERE"] { print $1 }' | sort -u
}

cancel_jobs_of() {
    local jobs
    while jobs=$(jobs_of "$1") && [ -n "$jobs" ]; do
        say "cancelling jobs of head $1:" $jobs
        scancel $jobs || true
        sleep 2
    done
}

unlock() { snakemake --unlock "$@" || say "could not unlock: snakemake --unlock"; }

# Take over what a dead head left; end if one is alive.
clear_after() {
    local first=$1 state
    shift
    while state=$(state_of "$first") && [ "$first" != "$HEAD" ] && [ -n "$state" ]; do
        [ "$state" = COMPLETING ] || die 3 "head $first runs in this folder ($state): scancel $first first"
        sleep 2
    done
    say "head $first has ended without clearing up"
    cancel_jobs_of "$first"
    unlock "$@"
}

# The record is a link to the head's number: it is made or not, also on a network's file system.
claim() {
    local first tries
    mkdir -p .snakemake
    for tries in 1 2 3 4 5; do
        ln -sn "$HEAD" "$RECORD" 2>/dev/null && return
        first=$(readlink "$RECORD") || continue
        clear_after "$first" "$@"
        [ "$first" != "$HEAD" ] || return 0
        [ "$(readlink "$RECORD")" != "$first" ] || rm -f "$RECORD"
    done
    die 2 "cannot write $HERE/$RECORD"
}

# Interrupt Snakemake in a while, which cancels its jobs, and kill it a while later.
end_after() {
    [ -z "$timer" ] || kill "$timer" 2>/dev/null || true
    (
        sleep "$1"
        kill -INT -- "-$snakemake" || exit 0
        sleep "$2"
        kill -KILL -- "-$snakemake"
    ) 2>/dev/null &
    timer=$!
}

# The time limit is near: no more jobs, those that run have until shortly before it.
drain() {
    local left margin
    left=$(($(date -d "$(queue --jobs="$HEAD" --format=%e)" +%s) - $(date +%s)))
    margin=$((left < 240 ? left / 2 : 120))
    say "$left s are left: no more jobs, and those that run in $((left - margin)) s are cancelled"
    resume=yes
    kill -TERM "$snakemake" 2>/dev/null || true
    end_after $((left - margin)) $((margin / 2))
}

# scancel of the head, or preemption: Slurm kills it half a minute later.
stop() {
    say "asked to end"
    resume= anew=
    end_after 0 8
}

# What Snakemake waits for in vain. A preempted job, which Slurm ends for good where its PreemptMode
# is CANCEL, is queued again; and when ten looks find neither jobs nor processes of Snakemake's, it
# has missed the end of jobs (the controller was away, or forgot them early) and is started anew.
watch() {
    local job idle=0
    while sleep "$LOOK"; do
        for job in $(jobs_of "$HEAD" --states=PREEMPTED); do
            say "queueing preempted job $job again"
            scontrol requeue "$job" || true
        done
        idle=$((idle + 1))
        [ -z "$(jobs_of "$HEAD")$(pgrep -P "$snakemake")" ] || idle=0
        [ "$idle" -ne 10 ] || kill -USR2 $$
    done
}

start_anew() {
    say "Snakemake waits for jobs that have ended: starting it anew"
    anew=yes
    end_after 0 8
}

# Its own process group, with which `set -m` also gives it an interrupt signal that is not ignored.
run() {
    local status watcher
    set -m
    snakemake --slurm-jobname-prefix "mergelaw-$HEAD" "$@" &
    snakemake=$!
    set +m
    trap drain USR1
    trap stop TERM
    trap start_anew USR2
    watch &
    watcher=$!
    while true; do
        status=0
        wait "$snakemake" || status=$?
        kill -0 "$snakemake" 2>/dev/null || break
    done
    trap '' USR1 USR2
    kill "$watcher" $timer 2>/dev/null || true
    cancel_jobs_of "$HEAD" # those that Snakemake could not: still in submission, or it was killed
    [ "$status" -lt 128 ] || unlock "$@"
    say "Snakemake ended with status $status"
    return "$status"
}

[ -n "$HEAD" ] || die 2 "not in a job: sbatch profiles/slurm/submit.sh [arguments of snakemake]"
PATH=$PATH:$HERE/.venv/bin
command -v snakemake >/dev/null || die 2 "no snakemake on PATH: activate the environment, then sbatch"

claim "$@"
anew=yes
while [ -n "$anew" ]; do
    anew= status=0
    run "$@" || status=$?
done
if [ -n "$resume" ] && [ "$status" -ne 0 ]; then
    trap - TERM
    say "queueing this head again"
    scontrol requeue "$HEAD" && sleep 600 # until Slurm ends this run of it
    say "that was refused: sbatch it anew"
fi
rm -f "$RECORD"
exit "$status"
