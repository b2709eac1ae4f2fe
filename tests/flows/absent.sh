#!/bin/bash
# A paid round by coordinator.sh and worker.sh in which one worker never comes, and one commits and never shows its work: the third is paid.
#
#   L402_BINARY=target/debug/l402 tests/flows/absent.sh
set -euo pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d /tmp/l402-XXXXXX)
cd "$work"
export L402=$L402_BINARY AT=$work/coordinator/run SYNC=$home/tests/flows/hook WELL=1 ROUND_MSAT=120000000
wrong() { echo "absent: $*" >&2; exit 1; }
end() { "$L402" -q devnet down net; rm -rf "$work"; }
trap end EXIT

"$L402" -q devnet up net --nodes 4 --json > nodes.jsonl
"$home/tests/flows/begin" "$AT"
rm -rf "$AT"-private/*
number=0
for who in coordinator ann bob cy; do
    number=$((number + 1))
    "$L402" inspect --field id --where name=n$number nodes.jsonl > "$AT/$who.pub"
    mkdir -p $who/run-private/$who
    ln -s "$work/net/n$number/lightning-rpc" $who/run-private/$who/lightning-rpc
done
for who in ann bob cy; do
    printf '{"key":"%s","type":"roster","v":1,"worker":"%s"}\n' "$(cat "$AT/$who.pub")" $who
done > "$AT/roster.jsonl"
for who in ann bob; do mkdir $who/run && cp "$AT"/{run.toml,roster.jsonl,coordinator.pub} $who/run/; done

# Expected status and, in its words, why.
run() {
    local expected=$1 says=$2 status
    "${@:3}" > said 2>&1 && status=0 || status=$?
    [ "$status" -eq "$expected" ] || { cat said; wrong "${*:3}: expected status $expected, found $status"; }
    [ -z "$says" ] || grep -q -e "$says" said || { cat said; wrong "${*:3}: expected '$says'"; }
}
coordinator() { run "$1" "$2" "$home/recipes/coordinator.sh" coordinator/run; }
worker() { run "$1" "$2" "$home/recipes/worker.sh" "$3/run" "$3"; }
coordinator 75 "no commitment yet"
worker 75 "not paid yet" ann
worker 75 "not paid yet" bob
coordinator 75 "no commitment yet"
worker 75 "waiting for the closing" ann
worker 75 "waiting for the closing" bob
coordinator 75 "offer to cy of round 0: no commitment yet"
"$L402" -q devnet mine net 162 > /dev/null        # commit_by
coordinator 75 "waiting for the work of ann bob"
worker 75 "waiting for the verdict" ann
coordinator 75 "waiting for the work of bob"
touch -d '2 hours ago' "$AT/round-0/closing.jsonl"
coordinator 75 "waiting for claims"
worker 0 "" ann
worker 0 "" bob
coordinator 0 ""
coordinator 0 ""
paid() { "$L402" inspect --field paid_msat --where "task.worker=$1" "$AT/round-0/verdicts.jsonl"; }
[ "$(paid ann)" -gt 0 ] || wrong "ann was not paid"
[ "$(paid bob)" -eq 0 ] || wrong "bob was paid"
[ -z "$(paid cy)" ] || wrong "cy has a verdict"
"$L402" -q audit "$AT" --replay all > said 2>&1 || { cat said; wrong "the audit found something"; }
echo "who does not come, or does not show its work, holds up nobody"
