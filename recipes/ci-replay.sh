#!/bin/sh
# One update's training again, as a step of a pipeline: the exit status is the result.
#
#   recipes/ci-replay.sh [--json] [--coordinator KEY] RUN ROUND WORKER [-- ARGUMENTS OF l402 replay]
#
# RUN is a run folder (docs/run.md). Which states the round begins with follows from the scores before it: those that the
# worker's last update that counted has left. Files that lie elsewhere are named by the flags of l402 replay, after --. From the
# environment: L402, the binary.
#
# Exit status, as l402's: 0 exact, 1 another update than the work makes, 2 usage, 65 malformed input, 66 missing input, ...
# Says one line; with --json the finding, a JSON line, is on standard output.
set -eu

usage() {
    echo "usage: ci-replay.sh [--json] [--coordinator KEY] RUN ROUND WORKER [-- ARGUMENTS]" >&2
    exit 2
}
json='' coordinator=''
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

status=0
finding=$("${L402:-l402}" --quiet --run "$run" replay "$round" "$worker" ${coordinator:+--coordinator "$coordinator"} -o - "$@") ||
    status=$?
if [ -n "$json" ]; then
    if [ -n "$finding" ]; then printf '%s\n' "$finding"; fi
elif [ "$status" -eq 0 ]; then
    echo "ci-replay: $run: round $round: exact: what $worker had to make"
fi
exit "$status"
