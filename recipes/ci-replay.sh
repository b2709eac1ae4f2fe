#!/bin/sh
# One update's training again, as a step of a pipeline: the exit status is the result.
#
#   recipes/ci-replay.sh [--json] [--coordinator KEY] RUN ROUND WORKER [-- ARGUMENTS OF l402 replay]
#
# RUN is a run folder (docs/run.md). Which states the round begins with follows from the scores before it: those that the
# worker's last update that counted has left. Whoever keeps files elsewhere names them in the environment instead:
# RECIPE, MODEL, ASSIGNMENTS, SHARDS, UPDATE, and PREVIOUS, MOMENTS, FEEDBACK (all of them empty: from zero), COORDINATOR,
# and L402 for the binary.
#
# Exit status, as l402's: 0 exact, 1 another update than the work makes, 2 usage, 65 malformed input, 66 missing input, ...
# Says one line; with --json the finding, a JSON line, is on standard output.
set -eu

usage() {
    echo "usage: ci-replay.sh [--json] [--coordinator KEY] RUN ROUND WORKER [-- ARGUMENTS]" >&2
    exit 2
}
json='' coordinator=${COORDINATOR:-}
while [ $# -gt 0 ]; do
    case $1 in
        --json) json=1; shift ;;
        --coordinator) [ $# -ge 2 ] || usage; coordinator=$2; shift 2 ;;
        -*) usage ;;
        *) break ;;
    esac
done
[ $# -ge 3 ] || usage
run=$1 round=$2 worker=$3
shift 3
if [ $# -gt 0 ]; then
    [ "$1" = -- ] || usage
    shift
fi
case $round in '' | *[!0-9]*) usage ;; esac
case $worker in '' | *[!a-z0-9._-]*) usage ;; esac

# The worker's last update that counted, before this round.
last=''
if [ -z "${PREVIOUS+set}" ]; then
    before=$round
    while [ "$before" -gt 0 ] && [ -z "$last" ]; do
        before=$((before - 1))
        scores=$run/round-$before/scores.jsonl
        if [ ! -e "$scores" ]; then
            echo "ci-replay: $scores: no such file: which state does round $round begin with?" >&2
            exit 66
        fi
        counted=$("${L402:-l402}" inspect --field update --where type=score --where "worker=$worker" --where counts=true "$scores")
        if [ -n "$counted" ]; then
            last=$run/round-$before/$worker
        fi
    done
fi
previous=${PREVIOUS-${last:+$last.update}}
feedback=${FEEDBACK-${last:+$last.feedback}}
# Not every recipe carries moments from round to round.
if [ -n "$last" ] && [ -e "$last.moments" ]; then moments=$last.moments; else moments=''; fi
moments=${MOMENTS-$moments}
now=$run/round-$round
update=${UPDATE:-$now/$worker.update}

set -- --recipe "${RECIPE:-$run/run.toml}" --model "${MODEL:-$run/theta-$round}" --round "$round" --worker "$worker" \
    --assignments "${ASSIGNMENTS:-$now/assignments.jsonl}" --shards "${SHARDS:-$run/shards}" --update "$update" "$@"
if [ -z "$coordinator" ] && [ -e "$run/coordinator.pub" ]; then coordinator=$(cat "$run/coordinator.pub"); fi
if [ -n "$coordinator" ]; then set -- "$@" --coordinator "$coordinator"; fi
if [ -n "$previous" ]; then set -- "$@" --previous "$previous"; fi
if [ -n "$moments" ]; then set -- "$@" --state "$moments"; fi
if [ -n "$feedback" ]; then set -- "$@" --state "$feedback"; fi

status=0
if [ -n "$json" ]; then
    "${L402:-l402}" --quiet replay "$@" || status=$?
else
    "${L402:-l402}" --quiet replay "$@" > /dev/null || status=$?
    if [ "$status" -eq 0 ]; then echo "ci-replay: $update: exact: what $worker had to make of round $round"; fi
fi
exit "$status"
