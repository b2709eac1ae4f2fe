#!/bin/sh
# A training round on real text, end to end, twenty times over.
#
# Four people train one model. Three of them do the work; mallory sends noise in place of it. Everything is recomputed,
# so mallory is found out every time and earns nothing, and the model gets better.
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
    (cd "$home" && cargo build --release --quiet)
    L402=$(cd "$home" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release/l402
fi
l402() { "$L402" --quiet "$@"; }
mkdir -p "$run"
cd "$run"

# --- Before the first round -------------------------------------------------------------------------------------
# Everyone has a key; the coordinator's roster pins them.
for who in coordinator alice bob carol mallory; do l402 key "$who.key" > "$who.pub"; done
coordinator=$(cat coordinator.pub)
for who in alice bob carol mallory; do
    printf '{"key":"%s","type":"roster","v":1,"worker":"%s"}\n' "$(cat $who.pub)" "$who"
done > roster.jsonl

# The corpus becomes shards, some of them held out; the first model is random; the recipe names it.
l402 shard "$home/testdata/text/tinyshakespeare.txt" --tokenizer bytes --seq-len 128 --shards 16 --val-shards 1 -o shards
theta=$(l402 init --config "$home/recipes/quickstart.json" --seed 402 -o theta-0)
sed "s/^theta_0 = \"\"/theta_0 = \"$theta\"/" "$home/recipes/quickstart.toml" > run.toml
parameters=$(l402 inspect --json theta-0 | sed 's/.*"parameters":\([0-9]*\).*/\1/')
dense=$((parameters * 4))
echo "run $(l402 inspect --json run.toml | sed 's/.*"run":"\([0-9a-f]\{16\}\).*/\1/')...: $parameters parameters, $dense bytes an update if sent as float32"

# A beacon is a value that nobody knows beforehand: here the system's noise, with Lightning the hash of a block.
beacon() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# --- A worker's round: train | compress, then commit -------------------------------------------------------------
# state FLAG FILE: the flag only if an earlier round left the file.
state() { if [ -e "$2" ]; then echo "$1 $2"; fi; }
latest() { ls -1 round-*/"$1" 2>/dev/null | sort -t- -k2,2n | tail -n 1; }

work() { # worker, the key it works with
    shard=$(sed -n "s/.*\"shard\":\"\([^\"]*\)\".*\"worker\":\"$1\".*/\1/p" assignments.jsonl)
    l402 train --recipe ../run.toml --model "../theta-$n" --shard "../shards/$shard" --round "$n" --worker "$1" \
        --assignments assignments.jsonl --coordinator "$coordinator" \
        $(state --state "$(cd .. && latest "$1.moments" | sed 's|^|../|;s|^../$||')") --state-out "$1.moments" |
        l402 compress --recipe ../run.toml \
            $(state --state "$(cd .. && latest "$1.feedback" | sed 's|^|../|;s|^../$||')") --state-out "$1.feedback" \
            -o "$1.update"
}
