#!/bin/sh
# A training round on real text, end to end, twenty times over.
#
# Four people train one model. Three of them do the work; mallory takes one step where ten are asked for, and sends that
# as if it were the whole. Everything is recomputed, so mallory is found out every time and earns nothing, and the
# model gets better.
#
#   recipes/quickstart.sh [FOLDER]      (default: quickstart-run in the repository; it must not exist yet)
#
# ROUNDS=n plays fewer rounds, L402=path uses a binary that is already built.
set -eu

home=$(cd "$(dirname "$0")/.." && pwd)
run=${1:-$home/quickstart-run}
rounds=${ROUNDS:-20}
if [ -e "$run" ]; then
    echo "quickstart: $run is there already: remove it, or name another folder" >&2
    exit 73
fi
if [ -z "${L402:-}" ]; then
    (cd "$home" && cargo build --release)
    target=$(cd "$home" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    L402=$target/release/l402
fi
l402() { "$L402" --quiet "$@"; }
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }      # a field of a record
mkdir -p "$run"
cd "$run"

# ---- Before the first round -----------------------------------------------------------------------------------------

# Everyone has a key; the coordinator's roster pins them.
workers="alice bob carol mallory"
for who in coordinator $workers; do l402 key "$who.key" > "$who.pub"; done
coordinator=$(cat coordinator.pub)
for who in $workers; do
    printf '{"key":"%s","type":"roster","v":1,"worker":"%s"}\n' "$(cat "$who.pub")" "$who"
done > roster.jsonl

# The text becomes shards, one of them held out; the first model is random; the recipe names it.
l402 shard "$home/testdata/text/tinyshakespeare.txt" --tokenizer bytes --seq-len 128 --shards 16 --val-shards 1 -o shards
theta=$(l402 init --config "$home/recipes/quickstart.json" --seed 402 -o theta-0)
sed "s/^theta_0 = \"\"/theta_0 = \"$theta\"/" "$home/recipes/quickstart.toml" > run.toml
sed 's/^steps = 10/steps = 1/' run.toml > mallory.toml
run_id=$(l402 inspect --json run.toml | field run)
dense=$(($(l402 inspect --json theta-0 | field parameters) * 4))
echo "run $run_id"

# A beacon is a value that nobody knows beforehand: here the system's noise, with Lightning the hash of a block.
beacon() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# The state that a worker carries on from its last update that counted, if there is one.
state() { if [ -e "states/$1" ]; then echo "--state states/$1"; fi; }
shard_of() { grep "\"worker\":\"$1\"" "$now/assignments.jsonl" | field shard; }

# ---- What a worker does: train | compress ---------------------------------------------------------------------------

work() {
    l402 train --recipe run.toml --model "theta-$n" --shard "shards/$(shard_of "$1")" --round "$n" --worker "$1" \
        --assignments "$now/assignments.jsonl" --coordinator "$coordinator" \
        $(state "$1.moments") --state-out "$now/$1.moments" |
        l402 compress --recipe run.toml $(state "$1.feedback") --state-out "$now/$1.feedback" -o "$now/$1.update"
}

# Mallory's recipe asks for a tenth of the work; she writes the real run and her assignment over the traces of it.
cheat() {
    line=$(grep -n "\"worker\":\"$1\"" "$now/assignments.jsonl" | cut -d: -f1)
    assignment=$(l402 inspect --json "$now/assignments.jsonl" | grep -o '[0-9a-f]\{64\}' | sed -n "$((line + 1))p")
    l402 train --recipe mallory.toml --model theta-0 --shard "shards/$(shard_of "$1")" --round 0 --worker "$1" > "$now/lazy"
    lazy=$(l402 inspect --json "$now/lazy")
    LC_ALL=C sed -e "1s/$(echo "$lazy" | field l402.run)/$run_id/" \
        -e "1s/$(echo "$lazy" | field l402.assignment)/$assignment/" \
        -e "1s/$(echo "$lazy" | field l402.theta)/$(l402 inspect --json "theta-$n" | field model)/" \
        -e "1s/\"l402.round\":\"0\"/\"l402.round\":\"$n\"/" "$now/lazy" |
        l402 compress --recipe run.toml -o "$now/$1.update"
}
