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
previous() { if [ -e "states/$1.update" ]; then echo "--previous states/$1.update"; fi; }
shard_of() { grep -F "\"worker\":\"$1\"" "$now/assignments.jsonl" | field shard; }

# ---- What a worker does: train | compress ---------------------------------------------------------------------------

work() {
    l402 train --recipe run.toml --model "theta-$n" --shard "shards/$(shard_of "$1")" --round "$n" --worker "$1" \
        --assignments "$now/assignments.jsonl" --coordinator "$coordinator" \
        $(state "$1.moments") --state-out "$now/$1.moments" |
        l402 compress --recipe run.toml $(state "$1.feedback") --state-out "$now/$1.feedback" -o "$now/$1.update"
}

# Mallory's recipe asks for a tenth of the work; she writes the real run and her assignment over the traces of it.
cheat() {
    line=$(grep -nF "\"worker\":\"$1\"" "$now/assignments.jsonl" | cut -d: -f1)
    assignment=$(l402 inspect --json "$now/assignments.jsonl" | grep -o '[0-9a-f]\{64\}' | sed -n "$((line + 1))p")
    l402 train --recipe mallory.toml --model theta-0 --shard "shards/$(shard_of "$1")" --round "$n" --worker "$1" > "$now/lazy"
    lazy=$(l402 inspect --json "$now/lazy")
    LC_ALL=C sed -e "1s/$(echo "$lazy" | field l402.run)/$run_id/" \
        -e "1s/$(echo "$lazy" | field l402.assignment)/$assignment/" \
        -e "1s/$(echo "$lazy" | field l402.theta)/$(l402 inspect --json "theta-$n" | field model)/" "$now/lazy" |
        l402 compress --recipe run.toml -o "$now/$1.update"
}

# ---- The rounds -----------------------------------------------------------------------------------------------------

mkdir states
sent=0
for n in $(seq 0 $((rounds - 1))); do
    now=round-$n
    mkdir "$now"

    # The roster is closed; only now the first beacon exists, and draws who works on what.
    l402 assign --recipe run.toml --round "$n" --shards shards --workers roster.jsonl --beacon "$(beacon)" \
        --key coordinator.key -o "$now/assignments.jsonl"

    # Everyone works, and commits to the result before anybody sees it.
    for who in $workers; do
        if [ "$who" = mallory ]; then cheat "$who"; else work "$who"; fi
        l402 commit "$now/$who.update" --round "$n" --worker "$who" --key "$who.key"
    done > "$now/commitments.jsonl"

    # All commitments are in. Only now the second beacon exists, and the updates are shown.
    second=$(beacon)
    for who in $workers; do
        l402 commit "$now/$who.update" --round "$n" --worker "$who" --key "$who.key" --reveal
    done >> "$now/commitments.jsonl"

    # The coordinator, or anyone, does everybody's work again, from the states that each one's last counting update left:
    # exit status 0 is equality, 1 is a lie.
    for who in $workers; do
        l402 replay --recipe run.toml --model "theta-$n" --worker "$who" --assignments "$now/assignments.jsonl" \
            --coordinator "$coordinator" --shards shards --update "$now/$who.update" \
            $(state "$who.moments") $(state "$who.feedback") $(previous "$who") 2>> replay.log || [ $? -eq 1 ]
    done > "$now/findings.jsonl"

    # What each update is worth on text that nobody trained on, and the next model.
    l402 score --recipe run.toml --model "theta-$n" --val shards/val-00000.safetensors --beacon "$second" \
        --findings "$now/findings.jsonl" --assignments "$now/assignments.jsonl" --coordinator "$coordinator" \
        --commitments "$now/commitments.jsonl" -o "$now/scores.jsonl" "$now"/*.update
    l402 aggregate --recipe run.toml --model "theta-$n" --scores "$now/scores.jsonl" -o "theta-$((n + 1))" "$now"/*.update

    # Whoever's update counted carries its state on.
    tokens=$(field tokens < "$now/scores.jsonl")
    echo
    printf 'round %-3s %-9s %-30s %14s %9s %8s\n' "$n" worker finding 'gain nats/byte' msat bytes
    for who in $workers; do
        finding=$(grep -F "\"worker\":\"$who\"" "$now/findings.jsonl")
        score=$(grep -F "\"worker\":\"$who\"" "$now/scores.jsonl")
        if echo "$score" | grep -q '"counts":true'; then
            for kind in moments feedback update; do ln -sf "../$now/$who.$kind" "states/$who.$kind"; done
        fi
        bytes=$(echo "$score" | field bytes)
        sent=$((sent + bytes))
        printf '%-9s %-9s %-30.30s %14s %9s %8s\n' '' "$who" \
            "$(echo "$finding" | field finding) $(echo "$finding" | field differs)" \
            "$(echo "$score" | field gain_q32 | awk -v t="$tokens" '$1 != "" { printf "%.4f", $1 / 4294967296 / t }')" \
            "$(echo "$score" | field entitled_msat)" "$bytes"
    done
done

# ---- What came of it ------------------------------------------------------------------------------------------------

loss() {
    l402 score --recipe run.toml --model "theta-$1" --val shards/val-00000.safetensors |
        sed 's/.*"before_q32":"\([0-9]*\)".*"tokens":\([0-9]*\).*/\1 \2/' | awk '{ printf "%.4f", $1 / 4294967296 / $2 }'
}
count=$(echo $workers | wc -w)
echo
echo "held-out loss: $(loss 0) -> $(loss "$rounds") nats a byte after $rounds rounds"
echo "sent: $sent bytes, against $((dense * rounds * count)) as dense float32:" \
    "$(awk -v a=$((dense * rounds * count)) -v b=$sent 'BEGIN { printf "%.1f", a / b }')x smaller"
paid() { cat round-*/scores.jsonl | grep -F "\"worker\":\"$1\"" | field entitled_msat | awk '{ s += $1 } END { print s }'; }
for who in $workers; do echo "earned by $who: $(paid "$who") msat"; done
echo "everything is in $run: theta-$rounds is a Hugging Face model folder, round-* hold the records"
