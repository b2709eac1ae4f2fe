#!/bin/bash
# Two paid rounds on the devnet: a coordinator and two workers, each with a folder of its own, each by its own cron job, all of them killed
# again and again. At the end everything is equal, and nobody was paid twice.
#
#   L402_BINARY=target/debug/l402 tests/flows/parties.sh
set -euo pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d /tmp/l402-XXXXXX)
cd "$work"
export L402=$L402_BINARY AT=$work/coordinator/run SYNC=$home/tests/flows/hook ROUNDS=2 ROUND_MSAT=120000000
RANDOM=${SEED:-1}
l402() { "$L402" --quiet "$@"; }
ask() { l402 inspect --field "$@"; }
sum() { awk '{ s += $1 } END { printf "%.0f\n", s }'; }
wrong() { echo "parties: $*" >&2; tail -n 20 "$work"/*.log "$work"/*.lock.out >&2; exit 1; }
miner=''
end() { kill $miner 2> /dev/null || true; l402 devnet down net; rm -rf "$work"; }
trap end EXIT

# ---- cron.sh by itself ----------------------------------------------------------------------------------------------

cron() { "$home/recipes/cron.sh" one "$@" > said && status=0 || status=$?; }
expect() {
    [ "$status" -eq "$1" ] || wrong "cron.sh: expected status $1, found $status"
    if [ -n "$2" ]; then grep -q -e "$2" said || wrong "cron.sh: expected '$2'"; elif [ -s said ]; then wrong "cron.sh: expected silence"; fi
}
cron sh -c 'echo fine'; expect 0 ''
cron sh -c 'echo not yet; exit 75'; expect 75 ''
cron sh -c 'echo bad; exit 1'; expect 1 'exit status 1: sh'
grep -q bad said || wrong "cron.sh: expected the output"
cron sh -c 'echo bad; exit 1'; expect 1 ''          # the same words: once an hour
touch -d '2 hours ago' one.said
cron sh -c 'echo bad; exit 1'; expect 1 'exit status 1'
cron sh -c 'exit 69'; expect 69 ''
touch -d '30 minutes ago' one.down
cron sh -c 'exit 69'; expect 69 ''
touch -d '61 minutes ago' one.down
cron sh -c 'exit 69'; expect 69 'exit status 69'
cron true; expect 0 ''
cron sh -c 'exit 69'; expect 69 ''                  # another hour begins
flock one sleep 2 &
sleep 0.5
cron true; expect 75 ''
wait

# ---- Three parties --------------------------------------------------------------------------------------------------

l402 devnet up net --nodes 3 --json > nodes.jsonl
BEACONS=blocks "$home/tests/flows/begin" coordinator/run
rm -rf coordinator/run-private/* coordinator/run/cy.pub
number=0
for who in coordinator ann bob; do
    number=$((number + 1))
    ask id --where name=n$number nodes.jsonl > coordinator/run/$who.pub
    mkdir -p $who/run-private/$who
    ln -s "$work/net/n$number/lightning-rpc" $who/run-private/$who/lightning-rpc
done
for who in ann bob; do
    printf '{"key":"%s","type":"roster","v":1,"worker":"%s"}\n' "$(cat coordinator/run/$who.pub)" $who
done > coordinator/run/roster.jsonl
for who in ann bob; do mkdir $who/run && cp coordinator/run/{run.toml,roster.jsonl,coordinator.pub} $who/run/; done
balance() { l402 devnet status net --json | ask channels.to_us_msat --where "id=$(cat coordinator/run/"$1".pub)" - | sum; }
for who in coordinator ann bob; do balance $who > $who/before; done
# A block whenever a beacon waits for one.
waits() { [ -e "$1/roster-closing.jsonl" ] && [ ! -e "$1/beacon-a" ] || { [ -e "$1/closing.jsonl" ] && [ ! -e "$1/beacon-b" ]; }; }
(while sleep 0.3; do for round in coordinator/run/round-*; do if waits "$round"; then l402 devnet mine net > /dev/null; fi; done; done) &
miner=$!

# What strangers send: another's name, a name of nobody, a link to a secret, a pipe, a folder.
inbox=coordinator/run-private/coordinator/inbox
mkdir -p $inbox/bob/round-0/bob.openings $inbox/bob/round-1 $inbox/mallory/round-0
echo rubbish > $inbox/bob/round-0/ann.commitment
echo rubbish > $inbox/mallory/round-0/mallory.commitment
ln -s ../../../escrow/secret $inbox/bob/round-0/bob.leaves
mkfifo $inbox/bob/round-1/bob.leaves

# And what a coordinator would have ann take for her own.
mkdir -p ann/run-private/ann/inbox/run/round-0
for kind in invoices update commitment claimed; do echo rubbish > ann/run-private/ann/inbox/run/round-0/ann.$kind; done

# A party's cron, every other second and not every minute; many are killed.
party() {
    local status pid group
    for _ in $(seq 150); do
        setsid "$home/recipes/cron.sh" "$work/$1.lock" "${@:2}" >> "$1.log" 2>&1 &
        pid=$!
        if [ $((RANDOM % 2)) -eq 0 ]; then
            sleep 0.$((RANDOM % 5))
            # With all that it has started, or alone: then that works on, and holds the lock.
            group=-; [ $((RANDOM % 3)) -ne 0 ] || group=
            if kill -9 -- $group$pid 2> /dev/null; then echo kill >> "$1.kills"; fi
        fi
        wait $pid 2> /dev/null && status=0 || status=$?
        case $status in
            0) return 0 ;;
            69 | 75 | 137) ;;
            *) echo "parties: $1: status $status"; return 1 ;;
        esac
        sleep 0.$((RANDOM % 10))
    done
    echo "parties: $1 did not come to an end"
    return 1
}
export MIN_MSAT=120000000
party coordinator "$home/recipes/coordinator.sh" coordinator/run & pids=$!
party ann "$home/recipes/worker.sh" ann/run ann & pids="$pids $!"
party bob "$home/recipes/worker.sh" bob/run bob & pids="$pids $!"
# A node is killed too, and comes back.
sleep 4
kill -9 "$(cat net/n2/pid)"
sleep 2
l402 devnet up net > /dev/null || wrong "the node did not come back"
for pid in $pids; do wait "$pid" || wrong "somebody did not come to an end"; done

# An offer that is too small is for a person.
mkdir -p ann/run/round-2
cp "$AT"/round-1/offers.jsonl ann/run/round-2/
MIN_MSAT=120000001 "$home/recipes/worker.sh" ann/run ann 2 > said && status=0 || status=$?
[ "$status" -eq 1 ] || wrong "a small offer was taken"
grep -q "at least 120000001 msat, found 120000000" said || wrong "a small offer: $(cat said)"

# ---- What came of it ------------------------------------------------------------------------------------------------

run=coordinator/run
[ -e $run/theta-2/model.safetensors ] || wrong "there is no next model"
l402 audit $run --replay all --coordinator "$(cat $run/coordinator.pub)" > /dev/null || wrong "the audit found something"
if ls $run/round-*/mallory.* $run/round-*/bob.leaves 2> /dev/null; then wrong "a stranger's file was taken"; fi
if grep -l rubbish $run/round-*/* ann/run/round-*/*; then wrong "a stranger's words were taken"; fi
all=0
for who in ann bob; do
    paid=$(ask paid_msat --where task.worker=$who $run/round-*/verdicts.jsonl | sum)
    [ "$(ask task.worker --where task.worker=$who $run/round-*/verdicts.jsonl | wc -l)" -eq 2 ] || wrong "$who: expected two verdicts"
    [ "$paid" -gt 0 ] || wrong "$who earned nothing"
    after=$(balance $who)
    [ $(($(cat $who/before) + paid)) -eq "$after" ] || wrong "$who: $(cat $who/before) + $paid is not $after"
    all=$((all + paid))
done
after=$(balance coordinator)
[ $(($(cat coordinator/before) - all)) -eq "$after" ] || wrong "coordinator: $(cat coordinator/before) - $all is not $after"
echo "two paid rounds by cron: $all msat, $(cat ./*.kills 2> /dev/null | wc -l) kills, everything equal"
