#!/bin/bash
# Rounds in an object store, every job on a node that has what the store brings, are the same as by hand, to the byte. Snakemake and its
# nodes are killed, and nothing is left of them: another machine goes on from the store, and makes nothing twice that is there.
#
#   L402_BINARY=target/debug/l402 SNAKEMAKE=venv/bin/snakemake tests/flows/objects.sh
set -euo pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$(dirname "$SNAKEMAKE"):$PATH
work=$(mktemp -d)
server=''
end() {
    [ -z "$server" ] || kill "$server" 2> /dev/null || true
    rm -rf "$work"
}
trap end EXIT
cd "$work"
export L402=$L402_BINARY LOG=$work/log NODES=$work/nodes
mkdir nodes
: > "$LOG"
wrong() { echo "objects: $*" >&2; exit 1; }

export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export SNAKEMAKE_STORAGE_S3_ENDPOINT_URL=http://127.0.0.1:$port
moto_server -H 127.0.0.1 -p "$port" > moto.log 2>&1 &
server=$!
bucket() { python3 "$home/tests/flows/bucket" "$@"; }
bucket up any || { cat moto.log; wrong "no store"; }

# A draw is logged too: what was drawn stays.
cat > beacon << 'END'
#!/bin/sh
echo "beacon $1 $2" >> "$LOG"
printf '%s %s' "$1" "$2" | sha256sum | cut -d' ' -f1
END
chmod +x beacon

# ---- By hand: bob lies, so that in the next round he goes on from nothing --------------------------------------------

"$home/tests/flows/begin" hand
l402() { "$L402" --quiet --run hand "$@"; }
l402 assign 0 --beacon "$(./beacon a 0)"
l402 train 0 bob -o delta
{ head -c -1 delta; printf '\1'; } > other
l402 compress 0 bob other
bucket put rounds hand run
for n in 0 1; do
    [ $n -eq 0 ] || l402 assign $n --beacon "$(./beacon a $n)"
    for who in ann bob cy; do
        [ "$n$who" = 0bob ] || l402 train $n $who
        l402 commit $n $who
    done
    ./beacon b $n > hand/round-$n/beacon-b
    for who in ann bob cy; do
        l402 commit $n $who --reveal
        l402 replay $n $who || [ "$n$who" = 0bob ]
    done
    l402 score $n
    l402 aggregate $n
done
: > "$LOG"

# ---- In the store ----------------------------------------------------------------------------------------------------

# A machine that has the keys and the recipes, and what a snakemake on it leaves.
machine() {
    mkdir "$1"
    cp -a hand-private "$1/run-private"
    cp "$home"/recipes/*.smk "$1"
}
play() {
    cd "$1"
    exec "$SNAKEMAKE" -s round.smk --rerun-incomplete --default-storage-provider s3 --default-storage-prefix s3://rounds \
        --executor cluster-generic --cluster-generic-submit-cmd "$home/tests/flows/node" --shared-fs-usage none --jobs 2 \
        --cluster-generic-status-cmd "$home/tests/flows/node" --seconds-between-status-checks 1 \
        --config RUN=run ROUNDS=0..1 BEACON="$work/beacon" L402="$home/tests/flows/logged" PAUSE=0.1 TRIES=5 "${@:2}"
}
export home work SNAKEMAKE
export -f play

machine first
setsid bash -c 'play first' > first.log 2>&1 &
pid=$!
bucket wait rounds run/round-0/beacon-b || { cat first.log; wrong "round 0 does not go on"; }
kill -9 -- -$pid
wait $pid 2> /dev/null || true
rm -rf first "$NODES"/*
# As if they had been killed a little earlier, between two files of one training.
bucket remove rounds run/round-0/cy.feedback
echo "killed, and its machines are gone: $(grep -c . "$LOG") steps"

machine second
(play second) > second.log 2>&1 || { cat second.log; wrong "it does not go on"; }
bucket get rounds store
[ "$(ls store)" = run ] || wrong "other things are in the store: $(ls store)"
diff -r hand store/run || wrong "the store is not as by hand"
"$L402" --quiet audit store/run --replay all > /dev/null || wrong "the audit found something"
twice=$(grep -vE 'inspect|recipe' "$LOG" | sort | uniq -d | grep -E 'train|beacon' || true)
[ "$twice" = "0 train 0 cy --threads 1" ] || wrong "made twice: $twice"
left=$(find second "$NODES" -name '*.update' -o -name 'assignments.jsonl')
[ -z "$left" ] || wrong "left where snakemake ran: $left"
echo "in an object store, on nodes that share nothing: the same bytes"

# Whatever is asked for: no beacon is drawn again.
(play second --forceall --dry-run) > again.log 2>&1 || { cat again.log; wrong "--forceall failed"; }
grep -q "rule train" again.log || { cat again.log; wrong "--forceall makes nothing"; }
if grep -E 'rule (assign|beacon)' again.log; then wrong "a beacon would be drawn again"; fi
