#!/bin/sh
# What the same tokens and steps give without distribution: plain AdamW on the honest workers' batches together.
#
#   recipes/baseline.sh RUN       (a run folder, as recipes/quickstart.sh makes one; its moments go on, and its outer step is the mean)
#
# One worker takes every step at the joint batch size, its pseudo-gradient travels dense, its moments go on. Prints the
# held-out loss of both runs, round by round. ROUNDS=n takes the first n rounds alone, L402=path a binary that is already built.
set -eu

home=$(cd "$(dirname "$0")/.." && pwd)
run=$(cd "$1" && pwd)
if [ -z "${L402:-}" ]; then
    target=$(cd "$home" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    L402=$target/release/l402
fi
l402() { "$L402" --quiet "$@"; }
cd "$run"
ask() { l402 inspect --field "$@"; }
rounds=${ROUNDS:-$(ls -d round-* | wc -l)}
honest=$(grep -c '"counts":true' round-0/scores.jsonl)
steps=$(ask inner.steps run.toml) batch=$(ask inner.batch run.toml) codec=$(ask codec.name run.toml)
mkdir baseline
sed -e "s/^batch = $batch\\([^0-9].*\\)*$/batch = $((batch * honest))/" -e "s/^name = \"$codec\"/name = \"dense\"/" run.toml > baseline/run.toml
if [ "$(ask inner.batch baseline/run.toml) $(ask codec.name baseline/run.toml)" != "$((batch * honest)) dense" ]; then
    echo "baseline: $run/run.toml: expected lines that begin with batch = $batch and name = \"$codec\"" >&2
    exit 65
fi
ln -s ../theta-0 baseline/theta-0

loss() { # recipe, model
    l402 score --recipe "$1" --model "$2" --val shards/val-00000.safetensors > baseline/loss
    echo "$(ask before_q32 baseline/loss) $(ask tokens baseline/loss)" | awk '{ printf "%.4f", $1 / 4294967296 / $2 }'
}
row() { printf '%5s %8s %12s %10s\n' "$@"; }
row round step distributed plain
losses() { # round
    distributed=$(loss run.toml "theta-$1")
    plain=$(loss baseline/run.toml "baseline/theta-$1")
    row "$1" "$(($1 * steps))" "$distributed" "$plain"
}
losses 0
state=
for n in $(seq 0 $((rounds - 1))); do
    next=$((n + 1))
    l402 assign --recipe baseline/run.toml --round "$n" --shards shards --workers plain \
        --beacon "$(printf '%064x' "$n")" -o "baseline/assignments-$n.jsonl"
    shard=$(sed 's/.*"shard":"\([^"]*\)".*/\1/' "baseline/assignments-$n.jsonl")
    l402 train --recipe baseline/run.toml --model "baseline/theta-$n" --shard "shards/$shard" --round "$n" --worker plain \
        --assignments "baseline/assignments-$n.jsonl" $state --state-out "baseline/moments-$next" |
        l402 compress --recipe baseline/run.toml -o "baseline/update-$next"
    l402 aggregate --recipe baseline/run.toml --model "baseline/theta-$n" "baseline/update-$next" -o "baseline/theta-$next"
    state="--state baseline/moments-$next"
    losses "$next"
done
